import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_portfolio
from dfl_sklearn.problems import CVaRPortfolioProblem
from dfl_sklearn.robust import CVaR


def oracle(returns, weight, level, aversion, smoothing=0.0):
    """The program as it stands in the paper, by cvxpy: (shares, reserve), value."""
    z, t = cp.Variable(returns.shape[1]), cp.Variable()
    losses = -returns @ z
    tail = t + weight @ cp.pos(losses - t) / (1 - level)
    objective = weight @ losses + aversion * tail + smoothing * cp.sum_squares(z)
    program = cp.Problem(cp.Minimize(objective), [z >= 0, cp.sum(z) == 1])
    program.solve(solver="CLARABEL")
    return np.append(z.value, t.value), program.value


def mean_of_the_worst(losses, weight, level):
    """CVaR by its other definition: sort, and take the worst 1 - level of the probability."""
    order = np.argsort(-losses)
    taken = np.clip((1 - level) - np.append(0, np.cumsum(weight[order])[:-1]), 0, weight[order])
    return taken @ losses[order] / (1 - level)


@pytest.mark.parametrize("seed", range(20))
def test_residuals_agree_with_cvxpy_and_with_the_worst_losses(seed):
    rng = np.random.default_rng(seed)
    n, n_assets = int(rng.integers(2, 40)), int(rng.integers(1, 7))
    residuals = rng.standard_normal((n, n_assets)) * rng.uniform(0, 3, n_assets) + 0.3
    level, aversion = rng.uniform(0.3, 0.97), rng.uniform(0.05, 5)
    problem = CVaRPortfolioProblem(level, aversion, residuals)
    y, even = rng.standard_normal((4, n_assets)), np.full(n, 1 / n)
    found = problem.optimum(y)
    for row, decision, cost in zip(y, found.decisions, found.cost, strict=True):
        assert cost == pytest.approx(oracle(row + residuals, even, level, aversion)[1], abs=1e-6)
        losses = -(row + residuals) @ decision[:-1]
        tail = mean_of_the_worst(losses, even, level)
        assert cost == pytest.approx(losses.mean() + aversion * tail, abs=1e-10)
        at_risk = np.sort(losses)[int(np.ceil(level * n - 1e-9)) - 1]
        assert decision[-1] == pytest.approx(at_risk, abs=1e-12)


@pytest.mark.parametrize("with_residuals", [False, True])
def test_weighted_scenarios_agree_with_cvxpy(with_residuals):
    rng = np.random.default_rng(4)
    residuals = rng.standard_normal((3, 4)) if with_residuals else None
    problem = CVaRPortfolioProblem(0.8, 1.5, residuals)
    y, weight = rng.standard_normal((6, 25, 4)) + [0.5, 0, 0, 0], rng.dirichlet(np.ones(25), 6)
    decisions = problem.solve(y, scenario_weight=weight)
    for scenarios, probabilities, decision in zip(y, weight, decisions, strict=True):
        each = np.zeros((1, 4)) if residuals is None else residuals
        returns = (scenarios[:, None] + each).reshape(-1, 4)
        repeated = np.repeat(probabilities / len(each), len(each))
        expected, value = oracle(returns, repeated, 0.8, 1.5)
        paid = probabilities @ problem.cost(np.tile(decision, (25, 1)), scenarios)
        assert paid == pytest.approx(value, abs=1e-6)
        assert_allclose(decision[:-1], expected[:-1], atol=1e-4)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_the_share_of_cvar_is_one_less_the_level(level):
    """With the best reserve the cost is mean and CVaR, of `robust.CVaR` by its share."""
    returns = np.random.default_rng(0).normal(0.5, 1.0, (1, 40, 3))
    problem = CVaRPortfolioProblem(level, 2.0)
    z = problem.solve(returns)
    costs = problem.cost(np.repeat(z, 40, axis=0), returns[0])
    losses = -returns[0] @ z[0, :-1]
    tail = CVaR(alpha=1.0 - level).worst_mean(losses)
    assert_allclose(costs.mean(), losses.mean() + 2.0 * tail, rtol=1e-9)
    largest = np.sort(losses)[-round(40 * (1 - level)) :]
    assert_allclose(tail, largest.mean(), rtol=1e-9)


def test_known_returns_bear_no_risk():
    y = np.random.default_rng(0).standard_normal((30, 4))
    z = CVaRPortfolioProblem(0.9, 3.0).solve(y)
    assert_allclose(z[:, :-1], np.eye(4)[y.argmax(axis=1)])
    assert_allclose(z[:, -1], -y.max(axis=1))


@pytest.mark.parametrize("n_copies", [1, 2, 5])
def test_residuals_that_do_not_vary_move_the_returns(n_copies):
    rng = np.random.default_rng(1)
    shift, y = np.array([1.0, 0.0, -2.0]), rng.standard_normal((30, 3))
    problem = CVaRPortfolioProblem(0.9, 1.0, np.tile(shift, (n_copies, 1)))
    plain = CVaRPortfolioProblem(0.9, 1.0)
    assert_allclose(problem.solve(y), plain.solve(y + shift))
    assert_allclose(problem.optimal_cost(y), plain.optimal_cost(y + shift))
    assert_allclose(problem.solve(np.stack([y, y], axis=1)), plain.solve(y + shift))
    layers = [each.decision_layer()(torch.as_tensor(y)) for each in (problem, plain)]
    shifted = plain.decision_layer()(torch.as_tensor(y + shift))
    assert_allclose(layers[0], shifted, atol=1e-12)


