"""Checks of constants, with errors that name the argument."""

from typing import Any

import numpy as np


def positive(value: Any, name: str, *, strictly: bool = True) -> np.ndarray:
    """Return `value` as a float array of 0 or 1 dimensions, all (strictly) positive.

    Raises
    ------
    ValueError
        Naming the argument, the entry and its value.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number or a sequence of numbers, got {value!r}.") from (
            error
        )
    bound = "positive" if strictly else "non-negative"
    bad = ~((array > 0) if strictly else (array >= 0)) | ~np.isfinite(array)
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name} must be a number or a 1-d sequence, got shape {array.shape}.")
    if bad.any():
        where = f"[{int(np.flatnonzero(bad)[0])}]" if array.ndim else ""
        raise ValueError(f"{name}{where} must be {bound} and finite, got {array[bad][0]!s}.")
    return array


def finite_number(value: Any, name: str) -> float:
    """Return `value` as a finite float, or raise a ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}.")
    return float(value)


def whole_number(value: Any, name: str, *, at_least: int) -> int:
    """Return `value` as an int, or raise a ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value!r}.")
    return int(value)
