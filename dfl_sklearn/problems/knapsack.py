"""Knapsacks: the most valuable items that fit known resources."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.rows import as_float
from ..solvers.linear_rows import solve_linear_rows
from ..solvers.listed import least_costly
from ..solvers.polytope import Polytope
from ._context import FromContext, is_marked, stand_in
from ._limits import check_limits, has_limits
from .linear_cost import LinearCostProblem

_MOST_LISTED_ITEMS = 16  # items up to which all sets are listed, with a capacity per row
_MOST_SETS = 20_000  # most sets of items that are listed
_MOST_CELLS = 1 << 22  # cells of a table of values by item and capacity
_CHUNK = 1 << 22  # numbers in the largest temporary array
_ROUNDING = 1e-12  # share of a capacity by which it may be exceeded


class KnapsackProblem(LinearCostProblem):
    r"""Choose the items with the largest total value whose weights fit.

    .. math:: \max_z \; y^\top z \quad \text{with} \quad W z \le b, \quad z \in \{0, 1\}^n.

    The parameters are the values of the items, which may be negative; the cost is the negated
    value.

    Parameters
    ----------
    weights : array-like of shape (n_items,) or (n_resources, n_items)
        Amount of each resource that an item takes, at least 0.
    capacity : float, FromContext or array-like of shape (n_resources,)
        Amount of each resource that there is. It may differ by row: the number, or entries of a
        list, may be FromContext.
    n_jobs : int, default=None
        Threads among which the rows are divided where they are solved one by one; None is 1, -1
        all cores.
    time_limit : float, default=None
        Seconds for each row, where rows are solved one by one. With such a limit decisions may
        differ from run to run.
    mip_gap : float, default=0
        By how much the chosen items may be worth less than the best ones, as a share of their
        value, where rows are solved one by one.

    Attributes
    ----------
    exact : bool
        False where one of these limits is set. A warning then says for how many rows the best items
        were not proven, and how large the largest gap is.

    See Also
    --------
    UncertainKnapsackProblem : Unknown weights or capacities, known values.
    TopKProblem : A fixed number of items.
    LinearProgram : Other linear constraints.

    Notes
    -----
    There are three methods, which are all exact. Where there are few maximal sets, to which no
    further item fits, they are listed once, and the best one is looked up for each row. Where there
    is one resource with integer weights, rows are solved together by dynamic programming over the
    capacity. Otherwise each row is a mixed-integer program for HiGHS
    (``pip install "dfl-sklearn[highs]"``).

    Where the capacity is read from the context, rows are still solved together for up to 16 items
    or by dynamic programming. In other cases each row is a mixed-integer program.

    Examples
    --------
    >>> from dfl_sklearn.problems import KnapsackProblem
    >>> problem = KnapsackProblem(weights=[3, 4, 5], capacity=7)
    >>> problem.solve([[4.0, 5.0, 6.0], [1.0, 1.0, 9.0]])
    array([[1., 1., 0.],
           [0., 0., 1.]])

    A capacity that is known for each row:

    >>> from dfl_sklearn.problems import FromContext
    >>> problem = KnapsackProblem(weights=[3, 4, 5], capacity=FromContext(0))
    >>> problem.solve([[4.0, 5.0, 6.0], [4.0, 5.0, 6.0]], context=[7.0, 5.0])
    array([[1., 1., 0.],
           [0., 0., 1.]])
    """

    sense = "max"

    def __init__(
        self,
        weights: ArrayLike,
        capacity: float | FromContext | ArrayLike,
        *,
        n_jobs: int | None = None,
        time_limit: float | None = None,
        mip_gap: float = 0.0,
    ) -> None:
        self.weights = weights
        self.capacity: Any = capacity
        self.n_jobs = n_jobs
        self.time_limit = time_limit
        self.mip_gap = mip_gap

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the best items are found for sure: False where a limit may end the search."""
        return not has_limits(self.time_limit, self.mip_gap)

    def _constraints(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (m, n) and capacities (m,), 1 where they are read from the context."""
        parts = []
        for name, value in (("weights", self.weights), ("capacity", stand_in(self.capacity, 1.0))):
            parts.append(as_float(value, name).astype(np.float64, copy=False))
        return np.atleast_2d(parts[0]), np.atleast_1d(parts[1])

    def _check_constants(self) -> None:
        super()._check_constants()
        check_limits(self.time_limit, self.mip_gap)
        if is_marked(self.weights):
            raise ValueError(
                "weights cannot be read from the context; the capacity can. For other weights in "
                "each row use LinearProgram with integrality=1."
            )
        weights, capacity = self._constraints()
        if weights.ndim != 2 or not weights.size:
            raise ValueError(
                f"weights must have shape (n_items,) or (n_resources, n_items), got "
                f"{np.shape(self.weights)}."
            )
        if capacity.shape != (len(weights),):
            raise ValueError(
                f"capacity must have one entry per resource, shape ({len(weights)},), got "
                f"{np.shape(self.capacity)}."
            )
        for name, values in (("weights", weights), ("capacity", capacity)):
            bad = ~(np.isfinite(values) & (values >= 0))
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise ValueError(
                    f"{name} must be finite and at least 0, got {values[where]} at {list(where)}."
                )

    def _check_context_values(self, context: np.ndarray) -> None:
        capacity = self._known(self.capacity, context)
        if (capacity < 0).any():
            i, j = (int(each) for each in np.argwhere(capacity < 0)[0])
            which = f"capacity[{j}]" if capacity.shape[1] > 1 else "capacity"
            raise ValueError(
                f"{which} is negative at row {i} of the context: {capacity[i, j]}. Give 0 where "
                "there is nothing."
            )

    def _n_parameters(self) -> int:
        return self._constraints()[0].shape[1]

    def _polytope(self, n: int) -> Polytope:
        return Polytope.of(n, ub=self._constraints(), upper=1.0, integral=True)

    def _names_of_constraints(self, polytope: Polytope) -> list[str]:
        """Capacities, and bounds of the items; prices are those of the relaxed knapsack."""
        m, names = polytope.matrix.shape[0], super()._names_of_constraints(polytope)
        return [f"capacity[{i}]" if m > 1 else "capacity" for i in range(m)] + names[m:]

    @property
    def _shares_matrix(self) -> bool:
        return True

    def _polytope_rows(self, n: int, context: np.ndarray) -> Polytope:
        part, B = self._polytope(n), len(context)
        return part.replace(
            b_ub=self._known(self.capacity, context),
            b_eq=np.zeros((B, 0)),
            lower=np.broadcast_to(part.lower, (B, n)),
            upper=np.broadcast_to(part.upper, (B, n)),
        )

    def _marked_sides(self) -> dict[str, Any]:
        return {"b_ub": list(np.atleast_1d(np.asarray(self.capacity, dtype=object)))}

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        if context is not None:
            return self._solve_with_context(y, context)
        weights, capacity = self._constraints()
        sets = _largest_sets(weights.tobytes(), capacity.tobytes(), weights.shape[1])
        if sets is not None:
            # An item without value is left out of its set.
            return sets[least_costly(sets, -np.maximum(y, 0.0))] * (y > 0)
        # Above 2^53 all floats are integers.
        is_whole = len(weights) == 1 and (weights == np.rint(weights)).all()
        is_whole &= max(weights.max(), capacity[0]) < 2.0**53
        # Sums of weights may exceed a capacity by a rounding error, as in the other methods.
        whole = int(capacity[0] * (1 + _ROUNDING)) if is_whole else 0
        unit = np.gcd.reduce([*weights[0].astype(int), whole]) or 1 if is_whole else 1
        room = whole // unit
        if is_whole and (room + 1) * weights.shape[1] <= _MOST_CELLS:
            return _by_capacity((weights[0] // unit).astype(int), np.full(len(y), room), y)
        return self._by_integer_programs(self._polytope(y.shape[1]), y)

    def _solve_with_context(self, y: np.ndarray, context: np.ndarray) -> np.ndarray:
        """Solve rows that have their own capacity; the method does not depend on other rows."""
        weights, capacity = self._constraints()[0], self._known(self.capacity, context)
        n = weights.shape[1]
        if n <= _MOST_LISTED_ITEMS:
            sets = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)
            needed, room = sets @ weights.T, capacity * (1 + _ROUNDING)
            best = least_costly(
                sets,
                -np.maximum(y, 0.0),
                lambda rows: (needed <= room[rows, None]).all(axis=2),
            )
            return sets[best] * (y > 0)
        # Capacity beyond the weight of all items makes no difference.
        total = float(weights[0].sum())
        if len(weights) == 1 and (weights == np.rint(weights)).all() and total < 2.0**53:
            unit = np.gcd.reduce(weights[0].astype(int)) or 1
            if (total // unit + 1) * n <= _MOST_CELLS:
                room = np.minimum(capacity[:, 0] * (1 + _ROUNDING), total) // unit
                return _by_capacity((weights[0] // unit).astype(int), room.astype(int), y)
        return self._by_integer_programs(self._polytope_rows(n, context), y)

    def _by_integer_programs(self, polytope: Polytope, y: np.ndarray) -> np.ndarray:
        return solve_linear_rows(
            polytope,
            -y,
            n_jobs=self.n_jobs,
            name=type(self).__name__,
            time_limit=self.time_limit,
            mip_gap=self.mip_gap,
        )


@lru_cache(maxsize=8)
def _largest_sets(weights: bytes, capacity: bytes, n_items: int) -> np.ndarray | None:
    """Return all maximal sets (S, n) of items that fit, or None if there are many."""
    W, room = np.frombuffer(weights).reshape(-1, n_items), np.frombuffer(capacity)
    room = room * (1 + _ROUNDING)  # sums of weights have rounding errors
    sets, left = np.zeros((1, n_items), dtype=bool), room[None]
    for j in range(n_items):
        fits = (W[:, j] <= left).all(axis=1)
        if len(sets) + fits.sum() > 10 * _MOST_SETS:
            return None
        with_j = sets[fits].copy()
        with_j[:, j] = True
        sets = np.concatenate([sets, with_j])
        left = np.concatenate([left, left[fits] - W[:, j]])
    extends = np.zeros(len(sets), dtype=bool)
    for j in range(n_items):
        extends |= ~sets[:, j] & (W[:, j] <= left).all(axis=1)
    found = sets[~extends]
    return found.astype(np.float64) if len(found) <= _MOST_SETS else None


def _by_capacity(weights: np.ndarray, capacities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Solve by dynamic programming over the capacity; weights are integers.

    Rows have their own capacities (B,); the table is as long as the largest one needs.
    """
    z, capacity = np.zeros_like(y), int(capacities.max(initial=0))
    step = max(1, _CHUNK // ((capacity + 1) * len(weights)))
    for start in range(0, len(y), step):
        gain = y[start : start + step]
        value = np.zeros((len(gain), capacity + 1))
        taken = np.zeros((len(weights), *value.shape), dtype=bool)
        for j, weight in enumerate(weights):
            if weight > capacity:
                continue
            with_j = value[:, : capacity + 1 - weight] + gain[:, j, None]
            taken[j, :, weight:] = with_j > value[:, weight:]
            value[:, weight:] = np.maximum(value[:, weight:], with_j)
        rows, left = np.arange(len(gain)), capacities[start : start + step].copy()
        for j in range(len(weights) - 1, -1, -1):
            takes = taken[j, rows, left]
            z[start + rows[takes], j] = 1.0
            left = left - weights[j] * takes
    return z
