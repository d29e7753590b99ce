"""Graphs as users write them: edges as pairs of node names."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..solvers.acyclic_paths import AcyclicPaths, Levels, depths
from ..solvers.unit_flows import UnitFlows
from ._context import FromContext

MOST_EXACT = 2**53  # up to here all integers are floats


@dataclass(frozen=True, eq=False)
class Network:
    """A graph with numbered nodes and edges.

    Attributes
    ----------
    names : tuple
        Names of the nodes: sorted where they are integers, else in the order of their first edge.
    edges : ndarray of shape (n_edges, 2)
        Numbers of the nodes at which each edge starts and ends.
    depth : ndarray of shape (n_nodes,) or None
        The largest number of edges on a path to each node; None where there are cycles.
    sorted_names : ndarray of shape (n_nodes,) or None
        The names where they are integers.
    """

    names: tuple[Hashable, ...]
    edges: np.ndarray
    depth: np.ndarray | None
    sorted_names: np.ndarray | None

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.names)

    @property
    def largest_name(self) -> int:
        """The largest absolute number by which a context may name a node."""
        if self.sorted_names is None:
            return self.n_nodes - 1
        return max(abs(int(self.sorted_names[0])), abs(int(self.sorted_names[-1])))

    @property
    def has_cycle(self) -> bool:
        """Whether the graph has a cycle, with all edges open."""
        return self.depth is None

    @cached_property
    def flows(self) -> UnitFlows:
        """The flows through the graph."""
        return UnitFlows(self.edges, self.n_nodes)

    @property
    def balance(self) -> sparse.csr_array:
        """1 where an edge leaves a node, -1 where it arrives; (n_nodes, n_edges)."""
        return self.flows.balance

    @cached_property
    def _levels(self) -> Levels:
        assert self.depth is not None
        return Levels.of(self.edges, np.arange(len(self.edges)), self.depth, 0)

    @cached_property
    def _number_of(self) -> dict[Hashable, int]:
        return {name: i for i, name in enumerate(self.names)}

    def number(self, name: Any, what: str) -> int:
        """Return the number of a node, or raise an error where there is none of that name.

        A float, as in contexts, is the name of a node where names are integers, else its position
        among the names.
        """
        if isinstance(name, (float, np.floating)):
            found, known = self.numbers(np.array([name]))
            if known[0]:
                return int(found[0])
        elif not isinstance(name, (bool, np.bool_)):
            try:
                if name in self._number_of:
                    return self._number_of[name]
            except TypeError:  # unhashable, such as a list
                pass
        if self.sorted_names is not None and (
            isinstance(name, (bool, np.bool_)) or not isinstance(name, Integral)
        ):
            raise ValueError(f"{what} must be a whole number that names a node, got {name!r}.")
        raise ValueError(f"{what}={name!r} is not a node of edges.")

    def numbers(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (n,) of nodes that a context names, and whether these nodes exist."""
        if self.sorted_names is None:
            known = (values == np.rint(values)) & (values >= 0) & (values < self.n_nodes)
            return np.where(known, values, 0.0).astype(np.int64), known
        names = self.sorted_names
        place = np.minimum(np.searchsorted(names, values), len(names) - 1)
        return place, (names[place] == values) & (np.abs(values) <= MOST_EXACT)

    def n_on_cycles(self, decisions: np.ndarray) -> np.ndarray:
        """Return how many of the edges (n,) that decisions (n, n_edges) use lie on cycles."""
        n_rows, n = len(decisions), self.n_nodes
        if not self.has_cycle:
            return np.zeros(n_rows)
        rows, edge = np.nonzero(np.rint(decisions) > 0)
        start, end = (rows * n + self.edges[edge, i] for i in (0, 1))
        used = sparse.csr_array((np.ones(len(rows)), (start, end)), shape=(n_rows * n,) * 2)
        _, part = connected_components(used, connection="strong")
        on_cycle = part[start] == part[end]
        return np.bincount(rows[on_cycle], minlength=n_rows).astype(np.float64)

    def solve_each(
        self, y: np.ndarray, source: np.ndarray, target: np.ndarray, usable: np.ndarray
    ) -> np.ndarray:
        """Return the best decisions (n, m) for lengths (n, m) on each row's part of the graph."""
        if self.has_cycle:
            return self.flows.cheapest(y, usable, source, target)
        return self._levels.solve(np.where(usable, y, np.inf), source, target)


class CyclicPaths(NamedTuple):
    """The part of a graph with cycles that lies on paths from source to target.

    Attributes
    ----------
    flows : UnitFlows
    source, target : int
        Numbers of the nodes.
    on_a_path : ndarray of shape (n_edges,)
        1 for the edges on a walk that passes source and target once, else 0.
    """

    flows: UnitFlows
    source: int
    target: int
    on_a_path: np.ndarray

    def solve(self, lengths: np.ndarray) -> np.ndarray:
        """Return the best flow (B, n_edges) for each row of lengths (B, n_edges)."""
        n = len(lengths)
        ends = (np.broadcast_to(each, n) for each in (self.source, self.target))
        usable = np.broadcast_to(self.on_a_path > 0, lengths.shape)
        return self.flows.cheapest(lengths, usable, *ends)


