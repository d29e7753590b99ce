"""Generated parameters, moved to where a problem allows them."""

import numpy as np

from .._utils.rows import as_numpy_rows


def raised_to_0(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return parameters (n,) or (n, d) with negative ones set to 0, and the share of such rows."""
    rows = as_numpy_rows(values, "y")
    return np.maximum(values, 0.0), float((rows < 0).any(axis=1).mean()) if len(rows) else 0.0
