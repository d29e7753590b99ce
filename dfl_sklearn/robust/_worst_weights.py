"""The worst weights of rows within a divergence of their nominal weights.

Each function maximises the mean loss ``sum p_i l_i`` over weights p near the nominal weights q,
both summing to 1. Weights are exact, by sorting or by the root of a function of one number.
"""

import numpy as np
from scipy.optimize import brentq

from .._utils.powers import size_exponent


def chi_square_weights(
    loss: np.ndarray, weight: np.ndarray, radius: float
) -> tuple[np.ndarray, float]:
    """Return the worst weights with ``sum q_i (p_i / q_i - 1)^2 <= radius``, and that divergence.

    The maximiser is p_i ~ q_i max(0, l_i - eta) (Duchi and Namkoong, 2019). While eta lies below
    all losses this is p_i = q_i (1 + sqrt(radius / var) (l_i - mean)); beyond, eta is the
    root of the divergence less the radius.

    Parameters
    ----------
    loss : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Nominal weights q, positive, summing to 1.
    radius : float
    """
    loss = np.ldexp(loss, -size_exponent(loss))  # the result does not depend on the unit
    loss = loss - loss.max()
    if radius == 0 or loss.max() == loss.min():
        return weight.copy(), 0.0
    excess = loss - weight @ loss
    exponent = size_exponent(excess)
    scale = float(np.ldexp(np.sqrt(weight @ np.ldexp(excess, -exponent) ** 2), exponent))
    ratio = 1.0 + np.sqrt(radius) * excess / scale
    if ratio.min() >= 0:
        return weight * ratio, radius
    top = loss == 0
    farthest = 1.0 / float(weight[top].sum()) - 1.0
    if radius >= farthest:
        worst = np.where(top, weight, 0.0)
        return worst / worst.sum(), farthest

    def beyond(reach: float) -> tuple[np.ndarray, float]:
        """Return the weights for eta = -reach, as the largest loss is 0, and their divergence."""
        p = weight * np.maximum(0.0, loss + reach)
        p = p / p.sum()
        return p, float(np.sum(p**2 / weight)) - 1.0

    # All weight is on the largest losses at one end, and on all losses at the other: the divergence
    # falls from its largest value to below the radius, up to rounding errors.
    low, high = -float(loss[~top].max()), -float(loss.min())
    if beyond(low)[1] <= radius:
        return beyond(low)
    if beyond(high)[1] >= radius:
        return beyond(high)
    floats = np.finfo(float)
    reach = brentq(  # to the last bits, even close to the largest loss
        lambda reach: beyond(reach)[1] - radius,
        *(low, high),
        xtol=floats.smallest_subnormal,
        rtol=4 * floats.eps,
        maxiter=5000,
    )
    return beyond(reach)


def cvar_weights(loss: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """Return the worst weights with ``p_i <= q_i / alpha``: all on the costliest share alpha.

    Their mean loss is the conditional value at risk (Rockafellar and Uryasev, 2000). The row at the
    boundary gets the remaining weight; rows of equal loss share it.

    Parameters
    ----------
    loss : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Nominal weights q, positive, summing to 1.
    alpha : float
        In (0, 1].
    """
    order = np.argsort(-loss, kind="stable")
    mass = np.cumsum(weight[order])
    boundary = loss[order[min(int(np.searchsorted(mass, alpha)), len(loss) - 1)]]
    above, at = loss > boundary, loss == boundary
    p = np.where(above, weight, 0.0)
    p[at] = weight[at] * max(0.0, alpha - p.sum()) / weight[at].sum()
    return p / p.sum()


def total_variation_weights(
    loss: np.ndarray, weight: np.ndarray, radius: float
) -> tuple[np.ndarray, float]:
    """Return the worst weights with ``sum |p_i - q_i| / 2 <= radius``, and that divergence.

    The costliest share 1 - radius keeps its weight, and the largest loss gets the weight of the
    others; rows of equal loss share it.

    Parameters
    ----------
    loss : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        Nominal weights q, positive, summing to 1.
    radius : float
        In [0, 1].
    """
    top = np.where(loss == loss.max(), weight, 0.0)
    worst = radius * top / top.sum()
    if radius < 1:
        worst = worst + (1 - radius) * cvar_weights(loss, weight, 1 - radius)
    return worst, float(np.abs(worst - weight).sum() / 2)
