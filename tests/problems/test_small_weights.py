"""Decisions over scenarios with next to no weight, against SciPy and cvxpy without them."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from dfl_sklearn.problems import ConvexProgram, Predicted, RecourseLinearProgram
from dfl_sklearn.problems._small_weights import decide_with_small_weights

# A mill buys two materials, and makes three products of them once demand is known.
PRICE, REVENUE, LABOUR = np.array([2.0, 3.1]), np.array([11.0, 9.0, 14.0]), np.array([1, 1.2, 1.5])
USE = np.array([[1.0, 0.5, 2.0], [0.5, 1.3, 0.7]])
# The recourse: made, made overtime, sold, missing.
COST = np.concatenate([np.zeros(3), 2.3 * LABOUR, -REVENUE, REVENUE + 5])
NONE, ONE = np.zeros((3, 3)), np.eye(3)
W = np.vstack(
    [
        np.hstack([-USE, -USE, np.zeros((2, 6))]),
        np.concatenate([-LABOUR, np.zeros(9)]),
        np.concatenate([np.zeros(3), -LABOUR, np.zeros(6)]),
        np.hstack([ONE, ONE, -ONE, NONE]),
        np.hstack([NONE, NONE, -ONE, ONE]),
    ]
)
T = np.vstack([np.eye(2), np.zeros((8, 2))])
RNG = np.random.default_rng(0)
DEMANDS = np.abs([9.0, 7.0, 5.0] + 4 * RNG.normal(size=(30, 3)))


def mill():
    h = [0, 0, -35, -10, 0, 0, 0, *(-1 * Predicted(j) for j in range(3))]
    return RecourseLinearProgram(PRICE, COST, T, W, h, A_ub=[PRICE], b_ub=[90.0])


def mill_in_cvxpy():
    buy, demand = cp.Variable(2, nonneg=True), cp.Parameter(3)
    made, over, sold, missing = (cp.Variable(3, nonneg=True) for _ in range(4))
    limits = [PRICE @ buy <= 90, USE @ (made + over) <= buy, LABOUR @ made <= 35]
    limits += [LABOUR @ over <= 10, sold <= made + over, sold - missing <= demand]
    later = 2.3 * LABOUR @ over - REVENUE @ sold + (REVENUE + 5) @ missing
    return cp.Problem(cp.Minimize(PRICE @ buy + later), limits), demand, buy


def by_scipy(weight, plan=None):
    """Return the least mean cost over demands, of one plan or of all."""
    S, n = len(weight), len(COST)
    rows = np.hstack([-np.tile(T, (S, 1)), np.kron(np.eye(S), -W)])
    sides = np.tile(np.append([0, 0, -35, -10, 0, 0, 0], [0, 0, 0]), (S, 1)).astype(float)
    sides[:, -3:] = -DEMANDS[:S]
    rows = np.vstack([rows, np.append(PRICE, np.zeros(S * n))])
    ends = [(0, None)] * 2 if plan is None else [(each, each) for each in plan]
    found = linprog(
        np.append(PRICE, np.outer(weight, COST)),
        A_ub=rows,
        b_ub=np.append(-sides.ravel(), 90.0 if plan is None else 1e9),
        bounds=[*ends, *[(0, None)] * (S * n)],
    )
    return found.fun


def weights(kind):
    S = len(DEMANDS)
    if kind == "dirichlet":
        return np.random.default_rng(1).dirichlet(np.full(S, 0.05))
    if kind == "kernel":
        return np.exp(-np.linspace(0, 60, S))
    return np.where(np.arange(S) < 5, 1.0, float(kind))


@pytest.mark.parametrize(
    "kind", ["1e-30", "1e-18", "1e-100", "1e-9", "1e-7", "dirichlet", "kernel"]
)
@pytest.mark.parametrize("problem", [mill(), ConvexProgram(mill_in_cvxpy)], ids=["mill", "cvxpy"])
def test_tiny_weights_are_solved_as_well_as_others(problem, kind):
    weight = weights(kind) / weights(kind).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        plan = problem.solve(DEMANDS[None], scenario_weight=weight)[0]
    counts = np.where(weight < 1e-14, 0.0, weight)
    assert_allclose(by_scipy(counts, np.maximum(plan, 0)), by_scipy(counts), rtol=1e-7)


CURVED = {
    "quadratic": lambda late: 3 * cp.sum_squares(late) + cp.sum(late),
    "cone": lambda late: 3 * cp.norm(late),
    "whole numbers": lambda late: late @ [3.0, 2.5],
}


@pytest.mark.parametrize("kind", CURVED)
def test_tiny_weights_of_other_programs(kind):
    def build():
        order = cp.Variable(2, nonneg=True, integer=kind == "whole numbers")
        late, demand = cp.Variable(2, nonneg=True), cp.Parameter(2)
        limits = [order + late >= demand, order <= 6]
        return cp.Problem(cp.Minimize(cp.sum(order) + CURVED[kind](late)), limits), demand, order

    y, problem = RNG.uniform(0, 6, (12, 2)), ConvexProgram(build)
    none, tiny = (np.where(np.arange(12) < 4, 0.25, each) for each in (0.0, 1e-25))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        plans = [problem.solve(y[None], scenario_weight=each)[0] for each in (none, tiny)]
    costs = [problem.cost(np.tile(each, (4, 1)), y[:4]).mean() for each in plans]
    assert_allclose(costs[1], costs[0], rtol=1e-7)


@pytest.mark.parametrize("in_cvxpy", [False, True])
def test_constraints_count_at_any_weight_but_0(in_cvxpy):
    def build():
        bought, demand = cp.Variable(nonneg=True), cp.Parameter()
        return cp.Problem(cp.Minimize(2 * bought), [bought >= demand]), demand, bought

    problem = RecourseLinearProgram(
        [2.0], [1.0], [[0.0]], [[1.0]], [0.0], A_ub=[[-1.0]], b_ub=[-1 * Predicted(0)]
    )
    problem = ConvexProgram(build) if in_cvxpy else problem
    y = np.array([[[1.0], [2.0], [7.0]]])
    plans = [problem.solve(y, scenario_weight=[0.5, 0.5, each])[0, 0] for each in (0, 1e-30)]
    assert_allclose(plans, [2.0, 7.0], rtol=1e-9)


def test_a_tiny_weight_of_a_huge_cost_counts():
    problem = RecourseLinearProgram([2.0], [Predicted(1)], [[1.0]], [[1.0]], [Predicted(0)])
    y = np.array([[[1.0, 5.0], [10.0, 1e14]]])
    plans = [problem.solve(y, scenario_weight=[1.0, each])[0, 0] for each in (1e-13, 1e-15)]
    assert_allclose(plans, [10.0, 1.0])


def test_scenarios_of_weight_0_are_as_if_absent():
    for problem in (mill(), ConvexProgram(mill_in_cvxpy)):
        weight = np.where(np.arange(30) % 2, 1.0, 0.0)
        both = problem.solve(DEMANDS[None], scenario_weight=weight)
        assert_array_equal(both, problem.solve(DEMANDS[None, 1::2]))


def test_an_error_names_the_weights_where_they_may_be_the_cause():
    def decide(weight):
        raise RuntimeError("No decision could be proven best.")

    for weight, names in ((np.array([1.0, 1e-20]), True), (np.array([1.0, 0.5]), False)):
        with pytest.raises(RuntimeError, match="could be proven") as caught:
            decide_with_small_weights(mill(), DEMANDS[:2], weight, None, 3, decide)
        assert ("row 3 have weights from 1e-20 to 1" in str(caught.value)) == names
