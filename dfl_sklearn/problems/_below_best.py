"""Decisions that cost less than the best ones, which those of an exact problem cannot."""

from typing import Any

import numpy as np

from .base import DecisionProblem

_SOLVER_ERROR = 1e-6  # share of the costs by which a decision may be cheaper than the best one
_FEASIBLE = 1e-9  # by which it may miss a constraint then


def rows_below_best(paid: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the rows whose decision is cheaper than the best one, the farthest below first.

    By more than the errors of a solver, beside the costs of the row and of all rows.

    Parameters
    ----------
    paid, best : ndarray of shape (n,)
    """
    with np.errstate(over="ignore"):
        size = np.abs(paid) + np.abs(best)
        below = best - paid
        rows = np.flatnonzero(below > _SOLVER_ERROR * (size + size.mean()))
    return rows[np.argsort(-below[rows], kind="stable")]


def below_best(
    problem: DecisionProblem,
    paid: np.ndarray,
    best: np.ndarray,
    decisions: Any,
    y: np.ndarray,
    context: Any,
) -> str | None:
    """Say that ``solve_rows`` of an exact problem has missed the best decision of a row, if so.

    A decision that is not allowed may cost less than the best one.

    Parameters
    ----------
    problem : DecisionProblem
    paid : ndarray of shape (n,)
        The costs of the decisions.
    best : ndarray of shape (n,)
        Those of the decisions that ``solve`` gives for y.
    decisions : array-like of shape (n, k)
    y : ndarray of shape (n, d)
    context : array-like of shape (n, c) or None
    """
    if not problem.exact:
        return None
    rows = rows_below_best(paid, best)
    if not len(rows):
        return None
    allowed = problem.is_feasible(decisions, y, context=context, tol=_FEASIBLE)
    rows = rows[allowed[rows]]
    if not len(rows):
        return None
    i = int(rows[0])
    return what_is_below(problem, f"The decision for row {i}", paid[i], best[i])


def what_is_below(problem: DecisionProblem, decision: str, paid: float, best: float) -> str:
    """Say what a decision that costs less than the best one means."""
    name = type(problem).__name__
    return (
        f"{decision} costs {paid:.6g}, less than the best one, {best:.6g}. Either solve_rows of "
        f"{name} does not return the best decision for that row (if it need not, set exact = "
        f"False), or the decision is not allowed, which is_feasible of {name} has to say."
    )
