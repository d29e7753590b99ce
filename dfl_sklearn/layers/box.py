"""Layers for closed-form decisions: an affine map of the prediction, kept within a box."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import softplus

from .._utils.checks import smoothing_number
from ._batch import check_batch

Number = float | Callable[[Any], Any]


class AffineBoxLayer(nn.Module):
    r"""``clip(slope * y + offset, lower, upper)``, with corners that can be rounded.

    Parameters
    ----------
    slope, offset : float or callable
        Coefficients of the affine map, the same for every column. A function of the context (B, c)
        returns a number for each row, of shape (B, 1), or one for all rows; a problem can give a
        method that reads the context by ``self._known``.
    lower, upper : float or callable
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

    With a limit of each row, the first column of its context:

    >>> limited = AffineBoxLayer(lower=0.0, upper=lambda context: context[:, :1])
    >>> limited(torch.tensor([[4.0], [4.0]]), torch.tensor([[3.0], [5.0]]))
    tensor([[3.],
            [4.]])
    """

    def __init__(
        self,
        slope: Number = 1.0,
        offset: Number = 0.0,
        lower: Number = -math.inf,
        upper: Number = math.inf,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        smoothing_number(smoothing, positive=False)
        numbers = {"slope": slope, "offset": offset, "lower": lower, "upper": upper}
        for name, value in numbers.items():
            _check_number(value, name)
        self._by_row = any(callable(each) for each in numbers.values())
        self.slope: Any = slope
        self.offset: Any = offset
        self.lower: Any = lower
        self.upper: Any = upper
        self.smoothing = float(smoothing)

    def forward(self, y: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map predicted parameters (B, d) to decisions (B, d).

        Parameters
        ----------
        y : torch.Tensor of shape (B, d)
            Predicted parameters.
        context : torch.Tensor of shape (B, c), default=None
            Known data of each row, which the numbers that are functions are read from. Where none
            is, the decisions do not depend on it.

        Returns
        -------
        torch.Tensor of shape (B, d)
            Decisions.
        """
        check_batch(y)
        if context is not None and len(context) != len(y):
            raise ValueError(f"The layer takes {len(y)} rows of context, got {len(context)}.")
        if self._by_row:
            return self._each_row(y, context)
        slope, offset, lower, upper = self.slope, self.offset, self.lower, self.upper
        z = y if slope == 1.0 and offset == 0.0 else slope * y + offset
        if self.smoothing == 0.0:
            if math.isinf(lower) and math.isinf(upper):
                return z
            return z.clamp(lower, upper)
        s, rounded = self.smoothing, z
        if math.isfinite(lower):
            rounded = lower + s * softplus((z - lower) / s)
        if math.isfinite(upper):
            rounded = rounded - s * softplus((z - upper) / s)
        # Rounding error, of the order of the last bit, must not leave the box.
        return rounded.clamp(lower, upper)

    def _each_row(self, y: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        slope, offset, lower, upper = (
            _read(getattr(self, name), name, y, context)
            for name in ("slope", "offset", "lower", "upper")
        )
        z = slope * y + offset
        if self.smoothing == 0.0:
            return z.clamp(lower, upper)
        s, is_low, is_high = self.smoothing, lower.isfinite(), upper.isfinite()
        # An infinite bound, which is absent, must not reach the slopes.
        low, high = torch.where(is_low, lower, 0.0), torch.where(is_high, upper, 0.0)
        rounded = torch.where(is_low, low + s * softplus((z - low) / s), z)
        rounded = rounded - torch.where(is_high, s * softplus((z - high) / s), 0.0)
        return rounded.clamp(lower, upper)


def _check_number(value: Any, name: str) -> None:
    """Raise an error unless a value is a number or a function of the context."""
    if callable(value):
        return
    try:
        if math.isnan(float(value)):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a number, or a function of the context that returns one for each row, "
            f"such as a method of the problem with `return self._known(self.{name}, context)`; "
            f"got {value!r}."
        ) from None


def _read(value: Number, name: str, y: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """Return a number as a tensor that goes with y (B, d): (), (B, 1) or (B, d)."""
    numbers = torch.as_tensor(value(context) if callable(value) else value).to(y)
    if numbers.ndim and tuple(numbers.shape) not in ((len(y), 1), tuple(y.shape)):
        raise ValueError(
            f"{name} must return one number for each row of the context, shape ({len(y)}, 1), got "
            f"{tuple(numbers.shape)}."
        )
    return numbers


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
