"""Threads of torch and of NumPy."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def pinned_threads(count: int) -> Iterator[None]:
    """Run a block with this many threads, so that every worker gives the same bits.

    BLAS gets the same number. It computes the small products of a training step with one thread,
    and its other threads would keep their cores busy while they wait.
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
