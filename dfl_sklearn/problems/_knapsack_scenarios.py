"""The best items for several scenarios of weights or capacities, by enumeration."""

import numpy as np

from ._soft_knapsack import SoftKnapsacks, set_sums

MOST_ITEMS = 16
_CHUNK = 1 << 22  # numbers in the largest temporary array


def best_items_of_scenarios(scenarios: SoftKnapsacks, weight: np.ndarray) -> np.ndarray:
    """Return the set (n,) with the largest mean of value less penalties over scenarios (S, ...).

    Ties go to the first of the sets, compared item by item from the last one.
    """
    values, weights, capacity, penalty = scenarios
    n, total = values.shape[1], np.zeros(1 << values.shape[1])
    step = max(1, _CHUNK >> n)
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        excess = set_sums(weights[part]) - capacity[part, None]
        price = weight[part] * penalty[part]
        total -= price @ np.maximum(excess, 0.0)
    total += set_sums((weight @ values)[None])[0]
    return (int(total.argmax()) >> np.arange(n) & 1).astype(np.float64)
