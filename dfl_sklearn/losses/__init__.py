"""Decision losses: what number does training push down?"""

from .base import DecisionLoss
from .regret import RegretLoss

__all__ = ["DecisionLoss", "RegretLoss"]
