"""Checks of shares of a budget."""

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


def shares_missed(z: np.ndarray) -> np.ndarray:
    """Return how far the rows of z (n, d) are from a sum of 1, and each share below 0."""
    with np.errstate(invalid="ignore"):
        off = np.abs(z.sum(axis=1) - 1)
    return np.column_stack([off, np.maximum(0.0 - z, 0.0)])
