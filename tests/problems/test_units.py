"""Decisions do not depend on the units of costs, rows and columns."""

import warnings
from itertools import permutations, product

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq, linprog
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn.metrics import regret
from dfl_sklearn.problems import (
    ConvexProgram,
    CVaRPortfolioProblem,
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    NewsvendorProblem,
    PortfolioProblem,
    ShortestPathProblem,
    TopKProblem,
)


def solved(problem, y):
    (z,) = problem.solve([y])
    assert problem.is_feasible([z]).all()
    return z


def test_dear_slacks_do_not_hide_what_plants_cost():
    bounds = [(0, 8)] * 2 + [(0, 10)] * 5
    problem = LinearProgram(A_eq=[[1.0] * 7], b_eq=[10.0], bounds=bounds)
    y = np.array([0.03, 0.02] + [1e6] * 5)
    assert_array_equal(solved(problem, y), [2, 8, 0, 0, 0, 0, 0])
    assert_allclose(problem.optimal_cost([y]), [0.22])
    by_scipy = linprog(y, A_eq=[[1.0] * 7], b_eq=[10.0], bounds=bounds)
    assert_allclose(by_scipy.x, solved(problem, y), atol=1e-9)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_cheap_gain_beside_a_dear_loss(n_jobs):
    problem = LinearProgram(bounds=(0, 1), n_jobs=n_jobs)
    assert_array_equal(problem.solve([[-1.0, 1e9], [-1e9, 1.0]]), [[1, 0], [1, 0]])
    assert_array_equal(problem.solve([[-1e-300, 1e9]]), [[1, 0]])


def test_columns_in_tokens_and_in_servers():
    problem = LinearProgram(
        [[-1, 0, -1], [1, -1e12, 0]],
        [-2.5e12, 0],
        bounds=[(0, None), (0, 10), (0, None)],
    )
    assert_allclose(solved(problem, [0, 1, 3e-12]), [2.5e12, 2.5, 0], rtol=1e-12)
    assert_allclose(problem.optimal_cost([[0, 1, 3e-12]]), [2.5])


@pytest.mark.parametrize("right", [1e-8, 1e-14, 1e8, 1e14])
def test_a_right_hand_side_of_any_size(right):
    problem = LinearProgram(A_eq=[[1.0, 1.0]], b_eq=[right])
    assert_array_equal(solved(problem, [1.0, 2.0]), [right, 0.0])
    assert not problem.is_feasible([[0.0, 0.0]])[0]
    assert not problem.is_feasible([[right * (1 + 1e-3), 0.0]])[0]


@pytest.mark.parametrize("big", [1e6, 1e8, 1e10])
def test_big_m(big):
    problem = LinearProgram([[1, -big]], [0], [[1, 0]], [1], integrality=[0, 1])
    assert_array_equal(solved(problem, [0.0, 5.0]), [1, 1])
    assert not problem.is_feasible([[1.0, 0.0]])[0]


def test_whole_numbers_keep_to_the_constraints_exactly():
    # HiGHS by itself takes 1.83333392 for a limit of 1.83333333 here.
    problem = LinearProgram(
        [[6.0, 1.0]], [11.0], bounds=[(0, 3), (0, 4)], integrality=[0, 1], sense="max"
    )
    z = problem.solve(np.random.default_rng(0).uniform(0.1, 1, (50, 2)))
    assert (z @ [6.0, 1.0] <= 11.0 * (1 + 1e-12)).all()


def test_violations_are_in_the_units_of_the_constraints():
    problem = LinearProgram(
        [[2.0, 1.0]], [4.0], [[1.0, -1.0]], [0.0], bounds=(0, 3), integrality=[0, 1]
    )
    found = problem.violation([[1.0, 1.0], [3.5, 0.25]])
    assert_allclose(found, [[0, 0, 0, 0], [3.25, 3.25, 0.5, 0.25]])


def test_listed_paths_with_a_dear_edge_that_is_not_used():
    problem = ShortestPathProblem([[0, 1], [0, 2], [1, 3], [2, 3], [0, 3]])
    y = np.float32([[2.5, 1, 0, 1, 1e6]])
    assert_array_equal(problem.solve(y), [[0, 1, 0, 1, 0]])
    assert problem.optimal_cost(y) == [2.0]


def test_listed_sets_with_a_dear_item_that_does_not_fit():
    assert_array_equal(
        KnapsackProblem([1, 1, 5], 1).solve(np.float32([[1, 1.5, 1e7]])), [[0, 1, 0]]
    )


