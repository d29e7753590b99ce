"""The Sinkhorn ball against convex solvers, its dual, closed forms and limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn import DFLRegressor
from dfl_sklearn.problems import NewsvendorProblem, SquaredErrorProblem
from dfl_sklearn.robust import SinkhornBall
from dfl_sklearn.robust._tilt import tilt_within
from dfl_sklearn.rows import Rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SLOPE = np.array([0.3, -2.0])


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) * [1.0, 3.0]
    return Rows(X, rng.normal(5.0, 1.0, (n, 1)), rng.uniform(0.5, 2.0, n))


def linear(rows):
    return rows.X @ SLOPE


def worst_mean(ball, rows, loss=linear, seed=0):
    ball.set_nominal(rows, SquaredErrorProblem(), seed)
    worst, divergence = ball.worst_case(loss)
    return worst.weight @ loss(worst), divergence


def test_weights_are_those_of_a_convex_solver_and_of_the_dual():
    cvxpy = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    for radius in (0.05, 0.4, 0.9):
        loss, share = rng.exponential(size=(4, 5)), rng.dirichlet(np.ones(4))
        found, divergence = tilt_within(loss, share, radius)
        p = cvxpy.Variable((4, 5), nonneg=True)
        kl = cvxpy.sum(cvxpy.kl_div(p, np.full((4, 5), 0.2)), axis=1)
        best = cvxpy.Problem(
            cvxpy.Maximize(share @ cvxpy.sum(cvxpy.multiply(p, loss), axis=1)),
            [cvxpy.sum(p, axis=1) == 1, share @ kl <= radius],
        ).solve(solver="CLARABEL")
        value = share @ (found * loss).sum(axis=1)
        assert value == pytest.approx(best, rel=1e-6)
        assert divergence == pytest.approx(radius, rel=1e-9)
        tau = np.exp(np.linspace(-4, 5, 4001))
        inside = np.log(np.exp(loss[:, :, None] / tau).mean(axis=1))
        assert value == pytest.approx((tau * (radius + share @ inside)).min(), rel=1e-5)


def test_the_limits_of_the_radius():
    loss, share = np.array([[0.0, 1.0, 1.0], [3.0, 2.0, 5.0]]), np.array([0.25, 0.75])
    assert_array_equal(tilt_within(loss, share, 0.0)[0], np.full((2, 3), 1 / 3))
    found, divergence = tilt_within(loss, share, 2.0)
    assert_allclose(found, [[0, 0.5, 0.5], [0, 0, 1]])
    assert divergence == pytest.approx(0.25 * np.log(1.5) + 0.75 * np.log(3))
    for unit in (1e-200, 1e200):
        assert_allclose(
            tilt_within(unit * loss, share, 0.3)[0], tilt_within(loss, share, 0.3)[0], rtol=1e-9
        )


@pytest.mark.parametrize("epsilon", [0.01, 0.001])
def test_a_linear_loss_is_that_of_the_wasserstein_ball_whatever_the_noise(epsilon):
    data = rows()
    share = data.weight / data.weight.sum()
    spread = np.sqrt(share @ (data.X - share @ data.X) ** 2)
    found, divergence = worst_mean(SinkhornBall(0.05, epsilon, 4000, columns="features"), data)
    assert divergence == pytest.approx(0.05)
    increase = 0.05 * np.linalg.norm(SLOPE * spread)
    assert found - share @ linear(data) == pytest.approx(increase, rel=0.05)


def test_few_draws_are_biased_low_and_reach_only_so_far():
    data, share = rows(), rows().weight / rows().weight.sum()

    def increase(n_draws, seed):
        ball = SinkhornBall(0.2, 0.02, n_draws, columns="features")
        found, divergence = worst_mean(ball, data, seed=seed)
        assert divergence <= np.sqrt(2 * 0.02 * np.log(n_draws)) * (1 + 1e-9)
        assert divergence == pytest.approx(min(0.2, np.sqrt(2 * 0.02 * np.log(n_draws))))
        return found - share @ linear(data)

    means = [np.mean([increase(n, seed) for seed in range(10)]) for n in (2, 8, 64, 1000)]
    assert np.all(np.diff(means) > 0)


def test_without_a_radius_it_is_noise_of_the_given_variance():
    data = rows(200)
    ball = SinkhornBall(0.0, 0.04, 20)
    ball.set_nominal(data, SquaredErrorProblem(), 0)
    drawn, divergence = ball.worst_case(linear)
    assert divergence == 0.0
    assert_allclose(drawn.weight, np.repeat(data.weight / data.weight.sum() / 20, 20))
    share = data.weight / data.weight.sum()
    for after, before in ((drawn.X, data.X), (drawn.y, data.y)):
        moved = after - np.repeat(before, 20, axis=0)
        spread = np.sqrt(share @ (before - share @ before) ** 2)
        assert_allclose(moved.std(axis=0), 0.2 * spread, rtol=0.05)
    again, _ = ball.worst_case(linear)
    assert again.X is drawn.X  # their best decisions are solved for once
    assert again.y is drawn.y


def test_columns_domains_and_rows_held_out():
    data = rows().replace(y=np.abs(rows().y - 5.0))
    ball = SinkhornBall(0.1, 1.0, columns="target")
    ball.set_nominal(data, NewsvendorProblem(9, 1), 0, data.take(slice(0, 10)))
    worst, _ = ball.worst_case(lambda rows: rows.y[:, 0])
    assert_array_equal(worst.X, np.repeat(data.X, 8, axis=0))
    assert worst.y.min() >= 0
    assert 0.1 < ball.projected_share_ < 0.5
    few = data.take(slice(0, 10))
    mean = np.average(few.y[:, 0], weights=few.weight)
    assert ball.held_out_regret(lambda rows: rows.y[:, 0]) > mean
    ball.set_nominal(data, NewsvendorProblem(9, 1), 0)
    assert ball.held_out_regret(linear) is None


def test_a_robust_fit_has_a_smaller_worst_case():
    data = rows(60)
    y = data.X[:, 0] + np.random.default_rng(1).exponential(size=60)
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    quick = {"hidden_layer_sizes": (), "max_iter": 40, "random_state": 0}
    ball = SinkhornBall(0.4, 0.1)
    plain = DFLRegressor(problem, **quick).fit(data.X, y)
    robust = DFLRegressor(problem, ambiguity_set=ball, **quick).fit(data.X, y)
    found = []
    for model in (plain, robust):
        ball.set_nominal(Rows(data.X, y[:, None], np.ones(60)), problem, 0)
        worst, _ = ball.worst_case(lambda rows, m=model: problem.cost(m.decide(rows.X), rows.y))
        found.append(worst.weight @ problem.cost(model.decide(worst.X), worst.y))
    assert found[1] < found[0]


@pytest.mark.parametrize(
    ("ball", "message"),
    [
        (SinkhornBall(-1), "radius must be at least 0"),
        (SinkhornBall(epsilon=0), "epsilon must be a number above 0"),
        (SinkhornBall(n_draws=0), "n_draws must be a whole number of at least 1"),
        (SinkhornBall(n_draws=10**15), "n_draws=1000000000000000, with .* of memory"),
        (SinkhornBall(columns="all"), "columns must be one of"),
    ],
)
def test_parameters_out_of_range(ball, message):
    with pytest.raises(ValueError, match=message):
        ball.set_nominal(rows(), SquaredErrorProblem(), 0)
