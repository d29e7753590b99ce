"""Graphs divided into parts of equal size: few edges between parts, or many between halves."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from dfl_sklearn._utils.optional import import_optional

_OPTIONAL = {"extra": "datasets", "needed_by": "fetch_cora_matching"}


def equal_parts(adjacency: sparse.csr_array, nodes: np.ndarray, n_parts: int) -> list[np.ndarray]:
    """Divide nodes into parts of equal size with many edges inside.

    METIS makes parts of almost equal size. Then nodes move from parts that are too large to parts
    that are too small, one at a time, starting with the node that loses the fewest edges.

    Parameters
    ----------
    adjacency : csr_array of shape (n, n)
        Symmetric.
    nodes : ndarray of shape (m,)
        The nodes to divide, m a multiple of `n_parts`.
    n_parts : int

    Returns
    -------
    list of ndarray
        Nodes of each part, in the order of `nodes`.
    """
    pymetis = import_optional("pymetis", **_OPTIONAL)
    inner, each = adjacency[nodes][:, nodes], np.arange(len(nodes))
    graph = pymetis.CSRAdjacency(inner.indptr, inner.indices)
    options = pymetis.Options(seed=0, ncuts=10)  # the best of ten
    part = np.array(pymetis.part_graph(n_parts, graph, options=options).vertex_part)
    while (excess := np.bincount(part, minlength=n_parts) - len(nodes) // n_parts).any():
        links = inner @ np.eye(n_parts)[part]  # number of links of each node to each part
        loss = links[each, part][:, None] - links
        loss[(excess[part] <= 0)[:, None] | (excess >= 0)] = np.inf
        node, target = np.unravel_index(loss.argmin(), loss.shape)
        part[node] = target
    return [nodes[part == i] for i in range(n_parts)]


def halves_with_many_between(
    adjacency: sparse.csr_array, nodes: np.ndarray, n_starts: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Divide nodes into two halves with many edges between them, the best of several starts."""
    nx = import_optional("networkx", **_OPTIONAL)
    # Kernighan-Lin minimises the edges between halves: with weights of -1 it maximises them.
    graph = nx.from_scipy_sparse_array(-adjacency[nodes][:, nodes])
    bisect = nx.community.kernighan_lin_bisection
    left, right = min(
        (bisect(graph, seed=seed) for seed in range(n_starts)),
        key=lambda halves: nx.cut_size(graph, *halves, weight="weight"),
    )
    return nodes[sorted(left)], nodes[sorted(right)]
