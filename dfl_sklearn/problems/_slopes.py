"""How the cost of a decision changes with y, where it is linear in the decision."""

from collections.abc import Callable
from typing import Any

import numpy as np


def slopes_in_parameters(
    objective: Callable[..., Any],
    decisions: np.ndarray,
    n_parameters: int,
    context: np.ndarray | None,
) -> np.ndarray:
    """Return the slopes (n, d) in y of the costs ``c(y) @ z`` of decisions z (n, k).

    The cost vector c is affine in y, so that its values at 0 and at unit vectors give the slopes.

    Parameters
    ----------
    objective : callable
        Returns c (n, k) for y (n, d), and the context if there is one; see
        :meth:`DecisionProblem.linear_objective`.
    decisions : ndarray of shape (n, k)
    n_parameters : int
        d, the number of columns of y.
    context : ndarray of shape (n, c) or None
    """
    known = () if context is None else (context,)
    y = np.zeros((len(decisions), n_parameters))
    at_zero = (objective(y, *known) * decisions).sum(axis=1)
    slopes = np.empty(y.shape)
    for j in range(n_parameters):
        y[:] = 0.0
        y[:, j] = 1.0
        slopes[:, j] = (objective(y, *known) * decisions).sum(axis=1) - at_zero
    return slopes
