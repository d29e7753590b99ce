"""Decision layers: how a decision changes when the prediction changes.

Reached through ``problem.decision_layer(smoothing)``; the classes here are the parts from
which a new problem builds its own.
"""

from .box import AffineBoxLayer
from .numeric import SolveLayer, differentiate_rows
from .quadratic_program import QuadraticProgramLayer
from .simplex import SimplexQPLayer

__all__ = [
    "AffineBoxLayer",
    "QuadraticProgramLayer",
    "SimplexQPLayer",
    "SolveLayer",
    "differentiate_rows",
]
