"""The set of decisions that satisfy linear constraints."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

_OF_MATRIX = ("matrix", "_columns", "_absolute_columns")


@dataclass(frozen=True, eq=False)
class Polytope:
    r"""All z with :math:`A_{ub} z \le b_{ub}`, :math:`A_{eq} z = b_{eq}`, within bounds.

    Or one such set for each row of decisions: right-hand sides and bounds then have one row each,
    (B, m), (B, p) and (B, n), and the matrices are shared.

    Attributes
    ----------
    A_ub, b_ub : csr_array of shape (m, n) and ndarray of shape (m,)
    A_eq, b_eq : csr_array of shape (p, n) and ndarray of shape (p,)
    lower, upper : ndarray of shape (n,)
        Infinite where absent.
    integral : ndarray of shape (n,)
        Whether a variable takes whole numbers only.
    """

    A_ub: sparse.csr_array
    b_ub: np.ndarray
    A_eq: sparse.csr_array
    b_eq: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integral: np.ndarray

    @classmethod
    def of(
        cls,
        n: int,
        *,
        ub: tuple[Any, Any] = (None, None),
        eq: tuple[Any, Any] = (None, None),
        lower: Any = 0.0,
        upper: Any = np.inf,
        integral: Any = False,
    ) -> "Polytope":
        """Return the set over n variables, with only the constraints that are given."""

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
            columns(integral, bool),
        )

    def replace(self, **changes: Any) -> "Polytope":
        """Return the set with some constraints replaced."""
        other = replace(self, **changes)
        if not changes.keys() & {"A_ub", "A_eq"}:
            other.__dict__.update({name: self.__dict__[name] for name in self._of_matrix()})
        return other

    def _of_matrix(self) -> list[str]:
        """Return what has been found of the matrix, which is costly to find."""
        return [each for each in _OF_MATRIX if each in self.__dict__]

    @property
    def n_sets(self) -> int | None:
        """How many sets there are, None where there is one for all rows."""
        return len(self.lower) if self.lower.ndim == 2 else None

    def for_rows(self, rows: Any) -> "Polytope":
        """Return the sets of some rows, or the set of a single one; one for all rows as it is."""
        if self.n_sets is None:
            return self
        names = ("b_ub", "b_eq", "lower", "upper")
        for name in _OF_MATRIX:
            getattr(self, name)  # found once, for all rows
        return self.replace(**{name: getattr(self, name)[rows] for name in names})

    def groups(self) -> list[np.ndarray]:
        """Return the numbers of rows that have the same set, one array for each set."""
        sides = np.concatenate([self.row_upper, self.lower, self.upper], axis=1)
        if not len(sides):
            return []
        _, group = np.unique(sides, axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        return np.split(order, np.cumsum(np.bincount(group.ravel()))[:-1])

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """All rows (m + p, n), inequalities first."""
        return sparse.csr_array(sparse.vstack([self.A_ub, self.A_eq], format="csr"))

    @cached_property
    def row_lower(self) -> np.ndarray:
        """Least values (m + p,) of the rows, -inf for inequalities."""
        return np.concatenate([np.full_like(self.b_ub, -np.inf), self.b_eq], axis=-1)

    @cached_property
    def row_upper(self) -> np.ndarray:
        """Largest values (m + p,) of the rows."""
        return np.concatenate([self.b_ub, self.b_eq], axis=-1)

    @cached_property
    def _columns(self) -> sparse.csr_array:
        return sparse.csr_array(self.matrix.T)

    @cached_property
    def _absolute_columns(self) -> sparse.csr_array:
        return abs(self._columns)

    def name_of_row(self, i: int) -> str:
        """Return what the user calls a row of `matrix`."""
        n_ub = self.A_ub.shape[0]
        return f"row {i} of A_ub" if i < n_ub else f"row {i - n_ub} of A_eq"

    def name_of_decision(self, j: int) -> str:
        """Return what the user calls a variable."""
        return f"decision {j}"

    def violation(self, z: np.ndarray) -> np.ndarray:
        """Return by how much each row of z (B, n) violates constraints (B, m + p + n).

        In the units of the constraints, 0 where one holds: rows of A_ub, rows of A_eq, and for each
        variable its bounds or, where that is more, its distance from a whole number.
        """
        with np.errstate(invalid="ignore"):  # infinite decisions
            fraction = np.where(self.integral, np.abs(z - np.rint(z)), 0.0)
            missed = self._missed(z)
        last = missed[:, self.A_ub.shape[0] + self.A_eq.shape[0] :]
        np.maximum(last, fraction, out=last)
        return missed

    def _missed(self, z: np.ndarray) -> np.ndarray:
        """Return the violation of rows and bounds, without that of integrality."""
        apart = z @ self._columns - self.row_upper
        n_ub = self.A_ub.shape[0]
        above, off = np.maximum(apart[:, :n_ub], 0.0), np.abs(apart[:, n_ub:])
        outside = np.maximum(np.maximum(self.lower - z, z - self.upper), 0.0)
        return np.concatenate([above, off, outside], axis=1)

    def size(self, z: np.ndarray) -> np.ndarray:
        r"""Return what :meth:`violation` is to be compared with, (B, m + p + n).

        The sum of the absolute terms of a row, :math:`\sum_j |a_{ij} z_j| + |b_i|`; the largest of
        the absolute values of a variable and its bounds.
        """
        rows = np.abs(z) @ self._absolute_columns + _finite(self.row_upper)
        bounds = np.maximum(_finite(self.lower), _finite(self.upper))
        return np.concatenate([rows, np.maximum(np.abs(z), bounds)], axis=1)

    def violation_share(self, z: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
        """Return :meth:`violation` as a share of :meth:`size`, which may be given."""
        size = self.size(z) if size is None else size
        return self.violation(z) / np.where(size > 0, size, 1.0)

    def contains(self, z: np.ndarray, tol: float, atol: float | None = None) -> np.ndarray:
        """Return, for each row of z (B, n), whether all constraints hold, see :meth:`misses`."""
        return np.logical_not(self.misses(z, tol, atol).any(axis=1))

    def misses(self, z: np.ndarray, tol: float, atol: float | None = None) -> np.ndarray:
        """Return which constraints rows of z (B, n) miss, (B, m + p + n) as in `violation`.

        Each may be violated by `tol` times its size at z, plus `atol` in its own unit. The default
        of `atol` is a billionth of the least nonzero right-hand side or bound, and at most 1e-9; it
        is 0 where `tol` is 0. Integral variables may be off by `tol`, and are rounded for the rows.
        """
        if atol is None:
            least = 1e-9 * self._least_number() if tol > 0 else np.zeros(())
        else:
            least = np.asarray(atol)
        rounded = np.where(self.integral, np.rint(z), z)
        allowed = tol * self.size(rounded) + least[..., None]
        misses = ~(self._missed(rounded) <= allowed)
        misses[:, misses.shape[1] - z.shape[1] :] |= ~(np.abs(z - rounded) <= tol)
        return misses

    def _least_number(self) -> np.ndarray:
        """Return the least absolute right-hand side or bound that is not 0, and 1 at most."""
        parts = [self.b_ub, self.b_eq, self.lower, self.upper]
        numbers = np.abs(np.concatenate(parts, axis=-1))
        return np.where(numbers > 0, numbers, 1.0).min(axis=-1, initial=1.0)


def _finite(values: np.ndarray) -> np.ndarray:
    """Return absolute values, 0 where they are infinite."""
    return np.where(np.isfinite(values), np.abs(values), 0.0)
