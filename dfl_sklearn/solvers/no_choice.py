"""Variables that bounds and single constraints leave no choice, for many right-hand sides."""

from typing import NamedTuple

import numpy as np

_ROUNDING = 1e-13  # of a sum, as a share of its absolute terms
_MOST_PASSES = 20


class NoChoice(NamedTuple):
    """What is left of programs that share their matrices.

    Attributes
    ----------
    held : ndarray of shape (B, n)
        Whether a variable can take a single value.
    value : ndarray of shape (B, n)
        That value; 0 for the others.
    is_clear : ndarray of shape (B,)
        Whether no constraint was found to contradict the bounds, or to do so but for rounding.
    """

    held: np.ndarray
    value: np.ndarray
    is_clear: np.ndarray


def no_choice(
    A: np.ndarray,
    b: np.ndarray,
    G: np.ndarray,
    h: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> NoChoice:
    """Find variables that A z = b, G z <= h and l <= z <= u hold at a single value.

    That is where two bounds are equal, and where a constraint can only just be met: with each of
    its variables at the bound that suits it. Each constraint is looked at by itself, until nothing
    more is found; what takes several constraints at once is not seen.

    Parameters
    ----------
    A, b : ndarray of shape (p, n) and (B, p)
    G, h : ndarray of shape (m, n) and (B, m)
    lower, upper : ndarray of shape (B, n)
        Infinite where absent.
    """
    lower, upper = lower.copy(), upper.copy()
    # An equation is two inequalities.
    rows, right = np.concatenate([A, -A, G]), np.concatenate([b, -b, h], axis=1)
    is_clear = np.ones(len(lower), dtype=bool)
    for _ in range(_MOST_PASSES):
        least, terms = _least(rows, lower, upper)
        with np.errstate(invalid="ignore"):
            room, noise = right - least, _ROUNDING * (terms + np.abs(right))
        is_clear &= ~(room < -noise).any(axis=1)
        forces = (room <= noise) & np.isfinite(least)
        at_lower = forces @ (rows > 0).astype(float) > 0
        at_upper = forces @ (rows < 0).astype(float) > 0
        changes = (at_lower | at_upper) & (lower < upper)
        if not changes.any():
            break
        # What two constraints pull to different bounds is not clear; the last pass will tell.
        lower, upper = np.where(at_upper, upper, lower), np.where(at_lower, lower, upper)
    held = lower >= upper
    is_clear &= (lower <= upper).all(axis=1)
    return NoChoice(held, np.where(held, lower, 0.0), is_clear)


def _least(rows: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least value (B, m) of each row within bounds, and the sum of its terms' sizes."""
    positive, negative = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
    low, high = (np.where(np.isfinite(each), each, 0.0) for each in (lower, upper))
    open_low, open_high = (np.isinf(each).astype(float) for each in (lower, upper))
    least = low @ positive.T + high @ negative.T
    terms = np.abs(low) @ positive.T - np.abs(high) @ negative.T
    is_open = open_low @ (positive > 0).T + open_high @ (negative < 0).T > 0
    return np.where(is_open, -np.inf, least), terms
