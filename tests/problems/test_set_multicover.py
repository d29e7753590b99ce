"""Sets for a predicted demand: all whole numbers listed, cvxpy for the layer, what goes wrong."""

from itertools import product

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from dfl_sklearn.datasets import make_set_multicover, set_multicover_numbers
from dfl_sklearn.problems import SetMultiCoverProblem


def least_cost(A, cost, penalty, upper, y):
    """The least cost of a row over all whole numbers of sets up to five."""
    z = np.array(list(product(*(range(int(min(5, most)) + 1) for most in upper))), dtype=float)
    missing = np.maximum(y - z @ A.T, 0.0)
    return (z @ cost + missing @ penalty).min()


def random_cover(rng):
    m, n = rng.integers(1, 4, 2)
    A = rng.choice([0.0, 1.0, 1.0, 2.0, 0.5], (m, n))
    cost, penalty = rng.uniform(1, 5, n), rng.choice([0.3, 3.0, 20.0], m)
    return A, cost, penalty, rng.choice([0.0, 1.0, 2.5, np.inf, np.inf], n)


def test_no_whole_numbers_are_cheaper():
    rng = np.random.default_rng(0)
    for _ in range(12):
        numbers = A, cost, penalty, upper = random_cover(rng)
        y = rng.choice([0.0, 1.0, 2.0, 1.7], (2, len(A)))
        bounds = {} if np.isinf(upper).all() else {"upper": np.minimum(upper, 1e6)}
        problem = SetMultiCoverProblem(A, cost, penalty, **bounds)
        z = problem.solve(y)
        assert problem.is_feasible(z).all()
        best = [least_cost(*numbers, row) for row in y]
        assert_allclose(problem.cost(z, y), best, rtol=1e-9, atol=1e-9)


def test_rows_may_repeat_and_negative_demand_is_none():
    problem = SetMultiCoverProblem([[1, 0, 1], [0, 1, 1]], [3, 3, 4], 10)
    y = np.array([[2.0, 2.0], [3.0, -4.0], [2.0, 2.0], [-1.0, -1.0]])
    assert_array_equal(problem.solve(y), [[0, 0, 2], [3, 0, 0], [0, 0, 2], [0, 0, 0]])
    shared = problem.set_params(n_jobs=2).solve(y)
    assert_array_equal(shared, [[0, 0, 2], [3, 0, 0], [0, 0, 2], [0, 0, 0]])


def test_what_is_missing_is_paid_where_that_is_cheaper():
    problem = SetMultiCoverProblem([[3.0]], 5.0, penalty=2.0)
    assert_array_equal(problem.solve([3.0, 4.0, 6.0]), [1, 1, 2])
    z, y = np.array([[1.0]]), np.array([[4.0], [3.0], [0.0]])
    assert_allclose(problem.cost(z, y), [7.0, 5.0, 5.0])
    assert_array_equal(problem.is_feasible(z, y), [False, True, True])
    assert_allclose(problem.violation([[1.0], [1.5], [1.0]], y), [[1.0, 0], [0, 0.5], [0, 0]])
    assert_allclose(problem.violation([[-1.0]]), [[1.0]])
    excess, size = problem.uncertain_constraints(np.repeat(z, 3, axis=0), y)
    assert_allclose(excess, y - 3)
    assert_allclose(size, y)


@pytest.mark.parametrize("gamma", [1e-3, 0.4])
def test_the_layer_is_the_relaxed_program(gamma):
    rng = np.random.default_rng(0)
    for _ in range(4):
        A, cost, penalty, upper = random_cover(rng)
        problem = SetMultiCoverProblem(A, cost, penalty, upper=np.minimum(upper, 1e6))
        y = rng.uniform(0, 4, (3, len(A)))
        found = problem.decision_layer(gamma)(torch.as_tensor(y)).numpy()
        upper = np.minimum(np.floor(upper), 1e6)
        for row, z in zip(y, found, strict=True):
            variable = cp.Variable(len(cost), nonneg=True)
            value = cost @ variable + penalty @ cp.pos(row - A @ variable)
            value += gamma * cp.sum_squares(variable)
            cp.Problem(cp.Minimize(value), [variable <= upper]).solve(solver="CLARABEL")
            assert_allclose(z, variable.value, atol=2e-4)


