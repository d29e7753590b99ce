"""Shares of a budget where trading costs something, as a function of the predicted returns."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.memory import check_size
from ..solvers.traded_shares import traded_shares
from ._batch import check_batch


class TradedSharesLayer(nn.Module):
    r"""The minimiser of :math:`\frac12 z^\top Q z - y^\top z + \sum_j t_j |z_j - h_j|` over shares.

    The minimiser is exact, and differentiated by the optimality conditions: shares at 0, and shares
    at a kink of the cost of trading, stay where they are while the others move.

    Parameters
    ----------
    quadratic : ndarray of shape (n, n)
        Q, positive definite.
    holdings, rate : ndarray of shape (n,) or None
        h and t; None where they differ by row.
    kink : float, default=inf
        The largest second derivative of the cost of trading, where its kinks are to be rounded; see
        :func:`~dfl_sklearn.solvers.traded_shares.traded_shares`.
    """

    def __init__(
        self,
        quadratic: np.ndarray,
        holdings: np.ndarray | None = None,
        rate: np.ndarray | None = None,
        kink: float = math.inf,
    ) -> None:
        super().__init__()
        self.quadratic, self.holdings, self.rate, self.kink = quadratic, holdings, rate, kink

    def forward(
        self,
        y: torch.Tensor,
        holdings: torch.Tensor | None = None,
        rate: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map returns (B, n) to shares (B, n); a row that is not finite gives NaN.

        `holdings` and `rate` (B, n) are those of each row, where they differ.
        """
        check_batch(y, len(self.quadratic))
        known = torch.isfinite(y).all(dim=1)
        rows = known.cpu().numpy()
        numbers = []
        for given, fixed in ((holdings, self.holdings), (rate, self.rate)):
            values = np.asarray(fixed) if given is None else given.detach().cpu().numpy()
            numbers.append(np.broadcast_to(values, y.shape).astype(np.float64)[rows])
        shares = _Minimiser.apply(y[known].to(torch.float64), self.quadratic, *numbers, self.kink)
        return y.new_full(y.shape, math.nan).masked_scatter(known[:, None], shares.to(y))


class _Minimiser(torch.autograd.Function):
    """Shares (B, n) for returns (B, n), with their derivative by the optimality conditions."""

    @staticmethod
    def forward(
        ctx: Any,
        y: torch.Tensor,
        quadratic: np.ndarray,
        holdings: np.ndarray,
        rate: np.ndarray,
        kink: float,
    ) -> torch.Tensor:
        found = traded_shares(quadratic, y.detach().cpu().numpy(), holdings, rate, kink)
        ctx.quadratic = quadratic
        ctx.save_for_backward(*(torch.as_tensor(each, device=y.device) for each in found[1:]))
        return torch.as_tensor(found.shares, device=y.device)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        free, curvature = ctx.saved_tensors
        n_rows, n = free.shape
        check_size(
            f"A batch of {n_rows} portfolios of {n} assets",
            2.0 * n_rows * (n + 1) ** 2,
            advice="Lower batch_size.",
        )
        on = free.to(upstream)
        quadratic = torch.as_tensor(ctx.quadratic, device=on.device)
        unit = quadratic.diagonal().max()
        # On the free shares: (Q + C) u + mu 1 = g, sum u = 0; else u = 0.
        system = on.new_zeros((n_rows, n + 1, n + 1))
        system[:, :n, :n] = quadratic * on[:, :, None] * on[:, None]
        system[:, :n, :n] += torch.diag_embed(torch.where(free, curvature, unit))
        system[:, :n, n] = system[:, n, :n] = unit * on
        system[:, n, n] = torch.where(free.any(dim=1), 0.0, unit)
        right = torch.cat([upstream * on, on.new_zeros((n_rows, 1))], dim=1)
        u = torch.linalg.solve(system, right[:, :, None])[:, :n, 0]
        return u * on, None, None, None, None
