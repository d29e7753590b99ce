"""Rows that a correction is trained on, and rows on which it is compared with the backbone."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._utils.cross_fit import (
    fold_of,
    given_splits,
    out_of_fold,
    predicted,
    random_splits,
    row_codes,
)
from .._utils.holdout import is_given
from .._utils.row_numbers import note_on, renumber
from .._utils.rows import as_rows
from .._utils.seeds import named_rng
from .._utils.sklearn_private import _check_sample_weight, _num_samples
from ..rows import Rows
from ..training.fit import HELD_OUT
from ._correction import dense

HeldOut = tuple[Any, Any, Any]
"""X, y (n, d) and weights (n,) of the rows held out, or three times None."""


def checked_held_out(owner: Any, X: Any, y: Any, sample_weight: Any, n_outputs: int) -> HeldOut:
    """Return the held-out rows given to the `fit` of an owner, or say what is wrong with them."""
    if not is_given(X, y, sample_weight):
        return None, None, None
    y = as_rows(owner._validate_target(y, "y_val"), "y_val")
    owner._resolve_problem().check_parameters(y)
    if y.shape[1] != n_outputs:
        raise ValueError(f"y_val has {y.shape[1]} columns and y has {n_outputs}.")
    if _num_samples(dense(X)) != len(y):
        raise ValueError(f"X_val has {_num_samples(X)} rows and y_val has {len(y)}.")
    weight = _check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True)
    return X, y, weight


def cross_fitted_rows(
    owner: Any, X: Any, y: np.ndarray, weight: np.ndarray, params: dict[str, Any], seed: int
) -> Rows:
    """Return distinct rows: the inputs of the correction, with out-of-fold predictions, and y.

    Parameters
    ----------
    owner : DFFRegressor
        With its backbone fitted.
    X : array-like of shape (n, p)
    y : ndarray of shape (n,) or (n, d)
    weight : ndarray of shape (n,)
    params : dict
        Parameters of the `fit` of the backbone.
    seed : int
    """
    code = row_codes(X, y)
    if isinstance(owner.estimator, FrozenEstimator):
        found = predicted(owner.estimator_, owner._seen(X), owner._n_outputs)
        fold = np.zeros(len(y), dtype=int)
    else:
        if isinstance(owner.cv, Integral):
            splits = random_splits(code, weight, int(owner.cv), named_rng(seed, "folds"))
        else:
            splits = given_splits(owner.cv, X, y)
        fold = fold_of(splits, len(y))
        found = out_of_fold(
            lambda X, y, **params: owner._unfitted(y).fit(X, y, **params),
            *(owner._seen(X), y, params, splits),
        )
    known = np.flatnonzero((fold >= 0) & (weight > 0))
    if not len(known):
        raise ValueError("cv holds out no row of positive weight.")
    # Copies in a fold are one row. Their predictions may differ in the last bit.
    _, first, copy = np.unique(
        np.stack([code, fold], axis=1)[known], axis=0, return_index=True, return_inverse=True
    )
    inputs = owner._inputs.stacked(X, np.where(fold[:, None] >= 0, found, 0.0))
    return Rows(
        inputs[known][first],
        as_rows(y, "y")[known][first],
        np.bincount(copy.ravel(), weights=weight[known]),
        number=known[first],
    )


def train_and_valid(owner: Any, rows: Rows, held_out: HeldOut, seed: int) -> tuple[Rows, Rows]:
    """Return rows to train on and to compare on: the ones held out, or a part of all rows."""
    X, y, weight = held_out
    if X is None:
        return rows.split(owner.validation_fraction, named_rng(seed, "hold-out"))
    owner._check_context(X, "X_val")
    predictions = predicted(owner.estimator_, owner._seen(X), owner._n_outputs)
    inputs = owner._inputs.stacked(X, predictions)
    return rows, Rows(inputs, y, weight, number=np.arange(len(y))).canonical()


@contextmanager
def numbered_as_given(train: Rows, valid: Rows, valid_is_given: bool) -> Iterator[None]:
    """Let errors of the fit of a correction call rows as the caller of the whole fit does."""
    note = note_on(HELD_OUT)
    try:
        yield
    except (ValueError, RuntimeError) as error:
        notes = getattr(error, "__notes__", [])
        is_held_out = note in notes
        renumber(error, valid.number if is_held_out else train.number)
        if is_held_out and not valid_is_given:
            notes.remove(note)
        raise
