"""Shortest paths in acyclic graphs, for all rows at once; lengths may be negative."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .listed import least_costly

_MOST_PATHS = 500  # number of paths up to which all are listed
_MOST_ENTRIES = 50_000_000  # largest number of entries of that list
_MOST_FILLING = 4  # largest number of table entries per edge


class Level(NamedTuple):
    """Nodes whose distance depends on earlier levels only, with the edges that come in.

    Attributes
    ----------
    nodes : ndarray of shape (k,)
    edges, tails : ndarray of shape (k, d)
        Edges into each node and their start nodes, padded with an edge of infinite length.
    """

    nodes: np.ndarray
    edges: np.ndarray
    tails: np.ndarray


class Levels(NamedTuple):
    """The nodes of an acyclic graph, grouped so that each group depends on those before it only.

    Attributes
    ----------
    groups : tuple of Level
    number, place : ndarray of shape (n_nodes,)
        The group of each node and its place there; -1 where no edge leads to it.
    """

    groups: tuple[Level, ...]
    number: np.ndarray
    place: np.ndarray

    @staticmethod
    def of(edges: np.ndarray, kept: np.ndarray, depth: np.ndarray, start: int) -> "Levels":
        """Group the nodes that the edges `kept` lead to by their depth (n_nodes,).

        Tables are padded with edges from the node `start`.
        """
        groups = _groups(edges, kept, depth, start)
        number, place = np.full((2, len(depth)), -1)
        for i, group in enumerate(groups):
            number[group.nodes], place[group.nodes] = i, np.arange(len(group.nodes))
        return Levels(tuple(groups), number, place)

    def solve(self, lengths: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the best path (B, n_edges) of each row, from its own source to its own target.

        Parameters
        ----------
        lengths : ndarray of shape (B, n_edges)
            Infinite for edges on no path of the row.
        source, target : ndarray of shape (B,)
        """
        n_rows, n_edges = lengths.shape
        rows, starts = np.arange(n_rows), set(self.number[source].tolist())
        # Rows are the last axis, so that each step runs over contiguous numbers.
        length = np.full((n_edges + 1, n_rows), np.inf)
        length[:-1] = lengths.T
        distance = np.full((len(self.number), n_rows), np.inf)
        distance[source, rows] = 0.0
        for i, group in enumerate(self.groups):
            by_edge = distance.take(group.tails, axis=0)
            by_edge += length.take(group.edges, axis=0)
            distance[group.nodes] = by_edge.min(axis=1)
            if i in starts:
                distance[source, rows] = 0.0
        # Go back from the targets, along the first edge that attains the distance.
        decisions, node = np.zeros((n_rows, n_edges)), target.copy()
        for i in range(len(self.groups) - 1, -1, -1):
            here = rows[(self.number[node] == i) & (node != source)]
            if not len(here):
                continue
            at = self.place[node[here]]
            edges, tails = self.groups[i].edges[at], self.groups[i].tails[at]
            best = (distance[tails, here[:, None]] + length[edges, here[:, None]]).argmin(axis=1)
            which = np.arange(len(here)), best
            decisions[here, edges[which]] = 1.0
            node[here] = tails[which]
        return decisions


class AcyclicPaths(NamedTuple):
    """The part of an acyclic graph that lies on paths from source to target.

    Attributes
    ----------
    source, target : int
        Numbers of the nodes, counted from 0.
    levels : Levels
        Of the edges on a path.
    on_a_path : ndarray of shape (n_edges,)
        1 for the edges that lie on a path, else 0.
    paths : ndarray of shape (n_paths, n_edges) or None
        All paths, if there are few; otherwise None.
    """

    source: int
    target: int
    levels: Levels
    on_a_path: np.ndarray
    paths: np.ndarray | None

    @staticmethod
    def of(
        edges: np.ndarray, depth: np.ndarray, source: int, target: int, usable: np.ndarray
    ) -> "AcyclicPaths":
        """Analyse a graph once, for any number of solves.

        Parameters
        ----------
        edges : ndarray of shape (n_edges, 2)
            Numbers of the nodes where each edge starts and ends.
        depth : ndarray of shape (n_nodes,)
            See :func:`depths`.
        source, target : int
        usable : ndarray of bool of shape (n_edges,)
            Which edges lie on a path from source to target; at least one does.
        """
        levels = Levels.of(edges, np.flatnonzero(usable), depth, source)
        paths = _few_paths(edges, source, target, levels.groups)
        return AcyclicPaths(source, target, levels, usable.astype(np.float64), paths)

    def solve(self, lengths: np.ndarray) -> np.ndarray:
        """Return the best path (B, n_edges) for each row of lengths (B, n_edges)."""
        if self.paths is not None:
            return self.paths[least_costly(self.paths, lengths)]
        n_rows = len(lengths)
        ends = (np.full(n_rows, each) for each in (self.source, self.target))
        return self.levels.solve(lengths, *ends)


def depths(edges: np.ndarray, n_nodes: int) -> np.ndarray | None:
    """Return the largest number of edges (n_nodes,) by which each node can be reached.

    None where edges (n_edges, 2) form a cycle.
    """
    order = np.argsort(edges[:, 0], kind="stable")
    heads = edges[order, 1].tolist()
    starts = np.searchsorted(edges[order, 0], np.arange(n_nodes + 1)).tolist()
    # Plain lists, since each edge is read once, and reading single numbers of an array is slow.
    missing = np.bincount(edges[:, 1], minlength=n_nodes).tolist()
    depth = [0] * n_nodes
    ready = [node for node in range(n_nodes) if missing[node] == 0]
    for node in ready:  # the list grows within the loop
        further = depth[node] + 1
        for head in heads[starts[node] : starts[node + 1]]:
            if further > depth[head]:
                depth[head] = further
            missing[head] -= 1
            if missing[head] == 0:
                ready.append(head)
    return np.array(depth, dtype=np.int64) if len(ready) == n_nodes else None


def _groups(edges: np.ndarray, kept: np.ndarray, depth: np.ndarray, start: int) -> list[Level]:
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
            levels.append(Level(nodes[part], table, tail[table]))
    return levels


def _of_like_width(group: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Split nodes (k,) of one level where tables of equal rows would be mostly padding."""
    if len(group) * counts.max() <= _MOST_FILLING * counts.sum():
        return [group]
    size = np.frexp(counts)[1]
    return [group[size == each] for each in np.unique(size)]


def _few_paths(
    edges: np.ndarray, start: int, end: int, levels: Sequence[Level]
) -> np.ndarray | None:
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
    first = np.zeros(len(n_paths), dtype=np.int64)  # number of the first path to each node
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
