"""By how much decisions break constraints, for every problem."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import (
    CoverageProblem,
    CVaRPortfolioProblem,
    FromContext,
    FunctionProblem,
    KnapsackProblem,
    MatchingProblem,
    NewsvendorProblem,
    PortfolioProblem,
    ProvisioningProblem,
    SquaredErrorProblem,
    TopKProblem,
)

ABSOLUTE = ("newsvendor", "newsvendor_three_products", "portfolio", "cvar_portfolio", "coverage")
# What is allowed depends on y; other tests look at what is allowed without it.
UNCERTAIN = ("knapsack_of_unknown_weights", "knapsack_of_unknown_capacity", "set_multicover")
EXAMPLES = [
    (NewsvendorProblem(9, 1), [[-2.0, 3.0]], [[2.0, 0.0]]),
    (NewsvendorProblem(9, 1, nonnegative=False), [[-2.0, 3.0]], np.zeros((1, 0))),
    (SquaredErrorProblem(), [[-2.0, 3.0]], np.zeros((1, 0))),
    (
        CoverageProblem(1, 3),
        [[1.0, 0.25, 1.0], [-1.0, 0.0, 2.0]],
        [[1.25, 0, 0.25, 0], [0, 1, 0, 1]],
    ),
    (ProvisioningProblem(1.0, 9.0), [[0.5, 11.0], [1.0, 9.0]], [[0.5, 2.0], [0.0, 0.0]]),
    (PortfolioProblem(np.eye(2)), [[-0.5, 1.75], [0.5, 0.25]], [[0.25, 0.5, 0], [0.25, 0, 0]]),
    (CVaRPortfolioProblem(0.8, 0.5), [[-0.5, 1.75, -9.0]], [[0.25, 0.5, 0.0]]),
    (FunctionProblem(np.add, [(0, 2), (-1, 4)]), [[3.0, -3.0], [2.0, 4.0]], [[1, 2], [0, 0]]),
    (TopKProblem(2), [[1.0, 1.25, 0.0]], [[0.25, 0.0, 0.25, 0.0]]),
    (MatchingProblem(1, 2), [[1.0, 0.5]], [[0.5, 0.0, 0.0, 0.0, 0.5]]),
    (KnapsackProblem([3, 4], 5), [[1.0, 1.0]], [[2.0, 0.0, 0.0]]),
]
by_example = pytest.mark.parametrize(
    ("problem", "z", "expected"), EXAMPLES, ids=[type(each).__name__ for each, *_ in EXAMPLES]
)


@by_example
def test_violations_are_in_the_unit_of_the_constraint(problem, z, expected):
    assert_array_equal(problem.violation(z), expected)


def test_limits_of_a_row_are_its_own():
    room = FromContext("room")
    context = pd.DataFrame({"room": [2.0, 1.0]})
    z = [[3.0], [3.0]]
    problem = ProvisioningProblem(0.0, room)
    assert_array_equal(problem.violation(z, context=context), [[1.0], [2.0]])
    assert_array_equal(problem.violation(z[:1], [[1.0], [1.0]], context=context), [[1.0], [2.0]])
    found = CoverageProblem(room, 2).violation([[1.0, 1.0]] * 2, context=context)
    assert_array_equal(found, [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="from the context, but none was given"):
        problem.violation(z)
    with pytest.raises(ValueError, match="context has 2 rows, but decisions have 1"):
        problem.violation(z[:1], context=context)


def draw(case, n=6):
    """Return a problem, parameters, allowed decisions, and those pushed far down and up."""
    rng = np.random.default_rng(0)
    problem, y, z = case.make(), case.sample_y(rng, n), case.sample_decision(rng, n)
    far = 10.0 * (1.0 + np.abs(z).max())
    return problem, y, z, (z - far, z + far)


def test_allowed_decisions_miss_nothing(case):
    problem, y, z, _ = draw(case)
    missed = problem.violation(z, None if case.name in UNCERTAIN else y)
    assert missed.dtype == np.float64
    assert len(missed) == len(z)
    assert_allclose(missed, 0.0, atol=1e-12 * (1.0 + np.abs(z).max()))
    assert not np.signbit(missed).any()
    assert_array_equal(problem.violation(z), missed)


def test_no_rows_have_the_same_columns(case):
    problem, y, z, _ = draw(case)
    n_columns = problem.violation(z, y).shape[1]
    assert problem.violation(z[:0], y[:0]).shape == (0, n_columns)


def test_decisions_far_away_miss_something(case):
    problem, y, _, far = draw(case)
    missed = [problem.violation(each, y) for each in far]
    outside = [(each > 1e-3).any(axis=1) for each in missed]
    assert all((each >= 0).all() for each in missed)
    for z, is_outside in zip(far, outside, strict=True):
        assert_array_equal(problem.is_feasible(z, y), ~is_outside)
    # Whatever is limited is limited on one side at least.
    assert np.logical_or(*outside).all() == (missed[0].shape[1] > 0)


def test_what_misses_nothing_is_allowed_without_a_tolerance(case):
    problem, y, z, far = draw(case)
    exactly = {"tol": 0.0, "atol": 0.0} if case.name == "convex_program" else {"tol": 0.0}
    near = [z + size * np.random.default_rng(1).standard_normal(z.shape) for size in (1e-9, 1e-2)]
    for each in (z, np.abs(z), *near, *far, np.full_like(z, np.nan)):
        holds = (problem.violation(each, y) == 0).all(axis=1) & np.isfinite(each).all(axis=1)
        assert_array_equal(problem.is_feasible(each, y, **exactly), holds)


def test_tolerances(case):
    """They are absolute, or shares of numbers that are not much larger than the decisions."""
    problem, y, z, far = draw(case)
    share = np.geomspace(1e-8, 1.0, len(z))[:, None]
    for direction in far:
        moved = z + share * (direction - z)
        missed = problem.violation(moved, y).max(axis=1, initial=0.0)
        scale = 100 * (1.0 + np.abs(moved).sum(axis=1)) if case.name not in ABSOLUTE else 1.0
        for tol in (1e-6, 1e-3):
            allowed = problem.is_feasible(moved, y, tol=tol)
            assert not allowed[missed > tol * scale].any()
            if case.name in ABSOLUTE:
                assert allowed[missed <= tol].all()


def test_one_decision_for_all_rows(case):
    problem, y, z, (low, high) = draw(case)
    for each in (z, low, high):
        expected = problem.violation(np.repeat(each[:1], len(y), axis=0), y)
        assert_array_equal(problem.violation(each[:1], y), expected)
    with pytest.raises(ValueError, match="decisions have 2 rows and y has 6"):
        problem.violation(z[:2], y)


def test_decisions_that_are_not_finite(case):
    problem, y, z, _ = draw(case)
    before = problem.violation(z, y)
    for value in (np.nan, np.inf, -np.inf):
        spoiled = z.copy()
        spoiled[1, 0] = value
        missed = problem.violation(spoiled, y)
        assert_array_equal(np.delete(missed, 1, axis=0), np.delete(before, 1, axis=0))
        assert not (missed < 0).any()
        assert not problem.is_feasible(spoiled, y)[1]
        if np.isnan(value) and missed.shape[1]:
            assert np.isnan(missed[1]).any()
            assert np.isfinite(missed[1]).any() or missed.shape[1] == 1


def test_a_column_too_many_is_an_error(case):
    problem, y, z, _ = draw(case)
    with pytest.raises(ValueError, match="columns"):
        problem.violation(np.concatenate([z, z[:, :1]], axis=1), y)
