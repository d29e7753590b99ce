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
    online,
    problems,
    robust,
    rows,
    scenarios,
)
from ._decide import decide
from .estimators import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    TwoStageRegressor,
)

__version__: str

__all__ = [
    "ConformalDecisions",
    "DFFRegressor",
    "DFLRegressor",
    "DiffusionDRODFLRegressor",
    "ExpertMixture",
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
    "online",
    "problems",
    "robust",
    "rows",
    "scenarios",
]
