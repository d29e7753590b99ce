"""Naive forecasts: rules on the last values of a series, without parameters to learn."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.rows import check_total
from .._utils.sklearn_private import (
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    _get_column_indices,
)


class NaiveForecaster(RegressorMixin, BaseEstimator):
    """Predict the next value of a series by a rule on its last values.

    The rules serve as baselines, and as experts of :class:`ExpertMixture`. Features are past values
    of the series, the oldest first, as :func:`~dfl_sklearn.datasets.make_lagged` returns them.
    Several outputs are the values of the following steps.

    Parameters
    ----------
    strategy : {"last", "mean", "max", "seasonal"}, default="last"
        The last value, the mean or the largest of the past values, or the value one season before.
    season_length : int, default=None
        Number of steps in a season, for "seasonal"; at most the number of past values.
    columns : list of str or int, slice or mask, default=None
        The columns of X that are past values, the oldest first. None is all columns, a context
        column among them too. The other columns must be numbers as well: where some hold text,
        select the past values by a :class:`sklearn.compose.ColumnTransformer` before this step.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    dfl_sklearn.datasets.make_lagged : Turn a series into such features.
    ExpertMixture : Weight models by the cost of their past decisions.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_lagged
    >>> from dfl_sklearn.estimators import NaiveForecaster
    >>> X, y = make_lagged([3.0, 5.0, 3.0, 5.0, 3.0, 5.0], n_lags=2)
    >>> NaiveForecaster("mean").fit(X, y).predict(X)
    array([4., 4., 4., 4.])
    >>> NaiveForecaster("seasonal", season_length=2).fit(X, y).score(X, y)
    1.0
    """

    _parameter_constraints: dict = {
        "strategy": [StrOptions({"last", "mean", "max", "seasonal"})],
        "season_length": [Interval(Integral, 1, None, closed="left"), None],
        "columns": ["array-like", slice, None],
    }

    def __init__(
        self, strategy: str = "last", *, season_length: int | None = None, columns: Any = None
    ) -> None:
        self.strategy = strategy
        self.season_length = season_length
        self.columns = columns

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> "NaiveForecaster":
        """Store the number of values to predict; nothing else is learnt.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Past values of the series, the oldest first.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Ignored.

        Returns
        -------
        self : NaiveForecaster
            The fitted estimator.

        Raises
        ------
        ValueError
            If a season is longer than the number of past values, or `columns` selects no column.
        """
        columns = None if self.columns is None else _get_column_indices(X, self.columns)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        check_total(weight, "sample_weight")
        self._columns = np.arange(X.shape[1]) if columns is None else np.asarray(columns)
        if not len(self._columns):
            raise ValueError(f"columns={self.columns!r} must select at least one column of X.")
        if self.strategy == "seasonal":
            n_values = len(self._columns)
            if self.season_length is None or self.season_length > n_values:
                raise ValueError(
                    f"season_length must be at most the {n_values} past values of a row for "
                    f"strategy='seasonal', got {self.season_length}."
                )
        self._n_steps = None if y.ndim == 1 else y.shape[1]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Apply the rule.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predicted parameters.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        past, n_steps = X[:, self._columns], self._n_steps or 1
        if self.strategy == "seasonal":
            assert self.season_length is not None
            step = np.arange(n_steps) % self.season_length
            found = past[:, past.shape[1] - self.season_length + step]
        else:
            rule = {"last": past[:, -1], "mean": past.mean(axis=1), "max": past.max(axis=1)}
            found = np.repeat(rule[self.strategy][:, None], n_steps, axis=1)
        return found[:, 0] if self._n_steps is None else found

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags
