"""Constraints whose rows have length 1, and equations none of which follow from others."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr

from .._utils.powers import size_exponent


class RowSize(NamedTuple):
    """How long the rows (m,) of a matrix were: a power of two, and a factor beside it."""

    exponent: np.ndarray
    length: np.ndarray


def unit_rows(matrix: np.ndarray) -> tuple[np.ndarray, RowSize]:
    """Return a matrix (m, n) with rows of length 1, or of 0, and their sizes.

    So the unit of a constraint does not matter, however large or small.
    """
    exponent = size_exponent(matrix, axis=1)
    matrix = np.ldexp(matrix, -exponent[:, None])
    length = np.linalg.norm(matrix, axis=1)
    length[length == 0] = 1.0
    return matrix / length[:, None], RowSize(exponent, length)


def independent(A: np.ndarray) -> np.ndarray:
    """Return the numbers of equations, rows of length at most 1, from which the others follow."""
    if not A.size:
        return np.zeros(0, dtype=int)
    _, triangle, order = qr(A.T, mode="economic", pivoting=True)
    return np.sort(order[: int((np.abs(np.diag(triangle)) > 1e-10).sum())])
