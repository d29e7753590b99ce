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

    def in_units(self) -> "Polytope":
        """Return the same set with rows of length 1, so that no unit decides what is small."""

        def scaled(A: sparse.csr_array, b: np.ndarray) -> tuple[sparse.csr_array, np.ndarray]:
            # By the largest entry first: squares of small numbers would be lost.
            size = np.asarray(abs(A).max(axis=1).toarray()).ravel() if A.shape[0] else b
            size = np.where(size > 0, size, 1.0)
            A, b = sparse.csr_array(sparse.diags_array(1.0 / size) @ A), b / size
            length = np.sqrt(np.asarray(A.multiply(A).sum(axis=1)).ravel())
            length = np.where(length > 0, length, 1.0)
            return sparse.csr_array(sparse.diags_array(1.0 / length) @ A), b / length

        A_ub, b_ub = scaled(self.A_ub, self.b_ub)
        A_eq, b_eq = scaled(self.A_eq, self.b_eq)
        return self._replace(A_ub=A_ub, b_ub=b_ub, A_eq=A_eq, b_eq=b_eq)

    def contains(self, z: np.ndarray, tol: float) -> np.ndarray:
        """Return, for each row of z (B, n), whether all constraints hold to an absolute `tol`."""
        part = self.in_units()
        inside = ((z >= part.lower - tol) & (z <= part.upper + tol)).all(axis=1)
        inside &= (z @ part.A_ub.T <= part.b_ub + tol).all(axis=1)
        inside &= (np.abs(z @ part.A_eq.T - part.b_eq) <= tol).all(axis=1)
        parts = z[:, self.whole]
        return inside & (np.abs(parts - np.rint(parts)) <= tol).all(axis=1)


def tail_losses(spread: np.ndarray) -> Polytope:
    """Return the constraints of a mean-CVaR portfolio on (z, t, u).

    Shares z (d,) that sum to 1, a reserve t and what each scenario, a row of `spread` (S, d),
    loses beyond it: ``-spread @ z - t <= u``, ``u >= 0``.
    """
    n_scenarios, n_assets = spread.shape
    beyond = np.concatenate([-spread, -np.ones((n_scenarios, 1)), -np.eye(n_scenarios)], axis=1)
    budget = np.zeros((1, beyond.shape[1]))
    budget[0, :n_assets] = 1.0
    lower = np.zeros(beyond.shape[1])
    lower[n_assets] = -np.inf
    return Polytope.of(
        len(lower), ub=(beyond, np.zeros(n_scenarios)), eq=(budget, np.ones(1)), lower=lower
    )
