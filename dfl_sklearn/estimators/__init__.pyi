from .conformal import ConformalDecisions
from .dff import DFFRegressor
from .dfl import DFLRegressor
from .diffusion_dro import DiffusionDRODFLRegressor
from .expert_mixture import ExpertMixture
from .naive import NaiveForecaster
from .policy import PolicyRegressor
from .shift_monitor import ShiftMonitor
from .two_stage import TwoStageRegressor

__all__ = [
    "ConformalDecisions",
    "DFFRegressor",
    "DFLRegressor",
    "DiffusionDRODFLRegressor",
    "ExpertMixture",
    "NaiveForecaster",
    "PolicyRegressor",
    "ShiftMonitor",
    "TwoStageRegressor",
]
