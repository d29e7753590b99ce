"""Adam as torch has it, in one fused step where that is right."""

from collections.abc import Iterable
from inspect import unwrap
from typing import Any

import torch

FUSED = {"cpu", "cuda"}  # devices


class Adam(torch.optim.Adam):
    """Adam without torch's guards against the compilation of its methods.

    They import torch's compiler, which takes longer than the fit of a small net.
    """

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


def can_be_fused(weights: Iterable[torch.Tensor], device: torch.device) -> bool:
    """Return whether a fused step is right: torch's moves weights with gaps in memory wrongly."""
    return device.type in FUSED and all(each.is_contiguous() for each in weights)


def adam(module: torch.nn.Module, device: torch.device) -> dict[str, Any]:
    """Return skorch settings for Adam, in one fused step where that is right."""
    return {"optimizer": Adam, "optimizer__fused": can_be_fused(module.parameters(), device)}
