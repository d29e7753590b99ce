"""A second device in software: tensors that must not meet those of the CPU.

It stands for CUDA where there is none. Numbers live on the CPU; to torch they are on "meta".
"""

from typing import Any

import torch
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from dfl_sklearn.learners.adam import FUSED

OTHER = torch.device("meta")


class There(torch.Tensor):
    """A tensor on the other device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=OTHER
        )
        made.held = held
        return made

    def __repr__(self):
        return f"There({self.held})"

    def __deepcopy__(self, memo):
        copied = There(self.held.detach().clone())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class OtherDevice(TorchDispatchMode):
    """Within it tensors can be made on the other device, and modules moved to it.

    Parameters
    ----------
    stays : bool
        Whether nothing may be brought back to the CPU.
    """

    def __init__(self, *, stays=False):
        super().__init__()
        self.stays = stays

    def __enter__(self):
        self.before = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        self.numbers = _NumbersThere()
        self.numbers.__enter__()
        self.fused = optimizer._get_fused_kernels_supported_devices
        optimizer._get_fused_kernels_supported_devices = lambda: [*self.fused(), OTHER.type]
        FUSED.add(OTHER.type)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.numbers.__exit__(*error)
        optimizer._get_fused_kernels_supported_devices = self.fused
        FUSED.remove(OTHER.type)
        torch.__future__.set_swap_module_params_on_conversion(self.before)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        leaves = asked is not None and torch.device(asked).type == "cpu"
        if self.stays and leaves and any(isinstance(each, There) for each in args):
            raise RuntimeError("A tensor is brought back to the CPU.")
        return _run(function, args, kwargs)


class _NumbersThere(TorchFunctionMode):
    """On the device "meta" torch does not even look at numbers: they are made on the CPU first."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        is_new = function in (torch.as_tensor, torch.tensor) and not isinstance(args[0], There)
        if is_new and torch.device(kwargs.get("device") or "cpu").type == OTHER.type:
            return to_other(function(*args, **{**kwargs, "device": "cpu"}))
        return function(*args, **kwargs)


def to_other(values: Any) -> torch.Tensor:
    return There(torch.as_tensor(values))


def back(tensor: torch.Tensor) -> torch.Tensor:
    """Return the numbers of a tensor that must be on the other device."""
    assert isinstance(tensor, There), "it is not where its input was"
    return tensor.detach().held


def _run(function: Any, args: Any, kwargs: Any) -> Any:
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    there = any(isinstance(each, There) for each in tensors)
    asked = kwargs.get("device")
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    moves = "_to_copy" in str(function) or "copy_" in str(function)
    here = [each for each in tensors if not isinstance(each, There) and each.ndim > 0]
    if there and here and not moves and "index" not in str(function):
        raise RuntimeError(f"{function} was given tensors of two devices.")
    found = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    is_there = torch.device(asked).type == OTHER.type if asked is not None else there
    if not is_there:
        return found
    return tree_map(lambda each: There(each) if type(each) is torch.Tensor else each, found)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, There) else value
