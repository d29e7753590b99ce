"""Capacity provisioning, against an independent formula and grid searches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import FromContext, ProvisioningProblem


def draw_constants(rng):
    """Draw every constant, cheap and dear energy and idle above active included."""
    c_min = rng.uniform(0, 1_000)
    return {
        "c_min": c_min,
        "c_max": c_min + 10 ** rng.uniform(0, 6),
        "eta": rng.uniform(0.05, 0.95),
        "a": 10 ** rng.uniform(-1, 1.7),
        "b": rng.uniform(0.5, 3),
        "e_active": rng.uniform(0.05, 3),
        "e_idle": rng.uniform(0.05, 3),
    }


def cost_by_the_book(u, v, constants):
    """The cost in normalised units, u and v broadcast; written from the paper's formula."""
    eta, a, b, active, idle = (constants[k] for k in ("eta", "a", "b", "e_active", "e_idle"))
    share = np.ones_like(u * v)
    np.divide(u, v, out=share, where=v > 0)
    service = v * np.log(1 + a * np.minimum(1, share)) / (b * np.log(1 + a))
    energy = active * np.minimum(u, v) + idle * np.maximum(u - v, 0)
    return (1 - eta) * energy - eta * service


def demands(rng, constants, n):
    """Demand below, within and beyond the capacities, zero first."""
    width = constants["c_max"] - constants["c_min"]
    y = constants["c_min"] + width * rng.uniform(-0.2, 1.6, n)
    return np.concatenate([[0.0], np.maximum(y, 0.0)])


def normalised(values, constants):
    width = constants["c_max"] - constants["c_min"]
    return np.maximum(values - constants["c_min"], 0.0) / width


def test_solve_agrees_with_a_grid_search():
    rng = np.random.default_rng(0)
    share = np.linspace(0, 1, 12_001)[:, None]
    for _ in range(600):
        constants = draw_constants(rng)
        problem = ProvisioningProblem(**constants)
        y = demands(rng, constants, 1)
        v = normalised(y, constants)
        # The grid is fine where the cost bends (up to the demand); beyond it is straight.
        top = np.minimum(v, 1.0)
        grid = np.concatenate([share * top, top + share[::600] * (1 - top)])
        least = cost_by_the_book(grid, v, constants).min(axis=0)
        found = cost_by_the_book(normalised(problem.solve(y), constants), v, constants)
        assert_allclose(found, least, atol=1e-6, rtol=0)
        assert (found <= least + 1e-12).all()
        assert_allclose(problem.optimal_cost(y), found, atol=1e-10, rtol=1e-10)


def test_scenario_solve_agrees_with_a_grid_search():
    rng = np.random.default_rng(1)
    for _ in range(300):
        constants = draw_constants(rng)
        problem = ProvisioningProblem(**constants)
        y = demands(rng, constants, rng.integers(1, 8))
        weight = rng.dirichlet(np.ones(len(y)))
        v = normalised(y, constants)

        def mean_cost(u, v=v, weight=weight, constants=constants):
            return cost_by_the_book(u[:, None], v, constants) @ weight

        kinks = v[v <= 1]
        grid = np.sort(np.concatenate([np.linspace(0, 1, 4_001), kinks]))
        coarse = mean_cost(grid)
        # A second look around the ten best points of the first.
        near = grid[np.argsort(coarse)[:10], None] + np.linspace(-1, 1, 201) / 4_000
        least = min(coarse.min(), mean_cost(np.clip(near, 0, 1).ravel()).min())
        decision = problem.solve(y[None, :, None], scenario_weight=weight)[:, 0]
        found = mean_cost(normalised(decision, constants))[0]
        assert found <= least + 1e-9
        assert found >= least - 1e-6


def test_the_cost_is_the_formula():
    rng = np.random.default_rng(2)
    for _ in range(50):
        constants = draw_constants(rng)
        y = demands(rng, constants, 10)
        z = rng.uniform(constants["c_min"], constants["c_max"], len(y))
        expected = cost_by_the_book(normalised(z, constants), normalised(y, constants), constants)
        assert_allclose(ProvisioningProblem(**constants).cost(z, y), expected, atol=1e-9)


