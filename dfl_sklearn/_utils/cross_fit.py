"""Predictions for training rows by models that have not seen them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import check_cv
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import _safe_indexing

from .interrupts import passing_interrupts_on
from .progress import part, say
from .rows import native
from .sklearn_private import _check_method_params, _num_samples

Splits = list[tuple[np.ndarray, np.ndarray]]
"""Rows to fit on and rows to predict, for each fold."""


def out_of_fold(
    fit: Callable[..., Any],
    X: Any,
    y: np.ndarray,
    params: dict[str, Any],
    splits: Splits,
    role: str = "The backbone",
) -> np.ndarray:
    """Return predictions (n, d) by models fitted on other rows; NaN for rows in no fold.

    Parameters
    ----------
    fit : callable
        ``fit(X, y, **params)`` returns a fitted model.
    X : array-like of shape (n, p)
    y : ndarray of shape (n,) or (n, d)
    params : dict
        Parameters of `fit`; those with one entry per row are split like the rows.
    splits : list of (rows to fit on, rows to predict)
    role : str
        Name of the models in errors.
    """
    found = np.full((len(y), 1 if y.ndim == 1 else y.shape[1]), np.nan)
    for number, (rest, held) in enumerate(splits, start=1):
        with part(f"fold {number} of {len(splits)}"), passing_interrupts_on():
            model = fit(_safe_indexing(X, rest), y[rest], **_check_method_params(X, params, rest))
            say("fitted")
        found[held] = predicted(model, _safe_indexing(X, held), found.shape[1], role)
    return found


def predicted(model: Any, X: Any, n_outputs: int, role: str = "The backbone") -> np.ndarray:
    """Return predictions (n, d) of a fitted model; raise a ValueError if any is not finite."""
    prediction, n_rows = np.asarray(model.predict(X)), _num_samples(X)
    inner = model.estimator if isinstance(model, MultiOutputRegressor) else model
    name = f"{role}, a {type(inner).__name__},"
    shapes = [(n_rows, n_outputs), *([(n_rows,)] if n_outputs == 1 else [])]
    if prediction.shape not in shapes:
        hint = (
            "It was fitted once for each column of y: one that predicts all of them has to say so "
            "by its tag target_tags.multi_output."
            if isinstance(model, MultiOutputRegressor)
            else "It must predict one number for each column of y."
        )
        raise ValueError(
            f"{name} predicts shape {prediction.shape} for {n_rows} rows, but y has {n_outputs} "
            f"column{'s' if n_outputs != 1 else ''}. {hint}"
        )
    rows = prediction.reshape(n_rows, n_outputs)
    if not np.isfinite(rows).all():
        i, j = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(f"{name} predicts {rows[i, j]} at row {i}, column {j} of those given.")
    return rows


def random_splits(
    code: np.ndarray, weight: np.ndarray, n_folds: int, rng: np.random.Generator
) -> Splits:
    """Return random folds that keep copies of a row together; rows of weight 0 are in none.

    Folds are drawn over distinct rows in sorted order, so that neither copies nor the order of the
    rows make a difference.

    Parameters
    ----------
    code : ndarray of shape (n,)
        Numbers of the distinct rows in sorted order, equal for copies; see :func:`row_codes`.
    weight : ndarray of shape (n,)
    n_folds : int
    rng : numpy.random.Generator
    """
    kept, everywhere = np.flatnonzero(weight > 0), np.flatnonzero(~(weight > 0))
    _, distinct = np.unique(code[kept], return_inverse=True)
    n_distinct = int(distinct.max(initial=-1)) + 1
    if n_distinct < 2:
        raise ValueError(
            "The predictions of the backbone are cross-fitted, which needs at least 2 distinct "
            f"rows, got n_samples={n_distinct}."
        )
    n_folds = min(n_folds, n_distinct)
    fold = (rng.permutation(n_distinct) % n_folds)[distinct]
    return [
        (np.sort(np.concatenate([kept[fold != k], everywhere])), kept[fold == k])
        for k in range(n_folds)
    ]


def given_splits(cv: Any, X: Any, y: np.ndarray) -> Splits:
    """Return the splits of a splitter that predicts each row at most once, from other rows."""
    rows = np.arange(len(y))
    splits = [(rows[rest], rows[held]) for rest, held in check_cv(cv).split(X, y)]
    times = np.zeros(len(y), dtype=int)
    for number, (rest, held) in enumerate(splits):
        seen = np.intersect1d(rest, held)
        if len(seen):
            raise ValueError(
                f"Split {number} of cv fits on row {seen[0]} and holds it out. A prediction of a "
                "row that the model was fitted on is no held-out prediction."
            )
        times[held] += 1
    if (times > 1).any():
        raise ValueError(
            f"cv holds out row {int((times > 1).argmax())} more than once; it must have one "
            "prediction. Use a splitter that holds out each row at most once."
        )
    return splits


def fold_of(splits: Splits, n_rows: int) -> np.ndarray:
    """Return the number (n,) of the split that predicts each row, -1 where none does."""
    fold = np.full(n_rows, -1)
    for number, (_, held) in enumerate(splits):
        fold[held] = number
    return fold


def row_codes(X: Any, y: np.ndarray) -> np.ndarray:
    """Return numbers (n,) that are equal in equal rows and sort as the rows do.

    Rows of objects that cannot be compared, such as dictionaries, count as distinct, in their
    order.
    """
    if not hasattr(X, "columns"):
        X = native(np.asarray(X))
        X = X.reshape(len(X), -1)
    try:
        columns = [pd.factorize(each, sort=True)[0] for _, each in pd.DataFrame(X).items()]
    except TypeError:
        return np.arange(len(y))
    columns += [np.unique(each, return_inverse=True)[1] for each in y.reshape(len(y), -1).T]
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].ravel()
