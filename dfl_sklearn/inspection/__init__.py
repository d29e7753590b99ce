"""Displays: pictures of decisions and what they cost. Matplotlib is imported when drawn."""

from .decision import DecisionDisplay

__all__ = ["DecisionDisplay"]
