from .cusum import Cusum
from .hedge import AdaHedge, TrackingHedge, play
from .switching import least_switching_cost

__all__ = ["AdaHedge", "Cusum", "TrackingHedge", "least_switching_cost", "play"]
