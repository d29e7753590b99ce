"""Shares of a budget under a quadratic cost, to the last digits."""

import numpy as np

_GAP = 1e-12  # of a slope, as a share of its terms


def improved_shares(quadratic: np.ndarray, linear: np.ndarray, shares: np.ndarray) -> np.ndarray:
    r"""Return the minimiser (n,) of :math:`\frac12 z^\top Q z - y^\top z` over the simplex.

    The active-set method (Nocedal and Wright, 2006, algorithm 16.3), from shares that are nearly
    right: those held are the best for their set, or one of them falls to 0 on the way there; then
    one is added that pays.

    Parameters
    ----------
    quadratic : ndarray of shape (n, n)
        Q, positive definite.
    linear : ndarray of shape (n,)
        y.
    shares : ndarray of shape (n,)
        Non-negative, with a sum of 1.
    """
    z = np.where(shares > 1e-9, shares, 0.0)
    z /= z.sum()
    held = z > 0
    for _ in range(100 * len(z)):
        target = np.zeros_like(z)
        target[held], level = _best_of(quadratic[np.ix_(held, held)], linear[held])
        falls = held & (target < 0)
        if falls.any():
            room = z[falls] / (z[falls] - target[falls])
            z = z + room.min() * (target - z)
            held[np.flatnonzero(falls)[room <= room.min()]] = False
            z = np.where(held, np.maximum(z, 0.0), 0.0)
            continue
        z = target
        slope = quadratic @ z - linear - level
        terms = np.abs(quadratic) @ z + np.abs(linear) + abs(level)
        pays = ~held & (slope < -_GAP * terms)
        if not pays.any():
            return z / z.sum()
        held[np.where(pays, slope, 0.0).argmin()] = True
    return z / z.sum()


def slope_gap(quadratic: np.ndarray, linear: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return a bound on the excess cost of shares (B, n), as a share of the terms of their cost."""
    slope = shares @ quadratic - linear
    gap = (shares * slope).sum(axis=1) - slope.min(axis=1)
    risk = (shares * (shares @ np.abs(quadratic))).sum(axis=1)
    terms = np.abs(shares * linear).sum(axis=1) + risk
    return gap / np.where(terms > 0, terms, 1.0)


def _best_of(quadratic: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, float]:
    """Return shares with a sum of 1 and any sign, and the slope that all of them have."""
    n = len(linear)
    system = np.ones((n + 1, n + 1))
    system[:n, :n], system[n, n] = quadratic, 0.0
    found = np.linalg.solve(system, np.append(linear, 1.0))
    return found[:n], -float(found[n])
