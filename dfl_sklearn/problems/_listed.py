"""Few feasible decisions, listed: the best one is looked up for many rows at once."""

import numpy as np

_CHUNK = 1 << 22  # numbers in the largest temporary array
_ROUNDING = 8.0 * np.finfo(np.float64).eps  # of a sum, as a share of its absolute terms


def least_costly(decisions: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the number (B,) of the best of listed decisions (S, n) under costs (B, n), float64.

    Of several that differ by rounding errors it is the first: sums are rounded differently in
    batches of other sizes, and the choice must not depend on the rows around.
    """
    table = np.ascontiguousarray(decisions.T, dtype=np.float64)
    step = max(1, _CHUNK // len(decisions))
    found = np.empty(len(costs), dtype=np.intp)
    for start in range(0, len(costs), step):
        part = costs[start : start + step]
        total = part @ table
        least = total.min(axis=1, keepdims=True)
        near = total <= least + _ROUNDING * np.abs(part).sum(axis=1, keepdims=True)
        for i in np.flatnonzero(near.sum(axis=1) > 1):
            near[i] = _is_best(decisions, part[i], np.flatnonzero(near[i]), total[i])
        found[start : start + step] = near.argmax(axis=1)
    return found


def _is_best(
    decisions: np.ndarray, cost: np.ndarray, candidates: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Return which decisions (S,) differ from the best one by rounding errors.

    These are a share of the absolute terms of the two sums: what is dear and enters neither leaves
    no doubt.
    """
    terms = np.abs(decisions[candidates]) @ np.abs(cost)
    best = total[candidates].argmin()
    slack = _ROUNDING * (terms + terms[best])
    is_best = np.zeros(len(decisions), dtype=bool)
    is_best[candidates] = total[candidates] <= total[candidates[best]] + slack
    return is_best
