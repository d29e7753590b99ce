"""Shortest paths in graphs whose edges have predicted lengths."""

from collections.abc import Hashable, Iterable, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.checks import flag, whole_number
from .._utils.grid import grid_edges
from .._utils.rows import as_float, as_numpy_rows, raise_at
from .._utils.scenario_models import values_and_weight
from ..rows import Optimum
from ..solvers.acyclic_paths import AcyclicPaths
from ..solvers.polytope import Polytope
from ._context import FromContext, columns_of, each_context, layer_by_context, position
from ._network import MOST_EXACT, CyclicPaths, Network, as_network, closed_edges, paths_between
from ._not_allowed import ALLOWED, in_chunks
from ._projected import raised_to_0
from .linear_cost import LinearCostProblem
from .linear_program import LinearProgram

if TYPE_CHECKING:
    from torch import nn


class ShortestPathProblem(LinearCostProblem):
    r"""Go from a source to a target along the edges of a directed graph.

    The parameters are the lengths (times, costs) of the edges; a decision holds a 1 for each edge
    that is used. Edges are directed: a two-way road is two of them. There may be parallel edges, of
    which the shortest is used.

    Parameters
    ----------
    edges : array-like of shape (n_edges, 2), or sequence of pairs
        Start and end of each edge. Names of nodes are integers or other hashable objects, such as
        strings or tuples, but not floats.
    source, target : node or FromContext, default=None
        The nodes at which the path starts and ends. None is the smallest and the largest node,
        where names are integers. A column of the context holds the name of a node where names are
        integers, and otherwise its position in :attr:`nodes`.
    closed : sequence of n_edges entries (bool or FromContext), default=None
        True where an edge must not be used. FromContext where that differs by row: the edge is
        closed where the context is not 0. None leaves all edges open. Lengths of closed edges are
        ignored, but must be numbers.

    Attributes
    ----------
    nodes : list
        Names of the nodes.
    nonnegative : bool
        True where the graph has a cycle, even if some of its edges are closed: negative observed
        lengths are then an error.

    See Also
    --------
    LinearProgram : Paths with further constraints.
    dfl_sklearn.datasets.make_shortest_path : Travel times to try it on.

    Notes
    -----
    *Without cycles* lengths may be negative. Where there are few paths they are listed once, and
    the best one is looked up. Otherwise it is found by dynamic programming, for all rows together.

    *With cycles* observed lengths must be at least 0. Paths are found by Dijkstra's algorithm, many
    rows in one search. They never pass a node twice, even if edges have length 0. Predicted lengths
    may nevertheless be negative:

    * :meth:`solve` replaces negative lengths by 0; decisions of estimators and metrics call it, so
      the same holds for them. :meth:`project_parameters` does the same to generated lengths.
    * :meth:`solve_rows`, which losses call in training with predicted lengths or combinations of
      predicted and observed ones, takes lengths as they are. To find the best path that passes no
      node twice is then NP-hard. Instead the best decision in a larger set is found exactly: a
      path plus any cycles, where each edge is used at most once (a minimum-cost flow, by successive
      shortest paths). For lengths of at least 0 the least cost over both sets is the same.
      Therefore :class:`~dfl_sklearn.losses.SPOPlusLoss` remains convex, is 0 where predictions are
      right, and bounds the regret of decisions where predictions are at least 0.

    The linear program (:meth:`as_linear_program`) and the decision layer are for the larger set:
    one unit of flow from source to target. Edges that are on no walk from source to target, or that
    lead into the source or out of the target, are fixed at 0.

    Examples
    --------
    >>> from dfl_sklearn.problems import FromContext, ShortestPathProblem
    >>> problem = ShortestPathProblem([[0, 1], [1, 3], [0, 2], [2, 3]])
    >>> problem.solve([[1.0, 1.0, 2.0, 3.0], [5.0, 1.0, 2.0, 3.0]])
    array([[1., 1., 0., 0.],
           [0., 0., 1., 1.]])

    Two-way roads between named places, one of which is closed on some days:

    >>> roads = [("home", "bridge"), ("bridge", "work"), ("home", "work")]
    >>> roads += [(end, start) for start, end in roads]
    >>> closed = [FromContext(0)] + [False] * 5
    >>> problem = ShortestPathProblem(roads, source="home", target="work", closed=closed)
    >>> minutes = [[3.0, 4.0, 9.0, 3.0, 4.0, 9.0]] * 2
    >>> problem.solve(minutes, context=[0, 1])
    array([[1., 1., 0., 0., 0., 0.],
           [0., 0., 1., 0., 0., 0.]])
    """

    def __init__(
        self,
        edges: ArrayLike | Iterable[tuple[Hashable, Hashable]],
        source: Any = None,
        target: Any = None,
        *,
        closed: Any = None,
    ) -> None:
        self.edges = edges
        self.source = source
        self.target = target
        self.closed = closed

    @classmethod
    def grid(cls, n_rows: int, n_columns: int, *, two_way: bool = False) -> "ShortestPathProblem":
        """Return the problem on a grid, from the upper left corner to the lower right one.

        Edges go right and down. They are numbered row by row: those within a row from left to
        right, then those to the row below.

        Parameters
        ----------
        n_rows, n_columns : int
            Numbers of nodes, at least 1 and not both 1.
        two_way : bool, default=False
            Whether edges go left and up as well. These come after the others, in the same order.

        Returns
        -------
        ShortestPathProblem
            The problem with ``source=None`` and ``target=None``, the first and the last node.
        """
        whole_number(n_rows, "n_rows", at_least=1)
        whole_number(n_columns, "n_columns", at_least=1)
        flag(two_way, "two_way")
        if n_rows * n_columns < 2:
            raise ValueError(f"A grid of {n_rows} x {n_columns} nodes has no path.")
        edges = grid_edges(n_rows, n_columns)
        return cls(np.concatenate([edges, edges[:, ::-1]]) if two_way else edges)

    @property
    def nodes(self) -> list[Hashable]:
        """Names of the nodes: sorted where they are integers, else as they first occur in edges.

        Where names are not integers, a column of the context holds positions in this list.
        """
        return list(self._network().names)

    @property
    def nonnegative(self) -> bool:  # type: ignore[override]
        """Whether negative observed lengths are an error, which is so in graphs with a cycle."""
        return self._network().has_cycle

    def context_columns(self) -> list[str | int]:
        """Return the columns that source, target and closed edges are read from, in order."""
        # Without a search through edges, of which there may be many.
        return columns_of({name: getattr(self, name) for name in ("source", "target", "closed")})

    # -- the graph -----------------------------------------------------------------------

    def _network(self) -> Network:
        return as_network(self.edges)

    def _end(self, network: Network, what: str) -> int:
        """Return the number of the source or the target, where it is the same for all rows."""
        name = getattr(self, what)
        if name is not None:
            return network.number(name, what)
        if network.sorted_names is None:
            raise ValueError(f"{what} is needed: only integers have a smallest and a largest.")
        return 0 if what == "source" else network.n_nodes - 1

    def _graph(self) -> AcyclicPaths | CyclicPaths:
        """Return the graph between source and target, where nothing is read from the context."""
        network = self._network()
        source, target = self._end(network, "source"), self._end(network, "target")
        closed = b""
        if self.closed is not None:
            is_closed = closed_edges(self.closed, len(network.edges))
            closed = is_closed.tobytes() if is_closed.any() else b""
        return paths_between(network, source, target, closed)

    def _is_marked(self, what: str) -> bool:
        return isinstance(getattr(self, what), FromContext)

    def _check_constants(self) -> None:
        if not self.context_columns():
            self._graph()
            return
        network = self._network()
        closed_edges(self.closed, len(network.edges))
        for what in ("source", "target"):
            if not self._is_marked(what):
                self._end(network, what)
            elif network.largest_name > MOST_EXACT:
                raise ValueError(
                    f"{what} cannot be read from a context, which holds floats: nodes have names "
                    "beyond 2^53. Number them from 0."
                )

    def _check_context_values(self, context: np.ndarray) -> None:
        self._places(context)

    def _places(self, context: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return source, target (n,) and usable edges (n, n_edges) of each row of the context.

        Raises
        ------
        ValueError
            If a node is not in the graph, or no path is open; the message names the row.
        """
        network, columns = self._network(), self.context_columns()
        read = context[:, [position(FromContext(each), columns) for each in columns]]
        distinct, group = np.unique(read, axis=0, return_inverse=True)
        group = group.ravel()
        known = {column: distinct[:, i] for i, column in enumerate(columns)}
        source, target = (self._ends(network, what, known, group) for what in ("source", "target"))
        is_open = np.tile(~closed_edges(self.closed, len(network.edges)), (len(distinct), 1))
        for i, each in enumerate([] if self.closed is None else self.closed):
            if isinstance(each, FromContext):
                is_open[:, i] = known[each.column] == 0
        same = (source == target)[group]
        if same.any():
            row = int(same.argmax())
            name = network.names[source[group[row]]]
            raise ValueError(
                f"source and target are the same node, {name!r}, at row {row} of the context."
            )
        usable = network.flows.usable(is_open, source, target)
        cut_off = (usable.sum(axis=1) == 0)[group]
        if cut_off.any():
            row = int(cut_off.argmax())
            start, end = (network.names[each[group[row]]] for each in (source, target))
            raise ValueError(
                f"No path leads from node {start!r} to node {end!r} along open edges at row {row} "
                "of the context. Open some, or leave such rows out."
            )
        return source[group], target[group], usable[group]

    def _ends(
        self,
        network: Network,
        what: str,
        known: dict[str | int, np.ndarray],
        group: np.ndarray,
    ) -> np.ndarray:
        """Return the sources or targets (k,) of distinct contexts, whose columns are `known`.

        `group` (n,) says which of these contexts each row has.
        """
        marker = getattr(self, what)
        if not isinstance(marker, FromContext):
            n_distinct = int(group.max(initial=-1)) + 1
            return np.full(n_distinct, self._end(network, what))
        values = known[marker.column]
        numbers, is_node = network.numbers(values)
        if not is_node.all():
            is_named = network.sorted_names is not None
            raise_at(
                ~is_node[group],
                values[group],
                f"{what} in context column {marker.column!r}",
                "is not a node of edges",
                "Give the name of a node."
                if is_named
                else f"Give positions in nodes, from 0 to {network.n_nodes - 1}.",
            )
        return numbers

    # -- methods without checks ----------------------------------------------------------

    def _n_parameters(self) -> int:
        return len(self.edges) if isinstance(self.edges, Sized) else len(self._network().edges)

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked.

        On graphs with cycles, rows with negative lengths may have cycles beside the path where that
        lowers the cost, as losses need in training. :meth:`solve` replaces negative lengths by 0
        instead.
        """
        if context is None:
            return self._graph().solve(y)
        return self._network().solve_each(y, *self._places(context))

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the path (n, k) of least mean length over scenarios y (n, S, d), unchecked.

        On graphs with cycles, negative means are replaced by 0.
        """
        mean = np.einsum("ns,nsd->nd", weight, y)
        return self.solve_rows(np.maximum(mean, 0.0) if self.nonnegative else mean, context)

    # -- methods for users ---------------------------------------------------------------

    def solve(self, y: Any, *, context: Any = None, scenario_weight: Any = None) -> np.ndarray:
        """Return the best path for lengths `y`. It never passes a node twice.

        Parameters
        ----------
        y : array-like of shape (n, d) or (n, S, d), or Scenarios
            Lengths, observed or predicted. On graphs with cycles, negative ones are replaced by 0;
            with S scenarios, negative means are.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where something is read from it.
        scenario_weight : array-like of shape (S,) or (n, S), default=None
            Non-negative weights of the scenarios.

        Returns
        -------
        ndarray of shape (n, d)
            One decision per row.

        Raises
        ------
        ValueError
            If `y` is not finite or has the wrong shape, or if no path is open; the message names
            the row.
        """
        y, scenario_weight = values_and_weight(y, scenario_weight, "y")
        values = as_float(y, "y")
        if values.ndim < 3 and self.nonnegative:
            values = np.where((values < 0) & np.isfinite(values), 0.0, values)
        return super().solve(values, context=context, scenario_weight=scenario_weight)

    def optimum(self, y: Any, *, context: Any = None) -> Optimum:
        """Return the best paths for the rows of `y` together with their length.

        On graphs with cycles, negative lengths are an error.
        """
        self._refuse_negative(y)
        return super().optimum(y, context=context)

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row of a negative length on a graph with cycles."""
        super().check_parameters(y)
        self._refuse_negative(y)

    def _refuse_negative(self, y: Any) -> None:
        if not self.nonnegative:
            return
        rows = as_numpy_rows(y, "y")
        bad = (rows < 0) & np.isfinite(rows)
        if bad.any():
            raise_at(
                bad,
                rows,
                "y",
                "is a negative length",
                "In a graph with cycles, observed lengths must be at least 0: correct it.",
            )

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated lengths to 0 on a graph with cycles, and report the share."""
        values, _ = super().project_parameters(y)
        return raised_to_0(values) if self.nonnegative else (values, 0.0)

    def as_linear_program(self, n_decisions: int | None = None) -> LinearProgram:
        """Return the same problem as a :class:`LinearProgram`, to inspect or to extend it.

        On graphs with cycles it allows cycles beside the path, which lower the cost only where
        lengths are negative.

        Parameters
        ----------
        n_decisions : int, default=None
            Not needed here.

        Raises
        ------
        ValueError
            If something is read from the context: the program then differs by row.
        """
        columns = self.context_columns()
        if columns:
            raise ValueError(
                f"ShortestPathProblem is a different linear program in each row: it reads "
                f"{', '.join(map(repr, columns))} from the context. Set source, target and closed "
                "to those of one row."
            )
        return super().as_linear_program(n_decisions)

    def is_feasible(
        self,
        decisions: Any,
        y: Any = None,
        *,
        context: Any = None,
        tol: float = 1e-6,
        atol: float | None = None,
    ) -> np.ndarray:
        """Return, for each row, whether the edges used are a path from source to target.

        Parameters
        ----------
        decisions : array-like of shape (n, d)
            What was decided.
        y : array-like, default=None
            Only its shape is checked.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where something is read from it.
        tol : float, default=1e-6
            By how much entries may differ from 0 and 1.
        atol : float, default=None
            By how much more the balance of a node may be off, as in :class:`LinearProgram`.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision is a path; False also where the path passes a node twice, or where
            there is a cycle beside it.
        """
        z = self._decision_rows(decisions, y, context, tol)
        if self.context_columns():
            return each_context(
                self,
                self._check_context(context, len(z)),
                lambda problem, rows: problem.is_feasible(rows, tol=tol, atol=atol),
                z,
            )
        found = super().is_feasible(z, tol=tol, atol=atol)
        return found & (self._network().n_on_cycles(z) == 0)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed.

        Parameters
        ----------
        decisions : array-like of shape (n, d)
            What was decided.
        y : None
            Ignored.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where something is read from it.

        Returns
        -------
        ndarray of shape (n, n_nodes + d) or (n, n_nodes + d + 1)
            0 where a constraint holds. The columns are the balance of each node, in the order of
            :attr:`nodes`; for each edge the violation of its bounds or, if that is larger, its
            distance from an integer; and, in graphs with cycles, the number of used edges that lie
            on cycles.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        if self.context_columns():
            return each_context(
                self,
                self._check_context(context, len(z)),
                lambda problem, rows: problem.violation(rows),
                z,
            )
        missed = super().violation(z)
        if not self.nonnegative:
            return missed
        return np.column_stack([missed, self._network().n_on_cycles(z)])

    def _misses(self, z: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        network = self._network()
        if context is None:
            part = self._polytope(z.shape[1])
        else:
            part = self._polytope_of_places(*self._places(context))

        def some(rows: np.ndarray) -> np.ndarray:
            on_cycle = network.n_on_cycles(z[rows])
            misses = part.for_rows(rows).misses(z[rows], ALLOWED)
            return np.column_stack([misses, on_cycle > 0])

        return in_chunks(some, len(z), network.n_nodes + z.shape[1] + 1)

    def _polytope_of_places(
        self, source: np.ndarray, target: np.ndarray, usable: np.ndarray
    ) -> Polytope:
        """Return the flows from sources to targets (n,) along usable edges (n, n_edges)."""
        network, rows = self._network(), np.arange(len(source))
        flow = np.zeros((len(rows), network.n_nodes))
        flow[rows, source], flow[rows, target] = 1.0, -1.0
        part = Polytope.of(usable.shape[1], eq=(network.balance, flow[0]), integral=True)
        return part.replace(
            b_ub=np.zeros((len(rows), 0)),
            b_eq=flow,
            lower=np.zeros(usable.shape),
            upper=usable.astype(np.float64),
        )

    def _names_in_errors(self, polytope: Polytope) -> list[str]:
        return [f"the flow out of node {each!r} less that into it" for each in self.nodes]

    def _polytope(self, n: int) -> Polytope:
        graph, network = self._graph(), self._network()
        flow = np.zeros(network.n_nodes)
        flow[graph.source], flow[graph.target] = 1.0, -1.0
        return Polytope.of(n, eq=(network.balance, flow), upper=graph.on_a_path, integral=True)

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        if not self.context_columns():
            return super()._decision_layer(smoothing)
        return layer_by_context(self, smoothing)
