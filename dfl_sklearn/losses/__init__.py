"""Decision losses: the number that training minimises for each row."""

from ._default import default_loss
from .base import DecisionLoss
from .blackbox import BlackboxLoss, IdentityLoss
from .feasibility import FeasibilityLoss
from .fenchel_young import PerturbedFenchelYoungLoss
from .prediction import LogLoss, SquaredErrorLoss
from .regret import RegretLoss
from .score_function import ScoreFunctionLoss
from .spo_plus import SPOPlusLoss

__all__ = [
    "BlackboxLoss",
    "DecisionLoss",
    "FeasibilityLoss",
    "IdentityLoss",
    "LogLoss",
    "PerturbedFenchelYoungLoss",
    "RegretLoss",
    "SPOPlusLoss",
    "ScoreFunctionLoss",
    "SquaredErrorLoss",
    "default_loss",
]
