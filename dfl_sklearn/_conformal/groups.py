"""Groups of rows, each with its own quantile."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from .._utils.sklearn_private import _get_column_indices, _num_samples
from .quantile import WeightedQuantile, conformal_quantile, rows_needed

_NAMED = 5  # rows that an error names


def group_labels(groups: Any, X: Any) -> list[Any] | None:
    """Return the group of each row of X, a value or a tuple of values, or None without groups.

    Parameters
    ----------
    groups : str, int, list, slice, mask, callable or None
        Columns of X, or a callable that returns one value for each of its rows.
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
    scores: np.ndarray,
    weight: np.ndarray,
    labels: list[Any] | None,
    confidence_level: float,
    shift: np.ndarray | None = None,
) -> Any:
    """Return the conformal quantile of scores, or a dictionary with that of each group.

    Parameters
    ----------
    scores, weight : ndarray of shape (n,)
    labels : list of length n or None
    confidence_level : float
    shift : ndarray of shape (n,), default=None
        Weights of rows under a shift. Quantiles are those of :class:`WeightedQuantile` then.

    Raises
    ------
    ValueError
        If the rows are too few for the level, or all of weight 0, in all or in a group.
    """
    least = rows_needed(confidence_level)

    def quantile(rows: Any, whose: str) -> Any:
        _check_number(float(weight[rows].sum()), least, confidence_level, whose)
        if shift is None:
            return conformal_quantile(scores[rows], weight[rows], confidence_level)
        if not (shift[rows] > 0).any():
            raise ValueError(
                f"The calibration rows{whose} all have a shift weight of 0: none of them resembles "
                "the target, and nothing can be promised."
            )
        return WeightedQuantile(scores[rows], weight[rows], shift[rows], confidence_level)

    if labels is None:
        return quantile(slice(None), "")
    codes, found = pd.factorize(_objects(labels))
    return {label: quantile(codes == k, f" of group {label!r}") for k, label in enumerate(found)}


def lowest_of(quantiles: Any) -> list[float]:
    """Return the quantile of each group, or of all; the lowest if it depends on the weight."""
    values = quantiles.values() if isinstance(quantiles, dict) else [quantiles]
    return [each.lowest if isinstance(each, WeightedQuantile) else each for each in values]


def largest_weights(quantiles: Any) -> Any:
    """Return the largest weight of a row that has a finite quantile, or that of each group."""
    if isinstance(quantiles, dict):
        return {label: each.largest_weight for label, each in quantiles.items()}
    return quantiles.largest_weight


def quantile_of_rows(
    quantiles: Any, labels: list[Any] | None, shift: np.ndarray | None = None
) -> Any:
    """Return the quantile of each row (n,), or the one of all.

    Raises
    ------
    ValueError
        If a row is of a group without a quantile, or has an infinite one by its weight.
    """
    if labels is not None:
        unknown = [each for each in labels if each not in quantiles]
        if unknown:
            raise ValueError(
                f"Row {labels.index(unknown[0])} of X is of group {unknown[0]!r}, of which there "
                f"were no calibration rows: nothing can be promised for it. Groups with such "
                f"rows are {sorted(quantiles, key=repr)}."
            )
    if shift is None:
        return quantiles if labels is None else np.array([quantiles[each] for each in labels])
    if labels is None:
        found = quantiles(shift)
    else:
        places = pd.Series(np.arange(len(shift))).groupby(pd.factorize(_objects(labels))[0])
        found = np.empty(len(shift))
        for _, rows in places:
            at = rows.to_numpy()
            found[at] = quantiles[labels[at[0]]](shift[at])
    _refuse_infinite(found, quantiles, labels, shift)
    return found


def _objects(labels: list[Any]) -> np.ndarray:
    return np.fromiter(labels, dtype=object, count=len(labels))


def _refuse_infinite(
    found: np.ndarray, quantiles: Any, labels: list[Any] | None, shift: np.ndarray
) -> None:
    """Raise an error that names the rows whose weight is too large for a promise."""
    at = np.flatnonzero(np.isinf(found))
    if not len(at):
        return
    first = int(at[0])
    rows = ", ".join(str(i) for i in at[:_NAMED])
    if len(at) > _NAMED:
        rows += f" and {len(at) - _NAMED} others"
    own = quantiles if labels is None else quantiles[labels[first]]
    whose = "" if labels is None else f" of group {labels[first]!r}"
    raise ValueError(
        f"Nothing can be promised for row{'s' if len(at) > 1 else ''} {rows} of X: the shift "
        f"weight of row {first} is {shift[first]:.6g}, and the calibration rows{whose} allow at "
        f"most {own.largest_weight:.6g} (max_shift_weight_). There are too few calibration rows "
        "near such rows. Give more of them, or a lower confidence_level, clip the weights, or "
        "leave these rows out."
    )


def _check_number(n_rows: float, least: int, confidence_level: float, whose: str) -> None:
    if n_rows < least:
        raise ValueError(
            f"confidence_level={confidence_level} needs at least {least} calibration rows{whose}, "
            f"got {n_rows:g}. Give more of them, as X_cal and y_cal or in a larger data set, or a "
            "lower confidence_level."
        )
