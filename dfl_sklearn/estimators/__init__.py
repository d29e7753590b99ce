"""Estimators: the scikit-learn face of decision-focused learning."""

from .dff import DFFRegressor
from .dfl import DFLRegressor
from .diffusion_dro import DiffusionDRODFLRegressor
from .two_stage import TwoStageRegressor

__all__ = ["DFFRegressor", "DFLRegressor", "DiffusionDRODFLRegressor", "TwoStageRegressor"]
