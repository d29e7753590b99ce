"""The nearest feasible decision under simple constraints, in closed form."""

from typing import Any

import numpy as np
import torch
from torch import nn

from ._batch import check_batch
from ._projection import nearest_with_total


class NearestInBox(nn.Module):
    """Decisions kept within bounds; the gradient of an entry outside of them is 0.

    Parameters
    ----------
    lower, upper : float or ndarray of shape (k,), default=-inf and inf
    """

    def __init__(self, lower: Any = -np.inf, upper: Any = np.inf) -> None:
        super().__init__()
        self.lower, self.upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)

    def forward(self, z: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map any decisions (B, k) to the nearest feasible ones; the context is ignored."""
        check_batch(z, len(self.lower) if self.lower.ndim else None)
        if not np.isfinite([self.lower, self.upper]).any():
            return z
        lower, upper = (torch.as_tensor(each).to(z) for each in (self.lower, self.upper))
        return z.clamp(lower, upper)


class NearestShares(nn.Module):
    """Shares of at least 0 with a sum of 1, nearest to any numbers.

    Parameters
    ----------
    n_others : int, default=0
        Number of columns at the end that are not shares. They stay as they are.
    width : int or None, default=None
        The number of all columns, where it is fixed.
    """

    def __init__(self, n_others: int = 0, width: int | None = None) -> None:
        super().__init__()
        self.n_others, self.width = n_others, width

    def forward(self, z: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map any decisions (B, k) to the nearest feasible ones; the context is ignored."""
        check_batch(z, self.width)
        n = z.shape[1] - self.n_others
        one = z.new_ones((1, 1))
        shares = nearest_with_total(z[:, :n], one, one, nonnegative=True, at_most=False)
        return torch.cat([shares, z[:, n:]], dim=1) if self.n_others else shares


class NearestOrders(nn.Module):
    """Orders that together use no more than a capacity, nearest to any numbers.

    Parameters
    ----------
    nonnegative : bool
        Whether orders must not be negative.
    known : tuple of ndarray or None, default=None
        Usage, (1, d) or (1, 1), and capacity (1, 1); None where each row brings its own.
    width : int or None, default=None
        d, where it is fixed.
    """

    def __init__(
        self,
        nonnegative: bool,
        known: tuple[np.ndarray, ...] | None = None,
        *,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.nonnegative, self.known, self.width = nonnegative, known, width

    def forward(self, z: torch.Tensor, *known: torch.Tensor) -> torch.Tensor:
        """Map any orders (B, d) to the nearest feasible ones.

        `known` are usage and capacity with B rows each, where they are not the same for all rows.
        """
        check_batch(z, self.width)
        numbers: Any = self.known if self.known is not None else known
        usage, capacity = (torch.as_tensor(each).to(z) for each in numbers)
        return nearest_with_total(z, usage, capacity, nonnegative=self.nonnegative, at_most=True)
