"""Knapsacks of which weights or the capacity are predicted, against all sets and HiGHS."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import LinearConstraint, milp

from dfl_sklearn.problems import FromContext, UncertainKnapsackProblem, _soft_knapsack

from ..contracts.context_contract import at_each_row, check_context_contract, table


def least_cost(values, weights, capacity, penalty):
    """The least cost of a row over all sets."""
    n = len(weights)
    sets = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    excess = np.maximum(sets @ weights - capacity, 0.0)
    return (penalty * excess - sets @ np.broadcast_to(values, n)).min()


def random_rows(rng, kind):
    """Values, weights (5, n), a capacity and a penalty, with ties and excess that pays."""
    n = int(rng.integers(1, 10))
    values = rng.integers(0, 6, n).astype(float) if rng.random() < 0.5 else rng.uniform(-1, 5, n)
    if kind == "whole":
        weights = rng.integers(0, 8, (5, n)).astype(float)
    else:
        weights = rng.uniform(0, 8, (5, n))
    if kind == "proportional":
        weights = np.tile(np.maximum(values, 0.0), (5, 1))
    capacity, penalty = rng.choice([0.0, 3.0, 7.5, 12.0, 30.0]), rng.choice([0.1, 0.5, 1.0, 2, 10])
    return values, weights, capacity, penalty


WAYS = {
    "listed": {"_MOST_LISTED": 16},
    "halves": {"_MOST_LISTED": 1, "_CORE": 2},
    "by weight": {"_MOST_LISTED": 0, "_MOST_HALVED": 0, "_CORE": 1},
    "mixed-integer": {"_MOST_LISTED": 0, "_MOST_HALVED": 0},
}


@pytest.mark.parametrize("way", WAYS)
def test_no_set_is_cheaper(way, monkeypatch):
    for name, value in WAYS[way].items():
        monkeypatch.setattr(_soft_knapsack, name, value)
    rng = np.random.default_rng(0)
    for trial in range(100 if way in ("listed", "halves") else 6):
        kind = "whole" if way == "by weight" else ("whole", "any", "proportional")[trial % 3]
        values, weights, capacity, penalty = random_rows(rng, kind)
        unit = 1.0 if way == "by weight" else None
        problem = UncertainKnapsackProblem(values, capacity, penalty=penalty, unit=unit)
        found = problem.cost(problem.solve(weights), weights)
        best = [least_cost(values, row, capacity, penalty) for row in weights]
        assert_allclose(found, best, rtol=1e-9, atol=1e-9)


def test_bounds_settle_most_items_and_no_wrong_one(monkeypatch):
    """Forty items against HiGHS; without the bounds each row would be far too many sets."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 20, (6, 40))
    values, capacity, penalty = rng.uniform(0, 10, 40), 90.0, 1.5
    seen, listed = [], _soft_knapsack._listed

    def spy(rows):
        seen.append(rows.weights.shape[1])
        return listed(rows)

    monkeypatch.setattr(_soft_knapsack, "_listed", spy)
    problem = UncertainKnapsackProblem(values, capacity, penalty=penalty)
    found = problem.cost(problem.solve(weights), weights)
    assert 0 < max(seen) <= 16
    for row, cost in zip(weights, found, strict=True):
        best = milp(
            np.append(-values, penalty),
            integrality=np.append(np.ones(40), 0),
            bounds=(0, np.append(np.ones(40), np.inf)),
            constraints=LinearConstraint(np.append(row, -1.0), ub=capacity),
            options={"mip_rel_gap": 0},
        )
        assert_allclose(cost, best.fun, rtol=1e-9)


def test_a_knapsack_a_little_too_full_is_best_where_the_excess_is_cheap():
    problem = UncertainKnapsackProblem([4.0, 3.0], 5.0, penalty=1.0)
    assert_array_equal(problem.solve([[4.0, 3.0], [4.0, 4.5]]), [[1, 1], [1, 0]])
    assert_allclose(problem.cost([[1.0, 1.0]], [[4.0, 3.0]]), [-5.0])
    assert_array_equal(problem.is_feasible([[1.0, 1.0]], [[4.0, 3.0], [2.0, 3.0]]), [False, True])


