"""Compute something once for a key, across fits and worker processes."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from joblib import Memory

from .digest import OpaqueError, digest

_PATIENCE = 5.0  # seconds of waiting for another worker before this is announced
_LONGEST_WAIT = 600.0  # seconds after which the result is computed here as well


def compute_once(
    memory: Memory | None,
    parts: tuple[Any, ...] | None,
    compute: Callable[[], Any],
    *,
    warns: bool = True,
) -> Any:
    """Return the result of `compute`, from the cache if it has been computed for `parts` before.

    A lock beside the cache prevents two workers that start together from both computing. Waiting
    for the other one is announced, and is limited in time.

    Parameters
    ----------
    memory : joblib.Memory or None
        None, or one without a location, does not cache.
    parts : tuple or None
        Everything that the result depends on; None does not cache, nor does a part that cannot be
        identified by its value.
    compute : callable
    warns : bool, default=True
        Whether to warn of such a part.
    """
    if memory is None or memory.store_backend is None or parts is None:
        return compute()
    try:
        key = digest(*parts)
    except OpaqueError as error:
        if warns:
            warnings.warn(
                f"memory is not used for the {parts[0]}, which is computed anew in every fit: "
                f"{error}.",
                UserWarning,
                stacklevel=2,
            )
        return compute()
    path = Path(memory.store_backend.location) / f"{key}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    cached = memory.cache(_call, ignore=["compute"], verbose=0)
    lock = FileLock(path)
    try:
        _acquire(lock, path)
    except Timeout:
        warnings.warn(
            f"Another worker has held {path} for {_LONGEST_WAIT:.0f} s; the {parts[0]} is computed "
            "here without the cache. Where no worker is busy with it, end the process that hangs.",
            UserWarning,
            stacklevel=2,
        )
        return compute()
    try:
        return cached(key, compute)
    finally:
        lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    """Wait for the lock, and warn if this takes long."""
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        print(
            f"dfl_sklearn waits for another worker that computes the same and holds {path}",
            file=sys.stderr,
            flush=True,
        )
        lock.acquire(timeout=_LONGEST_WAIT - _PATIENCE)


def _call(key: str, compute: Callable[[], Any]) -> Any:
    return compute()
