"""Knapsacks, the k best and matchings with numbers that differ by row, against brute force."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import (
    KnapsackProblem,
    MatchingProblem,
    TopKProblem,
)

from ..contracts.context_contract import check_context_contract, table
from .test_context_linear import RNG, B, column, context_of, draw


def least(costs, decisions, allowed):
    """The least cost of each row among listed decisions (S, n), of which (n, S) are allowed."""
    return np.where(allowed, costs @ decisions.T, np.inf).min(axis=1)


def binary(n):
    return np.array(list(product([0.0, 1.0], repeat=n)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("n", "m", "integral"), [(6, 1, True), (6, 2, False), (17, 1, True), (17, 2, False)]
)
def test_knapsacks_against_brute_force(n, m, integral, seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 5, (m, n))
    if integral:
        weights = np.floor(weights)
    given = [column(f"c{i}") for i in range(m - 1)] + [column("last")]
    problem = KnapsackProblem(weights, given if m > 1 else given[0])
    rows = 4
    context = pd.DataFrame(
        {
            each: rng.uniform(0, 0.7, rows) * weights.sum(axis=1).max()
            for each in problem.context_columns()
        }
    )
    context.iloc[0] = 0.0
    context.iloc[1] = 1e12
    y = rng.normal(1, 2, (rows, n))
    z = problem.solve(y, context=context)
    decisions = binary(n)
    room = context[[each.column for each in given]].to_numpy()
    allowed = (decisions @ weights.T <= room[:, None] * (1 + 1e-12)).all(axis=2)
    assert_allclose(problem.cost(z, y, context=context), least(-y, decisions, allowed), atol=1e-9)
    assert problem.is_feasible(z, context=context).all()
    some = decisions[rng.integers(len(decisions), size=rows)]
    at_some = (some @ weights.T <= room * (1 + 1e-12)).all(axis=1)
    assert_array_equal(problem.is_feasible(some, context=context), at_some)
    written = problem.as_linear_program()
    assert_allclose(
        written.optimal_cost(y, context=context), problem.cost(z, y, context=context), atol=1e-9
    )


def test_contract_of_knapsacks():
    y = np.random.default_rng(0).normal(1, 1, (B, 5))
    single = KnapsackProblem([3, 4, 5, 2, 1], column("room"))
    check_context_contract(
        single, y, context_of(single, room=(0.5, 12)), smoothing=(0.5,), atol=1e-8
    )
    double = KnapsackProblem(RNG.uniform(1, 3, (2, 5)), [column("room"), 5.5])
    check_context_contract(
        double, y, context_of(double, room=(0.5, 12)), smoothing=(0.5,), atol=1e-8
    )


@pytest.mark.parametrize("sense", ["min", "max"])
def test_the_k_best_against_brute_force(sense):
    problem = TopKProblem(column("k"), sense=sense)
    rng = np.random.default_rng(0)
    context = table(k=rng.integers(1, 6, B))
    y = rng.normal(size=(B, 5))
    check_context_contract(problem, y, context, smoothing=(0.7,))
    decisions = binary(5)
    allowed = decisions.sum(axis=1) == context[["k"]].to_numpy()
    sign = -1.0 if sense == "max" else 1.0
    assert_allclose(problem.optimal_cost(y, context=context), least(sign * y, decisions, allowed))
    program = problem.as_linear_program(5)
    assert_allclose(
        program.optimal_cost(y, context=context), problem.optimal_cost(y, context=context)
    )


def matchings(n_left, n_right):
    """All matchings as rows, (S, n_left * n_right)."""
    found = []
    for k in range(min(n_left, n_right) + 1):
        for left in combinations(range(n_left), k):
            for right in product(range(n_right), repeat=k):
                if len(set(right)) == k:
                    z = np.zeros((n_left, n_right))
                    z[list(left), list(right)] = 1.0
                    found.append(z.ravel())
    return np.array(found)


@pytest.mark.parametrize("perfect", [False, True])
@pytest.mark.parametrize("sense", ["min", "max"])
def test_matchings_against_brute_force(sense, perfect):
    n_left, n_right = 3, 4
    rng = np.random.default_rng(0)
    problem = MatchingProblem(
        *(n_left, n_right),
        perfect=perfect,
        sense=sense,
        present_left=[True, column("b"), column("c")],
        present_right=[column(each) for each in "pqrs"],
    )
    names = problem.context_columns()
    context = pd.DataFrame(rng.integers(0, 2, (B, len(names))), columns=names)
    context.iloc[0] = 0  # one on the left, nobody on the right
    context.iloc[1] = 1
    y = rng.normal(size=(B, n_left * n_right))
    check_context_contract(problem, y, context, smoothing=() if perfect else (0.6,), atol=1e-8)
    decisions = matchings(n_left, n_right)
    pairs = decisions.reshape(-1, n_left, n_right)
    left = np.column_stack([np.ones(B), context[["b", "c"]]])[:, None]
    right = context[list("pqrs")].to_numpy()[:, None]
    allowed = (pairs.sum(axis=2) <= left).all(axis=2) & (pairs.sum(axis=1) <= right).all(axis=2)
    if perfect:
        most = np.minimum(left.sum(axis=2), right.sum(axis=2))
        allowed &= decisions.sum(axis=1) == most
    sign = -1.0 if sense == "max" else 1.0
    best = least(sign * y, decisions, allowed)
    assert_allclose(problem.optimal_cost(y, context=context), best, atol=1e-12)
    for i in range(B):
        rows = context.iloc[[i] * len(decisions)]
        assert_array_equal(problem.is_feasible(decisions, context=rows), allowed[i])
        missed = problem.violation(decisions, context=rows)
        assert_array_equal((missed <= 1e-12).all(axis=1), allowed[i])
    if not perfect:
        program = problem.as_linear_program()
        assert_allclose(program.optimal_cost(y, context=context), best, atol=1e-9)


def test_who_is_there_may_be_the_same_for_all_rows():
    present = [True, False, True]
    problem = MatchingProblem(3, 3, present_left=present, present_right=np.array([1, 1, 1]))
    y = draw(9)
    kept = y.reshape(B, 3, 3)[:, [0, 2]].reshape(B, 6)
    assert_allclose(problem.optimal_cost(y), MatchingProblem(2, 3).optimal_cost(kept))
    assert not problem.solve(y).reshape(B, 3, 3)[:, 1].any()
    z = problem.decision_layer(0.3)(torch.as_tensor(y)).reshape(B, 3, 3)
    assert_allclose(z[:, 1], 0.0, atol=1e-12)


@pytest.mark.parametrize("n", [5, 16, 17, 30])
def test_a_capacity_below_a_whole_number_by_a_rounding_error(n):
    """However it is solved: by listed sets, by capacities, by integer programs."""
    room = (0.1 + 0.7) * 10  # 7.999999999999999
    for weight in (1.0, 0.5, 2.0):
        expected = min(n, 8 / weight)
        fixed = KnapsackProblem([weight] * n, room)
        read = KnapsackProblem([weight] * n, column("room"))
        assert fixed.solve(np.ones((1, n))).sum() == expected
        assert read.solve(np.ones((1, n)), context=table(room=[room])).sum() == expected
