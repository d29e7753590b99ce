"""Decision problems: what is decided, and what does it cost?"""

from ._context import FromContext
from ._cvxpy_program import CvxpyProgram
from .base import DecisionProblem, OptimalSolution
from .closed_form import NewsvendorProblem, SquaredErrorProblem
from .convex import ConvexProgram
from .coverage import CoverageProblem
from .cvar_portfolio import CVaRPortfolioProblem
from .function import FunctionProblem
from .knapsack import KnapsackProblem
from .linear_program import LinearCostProblem, LinearProgram
from .matching import MatchingProblem
from .portfolio import PortfolioProblem
from .provisioning import ProvisioningProblem
from .shortest_path import ShortestPathProblem
from .top_k import TopKProblem

__all__ = [
    "CVaRPortfolioProblem",
    "ConvexProgram",
    "CoverageProblem",
    "CvxpyProgram",
    "DecisionProblem",
    "FromContext",
    "FunctionProblem",
    "KnapsackProblem",
    "LinearCostProblem",
    "LinearProgram",
    "MatchingProblem",
    "NewsvendorProblem",
    "OptimalSolution",
    "PortfolioProblem",
    "ProvisioningProblem",
    "ShortestPathProblem",
    "SquaredErrorProblem",
    "TopKProblem",
]
