"""Canonical rows: the form in which a row of weight 2 and the row given twice are one thing.

Estimators bring their training data into this form before anything random happens.
From there on, only (unique rows, weights) exist: hold-outs and mini-batches are drawn
over unique rows, and weights enter every mean. That makes sample weights exact rather
than approximate, for any seed.
"""

from typing import NamedTuple

import numpy as np


class CanonicalRows(NamedTuple):
    """Rows (n, p) and (n, d) with weights (n,); once canonical, unique and sorted."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def as_shares(self) -> "CanonicalRows":
        """Return the same rows with weights that sum to 1."""
        return self._replace(weight=self.weight / self.weight.sum())


def canonical_rows(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> CanonicalRows:
    """Drop rows of weight 0, sort by value, and merge equal rows by adding their weights.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    y : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
        Non-negative weights.

    Returns
    -------
    CanonicalRows
        Copies: the input is never written to.

    Notes
    -----
    Rows are compared by numeric value, so that -0.0 and 0.0 are equal; hashing the bytes,
    or the order in which rows were given, would make the result depend on how the same
    data were written down.
    """
    kept = weight > 0
    X, y, weight = X[kept] + 0.0, y[kept] + 0.0, weight[kept]
    columns = np.concatenate([X, y], axis=1)
    order = np.lexsort(columns.T[::-1])
    columns = columns[order]
    is_first = np.ones(len(columns), dtype=bool)
    is_first[1:] = (columns[1:] != columns[:-1]).any(axis=1)
    starts = np.flatnonzero(is_first)
    # Copies are added up in ascending order of weight, so that the sum does not depend on
    # the order in which the rows came, even in its last bit.
    group = np.cumsum(is_first) - 1
    by_weight = np.lexsort((weight[order], group))
    merged = np.add.reduceat(weight[order][by_weight], starts) if len(starts) else weight[:0]
    first = order[starts]
    return CanonicalRows(X[first], y[first], merged)
