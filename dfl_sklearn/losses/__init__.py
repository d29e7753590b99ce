"""Decision losses: what number does training push down?"""

from .base import DecisionLoss, Optimum
from .regret import RegretLoss

__all__ = ["DecisionLoss", "Optimum", "RegretLoss"]
