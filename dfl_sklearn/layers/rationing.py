"""Orders that are reduced where together they exceed a shared capacity."""

from typing import Any

import numpy as np
import torch
from torch import nn

from ._batch import check_batch


class RationingLayer(nn.Module):
    r"""Predicted demand, cut where :math:`\sum_j a_j y_j` is more than the capacity.

    With underage costs u and usage a, the order of product j is cut by the share

    .. math:: t_j = \operatorname{clip}\bigl((\lambda a_j / u_j - 1) / \gamma, \, 0, \, 1\bigr)

    with the price :math:`\lambda` of capacity at which the rest just fits. A product is cut where
    the capacity that a unit uses costs more than the unit saves, and dropped where it costs
    :math:`1 + \gamma` times as much. With :math:`\gamma = 0` products are cut one after the other,
    which has the least cost. The order is piecewise smooth in y; its value and derivative are
    exact.

    Parameters
    ----------
    smoothing : float
        :math:`\gamma`, without unit.
    nonnegative : bool
        Whether orders must not be negative. Otherwise they can be cut without limit, and
        :math:`t_j`, not clipped at 1, is the share of the excess that product j bears.
    known : tuple of ndarray or None, default=None
        u, (1, d) or (1, 1), a likewise, and capacity (1, 1); None where each row brings its own.
    width : int or None, default=None
        d, where it is fixed.
    """

    def __init__(
        self,
        smoothing: float,
        nonnegative: bool,
        known: tuple[np.ndarray, ...] | None = None,
        *,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.smoothing, self.nonnegative = smoothing, nonnegative
        self.known, self.width = known, width

    def forward(self, y: torch.Tensor, *known: torch.Tensor) -> torch.Tensor:
        """Map predicted demand (B, d) to orders (B, d).

        `known` are u, a and capacity with B rows each, where they are not the same for all rows.
        """
        check_batch(y, self.width)
        numbers: Any = self.known if self.known is not None else known
        underage, usage, capacity = (
            torch.as_tensor(each, dtype=torch.float64, device=y.device) for each in numbers
        )
        demand = y.to(torch.float64)
        if self.nonnegative:
            demand = demand.clamp_min(0.0)
        underage, usage = (each.expand(len(y), y.shape[1]) for each in (underage, usage))
        excess = (usage * demand).sum(dim=1, keepdim=True) - capacity
        over = excess[:, 0] > 0
        if not over.any():
            return demand.to(y)
        rows = demand[over], underage[over], usage[over], excess[over]
        if self.nonnegative:
            z = self._cut(*rows, capacity.expand(len(y), 1)[over])
        else:
            z = self._shifted(*rows)
        return demand.index_put((torch.nonzero(over)[:, 0],), z).to(y)

    def _cut(
        self,
        demand: torch.Tensor,
        underage: torch.Tensor,
        usage: torch.Tensor,
        excess: torch.Tensor,
        capacity: torch.Tensor,
    ) -> torch.Tensor:
        if self.smoothing == 0.0:
            return _filled(demand, underage / usage, usage, capacity)
        z = demand * (1.0 - _shares_cut(usage * demand, usage / underage, excess, self.smoothing))
        # Rounding errors must not use more than the capacity, least of all where it is 0.
        used = (usage * z).sum(dim=1, keepdim=True).detach()
        return z * torch.where(used > capacity, capacity / used, 1.0)

    def _shifted(
        self,
        demand: torch.Tensor,
        underage: torch.Tensor,
        usage: torch.Tensor,
        excess: torch.Tensor,
    ) -> torch.Tensor:
        shares = _shares_borne(underage, usage, self.smoothing)
        return demand - shares * excess / torch.where(usage > 0, usage, 1.0)


def _filled(
    demand: torch.Tensor, ratio: torch.Tensor, usage: torch.Tensor, capacity: torch.Tensor
) -> torch.Tensor:
    """Return orders (B, d) of the products that save most per unit of capacity, until it ends."""
    order = torch.argsort(-ratio, dim=1, stable=True)
    demand, usage = demand.gather(1, order), usage.gather(1, order)
    used = usage * demand
    before = torch.cat([torch.zeros_like(used[:, :1]), used[:, :-1].cumsum(dim=1)], dim=1)
    room = (capacity - before).clamp_min(0.0)
    part = room / torch.where(usage > 0, usage, 1.0)
    z = torch.where(used <= room, demand, part)
    return torch.zeros_like(z).scatter(1, order, z)


def _shares_cut(
    used: torch.Tensor, pull: torch.Tensor, excess: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Return shares t (B, d) that are cut, with ``used @ t = excess``.

    The sum grows with the price of capacity, linearly between the prices at which a product is
    first cut or dropped. The two between which it is right are found by bisection; with the
    products that are cut in part there, the price is known.
    """
    d = used.shape[1]
    with torch.no_grad():
        pull = pull / pull.amax(dim=1, keepdim=True)
        is_used = pull > 0
        start = torch.where(is_used, 1.0 / torch.where(is_used, pull, 1.0), 0.0)
        end = (1.0 + smoothing) * start
        prices = torch.cat([start, end], dim=1).sort(dim=1).values
        low = torch.zeros_like(excess, dtype=torch.long)
        high = torch.full_like(low, 2 * d)  # beyond the last
        for _ in range((2 * d).bit_length()):
            middle = (low + high) // 2
            price = prices.gather(1, middle.clamp_max(2 * d - 1))
            share = ((price * pull - 1.0) / smoothing).clamp(0.0, 1.0)
            # As the masks below have it.
            share = torch.where(end <= price, 1.0, torch.where(start >= price, 0.0, share))
            fits = ((used * share).sum(dim=1, keepdim=True) <= excess) & (middle < 2 * d)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        price = prices.gather(1, low)
        dropped = is_used & (end <= price)
        partial = is_used & (start <= price) & ~dropped
    in_part = torch.where(partial, used, 0.0)
    weight = (in_part * pull).sum(dim=1, keepdim=True)
    rest = excess - torch.where(dropped, used, 0.0).sum(dim=1, keepdim=True)
    exact = smoothing * rest + in_part.sum(dim=1, keepdim=True)
    price = torch.where(weight > 0, exact / torch.where(weight > 0, weight, 1.0), price)
    share = ((price * pull - 1.0) / smoothing).clamp(0.0, 1.0)
    return torch.where(dropped, 1.0, torch.where(partial, share, 0.0))


def _shares_borne(underage: torch.Tensor, usage: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return shares (B, d) of the excess with a sum of 1; they do not depend on demand."""
    ratio = underage / usage
    if smoothing == 0.0:
        last = ratio.shape[1] - 1 - ratio.flip(1).argmin(dim=1, keepdim=True)
        return torch.zeros_like(ratio).scatter(1, last, 1.0)
    pull = ratio.amin(dim=1, keepdim=True) / ratio
    ranked = pull.sort(dim=1, descending=True).values
    n = torch.arange(1, 1 + ranked.shape[1], dtype=ranked.dtype, device=ranked.device)
    price = (smoothing + n) / ranked.cumsum(dim=1)
    n_bearing = (price * ranked > 1.0).sum(dim=1, keepdim=True).clamp_min(1)
    price = price.gather(1, n_bearing - 1)
    shares = ((price * pull - 1.0) / smoothing).clamp_min(0.0)
    return shares / shares.sum(dim=1, keepdim=True)
