"""The diffusion model of rows given their context, against conditional distributions."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_2samp, multivariate_normal, norm
from sklearn.base import clone

from dfl_sklearn.robust import ConvDenoiser, DiffusionGenerator

SLOPE = np.array([[1.0, 0.0, 0.5], [-0.3, 0.2, 1.0]])
ROOT = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.7]])
QUICK = {"hidden_layer_sizes": (8,), "n_steps": 10, "max_iter": 3, "random_state": 0}


def gaussian_table(n, seed=0):
    rng = np.random.default_rng(seed)
    context = rng.standard_normal((n, 2)) @ [[1.0, 0.7], [0.0, 1.0]]
    return 3.0 + context @ SLOPE + rng.standard_normal((n, 3)) @ ROOT, context


@pytest.fixture(scope="module")
def gaussian():
    Z, context = gaussian_table(2000)
    return DiffusionGenerator(random_state=0, max_iter=5).fit(Z, context=context)


@pytest.mark.parametrize("given", [(0.0, 0.0), (-2.0, 1.0)])
def test_rows_given_a_context_have_the_conditional_mean_and_covariance(gaussian, given):
    context = np.tile(given, (8000, 1))
    made = gaussian.sample(8000, random_state=0, context=context)
    assert_allclose(made.mean(axis=0), 3.0 + np.array(given) @ SLOPE, atol=0.15)
    assert_allclose(np.cov(made.T), ROOT.T @ ROOT, atol=0.15)


def test_the_bound_is_nearly_the_conditional_log_density(gaussian):
    Z, context = gaussian_table(200, seed=1)
    exact = multivariate_normal(np.zeros(3), ROOT.T @ ROOT).logpdf(Z - 3.0 - context @ SLOPE)
    bound = gaussian.score_samples(Z, context)
    assert abs(bound.mean() - exact.mean()) < 0.03
    assert np.corrcoef(bound, exact)[0, 1] > 0.98
    assert gaussian.score(Z, context=context) == pytest.approx(bound.mean())
    assert_array_equal(bound[:5], gaussian.score_samples(Z[:5], context[:5]))
    # The best denoiser of a standard normal leaves an error of abar per coordinate.
    expected = 3 * gaussian._noise.abar.mean()
    assert gaussian.denoising_loss(Z, context=context) == pytest.approx(expected, rel=0.05)


def test_every_sampler_draws_the_same_conditional_gaussian():
    Z, context = gaussian_table(800)
    model = DiffusionGenerator(random_state=0, max_iter=5).fit(Z, context=context)
    for params in (
        {},
        {"sampling_steps": 10, "sampler": "ddpm"},
        {"sampling_steps": 80, "sampler": "ddim"},
    ):
        model.set_params(**params)
        made = model.sample(4000, random_state=1, context=np.tile([1.0, -1.0], (4000, 1)))
        assert_allclose(made.mean(axis=0), 3.0 + [1.0, -1.0] @ SLOPE, atol=0.2)
        assert_allclose(np.cov(made.T), ROOT.T @ ROOT, atol=0.2)


@pytest.fixture(scope="module")
def curved():
    """Return rows of which the mean is a sine of the context, and the spread a step."""
    rng = np.random.default_rng(0)
    context = rng.uniform(-2, 2, (1200, 1))
    y = np.sin(2 * context) + np.where(context > 0, 0.4, 0.1) * rng.standard_normal((1200, 1))
    Z = np.hstack([rng.standard_normal((1200, 1)) + 0.5 * y, y])
    net = DiffusionGenerator(hidden_layer_sizes=(64, 64), random_state=0)
    return net.fit(Z, context=context), context


def test_what_is_not_linear_in_the_context_is_learnt(curved):
    model, context = curved
    at = np.repeat(np.linspace(-1.8, 1.8, 19), 300)[:, None]
    made = model.sample(len(at), random_state=0, context=at)[:, 1].reshape(19, 300)
    expected = np.sin(2 * np.linspace(-1.8, 1.8, 19))
    error = np.sqrt(np.mean((made.mean(axis=1) - expected) ** 2))
    slope, offset = np.polyfit(context[:, 0], np.sin(2 * context[:, 0]), 1)
    linear = np.sqrt(np.mean((slope * np.linspace(-1.8, 1.8, 19) + offset - expected) ** 2))
    assert error < 0.1 < 0.5 < linear
    assert_allclose(made.std(axis=1)[:7], 0.1, atol=0.08)
    assert_allclose(made.std(axis=1)[-7:], 0.4, atol=0.1)


def test_the_bound_of_a_curved_density_beats_that_of_the_gaussian(curved):
    model, _ = curved
    rng = np.random.default_rng(1)
    context = rng.uniform(-2, 2, (500, 1))
    spread = np.where(context > 0, 0.4, 0.1)
    y = np.sin(2 * context) + spread * rng.standard_normal((500, 1))
    Z = np.hstack([rng.standard_normal((500, 1)) + 0.5 * y, y])
    exact = norm.logpdf(Z[:, :1], 0.5 * y) + norm.logpdf(y, np.sin(2 * context), spread)
    coordinates = model._coordinates
    gaussian = multivariate_normal(np.zeros(2)).logpdf(coordinates.forward(Z, context))
    gaussian += coordinates.log_det(Z, context)
    found = model.score(Z, context=context)
    assert gaussian.mean() + 0.2 < found < exact.mean()


def test_a_net_sees_the_columns_of_a_context_standardised():
    """Whitened, the small difference of the first two would be as large as the third."""
    rng = np.random.default_rng(0)
    first, third = rng.standard_normal((2, 400))
    context = np.column_stack([first, first + 0.01 * rng.standard_normal(400), 5 + 7 * third])
    model = DiffusionGenerator(**QUICK).fit(third[:, None] ** 2, context=context)
    expected = np.sqrt(3) * (context - context.mean(axis=0)) / context.std(axis=0)
    assert_allclose(model._coordinates.known(context), expected, atol=1e-9)


def test_a_context_of_two_values_has_two_distributions():
    rng = np.random.default_rng(0)
    coin = rng.integers(0, 2, (1000, 1)).astype(float)
    normal, skew = 0.2 * rng.standard_normal((1000, 1)) - 2, rng.exponential(size=(1000, 1))
    model = DiffusionGenerator(random_state=0, hidden_layer_sizes=(32,), max_iter=60).fit(
        np.where(coin == 1, skew, normal), context=coin
    )
    for value, fresh in (
        (0.0, 0.2 * rng.standard_normal(4000) - 2),
        (1.0, rng.exponential(size=4000)),
    ):
        made = model.sample(4000, random_state=0, context=np.full((4000, 1), value))
        assert ks_2samp(made[:, 0], fresh).statistic < 0.12


def test_columns_of_all_kinds_given_a_context():
    """Counts, a coin, heavy tails, a constant, a copy, a sum, and functions of the context."""
    rng = np.random.default_rng(0)
    known = rng.gamma(3.0, size=800)
    context = np.column_stack([known, rng.integers(0, 2, 800), np.full(800, 2.0), 3 * known])
    own = rng.standard_normal(800)
    Z = np.column_stack(
        [
            rng.poisson(known),
            rng.random(800) < 0.2 + 0.6 * context[:, 1],
            np.exp(1.5 * rng.standard_normal(800)) * known,
            np.full(800, 7.0),
            own,
            2 * own + 1,
            own + known,
            5 - 2 * known,
            context[:, 1] * 4,
        ]
    )
    model = DiffusionGenerator(random_state=0, max_iter=25).fit(Z, context=context)
    index = rng.integers(0, 800, 3000)
    given = context[index]
    made = model.sample(3000, random_state=0, context=given)
    assert (made[:, 0] == np.round(made[:, 0])).all()
    assert np.corrcoef(made[:, 0], given[:, 0])[0, 1] == pytest.approx(
        np.corrcoef(Z[:, 0], known)[0, 1], abs=0.1
    )
    assert set(np.unique(made[:, 1])) <= {0.0, 1.0}
    for value, share in ((0.0, 0.2), (1.0, 0.8)):
        assert made[given[:, 1] == value, 1].mean() == pytest.approx(share, abs=0.15)
    assert ks_2samp(made[:, 2], Z[index, 2]).statistic < 0.1
    assert_array_equal(made[:, 3], 7.0)
    assert_allclose(made[:, 5], 2 * made[:, 4] + 1, atol=1e-9)
    assert_allclose(made[:, 6], made[:, 4] + given[:, 0], atol=1e-9)
    assert_allclose(made[:, 7], 5 - 2 * given[:, 0], atol=1e-9)
    assert_array_equal(made[:, 8], 4 * given[:, 1])
    assert np.isfinite(model.score_samples(Z[:50], context[:50])).all()


def test_few_rows_are_a_conditional_gaussian_without_a_net():
    rng = np.random.default_rng(0)
    context = rng.standard_normal((25, 1))
    Z = 3 * context + rng.standard_normal((25, 1))
    model = DiffusionGenerator(**QUICK).fit(Z, context=context)
    assert len(model.history_) == 0
    made = model.sample(4000, random_state=0, context=np.full((4000, 1), 2.0))
    slope, offset = np.polyfit(context[:, 0], Z[:, 0], 1)
    assert made.mean() == pytest.approx(2 * slope + offset, abs=0.2)
    assert made.std() == pytest.approx(np.std(Z - slope * context - offset), rel=0.15)


def test_rows_that_their_context_determines_need_no_net():
    context = np.random.default_rng(0).standard_normal((60, 2))
    model = DiffusionGenerator(**QUICK).fit(context @ [[1.0, 2.0], [0.5, 0.0]], context=context)
    made = model.sample(5, random_state=0, context=context[:5])
    assert_allclose(made, context[:5] @ [[1.0, 2.0], [0.5, 0.0]], atol=1e-9)
    assert_allclose(
        model.score_samples(context @ [[1.0, 2.0], [0.5, 0.0]], context), 0.0, atol=1e-9
    )


class OwnNet(torch.nn.Module):
    """Gives numbers for the columns of the context as well, which are not used."""

    def __init__(self, n_columns):
        super().__init__()
        self.linear = torch.nn.Linear(n_columns + 1, n_columns)

    def forward(self, z, time):
        return self.linear(torch.cat([z, time[:, None]], dim=1))


@pytest.mark.usefixtures("short_epochs")
@pytest.mark.parametrize("denoiser", [None, ConvDenoiser(4, 1), OwnNet])
def test_every_denoiser_takes_the_context_beside_the_row(denoiser):
    Z, context = gaussian_table(100)
    widths = []

    def own(n_columns):
        widths.append(n_columns)
        return OwnNet(n_columns)

    recipe = own if denoiser is OwnNet else denoiser
    model = DiffusionGenerator(denoiser=recipe, **QUICK).fit(Z, context=context)
    assert set(widths) <= {5}
    assert model.sample(7, random_state=0, context=context[:7]).shape == (7, 3)
    assert np.isfinite(model.score(Z, context=context))
    few = DiffusionGenerator(denoiser=recipe, **QUICK).fit(Z[:20], context=context[:20])
    assert few.sample(7, random_state=0, context=context[:7]).shape == (7, 3)


def test_weights_are_exact_and_order_does_not_matter(short_epochs):
    Z, context = gaussian_table(80)
    weight = np.random.default_rng(0).integers(0, 3, 80)
    weighted = DiffusionGenerator(**QUICK).fit(Z, sample_weight=weight, context=context)
    repeated = DiffusionGenerator(**QUICK).fit(
        np.repeat(Z, weight, axis=0)[::-1], context=np.repeat(context, weight, axis=0)[::-1]
    )
    again = DiffusionGenerator(**QUICK).fit(Z, sample_weight=weight, context=context)
    for other in (repeated, again, pickle.loads(pickle.dumps(weighted))):
        assert_array_equal(
            weighted.sample(40, random_state=3, context=context[:40]),
            other.sample(40, random_state=3, context=context[:40]),
        )
        assert_array_equal(weighted.score_samples(Z, context), other.score_samples(Z, context))


def test_equal_rows_with_different_contexts_are_different_rows(short_epochs):
    Z = np.repeat(np.random.default_rng(0).standard_normal((20, 1)), 2, axis=0)
    context = np.tile([0.0, 1.0], 20)
    assert len(DiffusionGenerator(**QUICK).fit(Z).history_) == 0  # 20 distinct ones
    assert len(DiffusionGenerator(**QUICK).fit(Z, context=context).history_) > 0


def test_a_constant_context_changes_no_bit(short_epochs):
    Z, _ = gaussian_table(100)
    plain = DiffusionGenerator(**QUICK).fit(Z)
    given = DiffusionGenerator(**QUICK).fit(Z, context=np.full(100, 3.0))
    assert_array_equal(
        plain.sample(9, random_state=0),
        given.sample(9, random_state=0, context=np.full((9, 1), 3.0)),
    )
    assert_array_equal(plain.score_samples(Z), given.score_samples(Z, np.full((100, 1), 3.0)))


def test_a_row_is_generated_from_its_own_noise_and_context():
    """What is generated in a row does not depend on the contexts of the others."""
    Z, context = gaussian_table(5000)
    model = DiffusionGenerator(**QUICK).fit(Z[:200], context=context[:200])
    made = model.sample(5000, random_state=0, context=context)  # in two parts
    other = context.copy()
    other[:4500] = 0.0
    assert_allclose(
        model.sample(5000, random_state=0, context=other)[4500:], made[4500:], atol=1e-12
    )


def test_what_a_context_must_be(short_epochs):
    Z, context = gaussian_table(40)
    model = DiffusionGenerator(**QUICK).fit(Z, context=context)
    plain = DiffusionGenerator(**QUICK).fit(Z)
    calls = {
        "sample": lambda model, given: model.sample(40, random_state=0, context=given),
        "score_samples": lambda model, given: model.score_samples(Z, context=given),
        "denoising_loss": lambda model, given: model.denoising_loss(Z, context=given),
    }
    calls["score"] = lambda model, given: model.score(Z, context=given)
    for name, call in calls.items():
        inner = "score_samples" if name == "score" else name
        with pytest.raises(ValueError, match=rf"context of 2 columns: {inner} needs context=, of"):
            call(model, None)
        with pytest.raises(ValueError, match=rf"without a context, but {inner} was given one"):
            call(plain, context)
        with pytest.raises(ValueError, match=r"shape \(40, 2\), .* got \(39, 2\)"):
            call(model, context[:39])
        with pytest.raises(ValueError, match=r"shape \(40, 2\), .* got \(40, 1\)"):
            call(model, context[:, 0])
        with pytest.raises(ValueError, match="context is not finite at row 3, column 1"):
            call(model, np.where(np.arange(80).reshape(40, 2) == 7, np.nan, context))
        assert np.isfinite(call(model, context)).all()
    for bad, message in (
        (context[:39], "context has 39 rows, but Z has 40"),
        (np.full(40, "a"), "context must hold numbers"),
        (
            pd.DataFrame({"day": pd.date_range("2024-01-01", periods=40)}),
            "column 'day' is datetime",
        ),
        (np.empty((40, 0)), "context has no columns"),
        (np.full((40, 1), np.inf), "context is not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(plain).fit(Z, context=bad)


def test_names_of_context_columns_are_compared(short_epochs):
    Z, context = gaussian_table(40)
    table = pd.DataFrame(context, columns=["price", "capacity"])
    model = DiffusionGenerator(**QUICK).fit(Z, context=table)
    expected = model.sample(40, random_state=0, context=table)
    assert_array_equal(model.sample(40, random_state=0, context=context), expected)
    with pytest.raises(ValueError, match="columns of the fit in their order"):
        model.sample(40, random_state=0, context=table[["capacity", "price"]])


def test_a_refit_forgets_the_context(short_epochs):
    Z, context = gaussian_table(40)
    model = DiffusionGenerator(**QUICK).fit(Z, context=context)
    expected = DiffusionGenerator(**QUICK).fit(Z).sample(5, random_state=0)
    assert_array_equal(model.fit(Z).sample(5, random_state=0), expected)
