from .base import ScenarioModel, Scenarios
from .diffusion import DiffusionScenarios
from .distribution import DistributionScenarios
from .local import LocalScenarios
from .mixture import GaussianScenarios, MixtureScenarios
from .residuals import ResidualScenarios

__all__ = [
    "DiffusionScenarios",
    "DistributionScenarios",
    "GaussianScenarios",
    "LocalScenarios",
    "MixtureScenarios",
    "ResidualScenarios",
    "ScenarioModel",
    "Scenarios",
]
