"""A user's own cost with steps or several valleys: the best decision, or a warning."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn.problems import FunctionProblem


def trucks(load, demand):
    """A truck of 10 costs 6, a unit left behind 1."""
    return (6 * np.ceil(load / 10 - 1e-6) + np.maximum(demand - load, 0)).sum(axis=1)


def cost_of_best_trucks(demand):
    n_trucks = np.arange(101.0)
    left = np.maximum(demand[:, :, None] - 10 * n_trucks, 0)
    return (6 * n_trucks + left).min(axis=2).sum(axis=1)


def one_truck(load, demand):
    return trucks(load[:, None], demand[:, None])


def bulk(z, y):
    """Steps in a sum of decisions."""
    missing, left = np.maximum(y - z, 0), np.maximum(z - y, 0)
    return 8 * np.ceil(z.sum(axis=1) / 25 - 1e-6) + (2 * missing + 0.3 * left).sum(axis=1)


def waves(z, y):
    """Many valleys of different depths, across the axes."""
    slanted = np.sin(z[:, 0] - 0.4 * z[:, 1]) + np.sin(z[:, 1] + 0.7 * z[:, 0] + y[:, 0])
    return slanted + 0.01 * np.abs(z - y).sum(axis=1)


def valleys(z, y):
    """Two parabolas, the deeper one around 80."""
    far = ((z - 80) ** 2).sum(axis=1) - y[:, 0] - 1
    return np.minimum(((z - 20) ** 2).sum(axis=1), far)


@pytest.mark.parametrize("n_decisions", [2, 4])
def test_steps_in_each_decision(n_decisions):
    demand = np.random.default_rng(0).uniform(5, 95, (4, n_decisions))
    problem = FunctionProblem(trucks, [(0, 100)] * n_decisions)
    assert_allclose(problem.optimal_cost(demand), cost_of_best_trucks(demand), atol=1e-4)


@pytest.mark.parametrize("width", [100, 320, 700])
def test_more_steps_than_points_of_the_scan(width):
    demand = np.random.default_rng(0).uniform(0, width, 30)
    problem = FunctionProblem(one_truck, (0, width))
    assert_allclose(problem.optimal_cost(demand), cost_of_best_trucks(demand[:, None]), atol=1e-5)


def test_steps_in_a_sum():
    y = np.random.default_rng(0).integers(0, 40, (8, 2)).astype(float)
    line = np.arange(101.0)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    best = [bulk(grid, np.tile(each, (len(grid), 1))).min() for each in y]
    found = FunctionProblem(bulk, [(0, 100)] * 2).optimal_cost(y)
    assert (found <= np.array(best) + 1e-5).all()


def test_two_valleys_of_two_decisions():
    y = np.random.default_rng(0).uniform(0, 5, (8, 2))
    z = FunctionProblem(valleys, [(0, 100)] * 2).solve(y)
    assert_allclose(z, 80.0, atol=1e-3)


@pytest.mark.parametrize("function", [trucks, bulk])
def test_more_starts_are_never_worse(function):
    y = np.random.default_rng(1).uniform(5, 95, (4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        costs = [
            FunctionProblem(function, [(0, 100)] * 2, n_starts=n).optimal_cost(y) for n in (33, 70)
        ]
    assert (np.diff(costs, axis=0) <= 0).all()


def test_more_starts_of_one_decision_are_never_worse():
    def rough(z, y):
        return np.sin(z) + np.sin(2.3 * z + y) + np.ceil(z / 7 - 1e-6) % 3

    y = np.random.default_rng(1).uniform(0, 9, 20)
    starts = (3, 10, 20, 33, 50, 100, 300, 1200)
    costs = [FunctionProblem(rough, (0, 100), n_starts=n).optimal_cost(y) for n in starts]
    assert (np.diff(costs, axis=0) <= 0).all()
    grid = np.linspace(0, 100, 100_001)
    best = [rough(grid, each).min() for each in y]
    assert (costs[0] <= np.array(best) + 1e-6).all()


def test_what_cannot_be_vouched_for_is_said():
    y = np.random.default_rng(1).uniform(5, 95, (4, 2))
    problem = FunctionProblem(waves, [(0, 100)] * 2)
    with pytest.warns(ConvergenceWarning, match="waves has more valleys .* in 4 of 4 rows"):
        problem.solve(y)
    narrow = FunctionProblem(one_truck, (0, 20_000))
    with pytest.warns(ConvergenceWarning, match="one_truck has more valleys or steps"):
        narrow.solve(y[:, 0])


def test_some_rows_of_many():
    def at_times(z, y):
        return np.where(y > 5, one_truck(z, y), np.abs(z - y))

    with pytest.warns(ConvergenceWarning, match="in 2 of 5 rows, row 1 among them"):
        z = FunctionProblem(at_times, (0, 20_000)).solve([1.0, 6000.0, 2.0, 8000.0, 3.0])
    assert_allclose(z[[0, 2, 4]], [1, 2, 3], atol=1e-3)


def slanted(z, y):
    """Convex, with a sharp and narrow valley across the axes."""
    return 100 * np.abs(z[:, 0] - z[:, 1] - y[:, 0] + y[:, 1]) + np.abs(z - y).sum(axis=1)


def root(z, y):
    """Quasi-convex, and concave away from its only valley."""
    return np.sqrt(np.abs(z - y)).sum(axis=1)


def flat(z, y):
    """Nothing to gain within 30 of y."""
    return np.maximum(np.abs(z - y).sum(axis=1) - 30, 0)


def large(z, y):
    """Small differences of large numbers, with rounding errors."""
    return 1e9 + ((z - y) ** 2).sum(axis=1) * 1e-3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_scenarios", [1, 3, 40])
@pytest.mark.parametrize("n_decisions", [1, 2, 4])
@pytest.mark.parametrize("function", [root, flat, large, slanted])
def test_one_valley_is_no_reason_to_warn(function, n_decisions, n_scenarios):
    if (function is slanted and n_decisions == 1) or (function is root and n_scenarios > 1):
        return  # a sum of roots has several valleys

    def own(z, y):
        return function(z.reshape(len(z), -1), y.reshape(len(y), -1))

    y = np.random.default_rng(0).uniform(0, 100, (4, n_scenarios, n_decisions))
    FunctionProblem(own, [(0, 100)] * n_decisions).solve(y)


def test_a_row_with_steps_is_decided_as_if_it_were_alone():
    demand = np.random.default_rng(0).uniform(5, 95, (5, 2))
    problem = FunctionProblem(trucks, [(0, 100)] * 2)
    assert_array_equal(problem.solve(demand)[3:4], problem.solve(demand[3:4]))
    problem = FunctionProblem(one_truck, (0, 1000))
    assert_array_equal(problem.solve(demand[:, 0])[3:4], problem.solve(demand[3:4, 0]))
