"""Shortest paths in acyclic graphs whose edges have predicted lengths."""

from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order

from .._utils.checks import whole_number
from .._utils.grid import grid_edges
from ..solvers.listed import least_costly
from ..solvers.polytope import Polytope
from .linear_cost import LinearCostProblem

_MOST_PATHS = 500  # that are listed
_MOST_ENTRIES = 50_000_000  # of that list
_MOST_FILLING = 4  # entries of a table of edges per edge


class ShortestPathProblem(LinearCostProblem):
    r"""Go from a source to a target along the edges of a graph without cycles.

    The parameters are the lengths (times, costs) of the edges, which may be negative; a decision
    holds a 1 for each edge that is used. Where there are few paths they are listed once, and the
    best one is looked up; else it is found by dynamic programming, all rows together.

    Parameters
    ----------
    edges : array-like of shape (n_edges, 2)
        Start and end of each edge, as whole numbers that name the nodes.
    source, target : int, default=None
        Where to start and where to end; None is the smallest and the largest node.

    Notes
    -----
    The linear program of the same paths has one unit of flow from source to target.

    Examples
    --------
    >>> from dfl_sklearn.problems import ShortestPathProblem
    >>> problem = ShortestPathProblem([[0, 1], [1, 3], [0, 2], [2, 3]])
    >>> problem.solve([[1.0, 1.0, 2.0, 3.0], [5.0, 1.0, 2.0, 3.0]])
    array([[1., 1., 0., 0.],
           [0., 0., 1., 1.]])
    """

    def __init__(
        self, edges: ArrayLike, source: int | None = None, target: int | None = None
    ) -> None:
        self.edges = edges
        self.source = source
        self.target = target

    @classmethod
    def grid(cls, n_rows: int, n_columns: int) -> "ShortestPathProblem":
        """Return the problem on a grid, from the upper left corner to the lower right one.

        Edges go right and down. They are numbered row by row: those within a row from left to
        right, then those to the row below.

        Parameters
        ----------
        n_rows, n_columns : int
            Numbers of nodes, at least 1 and not both 1.
        """
        whole_number(n_rows, "n_rows", at_least=1)
        whole_number(n_columns, "n_columns", at_least=1)
        if n_rows * n_columns < 2:
            raise ValueError(f"A grid of {n_rows} x {n_columns} nodes has no path.")
        return cls(grid_edges(n_rows, n_columns))

    def _edges(self) -> np.ndarray:
        try:
            edges = np.asarray(self.edges)
        except ValueError as error:
            raise ValueError(f"edges must have shape (n_edges, 2): {error}") from error
        if edges.ndim != 2 or edges.shape[1] != 2 or not len(edges):
            raise ValueError(f"edges must have shape (n_edges, 2), got {edges.shape}.")
        if not np.issubdtype(edges.dtype, np.integer):
            raise ValueError(f"edges must name nodes by whole numbers, got {edges.dtype}.")
        return edges.astype(np.int64)

    def _graph(self) -> "_Graph":
        edges = self._edges()
        for name in ("source", "target"):
            node = getattr(self, name)
            if node is not None and (isinstance(node, bool) or not isinstance(node, Integral)):
                raise ValueError(f"{name} must be a whole number that names a node, got {node!r}.")
        source = edges.min() if self.source is None else self.source
        target = edges.max() if self.target is None else self.target
        return _Graph.of(edges.tobytes(), int(source), int(target))

    def _check_constants(self) -> None:
        self._graph()

    def _n_parameters(self) -> int:
        return len(np.asarray(self.edges))

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        return self._graph().solve(y)

    def _polytope(self, n: int) -> Polytope:
        graph = self._graph()
        flow = np.zeros(graph.incidence.shape[0])
        flow[graph.source], flow[graph.target] = 1.0, -1.0
        return Polytope.of(n, eq=(graph.incidence, flow), upper=graph.on_a_path, integral=True)


class _Level(NamedTuple):
    """Nodes whose distance depends on earlier levels only, with the edges that come in.

    Attributes
    ----------
    nodes : ndarray of shape (k,)
    edges, tails : ndarray of shape (k, d)
        Edges into each node and where they start, filled up with an edge of infinite length.
    """

    nodes: np.ndarray
    edges: np.ndarray
    tails: np.ndarray


