"""No problem gives a cost to a decision that its known constraints do not allow."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

from dfl_sklearn.metrics import regret
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import (
    CoverageProblem,
    FromContext,
    FunctionProblem,
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    MultiProductNewsvendorProblem,
    ProvisioningProblem,
    SetMultiCoverProblem,
    ShortestPathProblem,
    TopKProblem,
    UncertainKnapsackProblem,
)

SHARED = LinearProgram([[1, 1]], [4], sense="max")
WHOLE = LinearProgram([[1, 1]], [4], integrality=[0, 1])
KNAPSACK = KnapsackProblem([3, 4, 5], 8)
GRID = ShortestPathProblem.grid(2, 2)  # edges 0-1, 2-3, 0-2, 1-3
ROUND_TRIP = ShortestPathProblem([(0, 1), (1, 2), (2, 1), (1, 3)])
COVER = SetMultiCoverProblem([[1, 1]], [1.0, 1.0], [9.0], upper=2)
WRONG = [
    (SHARED, [100, 100], "row 0 of A_ub comes to 200, more than 4"),
    (LinearProgram(A_eq=[[1, 1]], b_eq=[4]), [1, 1], "row 0 of A_eq comes to 2, not 4"),
    (LinearProgram(bounds=(0, 3)), [1, 3.5], r"decision 1 is 3.5, outside of \[0, 3\]"),
    (WHOLE, [0.5, 1.5], "decision 1 is 1.5, not a whole number"),
    (KNAPSACK, [1, 1, 1], "capacity comes to 12, more than 8"),
    (KnapsackProblem([[3, 4], [1, 9]], [9, 9]), [1, 1], r"capacity\[1\] comes to 10, more than 9"),
    (KNAPSACK, [-5, 0, 0], r"decision 0 is -5, outside of \[0, 1\]"),
    (KNAPSACK, [1, 0.5, 0], "decision 1 is 0.5, not a whole number"),
    (GRID, [0, 0, 0, 0], "the flow out of node 0 less that into it comes to 0, not 1"),
    (GRID, [1, 0, 0, 0], "the flow out of node 1 less that into it comes to -1, not 0"),
    (GRID, [0.5, 0.5, 0.5, 0.5], "decision 0 is 0.5, not a whole number"),
    (ROUND_TRIP, [1, 1, 1, 1], "some of its edges form a cycle"),
    (MatchingProblem(2, 2), [1, 1, 0, 0], "pairs of left member 0 comes to 2, more than 1"),
    (MatchingProblem(2, 3), [1, 0, 0, 1, 0, 0], "pairs of right member 0 comes to 2, more than 1"),
    (MatchingProblem(2, 2, perfect=True), [1, 0, 0, 0], "left member 1 comes to 0, not 1"),
    (MatchingProblem(1, 2, perfect=True), [1, 1], "left member 0 comes to 2, not 1"),
    (MatchingProblem(2, 1, perfect=True), [1, 1], "right member 0 comes to 2, not 1"),
    (TopKProblem(1), [1, 1, 1], "the number of items comes to 3, not 1"),
    (CoverageProblem(1, 3), [1, 1, 0], "it chooses 2 items, more than k = 1"),
    (COVER, [0.5, 1.0], "is no whole number at row 0, column 0"),
    (COVER, [1.0, 3.0], "more than there are"),
    (UncertainKnapsackProblem([1.0, 2.0], 3.0, penalty=9.0), [0.5, 1.0], "is neither 0 nor 1"),
    (FunctionProblem(lambda z, y: z * y, (0.0, 2.0)), [2.5], "is outside of its bounds at row 0"),
]


def parameters(problem, k, n=1):
    """Return legal parameters for decisions of k numbers."""
    if isinstance(problem, (SetMultiCoverProblem, FunctionProblem)):
        k = 1
    return np.random.default_rng(0).uniform(0.1, 0.9, (n, k))


@pytest.mark.parametrize(("problem", "z", "why"), WRONG, ids=range(len(WRONG)))
def test_what_is_not_allowed_has_no_cost(problem, z, why):
    y = parameters(problem, len(z), 3)
    assert not problem.is_feasible([z]).any()
    good = problem.solve(y)
    problem.cost(good, y)
    good = good.reshape(3, -1)
    good[2] = z
    with pytest.raises(ValueError, match=why.replace("at row 0", "at row 2")) as error:
        problem.cost(good, y)
    assert "row 2" in str(error.value)
    with pytest.raises(ValueError, match=why):
        problem.cost([z], y)  # one decision for all rows
    with pytest.raises(ValueError, match=why):
        regret(y[:1], decisions=[z], problem=problem)


def test_relaxed_decisions_have_costs_in_training():
    z, y = np.array([[1.0, 0.5, 0.0]]), np.array([[1.0, 2.0, 3.0]])
    assert KNAPSACK.cost_rows(z, y) == [-2.0]
    assert KNAPSACK.cost(torch.as_tensor(z), torch.as_tensor(y)) == -2.0


def test_an_impossible_incumbent_is_an_error():
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.ones((20, 3))
    with pytest.raises(ValueError, match="capacity comes to 12, more than 8") as error:
        compare_decisions(
            {"line": LinearRegression()}, X, y, problem=KNAPSACK, cv=2, incumbent=np.ones((20, 3))
        )
    assert "In incumbent, the decisions taken." in error.value.__notes__


COLUMNS = "room", "rate", "left", "k", "goal", "closed"
ROOM, RATE, LEFT, K, GOAL, CLOSED = (FromContext(each) for each in COLUMNS)
# The decisions are allowed in row 0 alone.
KNOWN = pd.DataFrame([[9.0, 0.0, 1, 2, 1, 0], [1.0, 1.0, 0, 1, 3, 1]], columns=COLUMNS)
BY_ROW = [
    (LinearProgram([[1, 1]], [ROOM]), [1, 1], "row 0 of A_ub comes to 2, more than 1"),
    (LinearProgram([[1, 1]], [3.0], bounds=(0, ROOM)), [2, 0], r"is 2, outside of \[0, 1\]"),
    (LinearProgram([[RATE, 9]], [9.0]), [1, 1], "row 0 of A_ub comes to 10, more than 9"),
    (KnapsackProblem([1, 1], ROOM), [1, 1], "capacity comes to 2, more than 1"),
    (MatchingProblem(2, 1, present_left=[LEFT, True]), [1, 0], "left member 0 comes to 1, more"),
    (MatchingProblem(2, 1, perfect=True, present_left=[LEFT, True]), [1, 0], "left member 0 comes"),
    (TopKProblem(K), [1, 1, 0], "the number of items comes to 2, not 1"),
    (CoverageProblem(K, 2), [1, 1], "it chooses 2 items, more than k = 1"),
    (ProvisioningProblem(0.0, ROOM), [3.0], "is not a capacity between c_min=0.0 and c_max=1.0"),
    (
        ShortestPathProblem([(0, 1), (1, 3)], 0, GOAL),
        [1, 0],
        "the flow out of node 1 less that into it comes to -1, not 0",
    ),
    (
        ShortestPathProblem([(0, 1), (0, 1)], closed=[False, CLOSED]),
        [0, 1],
        r"decision 1 is 1, outside of \[0, 0\]",
    ),
]


@pytest.mark.parametrize(("problem", "z", "why"), BY_ROW, ids=range(len(BY_ROW)))
def test_constraints_of_a_row_are_its_own(problem, z, why):
    known, y = KNOWN[problem.context_columns()], parameters(problem, len(z), 2)
    good = problem.solve(y, context=known).reshape(2, -1)
    problem.cost(np.stack([z, good[1]]), y, context=known)
    with pytest.raises(ValueError, match=why) as error:
        problem.cost([z, z], y, context=known)
    assert "row 1" in str(error.value)


SCALES = [1e-6, 1e-3, 1.0, 1e4, 1e9]


@pytest.mark.parametrize("size", SCALES)
@pytest.mark.parametrize("of_costs", [1e-6, 1.0, 1e9])
def test_best_decisions_are_allowed_at_every_scale(size, of_costs):
    """Size is the unit of decisions, or of the numbers of constraints."""
    rng = np.random.default_rng(7)
    A, b = rng.normal(size=(6, 5)), rng.uniform(0.1, 3, 6)
    weights = rng.uniform(0.1, 1, (2, 9))
    problems = [
        (LinearProgram(A, size * b, bounds=(-2 * size, 3 * size)), 5),
        (LinearProgram(size * A, b, bounds=(-2 / size, 3 / size)), 5),
        (LinearProgram(A_eq=A[:2], b_eq=size * (A[:2] @ np.ones(5)), bounds=(0, 9 * size)), 5),
        (LinearProgram(size * A, size * b, bounds=(0, 2), integrality=1, sense="max"), 5),
        (KnapsackProblem(size * weights, 2.3 * size * np.ones(2)), 9),
        (KnapsackProblem(size * np.full(10, 0.1), size * 0.3), 10),  # 0.1 + 0.1 + 0.1 > 0.3
        (MultiProductNewsvendorProblem(9, 1, usage=[1, 2, 3], capacity=4 * size), 3),
        (ProvisioningProblem(size, 9 * size), 1),
    ]
    for problem, n in problems:
        y = of_costs * rng.normal(size=(20, n))
        if isinstance(problem, (MultiProductNewsvendorProblem, ProvisioningProblem)):
            y = size * np.abs(rng.normal(3, 3, (20, n)))
        z = problem.solve(y)
        assert np.isfinite(problem.cost(z, y)).all()
        # A decision that was stored in single precision as well.
        assert np.isfinite(problem.cost(z.astype(np.float32).astype(float), y)).all()


@pytest.mark.parametrize("share", [1e-8, 1e-4])
@pytest.mark.parametrize("size", SCALES)
def test_the_tolerance_is_that_of_is_feasible(size, share):
    problem, y = LinearProgram([[1, 1]], [4 * size]), np.ones((1, 2))
    z = np.full((1, 2), 2 * size * (1 + share))
    if problem.is_feasible(z)[0]:
        problem.cost(z, y)
    else:
        with pytest.raises(ValueError, match="is not allowed"):
            problem.cost(z, y)
    assert problem.is_feasible(z)[0] == (share < 1e-6)
