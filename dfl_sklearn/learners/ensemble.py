"""Several nets of one kind, trained side by side as one module."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from .correction import Corrected
from .itemwise import Itemwise
from .modules import MLP, ScaleEquivariant

_OF_EACH_NUMBER = (nn.Identity, nn.ReLU, nn.Sigmoid, nn.Tanh)
_AROUND_A_NET = (Corrected, Itemwise, ScaleEquivariant)


class Ensemble(nn.Module):
    """K nets, the members, which see the same rows, or each its own rows.

    Parameters
    ----------
    members : sequence of torch.nn.Module
        Members with equal layers but different weights.
    stacks : bool
        Whether to stack layers of this package, which computes all members at once. Other modules
        are computed one after the other: they may do anything, and `torch.vmap`, where it supports
        their operations, is no faster on a CPU.

    Attributes
    ----------
    n_members : int
    stack : torch.nn.Module or None
        All members in one module, with a tensor of weights (K, n_out, n_in) per layer.
    """

    def __init__(self, members: Sequence[nn.Module], *, stacks: bool) -> None:
        super().__init__()
        self.n_members = len(members)
        self.stack = stacked(members) if stacks else None
        self.members = nn.ModuleList([] if self.stack is not None else members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows (B, n_in), or rows of each member (K, B, n_in), to outputs (K, B, n_out)."""
        if x.ndim == 2:
            x = x.expand(self.n_members, *x.shape)
        if self.stack is not None:
            return self.stack(x)
        return torch.stack([member(rows) for member, rows in zip(self.members, x, strict=True)])

    def by_member(self, values: np.ndarray) -> list[torch.Tensor]:
        """Return values (K,) of the members, shaped to be multiplied by each parameter."""
        found = []
        for name, parameter in self.named_parameters():
            if self.stack is None:
                found.append(parameter.new_tensor(values[_member_of(name)]))
            else:
                found.append(parameter.new_tensor(values).reshape(-1, *[1] * (parameter.ndim - 1)))
        return found

    def without_slope(self) -> torch.Tensor:
        """Return which members (K,) have no gradient in any of their weights."""
        found = torch.ones(self.n_members, dtype=torch.bool)
        for name, parameter in self.named_parameters():
            if parameter.grad is None:
                continue
            if self.stack is None:
                found[_member_of(name)] &= not parameter.grad.any()
            else:
                found &= ~parameter.grad.flatten(1).any(dim=1).cpu()
        return found

    def copy_members(
        self, state: dict[str, torch.Tensor], into: dict[str, torch.Tensor], which: np.ndarray
    ) -> None:
        """Copy the weights of some members, a mask (K,), from one state of the module to another.

        Buffers of stacked members are constants.
        """
        if not which.any():
            return
        weights = {name for name, _ in self.named_parameters()}
        for name, value in state.items():
            if self.stack is None:
                if which[_member_of(name)]:
                    into[name].copy_(value)
            elif name in weights:
                mask = torch.as_tensor(which).to(value.device)
                into[name][mask] = value.detach()[mask]

    def first(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output (B, n_out) of the first member."""
        return self(x)[0] if self.stack is not None else self.members[0](x)


def _member_of(name: str) -> int:
    return int(name.split(".")[1])


def n_members(module: nn.Module) -> int:
    """Return the number of nets in a module."""
    return module.n_members if isinstance(module, Ensemble) else 1


class StackedLinear(nn.Module):
    """Linear layers of several members: a weight (K, n_out, n_in) and a bias (K, n_out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stacked_weights([each.weight for each in layers])
        biases = [each.bias for each in layers if each.bias is not None]
        self.bias = _stacked_weights(biases) if biases else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (K, ..., n_in) to (K, ..., n_out)."""
        rows = x.flatten(1, -2)
        if self.bias is None:
            out = torch.bmm(rows, self.weight.mT)
        else:
            out = torch.baddbmm(self.bias[:, None], rows, self.weight.mT)
        return out.reshape(*x.shape[:-1], out.shape[-1])


class StackedMLP(nn.Sequential):
    """Perceptrons of several members."""


def stacked(modules: Sequence[nn.Module]) -> nn.Module | None:
    """Return modules of one kind as one module of (K, ..., n_in), or None where unsupported."""
    first = modules[0]
    if type(first) is nn.Linear:
        return StackedLinear(modules)  # type: ignore[arg-type]
    if type(first) is MLP:
        layers = [stacked(each) for each in zip(*(m.children() for m in modules), strict=True)]
        known = [each for each in layers if each is not None]
        return StackedMLP(*known) if len(known) == len(layers) else None
    if type(first) in _OF_EACH_NUMBER:
        return first
    if type(first) in _AROUND_A_NET:
        around: Any = deepcopy(first)
        around.net = stacked([each.get_submodule("net") for each in modules])
        return None if around.net is None else around
    return None


def _stacked_weights(weights: Sequence[torch.Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([each.detach() for each in weights]))
