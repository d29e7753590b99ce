"""Cheapest ways for one unit of flow through a graph with cycles, all rows together."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from .linear_rows import solve_linear_rows
from .polytope import Polytope

_CHUNK = 8192  # nodes, over all rows, that one search runs through
_TOLERANCE = 1e-9  # of the absolute terms of a cost, by which a flow may be off the cheapest one
_HUGE = 2.0**900  # costs whose sums might overflow


class UnitFlows:
    r"""A graph on which one unit flows from a source to a target.

    Flows are decisions :math:`z \in \{0, 1\}`, one per edge, with

    .. math:: \sum_{e \text{ from } v} z_e - \sum_{e \text{ to } v} z_e
       = [v = \text{source}] - [v = \text{target}].

    A flow consists of a path and of cycles. Where no cost is negative, a path is cheapest, and is
    found by Dijkstra's algorithm. Else cycles may lower the cost, and the flow is found by
    successive shortest paths: all edges of negative cost are used first; then the excess of each
    node is sent to nodes with a deficit, along shortest paths of the residual graph.

    A row's decision does not depend on the other rows.

    Parameters
    ----------
    edges : ndarray of shape (m, 2)
        Numbers of the nodes where each edge starts and ends; parallel edges and loops are allowed.
    n_nodes : int
    """

    def __init__(self, edges: np.ndarray, n_nodes: int) -> None:
        self.tail, self.head = np.ascontiguousarray(edges[:, 0]), np.ascontiguousarray(edges[:, 1])
        self.n_nodes, self.n_edges = n_nodes, len(edges)
        self._forward = _Arcs(self.tail, self.head, n_nodes)
        # An arc along each edge, then one back, on which a used edge is given up.
        self._residual = _Arcs(
            np.concatenate([self.tail, self.head]),
            np.concatenate([self.head, self.tail]),
            n_nodes,
        )
        self.balance = sparse.csr_array(
            (
                np.repeat([1.0, -1.0], self.n_edges),
                (np.concatenate([self.tail, self.head]), np.tile(np.arange(self.n_edges), 2)),
            ),
            shape=(n_nodes, self.n_edges),
        )

    def usable(self, is_open: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return which open edges (B, m) lie on a walk from source to target, each (B,).

        A walk that passes both once: edges into the source, out of the target, and loops are not
        among them.
        """
        into, out_of = self.head == source[:, None], self.tail == target[:, None]
        found = is_open & ~into & ~out_of & (self.tail != self.head)
        for part in self._chunks(len(found)):
            length = np.where(found[part], 1.0, np.inf)
            back = np.concatenate([np.full_like(length, np.inf), length], axis=1)
            is_behind = self._is_reached(self._forward, length, source[part])
            is_before = self._is_reached(self._residual, back, target[part])
            found[part] &= is_behind[:, self.tail] & is_before[:, self.head]
        return found

    def _is_reached(self, arcs: "_Arcs", lengths: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Return which nodes (B, n_nodes) can be reached from one node (B,) of each row."""
        return np.isfinite(arcs.distances(arcs.shortest(lengths), self._starts(node)))

    def _starts(self, node: np.ndarray) -> np.ndarray:
        is_start = np.zeros((len(node), self.n_nodes), dtype=bool)
        is_start[np.arange(len(node)), node] = True
        return is_start

    def cheapest(
        self, costs: np.ndarray, usable: np.ndarray, source: np.ndarray, target: np.ndarray
    ) -> np.ndarray:
        """Return the cheapest flow (B, m) of each row.

        Parameters
        ----------
        costs : ndarray of shape (B, m)
        usable : ndarray of bool of shape (B, m)
            As :meth:`usable` returns it; each row has some.
        source, target : ndarray of shape (B,)
        """
        z = np.zeros(costs.shape)
        is_negative = ((costs < 0) & usable).any(axis=1)
        for method, rows in (
            (self._paths, np.flatnonzero(~is_negative)),
            (self._flows, np.flatnonzero(is_negative)),
        ):
            for part in self._chunks(len(rows)):
                i = rows[part]
                z[i] = method(costs[i], usable[i], source[i], target[i])
        return z

    def _chunks(self, n_rows: int) -> Iterator[slice]:
        step = max(1, _CHUNK // self.n_nodes)
        return (slice(start, start + step) for start in range(0, n_rows, step))

    def _paths(
        self, costs: np.ndarray, usable: np.ndarray, source: np.ndarray, target: np.ndarray
    ) -> np.ndarray:
        """Return the cheapest path (B, m) of each row; no cost is negative."""
        rows, z = np.arange(len(costs)), np.zeros(costs.shape)
        costs = np.where(usable, costs, np.inf)
        _, arrives_by = self._forward.forest(costs, self._starts(source))
        for row, edge in self._forward.walk_back(costs, arrives_by, rows, target, source):
            z[row, edge] = 1.0
        return z

    def _flows(
        self, costs: np.ndarray, usable: np.ndarray, source: np.ndarray, target: np.ndarray
    ) -> np.ndarray:
        """Return the cheapest flow (B, m) of each row, whatever the signs of its costs.

        Each round sends one unit along a path of each tree of a forest of shortest paths. The trees
        have no node in common, so that their paths do not interfere.
        """
        n_rows, m = costs.shape
        costs = np.where(np.abs(costs).max(axis=1, keepdims=True) > _HUGE, costs * 2.0**-100, costs)
        used = (costs < 0) & usable
        excess = -(self.balance @ used.T.astype(np.float64)).T
        excess[np.arange(n_rows), source] += 1.0
        excess[np.arange(n_rows), target] -= 1.0
        potential = np.zeros((n_rows, self.n_nodes))
        while True:
            left = np.flatnonzero((excess > 0).any(axis=1))
            if not len(left):
                break
            reduced = self._reduced(costs[left], potential[left])
            ahead, back = usable[left] & ~used[left], usable[left] & used[left]
            arcs = np.concatenate(
                [
                    np.where(ahead, np.maximum(reduced, 0.0), np.inf),
                    np.where(back, np.maximum(-reduced, 0.0), np.inf),
                ],
                axis=1,
            )
            distance, arrives_by = self._residual.forest(arcs, excess[left] > 0)
            rows, root, node = self._nearest_deficits(excess[left] < 0, distance, arrives_by)
            farthest = np.zeros(len(left))
            np.maximum.at(farthest, rows, distance[rows, node])
            # No further than to the deficits that are met: potentials stay of the size of the costs
            # that are paid, however dear what lies beyond.
            potential[left] += np.minimum(distance, farthest[:, None])
            excess[left[rows], root] -= 1.0
            excess[left[rows], node] += 1.0
            for row, arc in self._residual.walk_back(arcs, arrives_by, rows, node, root):
                used[left[row], arc % m] = arc < m
        z = used.astype(np.float64)
        off = self._missed(costs, usable, used, potential)
        for i in np.flatnonzero(off > _TOLERANCE * np.where(used, np.abs(costs), 0.0).sum(axis=1)):
            z[i] = self._by_linear_program(costs[i], usable[i], source[i], target[i])
        return z

    def _reduced(self, costs: np.ndarray, potential: np.ndarray) -> np.ndarray:
        return costs + potential[:, self.tail] - potential[:, self.head]

    def _nearest_deficits(
        self, has_deficit: np.ndarray, distance: np.ndarray, arrives_by: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row, root and nearest node with a deficit, for each tree that has one.

        Parameters
        ----------
        has_deficit : ndarray of bool of shape (B, n_nodes)
        distance, arrives_by : ndarray of shape (B, n_nodes)
            A forest.
        """
        above = np.where(arrives_by >= 0, self._residual.tail[arrives_by], np.arange(self.n_nodes))
        while True:
            further = np.take_along_axis(above, above, axis=1)
            if (further == above).all():
                break
            above = further
        is_met = has_deficit & np.isfinite(distance)
        if not is_met.any(axis=1).all():
            raise RuntimeError("A unit cannot go anywhere: no edge is usable, or costs are NaN.")
        rows, node = np.nonzero(is_met)
        root = above[rows, node]
        order = np.lexsort((node, distance[rows, node], root, rows))
        rows, node, root = rows[order], node[order], root[order]
        is_first = np.append(True, (np.diff(rows) != 0) | (np.diff(root) != 0))
        return rows[is_first], root[is_first], node[is_first]

    # -- proof ---------------------------------------------------------------------------

    def _missed(
        self, costs: np.ndarray, usable: np.ndarray, used: np.ndarray, potential: np.ndarray
    ) -> np.ndarray:
        """Return by how much (B,) flows may cost more than the cheapest ones, by duality."""
        reduced = self._reduced(costs, potential)
        off = np.where(used, np.maximum(reduced, 0.0), np.maximum(-reduced, 0.0))
        return np.where(usable, off, 0.0).sum(axis=1)

    def _by_linear_program(
        self, costs: np.ndarray, usable: np.ndarray, source: int, target: int
    ) -> np.ndarray:
        """Return the cheapest flow (m,) where rounding leaves the one found unproven."""
        found = solve_linear_rows(
            self.polytope(usable, source, target), costs[None], n_jobs=None, name="a shortest path"
        )
        return np.rint(found[0])

    def polytope(self, usable: np.ndarray, source: int, target: int) -> Polytope:
        """Return all flows from source to target along usable edges (m,), parts included."""
        flow = np.zeros(self.n_nodes)
        flow[source], flow[target] = 1.0, -1.0
        return Polytope.of(self.n_edges, eq=(self.balance, flow), upper=usable.astype(np.float64))


class _Arcs:
    """Arcs between numbered nodes, of which the shortest from one node to another counts.

    Rows of lengths are put side by side as one graph, so that one search serves many rows.

    Attributes
    ----------
    tail, head : ndarray of shape (p,)
        The pairs of nodes that arcs lead from and to, sorted.
    order : ndarray of shape (n_arcs,)
        The arcs, sorted by pair; those of pair i are ``order[first[i]:first[i + 1]]``.
    first : ndarray of shape (p + 1,)
    """

    def __init__(self, tail: np.ndarray, head: np.ndarray, n_nodes: int) -> None:
        self.n_nodes = n_nodes
        key = tail * n_nodes + head
        self.order = np.argsort(key, kind="stable")
        distinct, counts = np.unique(key, return_counts=True)
        self.tail, self.head = distinct // n_nodes, distinct % n_nodes
        self.first = np.append(0, np.cumsum(counts))
        self.most = int(counts.max())
        self._blocks: tuple[int, np.ndarray, np.ndarray] = (0, self.order, self.order)

    def shortest(self, lengths: np.ndarray) -> np.ndarray:
        """Return the length (B, p) of each pair's shortest arc, of lengths (B, n_arcs)."""
        sorted_lengths = lengths[:, self.order]
        if self.most == 1:
            return sorted_lengths
        return np.minimum.reduceat(sorted_lengths, self.first[:-1], axis=1)

    def distances(self, lengths: np.ndarray, is_start: np.ndarray) -> np.ndarray:
        """Return the distance (B, n_nodes) from the nearest start.

        Parameters
        ----------
        lengths : ndarray of shape (B, p)
            Not negative; infinite where there is no way.
        is_start : ndarray of bool of shape (B, n_nodes)
            Some in each row.
        """
        n_rows, n = len(lengths), self.n_nodes
        columns, ends = self._side_by_side(n_rows)
        graph = sparse.csr_array((lengths.ravel(), columns, ends), shape=(n_rows * n, n_rows * n))
        found = dijkstra(graph, indices=np.flatnonzero(is_start), min_only=True)
        return found.reshape(n_rows, n)

    def _side_by_side(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where the pairs of each row lead, and where those of each node begin."""
        n, p = self.n_nodes, len(self.tail)
        most, columns, ends = self._blocks
        if most < n_rows:
            row = np.arange(n_rows, dtype=np.int32)[:, None]
            starts = np.searchsorted(self.tail, np.arange(n)).astype(np.int32)
            ends = np.append((starts + p * row).ravel(), np.int32(n_rows * p))
            columns = (self.head.astype(np.int32) + n * row).ravel()
            self._blocks = n_rows, columns, ends
        return columns[: n_rows * p], ends[: n_rows * n + 1]

    def forest(self, lengths: np.ndarray, is_start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distances from the nearest start, and the pair by which each node is reached.

        Parameters
        ----------
        lengths : ndarray of shape (B, n_arcs)
            Not negative; infinite where there is no way.
        is_start : ndarray of bool of shape (B, n_nodes)

        Returns
        -------
        distance : ndarray of shape (B, n_nodes)
        arrives_by : ndarray of shape (B, n_nodes)
            Numbers of pairs, -1 at starts and where no way leads.
        """
        length = self.shortest(lengths)
        distance = self.distances(length, is_start)
        before, after = distance[:, self.tail], distance[:, self.head]
        is_tight = (before + length == after) & np.isfinite(after) & ~is_start[:, self.head]
        # The trees of SciPy depend, among equal distances, on the other rows. So that these do not,
        # a node is reached from the first one that is nearer or, where steps of no length lead to
        # it, in as few of them as it takes.
        rows, pairs = np.nonzero(is_tight)
        arrives_by = np.full(distance.shape, -1)
        reached = is_start.copy()
        ready = is_start[rows, self.tail[pairs]] | (before[rows, pairs] < after[rows, pairs])
        while ready.any():
            row, pair = rows[ready][::-1], pairs[ready][::-1]  # the first is written last
            arrives_by[row, self.head[pair]] = pair
            reached[row, self.head[pair]] = True
            left = ~reached[rows, self.head[pairs]]
            rows, pairs = rows[left], pairs[left]
            ready = reached[rows, self.tail[pairs]]
        return distance, arrives_by

    def walk_back(
        self,
        lengths: np.ndarray,
        arrives_by: np.ndarray,
        rows: np.ndarray,
        node: np.ndarray,
        root: np.ndarray,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows and arcs on the way from nodes to their roots, (k,) each, a step at a time."""
        while len(rows):
            pair = arrives_by[rows, node]
            if pair.min() < 0:
                raise RuntimeError("A node cannot be reached: no edge is usable, or costs are NaN.")
            yield rows, self._arc(lengths, rows, pair)
            node = self.tail[pair]
            on = node != root
            rows, node, root = rows[on], node[on], root[on]

    def _arc(self, lengths: np.ndarray, rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Return the first of the shortest arcs (k,) of pairs (k,)."""
        first, last = self.first[pairs], self.first[pairs + 1] - 1
        found = self.order[first]
        for i in range(1, self.most):
            other = self.order[np.minimum(first + i, last)]
            found = np.where(lengths[rows, other] < lengths[rows, found], other, found)
        return found
