"""Graphs cut into parts of equal size: few edges between parts, or many between halves."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigsh

_LINK = 1e-3  # weight of an edge between any two nodes, so that no piece stands alone
_N_CANDIDATES = 30  # nodes of each side that are looked at for an exchange


def equal_parts(adjacency: sparse.csr_array, nodes: np.ndarray, n_parts: int) -> list[np.ndarray]:
    """Cut nodes into parts of equal size with many edges inside.

    Recursive spectral bisection, each cut and then each pair of parts improved by exchanges.

    Parameters
    ----------
    adjacency : csr_array of shape (n, n)
        Symmetric.
    nodes : ndarray of shape (m,)
        The nodes to cut, m a multiple of `n_parts`.
    n_parts : int

    Returns
    -------
    list of ndarray
        Nodes of each part.
    """
    parts = _bisected(adjacency, nodes, n_parts)
    has_changed = True
    while has_changed:
        has_changed = False
        for i in range(n_parts):
            for j in range(i + 1, n_parts):
                if adjacency[parts[i]][:, parts[j]].nnz == 0:
                    continue
                both = np.concatenate([parts[i], parts[j]])
                before = np.arange(len(both)) < len(parts[i])
                after = _exchanged(adjacency[both][:, both], before, many_across=False)
                if (after != before).any():
                    has_changed = True
                    parts[i], parts[j] = both[after], both[~after]
    return [np.sort(part) for part in parts]


def halves_with_many_between(
    adjacency: sparse.csr_array, nodes: np.ndarray, rng: np.random.Generator, n_starts: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Cut nodes into two halves with many edges between them, the best of several starts."""
    inner, most = adjacency[nodes][:, nodes], -1.0
    for _ in range(n_starts):
        start = rng.permutation(len(nodes)) < len(nodes) // 2
        side = _exchanged(inner, start, many_across=True)
        between = inner[side][:, ~side].sum()
        if between > most:
            most, best = between, side
    return nodes[best], nodes[~best]


def _bisected(adjacency: sparse.csr_array, nodes: np.ndarray, n_parts: int) -> list[np.ndarray]:
    if n_parts == 1:
        return [nodes]
    n_left = n_parts // 2
    inner = adjacency[nodes][:, nodes]
    order = np.argsort(_fiedler(inner), kind="stable")
    side = np.zeros(len(nodes), dtype=bool)
    side[order[: len(nodes) // n_parts * n_left]] = True
    side = _exchanged(inner, side, many_across=False)
    return [
        *_bisected(adjacency, nodes[side], n_left),
        *_bisected(adjacency, nodes[~side], n_parts - n_left),
    ]


def _fiedler(adjacency: sparse.csr_array) -> np.ndarray:
    """Return the second eigenvector of the normalised adjacency, scaled back to the nodes."""
    n = adjacency.shape[0]
    scale = 1.0 / np.sqrt(np.asarray(adjacency.sum(axis=1)).ravel() + _LINK * n)

    def multiply(x: np.ndarray) -> np.ndarray:
        scaled = scale * x.ravel()
        return scale * (adjacency @ scaled + _LINK * scaled.sum())

    operator = LinearOperator((n, n), matvec=multiply, dtype=np.float64)
    start = np.cos(np.arange(n))  # any fixed vector: else the start is random
    values, vectors = eigsh(operator, k=2, which="LA", v0=start)
    return scale * vectors[:, values.argmin()]


def _exchanged(adjacency: sparse.csr_array, side: np.ndarray, *, many_across: bool) -> np.ndarray:
    """Exchange nodes of the two sides as long as it pays, the best pair first."""
    side = side.copy()
    sign = -1.0 if many_across else 1.0
    while True:
        signed = np.where(side, 1.0, -1.0)
        gain = -sign * signed * (adjacency @ signed)  # of moving one node to the other side
        here, there = (
            each[np.argsort(-gain[each], kind="stable")[:_N_CANDIDATES]]
            for each in (np.flatnonzero(side), np.flatnonzero(~side))
        )
        joint = gain[here][:, None] + gain[there] - 2 * sign * adjacency[here][:, there].toarray()
        i, j = np.unravel_index(joint.argmax(), joint.shape)
        if joint[i, j] <= 1e-9:
            return side
        side[here[i]], side[there[j]] = False, True
