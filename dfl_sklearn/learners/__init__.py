"""Networks: seeded construction, the nets this package brings, and the one training loop."""

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
