"""Global minimum of a convex plus a concave function of one variable."""

from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def minimise_dc(
    convex: Function,
    slope: Function,
    concave: Function,
    upper: float,
    *,
    tol: float,
    max_rounds: int = 200,
) -> float:
    """Minimise ``convex(u) + concave(u)`` over [0, upper] by branch and bound.

    On an interval, a concave function lies above its chord and a convex one above its
    tangents at both ends; together they bound the minimum from below, exactly enough that
    intervals are discarded as soon as they cannot hold it.

    Parameters
    ----------
    convex, slope, concave : callable
        Vectorised; `slope` is a derivative (or subgradient) of `convex`.
    upper : float
        Right end of the interval, > 0.
    tol : float
        The value found is within `tol` of the minimum.
    max_rounds : int
        A guard against a `tol` below what rounding allows; each round shortens every interval
        that is left by at least a tenth.

    Returns
    -------
    float
        The minimiser.
    """

    def evaluate(u: np.ndarray) -> np.ndarray:
        return np.stack([u, convex(u), slope(u), concave(u)])

    ends = evaluate(np.linspace(0.0, upper, 17))
    left, right = ends[:, :-1], ends[:, 1:]
    total = ends[1] + ends[3]
    best_u, best = float(ends[0, total.argmin()]), float(total.min())
    for _ in range(max_rounds):
        meet, bound = _lower_bound(left, right)
        alive = bound < best - tol
        if not alive.any():
            break
        left, right, meet = left[:, alive], right[:, alive], meet[alive]
        # Splitting near the middle halves the interval; splitting where the tangents meet
        # finds the minimiser fast. Keep to the latter while it stays clear of the ends.
        width = right[0] - left[0]
        split = evaluate(np.clip(meet, left[0] + 0.1 * width, right[0] - 0.1 * width))
        total = split[1] + split[3]
        if total.min() < best:
            best_u, best = float(split[0, total.argmin()]), float(total.min())
        left, right = np.hstack([left, split]), np.hstack([split, right])
    return best_u


def _lower_bound(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each interval, where the tangents meet and a lower bound of the minimum."""
    (u0, f0, g0, k0), (u1, f1, g1, k1) = left, right
    bend = g1 - g0
    safe = np.where(bend > 0, bend, 1.0)
    meet = np.where(bend > 0, (f0 - f1 + g1 * u1 - g0 * u0) / safe, (u0 + u1) / 2)
    meet = np.clip(meet, u0, u1)
    chord = k0 + (k1 - k0) * (meet - u0) / (u1 - u0)
    at_meet = np.maximum(f0 + g0 * (meet - u0), f1 + g1 * (meet - u1)) + chord
    return meet, np.minimum(np.minimum(f0 + k0, f1 + k1), at_meet)
