"""Every ambiguity set hands the context of a row on as it is."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    DiffusionBall,
    DiffusionGenerator,
    GaussianNoise,
    KLBall,
    NominalSamples,
    PolicyGradientSearch,
    TiltedSearch,
    WassersteinBall,
)
from dfl_sklearn.robust._tilt import tilt
from dfl_sklearn.robust._worst_weights import chi_square_weights, cvar_weights
from dfl_sklearn.rows import Rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1)
SLOPE = np.array([[1.0], [-0.5]])
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=6, max_iter=2)


def drawn(n, seed):
    """Return rows of which features and demand depend on two contexts: a price, and a season."""
    rng = np.random.default_rng(seed)
    context = np.column_stack([rng.uniform(1.0, 3.0, n), rng.integers(0, 2, n)])
    X = rng.standard_normal((n, 2)) + context[:, :1]
    y = np.exp(0.3 * X @ SLOPE + 0.5 * context[:, 1:] + 0.2 * rng.standard_normal((n, 1)))
    return Rows(X, y, rng.integers(1, 4, n).astype(float), context).canonical()


class PricedError:
    """The error of a fixed predictor, at the price of each row; notes the rows it is asked for."""

    def __init__(self):
        self.seen = []

    def __call__(self, rows):
        self.seen.append(rows)
        return rows.context[:, 0] * np.abs(rows.y - rows.X @ SLOPE)[:, 0]

    def gradient(self, rows):
        self.seen.append(rows)
        in_y = rows.context[:, :1] * np.sign(rows.y - rows.X @ SLOPE)
        return -in_y * SLOPE.T, in_y


def policy_gradient(**params):
    return PolicyGradientSearch(
        n_steps=4, n_tail=2, n_trajectories=64, n_warm_up=1, n_rounds=1, n_epochs=1, **params
    )


OF_ROWS = {
    "KL": KLBall(0.1),
    "chi-square": ChiSquareBall(2.0),
    "CVaR": CVaR(0.3),
    "Wasserstein": WassersteinBall(0.2),
    "Wasserstein target": WassersteinBall(0.2, columns="target"),
    "Wasserstein features": WassersteinBall(0.2, columns="features"),
    "noise": GaussianNoise(0.2),
    "noise features": GaussianNoise(0.2, columns="features"),
}
GENERATED = {
    "samples": NominalSamples(300, generator=GENERATOR),
    "tilted": DiffusionBall(0.1, generator=GENERATOR, search=TiltedSearch(300)),
    "policy gradient": DiffusionBall(0.1, generator=GENERATOR, search=policy_gradient()),
}


def started(ambiguity_set, rows, held_out=None):
    ambiguity_set = clone(ambiguity_set)
    ambiguity_set.set_nominal(rows, PROBLEM, 0, held_out)
    return ambiguity_set


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_set_of_the_rows_hands_their_context_on(name):
    rows, held_out, loss = drawn(80, 0), drawn(40, 1), PricedError()
    ambiguity_set = started(OF_ROWS[name], rows, held_out)
    for _ in range(2):
        found, _ = ambiguity_set.worst_case(loss)
        assert found.context is rows.context
    watched = ambiguity_set.held_out_regret(loss)
    assert np.isfinite(watched)
    known = [rows.context, held_out.context]
    assert loss.seen
    assert all(any(each.context is context for context in known) for each in loss.seen)
    if "Wasserstein" in name:
        assert found.weight @ loss(found) > ambiguity_set.rows_.weight @ loss(rows)
    ambiguity_set.report(loss)


def test_weights_are_the_worst_for_losses_that_depend_on_the_context():
    rows, loss = drawn(80, 0), PricedError()
    share = rows.weight / rows.weight.sum()
    losses = loss(rows)
    for name, expected in (
        ("KL", tilt(losses, share, 0.1)[0]),
        ("chi-square", chi_square_weights(losses, share, 2.0)[0]),
        ("CVaR", cvar_weights(losses, share, 0.3)),
    ):
        found, _ = started(OF_ROWS[name], rows).worst_case(loss)
        assert_array_equal(found.weight, expected)


def test_rows_go_further_where_their_price_is_higher():
    """The worst step of a row is in proportion to its slope, and so to its price."""
    rows, loss = drawn(80, 0), PricedError()
    ball = started(WassersteinBall(0.05, n_steps=1), rows)
    found, distance = ball.worst_case(loss)
    step = np.abs(found.y - rows.y)[:, 0] / rows.context[:, 0]
    assert distance == pytest.approx(0.05)
    assert_allclose(step, step[0], rtol=1e-9)


def test_noise_does_not_depend_on_whether_there_is_a_context():
    rows = drawn(80, 0)
    with_context, without = (
        started(GaussianNoise(0.2), each).worst_case(None)[0]
        for each in (rows, rows.replace(context=None))
    )
    assert_array_equal(with_context.X, without.X)
    assert_array_equal(with_context.y, without.y)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_rows_have_contexts_of_real_rows(name):
    rows, held_out, loss = drawn(80, 0), drawn(40, 1), PricedError()
    ball = started(GENERATED[name], rows, held_out)
    found, _ = ball.worst_case(loss)
    assert np.isfinite(ball.held_out_regret(loss))
    real = {tuple(each) for each in rows.context}
    watched = {tuple(each) for each in held_out.context}
    rng = np.random.default_rng(0)
    for each in (found, ball.sample(200, rng), ball.nominal(200, rng)):
        assert {tuple(row) for row in each.context} <= real
        assert each.X.shape == (len(each), 2)
        assert (each.y >= 0).all()
    assert {tuple(row) for row in loss.seen[-1].context} <= watched
    numbers = ball.report(loss)
    nominal = ball.search_.nominal()
    table = Rows(nominal.X[:, :2], np.maximum(nominal.X[:, 2:], 0), nominal.weight, nominal.context)
    assert numbers["nominal_regret"] == pytest.approx(nominal.weight @ loss(table))
    assert np.isfinite(numbers["row_divergence"])


@pytest.mark.parametrize("name", GENERATED)
def test_the_same_table_gives_the_same_arrays(name):
    """Training recognises rows by them, and solves for their best decisions once."""
    rows, loss = drawn(80, 0), PricedError()
    ball = started(GENERATED[name], rows)
    found, _ = ball.worst_case(loss)
    table = ball.search_.nominal()
    first, second = (ball._split(each)[0] for each in (table, table.replace(weight=table.weight)))
    assert len(first.arrays) == 3
    assert all(a is b for a, b in zip(first.arrays, second.arrays, strict=True))
    assert first.context is table.context
    if name != "policy gradient":
        assert found.context is ball.search_.pool_context_
        asked = loss.seen[-1]
        assert all(a is b for a, b in zip(asked.arrays, found.arrays, strict=True))


@pytest.mark.parametrize("name", ["tilted", "policy gradient"])
def test_resampling_keeps_rows_and_contexts_together(name):
    """Here the context is the sum of the columns, so that a row out of place would show."""
    rng = np.random.default_rng(0)
    table = rng.gamma(6.0, size=(200, 3))
    rows = Rows(table[:, :2], table[:, 2:], np.ones(200), table.sum(axis=1, keepdims=True))
    ball = started(GENERATED[name].set_params(generator=GENERATOR), rows.canonical())
    found, _ = ball.worst_case(lambda rows: rows.context[:, 0] * rows.y[:, 0])
    for each in (found, ball.sample(100, rng), ball.nominal(100, rng)):
        kept = (each.y > 0).all(axis=1)  # others were put into the domain
        total = np.concatenate([each.X, each.y], axis=1).sum(axis=1)
        assert_allclose(total[kept], each.context[kept, 0], atol=1e-8)
        assert kept.mean() > 0.5


@pytest.mark.parametrize("name", GENERATED)
def test_the_same_seed_gives_the_same_rows_and_another_process_too(name):
    rows, held_out, loss = drawn(80, 0), drawn(40, 1), PricedError()
    balls = [started(GENERATED[name], rows, held_out) for _ in range(2)]
    found = [ball.worst_case(loss)[0] for ball in balls]
    for ball in balls:
        ball.finish()
    again = pickle.loads(pickle.dumps(balls[0]))
    for pair in (found, [ball.worst_case(loss)[0] for ball in (balls[1], again)]):
        for part in ("X", "y", "weight", "context"):
            assert_array_equal(getattr(pair[0], part), getattr(pair[1], part))
    assert again.report(loss) == balls[1].report(loss)
    assert again.held_out_regret(loss) == balls[1].held_out_regret(loss)
    for draw in ("sample", "nominal"):
        drawn_rows = [
            getattr(ball, draw)(9, np.random.default_rng(0)) for ball in (again, balls[1])
        ]
        assert_array_equal(drawn_rows[0].X, drawn_rows[1].X)
        assert_array_equal(drawn_rows[0].context, drawn_rows[1].context)


def test_the_cache_tells_contexts_apart(tmp_path):
    rows = drawn(60, 0)
    other = rows.replace(context=rows.context[::-1].copy())

    def pool(each, memory):
        ball = DiffusionBall(0.1, generator=GENERATOR, search=TiltedSearch(100), memory=memory)
        ball.set_nominal(each, PROBLEM, 0)
        return ball.search_.nominal()

    kept = [pool(each, str(tmp_path)) for each in (rows, other, rows.replace(context=None), rows)]
    for each, computed in zip((rows, other, rows.replace(context=None), rows), kept, strict=True):
        assert_array_equal(computed.X, pool(each, None).X)
    assert not np.array_equal(kept[0].X, kept[1].X)
    # The generator and the pool of each of the three tables.
    assert len(list(tmp_path.rglob("output.pkl"))) == 6


@pytest.mark.parametrize("name", [*OF_ROWS, *GENERATED])
def test_a_stored_set_holds_no_rows_and_pools_of_bounded_size(name):
    sizes = []
    for n in (6_000, 12_000):
        rows, loss = drawn(n, 0), PricedError()
        whole = OF_ROWS.get(name) or GENERATED[name]
        if name == "tilted":
            whole = clone(whole).set_params(search=TiltedSearch(300, real_share=0.0))
        ball = started(whole, rows)
        ball.worst_case(loss)
        ball.finish()
        sizes.append(len(pickle.dumps(ball)))
    assert sizes[1] - sizes[0] < 5_000
