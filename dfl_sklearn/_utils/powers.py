"""Powers of two by which numbers are divided so that their squares neither overflow nor vanish.

Such a division is exact: what is computed of ordinary numbers keeps its bits.
"""

import numpy as np


def size_exponent(values: np.ndarray, axis: int | None = 0) -> np.ndarray:
    """Return the exponent k, along `axis`, with which ``ldexp(values, -k)`` is below 1 in size."""
    return np.frexp(np.abs(values).max(axis=axis, initial=0.0))[1]
