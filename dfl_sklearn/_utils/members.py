"""What the members of an ensemble say, as one."""

import numpy as np


def member_mean(members: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis.

    It is taken as distances from the first member, so that it is that member where all agree, and
    within bounds that all keep, to the bit. The other rows of a batch make no difference.
    """
    first = members[0]
    if len(members) == 1:
        return first
    return first + sum(each - first for each in members[1:]) / len(members)


def weighted_mean(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean over the first axis.

    Taken as :func:`member_mean` is, so that it is what the members say where they all agree.

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
