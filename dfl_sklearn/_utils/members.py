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
