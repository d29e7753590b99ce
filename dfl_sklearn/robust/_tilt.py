"""Exponential tilting: the worst weights within a Kullback-Leibler ball."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from .._utils.powers import size_exponent

MIN_EFFECTIVE = 30.0  # rows: a mean over fewer is off by more than 18 % of their spread
_LOWEST, _HIGHEST = -40.0, 40.0  # of log(spread / tau), between which it is looked for
_TINY = 1e-9  # nats, below which the usual formula of the divergence is mostly rounding


@np.errstate(under="ignore")  # what is 0 by then counts as nothing
def tilt(loss: np.ndarray, weight: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Return the weights that maximise the mean loss within `radius` nats of `weight`.

    The maximiser of E_p[loss] over KL(p || q) <= radius is p ~ q exp(loss / tau), with the
    temperature tau at which the divergence equals the radius (Donsker and Varadhan). Where
    the divergence is within the radius even with all mass on the largest loss, that is the answer.

    Parameters
    ----------
    loss : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Nominal weights q, positive, summing to 1.
    radius : float
        Radius in nats.

    Returns
    -------
    weights : ndarray of shape (n,)
    divergence : float
        KL(p || q) reached, in nats.
    """
    # Weights do not depend on the unit of the losses, nor on a constant added to them.
    loss = np.ldexp(loss, -size_exponent(loss))
    spread = float(loss.max() - loss.min())
    if radius == 0 or spread == 0:
        return weight.copy(), 0.0
    top = loss == loss.max()
    farthest = -float(np.log(weight[top].sum()))
    if radius >= farthest:
        worst = np.where(top, weight, 0.0)
        return worst / worst.sum(), farthest
    scaled = (loss - loss.max()) / spread

    def tilted(log_rate: float) -> tuple[np.ndarray, float]:
        rate = np.exp(log_rate)
        mass = weight * np.exp(rate * scaled)
        total = mass.sum()  # at least the weight of the largest loss
        if radius < _TINY:
            return mass / total, _small_divergence(rate * scaled - np.log(total), weight)
        return mass / total, float(rate * (mass @ scaled) / total - np.log(total))

    return _reaching(radius, tilted, weight.copy())


@np.errstate(under="ignore")  # what is 0 by then counts as nothing
def tilt_within(loss: np.ndarray, share: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Return the worst weights of draws within each row, where rows share one divergence.

    They maximise the mean of ``share @ (p * loss).sum(axis=1)`` over weights p that sum to 1 in
    each row, with a mean divergence KL(p || 1 / m) of at most `radius`: p ~ exp(loss / tau), with
    one temperature for all rows.

    Parameters
    ----------
    loss : ndarray of shape (n, m)
    share : ndarray of shape (n,)
        Weights of the rows, summing to 1.
    radius : float
        Radius in nats.

    Returns
    -------
    weights : ndarray of shape (n, m)
    divergence : float
        The mean divergence reached, in nats.
    """
    n_draws = loss.shape[1]
    loss = np.ldexp(loss, -size_exponent(loss, axis=None))  # the result has no unit
    loss = loss - loss.max(axis=1, keepdims=True)
    spread = -float(loss.min())
    even = np.full(loss.shape, 1 / n_draws)
    if radius == 0 or spread == 0:
        return even, 0.0
    top = loss == 0
    farthest = float(share @ np.log(n_draws / top.sum(axis=1)))
    if radius >= farthest:
        return top / top.sum(axis=1, keepdims=True), farthest
    scaled = loss / spread

    def tilted(log_rate: float) -> tuple[np.ndarray, float]:
        rate = np.exp(log_rate)
        mass = np.exp(rate * scaled)
        total = mass.sum(axis=1)
        p = mass / total[:, None]
        return p, float(share @ (rate * (p * scaled).sum(axis=1) - np.log(total / n_draws)))

    return _reaching(radius, tilted, even)


def _reaching(
    radius: float, tilted: Callable[[float], tuple[np.ndarray, float]], nominal: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the tilted weights whose divergence is the radius, and their divergence.

    Parameters
    ----------
    radius : float
        In nats, above 0 and below the divergence of all weight on the largest losses.
    tilted : callable
        Returns weights and their divergence for log(spread / tau), the logarithm of the spread of
        the losses in units of the temperature. The divergence grows with it, from 0.
    nominal : ndarray
        The weights whose divergence is 0.
    """
    if tilted(_LOWEST)[1] >= radius:
        return nominal, 0.0  # the tilt is below rounding errors
    if tilted(_HIGHEST)[1] <= radius:
        return tilted(_HIGHEST)

    def missing(log_rate: float) -> float:
        return tilted(log_rate)[1] - radius

    return tilted(brentq(missing, _LOWEST, _HIGHEST, xtol=1e-13, rtol=1e-13))


def _small_divergence(log_ratio: np.ndarray, weight: np.ndarray) -> float:
    """Return KL(p || q) for log(p / q) (n,) and q (n,), without cancellation where it is tiny.

    Since both sum to 1, it is the sum of q (r log r - r + 1) with r = p / q, whose terms are not
    negative.
    """
    t = log_ratio
    exact = t * np.exp(t) - np.expm1(t)
    series = t**2 * (1 / 2 + t * (1 / 3 + t * (1 / 8 + t / 30)))
    return float(weight @ np.where(np.abs(t) < 1e-3, series, exact))


def effective_sample_size(weight: np.ndarray) -> float:
    """Return the effective sample size (sum w)^2 / sum w^2 (Kish)."""
    return float(weight.sum() ** 2 / (weight @ weight))
