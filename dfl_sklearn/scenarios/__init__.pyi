from .base import ScenarioModel, Scenarios
from .distribution import DistributionScenarios
from .local import LocalScenarios
from .residuals import ResidualScenarios

__all__ = [
    "DistributionScenarios",
    "LocalScenarios",
    "ResidualScenarios",
    "ScenarioModel",
    "Scenarios",
]
