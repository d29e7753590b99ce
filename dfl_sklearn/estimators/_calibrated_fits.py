"""Models fitted on some of the rows, and their decisions for others."""

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from .._conformal.calibration_rows import codes_of
from .._conformal.outcomes import Outcomes
from .._utils.cross_fit import Splits, random_splits
from .._utils.interrupts import passing_interrupts_on
from .._utils.progress import part, say
from .._utils.row_numbers import renumbered
from .._utils.seeds import named_rng
from .._utils.sklearn_private import _check_method_params

_FOLDS = 5  # for cross-validated errors on training rows


class Fits:
    """The rows given to `fit`, and models fitted on some of them.

    Parameters
    ----------
    owner : ConformalDecisions
    X : array-like of shape (n, p)
    y : ndarray of shape (n,) or (n, d)
    weight : ndarray of shape (n,) or None
    fit_params : dict
        Further arguments of the `fit` of the wrapped estimator.
    """

    def __init__(
        self,
        owner: Any,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray | None,
        fit_params: dict[str, Any],
    ) -> None:
        self.X, self.y, self.weight = X, y, weight
        self._owner = owner
        if owner._decides_itself():
            self._params = owner._wrapped_params(weight, fit_params)
        else:  # routed by the TwoStageRegressor around the regressor
            owner._wrapped_params(weight, fit_params)  # raises errors in the owner's name
            self._params = {**fit_params, **({} if weight is None else {"sample_weight": weight})}

    def weight_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the weights of some rows."""
        return np.ones(len(rows)) if self.weight is None else self.weight[rows]

    def model(self, rows: np.ndarray) -> Any:
        """Return a model fitted on some rows; a frozen one is not fitted."""
        owner = self._owner
        if isinstance(owner.estimator, FrozenEstimator) and not len(rows):
            rows = np.arange(len(self.y))
        X, y = _safe_indexing(self.X, rows), self.y[rows]
        params = _check_method_params(self.X, self._params, rows)
        with passing_interrupts_on(), renumbered(rows):
            model = owner._unfitted_decider().fit(X, y, **params)
        if not isinstance(owner.estimator, FrozenEstimator):
            say(f"fitted on {len(rows)} rows")
        return model

    def outcomes_of_training(self, rows: np.ndarray) -> Outcomes:
        """Return the outcomes of training rows by models fitted without them, or a frozen one."""
        weight = self.weight_of(rows)
        code = codes_of(_safe_indexing(self.X, rows), self.y[rows])
        n_distinct = len(np.unique(code[weight > 0]))
        if n_distinct < 2:
            raise ValueError(
                "scale= and sets are fitted to the errors on at least 2 distinct training rows, "
                f"got {n_distinct}. Give more rows, or scale=None."
            )
        splits = random_splits(code, weight, _FOLDS, named_rng(0, "folds of the scale"))
        return self.outcomes_across([(rows[rest], rows[held]) for rest, held in splits])

    def outcomes_across(self, splits: Splits) -> Outcomes:
        """Return the outcomes of all rows, each by the model fitted without its fold."""
        frozen = isinstance(self._owner.estimator, FrozenEstimator)
        parts = []
        for number, (rest, held) in enumerate(splits):
            X = _safe_indexing(self.X, held)
            with part(f"fold {number + 1} of {len(splits)}"):
                model = self.model(held if frozen else rest)
                weight = None if self.weight is None else self.weight[held]
                with renumbered(held):
                    plans = self._owner._plans(model, X)
                    parts.append(Outcomes.of(plans, X, self.y[held], weight, number))
        return Outcomes.together(parts, [held for _, held in splits], self.X)
