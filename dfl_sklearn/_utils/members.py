"""Means over the members of an ensemble."""

import numpy as np


def member_mean(members: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis.

    It is computed from differences to the first member. Therefore it equals the members exactly
    where all agree, and it is exactly within bounds that all members keep. It does not depend on
    the other rows of a batch.
    """
    first = members[0]
    if len(members) == 1:
        return first
    return first + sum(each - first for each in members[1:]) / len(members)


def weighted_mean(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean over the first axis.

    It is computed as in :func:`member_mean`, so that it equals the members exactly where all agree.

    Parameters
    ----------
    members : ndarray of shape (K, n) or (K, n, d)
    weights : ndarray of shape (K,) or (n, K)
        They sum to 1 over K.
    """
    first = members[0]
    of_rows = np.broadcast_to(weights, (len(first), len(members)))
    of_rows = of_rows.reshape(*of_rows.shape, *[1] * (first.ndim - 1))
    found = first + 0.0
    for k in range(1, len(members)):
        found = found + of_rows[:, k] * (members[k] - first)
    return found
