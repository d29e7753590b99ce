"""Solving for several weighted scenarios, compared with brute force."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal


def scenarios_of(case, n=4, n_scenarios=7, seed=0):
    rng = np.random.default_rng(seed)
    y = case.sample_y(rng, n * n_scenarios)
    weight = rng.dirichlet(np.ones(n_scenarios), n)
    return case.make(), y.reshape(n, n_scenarios, -1), weight


def mean_cost(problem, decisions, y, weight):
    """The weighted mean cost of each row's decision over its scenarios, one by one."""
    per_scenario = [problem.cost(decisions, y[:, s]) for s in range(y.shape[1])]
    return (np.stack(per_scenario, axis=1) * weight).sum(axis=1) / weight.sum(axis=1)


def brute_force(case, problem, y, weight, n_points=20_001):
    """The least mean cost on a grid over the range of the decisions."""
    spread = case.sample_decision(np.random.default_rng(1), 4_000)[:, 0]
    grid = np.linspace(spread.min(), spread.max(), n_points)
    total = sum(
        w * problem.cost(grid, np.full(n_points, each)) for w, each in zip(weight, y, strict=True)
    )
    return total.min()


def test_one_scenario_is_a_plain_solve(case):
    problem, y, _ = scenarios_of(case, 20, 1)
    assert_allclose(
        problem.cost(problem.solve(y), y[:, 0]),
        problem.optimal_cost(y[:, 0]),
        rtol=1e-9,
        atol=1e-9,
    )


def test_equal_scenarios_are_a_plain_solve(case):
    problem, y, weight = scenarios_of(case)
    y = np.repeat(y[:, :1], y.shape[1], axis=1)
    decisions = problem.solve(y, scenario_weight=weight)
    best = problem.optimal_cost(y[:, 0])
    assert (problem.cost(decisions, y[:, 0]) - best <= case.tol * (1 + np.abs(best))).all()


@pytest.mark.cases(lambda case: case.make().exact_scenarios)
def test_no_feasible_decision_beats_the_scenario_solve(case):
    problem, y, weight = scenarios_of(case, 6)
    decisions = problem.solve(y, scenario_weight=weight)
    assert problem.is_feasible(decisions).all()
    best = mean_cost(problem, decisions, y, weight)
    n_draws = case.rows(60)
    y, weight, best, decisions = (
        np.tile(each, (n_draws,) + (1,) * (each.ndim - 1)) for each in (y, weight, best, decisions)
    )
    other = case.sample_decision(np.random.default_rng(0), len(y))
    near = decisions + 0.01 * (other - decisions)  # allowed in convex feasible sets
    for z in (other, near):
        allowed = problem.is_feasible(z)
        assert allowed.all() or z is near
        paid = mean_cost(problem, z[allowed], y[allowed], weight[allowed])
        assert (paid >= best[allowed] - case.tol * (1 + np.abs(best[allowed]))).all()


@pytest.mark.cases(lambda case: case.is_one_number and case.make().exact_scenarios)
def test_agrees_with_brute_force(case):
    problem, y, weight = scenarios_of(case)
    found = mean_cost(problem, problem.solve(y, scenario_weight=weight), y, weight)
    on_grid = [brute_force(case, problem, *each) for each in zip(y, weight, strict=True)]
    # The grid is never better than the minimum, and worse by less than its spacing allows.
    assert (found <= np.array(on_grid) + case.tol * (1 + np.abs(found))).all()
    assert_allclose(found, on_grid, rtol=1e-3, atol=1e-4)


def test_weights_shared_by_all_rows(case):
    problem, y, weight = scenarios_of(case)
    shared = weight[0]
    expected = problem.solve(y, scenario_weight=np.tile(shared, (len(y), 1)))
    assert_array_equal(problem.solve(y, scenario_weight=shared), expected)
    assert_array_equal(problem.solve(y, scenario_weight=list(shared)), expected)


def test_weights_are_normalised_and_none_is_uniform(case):
    problem, y, weight = scenarios_of(case)
    decisions = problem.solve(y, scenario_weight=weight)
    scaled = problem.solve(y, scenario_weight=8.0 * weight)
    paid = [mean_cost(problem, z, y, weight) for z in (decisions, scaled)]
    assert_allclose(paid[0], paid[1], rtol=1e-9)
    uniform = problem.solve(y, scenario_weight=np.full(y.shape[1], 3.0))
    plain = problem.solve(y)
    even = np.ones(y.shape[:2])
    assert_allclose(
        mean_cost(problem, uniform, y, even), mean_cost(problem, plain, y, even), rtol=1e-9
    )


def test_a_scenario_of_weight_zero_is_absent_and_of_weight_two_is_there_twice(case):
    problem, y, _ = scenarios_of(case, n_scenarios=5)
    weighted = problem.solve(y, scenario_weight=[0.0, 1.0, 2.0, 1.0, 1.0])
    written = y[:, [1, 2, 2, 3, 4]]
    even = np.ones(written.shape[:2])
    best = mean_cost(problem, problem.solve(written), written, even)
    assert_allclose(mean_cost(problem, weighted, written, even), best, rtol=1e-8, atol=1e-10)


def test_the_order_of_scenarios_does_not_matter(case):
    problem, y, weight = scenarios_of(case)
    order = np.random.default_rng(3).permutation(y.shape[1])
    shuffled = problem.solve(y[:, order], scenario_weight=weight[:, order])
    paid = [
        mean_cost(problem, z, y, weight)
        for z in (shuffled, problem.solve(y, scenario_weight=weight))
    ]
    assert_allclose(paid[0], paid[1], rtol=1e-8, atol=1e-10)


def test_bad_weights(case):
    problem, y, weight = scenarios_of(case)
    for bad, message in [
        (weight[:, :-1], "scenario_weight must have shape"),
        (-weight, "scenario_weight must be non-negative"),
        (0.0 * weight, "with a positive"),
        (np.where(weight == weight.max(), np.nan, weight), "scenario_weight is not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            problem.solve(y, scenario_weight=bad)
    with pytest.raises(ValueError, match="scenario_weight needs scenarios"):
        problem.solve(y[:, 0], scenario_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match="no scenarios"):
        problem.solve(y[:, :0])
