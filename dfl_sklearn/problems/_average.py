"""The decisions of an ensemble."""

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from .._utils.members import member_mean
from .._utils.row_numbers import renumbered
from .base import DecisionProblem


def averaged_decisions(
    problem: DecisionProblem, predictions: np.ndarray, context: Any = None
) -> np.ndarray:
    """Return the decisions of an ensemble from the predictions of its members.

    Parameters
    ----------
    problem : DecisionProblem
        Its `decision_average` says whether the decision is that of the mean prediction, or the mean
        of the members' decisions.
    predictions : ndarray of shape (K, n) or (K, n, d)
    context : array-like of shape (n,) or (n, c), DataFrame or None
        As ``problem.solve`` takes it.

    Returns
    -------
    ndarray of shape (n,) or (n, k)
        As ``problem.solve`` returns them.
    """
    n_members, n = predictions.shape[:2]
    if n_members == 1 or problem.decision_average == "predictions":
        return problem.solve(member_mean(predictions), context=context)
    rows = np.tile(np.arange(n), n_members)
    if context is not None:
        context = _safe_indexing(context, rows)
    with renumbered(rows):
        decisions = problem.solve(predictions.reshape(-1, *predictions.shape[2:]), context=context)
    return member_mean(decisions.reshape(n_members, n, *decisions.shape[1:]))
