"""What sets that move rows have in common: which columns may move, and in which unit."""

import numpy as np

_MOVED = ("both", "features", "target")


def check_moved(moved: str) -> None:
    """Raise where the parameter `moved` names no columns."""
    if moved not in _MOVED:
        raise ValueError(f"moved must be one of {_MOVED}, got {moved!r}.")


def deviation(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, with weights that sum to 1."""
    return np.sqrt(share @ (values - share @ values) ** 2)
