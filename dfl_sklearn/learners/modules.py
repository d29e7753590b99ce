"""The networks themselves. Weights come from an explicit generator, never a global one."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

_DTYPE = torch.float64  # weights are drawn in it, whatever torch's default dtype, and then cast


def seeded_linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with torch's usual distribution of initial weights."""
    layer = _uninitialised(nn.Linear(n_in, n_out, device="meta", dtype=_DTYPE))
    _fill_uniform(layer, 1.0 / math.sqrt(max(n_in, 1)), generator)
    return layer


class MLP(nn.Sequential):
    """A multilayer perceptron with the given layer sizes, input and output included."""

    def __init__(
        self, sizes: Sequence[int], activation: type[nn.Module], generator: torch.Generator
    ) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [seeded_linear(n_in, n_out, generator), activation()]
        super().__init__(*layers[:-1])


class WindowLSTM(nn.Module):
    """An LSTM over a flattened window, with a linear layer of its last output."""

    def __init__(
        self,
        n_channels: int,
        hidden_size: int,
        num_layers: int,
        n_out: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.lstm = _uninitialised(
            nn.LSTM(
                n_channels, hidden_size, num_layers, batch_first=True, device="meta", dtype=_DTYPE
            )
        )
        _fill_uniform(self.lstm, 1.0 / math.sqrt(hidden_size), generator)
        self.readout = seeded_linear(hidden_size, n_out, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map windows (B, n_steps * n_channels) to outputs (B, n_out)."""
        states, _ = self.lstm(x.reshape(len(x), -1, self.n_channels))
        return self.readout(states[:, -1])


class ScaleEquivariant(nn.Module):
    """A net whose input is divided, and its output multiplied, by the mean size of the row."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows (..., n_in) to outputs (..., n_out); a row of zeros to zeros."""
        level = x.abs().mean(dim=-1, keepdim=True)
        return level * self.net(x / torch.where(level > 0, level, 1.0))


def _uninitialised(module: Module) -> Module:
    """Give a module built on the meta device memory, without touching a random generator."""
    return module.to_empty(device="cpu")


def _fill_uniform(module: nn.Module, bound: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
