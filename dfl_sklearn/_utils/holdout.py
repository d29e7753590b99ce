"""Held-out rows: a random share of the distinct ones, or those that were given."""

from typing import Any

import numpy as np

from .canonical import CanonicalRows


def is_given(X_val: Any, y_val: Any, sample_weight_val: Any) -> bool:
    """Return whether held-out rows were given to `fit`, or say which part of them is missing."""
    if (X_val is None) != (y_val is None):
        raise ValueError("Give both X_val and y_val, or neither.")
    if X_val is None and sample_weight_val is not None:
        raise ValueError("sample_weight_val was given without X_val and y_val.")
    return X_val is not None


def hold_out(
    rows: CanonicalRows, fraction: float, rng: np.random.Generator
) -> tuple[CanonicalRows, CanonicalRows]:
    """Split canonical rows into training and held-out rows, at least one of each.

    Raises
    ------
    ValueError
        If there is only one distinct row.
    """
    n = len(rows.X)
    if n < 2:
        raise ValueError(
            f"early_stopping holds out rows and needs at least 2 distinct ones, got n_samples={n}."
        )
    n_held = min(max(round(fraction * n), 1), n - 1)
    held = np.zeros(n, dtype=bool)
    held[rng.permutation(n)[:n_held]] = True
    return CanonicalRows(*(each[~held] for each in rows)), CanonicalRows(
        *(each[held] for each in rows)
    )
