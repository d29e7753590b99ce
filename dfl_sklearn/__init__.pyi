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
    scenarios,
)
from ._decide import decide
from .estimators import (
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    PolicyRegressor,
    TwoStageRegressor,
)

__version__: str

__all__ = [
    "DFFRegressor",
    "DFLRegressor",
    "DiffusionDRODFLRegressor",
    "PolicyRegressor",
    "TwoStageRegressor",
    "__version__",
    "compose",
    "datasets",
    "decide",
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
    "scenarios",
]
