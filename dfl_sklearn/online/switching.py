"""The best sequence of experts in hindsight."""

import numpy as np

from .._utils.checks import whole_number
from ._losses import checked_losses


def least_switching_cost(losses: np.ndarray, max_switches: int) -> np.ndarray:
    """Return the least total loss of a sequence of experts with at most k switches, for each k.

    Parameters
    ----------
    losses : ndarray of shape (T, N)
        Loss of each expert in each row.
    max_switches : int
        The largest number of switches k, 0 or more.

    Returns
    -------
    ndarray of shape (max_switches + 1,)
        The least loss for k = 0, 1, ..., `max_switches`; the first is that of the best expert.

    Raises
    ------
    ValueError
        If losses are no such table of finite numbers, or `max_switches` no whole number of 0 or
        more.

    See Also
    --------
    TrackingHedge : Weights that follow such a sequence without knowing the future.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.online import least_switching_cost
    >>> least_switching_cost(np.array([[0.0, 1.0], [0.0, 1.0], [5.0, 1.0]]), 2)
    array([3., 1., 1.])
    """
    whole_number(max_switches, "max_switches", at_least=0)
    losses = checked_losses(losses)
    least = np.zeros((max_switches + 1, losses.shape[1]))
    for loss in losses:
        if max_switches:
            after = least[:-1].min(axis=1, keepdims=True)  # one switch fewer, from any expert
            least[1:] = np.minimum(least[1:], after)
        least += loss
    return least.min(axis=1)
