"""Decisions over scenarios for the worst weights near theirs."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from dfl_sklearn import TwoStageRegressor, decide
from dfl_sklearn.problems import CoverageProblem, FromContext, KnapsackProblem, NewsvendorProblem
from dfl_sklearn.robust import CVaR, KLBall
from dfl_sklearn.robust.decisions import best_costs
from dfl_sklearn.scenarios import ResidualScenarios, ScenarioModel, Scenarios

from .with_scenarios import Fixed, demands, problem, residuals


@pytest.fixture(scope="module")
def rows():
    return demands()


def test_risk_raises_the_orders_of_one_product(rows):
    X, y = rows
    orders = [
        TwoStageRegressor(residuals(), NewsvendorProblem(9, 1), risk=risk)
        .fit(X, y[:, 0])
        .decide(X[:10])
        for risk in (None, KLBall(0.0), CVaR(1.0), KLBall(0.1), CVaR(0.3))
    ]
    assert orders[0].shape == (10,)
    assert_array_equal(orders[0], orders[1])  # to the bit
    assert_array_equal(orders[0], orders[2])
    assert (orders[3] >= orders[0]).all()
    assert (orders[4] >= orders[0]).all()
    assert (orders[4] > orders[0]).any()


def test_gaps_of_whole_decisions_are_said():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), np.abs(20 + 8 * rng.normal(size=(50, 4)))
    model = TwoStageRegressor(
        ResidualScenarios(LinearRegression()), KnapsackProblem([1, 2, 3, 2], 4), risk=CVaR(0.2)
    ).fit(X, y)
    with pytest.warns(UserWarning, match=r"of row \d+ for CVaR is within \d+.\d% of the best"):
        decisions = model.decide(X)
    found = model.worst_case_decisions(X)
    assert_array_equal(found.decisions, decisions)
    assert found.gap.shape == found.worst_cost.shape == (50,)


def test_a_gap_that_nobody_knows_is_said():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.random((30, 6))
    model = TwoStageRegressor(
        ResidualScenarios(LinearRegression(), cv=2), CoverageProblem(1, 3), risk=CVaR(0.5)
    ).fit(X, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decisions = model.decide(X[:4])
    known = [str(each.message) for each in caught if "is not known: " in str(each.message)]
    assert len(known) == 1
    assert "decisions for CVaR" in known[0]
    assert "CoverageProblem does not solve for scenarios exactly" in known[0]
    assert decisions.shape == (4, 3)


class Unnormalised(ScenarioModel):
    def fit(self, X, y):
        self.n_outputs_, self.n_scenarios_, self.is_vector_ = 1, 4, True
        return self

    def _conditions(self, X):
        return (np.asarray(X),)

    def _scenarios(self, X):
        values = np.broadcast_to([[1.0], [2.0], [4.0], [9.0]], (len(X), 4, 1))
        return Scenarios(values, np.full((len(X), 4), 3.0))


def test_weights_of_scenarios_need_not_sum_to_one():
    X, y = np.zeros((5, 1)), np.arange(5.0)
    values = np.array([1.0, 2.0, 4.0, 9.0])
    model = TwoStageRegressor(Unnormalised(), NewsvendorProblem(1, 1), risk=CVaR(0.5)).fit(X, y)
    found = model.worst_case_decisions(X[:1])
    grid = np.linspace(0, 10, 1001)
    least = min(CVaR(0.5).worst_mean(np.abs(values - order)) for order in grid)
    assert_allclose(found.worst_cost, least)
    assert found.gap[0] < 1e-6


def test_a_risk_that_does_not_count_is_said(rows):
    X, y = rows
    cost = NewsvendorProblem(9, 1)
    model = TwoStageRegressor(residuals(), risk=CVaR(0.5)).fit(X, y[:, 0])
    with pytest.warns(UserWarning, match="decides for CVaR in its own problem alone"):
        found = decide(model, X, cost)
    assert_array_equal(found, TwoStageRegressor(residuals(), cost).fit(X, y[:, 0]).decide(X))


def test_a_risk_given_after_fit_needs_scenarios_too(rows):
    X, y = rows
    model = TwoStageRegressor(LinearRegression(), problem()).fit(X, y).set_params(risk=CVaR(0.5))
    for ask in (model.decide, model.worst_case_decisions):
        with pytest.raises(ValueError, match="risk= weights scenarios, and LinearRegression"):
            ask(X)


def worst_regret_by_cvxpy(values, weight, problem, alpha):
    """Return the least CVaR of the regrets of a shared capacity: an exact linear program."""
    cp = pytest.importorskip("cvxpy")
    z, level = cp.Variable(2, nonneg=True), cp.Variable()
    costs = sum(
        under * cp.pos(y - z[j]) + cp.pos(z[j] - y)
        for j, (under, y) in enumerate(zip([9.0, 4.0], values.T, strict=True))
    )
    regrets = costs - problem.cost(problem.solve(values), values)
    objective = level + weight @ cp.pos(regrets - level) / alpha
    program = cp.Problem(cp.Minimize(objective), [cp.sum(z) <= 65.0])
    return program.solve(solver=cp.CLARABEL)


def test_the_risk_of_regret_is_that_of_a_convex_program(rows):
    X, y = rows
    rng = np.random.default_rng(0)
    values, weight = rng.uniform(10, 60, (12, 2)), rng.dirichlet(np.ones(12))
    model = TwoStageRegressor(Fixed(values, weight), problem(), risk=CVaR(0.4), risk_of="regret")
    found = model.fit(X, y).worst_case_decisions(X[:2])
    expected = worst_regret_by_cvxpy(values, weight, problem(), 0.4)
    assert_allclose(found.worst_cost, expected, rtol=1e-5)
    assert found.gap.max() < 1e-6
    assert_array_equal(found.decisions, model.decide(X[:2]))
    costs = model.set_params(risk_of="cost").worst_case_decisions(X[:2])
    assert np.abs(costs.decisions - found.decisions).max() > 1.0  # another decision


@pytest.mark.parametrize("risk", [CVaR(0.3), KLBall(0.2)])
def test_the_risk_of_regret_of_one_product_and_its_context(risk):
    """Against a grid of orders, each row with a price of its own."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(1, 9, (40, 1)), rng.uniform(10, 40, 40)
    model = TwoStageRegressor(
        Fixed(y[:9, None]),
        NewsvendorProblem(FromContext(0), 1.0),
        context=[0],
        risk=risk,
        risk_of="regret",
    ).fit(X, y)
    found = model.worst_case_decisions(X[:4])
    grid = np.linspace(10, 40, 301)
    for price, worst in zip(X[:4, 0], found.worst_cost, strict=True):
        # The best order for a scenario alone is its demand, which costs nothing.
        over = grid[:, None] - y[:9]
        regret = np.maximum(over, 0) + price * np.maximum(-over, 0)
        best = min(risk.worst_mean(each) for each in regret)
        assert best - 0.05 * price <= worst <= best + 1e-6  # half a step of the grid


def test_regret_at_radius_0_is_the_plain_decision_to_the_bit(rows):
    X, y = rows
    plain = TwoStageRegressor(residuals(), problem()).fit(X, y).decide(X[:20])
    for risk in (None, KLBall(0.0), CVaR(1.0)):
        model = TwoStageRegressor(residuals(), problem(), risk=risk, risk_of="regret").fit(X, y)
        assert_array_equal(model.decide(X[:20]), plain)


def test_best_costs_of_scenarios_that_repeat(rows):
    _, y = rows
    values = y[np.random.default_rng(0).integers(0, 20, (5, 30))]
    expected = np.stack([problem().optimal_cost(each) for each in values])
    assert_array_equal(best_costs(problem(), values), expected)
