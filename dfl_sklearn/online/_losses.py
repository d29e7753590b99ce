"""Tables of what experts have lost."""

from typing import Any

import numpy as np

from .._utils.rows import as_float, check_finite

WIDEST = 1e300  # range of the losses of a row: a hundred million rows have a finite sum


def checked_losses(losses: Any, n_experts: int | None = None) -> np.ndarray:
    """Return losses (T, N) in float64, or raise an error that says what is wrong with them."""
    losses = as_float(losses, "losses").astype(np.float64, copy=False)
    if losses.ndim != 2 or losses.shape[1] == 0 or n_experts not in (None, losses.shape[1]):
        experts = "n_experts" if n_experts is None else n_experts
        raise ValueError(
            f"losses must have shape (n_rows, {experts}), one of each expert in each row, got "
            f"{losses.shape}."
        )
    check_finite(losses, "losses")
    with np.errstate(over="ignore"):
        is_too_wide = np.ptp(losses, axis=1) > WIDEST
    if is_too_wide.any():
        raise ValueError(
            f"losses in row {int(np.flatnonzero(is_too_wide)[0])} differ by more than {WIDEST:g}, "
            "so that their sums may overflow: give them in a larger unit."
        )
    return losses
