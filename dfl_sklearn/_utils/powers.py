"""Powers of two by which numbers are divided so that their squares do not overflow or underflow.

Such a division is exact: results for ordinary numbers do not change by a bit.
"""

import numpy as np


def size_exponent(values: np.ndarray, axis: int | None = 0) -> np.ndarray:
    """Return the exponent k, along `axis`, with which ``ldexp(values, -k)`` is below 1 in size."""
    return np.frexp(np.abs(values).max(axis=axis, initial=0.0))[1]