@pytest.mark.parametrize("weights", [[3, 1, 2, 2], [3.5, 1.2, 2.2, 0.0]])
def test_unknown_capacity(weights):
    rng = np.random.default_rng(0)
    values, capacity = rng.uniform(0, 5, 4), rng.uniform(0, 9, 30)
    problem = UncertainKnapsackProblem(values, weights=weights, penalty=2.0)
    found = problem.cost(problem.solve(capacity), capacity)
    best = [least_cost(values, np.array(weights), C, 2.0) for C in capacity]
    assert_allclose(found, best, rtol=1e-12)


def test_given_whole_weights_are_solved_by_weight(monkeypatch):
    for name in ("_MOST_LISTED", "_MOST_HALVED"):
        monkeypatch.setattr(_soft_knapsack, name, 0)
    monkeypatch.setattr(_soft_knapsack, "MixedSolver", None)
    rng = np.random.default_rng(0)
    weights, values = 3.0 * rng.integers(1, 9, 8), rng.uniform(0, 5, 8)
    capacity = rng.uniform(0, 40, 20)
    problem = UncertainKnapsackProblem(values, weights=weights, penalty=0.5)
    found = problem.cost(problem.solve(capacity), capacity)
    assert_allclose(found, [least_cost(values, weights, C, 0.5) for C in capacity], rtol=1e-12)


def test_both_unknown():
    rng = np.random.default_rng(0)
    y = np.column_stack([rng.uniform(0, 6, (20, 5)), rng.uniform(0, 12, 20)])
    problem = UncertainKnapsackProblem(np.arange(1.0, 6.0), penalty=3.0)
    found = problem.cost(problem.solve(y), y)
    best = [least_cost(problem.values, row[:-1], row[-1], 3.0) for row in y]
    assert_allclose(found, best, rtol=1e-12)
    with pytest.raises(ValueError, match="6 parameters per row, but y has 5"):
        problem.solve(y[:, :5])
    free = UncertainKnapsackProblem(2.0, penalty=3.0)  # as many items as y says
    assert free.solve(y).shape == (20, 5)
    with pytest.raises(ValueError, match="leaves none for the weights"):
        free.solve(y[:, :1])


def test_predictions_are_clipped_and_rounded():
    problem = UncertainKnapsackProblem([2.0, 3.0], 4.0, penalty=9.0)
    assert_array_equal(problem.solve([[-5.0, 5.0]]), [[1, 0]])  # no room is won by a negative one
    tight = UncertainKnapsackProblem([2.0, 3.0], 4.0, penalty=9.0, unit=2.0)
    assert_array_equal(problem.solve([[2.9, 2.0]]), [[0, 1]])
    assert_array_equal(tight.solve([[2.9, 2.0]]), [[1, 1]])
    capacity = UncertainKnapsackProblem([2.0, 3.0], weights=[0.0, 1.0], penalty=9.0)
    assert_array_equal(capacity.solve([-3.0]), [[1, 0]])


def test_zeros_leave_nothing_to_choose():
    """Items without a value stay, those without a weight are taken: none is listed."""
    problem = UncertainKnapsackProblem(np.r_[np.zeros(60), np.ones(60)], 1.0, penalty=1.0)
    assert_array_equal(problem.solve(np.zeros((2, 120))), np.tile(problem.values, (2, 1)))
    assert_array_equal(problem.solve(np.full((1, 120), 1e300)), np.zeros((1, 120)))


