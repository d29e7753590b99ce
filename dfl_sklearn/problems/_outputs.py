"""What a problem answers: its decisions and costs, and what is wrong with them."""

from typing import Any

import numpy as np


class NonFiniteCostError(ValueError, FloatingPointError):
    """A cost came out NaN or infinite: the message names the row.

    Attributes
    ----------
    costs : ndarray of shape (n,)
        The costs of all rows.
    """

    costs: np.ndarray


def checked_decisions(decisions: np.ndarray, y: np.ndarray, name: str) -> np.ndarray:
    """Return the decisions (n, k) of a problem of this name for y, or say what is wrong."""
    if decisions.ndim != 2 or len(decisions) != len(y):
        raise ValueError(
            f"{name}.solve_rows must return one row of decisions per row, shape "
            f"({len(y)}, n_decisions), got {decisions.shape}."
        )
    if not np.isfinite(decisions).all():
        i = int(np.argwhere(~np.isfinite(decisions))[0, 0])
        raise ValueError(
            f"{name}.solve has no finite decision for row {i} of y, {y[i].tolist()}: it decides "
            f"{decisions[i].tolist()}. Give parameters of a smaller size."
        )
    return decisions


def check_costs(costs: Any, decisions: Any, y: Any, name: str) -> None:
    """Raise an error if the costs (n,) of decisions (n, k) or (1, k) make no sense.

    Of torch tensors the shape alone is checked.
    """
    shape = tuple(getattr(costs, "shape", ()))
    if shape != (y.shape[0],):
        raise ValueError(
            f"{name}.cost_rows must return one cost per row, shape ({y.shape[0]},), got {shape}."
        )
    if not isinstance(costs, np.ndarray) or np.isfinite(costs).all():
        return
    i = int(np.argmin(np.isfinite(costs)))
    decision = decisions[i if len(decisions) > 1 else 0]
    error = NonFiniteCostError(
        f"{name} gave a cost of {costs[i]} for row {i}, with the decision {decision.tolist()} and "
        f"y = {y[i].tolist()}: the numbers are too large, or outside of what the cost is defined "
        "for."
    )
    error.costs = costs
    raise error
