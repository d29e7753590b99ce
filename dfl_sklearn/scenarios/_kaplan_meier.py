"""The distribution of errors when some are known only as lower bounds."""

from collections.abc import Callable
from typing import Any

import numpy as np

_ROUNDS, _SETTLED = 20, 1e-3  # most rounds; mean change, as a share of the spread, to stop at


def imputed(
    unseen_means: Callable[[np.ndarray], np.ndarray],
    y: np.ndarray,
    weight: np.ndarray,
    is_censored: np.ndarray,
) -> np.ndarray:
    """Return y with its lower bounds replaced by conditional means (Buckley and James).

    Models are fitted to the values imputed so far. A censored value becomes the prediction plus the
    mean of the errors above its own error, by the product-limit estimator.

    Parameters
    ----------
    unseen_means : callable
        Maps y (n,) to predictions by models that have not seen these rows, NaN for rows without
        such a model.
    y : ndarray of shape (n,)
    weight : ndarray of shape (n,)
    is_censored : ndarray of shape (n,)

    References
    ----------
    Buckley and James, "Linear regression with censored data", 1979.
    """
    found = y.astype(np.float64)
    for _ in range(_ROUNDS):
        mean = unseen_means(found)
        known = np.isfinite(mean) & (weight > 0)
        if not known.any():
            break
        error = np.where(known, y - mean, 0.0)
        mass = np.zeros(len(y))
        mass[known] = kaplan_meier_weights(
            error[known][None], weight[known][None] / weight[known].sum(), is_censored[known][None]
        )[0]
        beyond = _mean_beyond(error, mass)
        change = np.where(is_censored & known, mean + np.maximum(beyond, error), found) - found
        found = found + change
        if np.average(np.abs(change), weights=weight) <= _SETTLED * _spread(error, known * weight):
            break
    return found


def _spread(error: np.ndarray, weight: np.ndarray) -> float:
    mean = np.average(error, weights=weight)
    return float(np.sqrt(np.average((error - mean) ** 2, weights=weight)))


def _mean_beyond(error: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return for each error the mean of the larger ones, or itself where there are none."""
    order = np.argsort(error, kind="stable")
    left = np.cumsum(mass[order][::-1])[::-1]
    total = np.cumsum((mass * error)[order][::-1])[::-1]
    first = np.searchsorted(error[order], error, side="right")
    place = np.minimum(first, len(error) - 1)
    there = (first < len(error)) & (left[place] > 1e-12)
    return np.where(there, total[place] / np.where(there, left[place], 1.0), error)


def kaplan_meier_weights(
    values: np.ndarray, weight: np.ndarray, is_censored: np.ndarray
) -> np.ndarray:
    r"""Return the weights of the product-limit estimator, row by row.

    An observation of weight :math:`w_i` has the hazard :math:`w_i / \sum_{j: y_j \ge y_i} w_j`.
    A censored observation gives its weight to all larger values. Where the largest value of a row
    is censored, it keeps the remaining weight, as no larger value was observed.

    Parameters
    ----------
    values : ndarray of shape (n, S)
        Observed values, or lower bounds.
    weight : ndarray of shape (n, S)
        Rows sum to 1.
    is_censored : ndarray of shape (n, S)
        Whether each value is a lower bound.

    Returns
    -------
    ndarray of shape (n, S)
        Rows sum to 1.

    References
    ----------
    Kaplan and Meier, "Nonparametric estimation from incomplete observations", 1958.
    """
    order = np.lexsort((is_censored, values))  # along the last axis; uncensored values come first
    w = np.take_along_axis(weight, order, axis=1)
    at_risk = np.cumsum(w[:, ::-1], axis=1)[:, ::-1]
    seen = ~np.take_along_axis(is_censored, order, axis=1)
    hazard = np.divide(w, at_risk, out=np.zeros_like(w), where=seen & (w > 0))
    survival = np.cumprod(1.0 - hazard, axis=1)
    before = np.concatenate([np.ones((len(w), 1)), survival[:, :-1]], axis=1)
    found = before * hazard
    # Where all weight has been given away, the rest is only a rounding error.
    last = w.shape[1] - 1 - (w[:, ::-1] > 0).argmax(axis=1)
    rows = np.arange(len(w))
    found[rows, last] = np.where(seen[rows, last], before[rows, last], survival[rows, last])
    result = np.empty_like(w)
    np.put_along_axis(result, order, found, axis=1)
    return result


def mask_of(censored: Any, y: np.ndarray) -> np.ndarray:
    """Return where y is a lower bound, checked."""
    mask = np.asarray(censored)
    if mask.shape != (len(y),) or mask.dtype != bool:
        raise ValueError(
            f"censored must be True or False for each of the {len(y)} rows, got an array of shape "
            f"{mask.shape} and type {mask.dtype}."
        )
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            f"censored is for one output, but y has {y.shape[1]} columns: fit one model for each."
        )
    return mask
