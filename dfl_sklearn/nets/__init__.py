"""Networks: seeded construction, the nets this package brings, and the one training loop."""

from .factories import LSTMPredictor, MLPPredictor, NetFactory, ScaleEquivariantPredictor
from .itemwise import ItemwisePredictor, PairwisePredictor

__all__ = [
    "ItemwisePredictor",
    "LSTMPredictor",
    "MLPPredictor",
    "NetFactory",
    "PairwisePredictor",
    "ScaleEquivariantPredictor",
]
