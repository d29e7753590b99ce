"""Proper scores of scenarios: how well they describe the outcome, whatever is decided."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from .._utils.powers import size_exponent
from .._utils.rows import as_float, as_numpy_rows, check_finite, check_total
from .._utils.scenario_models import values_and_weight
from .._utils.sklearn_private import _check_sample_weight
from ..problems._scenario_weights import normalised_weight

_CHUNK = 1 << 22  # distances that are held at a time


def crps(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
) -> float:
    r"""Compute the mean continuous ranked probability score (CRPS) of weighted scenarios.

    It is averaged over rows and columns. With the distribution function F of the weighted scenarios
    of a row and column, it is

    .. math:: \int (F(t) - 1\{y \le t\})^2 \, dt = E|Y - y| - \tfrac12 E|Y - Y'| ,

    with Y, Y' drawn independently from the scenarios. It is proper: in expectation no scenarios
    score better than the distribution of y itself. For a single scenario it is the absolute error.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n, S, d), or (n, S) where `y_true` is (n,), or Scenarios
        S scenarios for each row; :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios; they are normalised to sum to 1.

    Returns
    -------
    float
        The mean score in the unit of `y`; smaller is better.

    See Also
    --------
    energy_score : The same for all columns together, which also judges their dependence.

    Notes
    -----
    The scenarios are taken as the distribution itself, not as a sample from it. The "fair" and
    "probability weighted moment" forms, which correct for the number of scenarios, give lower
    scores.

    References
    ----------
    Gneiting, Raftery, "Strictly proper scoring rules, prediction, and estimation", Journal of the
    American Statistical Association 102, 2007, section 4.

    Examples
    --------
    >>> from dfl_sklearn.metrics import crps
    >>> crps([2.0], [[1.0, 3.0]])
    0.5
    >>> crps([2.0], [[1.0, 3.0]], scenario_weight=[3, 1])
    0.625
    """
    y, scenarios, weight, share = _checked(y_true, y_pred, sample_weight, scenario_weight)
    order = np.argsort(scenarios, axis=1, kind="stable")
    ranked = np.take_along_axis(scenarios, order, axis=1)
    mass = np.cumsum(np.take_along_axis(share[:, :, None], order, axis=1), axis=1)[:, :-1]
    # E|Y - Y'| / 2 is the integral of F (1 - F), which is constant between scenarios.
    with np.errstate(over="ignore", invalid="ignore"):  # _mean raises the error
        distance = np.einsum("ns,nsd->nd", share, np.abs(scenarios - y[:, None]))
        spread = (mass * (1.0 - mass) * np.diff(ranked, axis=1)).sum(axis=1)
        scores = (distance - spread).mean(axis=1)
    return _mean(scores, weight)


def energy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
) -> float:
    r"""Compute the mean energy score of weighted scenarios.

    .. math:: E\|Y - y\| - \tfrac12 E\|Y - Y'\|

    with Y, Y' drawn independently from the scenarios of a row, and Euclidean norms. It is proper.
    With one column it equals the :func:`crps`. Columns of large numbers dominate the norm: divide
    columns by their scale first.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n, S, d), or (n, S) where `y_true` is (n,), or Scenarios
        S scenarios for each row; :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios; they are normalised to sum to 1.

    Returns
    -------
    float
        The mean score in the unit of `y`; smaller is better.

    See Also
    --------
    crps : The score of each column separately, averaged over columns.

    References
    ----------
    Gneiting, Raftery, "Strictly proper scoring rules, prediction, and estimation", Journal of the
    American Statistical Association 102, 2007, section 4.

    Examples
    --------
    >>> from dfl_sklearn.metrics import energy_score
    >>> energy_score([[0.0, 0.0]], [[[3.0, 4.0], [0.0, 0.0]]])
    1.25
    """
    y, scenarios, weight, share = _checked(y_true, y_pred, sample_weight, scenario_weight)
    scores = np.empty(len(y))
    with np.errstate(over="ignore", invalid="ignore"):  # _mean raises the error
        for i, (one, rows, chance) in enumerate(zip(y, scenarios, share, strict=True)):
            # Divided by a power of two, so that squares neither overflow nor underflow.
            size = size_exponent(np.concatenate([rows, one[None]]), axis=None)
            rows, one = np.ldexp(rows, -size), np.ldexp(one, -size)
            step = max(1, _CHUNK // len(rows))
            among = sum(
                chance[part] @ cdist(rows[part], rows) @ chance
                for part in (slice(start, start + step) for start in range(0, len(rows), step))
            )
            scores[i] = np.ldexp(chance @ cdist(rows, one[None])[:, 0] - among / 2, size)
    return _mean(scores, weight)


def _mean(scores: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean of scores; raise an error where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.average(scores, weights=weight))
    if not np.isfinite(mean):
        raise ValueError(
            "The distances between scenarios and y_true are larger than a float holds. "
            "Divide both by a number of about their size."
        )
    return mean


def _checked(
    y_true: Any, y_pred: Any, sample_weight: Any, scenario_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return y (n, d), scenarios (n, S, d), weights (n,) of rows and (n, S) of scenarios."""
    y = as_numpy_rows(y_true, "y_true").astype(np.float64, copy=False)
    if not len(y):
        raise ValueError("y_true has no rows.")
    check_finite(y, "y_true")
    y_pred, scenario_weight = values_and_weight(y_pred, scenario_weight, "y_pred")
    scenarios = as_float(y_pred, "y_pred").astype(np.float64, copy=False)
    if scenarios.ndim == 2 and y.shape[1] == 1:
        scenarios = scenarios[:, :, None]
    n, d = y.shape
    if scenarios.ndim != 3 or (len(scenarios), scenarios.shape[2]) != (n, d):
        raise ValueError(
            f"y_pred must hold scenarios for each row, shape ({n}, n_scenarios, {d}), got "
            f"{scenarios.shape}."
        )
    check_finite(scenarios, "y_pred")
    weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
    check_total(weight, "sample_weight")
    return y, scenarios, weight, normalised_weight(scenario_weight, n, scenarios.shape[1])
