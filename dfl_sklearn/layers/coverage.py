"""Coverage as a layer: which share of each item, as a function of the predicted probabilities."""

from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.convergence import doubt
from ._batch import check_batch
from ._projection import nearest_with_sum_at_most

_RELATIVE = 0.1  # smoothing as a share of what an item covers
_LARGEST_PROBABILITY = 1.0 - 1e-6  # beyond it a logarithm would be infinite
_MAX_ITER = 2000
_TOLERANCE = 1e-9


class CoverageLayer(nn.Module):
    r"""The maximiser of a concave extension of coverage over shares of at most k items.

    .. math:: \max_z \; \sum_j w_j \Bigl( 1 - \prod_i (1 - \theta_{ij})^{z_i} \Bigr)
       - \gamma \|z\|^2, \qquad 0 \le z \le 1, \quad \textstyle\sum_i z_i \le k.

    Where all shares are 0 or 1 and :math:`\gamma = 0`, this is the coverage, and so is the
    multilinear extension. But the latter is convex along the exchange of two items: its maximisers
    are corners, and do not respond to a small change of the prediction. The extension used here is
    concave, so that its maximiser is unique and moves with the probabilities. The maximiser is
    found by accelerated projected gradient ascent, and differentiated by the optimality conditions
    on the entries strictly between 0 and 1.

    Parameters
    ----------
    k, n_items : int
    weights : array-like of shape (n_targets,) or None
    smoothing : float or None
        :math:`\gamma`; None is a tenth of the mean, over items, of :math:`\sum_j w_j \theta_{ij}`.

    References
    ----------
    Wilder, Dilkina, Tambe, "Melding the data-decisions pipeline", AAAI 2019, section 5, whose layer
    is on the multilinear extension. Beck, Teboulle, "A fast iterative shrinkage-thresholding
    algorithm", SIAM Journal on Imaging Sciences 2, 2009.
    """

    def __init__(self, k: int, n_items: int, weights: Any, smoothing: float | None) -> None:
        super().__init__()
        self.k, self.n_items, self.smoothing = k, n_items, smoothing
        self.weights = None if weights is None else torch.as_tensor(np.array(weights, float))

    def forward(
        self,
        y: torch.Tensor,
        k: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map probabilities (B, n_items * n_targets), clipped to [0, 1], to shares (B, n_items).

        `k` (B,) and `weights` (B, n_targets) are those of each row, where they differ.
        """
        check_batch(y)
        if not y.shape[1] or y.shape[1] % self.n_items:
            raise ValueError(
                f"The layer takes probabilities of shape (B, {self.n_items} * n_targets), got "
                f"{tuple(y.shape)}."
            )
        probabilities = y.reshape(len(y), self.n_items, y.shape[1] // self.n_items).to(
            torch.float64
        )
        probabilities = probabilities.clamp(0.0, _LARGEST_PROBABILITY)
        n_rows, _, n_targets = probabilities.shape
        if weights is not None:
            worth = weights.to(probabilities)
        elif self.weights is not None:
            worth = self.weights.to(y.device)
        else:
            worth = probabilities.new_ones(n_targets)
        if k is None:
            budget = probabilities.new_full((n_rows, 1), self.k)
        else:
            budget = k.to(probabilities)[:, None]
        if self.smoothing is None:
            by_item = probabilities @ (worth if worth.ndim == 1 else worth[:, :, None])
            covered = by_item.reshape(n_rows, self.n_items).mean(dim=1)
            size = _RELATIVE * torch.where(covered > 0, covered, 1.0)
        else:
            size = probabilities.new_full((len(probabilities),), self.smoothing)
        worth = worth.expand(n_rows, n_targets)
        return _Maximiser.apply(-torch.log1p(-probabilities), worth, size, budget).to(y)


class _Maximiser(torch.autograd.Function):
    """Shares (B, n) for the negated logarithms a (B, n, m) of the probabilities to miss."""

    @staticmethod
    def forward(
        ctx: Any, a: torch.Tensor, worth: torch.Tensor, size: torch.Tensor, k: torch.Tensor
    ) -> torch.Tensor:
        z, left = _ascend(a, worth, size, k)
        ctx.save_for_backward(a, z, left, size, k)
        return z

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        a, z, left, size, k = ctx.saved_tensors
        n = z.shape[1]
        free = ((z > 1e-7) & (z < 1 - 1e-7)).to(a)
        # On the free entries: H u + mu 1 = g, sum u = 0 where the budget is spent; else u = 0.
        hessian = (a * left[:, None]) @ a.transpose(1, 2)
        hessian = hessian * free[:, :, None] * free[:, None] + torch.diag_embed(
            torch.where(free > 0, 2.0 * size[:, None], 1.0)
        )
        spent = ((z.sum(dim=1) > k[:, 0] - 1e-7) & (free.sum(dim=1) > 0)).to(a)
        system = a.new_zeros((len(z), n + 1, n + 1))
        system[:, :n, :n] = hessian
        system[:, :n, n] = system[:, n, :n] = free * spent[:, None]
        system[:, n, n] = 1.0 - spent
        right = torch.cat([upstream * free, upstream.new_zeros((len(z), 1))], dim=1)
        u = torch.linalg.solve(system, right[:, :, None])[:, :n, 0]
        # The slope of sum_i u_i dF/dz_i in a_lj, with dF/dz_i = sum_j left_j a_ij.
        pull = (u[:, None] @ a)[:, 0]
        gradient = left[:, None] * (u[:, :, None] - z[:, :, None] * pull[:, None])
        return gradient, None, -2.0 * (u * z).sum(dim=1), None


def _ascend(
    a: torch.Tensor, worth: torch.Tensor, size: torch.Tensor, k: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the shares (B, n) and the weights still left to cover (B, m) there.

    For weights (B, m), sizes of the quadratic term (B,) and numbers of items (B, 1). Every row
    takes the steps that it would take by itself, and leaves when it has converged.
    """
    # The slope changes by at most the norm of the Hessian at 0, bounded by its trace's rows.
    curvature = ((a * worth[:, None]) @ a.transpose(1, 2)).abs().sum(dim=2).amax(dim=1) + 2.0 * size
    found = (k / a.shape[1]).clamp_max(1.0).repeat(1, a.shape[1])
    at, part, pull = torch.arange(len(a), device=a.device), a, (2.0 * size)[:, None]
    every_worth = worth
    step, z = (1.0 / curvature)[:, None], found
    ahead, momentum = z, torch.ones_like(step)
    for _ in range(_MAX_ITER):
        if not len(at):
            break
        slope = (part @ _left(part, worth, ahead)[:, :, None])[:, :, 0] - pull * ahead
        new = nearest_with_sum_at_most(ahead + step * slope, k)
        arrived = ~((new - ahead).abs().amax(dim=1) > _TOLERANCE)  # or is NaN for good
        # Momentum that points away from where the last step went is dropped.
        against = ((ahead - new) * (new - z)).sum(dim=1, keepdim=True) > 0
        grown = torch.where(against, 1.0, (1.0 + (1.0 + 4.0 * momentum**2) ** 0.5) / 2.0)
        ahead = torch.where(against, new, new + (momentum - 1.0) / grown * (new - z))
        z, momentum = new, grown
        if arrived.any():
            found[at[arrived]] = z[arrived]
            at, part, worth, k, pull, step, z, ahead, momentum = (
                each[~arrived] for each in (at, part, worth, k, pull, step, z, ahead, momentum)
            )
    if len(at):
        found[at] = z
        doubt(
            f"Coverage has not converged for {len(at)} of {len(a)} rows after {_MAX_ITER} steps, "
            f"row {int(at[0])} among them: its shares are off by more than {_TOLERANCE}. A larger "
            "smoothing needs fewer steps.",
            stacklevel=2,
        )
    return found, _left(a, every_worth, found)


def _left(a: torch.Tensor, worth: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Return the weights (B, m) that shares (B, n) leave to cover."""
    return worth * torch.exp(-(shares[:, None] @ a)[:, 0])
