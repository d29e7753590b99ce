"""Decisions for the worst weights of scenarios against convex solvers and enumeration."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    KnapsackProblem,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    PortfolioProblem,
    RecourseLinearProgram,
)
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    KLBall,
    NominalSamples,
    TotalVariationBall,
    WassersteinBall,
)
from dfl_sklearn.robust.decisions import decide_for_worst

SETS = [CVaR(0.2), KLBall(0.2), ChiSquareBall(0.5), TotalVariationBall(0.2)]
UNDERAGE = np.array([9.0, 6.0, 4.0, 2.0])


def scenarios(n=2, S=40, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = 20 + rng.normal(size=(n, S, d)) * np.array([8.0, 4.0, 2.0, 6.0])[:d]
    return np.abs(y), rng.dirichlet(np.ones(S), n)


def risk_of(cp, ambiguity_set, loss, weight):
    """Return the largest mean loss as an expression of cvxpy, with its constraints."""
    shift = cp.Variable()
    if isinstance(ambiguity_set, CVaR):
        over = cp.sum(cp.multiply(weight, cp.pos(loss - shift)))
        return shift + over / ambiguity_set.alpha, []
    if isinstance(ambiguity_set, ChiSquareBall):
        over = cp.norm(cp.multiply(np.sqrt(weight), cp.pos(loss - shift)))
        return shift + np.sqrt(1 + ambiguity_set.radius) * over, []
    if isinstance(ambiguity_set, TotalVariationBall):
        over = cp.sum(cp.multiply(weight, cp.pos(loss - shift)))
        rho = ambiguity_set.radius
        return (1 - rho) * shift + over + rho * cp.max(loss), []
    temperature, n = cp.Variable(nonneg=True), len(weight)
    bound, mass = cp.Variable(n), cp.Variable(n)
    cone = cp.ExpCone(bound - shift, temperature * np.ones(n), mass)
    constraints = [bound >= loss, cone, weight @ mass <= temperature]
    return shift + temperature * ambiguity_set.radius, constraints


def newsvendor_by_cvxpy(cp, ambiguity_set, y, weight):
    z = cp.Variable(4, nonneg=True)
    loss = cp.hstack([UNDERAGE @ cp.pos(d - z) + cp.sum(cp.pos(z - d)) for d in y])
    risk, constraints = risk_of(cp, ambiguity_set, loss, weight)
    return cp.Problem(cp.Minimize(risk), [*constraints, cp.sum(z) <= 70])


def portfolio_by_cvxpy(cp, ambiguity_set, y, weight):
    z = cp.Variable(4, nonneg=True)
    aversion = PortfolioProblem(np.eye(4)).risk_aversion
    risk, constraints = risk_of(
        cp, ambiguity_set, -y @ z + 0.5 * aversion * cp.sum_squares(z), weight
    )
    return cp.Problem(cp.Minimize(risk), [*constraints, cp.sum(z) == 1])


def recourse_by_cvxpy(cp, ambiguity_set, y, weight):
    z, w = cp.Variable(2, nonneg=True), cp.Variable(len(y), nonneg=True)
    loss = 1.0 * z[0] + 1.2 * z[1] + 4.0 * w
    risk, constraints = risk_of(cp, ambiguity_set, loss, weight)
    enough = [w[s] >= y[s].sum() - cp.sum(z) for s in range(len(y))]
    return cp.Problem(cp.Minimize(risk), [*constraints, *enough, z[0] <= 12])


def recourse():
    from dfl_sklearn.problems import Predicted

    return RecourseLinearProgram(
        c=[1.0, 1.2],
        q=[4.0],
        T=[
            [1.0, 1.0],
        ],
        W=[[1.0]],
        h=[Predicted(0)],
        bounds=[(0, 12), (0, None)],
    )


@pytest.mark.parametrize("ambiguity_set", SETS)
@pytest.mark.parametrize("kind", ["newsvendor", "portfolio", "recourse"])
def test_the_worst_mean_cost_is_that_of_a_convex_solver(kind, ambiguity_set):
    cp = pytest.importorskip("cvxpy")
    y, weight = scenarios()
    if kind == "newsvendor":
        problem, oracle = (
            MultiProductNewsvendorProblem(UNDERAGE, 1, capacity=70.0),
            newsvendor_by_cvxpy,
        )
    elif kind == "portfolio":
        problem, oracle = PortfolioProblem(np.eye(4)), portfolio_by_cvxpy
    else:
        y = y[:, :, :1]
        problem, oracle = recourse(), recourse_by_cvxpy
    found = decide_for_worst(problem, y, weight, ambiguity_set)
    assert problem.is_feasible(found.decisions).all()
    assert found.gap.max() <= 1e-6
    for i in range(2):
        best = oracle(cp, ambiguity_set, y[i], weight[i]).solve(solver="CLARABEL")
        assert found.worst_cost[i] == pytest.approx(best, rel=2e-6)
        cost = problem.cost(np.repeat(found.decisions[i : i + 1], 40, axis=0), y[i])
        assert ambiguity_set.worst_mean(cost, weight[i]) == pytest.approx(found.worst_cost[i])


@pytest.mark.parametrize("ambiguity_set", SETS)
def test_whole_decisions_report_an_honest_gap(ambiguity_set):
    problem = KnapsackProblem([1, 2, 3, 2], 4)
    y, weight = scenarios(6)
    found = decide_for_worst(problem, y, weight, ambiguity_set)
    packs = np.array([z for z in product((0.0, 1.0), repeat=4) if np.dot(z, [1, 2, 3, 2]) <= 4])
    for i in range(6):
        best = min(ambiguity_set.worst_mean(-y[i] @ z, weight[i]) for z in packs)
        size = weight[i] @ np.abs(
            problem.cost(problem.solve(y[i : i + 1], scenario_weight=weight[i : i + 1]), y[i])
        )
        assert found.worst_cost[i] >= best - 1e-9
        assert found.worst_cost[i] - found.gap[i] * size <= best + 1e-9
    assert (found.gap > 0.01).any()  # the bound of a mixture, which no pack attains


def test_one_scenario_is_the_plain_decision():
    problem = MultiProductNewsvendorProblem(UNDERAGE, 1, capacity=70.0)
    y, _ = scenarios(3, 1)
    found = decide_for_worst(problem, y, np.ones((3, 1)), KLBall(0.3))
    assert_array_equal(found.decisions, problem.solve(y))
    assert_allclose(found.gap, 0, atol=1e-15)


def test_an_offset_turns_costs_into_regrets():
    problem = NewsvendorProblem([9.0], 1)
    rng = np.random.default_rng(0)
    y = rng.exponential(10, size=(1, 30, 1))
    weight = np.full((1, 30), 1 / 30)
    offset = 100 * rng.uniform(size=(1, 30))
    found = decide_for_worst(problem, y, weight, CVaR(0.3), offset=offset)
    grid = np.linspace(0, y.max(), 4001)
    worst = [
        CVaR(0.3).worst_mean(problem.cost(np.full((30, 1), z), y[0]) - offset[0]) for z in grid
    ]
    assert found.worst_cost[0] == pytest.approx(min(worst), abs=1e-2)
    assert found.worst_cost[0] <= min(worst) + 1e-9


def test_each_row_decides_under_its_own_context():
    problem = MultiProductNewsvendorProblem(UNDERAGE, 1, capacity=FromContext(0))
    y, weight = scenarios(2)
    found = decide_for_worst(problem, y, weight, CVaR(0.3), context=np.array([[30.0], [70.0]]))
    for i, capacity in enumerate((30.0, 70.0)):
        alone = MultiProductNewsvendorProblem(UNDERAGE, 1, capacity=capacity)
        expected = decide_for_worst(alone, y[i : i + 1], weight[i : i + 1], CVaR(0.3))
        assert_allclose(found.worst_cost[i], expected.worst_cost[0], rtol=2e-6)


def test_whether_decisions_can_be_mixed():
    assert LinearProgram(bounds=(0, 1)).convex_decisions
    assert not LinearProgram(bounds=(0, 1), integrality=1).convex_decisions
    assert not KnapsackProblem([1.0], 1).convex_decisions


@pytest.mark.parametrize("ambiguity_set", [WassersteinBall(0.1), NominalSamples(10)])
def test_sets_that_move_or_generate_rows_refuse(ambiguity_set):
    with pytest.raises(TypeError, match="cannot weight scenarios"):
        decide_for_worst(
            NewsvendorProblem(1, 1), np.ones((1, 2, 1)), np.ones((1, 2)), ambiguity_set
        )


class OnlyForMeans(NewsvendorProblem):
    """A newsvendor that solves for the mean of scenarios."""

    exact_scenarios = False

    def solve_scenarios(self, y, weight, context=None):
        return DecisionProblem.solve_scenarios(self, y, weight, context)


def test_a_problem_that_solves_for_means_says_so_once_and_knows_no_gap():
    y, weight = scenarios(2, 5, 1)
    with pytest.warns(UserWarning, match="for the mean of their scenarios") as said:
        found = decide_for_worst(OnlyForMeans(9, 1), y, weight, CVaR(0.3))
    assert len(said) == 1
    assert np.isnan(found.gap).all()
    cost = OnlyForMeans(9, 1).cost(np.repeat(found.decisions[:1], 5, axis=0), y[0])
    assert CVaR(0.3).worst_mean(cost, weight[0]) == pytest.approx(found.worst_cost[0])
