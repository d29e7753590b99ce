"""The worst rows near a conditional diffusion model, where everything is Gaussian and known."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_2samp

from dfl_sklearn.robust import DiffusionGenerator, PolicyGradientSearch, TiltedSearch
from dfl_sklearn.rows import Rows

from ..contracts.other_device import OTHER, OtherDevice

SLOPE = np.array([[1.0, -0.5, 0.3]])
ROOT = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
LOSS = np.array([1.0, -1.0, 2.0])
SPREAD = np.sqrt(LOSS @ ROOT.T @ ROOT @ LOSS)


def linear_loss(rows):
    """Return what the context does not explain of a linear loss, in its standard deviations."""
    return (rows.X - rows.context @ SLOPE) @ LOSS / SPREAD


def drawn(n, seed=0):
    rng = np.random.default_rng(seed)
    context = rng.standard_normal((n, 1))
    weight = np.where(context[:, 0] > 0, 3.0, 1.0)
    return Rows.of_table(
        context @ SLOPE + rng.standard_normal((n, 3)) @ ROOT, weight / weight.sum(), context
    )


@pytest.fixture(scope="module")
def generator():
    rows = drawn(1500)
    return DiffusionGenerator(random_state=0, max_iter=20, hidden_layer_sizes=(32,)).fit(
        rows.X, sample_weight=rows.weight, context=rows.context
    )


def started(search, generator, held_out=None):
    search.set_nominal(generator, drawn(1500), 0, held_out)
    return search


@pytest.mark.parametrize("search", [TiltedSearch(8000, real_share=0.0), PolicyGradientSearch()])
def test_contexts_are_as_frequent_as_in_the_weighted_rows(generator, search):
    rows = drawn(1500)
    nominal = started(search, generator).nominal()
    assert {*nominal.context[:, 0]} <= {*rows.context[:, 0]}
    assert (nominal.context > 0).mean() == pytest.approx(
        rows.weight[rows.context[:, 0] > 0].sum(), abs=0.02
    )
    rng = np.random.default_rng(0)
    expected = rows.context[rng.choice(1500, size=20_000, p=rows.weight), 0]
    assert ks_2samp(nominal.context[:, 0], expected).statistic < 0.03
    # Given their contexts rows are distributed as the table: what is left is standard normal.
    assert linear_loss(nominal).mean() == pytest.approx(0.0, abs=0.1)
    assert linear_loss(nominal).std() == pytest.approx(1.0, abs=0.1)


def test_the_pool_has_generated_rows_and_real_ones_with_their_own_contexts(generator):
    rows = drawn(1500)
    search = started(TiltedSearch(2000, real_share=0.3), generator)
    nominal = search.nominal()
    assert nominal.X is search.pool_
    assert nominal.context is search.pool_context_
    assert_array_equal(nominal.X[2000:], rows.X)
    assert_array_equal(nominal.context[2000:], rows.context)
    assert_allclose(nominal.weight[2000:], 0.3 * rows.weight)
    few = started(TiltedSearch(500, real_share=0.3), generator).nominal()
    real = {(*row, *context) for row, context in zip(rows.X, rows.context, strict=True)}
    assert len(few) == 1000
    assert {(*r, *c) for r, c in zip(few.X[500:], few.context[500:], strict=True)} <= real


@pytest.mark.parametrize("radius", [0.05, 0.2, 0.5])
def test_the_tilted_mean_is_the_closed_form(generator, radius):
    search = started(TiltedSearch(20_000, real_share=0.0), generator)
    nominal = search.nominal()
    found, divergence = search.search(linear_loss, radius)
    shift = found.weight @ linear_loss(found) - linear_loss(nominal).mean()
    assert shift == pytest.approx(np.sqrt(2 * radius), abs=0.06)
    assert divergence == search.row_divergence() == pytest.approx(radius, rel=0.05)
    resampled = search.sample(20_000, np.random.default_rng(0))
    assert linear_loss(resampled).mean() == pytest.approx(
        found.weight @ linear_loss(found), abs=0.05
    )
    # The loss does not depend on the context, so that the contexts stay as frequent as they were.
    mean = found.weight @ found.context[:, 0]
    assert mean == pytest.approx(nominal.context.mean(), abs=0.05)


def test_a_tilt_raises_the_share_of_costly_contexts(generator):
    search = started(TiltedSearch(20_000, real_share=0.0), generator)
    nominal = search.nominal()
    found, _ = search.search(lambda rows: rows.context[:, 0], 0.1)
    shift = found.weight @ found.context[:, 0] - nominal.context.mean()
    assert shift == pytest.approx(np.sqrt(0.2) * nominal.context.std(), rel=0.1)


def test_the_held_out_pool_has_contexts_of_held_out_rows(generator):
    held_out = drawn(300, seed=1)
    seen = []

    def loss(rows):
        seen.append(rows)
        return linear_loss(rows)

    for search in (TiltedSearch(4000), PolicyGradientSearch(n_warm_up=0)):
        started(search, generator, held_out)
        search.search(loss, 0.1)
        regret = search.held_out_regret(loss, 0.1)
        assert {*seen[-1].context[:, 0]} <= {*held_out.context[:, 0]}
        if isinstance(search, TiltedSearch):
            assert regret == pytest.approx(np.sqrt(0.2), abs=0.15)
        assert search.held_out_regret(loss, 0.1) == regret


def test_the_policy_gradient_shifts_rows_given_their_contexts_within_the_radius(generator):
    """Although the regret differs by context: no chain can choose the contexts."""
    search = started(PolicyGradientSearch(), generator)
    for _ in range(3):
        _, divergence = search.search(lambda r: linear_loss(r) + 30.0 * r.context[:, 0], 0.2)
        assert divergence <= 1.1 * 0.2
    fresh = search.sample(6000, np.random.default_rng(0))
    shift = linear_loss(fresh).mean() - linear_loss(search.nominal()).mean()
    assert 0.5 * np.sqrt(0.4) < shift < 1.1 * np.sqrt(0.4)
    rows = drawn(1500)
    assert ks_2samp(fresh.context[:, 0], search.nominal().context[:, 0]).pvalue > 1e-3
    assert {*fresh.context[:, 0]} <= {*rows.context[:, 0]}
    # At least what the mean shift needs, at most that of the paths: both up to the estimate's bias.
    assert 0.6 * shift**2 / 2 - 0.03 < search.row_divergence() < divergence + 0.05


def test_a_shift_that_differs_by_context_is_found(generator):
    search = started(PolicyGradientSearch(), generator)
    for _ in range(3):
        search.search(lambda rows: rows.context[:, 0] * linear_loss(rows), 0.2)
    fresh = search.sample(6000, np.random.default_rng(0))
    high, low = fresh.take(fresh.context[:, 0] > 0.7), fresh.take(fresh.context[:, 0] < -0.7)
    assert linear_loss(high).mean() > 0.2
    assert linear_loss(low).mean() < -0.2


def test_score_matching_is_conditioned_too(generator):
    search = started(PolicyGradientSearch("score_matching", n_trajectories=256), generator)
    found, divergence = search.search(linear_loss, 0.05)
    assert divergence <= 1.1 * 0.05
    assert linear_loss(found).mean() > 0.1


@pytest.mark.parametrize("search", [TiltedSearch(300), PolicyGradientSearch(n_trajectories=64)])
def test_the_same_seed_the_same_rows(generator, search):
    params = search.get_params()
    found = [
        started(type(search)(**params), generator).search(linear_loss, 0.1)[0] for _ in range(2)
    ]
    for part in ("X", "weight", "context"):
        assert_array_equal(getattr(found[0], part), getattr(found[1], part))


def test_a_stored_policy_gradient_goes_on_with_contexts(generator):
    search = started(PolicyGradientSearch(n_trajectories=64, n_warm_up=1), generator)
    search.search(linear_loss, 0.1)
    search.finish()
    again = pickle.loads(pickle.dumps(search))
    for each in (search, again):
        each.found = each.search(linear_loss, 0.1)[0]
    for part in ("X", "context"):
        assert_array_equal(getattr(search.found, part), getattr(again.found, part))


@pytest.mark.parametrize("search", [TiltedSearch(50), PolicyGradientSearch()])
def test_rows_and_generator_must_agree_about_the_context(generator, search):
    rows = drawn(1500)
    with pytest.raises(ValueError, match="fitted given a context of 1 column"):
        search.set_nominal(generator, rows.replace(context=None), 0)
    plain = DiffusionGenerator(random_state=0, max_iter=1, hidden_layer_sizes=(4,)).fit(rows.X)
    with pytest.raises(ValueError, match="fitted without a context"):
        search.set_nominal(plain, rows, 0)


def test_a_table_that_its_context_determines():
    """There is nothing to search for, but rows and contexts still belong together."""
    context = np.random.default_rng(0).standard_normal((60, 1))
    rows = Rows.of_table(context @ [[1.0, 2.0]], np.full(60, 1 / 60), context)
    generator = DiffusionGenerator(random_state=0, hidden_layer_sizes=(4,)).fit(
        rows.X, context=context
    )
    for search in (TiltedSearch(100), PolicyGradientSearch(n_trajectories=64)):
        search.set_nominal(generator, rows, 0)
        found, divergence = search.search(lambda rows: rows.X[:, 0], 0.1)
        assert_allclose(found.X, found.context @ [[1.0, 2.0]], atol=1e-9)
        assert divergence <= 0.11
        assert np.isfinite(search.row_divergence())


@pytest.mark.usefixtures("short_epochs")
@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@pytest.mark.parametrize("divergence", ["kl", "score_matching"])
def test_contexts_live_where_the_net_does(divergence):
    rows = drawn(60)

    def outcome(device):
        generator = DiffusionGenerator(
            hidden_layer_sizes=(4,), n_steps=4, max_iter=2, random_state=0, device=device
        ).fit(rows.X, sample_weight=rows.weight, context=rows.context)
        search = PolicyGradientSearch(
            divergence, n_steps=4, n_tail=2, n_trajectories=30, n_warm_up=1, n_epochs=1
        )
        search.set_nominal(generator, rows, 0)
        found, reached = search.search(linear_loss, 0.1)
        made = generator.sample(5, random_state=0, context=rows.context[:5])
        scores = generator.score_samples(rows.X, rows.context)
        return [found.X, found.context, reached, search.row_divergence(), made, scores]

    here = outcome("cpu")
    with OtherDevice():
        there = outcome(OTHER)
    for one, other in zip(here, there, strict=True):
        assert_array_equal(one, other)
