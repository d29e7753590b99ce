"""The size of a regressor's errors as a function of x."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing, get_tags

from .._utils.cross_fit import predicted
from .._utils.rows import in_rows
from .._utils.wrapping import takes_weights

_FLOOR = 0.1  # share of the mean absolute error that is added, so that logarithms are finite
_FOLDS = 5  # folds where the errors have fewer than two


class ErrorScale:
    """The size of errors at x, predicted for each output, without a unit.

    Parameters
    ----------
    regressor : {"ridge"} or regressor
        The regressor of the logarithm of the size.
    """

    def __init__(self, regressor: Any) -> None:
        self._regressor = StandardizedRidge() if isinstance(regressor, str) else regressor

    def fit(self, X: Any, errors: np.ndarray, weight: np.ndarray | None, fold: np.ndarray) -> Any:
        """Fit on all errors; return the scale (n, d) of each row by models without its fold.

        Parameters
        ----------
        X : array-like of shape (n, p)
        errors : ndarray of shape (n, d)
        weight : ndarray of shape (n,) or None
        fold : ndarray of shape (n,)
        """
        size = np.abs(errors)
        mean = np.average(size, axis=0, weights=weight)
        self._learnable = mean > 0  # where all errors are 0, the scale is constant
        logs = np.log(size[:, self._learnable] + _FLOOR * mean[self._learnable])
        unseen = np.ones(errors.shape)
        if not self._learnable.any():
            return unseen
        if len(fold) < 2:
            raise ValueError("scale= needs the errors of at least 2 rows, but only one is known.")
        if len(np.unique(fold)) < 2:
            parts = KFold(min(_FOLDS, len(fold))).split(fold)
            fold = np.concatenate([np.full(len(held), k) for k, (_, held) in enumerate(parts)])
        unseen_logs = np.empty(logs.shape)
        for each in np.unique(fold):
            rest, held = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
            model = self._fitted(X, logs, weight, rest)
            unseen_logs[held] = predicted(
                model, _safe_indexing(X, held), logs.shape[1], role="The regressor of scale="
            )
        self._model = self._fitted(X, logs, weight, np.arange(len(logs)))
        self._range = unseen_logs.min(axis=0), unseen_logs.max(axis=0)
        unseen[:, self._learnable] = np.exp(unseen_logs)
        return unseen

    def __call__(self, X: Any, n_rows: int) -> np.ndarray:
        """Return the scale (n, d) at the rows of X, within the range of the training rows."""
        found = np.ones((n_rows, len(self._learnable)))
        if self._learnable.any():
            logs = predicted(
                self._model, X, int(self._learnable.sum()), role="The regressor of scale="
            )
            found[:, self._learnable] = np.exp(np.clip(logs, *self._range))
        return found

    def _fitted(self, X: Any, logs: np.ndarray, weight: np.ndarray | None, rows: np.ndarray) -> Any:
        model = clone(self._regressor)
        if logs.shape[1] > 1 and not get_tags(model).target_tags.multi_output:
            model = MultiOutputRegressor(model)
        params = {} if weight is None else {"sample_weight": weight[rows]}
        if params and not takes_weights(model):
            raise ValueError(
                f"sample_weight was given, but {type(self._regressor).__name__}.fit, of scale=, "
                "does not take it."
            )
        target = logs[rows]
        return model.fit(
            _safe_indexing(X, rows), target[:, 0] if target.shape[1] == 1 else target, **params
        )


class StandardizedRidge(RegressorMixin, BaseEstimator):
    """Ridge regression on features of unit variance, both weighted."""

    def fit(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
        """Fit both steps."""
        sample_weight = None if sample_weight is None else in_rows(sample_weight)
        self.scaler_ = StandardScaler(with_mean=not issparse(X))
        with _saying_what_it_takes():
            scaled = self.scaler_.fit(X, sample_weight=sample_weight).transform(X)
            self.ridge_ = Ridge().fit(scaled, y, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict all outputs."""
        with _saying_what_it_takes():
            return self.ridge_.predict(self.scaler_.transform(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@contextmanager
def _saying_what_it_takes() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(
            'scale="ridge" is a ridge regression, which takes only finite numbers. Give a '
            "regressor that takes these features, such as a Pipeline, as scale=."
        ) from error