def test_a_decision_does_not_depend_on_the_rows_around():
    rng = np.random.default_rng(0)
    values = rng.integers(1, 5, 30).astype(float)  # many ties
    weights = rng.integers(1, 5, (300, 30)).astype(float)
    problem = UncertainKnapsackProblem(values, 20.0, penalty=4.0)
    together = problem.solve(weights)
    assert_array_equal(together[::-1], problem.solve(weights[::-1]))
    assert_array_equal(together[7:9], problem.solve(weights[7:9]))


def test_what_is_exceeded():
    problem = UncertainKnapsackProblem([2.0, 3.0], 4.0, penalty=9.0)
    z, y = np.array([[1.0, 1.0], [0.5, 0.0]]), np.array([[3.0, 2.0], [3.0, 2.0]])
    assert_allclose(problem.violation(z, y), [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    assert_allclose(problem.violation(z), [[0.0, 0.0], [0.5, 0.0]])
    assert_array_equal(problem.is_feasible(z), [True, False])
    excess, size = problem.uncertain_constraints(z, y)
    assert_allclose(excess, [[1.0], [-2.5]])
    assert_allclose(size, [[4.0], [4.0]])
    both = UncertainKnapsackProblem([2.0, 3.0], penalty=9.0)
    y = torch.tensor([[3.0, 2.0, 4.0]], requires_grad=True)
    excess, size = both.uncertain_constraints(torch.ones(1, 2), y)
    (slope,) = torch.autograd.grad(excess.sum(), y)
    assert_array_equal(slope, [[1.0, 1.0, -1.0]])
    assert size.tolist() == [[4.0]]


def test_numbers_of_each_row():
    rng = np.random.default_rng(0)
    context = table(v=rng.uniform(1, 4, 12), C=rng.uniform(2, 9, 12), p=rng.uniform(0.3, 3, 12))
    problem = UncertainKnapsackProblem(
        [FromContext("v"), 2.0, 3.0], FromContext("C"), penalty=FromContext("p")
    )
    y = rng.uniform(0, 6, (12, 3))
    check_context_contract(problem, y, context)
    alone, z = at_each_row(problem, context), problem.solve(y, context=context)
    expected = [p.violation(z[i : i + 1], y[i : i + 1])[0] for i, p in enumerate(alone)]
    assert_allclose(problem.violation(z, y, context=context), expected)
    expected = [p.is_feasible(z[i : i + 1], y[i : i + 1])[0] for i, p in enumerate(alone)]
    assert_array_equal(problem.is_feasible(z, y, context=context), expected)
    assert not all(expected)
    weights = UncertainKnapsackProblem([2.0, 3.0], weights=[FromContext(0), 1.0], penalty=2.0)
    assert_array_equal(weights.solve([2.0, 2.0], context=[1.0, 5.0]), [[1, 1], [0, 1]])
    for name, message in (("C", "capacity, read"), ("p", "penalty, read")):
        bad = context.assign(**{name: -1.0})
        with pytest.raises(ValueError, match=message):
            problem.solve(y, context=bad)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weights": [1.0, 2.0]}, "weights and capacity are both given"),
        ({"values": [[1.0]]}, "values must be a finite number or a 1-d sequence"),
        ({"values": ["a"]}, "values must be a finite number"),
        ({"values": [1.0, np.nan]}, "values must be a finite number"),
        ({"penalty": 0.0}, "penalty must be a number above 0"),
        ({"capacity": -1.0}, "capacity must be at least 0"),
        ({"capacity": None, "weights": [1.0]}, "weights have 1 entries and values 2"),
        ({"capacity": None, "weights": 1.0, "values": 1.0}, "both a single number"),
        ({"capacity": None, "weights": [-1.0, 1]}, r"weights\[0\] must be non-negative"),
        ({"capacity": None, "weights": [2.0, 1], "unit": 1.0}, "unit is for weights"),
        ({"unit": 0.0}, "unit must be a number above 0"),
        ({"unit": FromContext(0)}, "cannot read unit from the context"),
    ],
)
def test_arguments_that_make_no_sense(params, message):
    given = {"values": [1.0, 2.0], "capacity": 3.0, "penalty": 1.0} | params
    with pytest.raises(ValueError, match=message):
        UncertainKnapsackProblem(**given).solve([[1.0, 1.0]])


