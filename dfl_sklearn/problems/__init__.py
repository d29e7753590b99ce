"""Decision problems: what is decided, and what a decision costs."""

from ._context import FromContext
from ._cvxpy_parts import CvxpyProgram
from ._predicted import Predicted
from .base import DecisionProblem
from .closed_form import NewsvendorProblem, SquaredErrorProblem
from .convex import ConvexProgram
from .coverage import CoverageProblem
from .cvar_portfolio import CVaRPortfolioProblem
from .function import FunctionProblem
from .knapsack import KnapsackProblem
from .linear_cost import LinearCostProblem
from .linear_program import LinearProgram
from .matching import MatchingProblem
from .multi_product_newsvendor import MultiProductNewsvendorProblem
from .portfolio import PortfolioProblem
from .provisioning import ProvisioningProblem
from .recourse_linear_program import RecourseLinearProgram
from .set_multicover import SetMultiCoverProblem
from .shortest_path import ShortestPathProblem
from .storage import StorageProblem
from .top_k import TopKProblem
from .uncertain_knapsack import UncertainKnapsackProblem

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
    "MultiProductNewsvendorProblem",
    "NewsvendorProblem",
    "PortfolioProblem",
    "Predicted",
    "ProvisioningProblem",
    "RecourseLinearProgram",
    "SetMultiCoverProblem",
    "ShortestPathProblem",
    "SquaredErrorProblem",
    "StorageProblem",
    "TopKProblem",
    "UncertainKnapsackProblem",
]
