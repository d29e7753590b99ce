"""Rows that are equal, found together."""

import numpy as np


def equal_rows(rows: np.ndarray) -> list[np.ndarray]:
    """Return the positions of equal rows of an array (n, c), a group for each distinct row.

    Groups are in the order in which sorting puts their rows, positions in each in ascending order.
    """
    if not len(rows):
        return []
    distinct, group = np.unique(rows, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    counts = np.bincount(group.ravel(), minlength=len(distinct))
    return np.split(order, np.cumsum(counts)[:-1])