def test_observed_parameters_are_checked():
    problem = UncertainKnapsackProblem([1.0, 2.0], penalty=1.0, unit=0.5)
    problem.check_parameters([[0.0, 1.5, 3.3]])  # the capacity has no unit
    with pytest.raises(ValueError, match="y is a negative weight or capacity at row 1, column 2"):
        problem.check_parameters([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0]])
    with pytest.raises(ValueError, match=r"not a multiple of unit=0.5 at row 0, column 1: 1.7"):
        problem.check_parameters([[1.0, 1.7, 1.0]])
    moved, share = problem.project_parameters([[1.1, -2.0, 3.3], [1.0, 0.5, 2.2]])
    assert_allclose(moved, [[1.0, 0.0, 3.3], [1.0, 0.5, 2.2]])
    assert share == 0.5
    with pytest.raises(ValueError, match="decisions is not between 0 and 1 at row 0, column 1"):
        problem.cost([[0.0, 2.0]], [[1.0, 1.0, 1.0]])
    with pytest.raises(NotImplementedError, match="ScoreFunctionLoss"):
        problem.decision_layer()


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"capacity": 7}, "only the weights of the 3 items, as a capacity is given"),
        ({}, "weights of the 3 items, followed by the capacity"),
        ({"weights": [1, 2, 3]}, "1 parameter per row, .* y holds only the capacity"),
    ],
)
def test_what_the_columns_of_y_are(known, message):
    with pytest.raises(ValueError, match=message):
        UncertainKnapsackProblem([4, 5, 6], penalty=3, **known).solve([[1.0, 2.0]])


def test_numbers_of_columns_with_names():
    y = pd.DataFrame({"a": [3.0, 4.0], "b": [4.0, 5.0], "c": [5.0, 5.0]})
    problem = UncertainKnapsackProblem([4, 5, 6], 7, penalty=10)
    assert_array_equal(problem.solve(y), problem.solve(y.to_numpy()))


@pytest.mark.parametrize("known", ["capacity", "weights", "nothing"])
def test_the_items_of_scenarios_are_the_best_of_all_sets(known):
    rng = np.random.default_rng(3)
    values, weights = rng.uniform(1, 4, 6), rng.uniform(1, 3, 6)
    own = {"capacity": {"capacity": 6.0}, "weights": {"weights": weights}, "nothing": {}}[known]
    problem = UncertainKnapsackProblem(values, penalty=1.7, **own)
    d = {"capacity": 6, "weights": 1, "nothing": 7}[known]
    y, weight = rng.uniform(0.5, 4, (5, 9, d)), rng.dirichlet(np.ones(9), 5)
    every = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(float)
    assert problem.exact_scenarios
    z = problem.solve(y, scenario_weight=weight)
    for row, scenarios, share in zip(z, y, weight, strict=True):
        costs = [problem.cost(every, np.tile(each, (64, 1))) for each in scenarios]
        paid = share @ problem.cost(row[None], scenarios)
        assert_allclose(paid, (share @ np.array(costs)).min(), rtol=1e-9)
    alone = np.eye(9)[[3] * 5]
    assert_array_equal(problem.solve(y, scenario_weight=alone), problem.solve(y[:, 3]))


def test_many_items_are_chosen_for_the_mean_of_scenarios_with_a_warning():
    rng = np.random.default_rng(3)
    problem = UncertainKnapsackProblem(np.ones(17), 20.0, penalty=2.0)
    assert not problem.exact_scenarios
    y = rng.uniform(1, 3, (2, 4, 17))
    with pytest.warns(UserWarning, match="solved 2 of 2 rows for the mean"):
        z = problem.solve(y)
    assert_array_equal(z, problem.solve(y.mean(axis=1)))
