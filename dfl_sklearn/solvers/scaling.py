"""Units in which the numbers of a linear program are alike."""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .polytope import Polytope

_PASSES = 6


class Units(NamedTuple):
    r"""Factors, powers of two, that make a polytope's numbers alike.

    With the matrix R A S and decisions :math:`z = \sigma S z'`, no rounding error is made.

    Attributes
    ----------
    rows : ndarray of shape (m,)
        R, on the rows of A.
    columns : ndarray of shape (n,)
        S, on the variables; 1 for whole numbers, which have a unit.
    size : float or ndarray of shape (B, 1)
        :math:`\sigma`, the size of decisions; 1 where there are whole numbers. One number for each
        set where there are several.
    """

    rows: np.ndarray
    columns: np.ndarray
    size: Any

    @property
    def of_decisions(self) -> np.ndarray:
        """What scaled decisions are to be multiplied by, (n,) or (B, n)."""
        return self.size * self.columns

    @classmethod
    def of(cls, polytope: Polytope) -> "Units":
        """Return the units of a polytope."""
        rows, columns = balanced(polytope.matrix, fixed_columns=polytope.integral)
        return cls(rows, columns, 1.0).sized(polytope)

    def sized(self, polytope: Polytope) -> "Units":
        """Return the units of a polytope with the matrix that these are for."""
        rows, columns = self.rows, self.columns
        ends = [rows * polytope.row_upper, polytope.lower / columns, polytope.upper / columns]
        numbers = np.concatenate(ends, axis=-1)
        if polytope.n_sets is not None:
            sizes = [1.0 if polytope.integral.any() else _median_size(each) for each in numbers]
            return Units(rows, columns, np.array(sizes)[:, None])
        return Units(rows, columns, 1.0 if polytope.integral.any() else _median_size(numbers))

    def apply(self, polytope: Polytope, like: Polytope | None = None) -> Polytope:
        """Return the polytope of the scaled decisions; `like` is one with the same matrix."""
        n_ub, unit = polytope.A_ub.shape[0], self.of_decisions
        of_ub, of_eq = self.rows[:n_ub], self.rows[n_ub:]
        if like is not None:
            return like.replace(
                b_ub=polytope.b_ub * of_ub / self.size,
                b_eq=polytope.b_eq * of_eq / self.size,
                lower=polytope.lower / unit,
                upper=polytope.upper / unit,
            )
        across = sparse.diags_array(self.columns)

        def scaled(A: sparse.csr_array, factors: np.ndarray) -> sparse.csr_array:
            return sparse.csr_array(sparse.diags_array(factors) @ A @ across)

        return Polytope(
            A_ub=scaled(polytope.A_ub, of_ub),
            b_ub=polytope.b_ub * of_ub / self.size,
            A_eq=scaled(polytope.A_eq, of_eq),
            b_eq=polytope.b_eq * of_eq / self.size,
            lower=polytope.lower / unit,
            upper=polytope.upper / unit,
            integral=polytope.integral,
        )


def _median_size(numbers: np.ndarray) -> float:
    """Return the power of two nearest to the median of absolute numbers, finite and not 0."""
    numbers = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    return float(power_of_two(np.median(numbers))) if len(numbers) else 1.0


def balanced(
    matrix: Any, *, fixed_rows: Any = slice(0), fixed_columns: Any = slice(0)
) -> tuple[np.ndarray, np.ndarray]:
    """Return factors of rows and columns that make the entries of a matrix (m, n) alike.

    Powers of two, with which the largest and the least entry of a row or column are about inverse:
    the geometric mean of the two is taken, rows and columns in turns (Curtis, Reid, 1972). Fixed
    rows and columns have the factor 1.
    """
    A = abs(sparse.csr_array(matrix))
    A.eliminate_zeros()
    rows, columns = np.ones(A.shape[0]), np.ones(A.shape[1])
    row_of = np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))
    for _ in range(_PASSES if A.nnz else 0):
        rows = _middle(A.data * columns[A.indices], row_of, A.shape[0])
        rows[fixed_rows] = 1.0
        columns = _middle(A.data * rows[row_of], A.indices, A.shape[1])
        columns[fixed_columns] = 1.0
    return power_of_two(rows), power_of_two(columns)


def _middle(values: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Return, for each group, 1 / sqrt(least * largest) of its positive values, 1 without any."""
    least, largest = np.full(n_groups, np.inf), np.zeros(n_groups)
    np.minimum.at(least, group, values)
    np.maximum.at(largest, group, values)
    some = largest > 0
    found = np.ones(n_groups)
    found[some] = 1.0 / (np.sqrt(least[some]) * np.sqrt(largest[some]))
    return found


def power_of_two(values: Any) -> Any:
    """Return the powers of two nearest to positive values, in ratio."""
    return np.exp2(np.rint(np.log2(values)))
