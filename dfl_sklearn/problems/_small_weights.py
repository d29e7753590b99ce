"""Decisions over scenarios of which some have next to no weight."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .base import DecisionProblem

# Weights, as shares of the largest, whose costs are left out: at first, and as a last resort.
_SMALL, _LAST = 1e-12, (1e-10, 1e-9, 1e-8)
_ERROR = 5e-8  # what that may cost, as a share of the mean absolute cost


def decide_with_small_weights(
    problem: "DecisionProblem",
    y: np.ndarray,
    weight: np.ndarray,
    context: np.ndarray | None,
    row: int,
    decide: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    r"""Return the decision (k,) of least mean cost over scenarios y (S, d) of a row.

    A solver in floating point cannot compare costs that count 1e-30 with costs that count 1. The
    costs of scenarios below 1e-12 of the largest weight are left out therefore; their constraints
    are kept. The decision z then costs at most
    :math:`\sum_s w_s (f(z, y_s) - \min_{z'} f(z', y_s))` too much, summed over these scenarios.
    Where this may be more than 5e-8 of the mean absolute cost, no cost is left out. Where no
    decision is then proven best, the same is tried with larger weights.

    Parameters
    ----------
    problem : DecisionProblem
    y : ndarray of shape (S, d)
    weight : ndarray of shape (S,)
        Positive.
    context : ndarray of shape (c,) or None
    row : int
    decide : callable
        Returns the decision (k,) for weights (S,) of the costs. Constraints hold in all scenarios.
    """
    smallest = weight / weight.max()

    def without(share: float) -> np.ndarray | None:
        is_small = smallest <= share
        if not is_small.any():
            return None
        try:
            z = decide(np.where(is_small, 0.0, weight))
        except RuntimeError:
            return None
        return z if _error_is_small(problem, y, weight, context, z, is_small) else None

    decision = without(_SMALL)
    if decision is not None:
        return decision
    try:
        return decide(weight)
    except RuntimeError as error:
        for share in _LAST:
            decision = without(share)
            if decision is not None:
                return decision
        if smallest.min() > _LAST[-1]:
            raise
        raise RuntimeError(
            f"{error} The scenarios of row {row} have weights from {weight.min():.3g} to "
            f"{weight.max():.3g}, too far apart for floating point. Give weights of 0 to scenarios "
            "that should not count."
        ) from error


def _error_is_small(
    problem: "DecisionProblem",
    y: np.ndarray,
    weight: np.ndarray,
    context: np.ndarray | None,
    decision: np.ndarray,
    is_small: np.ndarray,
) -> bool:
    """Return whether a decision (k,) is proven to cost next to nothing too much."""
    rows = None if context is None else np.repeat(context[None], len(y), axis=0)
    known = None if rows is None else rows[is_small]
    try:
        costs = problem.cost_rows(np.repeat(decision[None], len(y), axis=0), y, rows)
        best = problem.solve_rows(y[is_small], known)
        least = problem.cost_rows(best, y[is_small], known)
    except (ValueError, RuntimeError):
        return False  # a scenario has no least cost, or the decision none
    total = weight @ np.abs(costs)
    return bool(weight[is_small] @ np.maximum(costs[is_small] - least, 0.0) <= _ERROR * total)
