"""The set of decisions that linear constraints allow."""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse


class Polytope(NamedTuple):
    r"""All z with :math:`A_{ub} z \le b_{ub}`, :math:`A_{eq} z = b_{eq}`, within bounds.

    Attributes
    ----------
    A_ub, b_ub : csr_array of shape (m, n) and ndarray of shape (m,)
    A_eq, b_eq : csr_array of shape (p, n) and ndarray of shape (p,)
    lower, upper : ndarray of shape (n,)
        Infinite where absent.
    whole : ndarray of shape (n,)
        Whether a variable takes whole numbers only.
    """

    A_ub: sparse.csr_array
    b_ub: np.ndarray
    A_eq: sparse.csr_array
    b_eq: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(
        cls,
        n: int,
        *,
        ub: tuple[Any, Any] = (None, None),
        eq: tuple[Any, Any] = (None, None),
        lower: Any = 0.0,
        upper: Any = np.inf,
        whole: Any = False,
    ) -> "Polytope":
        """Return the set over n variables; what is absent constrains nothing."""

        def rows(A: Any, b: Any) -> tuple[sparse.csr_array, np.ndarray]:
            if A is None:
                return sparse.csr_array((0, n)), np.zeros(0)
            return sparse.csr_array(A, dtype=np.float64), np.asarray(b, dtype=np.float64)

        def columns(values: Any, dtype: type) -> np.ndarray:
            return np.broadcast_to(np.asarray(values, dtype=dtype), n)

        return cls(
            *rows(*ub),
            *rows(*eq),
            columns(lower, float),
            columns(upper, float),
            columns(whole, bool),
        )

    def contains(self, z: np.ndarray, tol: float) -> np.ndarray:
        """Return, for each row of z (B, n), whether all constraints hold to an absolute `tol`."""
        inside = ((z >= self.lower - tol) & (z <= self.upper + tol)).all(axis=1)
        inside &= (z @ self.A_ub.T <= self.b_ub + tol).all(axis=1)
        inside &= (np.abs(z @ self.A_eq.T - self.b_eq) <= tol).all(axis=1)
        parts = z[:, self.whole]
        return inside & (np.abs(parts - np.rint(parts)) <= tol).all(axis=1)
