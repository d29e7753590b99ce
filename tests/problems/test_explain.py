"""Slacks and shadow prices, against differences of the least cost in right-hand sides."""

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import (
    ConvexProgram,
    FromContext,
    KnapsackProblem,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    Predicted,
    RecourseLinearProgram,
)

RNG = np.random.default_rng(0)
STEP = 1e-4
LIMITS = {
    "A_ub": RNG.uniform(0.2, 1, (3, 5)),
    "b_ub": np.array([2.0, 3.0, 2.5]),
    "A_eq": RNG.uniform(0.5, 1, (1, 5)),
    "b_eq": np.array([1.7]),
    "bounds": [(0.1, 2.0), (0.0, 0.5), (-1.0, 3.0), (0.0, 0.4), (0.0, None)],
}
COSTS = RNG.normal(size=(6, 5))


def moved(numbers, name, i, by):
    """The same numbers, one of them moved."""
    values = [list(each) if np.ndim(each) else each for each in numbers[name]]
    if name == "bounds":
        values[i[0]][i[1]] += by
    else:
        values[i] += by
    return numbers | {name: values}


def slope(make, numbers, name, i, y):
    """The slope of the least cost in a number."""
    ends = [make(**moved(numbers, name, i, by)).optimal_cost(y) for by in (STEP, -STEP)]
    return (ends[0] - ends[1]) / (2 * STEP)


def prices_in(problem, y, **context):
    """The shadow prices of each constraint as columns, and the slacks."""
    table = problem.explain(problem.solve(y, **context), y, **context)
    assert list(table) == ["row", "constraint", "slack", "shadow_price"]
    assert (table["slack"] > -1e-7).all()
    # What does not bind is worth nothing.
    assert (np.minimum(table["slack"], table["shadow_price"].abs()) < 1e-6).all()
    return table.pivot(index="row", columns="constraint", values="shadow_price")


@pytest.mark.parametrize("sense", ["min", "max"])
def test_a_linear_program(sense):
    prices = prices_in(LinearProgram(sense=sense, **LIMITS), COSTS)

    def make(**numbers):
        return LinearProgram(sense=sense, **numbers)

    for i in range(3):
        expected = slope(make, LIMITS, "b_ub", i, COSTS)
        assert_allclose(prices[f"row {i} of A_ub"], expected, atol=1e-7)
    assert_allclose(prices["row 0 of A_eq"], slope(make, LIMITS, "b_eq", 0, COSTS), atol=1e-7)
    for i in range(4):
        for end, name in enumerate(("lower", "upper")):
            expected = slope(make, LIMITS, "bounds", (i, end), COSTS)
            assert_allclose(prices[f"{name} bound of decision {i}"], expected, atol=1e-7)
    assert "upper bound of decision 4" not in prices
    assert (prices.abs() > 1e-3).any().sum() >= 5  # several of them bind somewhere


def test_right_hand_sides_and_matrices_that_are_read_from_the_context():
    y = COSTS[:4]
    sides = np.random.default_rng(1).uniform(1.5, 3, (4, 3))
    marked = [FromContext(j) for j in range(3)]
    prices = prices_in(LinearProgram(**LIMITS | {"b_ub": marked}), y, context=sides)
    for i in range(4):
        alone = prices_in(LinearProgram(**LIMITS | {"b_ub": sides[i]}), y[i : i + 1])
        assert_allclose(prices.loc[i], alone.loc[0], atol=1e-9)
    matrix = LIMITS["A_ub"].tolist()
    known = np.array([[matrix[0][0]], [0.9], [0.9], [0.3]])
    own = [[FromContext(0), *matrix[0][1:]], *matrix[1:]]
    prices = prices_in(LinearProgram(**LIMITS | {"A_ub": own}), y, context=known)
    for i in range(4):
        there = [[known[i, 0], *matrix[0][1:]], *matrix[1:]]
        alone = prices_in(LinearProgram(**LIMITS | {"A_ub": there}), y[i : i + 1])
        assert_allclose(prices.loc[i], alone.loc[0], atol=1e-9)


