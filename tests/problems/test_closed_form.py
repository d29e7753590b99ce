"""Squared error and the newsvendor, against their textbook forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import mean_pinball_loss

from dfl_sklearn.problems import NewsvendorProblem, SquaredErrorProblem


def test_squared_error():
    rng = np.random.default_rng(0)
    y, z = rng.standard_normal((2, 20, 3))
    problem = SquaredErrorProblem()
    assert_array_equal(problem.solve(y), y)
    assert_allclose(problem.cost(z, y), ((z - y) ** 2).sum(axis=1))
    weight = rng.dirichlet(np.ones(20))
    mean = np.average(y, axis=0, weights=weight)
    assert_allclose(problem.solve(y[None], scenario_weight=weight)[0], mean)


def test_newsvendor_cost():
    problem = NewsvendorProblem(underage_cost=9, overage_cost=1)
    assert_array_equal(problem.cost([10.0, 10.0, 10.0], [12.0, 7.0, 10.0]), [18.0, 3.0, 0.0])


def test_newsvendor_cost_is_a_pinball_loss():
    rng = np.random.default_rng(0)
    y, z = rng.uniform(0, 10, (2, 50))
    cost = NewsvendorProblem(9, 1).cost(z, y).mean()
    assert cost == pytest.approx(10 * mean_pinball_loss(y, z, alpha=0.9))


@pytest.mark.parametrize(("under", "over"), [(9, 1), (1, 1), (1, 3), (0.7, 0.3)])
def test_newsvendor_orders_the_quantile(under, over):
    """The inverse of the empirical distribution function, as NumPy has it."""
    rng = np.random.default_rng(1)
    y = rng.uniform(0, 10, (200, 30))
    orders = NewsvendorProblem(under, over).solve(y[:, :, None])[:, 0]
    level = under / (under + over)
    assert_array_equal(orders, np.quantile(y, level, axis=1, method="inverted_cdf"))
    weight = rng.dirichlet(np.ones(30))
    orders = NewsvendorProblem(under, over).solve(y[:, :, None], scenario_weight=weight)[:, 0]
    expected = np.quantile(
        y, level, axis=1, method="inverted_cdf", weights=np.broadcast_to(weight, y.shape)
    )
    assert_array_equal(orders, expected)


def test_newsvendor_quantile_survives_rounding():
    # Ten tenths do not add up to 1 in floating point; the 90 % quantile is still the ninth.
    y = np.arange(1.0, 11.0)[None, :, None]
    orders = NewsvendorProblem(9, 1).solve(y, scenario_weight=np.full(10, 0.1))
    assert_array_equal(orders, [[9.0]])


def test_several_products_add_up():
    rng = np.random.default_rng(2)
    y, z = rng.uniform(0, 10, (2, 20, 2))
    both = NewsvendorProblem([9, 2], [1, 4])
    alone = [NewsvendorProblem(9, 1), NewsvendorProblem(2, 4)]
    assert_allclose(both.cost(z, y), sum(p.cost(z[:, j], y[:, j]) for j, p in enumerate(alone)))
    expected = [p.solve(y[None, :, j : j + 1])[0, 0] for j, p in enumerate(alone)]
    assert_array_equal(both.solve(y[None])[0], expected)
    shared = NewsvendorProblem([9, 2], 1.0)
    assert_allclose(shared.cost(z, y), NewsvendorProblem([9, 2], [1, 1]).cost(z, y))


def test_predicted_negative_demand():
    assert_array_equal(NewsvendorProblem(9, 1).solve([-3.0, 2.0]), [0.0, 2.0])
    assert_array_equal(NewsvendorProblem(9, 1, nonnegative=False).solve([-3.0]), [-3.0])
    scenarios = -np.ones((1, 3, 1))
    assert_array_equal(NewsvendorProblem(9, 1).solve(scenarios), [[0.0]])


def test_observed_negative_demand_is_named():
    with pytest.raises(ValueError, match=r"y is a negative demand at row 1, column 0: -2\.0"):
        NewsvendorProblem(9, 1).check_parameters([3.0, -2.0])
    NewsvendorProblem(9, 1, nonnegative=False).check_parameters([3.0, -2.0])


def test_is_feasible():
    assert_array_equal(
        NewsvendorProblem().is_feasible([0.0, -1e-9, -1.0, np.nan, np.inf]),
        [True, True, False, False, False],
    )
    assert_array_equal(
        NewsvendorProblem(nonnegative=False).is_feasible([-1.0, np.nan]), [True, False]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), r"underage_cost must be positive and finite, got 0\.0"),
        ((1, -2), r"overage_cost must be positive and finite, got -2\.0"),
        ((np.nan, 1), "underage_cost must be positive and finite, got nan"),
        ((1, np.inf), "overage_cost must be positive and finite, got inf"),
        (([9, 0], 1), r"underage_cost\[1\] must be positive and finite"),
        (([9, 1], [1, 1, 1]), "underage_cost has 2 entries and overage_cost 3"),
        (([[9, 1]], 1), "underage_cost must be a number or a 1-d sequence"),
        (("much", 1), "underage_cost must be a number"),
        ((None, 1), "underage_cost must be"),
        (([], 1), "underage_cost must be a number or a 1-d sequence"),
    ],
)
def test_bad_costs_are_named(arguments, message):
    problem = NewsvendorProblem(*arguments)
    for use in (problem.solve, problem.optimal_cost, problem.check_parameters):
        with pytest.raises(ValueError, match=message):
            use([1.0])


def test_products_and_columns_must_match():
    with pytest.raises(ValueError, match="has 2 parameters per row, but y has 1 column"):
        NewsvendorProblem([9, 1], 1).solve([1.0, 2.0])
    with pytest.raises(ValueError, match="has 3 parameters per row, but y has 2 columns"):
        NewsvendorProblem(1, [9, 1, 1]).cost(np.ones((1, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="decisions"):
        NewsvendorProblem([9, 1], 1).cost(np.ones((4, 3)), np.ones((4, 2)))


def test_decisions_of_another_width_are_refused():
    """Broadcasting a column against several would silently cost something else."""
    for problem in (SquaredErrorProblem(), NewsvendorProblem(9, 1)):
        with pytest.raises(ValueError, match="decisions"):
            problem.cost(np.ones((4, 1)), np.ones((4, 3)))
