"""Weighted set multi-cover: sets of items that cover a predicted demand."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike
from scipy import sparse

from .._utils.checks import positive, smoothing_number
from .._utils.progress import counted
from .._utils.row_numbers import renumbered
from .._utils.rows import as_float, as_numpy_rows, raise_at
from ..solvers.linear_rows import solve_linear_rows
from ..solvers.polytope import Polytope
from ._marked import as_those_of, refuse_markers
from ._nearest import refuse_whole
from ._projected import raised_to_0
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_ALLOWED = 1e-6  # by how much a number of sets may be negative, or above its bound
_SMOOTHING = 0.01  # share of the mean cost of a set


class SetMultiCoverProblem(DecisionProblem):
    r"""Choose how many of each set to buy before the demand for the items is known.

    A set j contains :math:`a_{ij}` units of item i and costs :math:`c_j`. The decision is an
    integer :math:`z_j \ge 0` for each set, and the parameters y are the demand for the items. Each
    missing unit is bought separately at a price :math:`\pi_i`, so that the cost is

    .. math:: \sum_j c_j z_j + \sum_i \pi_i \Bigl( y_i - \sum_j a_{ij} z_j \Bigr)_+ .

    Parameters
    ----------
    incidence : array-like or sparse matrix of shape (n_items, n_sets)
        Units of each item in each set, 0 or more. Zeros and ones say which items a set covers.
    set_cost : float or array-like of shape (n_sets,)
        Cost of a set, positive.
    penalty : float or array-like of shape (n_items,)
        Cost of a missing unit, positive.
    upper : float or array-like of shape (n_sets,), default=None
        Largest number of each set that can be bought. None, or an infinite entry, is no limit.
    n_jobs : int, default=None
        Threads among which the rows are divided; None is 1, -1 all cores.

    See Also
    --------
    CoverageProblem : Reach as many targets as possible with k items.
    dfl_sklearn.datasets.make_set_multicover : Demand to try it on.

    Notes
    -----
    Each row is a mixed-integer program, solved to optimality by HiGHS
    (``pip install "dfl-sklearn[highs]"``) and checked. Negative predicted demand is taken as 0. The
    best decision for a known demand covers it, unless a set costs more than the units that would
    be missing without it.

    Scenarios are solved for exactly, as one such program, with a variable for each distinct demand
    of an item.

    A row takes milliseconds, which is slow for a loss that solves many rows in each step, such as
    :class:`~dfl_sklearn.losses.ScoreFunctionLoss`. :class:`~dfl_sklearn.losses.RegretLoss` uses the
    relaxed decision instead and solves no such program.

    References
    ----------
    Silvestri et al., "Score function gradient estimation to widen the applicability of
    decision-focused learning", Journal of Artificial Intelligence Research, 2026.

    Examples
    --------
    The third set holds both items.

    >>> from dfl_sklearn.problems import SetMultiCoverProblem
    >>> problem = SetMultiCoverProblem([[1, 0, 1], [0, 1, 1]], [3, 3, 4], penalty=10)
    >>> problem.solve([[2.0, 2.0], [3.0, 0.0]])
    array([[0., 0., 2.],
           [3., 0., 0.]])
    >>> problem.cost([[0.0, 0.0, 2.0]], [[2.0, 3.0]])
    array([18.])
    """

    nonnegative = True
    exact_scenarios = True
    most_scenarios = 200

    def __init__(
        self,
        incidence: ArrayLike,
        set_cost: ArrayLike,
        penalty: ArrayLike,
        *,
        upper: ArrayLike | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.incidence = incidence
        self.set_cost = set_cost
        self.penalty = penalty
        self.upper = upper
        self.n_jobs = n_jobs

    # -- numbers -----------------------------------------------------------------------

    def _matrix(self) -> np.ndarray:
        given: Any = self.incidence
        dense = given.toarray() if sparse.issparse(given) else given
        return as_float(dense, "incidence").astype(np.float64, copy=False)

    def _numbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return incidence (m, n), costs of sets (n,), penalties (m,) and upper bounds (n,)."""
        A = self._matrix()
        m, n = A.shape
        cost, penalty, upper = (
            np.broadcast_to(np.asarray(each, dtype=np.float64), size)
            for each, size in (
                (self.set_cost, n),
                (self.penalty, m),
                (np.inf if self.upper is None else self.upper, n),
            )
        )
        return A, cost, penalty, upper

    def _check_constants(self) -> None:
        refuse_markers(self)
        A = self._matrix()
        if A.ndim != 2 or not A.size:
            raise ValueError(f"incidence must have shape (n_items, n_sets), got {A.shape}.")
        bad = ~(np.isfinite(A) & (A >= 0))
        if bad.any():
            i, j = (int(each) for each in np.argwhere(bad)[0])
            raise ValueError(f"incidence must be finite and at least 0, got {A[i, j]} at {[i, j]}.")
        for name, size, what in (
            ("set_cost", A.shape[1], "set"),
            ("penalty", A.shape[0], "item"),
            ("upper", A.shape[1], "set"),
        ):
            value = getattr(self, name)
            if name == "upper":
                if value is None:
                    continue
                value = _without_ends(value)
            entries = positive(value, name, strictly=name != "upper")
            if entries.ndim and len(entries) != size:
                raise ValueError(
                    f"{name} must be a number or have one entry per {what}, shape ({size},), got "
                    f"{entries.shape}."
                )

    def _n_parameters(self) -> int:
        return self._matrix().shape[0]

    def _what_parameters_are(self) -> str:
        return "the demand for each item, a row of incidence"

    def _n_decisions(self, n_parameters: int) -> int:
        return self._matrix().shape[1]

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        A, cost, penalty, upper = self._numbers()
        m, n = A.shape
        # Demands are counts, which repeat; each distinct one is solved once.
        demand, which = np.unique(np.maximum(y, 0.0), axis=0, return_inverse=True)
        B = len(demand)
        # More of a set than covers all of its items is of no use.
        need = np.where(A > 0, np.ceil(demand[:, :, None] / np.where(A > 0, A, 1.0)), 0.0)
        most = np.minimum(need.max(axis=1), np.floor(upper))
        part = Polytope.of(
            n + m,
            ub=(sparse.hstack([-sparse.csr_array(A), -sparse.eye_array(m)]), np.zeros(m)),
            integral=np.arange(n + m) < n,
        ).replace(
            b_ub=-demand,
            b_eq=np.zeros((B, 0)),
            lower=np.zeros((B, n + m)),
            upper=np.concatenate([most, demand], axis=1),
        )
        costs = np.tile(np.concatenate([cost, penalty]), (B, 1))
        with np.errstate(over="ignore"):  # a bound may become infinite in these units
            z = solve_linear_rows(part, costs, n_jobs=self.n_jobs, name=type(self).__name__)
        return np.rint(z[:, :n])[which.ravel()]

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) of the least mean cost over y (n, S, d), unchecked."""
        z = np.empty((len(y), self._n_decisions(y.shape[2])))
        pairs = counted(zip(y, weight, strict=True), "rows solved over scenarios", len(y))
        for i, (scenarios, share) in enumerate(pairs):
            some = share > 0
            if some.sum() == 1:
                z[i] = self.solve_rows(scenarios[some])[0]
                continue
            with renumbered(np.array([i])):
                z[i] = self._cover(np.maximum(scenarios[some], 0.0), share[some])
        return z

    def _cover(self, demand: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the sets (n,) of the least mean cost over demands (S, m).

        The mean cost of the missing units of an item is convex and piecewise linear in the number
        covered. The units missing between two neighbouring demands are a variable, which costs its
        price times the probability of a demand that large.
        """
        A, cost, penalty, upper = self._numbers()
        m, n = A.shape
        need = np.where(A > 0, np.ceil(demand.max(axis=0)[:, None] / np.where(A > 0, A, 1.0)), 0.0)
        item, length, price = [], [], []
        for i in range(m):
            levels, place = np.unique(np.append(0.0, demand[:, i]), return_inverse=True)
            share = np.bincount(place.ravel()[1:], weights=weight, minlength=len(levels))
            asked_for = np.cumsum(share[::-1])[::-1][1:]  # probability of at least this demand
            item.append(np.full(len(levels) - 1, i))
            length.append(np.diff(levels))
            price.append(penalty[i] * asked_for)
        of, ends = np.concatenate(item), np.concatenate(length)
        k = len(of)
        missing = sparse.csr_array((np.ones(k), (of, np.arange(k))), shape=(m, k))
        part = Polytope.of(
            n + k,
            ub=(sparse.hstack([-sparse.csr_array(A), -missing]), -demand.max(axis=0)),
            upper=np.append(np.minimum(need.max(axis=0), np.floor(upper)), ends),
            integral=np.arange(n + k) < n,
        )
        costs = np.concatenate([cost, *price])[None]
        with np.errstate(over="ignore"):
            return np.rint(solve_linear_rows(part, costs, n_jobs=None, name=type(self).__name__))[
                0, :n
            ]

    def _missing(self, xp: Any, decisions: Any, y: Any) -> Any:
        """Return demand less the units covered, (n, m); negative where more is covered."""
        held = as_those_of(self._matrix(), y)
        return y - xp.sum(held[None] * decisions[:, None, :], axis=2)

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        _, cost, penalty, _ = self._numbers()
        missing = self._missing(xp, decisions, y)
        missing = xp.maximum(missing, xp.zeros_like(missing))
        paid = xp.sum(as_those_of(penalty.copy(), y) * missing, axis=1)
        return paid + xp.sum(as_those_of(cost.copy(), y) * decisions, axis=1)

    # -- constraints -------------------------------------------------------------------

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        upper = self._numbers()[3]
        bad = (decisions < -_ALLOWED) | (decisions > upper + _ALLOWED)
        if bad.any():
            what = "is a negative number of sets, or more than there are,"
            raise_at(bad, decisions, "decisions", what, "Use solve().")
        off = np.abs(decisions - np.rint(decisions)) > _ALLOWED
        if off.any():
            raise_at(off, decisions, "decisions", "is no whole number", "Use solve(), or round it.")

    def uncertain_constraints(self, decisions: Any, y: Any, context: Any = None) -> tuple[Any, Any]:
        """Return how much of each item is missing (n, m), and the demand, unchecked.

        It is negative where more than the demand is covered. See
        :meth:`DecisionProblem.uncertain_constraints`.
        """
        xp = array_namespace(decisions, y)
        missing = self._missing(xp, decisions, y)
        return missing, xp.abs(xp.zeros_like(missing) + y)

    def _off(self, z: np.ndarray) -> np.ndarray:
        """Return how far numbers of sets (n, k) are from feasible ones."""
        upper = np.floor(self._numbers()[3])
        return np.abs(z - np.clip(np.rint(z), 0.0, upper))

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        r"""Return, for each row, whether integer numbers of sets cover the demand.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, n_sets)
            What was decided.
        y : array-like of shape (n,) or (n, n_items), default=None
            The realised demand. Without it, only integrality and bounds are checked.
        context : None
            The problem takes none.
        tol : float, default=1e-6
            How far decisions may be from integers within their bounds, and how much of an item may
            be missing, as a share of the absolute terms, :math:`\sum_j a_{ij} |z_j| + |y_i|`.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision covers the demand. The best decision of :meth:`solve` can leave
            units missing; it is then not feasible.
        """
        z = self._decision_rows(decisions, y, context, tol)
        whole = np.isfinite(z).all(axis=1)
        z = np.where(whole[:, None], z, 0.0)
        whole &= (self._off(z) <= tol).all(axis=1)
        if y is None:
            return whole
        rows = as_numpy_rows(y, "y").astype(np.float64, copy=False)
        missing = self._missing(np, z, rows)
        return whole & (missing <= tol * (np.abs(z) @ self._matrix().T + np.abs(rows))).all(axis=1)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, n_sets)
            What was decided.
        y : array-like of shape (n,) or (n, n_items), default=None
            The realised demand.
        context : None
            The problem takes none.

        Returns
        -------
        ndarray of shape (n, n_items + n_sets) or, without y, (n, n_sets)
            The missing units of each item, if y is given, followed by the distance of each decision
            from an integer within its bounds.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        if y is None:
            return self._off(z)
        rows = as_numpy_rows(y, "y").astype(np.float64, copy=False)
        with np.errstate(invalid="ignore"):  # infinite decisions
            missing = np.maximum(self._missing(np, z, rows), 0.0)
            return np.concatenate([missing, self._off(z)], axis=1)

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row and column of a negative demand."""
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y")
        if (rows < 0).any():
            raise_at(rows < 0, rows, "y", "is a negative demand", "Correct it.")

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated demand to 0 and report the share of rows."""
        return raised_to_0(super().project_parameters(y)[0])

    # -- training ----------------------------------------------------------------------

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Raise a ValueError: policies cannot be trained for integer decisions."""
        refuse_whole(self)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best decision under the cost plus :math:`\gamma \|z\|^2`, relaxed.

        Integers are relaxed to real numbers. `smoothing` is :math:`\gamma`, positive, in units of
        cost per squared number of sets; None is a hundredth of the mean cost of a set. A small
        value is enough: the relaxed decision changes with the demand in any case, and
        :math:`\gamma` only chooses among sets that are equally good.
        """
        from ..layers.cover import CoverLayer

        why = ": without it, the relaxed decision need not be unique."
        smoothing = smoothing_number(smoothing, positive=True, why=why)
        self._check_constants()
        A, cost, penalty, upper = self._numbers()
        gamma = _SMOOTHING * float(cost.mean()) if smoothing is None else smoothing
        return CoverLayer(A, cost, penalty, np.floor(upper), gamma)


def _without_ends(upper: Any) -> Any:
    """Return bounds with infinite ones replaced by 0, to check the others."""
    try:
        numbers = np.asarray(upper, dtype=np.float64)
    except (TypeError, ValueError):
        return upper
    endless = numbers == np.inf
    return np.where(endless, 0.0, numbers) if endless.any() else upper
