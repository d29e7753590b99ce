"""Results remembered for the arrays that they were computed from."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Recent:
    """Remember the results for the last few arrays met, told apart by identity.

    Training looks at the same arrays again and again: what is costly to find out about one, its
    best decisions for instance, is found once. An array must not change while it is remembered.
    """

    def __init__(self, size: int = 3) -> None:
        self.size = size
        self._kept: list[tuple[tuple[np.ndarray, ...], Any]] = []

    def get(self, arrays: tuple[np.ndarray, ...], compute: Callable[[], Any]) -> Any:
        """Return what is remembered for these arrays together, or compute and remember it."""
        for i, (known, value) in enumerate(self._kept):
            if same(known, arrays):
                self._kept.insert(0, self._kept.pop(i))
                return value
        value = compute()
        self._kept = [(arrays, value), *self._kept][: self.size]
        return value


def same(arrays: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> bool:
    """Return whether two tuples hold the very same arrays."""
    return len(arrays) == len(others) and all(a is b for a, b in zip(arrays, others, strict=True))
