"""Computing a thing once for a key, across fits and worker processes."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from joblib import Memory


def compute_once(
    memory: Memory | None, parts: tuple[Any, ...] | None, compute: Callable[[], Any]
) -> Any:
    """Return what `compute` returns, from the cache where it has been computed for `parts`.

    A lock beside the cache keeps two workers that start together from both computing.

    Parameters
    ----------
    memory : joblib.Memory or None
        None, or one without a location, does not cache.
    parts : tuple or None
        Everything that the result depends on; None, or a part without a digest, does not cache.
    compute : callable
    """
    if memory is None or memory.store_backend is None or parts is None:
        return compute()
    key = digest(*parts)
    if key is None:
        return compute()
    lock = Path(memory.store_backend.location) / f"{key}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    cached = memory.cache(_call, ignore=["compute"], verbose=0)
    with FileLock(lock):
        return cached(key, compute)


def _call(key: str, compute: Callable[[], Any]) -> Any:
    return compute()


def digest(*parts: Any) -> str | None:
    """Return a digest of arrays, numbers, strings and parameter objects, or None.

    Arrays count by value, estimators by class and parameters, torch modules by class and
    state. None where a part cannot be told apart by value (a lambda, say).
    """
    state = hashlib.sha256()
    try:
        for part in parts:
            _feed(state, part)
    except _OpaqueError:
        return None
    return state.hexdigest()


class _OpaqueError(Exception):
    """A part that has no value to digest."""


def _feed(state: Any, part: Any) -> None:
    import torch

    name = f"{type(part).__module__}.{type(part).__qualname__}".encode()
    state.update(b"<" + name)
    if isinstance(part, torch.nn.Module):
        for key, value in part.state_dict().items():
            state.update(key.encode())
            _feed(state, value.detach().cpu().numpy())
        state.update(repr(part).encode())
    elif isinstance(part, np.ndarray) and part.dtype != object:
        state.update(repr((part.shape, part.dtype.str)).encode())
        state.update(np.ascontiguousarray(part + 0).tobytes())
    elif hasattr(part, "get_params") and not isinstance(part, type):
        for key, value in sorted(part.get_params(deep=False).items()):
            state.update(key.encode())
            _feed(state, value)
    elif isinstance(part, (list, tuple)):
        for each in part:
            _feed(state, each)
    elif isinstance(part, dict):
        for key in sorted(part, key=repr):
            _feed(state, key)
            _feed(state, part[key])
    elif part is None or isinstance(part, (bool, int, float, str, bytes, np.generic, torch.device)):
        state.update(repr(part).encode())
    elif isinstance(part, type) or callable(part):
        _feed_function(state, part)
    else:
        raise _OpaqueError
    state.update(b">")


def _feed_function(state: Any, function: Any) -> None:
    """Digest an importable function or class by its name; anything else is opaque."""
    try:
        state.update(pickle.dumps(function))
    except Exception as error:
        raise _OpaqueError from error
