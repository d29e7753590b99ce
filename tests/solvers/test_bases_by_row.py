"""Programs with a matrix for each row, against SciPy, and row by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from dfl_sklearn.problems import Predicted, RecourseLinearProgram
from dfl_sklearn.solvers.bases_by_row import DensePrograms, solve_by_bases
from dfl_sklearn.solvers.linear import LinearSolver
from dfl_sklearn.solvers.polytope import Polytope


def random_programs(seed, n_rows=40):
    """Return bounded programs with two inequalities and an equation, near one another."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(3, 5)) + 0.1 * rng.normal(size=(n_rows, 3, 5))
    inside = rng.uniform(1.0, 2.0, size=(n_rows, 5))
    ends = (matrix * inside[:, None]).sum(axis=2) + [0.5, 0.5, 0.0]
    return DensePrograms(
        rng.normal(size=5) + 0.3 * rng.normal(size=(n_rows, 5)),
        matrix,
        ends,
        np.array([False, False, True]),
        np.zeros(5),
        np.array([3.0, 3.0, 3.0, np.inf, 3.0]),
    )


def in_scipy(programs, i):
    matrix, ends, bounds = programs.matrix[i], programs.ends[i], (programs.lower, programs.upper)
    return linprog(
        programs.costs[i], matrix[:2], ends[:2], matrix[2:], ends[2:], np.transpose(bounds)
    )


def alone_in(programs, asked):
    def alone(i):
        asked.append(i)
        matrix, ends = programs.matrix[i], programs.ends[i]
        polytope = Polytope.of(
            5,
            ub=(matrix[:2], ends[:2]),
            eq=(matrix[2:], ends[2:]),
            lower=programs.lower,
            upper=programs.upper,
        )
        solver = LinearSolver(polytope, "A program")
        return solver.solve(programs.costs[i : i + 1])[0], solver.last_basis()

    return alone


@pytest.mark.parametrize("seed", range(12))
def test_bases_that_are_shared_are_best(seed):
    programs, asked = random_programs(seed), []
    costs = [in_scipy(programs, i) for i in range(40)]
    bounded = np.flatnonzero([each.status == 0 for each in costs])
    programs = programs.of_rows(bounded)
    z = solve_by_bases(programs, alone_in(programs, asked))
    best = np.array([costs[i].fun for i in bounded])
    assert_allclose((programs.costs * z).sum(axis=1), best, rtol=1e-8, atol=1e-8)
    assert len(asked) < 0.75 * len(bounded)
    for i in (0, len(bounded) // 2, len(bounded) - 1):
        one = programs.of_rows(np.array([i]))
        assert_array_equal(solve_by_bases(one, alone_in(one, [])), z[i : i + 1])


def test_a_basis_that_is_singular_elsewhere_is_not_taken_there():
    matrix = np.array([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0], [1.0, 1.0]]])
    programs = DensePrograms(
        np.array([[-2.0, -1.0]] * 2),
        matrix,
        np.array([[4.0, 2.0]] * 2),
        np.array([False, False]),
        np.zeros(2),
        np.full(2, np.inf),
    )
    asked = []

    def alone(i):
        asked.append(i)
        solver = LinearSolver(Polytope.of(2, ub=(matrix[i], programs.ends[i])), "A program")
        return solver.solve(programs.costs[i : i + 1])[0], solver.last_basis()

    assert_allclose(solve_by_bases(programs, alone), [[3.0, 1.0], [2.0, 0.0]])
    assert asked == [0, 1]


def test_equally_good_decisions_do_not_depend_on_the_other_rows():
    T = [[Predicted(0), Predicted(1)]]
    problem = RecourseLinearProgram(
        c=[1.0, 1.0], q=[9.0], T=T, W=[[1.0]], h=[4.0], bounds=(0.0, 3.0)
    )
    y = np.array([[2.0, 2.0], [2.0, 1.0], [1.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    alone = np.concatenate([problem.solve(each[None]) for each in y])
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 4, 0, 2, 3]):
        assert_array_equal(problem.solve(y[order]), alone[order])
