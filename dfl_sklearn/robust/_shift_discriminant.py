"""A discriminant that tells two tables apart, with a complexity chosen by cross-validation."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from ._default_classifier import FEW_FEATURES

_PENALTIES = np.logspace(-4, 2, 13)  # shares of the number of rows


class ShiftDiscriminant(BaseEstimator):
    """Regularised linear discriminant of features, optionally with their squares or products.

    It is a ridge regression of the labels. There are three candidates: the features; these and
    their squares; and, for at most 20 features, these, their squares and their products. The
    candidate and its penalty are chosen by the squared error of leave-one-out cross-validation, for
    which a ridge regression need not be fitted again. A dozen features have nearly as many products
    as a window has rows. If products were always used, a shift of a mean could be missed.
    """

    def fit(self, X: Any, y: np.ndarray) -> "ShiftDiscriminant":
        """Fit all candidates to rows X (n, p) with labels y (n,), 0 or 1, and keep the best."""
        n, n_features = X.shape
        candidates = [_ridge(n, None), _ridge(n, FunctionTransformer(_with_squares))]
        if n_features <= FEW_FEATURES:
            candidates.append(_ridge(n, PolynomialFeatures(2, include_bias=False)))
        scores = [each.fit(X, y)[-1].best_score_ for each in candidates]
        self.model_ = candidates[int(np.argmax(scores))]  # of equal ones the simplest
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores (n,), larger for label 1."""
        return self.model_.decision_function(X)


def _ridge(n_rows: int, features: Any) -> Pipeline:
    """Return a ridge classifier of standardised columns, or of features made from these."""
    steps = [] if features is None else [features, StandardScaler()]
    line = RidgeClassifierCV(n_rows * _PENALTIES)
    return make_pipeline(StandardScaler(), *steps, line).set_output(transform="default")


def _with_squares(X: np.ndarray) -> np.ndarray:
    return np.hstack([X, X**2])
