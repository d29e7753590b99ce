"""Projections of the outputs of a policy to the nearest feasible decisions."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..solvers.polytope import Polytope
from ._context import at

if TYPE_CHECKING:
    from torch import nn

    from .base import DecisionProblem


def refuse_whole(problem: "DecisionProblem") -> NoReturn:
    """Raise a ValueError: there is no policy for integer decisions."""
    raise ValueError(
        f"{type(problem).__name__} decides whole numbers, and the nearest whole decision has no "
        "slope that a policy could be trained by. Use DFLRegressor or TwoStageRegressor, whose "
        "predictions are solved for."
    )


def in_polytope(
    problem: "DecisionProblem", polytope: Callable[[int], Polytope], n_decisions: int
) -> "nn.Module":
    """Return the projection (B, n) -> (B, n) into a set that is the same for all rows."""
    from ..layers.known_numbers import KnownNumbersLayer, nothing
    from ..layers.regularized_linear import RegularizedLinearLayer

    _continuous(problem, polytope, n_decisions)  # raises an error before anything is solved
    # The minimiser of |z|^2 / 2 - target' z.
    layer = RegularizedLinearLayer(partial(_continuous, problem, polytope), 0.5, scale=-1.0)
    return KnownNumbersLayer(layer, nothing) if problem.takes_context else layer


def in_polytopes(
    problem: "DecisionProblem", polytopes: Callable[[int, np.ndarray], Polytope]
) -> "nn.Module":
    """Return the projection (B, n), (B, c) -> (B, n) into sets that share their matrices."""
    from ..layers.regularized_linear_rows import RegularizedLinearRowsLayer

    return RegularizedLinearRowsLayer(partial(_continuous, problem, polytopes), 0.5, scale=-1.0)


def by_context(problem: "DecisionProblem", n_parameters: int) -> "nn.Module":
    """Return a projection (B, n), (B, c) -> (B, n) that is made anew for each distinct context."""
    from ..layers.by_context import ByContextLayer

    return ByContextLayer(partial(_there, problem, n_parameters))


def _there(problem: "DecisionProblem", n_parameters: int, row: np.ndarray) -> "nn.Module":
    return at(problem, row).decision_projection(n_parameters)


def _continuous(
    problem: "DecisionProblem", polytope: Callable[..., Polytope], *arguments: Any
) -> Polytope:
    """Return a set of decisions, or raise an error where they are whole numbers."""
    part = polytope(*arguments)
    if part.integral.any():
        refuse_whole(problem)
    return part
