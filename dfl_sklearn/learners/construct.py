"""Reproducible construction of networks, including those of users."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from joblib import effective_n_jobs
from skorch import NeuralNet
from torch import nn

from .._utils.seeds import named_seed
from .ensemble import Ensemble
from .factories import NetFactory

# Users' modules draw their weights from torch's global generator. It is forked around them,
# and forking is not thread-safe, so only one module is built at a time.
_GLOBAL_GENERATOR = threading.RLock()


@contextmanager
def forked_generator(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator within a block, and restore it afterwards."""
    devices = [device] if device.type == "cuda" else []
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def uses_global_generator(predictor: Any) -> bool:
    """Return whether a predictor may draw from torch's global generator, as dropout does."""
    return not isinstance(predictor, NetFactory)


def build_module(
    predictor: NetFactory | Callable[[int, int], nn.Module], n_in: int, n_out: int, seed: int
) -> nn.Module:
    """Call a factory; the caller forks the global generator if the factory may use it."""
    if isinstance(predictor, NetFactory):
        module = predictor.build(n_in, n_out, torch.Generator().manual_seed(seed))
        if not type(predictor).__module__.startswith(f"{__package__}."):
            generator = torch.Generator().manual_seed(seed)
            check_built_afresh(
                "predictor", module, lambda: predictor.build(n_in, n_out, generator), forks=False
            )
        return module
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
    check_built_afresh("predictor", module, lambda: predictor(n_in, n_out))
    if not any(True for _ in module.parameters()):
        raise ValueError(f"The predictor, a {type(module).__name__}, has no parameters to train.")
    return module


def build_ensemble(
    predictor: NetFactory | Callable[[int, int], nn.Module],
    n_in: int,
    n_out: int,
    seeds: Sequence[int],
) -> Ensemble:
    """Call a factory for each of several members; see :func:`build_module`."""
    members = []
    for seed in seeds:
        if uses_global_generator(predictor):
            torch.manual_seed(seed)
        members.append(build_module(predictor, n_in, n_out, seed))
    # Modules of others may do more than their layers.
    ours = type(predictor).__module__.startswith(f"{__package__}.") or predictor is nn.Linear
    return Ensemble(members, stacks=ours)


def member_seeds(seed: int, n_members: int) -> list[int]:
    """Return a seed for each member; that of the first, or only one, is `seed`."""
    return [seed, *(named_seed(seed, f"member {k}") for k in range(1, n_members))]


def check_monitors(callbacks: Iterable[Any], watched: str) -> None:
    """Raise a ValueError if a skorch callback waits for a column that training does not record."""
    recorded = {"train_loss", watched, f"{watched}_best"}
    for each in callbacks:
        callback = each[1] if isinstance(each, tuple) else each
        monitor = getattr(callback, "monitor", None)
        # Columns with other names may come from another callback, or from robust training.
        if not isinstance(monitor, str) or not monitor.startswith(("valid_", "train_")):
            continue
        if monitor not in recorded | {"valid_worst_regret", "valid_worst_regret_best"}:
            best = "_best" if monitor.endswith("_best") else ""
            raise ValueError(
                f"{type(callback).__name__} in callbacks watches {monitor!r}, which training does "
                f'not record: give it monitor="{watched}{best}", the regret of the rows watched.'
            )


def check_built_afresh(
    name: str, module: nn.Module, build: Callable[[], nn.Module], *, forks: bool = True
) -> None:
    """Raise a ValueError where a factory returns weights that it has returned before.

    The factory is called a second time. Weights that are shared with the first call would be
    trained in place by every fit, and carry over what was learnt from one fold to the next. The
    global generator is restored, except where `forks` is False, for a factory that does not use it.
    """
    devices = {each.device for each in module.parameters() if each.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)) if forks else nullcontext():
        other = build()
    shared = _storages(module) & _storages(other)
    if module is other or shared:
        raise ValueError(
            f"{name} returned the same {type(module).__name__} twice, or one with the same weights "
            "in memory: each fit would go on from the weights of the last one, in "
            "cross-validation from other folds. Build the module inside the function, or return "
            "copy.deepcopy of it."
        )


def _storages(module: nn.Module) -> set[int]:
    """Return the memory addresses of the weights and buffers of a module."""
    tensors = [*module.parameters(), *module.buffers()]
    return {each.untyped_storage().data_ptr() for each in tensors if each.numel()} - {0}


def check_output_width(net: NeuralNet, X: torch.Tensor, n_out: int) -> None:
    """Raise a ValueError unless the net maps rows of X to `n_out` numbers."""
    infer = net.module_.first if isinstance(net.module_, Ensemble) else net.infer
    with torch.no_grad():
        net.module_.eval()
        try:
            out = infer(X[:2])
        except RuntimeError as error:
            if "dtype" not in str(error) and "type" not in str(error):
                raise
            raise TypeError(
                f"The predictor cannot compute in {X.dtype}, the type of X: {error}. Its weights "
                "are converted to that type, so it must not convert its inputs. Or give X (and a "
                "net) in float32."
            ) from error
    shape = tuple(getattr(out, "shape", ()))
    if shape != (min(2, len(X)), n_out):
        raise ValueError(
            f"The predictor returned shape {shape} for {min(2, len(X))} rows of {X.shape[1]} "
            f"features, but the problem needs {n_out} number{'s' if n_out != 1 else ''} per "
            f"row: shape ({min(2, len(X))}, {n_out}). Change the width of its last layer."
        )


def resolve_device(device: Any) -> torch.device:
    """Return the torch device, or raise an error where it is not available."""
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is not a torch device: {error}") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r} was given, but torch sees no CUDA device here.")
    try:
        torch.zeros(1, device=resolved).cpu()
    except RuntimeError as error:  # also NotImplementedError
        raise ValueError(f"device={device!r} cannot be used here: {error}") from error
    return resolved


def device_or_cpu(device: Any) -> torch.device:
    """Return the device, or the CPU where a stored model is loaded on a machine without it."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads that `n_jobs` means: None is 1, -1 all cores."""
    return 1 if n_jobs is None else effective_n_jobs(n_jobs)


def on_cpu(net: NeuralNet) -> NeuralNet:
    """Return the net itself if it is on the CPU, else a copy that is."""
    parameter = next(net.module_.parameters(), None)
    if parameter is None or parameter.device.type == "cpu":
        return net
    moved = deepcopy(net)
    moved.device = "cpu"
    moved.module_.to("cpu")
    if net.module is net.module_:  # an existing module, which the copy has twice
        moved.module = moved.module_
    return moved


def slopes_in_eval(device: torch.device) -> AbstractContextManager[None]:
    """Allow gradients of recurrent nets in eval mode, for which cuDNN has no backward pass."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=False)
