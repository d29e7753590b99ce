"""Problems with few feasible decisions: the best one of a list, for many rows at once."""

from collections.abc import Callable

import numpy as np

_CHUNK = 1 << 22  # numbers in the largest temporary array
_ROUNDING = 8.0 * np.finfo(np.float64).eps  # of a sum, as a share of its absolute terms


def least_costly(
    decisions: np.ndarray,
    costs: np.ndarray,
    is_allowed: Callable[[slice], np.ndarray] | None = None,
) -> np.ndarray:
    """Return the number (B,) of the best of listed decisions (S, n) under costs (B, n).

    Both are float64.

    Where not all of them are feasible in each row, `is_allowed` tells for a slice of the rows which
    are, (rows, S), at least one in each.

    Of several that differ by rounding errors it is the first: sums are rounded differently in
    batches of other sizes, and the choice must not depend on the rows around.
    """
    table = decisions.T
    step = max(1, _CHUNK // len(decisions))
    found = np.empty(len(costs), dtype=np.intp)
    for start in range(0, len(costs), step):
        part = costs[start : start + step]
        total, rows = part @ table, np.arange(len(part))
        if is_allowed is not None:
            total[~is_allowed(slice(start, start + step))] = np.inf
        best = total.argmin(axis=1)
        slack = _ROUNDING * np.abs(part).sum(axis=1)
        near = total <= (total[rows, best] + slack)[:, None]
        if np.count_nonzero(near) > len(part):  # others than the best ones
            near[rows, best] = False
            for i in np.flatnonzero(near.any(axis=1)):
                candidates = np.append(np.flatnonzero(near[i]), best[i])
                best[i] = _first_of_best(decisions, part[i], candidates, total[i])
        found[start : start + step] = best
    return found


def _first_of_best(
    decisions: np.ndarray, cost: np.ndarray, candidates: np.ndarray, total: np.ndarray
) -> int:
    """Return the first of the candidates whose total differs from the last's by rounding errors.

    The errors are a share of the absolute terms of the two sums only: large costs that enter
    neither sum do not matter. The last candidate is the one with the least total.
    """
    terms = np.abs(decisions[candidates]) @ np.abs(cost)
    is_best = total[candidates] <= total[candidates[-1]] + _ROUNDING * (terms + terms[-1])
    return int(candidates[is_best].min())
