"""Linear problems against brute force, one another, and errors that say what is wrong."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import Bounds, linear_sum_assignment, linprog

from dfl_sklearn import DFLRegressor
from dfl_sklearn.problems import (
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    ShortestPathProblem,
    TopKProblem,
)

pytest.importorskip("highspy")
seeds = st.integers(0, 2**32 - 1)


def binary(n):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def random_dag(rng, n_nodes=6):
    """Edges forward along a hidden order, with one path through all nodes for certain."""
    order = rng.permutation(n_nodes)
    pairs = [(i, j) for i in range(n_nodes) for j in range(i + 1, n_nodes)]
    kept = [(i, j) for i, j in pairs if j == i + 1 or rng.random() < 0.4]
    edges = np.array([(order[i], order[j]) for i, j in kept])
    return edges[rng.permutation(len(edges))], int(order[0]), int(order[-1])


def all_paths(edges, source, target):
    """Every path as a 0-1 row, by walking."""
    found, stack = [], [(source, ())]
    while stack:
        node, used = stack.pop()
        if node == target:
            found.append(np.isin(np.arange(len(edges)), used).astype(float))
            continue
        stack += [(int(edges[e, 1]), (*used, e)) for e in np.flatnonzero(edges[:, 0] == node)]
    return np.array(found)


def instances(rng):
    """A problem of each kind, small, with all of its feasible decisions."""
    edges, source, target = random_dag(rng)
    yield ShortestPathProblem(edges, source, target), all_paths(edges, source, target)
    left, right = rng.integers(1, 4, 2)
    for perfect, sense in itertools.product([False, True], ["min", "max"]):
        z = binary(left * right)
        pairs = z.reshape(-1, left, right)
        n_left, n_right = pairs.sum(axis=2), pairs.sum(axis=1)
        allowed = (n_left <= 1).all(axis=1) & (n_right <= 1).all(axis=1)
        if perfect:
            allowed &= z.sum(axis=1) == min(left, right)
        yield MatchingProblem(int(left), int(right), perfect=perfect, sense=sense), z[allowed]
    n, m = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    z = binary(n)
    for weights in (rng.uniform(0, 5, (m, n)), rng.integers(0, 6, (1, n)).astype(float)):
        capacity = rng.uniform(0.2, 0.7) * weights.sum(axis=1)
        if len(weights) == 1:
            capacity = np.floor(capacity)
        fits = (z @ weights.T <= capacity + 1e-9).all(axis=1)
        yield KnapsackProblem(weights, capacity), z[fits]
    k = int(rng.integers(1, n + 1))
    for sense in ("min", "max"):
        yield TopKProblem(k, sense=sense), z[z.sum(axis=1) == k]


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_brute_force_agrees(seed):
    rng = np.random.default_rng(seed)
    for problem, decisions in instances(rng):
        n = decisions.shape[1]
        y = rng.normal(size=(8, n)) * rng.choice([1.0, 100.0])
        found = problem.solve(y)
        assert problem.is_feasible(found).all()
        assert (decisions == found[:, None]).all(axis=2).any(axis=1).all()
        sign = -1.0 if problem.sense == "max" else 1.0
        best = (sign * y @ decisions.T).min(axis=1)
        assert_allclose(problem.cost(found, y), best, rtol=1e-10, atol=1e-10)
        assert problem.is_feasible(decisions).all()
        # What is not listed is not feasible.
        others = rng.integers(0, 2, (50, n)).astype(float)
        listed = (others[:, None] == decisions).all(axis=2).any(axis=1)
        assert_array_equal(problem.is_feasible(others), listed)


@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_the_linear_program_of_each_problem_agrees(seed):
    rng = np.random.default_rng(seed)
    for problem, decisions in instances(rng):
        n = decisions.shape[1]
        y = rng.normal(size=(4, n))
        program = problem.as_linear_program(n)
        assert_allclose(program.optimal_cost(y), problem.optimal_cost(y), rtol=1e-9, atol=1e-9)
        assert problem.is_feasible(program.solve(y)).all()


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (1, 4), (4, 1), (7, 7)])
def test_grid_against_the_linear_program(shape):
    problem = ShortestPathProblem.grid(*shape)
    n = len(problem.edges)
    y = np.random.default_rng(0).normal(size=(60, n))
    program = problem.as_linear_program()
    assert_allclose(problem.optimal_cost(y), program.optimal_cost(y), atol=1e-9)


def test_grid_edges_go_row_by_row():
    assert ShortestPathProblem.grid(2, 3).edges.tolist() == [
        *([0, 1], [1, 2]),
        *([0, 3], [1, 4], [2, 5]),
        *([3, 4], [4, 5]),
    ]


def test_edges_off_all_paths_are_never_used():
    problem = ShortestPathProblem([[0, 1], [1, 5], [1, 2], [3, 1], [0, 5], [5, 7]], 0, 5)
    y = np.random.default_rng(0).normal(size=(20, 6))
    assert not problem.solve(y)[:, [2, 3, 5]].any()
    assert_allclose(problem.optimal_cost(y), problem.as_linear_program().optimal_cost(y))


@pytest.mark.parametrize(
    ("weights", "capacity"),
    [
        (np.random.default_rng(0).integers(1, 30, 50), 200),  # by capacity
        (np.random.default_rng(0).integers(1, 30, 50) * 7, 1400),  # in units of 7
        (np.random.default_rng(0).uniform(1, 30, (2, 35)), [150, 170]),  # mixed-integer programs
        (np.random.default_rng(0).uniform(3, 8, (2, 16)), [20, 20]),  # listed sets
    ],
)
def test_every_way_to_pack_agrees_with_the_integer_program(weights, capacity):
    problem = KnapsackProblem(weights, capacity)
    n = np.shape(weights)[-1]
    y = np.random.default_rng(1).uniform(-2, 10, (6, n))
    assert problem.is_feasible(problem.solve(y)).all()
    program = problem.as_linear_program()
    assert_allclose(problem.optimal_cost(y), program.optimal_cost(y), rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_linear_program_against_scipy(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 8)), int(rng.integers(1, 6))
    inside = rng.uniform(0, 2, n)
    A_ub, A_eq = rng.normal(size=(m, n)), rng.normal(size=(1, n))
    parts = {
        "A_ub": A_ub,
        "b_ub": A_ub @ inside + rng.uniform(0, 1, m),
        "A_eq": A_eq,
        "b_eq": A_eq @ inside,
        "bounds": [(0, 2 + each) for each in rng.uniform(0, 1, n)],
    }
    y = rng.normal(size=(5, n)) * 10.0 ** rng.integers(-4, 5)
    for integrality in (None, rng.integers(0, 2, n)):
        if integrality is not None:
            parts |= {"A_eq": None, "b_eq": None}  # whole numbers need not meet an equation
            # SciPy's HiGHS gives wrong answers for whole numbers with bounds that are none.
            parts["bounds"] = [(0, np.floor(high)) for _, high in parts["bounds"]]
        problem = LinearProgram(**parts, integrality=integrality)
        whole = 0 if integrality is None else integrality
        exact = {} if integrality is None else {"mip_rel_gap": 0.0}
        # SciPy stops at an absolute gap of 1e-6: larger costs are solved more exactly.
        scale = np.abs(y).max() / 1e4
        expected = [linprog(c / scale, **parts, integrality=whole, options=exact) for c in y]
        if any(each.status == 2 for each in expected):
            with pytest.raises(ValueError, match="No decision satisfies"):
                problem.solve(y)
            continue
        found = problem.solve(y)
        assert problem.is_feasible(found).all()
        best = [each.fun for each in expected]
        assert_allclose(problem.cost(found, y) / scale, best, rtol=2e-6, atol=0.02)
        as_values = LinearProgram(**parts, integrality=integrality, sense="max")
        assert_allclose(as_values.optimal_cost(-y), problem.optimal_cost(y))


def test_sparse_and_dense_constraints_are_the_same():
    rng = np.random.default_rng(0)
    A = rng.uniform(0, 1, (4, 6)) * (rng.random((4, 6)) < 0.6)
    y = rng.normal(size=(10, 6))
    expected = LinearProgram(A, np.ones(4), bounds=(0, 1), sense="max").solve(y)
    for form in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        problem = LinearProgram(form(A), np.ones(4), bounds=(0, 1), sense="max")
        assert_array_equal(problem.solve(y), expected)


@pytest.mark.parametrize("integrality", [None, 1])
def test_ties_do_not_depend_on_the_rows_around(integrality):
    rng = np.random.default_rng(0)
    A, b = rng.integers(0, 5, (8, 12)), rng.integers(8, 20, 8)
    problem = LinearProgram(A, b, bounds=(0, 3), sense="max", integrality=integrality)
    y = rng.integers(0, 3, (20, 12)).astype(float)
    expected = problem.solve(y)
    alone = np.concatenate([problem.solve(row[None]) for row in y])
    assert_array_equal(alone, expected)
    assert_array_equal(problem.solve(y[::-1])[::-1], expected)
    assert_array_equal(problem.set_params(n_jobs=2).solve(y), expected)


def test_whole_decisions_of_relaxed_programs_are_the_best_ones():
    rng, n = np.random.default_rng(0), 6
    once = np.concatenate([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    assignment = LinearProgram(A_eq=once, b_eq=np.ones(2 * n), bounds=(0, 1), integrality=1)
    y = np.concatenate([rng.normal(size=(20, n * n)), rng.integers(3, size=(20, n * n))])
    rows, columns = zip(*map(linear_sum_assignment, y.reshape(-1, n, n)), strict=True)
    best = y.reshape(-1, n, n)[np.arange(len(y))[:, None], rows, columns].sum(axis=1)
    z = assignment.solve(y)
    assert np.isin(z, [0, 1]).all()
    assert assignment.is_feasible(z, tol=0).all()
    assert_allclose(assignment.cost(z, y), best, rtol=1e-12, atol=1e-12)


def test_rows_with_and_without_whole_relaxed_decisions_do_not_meddle():
    """One of three at most, in pairs: halves are best where all are worth alike."""
    pairs = LinearProgram(
        A_ub=1.0 - np.eye(3), b_ub=np.ones(3), bounds=(0, 1), integrality=1, sense="max"
    )
    y = np.random.default_rng(0).uniform(size=(30, 3)) + [[3.0, 0.0, 0.0]] * np.array(
        [[0], [1]] * 15
    )
    z = pairs.solve(y)
    assert_array_equal(z, np.eye(3)[y.argmax(axis=1)])
    y[::3] = 1.0  # ties
    order = np.random.default_rng(1).permutation(len(y))
    together = pairs.solve(y)
    assert_array_equal(pairs.solve(y[order]), together[order])
    assert_array_equal(np.concatenate([pairs.solve(each[None]) for each in y]), together)


def test_without_constraints_the_width_is_that_of_y():
    problem = LinearProgram(bounds=(-1, 2))
    assert_array_equal(problem.solve([[1.0, -1.0, 3.0]]), [[-1.0, 2.0, -1.0]])
    assert_array_equal(problem.solve([1.0, -1.0]), [-1.0, 2.0])


def test_scenarios_are_solved_for_their_mean():
    problem = MatchingProblem(3, 3)
    y = np.random.default_rng(0).normal(size=(1, 5, 9))
    assert_array_equal(problem.solve(y), problem.solve(y.mean(axis=1)))


@pytest.mark.parametrize(
    ("problem", "y", "message"),
    [
        (
            LinearProgram([[1, 1], [-1, -1], [1, 0]], [1, -2, 9]),
            [[1.0, 1.0]],
            "these contradict one another: row 0 of A_ub, row 1 of A_ub",
        ),
        (
            LinearProgram(A_eq=[[1, 1]], b_eq=[3], bounds=(0, 1), integrality=1),
            [[1.0, 1.0]],
            "No decision satisfies all constraints .* row 0 of A_eq",
        ),
        (
            LinearProgram([[1, 1]], [1], bounds=[(0, None), (None, None)], sense="max"),
            [[1.0, 1.0], [1.0, -1.0]],
            "no minimum for row 1 of y.*one of decision 0, decision 1 has no bound",
        ),
        (LinearProgram([[1, 1]], [1, 2]), [[1.0, 1.0]], r"b_ub must have .* \(1,\), got \(2,\)"),
        (LinearProgram([[1, 1]]), [[1.0, 1.0]], "A_ub was given without b_ub"),
        (LinearProgram(None, [1]), [[1.0, 1.0]], "b_ub was given without A_ub"),
        (LinearProgram([[1, np.nan]], [1]), [[1.0, 1.0]], "A_ub is not finite at row 0, column 1"),
        (LinearProgram([[1, 1]], [np.nan]), [[1.0, 1.0]], r"b_ub\[0\] is nan"),
        (LinearProgram([1, 1], [1]), [[1.0, 1.0]], "A_ub must have two dimensions"),
        (LinearProgram([["a", 1]], [1]), [[1.0, 1.0]], "A_ub must be a matrix of numbers"),
        (
            LinearProgram([[1, 1]], [1], A_eq=[[1, 1, 1]], b_eq=[1]),
            [[1.0, 1.0]],
            "A_eq has 3 columns, but the problem has 2",
        ),
        (LinearProgram([[1, 1]], [1]), [[1.0, 1.0, 1.0]], "2 parameters per row, but y has 3"),
        (LinearProgram([[1, 1]], [1], bounds=[(0, 1)] * 3), [[1.0, 1.0]], "got 3"),
        (LinearProgram([[1, 1]], [1], bounds=[(0, 1), (2, 1)]), [[1.0, 1.0]], r"bounds\[1\] = "),
        (LinearProgram([[1, 1]], [1], bounds=[(0, 1), 3]), [[1.0, 1.0]], r"bounds\[1\] must be"),
        (LinearProgram([[1, 1]], [1], integrality=2), [[1.0, 1.0]], "integrality must hold 0"),
        (LinearProgram([[1, 1]], [1], integrality=[1]), [[1.0, 1.0]], "integrality must be a num"),
        (LinearProgram([[1, 1]], [1], sense="maximise"), [[1.0, 1.0]], 'sense must be "min"'),
        (ShortestPathProblem([[0, 1], [2, 3]]), [[1.0] * 2], "No path leads from node 0 to node 3"),
        (ShortestPathProblem([[0, 1]], 0, 5), [[1.0]], "target=5 is not a node"),
        (ShortestPathProblem([[0, 1]], 1, 1), [[1.0]], "the same node, 1"),
        (ShortestPathProblem([[0.5, 1]]), [[1.0]], "edges must name nodes by whole numbers"),
        (ShortestPathProblem([[0, 1], [2]]), [[1.0, 1.0]], r"edges must have shape \(n_edges, 2\)"),
        (ShortestPathProblem([[0, 1]], 0.7), [[1.0]], "source must be a whole number"),
        (LinearProgram(bounds=5), [[1.0, 1.0]], "bounds must be a pair or a sequence of pairs"),
        (LinearProgram(bounds=("a", 1)), [[1.0, 1.0]], "bounds must hold numbers and None"),
        (KnapsackProblem("ab", 3), [[1.0, 1.0]], "weights must hold numbers"),
        (ShortestPathProblem([0, 1]), [[1.0, 1.0]], r"edges must have shape \(n_edges, 2\)"),
        (MatchingProblem(0, 2), [[1.0]], "n_left must be a whole number of at least 1, got 0"),
        (MatchingProblem(2, 2, sense="up"), [[1.0] * 4], 'sense must be "min" or "max"'),
        (MatchingProblem(2, 2), [[1.0] * 3], "4 parameters per row, but y has 3"),
        (KnapsackProblem([1, -1], 2), [[1.0] * 2], r"weights must be .* got -1.0 at \[0, 1\]"),
        (KnapsackProblem([1, 1], [2, 2]), [[1.0] * 2], "capacity must have one entry per resource"),
        (KnapsackProblem([1, 1], np.inf), [[1.0] * 2], "capacity must be finite"),
        (TopKProblem(3), [[1.0, 2.0]], "k=3 items cannot be chosen from 2"),
        (TopKProblem(0), [[1.0, 2.0]], "k must be a whole number of at least 1, got 0"),
    ],
)
def test_errors_say_what_is_wrong(problem, y, message):
    with pytest.raises(ValueError, match=message):
        problem.solve(y)


def test_impossible_grids():
    with pytest.raises(ValueError, match="A grid of 1 x 1 nodes has no path"):
        ShortestPathProblem.grid(1, 1)


def test_a_missing_solver_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(ImportError, match=r'pip install "dfl-sklearn\[highs\]"'):
        LinearProgram([[1, 1]], [1]).solve([[1.0, 1.0]])
    # What needs no solver goes on.
    assert TopKProblem(1).solve([[1.0, 2.0]]).tolist() == [[0.0, 1.0]]


def test_as_linear_program_wants_a_width_where_there_is_none():
    with pytest.raises(ValueError, match="n_decisions is needed"):
        TopKProblem(1).as_linear_program()


def test_no_exact_layer():
    with pytest.raises(ValueError, match="smoothing must be a finite number > 0"):
        TopKProblem(1).decision_layer(0.0)


@pytest.mark.parametrize("dear", [1e5, 1e7, 1e9])
def test_one_very_dear_decision_spoils_no_other(dear):
    rng = np.random.default_rng(0)
    problem = ShortestPathProblem.grid(4, 4)
    y = rng.uniform(1, 2, (20, 24))
    y[:, 5] = dear
    program = problem.as_linear_program()
    for whole in (1, None):
        found = program.set_params(integrality=whole).optimal_cost(y)
        assert_allclose(found, problem.optimal_cost(y), rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-12, 1e-7, 1.0, 1e9])
@pytest.mark.parametrize("integrality", [None, 1])
def test_the_unit_of_a_constraint_does_not_matter(unit, integrality):
    problem = LinearProgram(
        [[unit, 2 * unit]], [10 * unit], bounds=(0, 6), sense="max", integrality=integrality
    )
    assert_allclose(problem.solve([[3.0, 1.0]]), [[6.0, 2.0]], atol=1e-7)
    assert problem.is_feasible([[6.0, 2.0], [6.0, 2.1]]).tolist() == [True, False]


def test_a_linear_program_handed_out_is_a_copy():
    problem = ShortestPathProblem([[0, 1], [1, 3], [0, 2], [2, 3]])
    problem.as_linear_program().A_eq.data[:] = 0.0
    assert not problem.is_feasible([[1.0, 0.0, 0.0, 0.0]]).any()
    assert problem.is_feasible([[1.0, 1.0, 0.0, 0.0]]).all()


@pytest.mark.parametrize(
    ("problem", "n"),
    [
        (ShortestPathProblem.grid(4, 4), 24),
        (KnapsackProblem(np.random.default_rng(0).integers(1, 5, 12), 12), 12),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ties_among_listed_decisions_do_not_depend_on_the_rows_around(problem, n, dtype):
    y = np.random.default_rng(0).choice([0.1, 0.2, 0.3], size=(200, n)).astype(dtype)
    expected = problem.solve(y)
    for size in (1, 7):
        parts = [problem.solve(y[i : i + size]) for i in range(0, 200, size)]
        assert_array_equal(np.concatenate(parts), expected)


def test_bounds_as_scipy_has_them():
    y = [[1.0, -1.0]]
    expected = LinearProgram(bounds=[(0, 1), (-1, 2)]).solve(y)
    assert_array_equal(LinearProgram(bounds=Bounds([0, -1], [1, 2])).solve(y), expected)


def test_training_says_that_predictions_have_other_signs():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = np.abs(X @ rng.normal(size=(3, 4))) + 0.1
    diet = LinearProgram([[-1, -1, 0, 0], [0, -1, -1, -1]], [-1, -1])
    with pytest.raises(ValueError, match="has no minimum for row") as caught:
        DFLRegressor(diet, random_state=0).fit(X, y)
    assert "give the decisions finite bounds" in "".join(caught.value.__notes__)


@settings(max_examples=100, deadline=None)
@given(seed=seeds)
def test_whole_numbers_with_fractional_bounds_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    A = rng.normal(size=(m, n))
    b = A @ rng.integers(0, 3, n) + rng.uniform(0, 1, m)
    y = rng.normal(size=(2, n))
    z = np.array(list(itertools.product([0.0, 1.0, 2.0], repeat=n)))
    allowed = z[(z @ A.T <= b + 1e-9).all(axis=1)]
    problem = LinearProgram(A, b, bounds=(-0.7, 2.5), integrality=1)
    assert_allclose(problem.optimal_cost(y), (y @ allowed.T).min(axis=1), atol=1e-7)


def test_bounds_without_a_whole_number():
    problem = LinearProgram(bounds=[(0.2, 0.8), (0, 1)], integrality=1)
    with pytest.raises(ValueError, match="No decision satisfies all constraints"):
        problem.solve([[1.0, 1.0]])


def test_whole_numbers_that_no_decision_has():
    """Although the relaxed program has decisions, of which the cost falls without end."""
    third = LinearProgram([[1, -1, 3], [-1, 1, 3]], [1, 1], [[1, -1, 3], [-1, 1, 3]], [1, 1])
    third.set_params(A_ub=None, b_ub=None, integrality=[0, 0, 1])
    for y in ([-1.0, 0, 0], [0.0, 0, 0]):
        with pytest.raises(ValueError, match="No decision satisfies all constraints"):
            third.solve([y])
    odd = LinearProgram(A_eq=[[6, 2]], b_eq=[5], bounds=(None, None), integrality=1)
    for y in ([1.0, 0.0], [0.0, 0.0]):
        with pytest.raises(RuntimeError, match="was found, nor could 200 linear programs prove"):
            odd.solve([y])
    with pytest.raises(ValueError, match="has no minimum for row 0"):
        odd.set_params(b_eq=[4]).solve([[1.0, 0.0]])
