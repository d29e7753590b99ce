"""Decision-focused learning for scikit-learn.

A prediction feeds a decision; this package trains the prediction for what the decision
costs.
"""

from . import (
    compose,
    datasets,
    estimators,
    inspection,
    layers,
    learners,
    losses,
    metrics,
    model_selection,
    problems,
    robust,
    rows,
)
from .estimators import (
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    TwoStageRegressor,
)

__version__ = "0.1.0"

__all__ = [
    "DFFRegressor",
    "DFLRegressor",
    "DiffusionDRODFLRegressor",
    "TwoStageRegressor",
    "__version__",
    "compose",
    "datasets",
    "estimators",
    "inspection",
    "layers",
    "learners",
    "losses",
    "metrics",
    "model_selection",
    "problems",
    "robust",
    "rows",
]
