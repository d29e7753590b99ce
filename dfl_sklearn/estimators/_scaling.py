"""Standardisation with sample weights, for what goes into and comes out of a net."""

from typing import NamedTuple

import numpy as np


class Scale(NamedTuple):
    """Mean and scale of each column."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def identity(cls, n_columns: int) -> "Scale":
        """Return the scale that changes nothing."""
        return cls(np.zeros(n_columns), np.ones(n_columns))

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray, *, of_constant: float = 1.0) -> "Scale":
        """Return weighted means and standard deviations, `of_constant` for constant columns."""
        values = values.astype(np.float64, copy=False)
        mean = np.average(values, axis=0, weights=weight)
        scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
        # A column that varies only by rounding is constant: dividing by it would blow up noise.
        constant = (values == values[0]).all(axis=0) | (scale <= 1e-14 * np.abs(mean))
        mean = np.where(constant, values[0], mean)  # which a mean may miss by a rounding error
        return cls(mean, np.where(constant, of_constant, scale))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardise, in the dtype of `values`."""
        return ((values - self.mean) / self.scale).astype(values.dtype, copy=False)
