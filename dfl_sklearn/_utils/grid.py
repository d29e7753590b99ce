"""The edges of a grid of nodes, in the order that problems and datasets share."""

import numpy as np


def grid_edges(n_rows: int, n_columns: int) -> np.ndarray:
    """Return start and end (n_edges, 2) of the edges that go right and down.

    They are sorted by row: first those within a row from left to right, then those to the row
    below.
    """
    node = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    edges = []
    for i in range(n_rows):
        edges.append(np.stack([node[i, :-1], node[i, 1:]], axis=1))
        if i + 1 < n_rows:
            edges.append(np.stack([node[i], node[i + 1]], axis=1))
    return np.concatenate(edges)
