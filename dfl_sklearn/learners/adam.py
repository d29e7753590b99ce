"""Torch's Adam, in one fused step where that is right."""

from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any

import torch

FUSED = {"cpu", "cuda"}  # devices
_USUAL = {"amsgrad": False, "capturable": False, "differentiable": False, "maximize": False}


class Adam(torch.optim.Adam):
    """Adam without torch's guards against the compilation of its methods.

    The guards import torch's compiler, which takes longer than the fit of a small net. On the CPU
    the fused step is called directly, with the same bits. Torch's work around it, such as sorting
    tensors by device and recording for the profiler, takes longer than the step of a small net.
    """

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    _step_of_torch = torch.no_grad()(unwrap(torch.optim.Adam.step))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step."""
        for hook in self._optimizer_step_pre_hooks.values():
            hook(self, (), {})
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        known = [_Moved.of(group) for group in self.param_groups]
        moved = [each for each in known if each is not None]
        if len(moved) == len(known):
            with torch.no_grad():
                for group, each in zip(self.param_groups, moved, strict=True):
                    _fused_step(self, group, each)
        else:
            self._step_of_torch()
        for hook in self._optimizer_step_post_hooks.values():
            hook(self, (), {})
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # torch calls no hooks around it once more


class _Moved:
    """The weights of a group that a fused step on the CPU changes, with their gradients."""

    def __init__(self, weights: list[torch.Tensor], slopes: list[torch.Tensor]) -> None:
        self.weights, self.slopes = weights, slopes

    @classmethod
    def of(cls, group: dict[str, Any]) -> "_Moved | None":
        """Return the weights of a group, or None where torch's own step is needed."""
        weights = [each for each in group["params"] if each.grad is not None]
        slopes = [each.grad for each in weights]
        is_usual = group["fused"] and all(group[name] is value for name, value in _USUAL.items())
        if not is_usual or isinstance(group["lr"], torch.Tensor):
            return None
        if any(each.device.type != "cpu" or each.is_sparse for each in slopes):
            return None
        kinds = {each.dtype for each in (*weights, *slopes)}
        if len(kinds) > 1 or not all(each.is_floating_point for each in kinds):
            return None
        return cls(weights, slopes)


def _fused_step(adam: Adam, group: dict[str, Any], moved: _Moved) -> None:
    if not moved.weights:
        return
    states = [adam.state[each] for each in moved.weights]
    for weight, state in zip(moved.weights, states, strict=True):
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
    steps = [each["step"] for each in states]
    torch._foreach_add_(steps, 1)
    beta1, beta2 = group["betas"]
    torch._fused_adam_(
        moved.weights,
        moved.slopes,
        [each["exp_avg"] for each in states],
        [each["exp_avg_sq"] for each in states],
        [],
        steps,
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
        grad_scale=None,
        found_inf=None,
    )


def can_be_fused(weights: Iterable[torch.Tensor], device: torch.device) -> bool:
    """Return whether a fused step is right: torch's is wrong for non-contiguous weights."""
    return device.type in FUSED and all(each.is_contiguous() for each in weights)


def adam(module: torch.nn.Module, device: torch.device) -> dict[str, Any]:
    """Return skorch settings for Adam, in one fused step where that is right."""
    return {"optimizer": Adam, "optimizer__fused": can_be_fused(module.parameters(), device)}
