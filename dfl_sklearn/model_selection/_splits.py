"""Splits in which rows are held out equally often, and blocks of held-out rows."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import check_cv

from .._utils.rows import native

Splits = list[tuple[np.ndarray, np.ndarray]]


def equal_splits(cv: Any, X: Any, y: Any, groups: Any, n_rows: int) -> Splits:
    """Return the training and test rows of a splitter that holds rows out equally often or never.

    Raises
    ------
    ValueError
        If a row is in the training and the test set of a split, twice in a test set, or in more
        test sets than other rows; the message names it.
    """
    everything = np.arange(n_rows)
    pairs = check_cv(cv).split(X, y, groups)
    splits = [(everything[train], everything[test]) for train, test in pairs]
    times = np.zeros(n_rows, dtype=int)
    for number, (train, test) in enumerate(splits):
        if not len(train) or not len(test):
            what = "trains on" if not len(train) else "holds out"
            raise ValueError(f"Split {number} of cv {what} no rows.")
        seen = np.intersect1d(train, test)
        if len(seen):
            raise ValueError(
                f"Split {number} of cv fits on row {seen[0]} and holds it out: the cost of a "
                "decision for a training row says nothing."
            )
        in_test = np.bincount(test, minlength=n_rows)
        if in_test.max() > 1:
            raise ValueError(
                f"Split {number} of cv has row {in_test.argmax()} {in_test.max()} times in its "
                "test set: rows are compared in pairs, each once."
            )
        times += in_test
    if not len(splits):
        raise ValueError("cv has no splits.")
    held = times[times > 0]
    if held.min() < held.max():
        few, many = (int(np.flatnonzero(times == each)[0]) for each in (held.min(), held.max()))
        raise ValueError(
            f"cv holds out row {many} in {held.max()} test sets and row {few} in {held.min()}: "
            "rows must be held out equally often, or never. KFold, RepeatedKFold, GroupKFold and "
            "TimeSeriesSplit do so; ShuffleSplit does with n_splits=1."
        )
    return splits


def block_numbers(blocks: Any, tested: np.ndarray) -> np.ndarray:
    """Return the number (n,) of the block of each row, in the order of the rows; -1 if not tested.

    Parameters
    ----------
    blocks : int, array-like of shape (n,) or None
        The number of blocks of consecutive rows; a label for each row; None for single rows.
    tested : ndarray of shape (n,)
        Whether a row is in a test set.
    """
    found, held = np.full(len(tested), -1), np.flatnonzero(tested)
    if blocks is None:
        found[held] = np.arange(len(held))
    elif isinstance(blocks, (int, np.integer)) and not isinstance(blocks, bool):
        if not 2 <= blocks <= len(held):
            raise ValueError(
                f"blocks={blocks} must be at least 2, and at most the {len(held)} rows held out."
            )
        for number, part in enumerate(np.array_split(held, int(blocks))):
            found[part] = number
    else:
        labels = _labels(blocks, len(tested))
        found[held] = pd.factorize(native(labels[tested]))[0]
        if found.max() < 1:
            raise ValueError("All rows held out are in one block: an interval needs two or more.")
    return found


def _labels(blocks: Any, n_rows: int) -> pd.Series:
    if isinstance(blocks, (str, bytes)) or np.ndim(blocks) != 1:
        raise ValueError(
            "blocks must be the number of blocks of consecutive rows, or one label for each row, "
            f"got {blocks!r}."
        )
    labels = pd.Series(blocks).reset_index(drop=True)
    if len(labels) != n_rows:
        raise ValueError(f"blocks has {len(labels)} labels and X has {n_rows} rows.")
    missing = labels.isna().to_numpy()
    if missing.any():
        raise ValueError(f"blocks has no label for row {int(missing.argmax())}.")
    return labels
