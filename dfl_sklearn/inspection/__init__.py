"""Displays: pictures of decisions and what they cost. Matplotlib is imported when drawn."""

from .decision import DecisionDisplay
from .radius_curve import RadiusCurveDisplay
from .worst_case import WorstCaseDisplay

__all__ = ["DecisionDisplay", "RadiusCurveDisplay", "WorstCaseDisplay"]
