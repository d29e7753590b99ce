"""Decision problems: what is decided, and what does it cost?"""

from .base import DecisionProblem, OptimalSolution
from .closed_form import NewsvendorProblem, SquaredErrorProblem
from .function import FunctionProblem
from .portfolio import PortfolioProblem
from .provisioning import ProvisioningProblem

__all__ = [
    "DecisionProblem",
    "FunctionProblem",
    "NewsvendorProblem",
    "OptimalSolution",
    "PortfolioProblem",
    "ProvisioningProblem",
    "SquaredErrorProblem",
]
