"""Estimators: the scikit-learn face of decision-focused learning."""

from .dfl import DFLRegressor
from .two_stage import TwoStageRegressor

__all__ = ["DFLRegressor", "TwoStageRegressor"]
