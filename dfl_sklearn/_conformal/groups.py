"""Groups of rows, each with a quantile of its own."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from .._utils.sklearn_private import _get_column_indices, _num_samples
from .quantile import conformal_quantile, rows_needed


def group_labels(groups: Any, X: Any) -> list[Any] | None:
    """Return the group of each row of X: a value, or a tuple of several; None without groups.

    Parameters
    ----------
    groups : str, int, list, slice, mask, callable or None
        Columns of X, or what returns one value for each of its rows.
    X : array-like of shape (n, p)
    """
    if groups is None:
        return None
    n_rows = _num_samples(X)
    if callable(groups):
        values = np.asarray(groups(X))
        if values.shape[:1] != (n_rows,) or values.ndim > 2:
            raise ValueError(
                f"groups= must return one value for each of the {n_rows} rows of X, got shape "
                f"{values.shape}."
            )
    else:
        X = X if hasattr(X, "columns") or issparse(X) else np.asarray(X)
        one = [groups] if isinstance(groups, (str, int, np.integer)) else groups
        try:
            places = _get_column_indices(X, one)
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"groups={groups!r} is not among the columns of X: {error}") from error
        values = _safe_indexing(X.tocsc() if issparse(X) else X, list(places), axis=1)
        values = values.toarray() if issparse(values) else np.asarray(values)
    table = pd.DataFrame(values.reshape(n_rows, -1))
    if table.isna().to_numpy().any():
        row = int(table.isna().to_numpy().any(axis=1).argmax())
        raise ValueError(f"The group of row {row} of X is missing.")
    if table.shape[1] == 1:
        return table[0].tolist()
    return list(table.itertuples(index=False, name=None))


def quantiles_of(
    scores: np.ndarray, weight: np.ndarray, labels: list[Any] | None, confidence_level: float
) -> Any:
    """Return the conformal quantile of scores, or a dictionary with that of each group.

    Raises
    ------
    ValueError
        If the rows are too few for the level, in all or in a group.
    """
    least = rows_needed(confidence_level)
    if labels is None:
        _check_number(float(weight.sum()), least, confidence_level, "")
        return conformal_quantile(scores, weight, confidence_level)
    codes, found = pd.factorize(np.fromiter(labels, dtype=object, count=len(labels)))
    quantiles = {}
    for code, label in enumerate(found):
        rows = codes == code
        _check_number(float(weight[rows].sum()), least, confidence_level, f" of group {label!r}")
        quantiles[label] = conformal_quantile(scores[rows], weight[rows], confidence_level)
    return quantiles


def quantile_of_rows(quantiles: Any, labels: list[Any] | None) -> Any:
    """Return the quantile of each row (n,), or the one of all."""
    if labels is None:
        return quantiles
    unknown = [each for each in labels if each not in quantiles]
    if unknown:
        raise ValueError(
            f"Row {labels.index(unknown[0])} of X is of group {unknown[0]!r}, of which there were "
            f"no calibration rows: nothing can be promised for it. There are "
            f"{sorted(quantiles, key=repr)}."
        )
    return np.array([quantiles[each] for each in labels])


def _check_number(n_rows: float, least: int, confidence_level: float, whose: str) -> None:
    if n_rows < least:
        raise ValueError(
            f"confidence_level={confidence_level} needs at least {least} calibration rows{whose}, "
            f"got {n_rows:g}. Give more of them, as X_cal and y_cal or in a larger data set, or a "
            "lower confidence_level."
        )
