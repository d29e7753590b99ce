"""Adam for nets whose step costs less than the handling of torch's own."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class Adam(Optimizer):
    """The numbers of :class:`torch.optim.Adam`, in a third of its time where weights are few.

    Parameters
    ----------
    params : iterable
        Weights, or groups of them with settings of their own.
    lr, betas, eps, weight_decay
        As there.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the weights against their gradients, which a closure may compute before."""
        loss = None if closure is None else closure()
        self.move()
        return loss

    @torch.no_grad()
    def move(self) -> None:
        """Move the weights, as :meth:`step` does, without telling those who listen to steps."""
        for group in self.param_groups:
            lr, eps, decay, (first, second) = (
                group[name] for name in ("lr", "eps", "weight_decay", "betas")
            )
            for weight in group["params"]:
                slope = weight.grad
                if slope is None:
                    continue
                if decay:
                    slope = slope.add(weight, alpha=decay)
                state = self.state[weight]
                if not state:
                    state.update(mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
                n = state["n_steps"] = state.get("n_steps", 0) + 1
                mean = state["mean"].lerp_(slope, 1.0 - first)
                square = state["square"].mul_(second).addcmul_(slope, slope, value=1.0 - second)
                size = square.sqrt().div_((1.0 - second**n) ** 0.5).add_(eps)
                weight.addcdiv_(mean, size, value=-lr / (1.0 - first**n))
