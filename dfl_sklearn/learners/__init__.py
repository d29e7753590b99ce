"""Networks: seeded construction, the nets of this package, and the training loop."""

from .correction import BiasCorrection
from .factories import LSTMPredictor, MLPPredictor, NetFactory, ScaleEquivariantPredictor
from .itemwise import ItemwisePredictor, PairwisePredictor

__all__ = [
    "BiasCorrection",
    "ItemwisePredictor",
    "LSTMPredictor",
    "MLPPredictor",
    "NetFactory",
    "PairwisePredictor",
    "ScaleEquivariantPredictor",
]
