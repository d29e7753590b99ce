"""The weights of rows under a shift, from a fitted model of it or a function."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from .._utils.rows import raise_at
from .._utils.sklearn_private import _num_samples
from .quantile import rows_needed


def shift_weights(model: Any, X: Any) -> np.ndarray:
    """Return the weights (n,) of the rows of X.

    Parameters
    ----------
    model : object with `weight`, or callable
        Takes X as it is.
    X : array-like of shape (n, p)

    Raises
    ------
    ValueError
        If it is not fitted, or if it does not return valid weights of these rows.
    """
    name = type(model).__name__
    try:
        found = model.weight(X) if hasattr(model, "weight") else model(X)
    except NotFittedError as error:
        raise ValueError(
            f"shift_weight={name}(...) is not fitted: fit it on calibration rows and target rows "
            f"first. clone, searches and cross-validation forget a fit: give them "
            f"FrozenEstimator({name}(...).fit(...))."
        ) from error
    try:
        weight = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"shift_weight= must return numbers, got {found!r:.80}.") from error
    if weight.shape != (_num_samples(X),):
        raise ValueError(
            f"shift_weight= must return one weight for each of the {_num_samples(X)} rows of X, "
            f"got shape {weight.shape}."
        )
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise_at(bad, weight, "shift_weight", "is no weight", "Weights are finite, and 0 or more.")
    return weight


def warn_of_few_rows(
    count: np.ndarray, shift: np.ndarray, labels: list[Any] | None, confidence_level: float
) -> None:
    """Warn where few calibration rows have nearly all of the weight, in all or in a group."""
    least = rows_needed(confidence_level)
    names = ["all"] * len(shift) if labels is None else labels
    codes, found = pd.factorize(np.fromiter(names, dtype=object, count=len(names)))
    for code, label in enumerate(found):
        at = codes == code
        share = shift[at] / shift[at].max()
        n_rows = (count[at] @ share) ** 2 / (count[at] @ share**2)  # of equal weight (Kish)
        if n_rows < least:
            whose = "" if labels is None else f" of group {label!r}"
            warnings.warn(
                f"The {count[at].sum():g} calibration rows{whose} have an effective sample size of "
                f"{n_rows:.1f}, and confidence_level={confidence_level} needs {least}: few rows "
                "determine the promise, and errors in their weights are errors in the promise. "
                "Give more calibration rows that resemble those to come, weights of fewer "
                "features, or clip the weights.",
                UserWarning,
                stacklevel=8,
            )
            return
