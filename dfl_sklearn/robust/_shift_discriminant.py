"""A discriminant that tells two tables apart, with as much freedom as their rows bear."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from ._default_classifier import FEW_FEATURES

_PENALTIES = np.logspace(-4, 2, 13)  # shares of the number of rows


class ShiftDiscriminant(BaseEstimator):
    """Fisher's linear discriminant, shrunk, of features, of their squares or of their products.

    It is a ridge regression of the labels. The penalty, and which of the three sets of features,
    are those of the least squared error on rows left out one at a time, which a ridge regression
    knows without being fitted again. Products of a dozen features are nearly as many as the rows
    of a window: without this choice they hide a shift of a mean.
    """

    def fit(self, X: Any, y: np.ndarray) -> "ShiftDiscriminant":
        """Fit all candidates to rows labelled 0 or 1, and keep the best."""
        n, n_features = X.shape
        candidates = [_ridge(n, None), _ridge(n, FunctionTransformer(_with_squares))]
        if n_features <= FEW_FEATURES:
            candidates.append(_ridge(n, PolynomialFeatures(2, include_bias=False)))
        scores = [each.fit(X, y)[-1].best_score_ for each in candidates]
        self.model_ = candidates[int(np.argmax(scores))]  # the simplest of equal ones
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores (n,), larger for label 1."""
        return self.model_.decision_function(X)


def _ridge(n_rows: int, features: Any) -> Pipeline:
    """Return a ridge classifier on standardised features of standardised columns."""
    steps = [] if features is None else [features, StandardScaler()]
    line = RidgeClassifierCV(n_rows * _PENALTIES)
    return make_pipeline(StandardScaler(), *steps, line).set_output(transform="default")


def _with_squares(X: np.ndarray) -> np.ndarray:
    return np.hstack([X, X**2])
