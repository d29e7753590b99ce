"""A cache of results by the arrays that they were computed from."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Recent:
    """Remember the results for the last few arrays met, compared by identity or by value.

    Training uses the same arrays again and again. What is costly to compute, such as their best
    decisions, is then computed once. An array must not change while it is remembered.

    Parameters
    ----------
    size : int, default=3
        Number of results that are remembered.
    by_value : bool, default=False
        Whether an array of the same type, shape and numbers counts as the same one.
    """

    def __init__(self, size: int = 3, *, by_value: bool = False) -> None:
        self.size = size
        self._is_known = _equal if by_value else same
        self._kept: list[tuple[tuple[np.ndarray, ...], Any]] = []

    def get(self, arrays: tuple[np.ndarray, ...], compute: Callable[[], Any]) -> Any:
        """Return what is remembered for these arrays together, or compute and remember it."""
        for i, (known, value) in enumerate(self._kept):
            if self._is_known(known, arrays):
                self._kept.insert(0, self._kept.pop(i))
                return value
        value = compute()
        self._kept = [(arrays, value), *self._kept][: self.size]
        return value


def same(arrays: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> bool:
    """Return whether two tuples hold the very same arrays."""
    return len(arrays) == len(others) and all(a is b for a, b in zip(arrays, others, strict=True))


def _equal(arrays: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> bool:
    """Return whether two tuples hold arrays of the same types and numbers."""
    return len(arrays) == len(others) and all(
        a is b or (a.dtype == b.dtype and np.array_equal(a, b))
        for a, b in zip(arrays, others, strict=True)
    )
