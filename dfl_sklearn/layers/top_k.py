"""The k best of many as a layer: which share of each, as a function of the predicted values."""

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
    k : int
    smoothing : float or None
        :math:`\gamma`; None is the root mean square of each row of y.
    scale : float, default=1
        What y is multiplied by to give c.

    References
    ----------
    Martins, Kreutzer, "Learning what's easy: fully differentiable neural easy-first taggers", EMNLP
    2017, whose constrained sparsemax this is.
    """

    def __init__(self, k: int, smoothing: float | None, *, scale: float = 1.0) -> None:
        super().__init__()
        self.k, self.smoothing, self.scale = k, smoothing, scale

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map values (B, n) to shares (B, n); a row that is not finite gives NaN."""
        check_batch(y)
        if y.shape[1] < self.k:
            raise ValueError(
                f"The layer takes values of at least k={self.k} items, got shape {tuple(y.shape)}."
            )
        known = torch.isfinite(y).all(dim=1, keepdim=True)
        values = torch.where(known, y, 0.0).double()
        if self.smoothing is None:
            goal = (-self.scale / 2.0) * over_their_size(values)
        else:
            goal = (-self.scale / (2.0 * self.smoothing)) * values
        # What is added to a whole row changes nothing; differences near the level keep their bits.
        kth = goal.detach().topk(self.k, dim=1).values[:, -1:]
        goal = goal - kth
        with torch.no_grad():
            level = level_of_sum(goal, self.k)
            at_one = (goal - level >= 1.0).double()
            free = ((goal > level) & (at_one == 0)).double()
        excess = (free * goal + at_one).sum(dim=1, keepdim=True) - self.k
        level = excess / free.sum(dim=1, keepdim=True).clamp_min(1.0)
        z = torch.where(free > 0, (goal - level).clamp(0.0, 1.0), at_one)
        return torch.where(known, z, torch.nan).to(y.dtype)
