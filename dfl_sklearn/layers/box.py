"""Layers for closed-form decisions: an affine map of the prediction, kept within a box."""

import math

import torch
from torch import nn
from torch.nn.functional import softplus

from .._utils.checks import smoothing_number
from ._batch import check_batch


class AffineBoxLayer(nn.Module):
    r"""``clip(slope * y + offset, lower, upper)``, with corners that can be rounded.

    Parameters
    ----------
    slope, offset : float
        Coefficients of the affine map, the same for every column.
    lower, upper : float
        Bounds of the box; an infinite bound means that there is none.
    smoothing : float, default=0
        Width, in units of the decision, over which a corner is rounded:
        :math:`l + s\,\mathrm{softplus}((u - l)/s) - s\,\mathrm{softplus}((u - h)/s)`
        for the box [l, h], which stays strictly inside it and has a positive slope
        everywhere. With 0 the clip is exact and its gradient outside the box is 0.

    See Also
    --------
    QuadraticProgramLayer : Decisions under any linear constraints.
    SolveLayer : A layer for any solver, by differences.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.layers import AffineBoxLayer
    >>> AffineBoxLayer(slope=0.5, lower=0.0)(torch.tensor([[4.0], [-2.0]]))
    tensor([[2.],
            [0.]])
    """

    def __init__(
        self,
        slope: float = 1.0,
        offset: float = 0.0,
        lower: float = -math.inf,
        upper: float = math.inf,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        smoothing_number(smoothing, positive=False)
        self.slope, self.offset = slope, offset
        self.lower, self.upper = lower, upper
        self.smoothing = float(smoothing)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map predicted parameters (B, d) to decisions (B, d).

        Parameters
        ----------
        y : torch.Tensor of shape (B, d)
            Predicted parameters.

        Returns
        -------
        torch.Tensor of shape (B, d)
            Decisions.
        """
        check_batch(y)
        z = y if self.slope == 1.0 and self.offset == 0.0 else self.slope * y + self.offset
        if self.smoothing == 0.0:
            if math.isinf(self.lower) and math.isinf(self.upper):
                return z
            return z.clamp(self.lower, self.upper)
        s, rounded = self.smoothing, z
        if math.isfinite(self.lower):
            rounded = self.lower + s * softplus((z - self.lower) / s)
        if math.isfinite(self.upper):
            rounded = rounded - s * softplus((z - self.upper) / s)
        # Rounding error, of the order of the last bit, must not leave the box.
        return rounded.clamp(self.lower, self.upper)


class RowBoxLayer(nn.Module):
    """:class:`AffineBoxLayer` for rows that each have their own map and box.

    Parameters
    ----------
    smoothing : float, default=0
        As in :class:`AffineBoxLayer`; the same for all rows.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        smoothing_number(smoothing, positive=False)
        self.smoothing = float(smoothing)

    def forward(
        self,
        y: torch.Tensor,
        slope: torch.Tensor,
        offset: torch.Tensor,
        lower: torch.Tensor,
        upper: torch.Tensor,
    ) -> torch.Tensor:
        """Map parameters (B, d) to decisions (B, d); the others are finite, (B, 1) or (B, d)."""
        check_batch(y)
        slope, offset, lower, upper = (each.to(y) for each in (slope, offset, lower, upper))
        z = slope * y + offset
        if self.smoothing == 0.0:
            return z.clamp(lower, upper)
        s = self.smoothing
        rounded = lower + s * softplus((z - lower) / s) - s * softplus((z - upper) / s)
        return rounded.clamp(lower, upper)
