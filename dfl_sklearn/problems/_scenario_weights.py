"""The weights of scenarios, and their mean."""

from typing import Any

import numpy as np

from .._utils.rows import as_float, check_finite


def scenario_mean(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the mean (n, d) of scenarios (n, S, d) with weights (n, S)."""
    return np.einsum("ns,nsd->nd", weight, y)


def normalised_weight(weight: Any, n_rows: int, n_scenarios: int) -> np.ndarray:
    """Return normalised scenario weights of shape (n_rows, n_scenarios)."""
    if n_scenarios == 0:
        raise ValueError("y has no scenarios: its shape is (n_rows, 0, n_parameters).")
    if weight is None:
        return np.full((n_rows, n_scenarios), 1.0 / n_scenarios)
    array = as_float(weight, "scenario_weight")
    if array.shape not in ((n_scenarios,), (n_rows, n_scenarios)):
        raise ValueError(
            f"scenario_weight must have shape ({n_scenarios},) or ({n_rows}, {n_scenarios}), "
            f"got {array.shape}."
        )
    array = np.broadcast_to(array, (n_rows, n_scenarios))
    check_finite(array, "scenario_weight")
    with np.errstate(over="ignore"):
        total = array.sum(axis=1, keepdims=True)
    if (array < 0).any() or (total <= 0).any() or not np.isfinite(total).all():
        raise ValueError(
            "scenario_weight must be non-negative, with a positive, finite sum in every row."
        )
    return array / total
