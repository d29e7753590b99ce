from .base import ScenarioModel, Scenarios
from .distribution import DistributionScenarios
from .local import LocalScenarios
from .mixture import GaussianScenarios, MixtureScenarios
from .residuals import ResidualScenarios

__all__ = [
    "DistributionScenarios",
    "GaussianScenarios",
    "LocalScenarios",
    "MixtureScenarios",
    "ResidualScenarios",
    "ScenarioModel",
    "Scenarios",
]
