"""Linear programs whose matrices differ by row, solved with bases that several rows share."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .exact import Basis
from .known_bases import Misses

_MARGIN = 1e-6  # least relative reduced cost at which a basis is clearly the only best one
_SURELY = 1e-12  # largest rounding error of an equation, as a share of its terms
_CHUNK = 1 << 21  # numbers of matrices in memory at a time


class DensePrograms(NamedTuple):
    """Minimise costs @ z with matrix @ z <= or == ends, row by row, within the same bounds.

    Attributes
    ----------
    costs : ndarray of shape (B, n)
    matrix : ndarray of shape (B, m, n)
    ends : ndarray of shape (B, m)
    is_equation : ndarray of shape (m,)
    lower, upper : ndarray of shape (n,)
    """

    costs: np.ndarray
    matrix: np.ndarray
    ends: np.ndarray
    is_equation: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def of_rows(self, rows: np.ndarray) -> "DensePrograms":
        """Return the programs of some rows."""
        return self._replace(costs=self.costs[rows], matrix=self.matrix[rows], ends=self.ends[rows])


def solve_by_bases(
    programs: DensePrograms, alone: Callable[[int], tuple[np.ndarray, Basis | None]]
) -> np.ndarray:
    """Return minimisers (B, n), each the same as if its row were solved by itself.

    The basis found for a row is tried on all rows that are left. It is accepted for a row if it is
    clearly the only best basis there, so that solving for that row would find it as well.

    Parameters
    ----------
    programs : DensePrograms
    alone : callable
        Returns a minimiser (n,) of a row, and its basis if it is known.
    """
    z = np.empty(programs.costs.shape)
    left, misses = np.arange(len(z)), Misses()
    while len(left):
        row, others = left[:1], left[1:]
        z[row], basis = alone(int(row[0]))
        if basis is not None and len(basis[0]) == len(programs.is_equation):
            tried = row if misses.are_many else left
            found, is_only = _at_basis(programs, tried, basis)
            z[tried[is_only]] = found[is_only]
            others = np.setdiff1d(others, tried[is_only], assume_unique=True)
            misses.note(len(left) - 1 - len(others))
        left = others
    return z


def _at_basis(
    programs: DensePrograms, rows: np.ndarray, basis: Basis
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (B, n) of a basis in some rows, and where it is the only best one."""
    step = max(1, _CHUNK // max(1, programs.matrix[0].size))
    parts = [
        _vertices(programs.of_rows(rows[start : start + step]), basis)
        for start in range(0, len(rows), step)
    ]
    found, is_only = zip(*parts, strict=True)
    return np.concatenate(found), np.concatenate(is_only)


def _vertices(programs: DensePrograms, basis: Basis) -> tuple[np.ndarray, np.ndarray]:
    costs, matrix, ends, is_equation, lower, upper = programs
    B, m, n = matrix.shape
    basic, at_upper = (np.array(each) for each in basis)
    others = np.setdiff1d(np.arange(n + m), basic)
    # The values of rows are variables as well, after the others.
    full = np.concatenate([matrix, np.broadcast_to(-np.eye(m), (B, m, m))], axis=2)
    low = np.concatenate(
        [np.broadcast_to(lower, (B, n)), np.where(is_equation, ends, -np.inf)], axis=1
    )
    high = np.concatenate([np.broadcast_to(upper, (B, n)), ends], axis=1)
    values = np.zeros((B, n + m))
    values[:, others] = np.where(at_upper | ~np.isfinite(low), high, low)[:, others]
    square = full[:, :, basic]
    is_singular = np.linalg.slogdet(square).sign == 0
    inverse = np.linalg.inv(np.where(is_singular[:, None, None], np.eye(m), square))
    prices = np.concatenate([costs, np.zeros((B, m))], axis=1)
    columns, back = full.transpose(0, 2, 1), inverse.transpose(0, 2, 1)
    with np.errstate(all="ignore"):
        dual = np.zeros((B, m))
        for _ in range(2):  # the second time for rounding errors
            values[:, basic] -= _times(inverse, _times(full, values))
            dual += _times(back, (prices - _times(columns, dual))[:, basic])
        size = np.maximum(1.0, np.abs(values).max(axis=1, keepdims=True))
        off = np.abs(_times(full, values))
        holds = off <= _SURELY * _times(np.abs(full), np.abs(values))
        wrong = _times(np.abs(inverse), off)  # by how much basic values may be, at most
        inside = (values > low + _MARGIN * size) & (values < high - _MARGIN * size)
        inside &= (wrong <= _SURELY * size).all(axis=1, keepdims=True)
        # Reduced costs of basic variables are 0; what they are not, others may be wrong by.
        reduced = prices - _times(columns, dual)
        unit = np.abs(costs).max(axis=1, keepdims=True)
        wrong = _times(np.abs(columns), _times(np.abs(back), np.abs(reduced[:, basic])))
        toward = np.where(at_upper | ~np.isfinite(low), -reduced, reduced)
        dear = (toward > _MARGIN * unit) & (wrong <= 1e-3 * _MARGIN * unit)
    is_only = ~is_singular & holds.all(axis=1) & inside[:, basic].all(axis=1)
    is_only &= (dear | (low == high))[:, others].all(axis=1)
    return values[:, :n] + 0.0, is_only & np.isfinite(values).all(axis=1)


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return products (B, m), whose terms are added up in the same order in each row."""
    return (np.ascontiguousarray(matrices) * vectors[:, None]).sum(axis=2)
