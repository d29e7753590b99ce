"""The domain of predicted parameters, where it is a box."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._utils.rows import as_numpy_rows

if TYPE_CHECKING:
    import torch


class Domain(NamedTuple):
    """The least and the largest value (d,) of each column of y, infinite where there is none."""

    lower: np.ndarray
    upper: np.ndarray

    @property
    def is_bounded(self) -> bool:
        """Whether some column has a bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def nearest(self, y: np.ndarray) -> np.ndarray:
        """Return the nearest parameters within the domain, for y of shape (..., d)."""
        return np.clip(y, self.lower, self.upper) if self.is_bounded else y

    def nearest_tensor(self, y: "torch.Tensor") -> "torch.Tensor":
        """Return the same for a tensor, with a slope of 0 where it is moved."""
        if not self.is_bounded:
            return y
        return y.clamp(y.new_tensor(self.lower), y.new_tensor(self.upper))

    def project(self, values: Any) -> tuple[np.ndarray, float]:
        """Return generated parameters (n,) or (n, d) within it, and the share of rows moved."""
        rows = as_numpy_rows(values, "y")
        inside = self.nearest(rows)
        share = float((inside != rows).any(axis=1).mean()) if len(rows) else 0.0
        return inside.reshape(np.shape(values)), share
