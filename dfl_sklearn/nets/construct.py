"""Building a network reproducibly, whoever wrote it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from joblib import effective_n_jobs
from skorch import NeuralNet
from torch import nn

from .factories import NetFactory

# Modules that users bring draw their weights from torch's global generator. It is forked
# around them, and forking is not thread-safe: one module at a time, then.
_GLOBAL_GENERATOR = threading.RLock()


@contextmanager
def forked_generator(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator for the length of a block, then put it back."""
    devices = [device] if device.type == "cuda" else []
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def uses_global_generator(predictor: Any) -> bool:
    """Return whether a predictor may draw from torch's global generator (dropout, say)."""
    return not isinstance(predictor, NetFactory)


def build_module(
    predictor: NetFactory | Callable[[int, int], nn.Module], n_in: int, n_out: int, seed: int
) -> nn.Module:
    """Call a factory; the caller forks the global generator if the factory may use it."""
    if isinstance(predictor, NetFactory):
        return predictor.build(n_in, n_out, torch.Generator().manual_seed(seed))
    if isinstance(predictor, nn.Module):
        raise TypeError(
            f"predictor is a finished {type(predictor).__name__}, whose weights a fit would "
            "change. Give a class or function that is called with (n_in, n_out) and returns a "
            "module."
        )
    module = predictor(n_in, n_out)
    if not isinstance(module, nn.Module):
        raise TypeError(
            "predictor must return a torch.nn.Module when called with (n_in, n_out), "
            f"got {type(module).__name__}."
        )
    if not any(True for _ in module.parameters()):
        raise ValueError(f"The predictor, a {type(module).__name__}, has no parameters to train.")
    return module


def check_output_width(net: NeuralNet, X: torch.Tensor, n_out: int) -> None:
    """Raise a ValueError unless the net maps rows of X to `n_out` numbers."""
    with torch.no_grad():
        net.module_.eval()
        out = net.infer(X[:2])
    shape = tuple(getattr(out, "shape", ()))
    if shape != (min(2, len(X)), n_out):
        raise ValueError(
            f"The predictor returned shape {shape} for {min(2, len(X))} rows of {X.shape[1]} "
            f"features, but the problem needs {n_out} parameter{'s' if n_out != 1 else ''} per "
            f"row: shape ({min(2, len(X))}, {n_out}). Change the width of its last layer."
        )


def resolve_device(device: Any) -> torch.device:
    """Return the torch device, or say clearly that it is not there."""
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is not a torch device: {error}") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r} was asked for, but torch sees no CUDA device here.")
    try:
        torch.zeros(1, device=resolved).cpu()
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(f"device={device!r} cannot be used here: {error}") from error
    return resolved


def device_or_cpu(device: Any) -> torch.device:
    """Return the device, or the CPU where a stored model has come to a machine without it."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads that `n_jobs` means: None is 1, -1 all cores."""
    return 1 if n_jobs is None else effective_n_jobs(n_jobs)


def on_cpu(net: NeuralNet) -> NeuralNet:
    """Return the net itself if it lives on the CPU, else a copy that does."""
    parameter = next(net.module_.parameters(), None)
    if parameter is None or parameter.device.type == "cpu":
        return net
    moved = deepcopy(net)
    moved.device = "cpu"
    moved.module_.to("cpu")
    return moved


def slopes_in_eval(device: torch.device) -> AbstractContextManager[None]:
    """Let recurrent nets be differentiated in eval mode: cuDNN's have no backward pass there."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=False)


@contextmanager
def pinned_threads(count: int) -> Iterator[None]:
    """Run a block with this many intra-op threads: the same bits whatever the worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
