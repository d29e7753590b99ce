"""Displays of decisions and their costs. Matplotlib is imported only to draw."""

from .bias_correction import BiasCorrectionDisplay
from .certificate import CertificateDisplay
from .comparison import DecisionComparisonDisplay
from .decision import DecisionDisplay
from .radius_curve import RadiusCurveDisplay
from .scenarios import ScenarioDisplay
from .stress_test import StressTestDisplay
from .worst_case import WorstCaseDisplay

__all__ = [
    "BiasCorrectionDisplay",
    "CertificateDisplay",
    "DecisionComparisonDisplay",
    "DecisionDisplay",
    "RadiusCurveDisplay",
    "ScenarioDisplay",
    "StressTestDisplay",
    "WorstCaseDisplay",
]
