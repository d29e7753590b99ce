"""The estimator inside Pipelines, searches, frozen estimators and transformed targets."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .scenario_models import BackTransformed, predicts_scenarios


def innermost(estimator: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the innermost fitted estimator, and the function that transforms X to its input."""
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
        else:
            break
    if isinstance(estimator, TransformedTargetRegressor):
        check_is_fitted(estimator, "regressor_")
        inner, way = innermost(estimator.regressor_)
        if predicts_scenarios(inner):
            estimator = BackTransformed(estimator, inner, way, _maker(inner))

    def reaches(X: Any) -> Any:
        for each in steps:
            X = each.transform(X)
        return X

    return estimator, reaches


def innermost_unfitted(estimator: Any) -> Any:
    """Return the innermost estimator of one that need not be fitted."""
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


def _maker(model: Any) -> Any:
    """Return the part of a model that makes its scenarios; the model itself if that is unknown."""
    maker = model
    while not hasattr(maker, "is_vector_"):
        if not hasattr(maker, "estimator_"):
            return model
        maker = innermost(maker.estimator_)[0]
    return maker


def of_one_number(model: Any) -> bool:
    """Return whether a model that predicts scenarios was fitted on y of one dimension."""
    return bool(getattr(_maker(model), "is_vector_", False))


def shaped_for(model: Any, decisions: np.ndarray) -> np.ndarray:
    """Return decisions (n, k) as (n,) where y was (n,) and a decision is one number."""
    return decisions[:, 0] if decisions.shape[1] == 1 and of_one_number(model) else decisions
