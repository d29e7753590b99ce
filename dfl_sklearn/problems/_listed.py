"""Few feasible decisions, listed: the best one is looked up for many rows at once."""

import numpy as np

_CHUNK = 1 << 22  # numbers in the largest temporary array


def least_costly(decisions: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the number (B,) of the best of listed decisions (S, n) under costs (B, n).

    Of several that differ by rounding errors it is the first: sums are rounded differently in
    batches of other sizes, and the choice must not depend on the rows around.
    """
    slack = 8.0 * np.finfo(costs.dtype).eps * np.abs(costs).sum(axis=1, keepdims=True)
    table = np.ascontiguousarray(decisions.T, dtype=costs.dtype)
    step = max(1, _CHUNK // len(decisions))
    found = np.empty(len(costs), dtype=np.intp)
    for start in range(0, len(costs), step):
        part = slice(start, start + step)
        total = costs[part] @ table
        found[part] = (total <= total.min(axis=1, keepdims=True) + slack[part]).argmax(axis=1)
    return found
