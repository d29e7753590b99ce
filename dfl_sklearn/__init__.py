"""Decision-focused learning for scikit-learn.

A prediction feeds a decision; this package trains the prediction for what the decision
costs.
"""

from . import compose, datasets, estimators, inspection, layers, losses, metrics, nets, problems
from .estimators import DFLRegressor, TwoStageRegressor

__version__ = "0.1.0"

__all__ = [
    "DFLRegressor",
    "TwoStageRegressor",
    "__version__",
    "compose",
    "datasets",
    "estimators",
    "inspection",
    "layers",
    "losses",
    "metrics",
    "nets",
    "problems",
]
