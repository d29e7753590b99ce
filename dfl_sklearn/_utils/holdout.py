"""A random hold-out over distinct rows."""

import numpy as np

from .canonical import CanonicalRows


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
