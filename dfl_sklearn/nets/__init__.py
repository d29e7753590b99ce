"""Networks: seeded construction, the nets this package brings, and the one training loop."""

from .factories import LSTMPredictor, MLPPredictor, NetFactory, ScaleEquivariantPredictor

__all__ = ["LSTMPredictor", "MLPPredictor", "NetFactory", "ScaleEquivariantPredictor"]
