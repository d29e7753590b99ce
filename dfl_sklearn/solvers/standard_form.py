"""Linear and quadratic programs whose costs and right-hand sides are affine in parameters."""

from typing import NamedTuple

import numpy as np
from scipy import sparse


class StandardForm(NamedTuple):
    r"""Minimise :math:`\frac12 x^\top P x + c(p)^\top x + d(p)` under linear constraints.

    The first rows of A are those of equations A x = b(p), the others of A x <= b(p). An affine
    function of the parameters p (q,) is a matrix with one row for each of them and a last one, its
    value at 0.

    Attributes
    ----------
    P : csc_array of shape (n, n)
        Positive semidefinite.
    A : csr_array of shape (m, n)
    n_equations : int
    costs : ndarray of shape (q + 1, n)
    sides : ndarray of shape (q + 1, m)
    offset : ndarray of shape (q + 1,)
    """

    P: sparse.csc_array
    A: sparse.csr_array
    n_equations: int
    costs: np.ndarray
    sides: np.ndarray
    offset: np.ndarray

    def held(self, decided: np.ndarray) -> "StandardForm":
        """Return the program of the other variables, with the decided ones (k,) as parameters.

        They follow the others. Rows without other variables are not in it, nor are costs without.
        """
        other = np.setdiff1d(np.arange(self.A.shape[1]), decided)
        A = self.A[:, other]
        rows = np.flatnonzero(np.diff(A.indptr))
        of_decided = self.A[rows][:, decided].toarray().T
        across = self.P[decided][:, other].toarray()
        costs = [self.costs[:-1, other], across, self.costs[-1:, other]]
        sides = [self.sides[:-1, rows], -of_decided, self.sides[-1:, rows]]
        return StandardForm(
            sparse.csc_array(self.P[other][:, other]),
            sparse.csr_array(A[rows]),
            int((rows < self.n_equations).sum()),
            np.concatenate(costs),
            np.concatenate(sides),
            np.zeros(len(self.offset) + len(decided)),
        )