def test_knapsacks_by_whole_numbers_with_dear_items_that_do_not_fit():
    weights = np.random.default_rng(0).uniform(1, 2, (2, 30))
    weights[:, :3] = 50.0
    values = np.random.default_rng(1).uniform(1, 2, (2, 30))
    dear = values.copy()
    dear[:, :3] = 1e12
    problem = KnapsackProblem(weights, [20.0, 20.0])
    without = KnapsackProblem(weights[:, 3:], [20.0, 20.0])
    assert_allclose(problem.optimal_cost(dear), without.optimal_cost(values[:, 3:]), rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_small_combinatorial_problems_with_mixed_costs_against_enumeration(seed):
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], (100, 9), p=[0.2, 0.8]) * 10.0 ** rng.uniform(-9, 9, (100, 9))
    pairings = np.zeros((6, 3, 3))
    for pairing, order in zip(pairings, permutations(range(3)), strict=True):
        pairing[range(3), order] = 1.0
    sets = np.array(list(product([0.0, 1.0], repeat=9)))
    weights = rng.integers(1, 9, 9).astype(float)
    grid = ShortestPathProblem(
        [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [2, 4], [3, 4], [0, 4], [1, 4]]
    )
    paths = sets[grid.is_feasible(sets)]
    for problem, decisions in (
        (MatchingProblem(3, 3, perfect=True, sense="min"), pairings.reshape(6, 9)),
        (KnapsackProblem(weights, 20), sets[sets @ weights <= 20]),
        (KnapsackProblem(weights + 0.5, 20), sets[sets @ (weights + 0.5) <= 20]),
        (TopKProblem(4, sense="min"), sets[sets.sum(axis=1) == 4]),
        (grid, paths),
    ):
        sign = -1.0 if problem.sense == "max" else 1.0
        best = (decisions @ (sign * y).T).min(axis=0)
        found = problem.solve(y)
        slack = 1e-9 * np.abs(found * y).sum(axis=1)
        assert (problem.cost(found, y) <= best + slack).all(), type(problem).__name__


def test_no_regret_below_zero_from_numbers_in_float32():
    rng = np.random.default_rng(0)
    problem = ShortestPathProblem.grid(5, 5)
    y = rng.uniform(900, 1100, (300, 40)).astype(np.float32)
    y_hat = y + rng.normal(size=y.shape).astype(np.float32) * 1e-3
    assert problem.optimal_cost(y).dtype == np.float64
    paid = problem.cost(problem.solve(y_hat), y)
    assert (paid - problem.optimal_cost(y) >= -1e-12 * np.abs(paid)).all()
    assert regret(y, y, problem=problem) == 0.0


@pytest.mark.parametrize("n_assets", [4, 12])
@pytest.mark.parametrize("loss", [1e3, 1e6, 1e9])
def test_assets_that_lose_much_do_not_blur_the_others(n_assets, loss):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(n_assets, n_assets))
    covariance = root @ root.T / n_assets + 0.1 * np.eye(n_assets)
    y = rng.normal(size=(20, n_assets))
    y[:, :3] = -loss * rng.uniform(1, 2, (20, 3))
    found = PortfolioProblem(covariance, 2.0).solve(y)
    without = PortfolioProblem(covariance[3:, 3:], 2.0).solve(y[:, 3:])
    assert_allclose(found[:, :3], 0, atol=1e-9 / loss)
    assert_allclose(found[:, 3:], without, atol=1e-6)


def test_no_regret_below_zero_in_any_unit():
    rng = np.random.default_rng(0)
    for problem, size in (
        (NewsvendorProblem([9, 1, 2], 1, nonnegative=False), 3),
        (PortfolioProblem(np.diag(np.arange(1.0, 13.0))), 12),
        (CVaRPortfolioProblem(residuals=rng.normal(size=(15, 4))), 4),
        (LinearProgram([[1.0, 1, 1, 1]], [2.0], bounds=(-1, 1)), 4),
        (ConvexProgram(cheap_shares), 3),
    ):
        y = rng.normal(size=(40, size)) * 10.0 ** rng.uniform(-9, 9, (40, size))
        others, best = problem.solve(y[::-1]), problem.optimal_cost(y)
        paid = problem.cost(others, y)
        assert (paid - best >= -1e-9 * (np.abs(paid) + np.abs(best))).all(), type(problem).__name__


# -- limits of a search for whole numbers ------------------------------------------------


def knapsack(**limits):
    rng = np.random.default_rng(0)
    return KnapsackProblem(rng.uniform(1, 30, (5, 60)), [200.0] * 5, **limits)


def test_a_gap_that_is_allowed_is_said():
    y = np.random.default_rng(1).uniform(1, 30, (3, 60))
    exact, rough = knapsack(), knapsack(mip_gap=0.2)
    assert exact.exact
    assert not rough.exact
    with pytest.warns(ConvergenceWarning, match=r"of 3 rows of y were not solved to the end"):
        cost = rough.optimal_cost(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        best = exact.optimal_cost(y)
    assert (cost >= best - 1e-9).all()
    assert (cost <= best + 0.2 * np.abs(cost)).all()
    assert rough.is_feasible(rough.solve(y[:0])).all()


def test_a_time_that_is_up_is_said():
    y = np.random.default_rng(1).uniform(1, 30, (2, 60))
    with pytest.raises(RuntimeError, match=r"for row 0 of y in time_limit=1e-09 seconds"):
        LinearProgram(
            *([[1.0] * 60], [200.0], [np.random.default_rng(2).integers(1, 99, 60)], [2000.0]),
            integrality=1,
            time_limit=1e-9,
        ).solve(y)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"time_limit": 0}, "time_limit must be positive"),
        ({"time_limit": "long"}, "time_limit must be a number"),
        ({"mip_gap": 1.0}, r"mip_gap must be in \[0, 1\)"),
        ({"mip_gap": None}, "mip_gap must be a number"),
    ],
)
def test_limits_are_checked(limits, message):
    for problem in (knapsack(**limits), LinearProgram(bounds=(0, 1), integrality=1, **limits)):
        with pytest.raises(ValueError, match=message):
            problem.solve(np.ones((1, 60)))


