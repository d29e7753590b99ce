"""Decisions over scenarios as layers: their slopes in the scenarios and in their weights."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ._batch import check_scenarios

_TIGHT = 1e-9  # of the capacity, by which it may be missed
_LEAST_DENSITY = 0.1  # of that of a single scenario


class ScenarioMeanLayer(nn.Module):
    """The decision for the mean of scenarios, which is the best one where the cost is linear in y.

    Parameters
    ----------
    layer : nn.Module
        Maps parameters (B, d), and their context, to decisions.
    """

    weights_have_slopes = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, y: torch.Tensor, weight: torch.Tensor, *context: torch.Tensor
    ) -> torch.Tensor:
        """Map scenarios (B, S, d) with weights (B, S) to decisions (B, k)."""
        check_scenarios(y, weight)
        return self.layer((weight[..., None].to(y) * y).sum(dim=1), *context)


class ScenarioOrdersLayer(nn.Module):
    r"""Orders of several products over scenarios of their demand, under a shared capacity or none.

    The orders have the least mean cost. Each order equals a scenario of its product, or is 0, or
    takes the capacity that the others leave. With ``smoothing=0`` slopes are those of this function
    of the scenarios: an order follows its scenario, the last one follows what is left of the
    capacity, and the slope in weights is 0.

    With a positive smoothing, slopes are those of the orders under a smoothed distribution, in
    which each scenario is a normal distribution of that width. With the distribution function F,
    the density f and the price :math:`\lambda` of the capacity, an order z of product j moves by

    .. math:: dz = -\frac{dF(z)}{f(z)} - \frac{a_j}{(u_j + o_j) f(z)}\, d\lambda,

    with :math:`d\lambda` such that the capacity is still used up. These slopes estimate those under
    the distribution from which the scenarios are drawn, with much less variance. Weights have
    slopes as well.

    Parameters
    ----------
    solve : callable
        From arrays of scenarios (B, S, d), weights (B, S) and the context to orders (B, d).
    smoothing : float
        The width, in standard deviations of the scenarios of a product.
    nonnegative : bool
        Whether orders must not be negative.
    numbers : callable or None, default=None
        From the context, or None, to tensors of underage costs, overage costs, usage and capacity,
        (B or 1, d or 1). None where there is no capacity.
    """

    def __init__(
        self,
        solve: Callable[[np.ndarray, np.ndarray, Any], np.ndarray],
        smoothing: float,
        *,
        nonnegative: bool,
        numbers: Callable[[Any], tuple[torch.Tensor, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.solve, self.smoothing = solve, smoothing
        self.nonnegative, self.numbers = nonnegative, numbers
        self.weights_have_slopes = smoothing > 0

    def forward(
        self, y: torch.Tensor, weight: torch.Tensor, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map scenarios (B, S, d) with weights (B, S) to orders (B, d)."""
        check_scenarios(y, weight)
        demand, share = y.to(torch.float64), weight.to(torch.float64)
        if self.nonnegative:
            demand = demand.clamp_min(0.0)
        known = None if context is None else _array(context)
        z = torch.as_tensor(self.solve(_array(demand), _array(share), known), device=y.device)
        if not torch.is_grad_enabled() or not (y.requires_grad or weight.requires_grad):
            return z.to(y)
        usage, pull, is_tight = self._capacity(z, context)
        if self.smoothing == 0.0:
            move = self._exact(demand - demand.detach(), demand.detach(), z, usage)
        else:
            move = self._smoothed(demand, share, z, usage, pull, is_tight)
        return (z + move).to(y)

    def _capacity(
        self, z: torch.Tensor, context: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return usage (B, d), the sums of both costs (B, d), and where (B, 1) all is used."""
        if self.numbers is None:
            return (
                torch.zeros_like(z),
                torch.ones_like(z),
                torch.zeros_like(z[:, :1], dtype=torch.bool),
            )
        underage, overage, usage, capacity = (each.to(z) for each in self.numbers(context))
        usage, pull = usage.expand_as(z), (underage + overage).expand_as(z)
        left = capacity - (usage * z).sum(dim=1, keepdim=True)
        return usage, pull, left <= _TIGHT * capacity.abs()

    def _exact(
        self, moved: torch.Tensor, demand: torch.Tensor, z: torch.Tensor, usage: torch.Tensor
    ) -> torch.Tensor:
        nearest, at = (demand - z[:, None]).abs().min(dim=1)
        is_scenario = nearest == 0.0
        move = torch.where(is_scenario, moved.gather(1, at[:, None])[:, 0], 0.0)
        takes_rest = ~is_scenario & (usage > 0)
        if self.nonnegative:
            takes_rest &= z > 0
        rest = -(usage * move).sum(dim=1, keepdim=True) / torch.where(takes_rest, usage, 1.0)
        is_last = takes_rest & (takes_rest.cumsum(dim=1) == 1)
        return torch.where(is_last, rest, move)

    def _smoothed(
        self,
        demand: torch.Tensor,
        weight: torch.Tensor,
        z: torch.Tensor,
        usage: torch.Tensor,
        pull: torch.Tensor,
        is_tight: torch.Tensor,
    ) -> torch.Tensor:
        at, share = demand.detach(), weight.detach()[..., None]
        mean = (share * at).sum(dim=1, keepdim=True)
        spread = (share * (at - mean) ** 2).sum(dim=1).sqrt()
        unit = spread + 1e-9 * mean[:, 0].abs()
        width = self.smoothing * torch.where(unit > 0, unit, 1.0)
        gap = (z[:, None] - at) / width[:, None]
        kernel = torch.exp(-0.5 * gap**2) / (math.sqrt(2 * math.pi) * width[:, None])
        least = _LEAST_DENSITY / (math.sqrt(2 * math.pi) * width * demand.shape[1])
        density = torch.maximum((share * kernel).sum(dim=1), least)
        reached = torch.special.ndtr(gap) * (weight - weight.detach())[..., None]
        change = (reached - share * kernel * (demand - at)).sum(dim=1)
        is_free = z > 0 if self.nonnegative else torch.ones_like(z, dtype=torch.bool)
        move = torch.where(is_free, -change / density, 0.0)
        gives = torch.where(is_free & is_tight, usage / (pull * density), 0.0)
        total = (usage * gives).sum(dim=1, keepdim=True)
        price = (usage * move).sum(dim=1, keepdim=True) / torch.where(total > 0, total, 1.0)
        return move - gives * price


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64, copy=False)