class _Graph(NamedTuple):
    """The part of a graph that lies on paths from source to target.

    Attributes
    ----------
    source, target : int
        Numbers of the nodes, counted from 0.
    tail : ndarray of shape (n_edges + 1,)
        Where each edge starts; the last one stands for "already at the source".
    levels : tuple of _Level
    incidence : csr_array of shape (n_nodes, n_edges)
        1 where an edge leaves, -1 where it arrives.
    on_a_path : ndarray of shape (n_edges,)
        1 for the edges that lie on a path, else 0.
    paths : ndarray of shape (n_paths, n_edges) or None
        All of them, where they are few.
    """

    source: int
    target: int
    tail: np.ndarray
    levels: tuple[_Level, ...]
    incidence: sparse.csr_array
    on_a_path: np.ndarray
    paths: np.ndarray | None

    @staticmethod
    @lru_cache(maxsize=16)
    def of(edge_bytes: bytes, source: int, target: int) -> "_Graph":
        """Look through a graph once, however often it is solved on."""
        names, numbered = np.unique(
            np.frombuffer(edge_bytes, dtype=np.int64).reshape(-1, 2), return_inverse=True
        )
        edges = numbered.reshape(-1, 2)
        for what, name in (("source", source), ("target", target)):
            if name not in names:
                raise ValueError(f"{what}={name} is no node of edges.")
        if source == target:
            raise ValueError(f"source and target are the same node, {source}.")
        start, end = (int(np.searchsorted(names, each)) for each in (source, target))
        n_nodes, n_edges = len(names), len(edges)
        depth = _depths(edges, n_nodes, names)
        kept = _reached(edges, start, n_nodes) & _reached(edges[:, ::-1], end, n_nodes)
        if not kept.any():
            raise ValueError(f"No path leads from node {source} to node {target}.")
        levels = _levels(edges, np.flatnonzero(kept), depth, start)
        columns = np.arange(n_edges)
        incidence = sparse.csr_array(
            (
                np.repeat([1.0, -1.0], n_edges),
                (np.concatenate([edges[:, 0], edges[:, 1]]), np.tile(columns, 2)),
            ),
            shape=(n_nodes, n_edges),
        )
        tail = np.append(edges[:, 0], start)
        paths = _few_paths(edges, start, end, levels)
        return _Graph(start, end, tail, tuple(levels), incidence, kept.astype(np.float64), paths)

    def solve(self, lengths: np.ndarray) -> np.ndarray:
        """Return the best path (B, n_edges) for each row of lengths (B, n_edges)."""
        if self.paths is not None:
            return self.paths[least_costly(self.paths, lengths)]
        n_rows, n_edges = lengths.shape
        # Rows last: each step then runs over contiguous numbers.
        length = np.append(lengths.T, np.full((1, n_rows), np.inf), axis=0)
        n_nodes = self.incidence.shape[0]
        distance = np.zeros((n_nodes, n_rows))
        arrives_by = np.full((n_nodes, n_rows), n_edges)
        for level in self.levels:
            by_edge = distance[level.tails] + length[level.edges]
            best = by_edge.argmin(axis=1)
            distance[level.nodes] = np.take_along_axis(by_edge, best[:, None], axis=1)[:, 0]
            arrives_by[level.nodes] = np.take_along_axis(level.edges, best, axis=1)
        decisions = np.zeros((n_rows, n_edges + 1))
        rows = np.arange(n_rows)
        node = np.full(n_rows, self.target)
        while (node != self.source).any():
            edge = arrives_by[node, rows]
            decisions[rows, edge] = 1.0
            node = self.tail[edge]
        return decisions[:, :-1].copy()


def _depths(edges: np.ndarray, n_nodes: int, names: np.ndarray) -> np.ndarray:
    """Return the largest number of edges (n_nodes,) by which each node can be reached."""
    order = np.argsort(edges[:, 0], kind="stable")
    heads = edges[order, 1].tolist()
    starts = np.searchsorted(edges[order, 0], np.arange(n_nodes + 1)).tolist()
    # Plain lists: each edge is looked at once, and one number of an array costs much more.
    missing = np.bincount(edges[:, 1], minlength=n_nodes).tolist()
    depth = [0] * n_nodes
    ready = [node for node in range(n_nodes) if missing[node] == 0]
    for node in ready:  # which grows meanwhile
        further = depth[node] + 1
        for head in heads[starts[node] : starts[node + 1]]:
            if further > depth[head]:
                depth[head] = further
            missing[head] -= 1
            if missing[head] == 0:
                ready.append(head)
    if len(ready) < n_nodes:
        on_cycle = names[_on_cycle(edges, np.array(missing) > 0)]
        raise ValueError(
            f"edges have a cycle that leads to node {on_cycle}; only graphs without cycles are "
            "allowed."
        )
    return np.array(depth, dtype=np.int64)


