"""When to lower the learning rate, when to stop, and which weights to keep."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

_CUT = 5.0  # divisor of the learning rate


@dataclass
class Stopping:
    """When to stop, and when to lower the learning rate.

    The number called `monitored` must fall by more than `tol` within `patience` epochs. If it does
    not, training goes back to the best weights so far and divides the learning rate by 5. After
    `n_reductions` reductions, which may be 0, it stops instead.
    """

    monitored: str
    max_epochs: int
    tol: float
    patience: int
    n_reductions: int


class Patience:
    """The best weights so far, and the number of epochs since the last large improvement.

    Parameters
    ----------
    net : NeuralNet
        Initialised.
    stopping : Stopping
    start_value : float
        The watched number before the first epoch.
    """

    def __init__(self, net: NeuralNet, stopping: Stopping, start_value: float) -> None:
        self.net, self.stopping = net, stopping
        self.best, self.state = start_value, _state(net.module_)
        self.waited, self.reductions = 0, 0

    @property
    def has_weights(self) -> bool:
        """Whether there are weights to keep."""
        return math.isfinite(self.best)

    def take(self, watched: Any) -> bool:
        """Record the number of an epoch, and return whether its weights are the best so far."""
        # The best weights are those with the lowest value, even by a little; patience needs an
        # improvement above the tolerance.
        self.waited = 0 if watched < self.best - self.stopping.tol else self.waited + 1
        if not watched < self.best:
            return False
        self.best, self.state = watched, _state(self.net.module_)
        return True

    def ends(self) -> bool:
        """Lower the learning rate, from the best weights, if it is time; return whether to stop."""
        if self.waited < self.stopping.patience:
            return False
        if self.reductions >= self.stopping.n_reductions:
            return True
        self.put_back()
        for group in self.net.optimizer_.param_groups:
            group["lr"] /= _CUT
        self.waited, self.reductions = 0, self.reductions + 1
        return False

    def put_back(self) -> None:
        """Set the net to its best weights."""
        self.net.module_.load_state_dict(self.state)


class MembersPatience(Patience):
    """The same for each member of an ensemble separately.

    A member that has stopped keeps its weights while others go on.

    Parameters
    ----------
    net : EnsembleNet
        Initialised.
    stopping : Stopping
    start_value : ndarray of shape (K,)
    """

    def __init__(self, net: Any, stopping: Stopping, start_value: np.ndarray) -> None:
        super().__init__(net, stopping, math.inf)
        self.values = start_value.copy()
        self.waits = np.zeros(len(self.values), dtype=int)
        self.cuts = np.zeros(len(self.values), dtype=int)
        self.goes_on = np.ones(len(self.values), dtype=bool)

    @property
    def has_weights(self) -> bool:
        """Whether there are weights to keep for all members."""
        return bool(np.isfinite(self.values).all())

    def take(self, watched: Any) -> bool:
        """Record the numbers (K,) of an epoch, and return whether a member is at its best."""
        self.waits = np.where(watched < self.values - self.stopping.tol, 0, self.waits + 1)
        better = self.goes_on & (watched < self.values)
        self.values[better] = watched[better]
        self.net.module_.copy_members(self.net.module_.state_dict(), self.state, better)
        return bool(better.any())

    def ends(self) -> bool:
        """Slow members down or stop them, if it is time; return whether all have stopped."""
        due = self.goes_on & (self.waits >= self.stopping.patience)
        if not due.any():
            return False
        self.net.module_.copy_members(self.state, self.net.module_.state_dict(), due)
        self.goes_on &= ~(due & (self.cuts >= self.stopping.n_reductions))
        self.cuts[due] += 1
        self.waits[due] = 0
        self.net.learn_at(np.where(self.goes_on, _CUT ** -self.cuts.astype(float), 0.0))
        return not self.goes_on.any()


def patience_of(net: NeuralNet, stopping: Stopping, start_value: Any) -> Patience:
    """Return the patience for a net, or for each member where there is a value for each."""
    kind = MembersPatience if np.ndim(start_value) else Patience
    return kind(net, stopping, start_value)


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
