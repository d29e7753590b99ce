"""The unit in which realised costs are compared with planned ones."""

from typing import Any

import numpy as np

from ..scenarios._error_scale import ErrorScale

_FLOOR = 0.1  # share of the mean absolute planned cost that is added, to take logarithms
_NOTHING = 1e-9  # share of the mean absolute error below which planned costs are 0
_ROUNDING = 2.0**-49  # relative rounding error of the terms of a promise


class CostUnits:
    r"""Scores of costs, and the promised costs from their quantile.

    With the size s(x) of the error, in the unit in which :math:`|e| / s` is 1 on average, the score
    of an error e is :math:`e / s + \tau \log s`, and the promise for a quantile q is the planned
    cost plus :math:`s\,(q - \tau \log s)`.

    Parameters
    ----------
    scale : {"planned", "ridge"}, regressor or None
        The model of the size of errors, see :class:`ConformalDecisions`.
    tail : float
        :math:`\tau`.
    """

    def __init__(self, scale: Any, tail: float) -> None:
        self._scale, self._tail = scale, tail
        self._size: ErrorScale | None = None

    def fit(
        self,
        X: Any,
        planned: np.ndarray,
        errors: np.ndarray,
        weight: np.ndarray | None,
        fold: np.ndarray,
    ) -> np.ndarray:
        """Fit the size on errors; return that of each row (n,) by models without its fold.

        Parameters
        ----------
        X : array-like of shape (n, p)
        planned, errors : ndarray of shape (n,)
            Planned costs, and realised costs less planned ones.
        weight : ndarray of shape (n,) or None
        fold : ndarray of shape (n,)
        """
        if self._scale is None:
            return np.ones(len(errors))
        mean_planned, mean_error = (
            float(np.average(np.abs(each), weights=weight)) for each in (planned, errors)
        )
        self._floor = _FLOOR * mean_planned if mean_planned > _NOTHING * mean_error else np.inf
        by_planned = isinstance(self._scale, str)
        self._size = ErrorScale("ridge" if by_planned else self._scale)
        unseen = self._size.fit(self._inputs(X, planned), errors[:, None], weight, fold)[:, 0]
        self._unit = float(np.average(np.abs(errors) / unseen, weights=weight)) or 1.0
        return unseen * self._unit

    def size(self, X: Any, planned: np.ndarray) -> np.ndarray:
        """Return the size of errors (n,) at the rows of X."""
        if self._size is None:
            return np.ones(len(planned))
        return self._size(self._inputs(X, planned), len(planned))[:, 0] * self._unit

    def scores(self, errors: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Return the scores (n,) of errors."""
        return errors / size + self._tail * np.log(size)

    def promises(self, planned: np.ndarray, size: np.ndarray, quantile: Any) -> np.ndarray:
        """Return the cost (n,) up to which the score is at most a quantile.

        It is rounded up, so that a cost whose score equals the quantile does not exceed it.
        """
        less = self._tail * np.log(size)
        terms = np.abs(planned) + size * (np.abs(quantile) + np.abs(less))
        return planned + size * (quantile - less) + _ROUNDING * terms

    def _inputs(self, X: Any, planned: np.ndarray) -> Any:
        if self._scale != "planned":
            return X
        return np.log1p(np.abs(planned) / self._floor)[:, None]