# -- programs in cvxpy ---------------------------------------------------------------------


def cheap_shares():
    z, price = cp.Variable(3), cp.Parameter(3)
    cost = price @ z + 2e-6 * cp.sum_squares(z)
    return cp.Problem(cp.Minimize(cost), [cp.sum(z) == 2, z >= 0]), price, z


def servers_in_raw_tokens():
    servers, overflow, load = cp.Variable(1), cp.Variable(1), cp.Parameter(1)
    cost = 5 * servers[0] + 1e-6 * overflow[0]
    limits = [1.2e7 * servers + overflow >= load, servers >= 0, overflow >= 0, servers <= 50]
    return cp.Problem(cp.Minimize(cost), limits), load, servers


def whole_servers():
    servers, price = cp.Variable(2, integer=True), cp.Parameter(2)
    limits = [np.array([1.2e7, 3.0e7]) @ servers >= 7.0e7, servers >= 0, servers <= 50]
    return cp.Problem(cp.Minimize(price @ servers), limits), price, servers


def test_prices_of_a_hundred_thousandth():
    problem = ConvexProgram(cheap_shares)
    assert_allclose(problem.solve([[3e-5, 2e-5, 1e-5]]), [[0, 0, 2]], atol=1e-8)


def test_tokens_beside_servers():
    problem = ConvexProgram(servers_in_raw_tokens)
    load = np.array([[0.0], [1e7], [3e8], [9e8]])
    best = np.clip(load / 1.2e7, 0, 50)  # a server costs less than the tokens that it serves
    assert_allclose(problem.solve(load), best, rtol=1e-12)
    z = np.array([[1.0], [1.0], [10.0], [60.0]])
    overflow = np.maximum(load - 1.2e7 * z, 0.0)
    assert_allclose(problem.cost(z[:3], load[:3]), (5 * z + 1e-6 * overflow)[:3, 0], rtol=1e-12)
    with pytest.raises(ValueError, match=r"decision of row 0 misses .* <= 50.0\) by 10"):
        problem.cost(z[3:], load[3:])
    held = torch.tensor(z[:3], requires_grad=True)
    problem.cost(held, torch.tensor(load[:3])).sum().backward()
    assert_allclose(held.grad, [[5], [5], [5 - 12]])


def test_whole_numbers_in_cvxpy():
    found = ConvexProgram(whole_servers).solve([[1e-6, 3e-6], [1.0, 1e9], [1e9, 1.0]])
    assert_array_equal(found, [[6, 0], [6, 0], [0, 3]])


@pytest.mark.parametrize("unit", [1e-9, 1e-4, 1.0, 1e4, 1e9])
def test_quadratic_programs_in_any_unit(unit):
    def build():
        z, price = cp.Variable(3), cp.Parameter(3)
        cost = price @ z + 0.5 * unit * cp.sum_squares(z)
        return cp.Problem(cp.Minimize(cost), [cp.sum(z) == 2, z >= 0]), price, z

    rng = np.random.default_rng(0)
    y = unit * rng.normal(size=(10, 3)) * 10.0 ** rng.uniform(-3, 3, (10, 3))
    found = ConvexProgram(build).solve(y)
    for z, price in zip(found, y / unit, strict=True):
        # By water filling: z = (level - price)_+, with the level at which the sum is 2.
        ends = price.min(), price.max() + 2
        level = brentq(lambda at, p=price: np.maximum(at - p, 0).sum() - 2, *ends, xtol=1e-14)
        assert_allclose(z, np.maximum(level - price, 0), atol=1e-7)


def test_an_inaccurate_answer_is_none(monkeypatch):
    solve = cp.Problem.solve

    def roughly(self, **options):
        solve(self, **options)
        self._status = cp.OPTIMAL_INACCURATE

    monkeypatch.setattr(cp.Problem, "solve", roughly)
    with pytest.raises(
        RuntimeError, match="'optimal_inaccurate' for row 0 of y, which is no answer"
    ):
        ConvexProgram(cheap_shares, solver="OSQP").solve([[3.0, 2.0, 1.0]])


def test_what_is_feasible_depends_on_the_terms_of_a_constraint():
    problem = ConvexProgram(cheap_shares)
    z = [[2.0, 0, 0], [2.0 + 1e-8, 0, -1e-10], [2.001, 0, 0], [2.0, 0, -1e-3]]
    assert problem.is_feasible(z).tolist() == [True, True, False, False]
