"""Proofs from dual values, some of which are rounding errors."""

import numpy as np
import pytest
from scipy.optimize import linprog

from dfl_sklearn.solvers.certificate import Certificate
from dfl_sklearn.solvers.highs import Highs
from dfl_sklearn.solvers.linear import LinearSolver
from dfl_sklearn.solvers.polytope import Polytope

# Minimise x with x >= 2 and w >= 1, where w costs nothing.
PART = Polytope.of(2, ub=([[-1.0, 0.0], [0.0, -1.0]], [-2.0, -1.0]))
COSTS = np.array([[1.0, 0.0]])


@pytest.mark.parametrize("noise", [0.0, -2e-16, 2e-16, -5e-14, -5e-12, -5e-10])
def test_a_dual_value_that_is_a_rounding_error_takes_no_proof_away(noise):
    proof = Certificate.of(PART, COSTS, np.array([[2.0, 1.5]]), np.array([[-1.0, noise]]))
    assert proof.holds() == [True]
    assert proof.is_certain() == [True]


def test_a_part_that_hardly_counts_is_proven_beside_another():
    """A scenario of weight 1e-20, whose dual values are those to which the solver computes."""
    costs, dual = np.array([[1.0, 1e-20]]), np.array([[-1.0, -5e-12]])
    proof = Certificate.of(PART, costs, np.array([[2.0, 1.5]]), dual)
    assert proof.holds() == [True]


@pytest.mark.parametrize(
    ("z", "dual"),
    [([2.5, 1.0], [-1.0, -2e-16]), ([2.0, 1.5], [-1.0, -1e-3]), ([2.0, 1.5], [-0.5, -2e-16])],
)
def test_what_is_not_best_or_not_proven_does_not_hold(z, dual):
    assert Certificate.of(PART, COSTS, np.array([z]), np.array([dual])).holds() == [False]


def test_each_row_has_its_own_proof():
    z = np.array([[2.0, 1.5], [2.0, 1.0], [2.5, 1.0]])
    proof = Certificate.of(PART, np.repeat(COSTS, 3, 0), z, np.array([[-1.0, -2e-16]] * 3))
    assert proof.holds().tolist() == [True, True, False]


def test_a_loose_answer_to_a_large_program_is_asked_for_again(monkeypatch):
    rng = np.random.default_rng(0)
    matrix, ends = rng.uniform(0.1, 1.0, (80, 80)), rng.uniform(50.0, 60.0, 80)
    part, costs = Polytope.of(80, ub=(matrix, ends)), -rng.uniform(0.5, 1.0, (2, 80))
    strict, plain = [], Highs.solution

    def loose(self):
        z, dual = plain(self)
        is_strict = self.model.getOptionValue("primal_feasibility_tolerance")[1] == 1e-10
        strict.append(is_strict)
        return (z if is_strict else z + 7e-9 * (z > 0)), dual

    monkeypatch.setattr(Highs, "solution", loose)
    z = LinearSolver(part, "A program").solve(costs)
    assert any(strict)
    assert not all(strict)
    for cost, found in zip(costs, z, strict=True):
        assert cost @ found == pytest.approx(linprog(cost, matrix, ends).fun, rel=1e-9)
    assert (z @ matrix.T <= ends * (1 + 1e-12)).all()
