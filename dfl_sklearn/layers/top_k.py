"""The k best of many as a layer: which share of each, as a function of the predicted values."""

from collections.abc import Callable

import torch
from torch import nn

from ._batch import check_batch
from ._projection import level_of_sum
from .regularized_linear import over_their_size


class TopKLayer(nn.Module):
    r"""The minimiser of :math:`c^\top z + \gamma \|z\|^2` over shares that sum to k.

    With :math:`0 \le z \le 1`. That is the projection of :math:`-c / 2 \gamma`, which takes one
    sort per row. On the shares strictly between 0 and 1, m of them, its derivative is
    :math:`I - 1 1^\top / m`; the others stay where they are.

    Parameters
    ----------
    k : int or callable
        One number for all rows, or a function from the context (B, c) to one for each, (B, 1).
    smoothing : float or None
        :math:`\gamma`; None is the root mean square of each row of y.
    scale : float, default=1
        What y is multiplied by to give c.

    References
    ----------
    Martins, Kreutzer, "Learning what's easy: fully differentiable neural easy-first taggers", EMNLP
    2017, whose constrained sparsemax this is.
    """

    def __init__(
        self,
        k: int | Callable[[torch.Tensor], torch.Tensor],
        smoothing: float | None,
        *,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.k, self.smoothing, self.scale = k, smoothing, scale

    def forward(self, y: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Map values (B, n) to shares (B, n); a row that is not finite gives NaN.

        The context (B, c) is needed where k is read from it.
        """
        check_batch(y)
        k = self._k(len(y), context)
        if not len(y):
            return y
        largest = int(k.amax()) if isinstance(k, torch.Tensor) else k
        if y.shape[1] < largest:
            raise ValueError(
                f"The layer takes values of at least k={largest} items, got shape {tuple(y.shape)}."
            )
        known = torch.isfinite(y).all(dim=1, keepdim=True)
        values = torch.where(known, y, 0.0).double()
        if self.smoothing is None:
            goal = (-self.scale / 2.0) * over_their_size(values)
        else:
            goal = (-self.scale / (2.0 * self.smoothing)) * values
        # A constant added to a whole row changes nothing. This one keeps differences near the level
        # exact.
        highest = goal.detach().topk(largest, dim=1).values
        kth = highest.gather(1, k.long() - 1) if isinstance(k, torch.Tensor) else highest[:, -1:]
        goal = goal - kth
        with torch.no_grad():
            level = level_of_sum(goal, k)
            at_one = (goal - level >= 1.0).double()
            free = ((goal > level) & (at_one == 0)).double()
        excess = (free * goal + at_one).sum(dim=1, keepdim=True) - k
        level = excess / free.sum(dim=1, keepdim=True).clamp_min(1.0)
        z = torch.where(free > 0, (goal - level).clamp(0.0, 1.0), at_one)
        return torch.where(known, z, torch.nan).to(y.dtype)

    def _k(self, n_rows: int, context: torch.Tensor | None) -> "int | torch.Tensor":
        """Return k, of all rows or of each (B, 1)."""
        if not callable(self.k):
            return self.k
        if context is None or len(context) != n_rows:
            given = "none" if context is None else len(context)
            raise ValueError(f"The layer takes {n_rows} rows of context, got {given}.")
        return self.k(context).double()