def _on_cycle(edges: np.ndarray, left: np.ndarray) -> int:
    """Return a node on a cycle; each of those `left` (n_nodes,) comes after another of them."""
    among = edges[left[edges[:, 0]] & left[edges[:, 1]]]
    before = np.zeros(len(left), dtype=np.int64)
    before[among[:, 1]] = among[:, 0]
    node, seen = int(np.flatnonzero(left)[0]), set()
    while node not in seen:
        seen.add(node)
        node = int(before[node])
    return node


def _levels(edges: np.ndarray, kept: np.ndarray, depth: np.ndarray, start: int) -> list[_Level]:
    """Group the nodes that the edges `kept` lead to by their depth."""
    heads = edges[kept, 1]
    order = np.lexsort((kept, heads, depth[heads]))
    kept, heads = kept[order], heads[order]
    tail = np.append(edges[:, 0], start)
    firsts = np.flatnonzero(np.append(True, heads[1:] != heads[:-1]))
    counts = np.diff(np.append(firsts, len(kept)))
    nodes = heads[firsts]
    bounds = np.flatnonzero(np.diff(depth[nodes])) + 1
    levels = []
    for group in np.split(np.arange(len(nodes)), bounds):
        for part in _of_like_width(group, counts[group]):
            width = np.arange(counts[part].max())
            place = np.minimum(firsts[part, None] + width, len(kept) - 1)
            table = np.where(width < counts[part, None], kept[place], len(edges))
            levels.append(_Level(nodes[part], table, tail[table]))
    return levels


def _of_like_width(group: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Split nodes (k,) of one level where tables of equal rows would be mostly filling."""
    if len(group) * counts.max() <= _MOST_FILLING * counts.sum():
        return [group]
    size = np.frexp(counts)[1]
    return [group[size == each] for each in np.unique(size)]


def _few_paths(edges: np.ndarray, start: int, end: int, levels: list[_Level]) -> np.ndarray | None:
    """Return all paths (n_paths, n_edges) as rows of zeros and ones, None where they are many."""
    n_edges = len(edges)
    n_paths = np.zeros(edges.max() + 1, dtype=np.int64)  # from the source to each node
    n_paths[start] = 1
    for level in levels:
        arriving = np.where(level.edges < n_edges, n_paths[level.tails], 0).sum(axis=1)
        if arriving.max() > _MOST_PATHS:
            return None
        n_paths[level.nodes] = arriving
    if n_paths[end] * n_edges > _MOST_ENTRIES:
        return None
    # The paths to a node are numbered by the edge they arrive by, then as those to its start.
    into = np.concatenate([level.edges[level.edges < n_edges] for level in levels])
    through = n_paths[edges[into, 0]]
    before = np.cumsum(through) - through
    first = np.zeros(len(n_paths), dtype=np.int64)  # of the paths to a node, counted over all
    first[edges[into[::-1], 1]] = before[::-1]
    paths = np.zeros((n_paths[end], n_edges))
    rows, number = np.arange(len(paths)), np.arange(len(paths))
    node = np.full(len(paths), end)
    while len(rows):
        place = np.searchsorted(before, first[node] + number, side="right") - 1
        number = first[node] + number - before[place]
        paths[rows, into[place]] = 1.0
        node = edges[into[place], 0]
        on = node != start
        rows, number, node = rows[on], number[on], node[on]
    return paths


def _reached(edges: np.ndarray, start: int, n_nodes: int) -> np.ndarray:
    """Return which edges (n_edges,) can be reached from a node."""
    graph = sparse.csr_array((np.ones(len(edges)), tuple(edges.T)), shape=(n_nodes, n_nodes))
    reached = np.zeros(n_nodes, dtype=bool)
    reached[breadth_first_order(graph, start, return_predecessors=False)] = True
    return reached[edges[:, 0]]
