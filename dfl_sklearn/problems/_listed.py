"""Few feasible decisions, listed: the best one is looked up for many rows at once."""

import numpy as np

_CHUNK = 1 << 22  # numbers in the largest temporary array


def least_costly(decisions: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the number (B,) of the best of listed decisions (S, n) under costs (B, n)."""
    table = np.ascontiguousarray(decisions.T, dtype=costs.dtype)
    step = max(1, _CHUNK // len(decisions))
    if len(costs) <= step:
        return (costs @ table).argmin(axis=1)
    found = np.empty(len(costs), dtype=np.intp)
    for start in range(0, len(costs), step):
        found[start : start + step] = (costs[start : start + step] @ table).argmin(axis=1)
    return found