def test_what_is_learnt_through_the_layer_is_the_critical_quantile():
    """One item, one set: a constant prediction is the newsvendor's order."""
    demand = torch.linspace(2.0, 12.0, 41, dtype=torch.float64)[:, None]
    problem = SetMultiCoverProblem([[1.0]], 1.0, penalty=5.0)
    layer = problem.decision_layer(1e-6)
    y_hat = torch.tensor([[6.0]], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([y_hat], lr=0.4)
    for step in range(50):
        optimizer.param_groups[0]["lr"] = 0.4 * (1 - step / 50)
        optimizer.zero_grad()
        problem.cost_rows(layer(y_hat).expand(41, 1), demand).mean().backward()
        optimizer.step()
    assert_allclose(y_hat.item(), 10.0, atol=0.3)


def test_the_numbers_that_go_with_the_data():
    numbers = set_multicover_numbers(5, 25, penalty_ratio=2.0)
    _, y = make_set_multicover(2, n_items=5, random_state=0)
    problem = SetMultiCoverProblem(**numbers)
    assert problem.is_feasible(problem.solve(y), y).all()  # to miss one costs more than any set


def test_sparse_incidence_and_bounds_on_some_sets():
    y = np.array([[3.0, 2.0], [0.0, 4.0]])
    dense = SetMultiCoverProblem([[1, 0, 1], [0, 1, 1]], [3, 3, 4], 9, upper=[9, 9, 1])
    given = sparse.csr_array([[1, 0, 1], [0, 1, 1]]), [3, 3, 4], 9
    some = SetMultiCoverProblem(*given, upper=[np.inf, np.inf, 1])
    assert_array_equal(some.solve(y), [[2.0, 1.0, 1.0], [0.0, 4.0, 0.0]])
    assert_array_equal(some.solve(y), dense.solve(y))
    demand = torch.tensor(y)
    assert_allclose(some.decision_layer()(demand), dense.decision_layer()(demand), atol=1e-9)
    with pytest.raises(ValueError, match="y must be a dense array, got a sparse one"):
        some.solve(sparse.csr_array(y))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"incidence": [1.0]}, "incidence must have shape"),
        ({"incidence": [[1.0, -1.0]]}, r"incidence must be finite and at least 0, got -1.0 at \[0"),
        ({"set_cost": [1.0]}, r"set_cost must be a number or have one entry per set, shape \(2,\)"),
        ({"set_cost": 0.0}, "set_cost must be positive"),
        ({"penalty": [1.0, 2.0]}, "penalty must be a number or have one entry per item"),
        ({"upper": -1.0}, "upper must be non-negative"),
        ({"upper": [np.inf, np.nan]}, r"upper\[1\] must be non-negative"),
        ({"upper": True}, "upper must be a number"),
    ],
)
def test_arguments_that_make_no_sense(params, message):
    given = {"incidence": [[1.0, 1.0]], "set_cost": 1.0, "penalty": 2.0} | params
    with pytest.raises(ValueError, match=message):
        SetMultiCoverProblem(**given).solve([[1.0]])


def test_observed_demand_and_decisions_are_checked():
    problem = SetMultiCoverProblem([[1.0, 1.0]], 1.0, 2.0, upper=3)
    with pytest.raises(ValueError, match="y is a negative demand at row 1, column 0"):
        problem.check_parameters([[1.0], [-1.0]])
    assert problem.project_parameters([[1.0], [-1.0]])[1] == 0.5
    with pytest.raises(ValueError, match="negative number of sets, or more than there are"):
        problem.cost([[4.0, 0.0]], [[1.0]])


@pytest.mark.parametrize("upper", [None, 2])
def test_the_sets_of_scenarios_are_the_best_of_all(upper):
    rng = np.random.default_rng(7)
    problem = SetMultiCoverProblem(
        [[1, 0, 1, 2], [0, 1, 1, 0], [1, 1, 0, 0]],
        [3.0, 2.5, 4.0, 5.0],
        [6.0, 9.0, 4.0],
        upper=upper,
    )
    y, weight = rng.integers(0, 5, (6, 8, 3)).astype(float), rng.dirichlet(np.ones(8), 6)
    y[0] += rng.random((8, 3))  # no whole numbers
    most = 2 if upper else 5
    every = np.stack(np.meshgrid(*[np.arange(most + 1.0)] * 4), axis=-1).reshape(-1, 4)
    z = problem.solve(y, scenario_weight=weight)
    for row, scenarios, share in zip(z, y, weight, strict=True):
        costs = [problem.cost(every, np.tile(each, (len(every), 1))) for each in scenarios]
        paid = share @ problem.cost(row[None], scenarios)
        assert_allclose(paid, (share @ np.array(costs)).min(), rtol=1e-9)
    alone = np.eye(8)[[3] * 6]
    assert_array_equal(problem.solve(y, scenario_weight=alone), problem.solve(y[:, 3]))
