"""Threads of torch and of NumPy."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def pinned_threads(count: int) -> Iterator[None]:
    """Run a block with this many threads: the same bits whatever the worker.

    BLAS has as many. Of the small products of a training step it uses one, and while its others
    wait for the next one, each of them keeps a core busy.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _pools().limit(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