def test_defaults_are_those_of_the_paper():
    problem = ProvisioningProblem()
    assert problem.get_params() == {
        "c_min": 200, "c_max": 400_000, "eta": 0.7, "a": 20, "b": 1.5,
        "e_active": 280 / 200, "e_idle": 100 / 200,
    }  # fmt: skip
    width = 400_000 - 200
    slope = 0.7 / (0.3 * 1.4 * 1.5 * np.log(21)) - 1 / 20
    assert slope == pytest.approx(0.315, abs=5e-4)
    y = np.array([0.0, 200.0, 10_000.0, 399_000.0])
    assert_allclose(problem.solve(y), 200 + np.maximum(y - 200, 0) * slope)
    assert problem.solve([5e6])[0] == 400_000
    assert problem.cost([200.0 + width / 2], [200.0])[0] == pytest.approx(0.3 * 0.5 * 0.5)


def test_an_empty_interval_needs_the_least_capacity():
    problem = ProvisioningProblem()
    assert_array_equal(problem.solve([0.0, 100.0, 200.0]), [200.0] * 3)
    assert_array_equal(problem.optimal_cost([0.0]), [0.0])
    assert_array_equal(problem.solve(np.zeros((1, 4, 1))), [[200.0]])


def test_services_are_independent():
    problem = ProvisioningProblem()
    y = np.random.default_rng(0).uniform(0, 5e5, (6, 3))
    assert_allclose(problem.solve(y), np.column_stack([problem.solve(each) for each in y.T]))
    assert_allclose(problem.optimal_cost(y), sum(problem.optimal_cost(each) for each in y.T))
    scenarios = y.reshape(2, 3, 3)
    together = problem.solve(scenarios)
    for j in range(3):
        alone = problem.solve(scenarios[:, :, j : j + 1])
        assert_array_equal(together[:, j : j + 1], alone)


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"c_min": 5, "c_max": 5}, r"c_min must be below c_max, got 5 and 5"),
        ({"c_min": 500_000}, "c_min must be below c_max"),
        ({"c_max": np.nan}, "c_max must be finite"),
        ({"c_max": np.inf}, "c_max must be finite"),
        ({"eta": 0.0}, "eta must lie strictly between 0 and 1, got 0"),
        ({"eta": 1}, "eta must lie strictly between 0 and 1, got 1"),
        ({"a": 0}, "a must be positive, got 0"),
        ({"b": -1.5}, r"b must be positive, got -1\.5"),
        ({"e_active": 0.0}, "e_active must be positive"),
        ({"e_idle": -1}, "e_idle must be positive"),
        ({"e_idle": "free"}, "e_idle must be a number, got 'free'"),
        ({"b": None}, "b must be a number"),
    ],
)
def test_bad_constants_are_named(constants, message):
    problem = ProvisioningProblem(**constants)  # stored, checked when used
    for use in (problem.solve, problem.optimal_cost, problem.check_parameters):
        with pytest.raises(ValueError, match=message):
            use([1.0])
    with pytest.raises(ValueError, match=message):
        problem.decision_layer()


def test_negative_demand_is_named():
    with pytest.raises(ValueError, match=r"y is a negative demand at row 2, column 0: -1\.0"):
        ProvisioningProblem().check_parameters([5.0, 0.0, -1.0])


def test_a_prediction_may_be_negative():
    assert_array_equal(ProvisioningProblem().solve([-1e6]), [200.0])


@pytest.mark.parametrize("capacity", [199.0, 400_001.0])
def test_a_capacity_out_of_range_is_named(capacity):
    problem = ProvisioningProblem()
    with pytest.raises(ValueError, match=r"decisions is not a capacity between .* at row 1"):
        problem.cost([300.0, capacity], [1.0, 1.0])
    assert not problem.is_feasible([capacity])[0]


def test_decisions_are_averaged_where_the_cost_is_convex():
    """Against second differences; where all demand is met, there may be a kink downwards."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        constants = draw_constants(rng)
        u = np.linspace(0, 1, 401)
        second = np.diff(cost_by_the_book(u, np.array(0.5), constants), 2)
        convex = bool((second >= -1e-12).all())
        expected = "decisions" if convex else "predictions"
        assert ProvisioningProblem(**constants).decision_average == expected
        found.append(convex)
    assert 20 < sum(found) < 180
    assert ProvisioningProblem().decision_average == "predictions"
    assert ProvisioningProblem(e_idle=1.4).decision_average == "decisions"
    assert ProvisioningProblem(e_idle=FromContext(0)).decision_average == "predictions"
