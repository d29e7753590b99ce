"""Exponential tilting: the worst weights within a Kullback-Leibler ball."""

import numpy as np
from scipy.special import logsumexp


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
    spread = float(loss.max() - loss.min())
    if radius == 0 or spread == 0:
        return weight.copy(), 0.0
    top = loss == loss.max()
    farthest = -float(np.log(weight[top].sum()))
    if radius >= farthest:
        worst = np.where(top, weight, 0.0)
        return worst / worst.sum(), farthest
    scaled, log_weight = (loss - loss.max()) / spread, np.log(weight)

    def tilted(log_rate: float) -> tuple[np.ndarray, float]:
        exponent = log_weight + np.exp(log_rate) * scaled
        log_p = exponent - logsumexp(exponent)
        p = np.exp(log_p)
        return p, float(p @ (log_p - log_weight))

    low, high = -40.0, 40.0  # of log(spread / tau); the divergence grows with it
    for _ in range(200):
        middle = (low + high) / 2
        p, divergence = tilted(middle)
        if abs(divergence - radius) <= 1e-12 + 1e-10 * radius:
            break
        low, high = (middle, high) if divergence < radius else (low, middle)
    return p, divergence


def effective_sample_size(weight: np.ndarray) -> float:
    """Return (sum w)^2 / sum w^2, the number of equal weights worth as much (Kish)."""
    return float(weight.sum() ** 2 / (weight @ weight))