@pytest.mark.parametrize("unit", [1e-8, 1e-4, 1e7])
def test_units_do_not_matter(unit):
    rng = np.random.default_rng(45)
    residuals, y = rng.standard_normal((60, 5)), 0.3 * rng.standard_normal((10, 5))
    for level, aversion in ((0.01, 10.0), (0.95, 1.0)):
        problem = CVaRPortfolioProblem(level, aversion, residuals)
        scaled = CVaRPortfolioProblem(level, aversion, unit * residuals)
        assert_allclose(scaled.optimal_cost(unit * y), unit * problem.optimal_cost(y), rtol=1e-9)
        z, z_scaled = (
            each.decision_layer()(torch.as_tensor(factor * y))
            for each, factor in ((problem, 1.0), (scaled, unit))
        )
        assert_allclose(z_scaled[:, :-1], z[:, :-1], atol=1e-6)
        assert_allclose(z_scaled[:, -1] / unit, z[:, -1], atol=1e-6)


def test_no_finer_grid_is_better():
    rng = np.random.default_rng(2)
    residuals = rng.standard_normal((15, 2)) * [0.3, 2.0]
    problem = CVaRPortfolioProblem(0.8, 0.7, residuals)
    first, reserve = np.meshgrid(np.linspace(0, 1, 401), np.linspace(-3, 3, 601))
    grid = np.stack([first, 1 - first, reserve], axis=-1).reshape(-1, 3)
    for row in rng.standard_normal((5, 2)):
        least = problem.cost(grid, np.tile(row, (len(grid), 1))).min()
        assert -1e-12 <= least - problem.optimal_cost(row[None])[0] < 0.02


@pytest.mark.parametrize("smoothing", [0.1, 2.0])
def test_the_layer_agrees_with_cvxpy(smoothing):
    rng = np.random.default_rng(3)
    residuals = rng.standard_normal((30, 5)) * [0.2, 0.5, 1, 2, 3]
    problem = CVaRPortfolioProblem(0.9, 1.0, residuals)
    y = rng.standard_normal((10, 5))
    z = problem.decision_layer(smoothing)(torch.as_tensor(y)).numpy()
    for row, decision in zip(y, z, strict=True):
        args = row + residuals, np.full(30, 1 / 30), 0.9, 1.0, smoothing
        expected, value = oracle(*args)
        ours = problem.cost(decision[None], row[None])[0] + smoothing * (decision[:-1] ** 2).sum()
        assert ours == pytest.approx(value, abs=2e-4)
        assert_allclose(decision[:-1], expected[:-1], atol=1e-2)


def test_more_aversion_less_tail():
    rng = np.random.default_rng(5)
    residuals, y = rng.standard_normal((200, 3)) * [0.1, 1.0, 3.0], np.array([[0.0, 0.3, 0.8]])
    tails = []
    for aversion in (0.01, 0.1, 0.3, 1.0, 10.0):
        z = CVaRPortfolioProblem(0.9, aversion, residuals).solve(y)[0, :-1]
        losses = -(y + residuals) @ z
        tails.append(mean_of_the_worst(losses, np.full(200, 1 / 200), 0.9))
    assert (np.diff(tails) <= 1e-9).all()
    assert tails[-1] < tails[0] - 1


def test_a_net_learns_a_portfolio():
    X, y = make_portfolio(200, random_state=0)
    X_test, y_test = make_portfolio(500, random_state=1)
    slopes = np.linalg.lstsq(np.column_stack([np.ones(200), X]), y, rcond=None)[0]
    residuals = (y - np.column_stack([np.ones(200), X]) @ slopes)[:15]
    problem = CVaRPortfolioProblem(0.9, 0.2, residuals)
    model = DFLRegressor(
        problem, hidden_layer_sizes=(), max_iter=6, learning_rate_init=0.05, random_state=0
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    paid = problem.cost(model.decide(X_test), y_test).mean()
    fixed = problem.cost(problem.solve(y.mean(axis=0)[None]), y_test).mean()
    assert paid < fixed - 0.1
    assert problem.is_feasible(model.decide(X_test)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"level": 1.0}, "level must be between 0 and 1, got 1.0"),
        ({"level": "high"}, "level must be a number"),
        ({"risk_aversion": 0.0}, "risk_aversion must be positive"),
        ({"residuals": [1.0, 2.0]}, r"residuals must have shape \(n_scenarios, n_assets\)"),
        ({"residuals": [[1.0, np.nan]]}, "residuals are not finite at row 0, column 1"),
    ],
)
def test_constants_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        CVaRPortfolioProblem(**params).solve(np.zeros((1, 2)))


def test_decisions_that_are_none():
    problem = CVaRPortfolioProblem(residuals=np.eye(2))
    with pytest.raises(ValueError, match="decisions do not sum to 1 at row 0"):
        problem.cost([[0.5, 0.6, 0.0]], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="decisions have 2 columns, but CVaRPortfolioProblem"):
        problem.cost([[0.5, 0.5]], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="has 2 parameters per row, but y has 3"):
        problem.solve(np.zeros((1, 3)))
