"""Predictions for training rows by models that have not seen them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing

from .._utils.sklearn_private import _check_method_params

Splits = list[tuple[np.ndarray, np.ndarray]]
"""Rows to fit on and rows to predict, for each fold."""


def out_of_fold(
    fit: Callable[..., Any], X: Any, y: np.ndarray, params: dict[str, Any], splits: Splits
) -> np.ndarray:
    """Return predictions (n, d) by models fitted on other rows; NaN for rows in no fold.

    Parameters
    ----------
    fit : callable
        ``fit(X, y, **params)`` returns a fitted model.
    X : array-like of shape (n, p)
    y : ndarray of shape (n,) or (n, d)
    params : dict
        Parameters of `fit`; those with one entry per row are cut like the rows.
    splits : list of (rows to fit on, rows to predict)
    """
    found = np.full((len(y), 1 if y.ndim == 1 else y.shape[1]), np.nan)
    for rest, held in splits:
        model = fit(_safe_indexing(X, rest), y[rest], **_check_method_params(X, params, rest))
        found[held] = predicted(model, _safe_indexing(X, held), found.shape[1])
    return found


def predicted(model: Any, X: Any, n_outputs: int) -> np.ndarray:
    """Return finite predictions (n, d) of a fitted model, or say what is wrong with them."""
    prediction = np.asarray(model.predict(X))
    rows = prediction.reshape(len(prediction), -1)
    if rows.shape[1] != n_outputs:
        raise ValueError(
            f"The backbone, a {type(model).__name__}, predicts {rows.shape[1]} numbers per row, "
            f"but y has {n_outputs} column{'s' if n_outputs != 1 else ''}."
        )
    if not np.isfinite(rows).all():
        i, j = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(
            f"The backbone, a {type(model).__name__}, predicts {rows[i, j]} at row {i}, column {j} "
            f"of those it was given."
        )
    return rows


def random_splits(
    X: Any, y: np.ndarray, weight: np.ndarray, n_folds: int, rng: np.random.Generator
) -> Splits:
    """Return random folds in which copies of a row stand together; weights of 0 are in none.

    They are drawn over distinct rows in sorted order, so that neither copies nor the order of rows
    make a difference.
    """
    kept = np.flatnonzero(weight > 0)
    _, distinct = np.unique(_codes(X, y)[kept], axis=0, return_inverse=True)
    n_distinct = int(distinct.max(initial=-1)) + 1
    if n_distinct < 2:
        raise ValueError(
            "The predictions of the backbone are cross-fitted, which needs at least 2 distinct "
            f"rows, got n_samples={n_distinct}."
        )
    n_folds = min(n_folds, n_distinct)
    fold = (rng.permutation(n_distinct) % n_folds)[distinct.ravel()]
    everywhere = np.flatnonzero(~(weight > 0))
    return [
        (np.sort(np.concatenate([kept[fold != k], everywhere])), kept[fold == k])
        for k in range(n_folds)
    ]


def given_splits(cv: Any, X: Any, y: np.ndarray) -> Splits:
    """Return the splits of a splitter that predicts each row at most once."""
    splits = [(np.asarray(rest), np.asarray(held)) for rest, held in check_cv(cv).split(X, y)]
    times = np.zeros(len(y), dtype=int)
    for _, held in splits:
        times[held] += 1
    if (times > 1).any():
        raise ValueError(
            f"cv holds out row {int((times > 1).argmax())} more than once; it must have one "
            "prediction. Use a splitter that holds out each row at most once."
        )
    if not times.any():
        raise ValueError("cv holds out no row.")
    return splits


def _codes(X: Any, y: np.ndarray) -> np.ndarray:
    """Return numbers that are equal in equal rows and sort as the rows do."""
    frame = pd.DataFrame(X if hasattr(X, "columns") else np.asarray(X))
    columns = [pd.factorize(column, sort=True)[0] for _, column in frame.items()]
    columns += [np.unique(each, return_inverse=True)[1] for each in y.reshape(len(y), -1).T]
    return np.stack(columns, axis=1)
