"""The classifier that tells two tables apart where the user gives none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

_FEW_FEATURES = 20  # of which products are taken


def default_classifier(n_features: int) -> Pipeline:
    """Return a logistic regression, quadratic where features are few, right for Gaussians."""
    powers = [PolynomialFeatures(2, include_bias=False)] if n_features <= _FEW_FEATURES else []
    line = LogisticRegression(tol=1e-6, max_iter=1000)
    steps = [StandardScaler(), *powers, StandardScaler(), line]
    return make_pipeline(*steps)


@contextmanager
def saying_what_it_takes(classifier: Any) -> Iterator[None]:
    """Add to errors of the default classifier, where `classifier` is None, what it takes."""
    try:
        yield
    except ValueError as error:
        if classifier is not None:
            raise
        what = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(
            "The default classifier is a logistic regression, which takes finite numbers "
            f"alone: {what}. Give a classifier that takes these features, such as a Pipeline "
            "with an encoder or an imputer, as classifier=."
        ) from error
