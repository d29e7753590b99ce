"""The choice of rows to fit a model on, and of rows to calibrate its promises."""

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from .._utils.cross_fit import Splits, given_splits, row_codes

_DENSE = 10_000_000  # most numbers of a sparse table that is compared row by row
_SHARE = 0.25  # share of the rows, the last ones, for calibration


def calibration_splits(cv: Any, X: Any, y: np.ndarray) -> Splits:
    """Return rows to fit on and rows to calibrate on, once or once for each fold.

    Parameters
    ----------
    cv : None, int, splitter or iterable
        None holds out the last quarter of the rows.
    X : array-like of shape (n, p)
    y : ndarray of shape (n,) or (n, d)
    """
    if cv is not None:
        return given_splits(cv, X, y)
    n = len(y)
    if n < 2:
        raise ValueError(
            f"A part of the rows is held out for calibration, which needs at least 2 rows, got "
            f"n_samples={n}."
        )
    first = n - math.ceil(_SHARE * n)
    rows = np.arange(n)
    return [(rows[:first], rows[first:])]


def codes_of(X: Any, y: np.ndarray) -> np.ndarray:
    """Return numbers (n,) that are equal in equal rows, see :func:`row_codes`; X may be sparse."""
    return row_codes(_comparable(X), y)


def _comparable(X: Any) -> Any:
    """Return a dense table of rows; their numbers where a sparse one is too large for that."""
    if issparse(X):
        return X.toarray() if X.shape[0] * X.shape[1] <= _DENSE else np.arange(X.shape[0])[:, None]
    return X if hasattr(X, "columns") else np.asarray(X).reshape(len(X), -1)


def warn_of_shared_rows(X: Any, y: np.ndarray, X_cal: Any, y_cal: np.ndarray) -> None:
    """Warn where calibration rows are training rows as well."""
    tables = [pd.DataFrame(_comparable(each)) for each in (X, X_cal)]
    if tables[0].shape[1] != tables[1].shape[1]:
        return  # the model will raise the error
    code = codes_of(pd.concat(tables, ignore_index=True), np.concatenate([y, y_cal]))
    shared = np.isin(code[len(y) :], code[: len(y)])
    if shared.any():
        warnings.warn(
            f"{int(shared.sum())} of {len(shared)} calibration rows are training rows as well, "
            f"such as row {int(shared.argmax())} of X_cal. A model has smaller errors on rows that "
            "it was fitted on, and promises would be too low: calibrate on rows that it has not "
            "seen. (Rows that are equal by chance, with few distinct values, do no harm.)",
            UserWarning,
            stacklevel=6,
        )
