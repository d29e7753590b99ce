"""The classifiers that tell two tables apart where the user gives none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

FEW_FEATURES = 20  # of which products are taken
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # inverse, of the penalty


def default_candidates(n_features: int) -> dict[str, Pipeline]:
    """Return logistic regressions by name, of which the least log loss on rows held out counts.

    Products of a dozen features are as many as the rows of a small target. A fit that is not
    shrunk enough is sure of itself, and gives nearly all weight to a few rows.
    """
    return {
        f"{'quadratic' if quadratic else 'linear'}, C={strength:g}": _logistic(
            strength, quadratic=quadratic
        )
        for quadratic in ((False, True) if n_features <= FEW_FEATURES else (False,))
        for strength in _STRENGTHS
    }


def _logistic(strength: float, *, quadratic: bool) -> Pipeline:
    products = [PolynomialFeatures(2, include_bias=False)] if quadratic else []
    line = LogisticRegression(C=strength, tol=1e-6, max_iter=1000)
    return make_pipeline(StandardScaler(), *products, StandardScaler(), line)


@contextmanager
def saying_what_it_takes(classifier: Any) -> Iterator[None]:
    """Add to errors of a default classifier, where `classifier` is None, what it takes."""
    try:
        yield
    except ValueError as error:
        if classifier is not None:
            raise
        what = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(
            f"The default classifier is linear and takes only finite numbers: {what}. Give a "
            "classifier that takes these features, such as a Pipeline with an encoder or an "
            "imputer, as classifier=."
        ) from error
