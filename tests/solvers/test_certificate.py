"""Proofs from dual values, some of which are rounding errors."""

import numpy as np
import pytest

from dfl_sklearn.solvers.certificate import Certificate
from dfl_sklearn.solvers.polytope import Polytope

# Minimise x with x >= 2 and w >= 1, where w costs nothing.
PART = Polytope.of(2, ub=([[-1.0, 0.0], [0.0, -1.0]], [-2.0, -1.0]))
COSTS = np.array([[1.0, 0.0]])


@pytest.mark.parametrize("noise", [0.0, -2e-16, 2e-16, -5e-14])
def test_a_dual_value_that_is_a_rounding_error_takes_no_proof_away(noise):
    proof = Certificate.of(PART, COSTS, np.array([[2.0, 1.5]]), np.array([[-1.0, noise]]))
    assert proof.holds() == [True]
    assert proof.is_certain() == [True]


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
