"""A layer that takes further numbers of each row, read from a context."""

from collections.abc import Callable

import torch
from torch import nn

from ._batch import check_batch


class KnownNumbersLayer(nn.Module):
    """Pass a layer the known data of each row beside the prediction.

    Parameters
    ----------
    layer : nn.Module
        Takes parameters (B, d) and what `read` returns.
    read : callable
        Maps a context (B, c) to a tuple of tensors (B, ...); it can be pickled.
    """

    def __init__(
        self, layer: nn.Module, read: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    ) -> None:
        super().__init__()
        self.layer, self.read = layer, read

    def forward(self, y: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Map parameters (B, d) and their context (B, c) to decisions (B, k)."""
        check_batch(y)
        if len(context) != len(y):
            raise ValueError(f"The layer takes {len(y)} rows of context, got {len(context)}.")
        numbers = self.read(context)
        return self.layer(y, *(each.to(y.device) for each in numbers))


class DividedLayer(nn.Module):
    """Divide the parameters of each row by a number, and pass on the layer's other inputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, y: torch.Tensor, divisor: torch.Tensor, *numbers: torch.Tensor
    ) -> torch.Tensor:
        """Map parameters (B, d), divisors (B, 1) and further numbers to decisions (B, k)."""
        return self.layer(y / divisor, *numbers).to(y.dtype)


def nothing(context: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Read nothing from a context, for decisions that do not depend on it."""
    return ()
