"""The cost of decisions that ignore the features: the null model of the D2 regret score."""

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from ..solvers.linear import NoDecisionError
from ._no_cost import NoCostError
from ._scenario_weights import normalised_weight, scenario_mean
from .base import DecisionProblem

_MOST_SCENARIOS = 200  # where each row has its own decision
_CHUNK = 1 << 22  # numbers in the largest temporary array


def constant_costs(
    problem: DecisionProblem, y: np.ndarray, weight: np.ndarray, best: np.ndarray, context: Any
) -> np.ndarray:
    """Return the cost (n,) of each row under the best decision that ignores features.

    Without a context this is one decision for all, the best one with all rows as scenarios. With a
    context it is, for each row, the best decision with all rows as scenarios under its own context.
    More than 200 distinct rows are represented by 200 of them, or by their mean where the cost is
    linear in y. Where scenarios are not solved for exactly (``exact_scenarios = False``), the
    decision for their mean is used.

    Parameters
    ----------
    problem : DecisionProblem
    y : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    best : ndarray of shape (n,)
        Costs of the best decisions.
    context : array-like, DataFrame or None
        As `solve` takes it.
    """
    if (y == y[0]).all():
        # One decision is best for all; a weighted mean of equal numbers may have rounding errors.
        return best
    return problem.cost(constant_decisions(problem, y, weight, context), y, context=context)


def best_constant(
    problem: DecisionProblem, y: np.ndarray, weight: np.ndarray, context: Any = None
) -> np.ndarray:
    """Return the decisions (r, k) that are best over all rows of y (m, d), with weights (m,).

    There is one, or one for each row of a context (r, c). Where a problem only solves for the mean
    of scenarios, it is the decision for that mean, without a warning: the user did not ask for
    scenarios.
    """
    n = 1 if context is None else len(context)
    if problem._solves_for_mean():
        share = normalised_weight(weight, 1, len(y))
        mean = np.broadcast_to(scenario_mean(y[None], share), (n, y.shape[1]))
        return problem.solve(mean, context=context)
    rows = np.broadcast_to(y, (n, *y.shape))
    return problem.solve(rows, context=context, scenario_weight=weight)


def constant_decisions(
    problem: DecisionProblem, y: np.ndarray, weight: np.ndarray, context: Any
) -> np.ndarray:
    """Return the decisions (n, k) that depend on the context and not on the features.

    Each is the best one over the m rows of y (m, d), with weights (m,), under its context (n, c).
    Without a context there is one decision (1, k).

    Raises
    ------
    NoCostError
        If no decision satisfies the constraints of all rows.
    """
    try:
        if context is None:
            return best_constant(problem, y, weight)
        return _by_context(problem, y, weight, context)
    except NoDecisionError as error:
        what = "cannot satisfy the constraints of all rows"
        raise NoCostError.at(0, what, "", f"One decision {what}.") from error


def _by_context(
    problem: DecisionProblem, y: np.ndarray, weight: np.ndarray, context: Any
) -> np.ndarray:
    n = len(context)
    if problem.linear_objective() is not None:
        mean = np.average(y, axis=0, weights=weight)
        return problem.solve(np.broadcast_to(mean, (n, len(mean))), context=context)
    scenarios, share = _few(y, weight)
    step = max(1, _CHUNK // scenarios.size)
    parts = []
    for start in range(0, n, step):
        part = np.arange(start, min(start + step, n))
        some = _safe_indexing(context, part)
        parts.append(best_constant(problem, scenarios, share, some))
    return np.concatenate(parts)


def _few(y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most 200 rows that represent all (m, d), and their weights.

    Equal rows are merged. Of more than 200 distinct rows, those at equal steps of the cumulative
    weight are taken, sorted by their first column. The choice does not depend on the order of the
    rows, nor on whether a row is given twice or with twice the weight.
    """
    y, weight = y[weight > 0], weight[weight > 0]
    rows, place = np.unique(y, axis=0, return_inverse=True)
    share = np.bincount(place.ravel(), weights=weight)
    if len(rows) <= _MOST_SCENARIOS:
        return rows, share
    reached = np.cumsum(share)
    steps = (np.arange(_MOST_SCENARIOS) + 0.5) / _MOST_SCENARIOS * reached[-1]
    taken, counts = np.unique(np.searchsorted(reached, steps), return_counts=True)
    return rows[taken], counts.astype(np.float64)
