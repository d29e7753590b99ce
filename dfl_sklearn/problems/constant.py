"""What decisions cost that ignore the features: the null model of the D2 regret score."""

from typing import Any

import numpy as np

from .base import DecisionProblem

_MOST_SCENARIOS = 200  # where each row decides for itself
_CHUNK = 1 << 22  # numbers in the largest temporary array


def constant_costs(
    problem: DecisionProblem, y: np.ndarray, weight: np.ndarray, best: np.ndarray, context: Any
) -> np.ndarray:
    """Return the cost (n,) of each row under the decision that is best without its features.

    Without a context that is one decision for all, the best one over all rows as scenarios. With
    one it is, for each row, the best decision over the rows as scenarios under its own context. Of
    more than 200 rows 200 are drawn, always the same. Where the cost is linear in y, their mean
    stands for all.

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
        # One decision is best for all; the weighted mean of equal numbers may miss them by a bit.
        return best
    if context is None:
        return problem.cost(problem.solve(y[None], scenario_weight=weight), y)
    return problem.cost(constant_decisions(problem, y, weight, context), y, context=context)


def constant_decisions(
    problem: DecisionProblem, y: np.ndarray, weight: np.ndarray, context: Any
) -> np.ndarray:
    """Return the decisions (n, k) of rows that know their context and not their features.

    Each is the best one over the m rows of y (m, d), with weights (m,), under its context (n, c).
    """
    n = len(context)
    if problem.linear_objective() is not None:
        mean = np.average(y, axis=0, weights=weight)
        return problem.solve(np.broadcast_to(mean, (n, len(mean))), context=context)
    few = np.flatnonzero(weight > 0)
    if len(few) > _MOST_SCENARIOS:
        few = np.random.default_rng(0).choice(few, _MOST_SCENARIOS, replace=False)
    scenarios, share = y[few], weight[few]
    step = max(1, _CHUNK // scenarios.size)
    parts = []
    for start in range(0, n, step):
        part = slice(start, start + step)
        some = context.iloc[part] if hasattr(context, "iloc") else np.asarray(context)[part]
        rows = np.broadcast_to(scenarios, (len(some), *scenarios.shape))
        parts.append(problem.solve(rows, context=some, scenario_weight=share))
    return np.concatenate(parts)
