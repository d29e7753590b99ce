"""Displays: pictures of decisions and what they cost. Matplotlib is imported when drawn."""

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