def test_a_knapsack_has_the_prices_of_the_relaxed_one():
    weights, y = [3.0, 4.0, 5.0, 1.0], np.abs(COSTS[:, :4])
    knapsack, relaxed = (
        KnapsackProblem(weights, 7),
        LinearProgram([weights], [7.0], bounds=(0, 1), sense="max"),
    )
    table = knapsack.explain(knapsack.solve(y), y)
    capacity = table[table["constraint"] == "capacity"]
    expected = prices_in(relaxed, y)["row 0 of A_ub"]
    assert_allclose(capacity["shadow_price"], expected)
    assert_allclose(capacity["slack"], 7 - knapsack.solve(y) @ weights)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_the_capacity_of_several_products(nonnegative):
    y = np.random.default_rng(2).uniform(-1 + nonnegative, 8, (20, 3))
    capacity = np.random.default_rng(3).uniform(1, 12, 20)

    def make(**numbers):
        return MultiProductNewsvendorProblem(
            [9, 1, 4], 1.0, usage=[1, 2, 0.5], nonnegative=nonnegative, **numbers
        )

    problem = make(capacity=FromContext(0))
    prices = prices_in(problem, y, context=capacity)["capacity"]
    ends = [problem.optimal_cost(y, context=capacity + by) for by in (STEP, -STEP)]
    assert_allclose(prices, (ends[0] - ends[1]) / (2 * STEP), atol=1e-7)
    assert 0 < (prices < 0).sum() < 20


NUMBERS = {
    "c": [1.0, 1.3, 0.4],
    "q": [5.0, 4.0, 4.5],
    "W": [[1.0, 0.0, 0.4], [0.0, 1.0, 0.7]],
    "T": [[Predicted(1), 0.0, 0.3], [0.0, 1.0, 0.2]],
    "A_ub": [[1.0, 1.0, 1.0]],
    "b_ub": [7.0],
    "bounds": [(0.0, 3.0), (0.0, 3.0), (0.5, 5.0)],
}


def test_a_plan_with_recourse():
    y = np.random.default_rng(4).uniform([1, 0.7], [9, 1.3], (6, 2))

    def make(**numbers):
        return RecourseLinearProgram(**numbers)

    numbers = NUMBERS | {"h": [Predicted(0), 5.0]}
    prices = prices_in(make(**numbers), y)
    assert_allclose(prices["row 0 of A_ub"], slope(make, numbers, "b_ub", 0, y), atol=1e-6)
    assert_allclose(prices["row 1 of W"], slope(make, numbers, "h", 1, y), atol=1e-6)
    ends = [make(**numbers).optimal_cost(y + [by, 0]) for by in (STEP, -STEP)]
    assert_allclose(prices["row 0 of W"], (ends[0] - ends[1]) / (2 * STEP), atol=1e-6)
    for i in range(3):
        for end, name in enumerate(("lower", "upper")):
            expected = slope(make, numbers, "bounds", (i, end), y)
            assert_allclose(prices[f"{name} bound of decision {i}"], expected, atol=1e-6)
    assert (prices.abs() > 1e-3).any().sum() >= 4


def test_slacks_are_those_of_the_decision_given():
    problem = RecourseLinearProgram([2.0], [5.0], [[1.0]], [[1.0]], [Predicted(0)], bounds=(0, 8))
    table = problem.explain([3.0, 9.0, 6.0], [5.0, 5.0, 9.0])
    need, upper = (
        table[table["constraint"] == name] for name in ("row 0 of W", "upper bound of decision 0")
    )
    assert_allclose(need["slack"], [0.0, 4.0, 0.0], atol=1e-9)
    assert_allclose(need["shadow_price"], [2.0, 2.0, 5.0])
    assert_allclose(upper["slack"], [5.0, -1.0, 2.0])
    assert_allclose(upper["shadow_price"], [0.0, 0.0, -3.0])


def supplied(limit=4.0, total=6.0, sense=cp.Minimize, square=0.0):
    def build():
        order, late, demand = cp.Variable(2), cp.Variable(2, nonneg=True), cp.Parameter(2)
        cost = order @ [1, 1.2] + 3 * cp.sum(late) + square * cp.sum_squares(order)
        limits = [order >= 0, order + late >= demand, order <= limit, cp.sum(order) == total]
        objective = sense(cost if sense is cp.Minimize else -cost)
        return cp.Problem(objective, limits), demand, order

    return build


