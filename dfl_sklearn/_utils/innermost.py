"""The estimator inside Pipelines, searches and frozen estimators."""

from collections.abc import Callable
from typing import Any

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
        elif isinstance(estimator, FrozenEstimator) or hasattr(estimator, "refit"):
            estimator = estimator.estimator
        else:
            return estimator
