"""The estimator inside Pipelines, searches, frozen estimators and transformed targets."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def innermost(estimator: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the fitted estimator at the end, and what takes X to what it is given."""
    steps: list[Any] = []
    while True:
        if isinstance(estimator, Pipeline):
            if len(estimator.steps) > 1:
                steps.append(estimator[:-1])
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "refit") and hasattr(estimator, "estimator"):
            check_is_fitted(estimator, "cv_results_")
            raise ValueError(
                f"This {type(estimator).__name__} was not refitted (refit=False), so that it has "
                "no model to ask. Fit it with refit=True, or give the model that you have chosen."
            )
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif _transforms_scenarios(estimator):
            estimator = BackTransformed(estimator)
            break
        else:
            break

    def reaches(X: Any) -> Any:
        for each in steps:
            X = each.transform(X)
        return X

    return estimator, reaches


def innermost_unfitted(estimator: Any) -> Any:
    """Return the estimator at the end of one that need not be fitted."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator) or hasattr(estimator, "refit"):
            estimator = estimator.estimator
        elif isinstance(estimator, TransformedTargetRegressor):
            estimator = getattr(estimator, "regressor_", estimator.regressor)
        else:
            return estimator


def predicts_scenarios(model: Any) -> bool:
    """Return whether a model predicts scenarios beside their mean."""
    return hasattr(model, "predict_scenarios")


def scenario_parts(model: Any, X: Any) -> Iterator[tuple[slice, Any]]:
    """Yield slices of the rows of X with their scenarios, so many at once as memory allows."""
    if hasattr(model, "iter_scenarios"):
        yield from model.iter_scenarios(X)
    else:
        scenarios = model.predict_scenarios(X)
        yield slice(0, len(scenarios.values)), scenarios


def of_one_number(model: Any) -> bool:
    """Return whether a model that predicts scenarios was fitted on y of one dimension."""
    while not hasattr(model, "is_vector_"):
        if not hasattr(model, "estimator_"):
            return False
        model = innermost(model.estimator_)[0]
    return bool(model.is_vector_)


def shaped_for(model: Any, decisions: np.ndarray) -> np.ndarray:
    """Return decisions (n, k) as (n,) where y was (n,) and a decision is one number."""
    return decisions[:, 0] if decisions.shape[1] == 1 and of_one_number(model) else decisions


def _transforms_scenarios(estimator: Any) -> bool:
    """Return whether it is a scenario model of transformed targets."""
    return isinstance(estimator, TransformedTargetRegressor) and predicts_scenarios(
        innermost(estimator.regressor_)[0]
    )


class BackTransformed:
    """The scenarios of a TransformedTargetRegressor in the units of y."""

    def __init__(self, estimator: TransformedTargetRegressor) -> None:
        self._estimator = estimator
        self._inner, self._reaches = innermost(estimator.regressor_)
        self.is_vector_ = of_one_number(self._inner)
        self.risk = getattr(self._inner, "risk", None)

    def iter_scenarios(self, X: Any) -> Iterator[tuple[slice, Any]]:
        """Yield the scenarios of some rows after the other."""
        for rows, scenarios in scenario_parts(self._inner, self._reaches(X)):
            yield rows, self._back(scenarios)

    def predict_scenarios(self, X: Any) -> Any:
        """Return the scenarios of all rows."""
        return self._back(self._inner.predict_scenarios(self._reaches(X)))

    def _back(self, scenarios: Any) -> Any:
        values = scenarios.values
        table = self._estimator.transformer_.inverse_transform(values.reshape(-1, values.shape[-1]))
        return replace(scenarios, values=table.reshape(values.shape))