@pytest.mark.parametrize("square", [0.0, 0.1])
@pytest.mark.parametrize("sense", [cp.Minimize, cp.Maximize])
def test_a_program_in_cvxpy(sense, square):
    kinds = {"sense": sense, "square": square}
    problem = ConvexProgram(supplied(**kinds))
    y = np.array([[1.0, 3.0], [5.0, 1.5], [3.0, 4.5]])
    table = problem.explain(problem.solve(y), y)
    assert (table["slack"] > -1e-6).all()
    slack, prices = (
        table.pivot(index="row", columns="constraint", values=each)
        for each in ("slack", "shadow_price")
    )
    assert prices.shape == (3, 7)

    def differences(numbers):
        ends = [
            ConvexProgram(supplied(**numbers(by), **kinds)).optimal_cost(y) for by in (STEP, -STEP)
        ]
        return (ends[0] - ends[1]) / (2 * STEP)

    total = prices[[each for each in prices if "Sum" in each]]
    assert_allclose(total.to_numpy()[:, 0], differences(lambda by: {"total": 6.0 + by}), atol=1e-5)
    limit = prices[[each for each in prices if "constraint 2[0]" in each]].to_numpy()[:, 0]
    expected = differences(lambda by: {"limit": np.array([4.0 + by, 4.0])})
    assert_allclose(limit, expected, atol=1e-5)
    demand = prices[[each for each in prices if "param" in each]].to_numpy()
    for j in range(2):
        move = STEP * np.eye(2)[j]
        ends = [problem.optimal_cost(y + by) for by in (move, -move)]
        # A unit more of the left-hand side, which is the demand.
        assert_allclose(-demand[:, j], (ends[0] - ends[1]) / (2 * STEP), atol=1e-5)
    assert (np.abs(demand) > 0.1).any()
    assert slack.to_numpy().max() > 0.1


def test_a_price_for_what_is_missed():
    def supply():
        bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
        limits = [cp.sum(bought) >= demand, bought <= 10]
        return cp.Problem(cp.Minimize(bought @ [1, 20]), limits), demand, bought

    problem = ConvexProgram(supply, penalty=9.0)
    y = np.array([[4.0], [13.0]])
    table = problem.explain([[4.0, 0.0], [10.0, 0.0]], y)
    first = table[table.groupby("row").cumcount() == 0]
    assert_allclose(first["slack"], [0.0, -3.0], atol=1e-7)
    assert_allclose(first["shadow_price"], [-1.0, -9.0], atol=1e-6)


def test_other_problems_say_that_they_know_none():
    with pytest.raises(NotImplementedError, match="NewsvendorProblem knows no shadow prices"):
        NewsvendorProblem(9, 1).explain([1.0], [2.0])

    def cone():
        z, c = cp.Variable(2), cp.Parameter(2)
        return cp.Problem(cp.Minimize(cp.norm(z - c)), [cp.sum(z) == 1]), c, z

    with pytest.raises(NotImplementedError, match="ConvexProgram has shadow prices for linear"):
        ConvexProgram(cone).explain([[0.5, 0.5]], [[1.0, 2.0]])


def test_wrong_input_is_refused():
    problem = LinearProgram(bounds=(0, 1))
    with pytest.raises(ValueError, match="decisions is not finite"):
        problem.explain([[np.nan, 1.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="decisions have 3 columns"):
        problem.explain(np.zeros((1, 3)), [[1.0, 2.0]])
    assert problem.explain(np.zeros((0, 2)), np.zeros((0, 2))).empty


def test_rows_are_numbered_and_a_single_decision_is_for_all():
    problem = LinearProgram([[1.0, 1.0]], [1.0], bounds=(0, 5))
    table = problem.explain([[0.2, 0.2]], [[-1.0, -2.0], [1.0, -3.0]])
    assert isinstance(table, pd.DataFrame)
    first = table[table["constraint"] == "row 0 of A_ub"]
    assert_array_equal(first["row"], [0, 1])
    assert_allclose(first["slack"], 0.6)
    assert_allclose(first["shadow_price"], [-2.0, -3.0])
