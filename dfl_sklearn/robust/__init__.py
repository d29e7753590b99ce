"""Robustness: which weighted rows do we train on next, so that we are ready for what may come?"""

from ..learners.denoisers import ConvDenoiser, MLPDenoiser
from .augmentation import GaussianNoise, NominalSamples
from .base import AmbiguitySet
from .diffusion import DiffusionBall
from .divergences import ChiSquareBall, CVaR, KLBall
from .generator import DiffusionGenerator
from .policy_gradient import PolicyGradientSearch
from .search import WorstCaseSearch
from .tilted import TiltedSearch
from .wasserstein import WassersteinBall

__all__ = [
    "AmbiguitySet",
    "CVaR",
    "ChiSquareBall",
    "ConvDenoiser",
    "DiffusionBall",
    "DiffusionGenerator",
    "GaussianNoise",
    "KLBall",
    "MLPDenoiser",
    "NominalSamples",
    "PolicyGradientSearch",
    "TiltedSearch",
    "WassersteinBall",
    "WorstCaseSearch",
]
