"""Shares of a budget: what makes them allowed."""

import numpy as np

from .._utils.rows import raise_at


def check_shares(z: np.ndarray) -> None:
    """Raise a ValueError that names the cell if shares (n, d) are negative or do not sum to 1."""
    negative = z < -1e-6
    if negative.any():
        raise_at(negative, z, "decisions", "is a negative share", "Decide with solve().")
    total = z.sum(axis=1, keepdims=True)
    off = np.abs(total - 1) > 1e-5
    if off.any():
        remedy = "Decide with solve(), or divide shares by their sum."
        raise_at(off, total, "decisions", "do not sum to 1", remedy)


def are_shares(z: np.ndarray, tol: float) -> np.ndarray:
    """Return whether the rows of z (n, d) are non-negative and sum to 1, to `tol`."""
    return (z >= -tol).all(axis=1) & (np.abs(z.sum(axis=1) - 1) <= tol)
