from .augmentation import GaussianNoise, NominalSamples
from .base import AmbiguitySet
from .covariate_shift import CovariateShiftWeight, covariate_shift_weight
from .denoisers import ConvDenoiser, MLPDenoiser
from .diffusion import DiffusionBall
from .divergences import ChiSquareBall, CVaR, KLBall, TotalVariationBall
from .generator import DiffusionGenerator
from .groups import GroupDRO
from .hard_rows import JustTrainTwice
from .policy_gradient import PolicyGradientSearch
from .search import WorstCaseSearch
from .sinkhorn import SinkhornBall
from .tilted import TiltedSearch
from .wasserstein import WassersteinBall

__all__ = [
    "AmbiguitySet",
    "CVaR",
    "ChiSquareBall",
    "ConvDenoiser",
    "CovariateShiftWeight",
    "DiffusionBall",
    "DiffusionGenerator",
    "GaussianNoise",
    "GroupDRO",
    "JustTrainTwice",
    "KLBall",
    "MLPDenoiser",
    "NominalSamples",
    "PolicyGradientSearch",
    "SinkhornBall",
    "TiltedSearch",
    "TotalVariationBall",
    "WassersteinBall",
    "WorstCaseSearch",
    "covariate_shift_weight",
]
