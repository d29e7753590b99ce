"""Density ratios from log odds: their scale, and warnings where they are not reliable."""

import warnings

import numpy as np
from scipy.optimize import brentq

from ._tilt import MIN_EFFECTIVE, effective_sample_size

_APART = 0.1  # mean ratio over the source, below which source and target hardly overlap


def level_of(log_odds: np.ndarray, weight: np.ndarray, clip: float | None) -> float:
    """Return the level at which the weights ``exp(log_odds - level)`` have the mean 1.

    Weights are clipped at `clip`, and the mean is weighted by `weight`.

    Raises
    ------
    ValueError
        If there is no such level.
    """
    log_odds, share = log_odds[weight > 0], weight[weight > 0] / weight.sum()
    top = float(log_odds.max())
    if top == -np.inf:
        raise ValueError(
            "The classifier is sure that no row of X is of X_target: there are no weights under "
            "which X looks like it. Is X_target in the units of X?"
        )
    if top == np.inf and clip is None:
        return 0.0  # the caller raises an error that names the row
    if clip is None:
        return top + float(np.log(share @ np.exp(log_odds - top)))

    def mean(level: float) -> float:
        with np.errstate(over="ignore"):
            return float(share @ np.minimum(np.exp(log_odds - level), clip))

    finite = log_odds[np.isfinite(log_odds)]
    low, high = finite.min(initial=0.0) - np.log(clip) - 1.0, finite.max(initial=0.0) + 1.0
    if mean(low) <= 1.0:  # too many rows have a target probability of 0
        raise ValueError(
            f"No weights up to clip={clip} have the mean 1: too few rows of X look like X_target."
        )
    while mean(high) > 1.0:  # some rows have a target probability of 1
        high += 1.0
        if high > finite.max(initial=0.0) + 800:
            raise ValueError(
                f"No weights up to clip={clip} have the mean 1: too many rows of X surely look "
                "like X_target."
            )
    return float(brentq(lambda level: mean(level) - 1.0, low, high, xtol=1e-13))


def warn_where_apart(log_odds: np.ndarray, weight: np.ndarray) -> bool:
    """Warn if the mean of the ratios over the source is far below 1; return whether it is.

    The mean of a true ratio of densities is 1.
    """
    with np.errstate(over="ignore"):
        mean = float(np.average(np.exp(log_odds[weight > 0]), weights=weight[weight > 0]))
    if mean < _APART:
        warnings.warn(
            "X and X_target hardly overlap: a ratio of densities has the mean 1 over X, but the "
            f"classifier's has the mean {mean:.2g}. The weights and effective_sample_size_ are "
            "then not reliable. Is X_target in the units of X? If it is, leave out features that "
            "tell the two apart without saying anything about y, such as a date.",
            UserWarning,
            stacklevel=5,
        )
    return mean < _APART


def warn_of_few_rows(ratio: np.ndarray, weight: np.ndarray) -> None:
    """Warn if the ratios leave a small effective sample size.

    Small means below 30, and below half of what it is without the ratios. If it was small without
    them, the shift is not the reason, and there is no warning.
    """
    before, after = effective_sample_size(weight), effective_sample_size(ratio * weight)
    if after < min(MIN_EFFECTIVE, before / 2):
        warnings.warn(
            f"Under their weights the {int((weight > 0).sum())} rows of X are worth {after:.1f} of "
            "equal weight: whatever is fitted or estimated with them depends on few rows, and on "
            "errors of their weights. Give more rows that look like X_target, fewer features to "
            "weight by, or clip=.",
            UserWarning,
            stacklevel=5,
        )
