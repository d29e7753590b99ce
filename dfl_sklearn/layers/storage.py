"""The best schedule of a store as a function of predicted prices."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .._utils.torch_powers import power_of_two_factor
from ..solvers.storage import Schedule, Store, best_schedule
from ..solvers.storage_slopes import schedule_slopes
from ._batch import check_batch


class StorageLayer(nn.Module):
    """Charge and discharge of least cost, with a larger penalty on both, and their derivative.

    Value and derivative are exact: schedules are those of
    :func:`~dfl_sklearn.solvers.storage.best_schedule`, and are differentiated by the optimality
    conditions. At a kink, the derivative is that of one side. Schedules are computed on the CPU,
    whatever the device of the prices, because each takes many short steps one after the other.

    Parameters
    ----------
    smoothing : float
        What is added to the penalty on rates, as a multiple of the standard deviation of a row's
        prices.
    store : Store or None, default=None
        The numbers of all rows; None where each row brings its own.
    """

    def __init__(self, smoothing: float, store: Store | None = None) -> None:
        super().__init__()
        self.smoothing, self.store = smoothing, store

    def forward(self, y: torch.Tensor, *known: torch.Tensor) -> torch.Tensor:
        """Map prices (B, T) to decisions (B, 2 T), charge first; a row not finite gives NaN.

        `known` are the numbers of a `Store`, of shape (B, 1) each, where they differ by row.
        """
        check_batch(y)
        price = y.to(torch.float64)
        store = self.store
        if store is None:
            store = Store(*(_array(each)[:, 0] for each in known))
        usable = torch.isfinite(price).all(dim=1)
        price = torch.where(usable[:, None], price, 0.0)
        extra = self.smoothing * _deviation(price)
        z = _BestSchedule.apply(price, extra, store)
        return torch.where(usable[:, None], z, torch.nan).to(y)


def _deviation(price: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation (B,) of each row; where it is 0 its slope is 0 too."""
    # Scaled by a power of two, so that squares neither overflow nor underflow.
    factor = power_of_two_factor(price)
    price = price * factor
    square = (price - price.mean(dim=1, keepdim=True)).square().mean(dim=1)
    some = square > 0
    return torch.where(some, torch.where(some, square, 1.0).sqrt(), 0.0) / factor[:, 0]


class _BestSchedule(torch.autograd.Function):
    """The best schedule, with its derivative by the optimality conditions."""

    @staticmethod
    def forward(ctx: Any, price: torch.Tensor, extra: torch.Tensor, store: Store) -> torch.Tensor:
        store = store._replace(rate_penalty=store.rate_penalty + _array(extra))
        store = store.of(slice(None), len(price))
        ctx.store, ctx.schedule = store, best_schedule(_array(price), store)
        charge, discharge, *_ = ctx.schedule
        return torch.as_tensor(np.concatenate([charge, discharge], axis=1), device=price.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        schedule: Schedule = ctx.schedule
        n_periods = schedule.charge.shape[1]
        slopes = _array(gradient)
        found = schedule_slopes(ctx.store, schedule, slopes[:, :n_periods], slopes[:, n_periods:])
        in_price, in_penalty = (torch.as_tensor(each, device=gradient.device) for each in found)
        return in_price, in_penalty, None


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float64, copy=False)
