"""Exponential tilting: the worst weights within a Kullback-Leibler ball."""

import numpy as np
from scipy.optimize import brentq

from .._utils.powers import size_exponent

_TINY = 1e-9  # nats, below which the usual formula of the divergence is mostly rounding


@np.errstate(under="ignore")  # what is 0 by then counts as nothing
def tilt(loss: np.ndarray, weight: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Return the weights that maximise the mean loss within `radius` nats of `weight`.

    The maximiser of E_p[loss] over KL(p || q) <= radius is p ~ q exp(loss / tau), with the
    temperature tau at which the divergence equals the radius (Donsker and Varadhan). Where
    even all mass on the largest loss is nearer than the radius, that is the answer.

    Parameters
    ----------
    loss : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Nominal weights q, positive, summing to 1.
    radius : float
        In nats.

    Returns
    -------
    weights : ndarray of shape (n,)
    divergence : float
        KL(p || q) reached, in nats.
    """
    # Weights depend on neither the unit of the losses nor their level.
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

    if tilted(-40.0)[1] >= radius:
        return weight.copy(), 0.0  # nothing that a float can tell from the weights themselves
    # The divergence grows with log(spread / tau), from 0 to its farthest.
    p, divergence = tilted(
        brentq(lambda log_rate: tilted(log_rate)[1] - radius, -40.0, 40.0, xtol=1e-13, rtol=1e-13)
        if tilted(40.0)[1] > radius
        else 40.0
    )
    return p, divergence


def _small_divergence(log_ratio: np.ndarray, weight: np.ndarray) -> float:
    """Return KL(p || q) for log(p / q) (n,) and q (n,), without cancellation where it is tiny.

    As both sum to 1 it is the sum of q (r log r - r + 1), r = p / q, whose terms are not negative.
    """
    t = log_ratio
    exact = t * np.exp(t) - np.expm1(t)
    series = t**2 * (1 / 2 + t * (1 / 3 + t * (1 / 8 + t / 30)))
    return float(weight @ np.where(np.abs(t) < 1e-3, series, exact))


def effective_sample_size(weight: np.ndarray) -> float:
    """Return (sum w)^2 / sum w^2, the number of equal weights worth as much (Kish)."""
    return float(weight.sum() ** 2 / (weight @ weight))
