"""The weights of rows under a shift, from a fitted model of it or a function."""

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from .._utils.rows import raise_at
from .._utils.sklearn_private import _num_samples


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
        If it is not fitted, or if what it returns are no weights of these rows.
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
