"""Naive forecasts: rules on the last values of a series, without parameters to learn."""

import re
import warnings
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y, validate_data

from .._utils.rows import check_total
from .._utils.sklearn_private import (
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    _get_column_indices,
)

# Names with a number that counts back in time. Others, such as x1 or day1, may count forward.
_LAG = re.compile(r"(.*(?:lag|lagged|shift|shifted|past|prev|previous|back|-)[\W_]*)(\d+)", re.I)


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
        column among them too. Other columns may hold anything, such as text or missing values.

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

        Warns
        -----
        UserWarning
            If the order of the past values matters, and their names count back from the newest one,
            such as lag_1, lag_2.
        """
        past = self._past(X, reset=True)
        past, y = check_X_y(
            past, y, multi_output=True, y_numeric=True, dtype=np.float64, estimator=self
        )
        weight = _check_sample_weight(sample_weight, past, ensure_non_negative=True)
        check_total(weight, "sample_weight")
        self._warn_of_newest_first()
        if self.strategy == "seasonal":
            n_values = past.shape[1]
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
        past = check_array(self._past(X, reset=False), dtype=np.float64, estimator=self)
        n_steps = self._n_steps or 1
        if self.strategy == "seasonal":
            assert self.season_length is not None
            step = np.arange(n_steps) % self.season_length
            found = past[:, past.shape[1] - self.season_length + step]
        else:
            rule = {"last": past[:, -1], "mean": past.mean(axis=1), "max": past.max(axis=1)}
            found = np.repeat(rule[self.strategy][:, None], n_steps, axis=1)
        return found[:, 0] if self._n_steps is None else found

    def _past(self, X: Any, *, reset: bool) -> Any:
        """Return the columns of X that are past values, unchecked; others may hold anything."""
        if self.columns is None:
            validate_data(self, X, reset=reset, dtype=np.float64)
            if reset:
                self._columns = list(range(self.n_features_in_))
            return X
        if issparse(X):
            X = X.tocsc()
        elif not hasattr(X, "columns"):
            X = np.asarray(X)
        if len(X.shape) != 2 or 0 in X.shape:
            check_array(X, estimator=self)  # it says what is wrong
        columns = _get_column_indices(X, self.columns) if reset else self._columns
        if not len(columns):
            raise ValueError(f"columns={self.columns!r} must select at least one column of X.")
        validate_data(self, X, reset=reset, skip_check_array=True)
        self._columns = list(columns)
        return _safe_indexing(X, self._columns, axis=1)

    def _warn_of_newest_first(self) -> None:
        """Warn where the names of the past values say that the first one is the newest."""
        names = getattr(self, "feature_names_in_", None)
        if names is None or self.strategy not in ("last", "seasonal"):
            return
        chosen = [str(names[j]) for j in self._columns]
        if len(chosen) > 1 and _count_back(chosen):
            first, last = chosen[0], chosen[-1]
            warnings.warn(
                f"The past values are {first!r} to {last!r}, which by their names are the newest "
                f"first, and NaiveForecaster takes the last column, {last!r}, for the newest. Give "
                "them in the other order: columns=[" + ", ".join(map(repr, chosen[::-1])) + "].",
                UserWarning,
                stacklevel=4,
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags


def _count_back(names: list[str]) -> bool:
    """Return whether names are of one kind, such as lag_1 or t-1, with numbers that grow."""
    found = [_LAG.fullmatch(each) for each in names]
    if not all(found) or len({each[1] for each in found if each}) > 1:
        return False
    return all(a < b for a, b in pairwise(int(each[2]) for each in found if each))