def as_network(edges: Any) -> Network:
    """Return the graph of edges as users write them, or raise an error about them."""
    try:
        array = np.asarray(edges)
    except ValueError:
        array = None
    if array is not None and array.dtype.kind in "iu":
        fits = array.dtype.kind == "i" or array.max(initial=0) <= np.iinfo(np.int64).max
        if array.ndim == 2 and array.shape[1] == 2 and len(array) and fits:
            return _of_numbers(array.astype(np.int64).tobytes())
    elif array is not None and (array.dtype.kind in "bfcmM" and array.ndim == 2 and array.size):
        raise ValueError(
            f"edges must name nodes by whole numbers or by other names, not by {array.dtype}."
        )
    if isinstance(edges, np.ndarray) or hasattr(edges, "columns"):  # a table
        pairs = [] if array is None else array.tolist()
    else:
        pairs = list(edges) if hasattr(edges, "__len__") else []
    if not pairs:
        raise ValueError(f"edges must have shape (n_edges, 2), got {np.shape(edges)}.")
    named = tuple(_pair(each, i) for i, each in enumerate(pairs))
    if all(isinstance(name, Integral) for pair in named for name in pair):
        try:
            return _of_numbers(np.array(named, dtype=np.int64).tobytes())
        except OverflowError:
            pass
    return _of_names(named)


def _pair(edge: Any, i: int) -> tuple[Hashable, Hashable]:
    """Return the names of the nodes at which an edge starts and ends."""
    if not isinstance(edge, (tuple, list, np.ndarray)) or len(edge) != 2:
        raise ValueError(f"edges must have shape (n_edges, 2), but edge {i} is {edge!r}.")
    for name in edge:
        if isinstance(name, FromContext):
            raise ValueError(
                f"edges are the same for all rows, but edge {i} is read from the context. Mark "
                "what differs by row in source, target or closed."
            )
        if name is None or isinstance(name, (bool, np.bool_, float, complex, np.inexact)):
            raise ValueError(
                f"edges must name nodes by whole numbers or by other names, such as text; edge {i} "
                f"has {name!r}."
            )
        try:
            hash(name)
        except TypeError:
            raise ValueError(
                f"edges must name nodes by hashable objects; edge {i} has {name!r}."
            ) from None
    return edge[0], edge[1]


@lru_cache(maxsize=16)
def _of_numbers(edge_bytes: bytes) -> Network:
    names, numbered = np.unique(
        np.frombuffer(edge_bytes, dtype=np.int64).reshape(-1, 2), return_inverse=True
    )
    edges = numbered.reshape(-1, 2)
    return Network(tuple(names.tolist()), edges, depths(edges, len(names)), names)


@lru_cache(maxsize=16)
def _of_names(pairs: tuple[tuple[Hashable, Hashable], ...]) -> Network:
    number: dict[Hashable, int] = {}
    edges = np.array([[number.setdefault(name, len(number)) for name in pair] for pair in pairs])
    return Network(tuple(number), edges, depths(edges, len(number)), None)


def closed_edges(closed: Any, n_edges: int) -> np.ndarray:
    """Return which edges (n_edges,) are closed for all rows; marked ones are not."""
    if closed is None:
        return np.zeros(n_edges, dtype=bool)
    if isinstance(closed, (FromContext, str)) or not hasattr(closed, "__len__"):
        raise ValueError(f"closed must have one entry per edge, {n_edges} in all, got {closed!r}.")
    if len(closed) != n_edges:
        raise ValueError(
            f"closed must have one entry per edge, {n_edges} in all, not {len(closed)}."
        )
    found = np.zeros(n_edges, dtype=bool)
    for i, each in enumerate(closed):
        if isinstance(each, FromContext):
            continue
        if not isinstance(each, (bool, np.bool_, int, float, np.number)) or each != each:
            raise ValueError(
                f"closed must hold True, False or FromContext for each edge, got {each!r} for edge "
                f"{i}."
            )
        found[i] = bool(each)
    return found


@lru_cache(maxsize=16)
def paths_between(
    network: Network, source: int, target: int, closed: bytes
) -> AcyclicPaths | CyclicPaths:
    """Return the part of a graph on paths from source to target; the result is cached.

    `closed` holds a byte per edge, or none where all are open.
    """
    name = network.names
    if source == target:
        raise ValueError(f"source and target are the same node, {name[source]!r}.")
    is_open = np.ones((1, len(network.edges)), dtype=bool)
    if closed:
        is_open[0] = ~np.frombuffer(closed, dtype=bool)
    ends = np.array([source]), np.array([target])
    usable = network.flows.usable(is_open, *ends)[0]
    if not usable.any():
        raise ValueError(
            f"No path leads from node {name[source]!r} to node {name[target]!r}"
            + (" along open edges." if closed else ".")
        )
    if network.depth is None:
        return CyclicPaths(network.flows, source, target, usable.astype(np.float64))
    return AcyclicPaths.of(network.edges, network.depth, source, target, usable)
