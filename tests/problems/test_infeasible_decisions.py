"""Decisions that what comes true makes infeasible: refused, or priced."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.problems import ConvexProgram, Predicted, RecourseLinearProgram

PRICE = np.array([1.0, 2.0])


def supply():
    """Buy for the least, at least what is asked for."""
    bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    limits = [cp.sum(bought) >= demand, bought <= 10]
    return cp.Problem(cp.Minimize(PRICE @ bought), limits), demand, bought


def sell():
    """Sell for the most, at most what there is, and all of the second good."""
    sold, stock = cp.Variable(2), cp.Parameter(2)
    limits = [sold[0] <= stock[0], sold[1] == stock[1], sold >= 0]
    return cp.Problem(cp.Maximize(PRICE @ sold), limits), stock, sold


def round_limit():
    bought, reach = cp.Variable(2), cp.Parameter()
    return cp.Problem(cp.Minimize(PRICE @ bought), [cp.SOC(reach, bought)]), reach, bought


def bounded():
    reach = cp.Parameter()
    bought = cp.Variable(2, bounds=[0, reach])
    return cp.Problem(cp.Minimize(PRICE @ bought), [cp.sum(bought) >= 1]), reach, bought


def test_a_missed_constraint_is_an_error_that_names_it():
    problem = ConvexProgram(supply)
    decisions = problem.solve([4.0, 5.0])
    assert_allclose(problem.cost(decisions, [4.0, 5.0]), [4.0, 5.0])
    with pytest.raises(ValueError, match=r"row 1 misses .* by 2, and has no cost.*penalty="):
        problem.cost(decisions, [4.0, 7.0])
    with pytest.raises(ValueError, match=r"row 0 misses .* declared to be by 1"):
        problem.cost([[-1.0, 5.0]], [4.0])
    with pytest.raises(ValueError, match=r"row 0 misses .* by 2"):
        problem.cost(torch.tensor([[12.0, 0.0]]).double(), torch.tensor([[4.0]]).double())
    X = np.arange(6.0)[:, None]
    y = np.array([1.0, 3, 2, 4, 3, 5])
    model = TwoStageRegressor(LinearRegression(), problem).fit(X, y)
    with pytest.raises(ValueError, match="row 1 misses"):
        model.score(X, y)


def test_violation_and_is_feasible_under_what_came_true():
    problem = ConvexProgram(supply)
    decisions = [[4.0, 1.0], [12.0, -1.0]]
    assert_array_equal(problem.violation(decisions, [7.0, 2.0]), [[2, 0, 0, 0, 0], [0, 2, 0, 0, 1]])
    assert_array_equal(problem.violation(decisions), [[0, 0, 0, 0], [2, 0, 0, 1]])
    assert problem.is_feasible(decisions, [7.0, 2.0]).tolist() == [False, False]
    assert problem.is_feasible(decisions, [5.0, 2.0]).tolist() == [True, False]
    assert problem.is_feasible(decisions).tolist() == [True, False]
    priced = ConvexProgram(supply, penalty=9.0)
    assert_array_equal(priced.violation(decisions, [7.0, 2.0])[0], [2, 0, 0, 0, 0])
    assert priced.is_feasible(decisions, [7.0, 2.0]).tolist() == [False, False]


@pytest.mark.parametrize("penalty", [9.0, 1.5])
def test_a_price_for_what_is_missing(penalty):
    """At 1.5 the second good is dearer than to be short."""
    problem = ConvexProgram(supply, penalty=penalty)
    demand = np.array([4.0, 13.0, 25.0])
    bought = problem.solve(demand)
    second = np.clip(demand - 10, 0, 10) * (penalty > 2)
    assert_allclose(bought, np.column_stack([np.minimum(demand, 10), second]), atol=1e-9)
    short = np.maximum(demand - bought.sum(axis=1), 0)
    assert_allclose(problem.cost(bought, demand), bought @ PRICE + penalty * short)
    others = np.array([[1.0, 1.0], [10.0, 10.0], [0.0, 0.0]])
    short = np.maximum(demand - others.sum(axis=1), 0)
    assert_allclose(problem.cost(others, demand), others @ PRICE + penalty * short)
    z, y = (
        torch.tensor(others, requires_grad=True),
        torch.tensor(demand[:, None], requires_grad=True),
    )
    in_z, in_y = torch.autograd.grad(problem.cost(z, y).sum(), [z, y])
    is_short = (short > 0)[:, None]
    assert_allclose(in_z, PRICE - penalty * is_short)
    assert_allclose(in_y, penalty * is_short)
    with pytest.raises(ValueError, match=r"row 0 misses .* <= 10"):
        problem.cost([[12.0, 0.0]], [4.0])  # what is not predicted has no price


def test_gains_and_equations():
    problem = ConvexProgram(sell, penalty=5.0)
    stock = np.array([[3.0, 4.0]])
    assert_allclose(problem.solve(stock), [[3, 4]], atol=1e-9)
    assert_allclose(problem.cost([[4.0, 4.0]], stock), [-12 + 5])
    assert_allclose(problem.cost([[3.0, 2.0]], stock), [-7 + 10])
    assert_allclose(problem.cost([[3.0, 5.0]], stock), [-13 + 5])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_training_learns_to_be_on_the_safe_side():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = 8 + X @ [1.0, -1.0] + rng.normal(size=80)
    problem = ConvexProgram(supply, penalty=9.0)
    squared = TwoStageRegressor(LinearRegression(), problem).fit(X, y)
    params = {"hidden_layer_sizes": (), "max_iter": 12, "learning_rate_init": 0.1}
    model = DFLRegressor(problem, random_state=0, **params).fit(X, y)
    assert model.score(X, y) > squared.score(X, y) + 0.2
    assert (model.predict(X) > squared.predict(X)).mean() > 0.9
    missing = [problem.violation(each.decide(X), y)[:, 0] > 1e-6 for each in (squared, model)]
    assert missing[1].mean() < 0.3 < missing[0].mean()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (round_limit, "is neither: write it as an inequality"),
        (bounded, "cannot price the bounds of the variable"),
    ],
)
def test_what_has_no_price(build, message):
    with pytest.raises(ValueError, match=message):
        ConvexProgram(build, penalty=1.0).solve([2.0])


def known():
    bought, price = cp.Variable(2), cp.Parameter(2)
    return cp.Problem(cp.Minimize(price @ bought), [bought >= 0]), price, bought


def test_penalties_that_make_no_sense():
    with pytest.raises(ValueError, match="penalty= has nothing to price"):
        ConvexProgram(known, penalty=1.0).solve([[2.0, 1.0]])
    with pytest.raises(ValueError, match="penalty must be a number above 0"):
        ConvexProgram(supply, penalty=0.0).solve([2.0])


def test_what_the_constraints_on_predictions_are_exceeded_by():
    problem = ConvexProgram(sell)
    sold, stock = np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[2.0, 6.0], [5.0, 1.0]])
    excess, size = problem.uncertain_constraints(sold, stock)
    assert_array_equal(np.sort(excess, axis=1), [[-2, 1, 2], [-4, 0, 0]])
    assert_array_equal(np.sort(size, axis=1), [[2, 6, 6], [1, 1, 5]])
    z, y = torch.tensor(sold, requires_grad=True), torch.tensor(stock, requires_grad=True)
    over, _ = problem.uncertain_constraints(z, y)
    in_z, in_y = torch.autograd.grad(over.relu().sum(), [z, y])
    assert_array_equal(in_z, [[1, -1], [0, 0]])
    assert_array_equal(in_y, [[-1, 1], [0, 0]])
    over, _ = ConvexProgram(supply, penalty=2.0).uncertain_constraints(sold, stock[:, :1])
    assert_array_equal(over, [[-5.0], [3.0]])
    with pytest.raises(ValueError, match="no constraints that depend on what is predicted"):
        ConvexProgram(known).uncertain_constraints(sold, stock)


@pytest.mark.parametrize(
    ("z", "said"),
    [
        ([3.0, 3.0], "misses row 0 of A_ub by 1, and has no cost. Nothing that is predicted"),
        ([-1.0, 0.0], r"misses bounds\[0\] by 1, and has no cost. Nothing that is predicted"),
        ([0.0, 1.5], "misses row 1 of A_ub by 0.5, and has no cost. Where the outcome can"),
        ([1.0, 4.5], "misses row 0 of A_ub by 0.5, and has no cost. Nothing that is predicted"),
    ],
)
def test_a_plan_beyond_a_known_limit_is_not_made_up_for_by_recourse(z, said):
    """Where it is beyond a predicted one as well, by more even, the known one is named."""
    problem = RecourseLinearProgram(
        c=[1.0, 1.0], q=[9.0], T=[[1.0, 1.0]], W=[[1.0]], h=[2.0],
        A_ub=[[1.0, 1.0], [0.0, 1.0]], b_ub=[5.0, Predicted(0)],
    )  # fmt: skip
    with pytest.raises(ValueError, match=said):
        problem.cost([z], [[1.0]])
