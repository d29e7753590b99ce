"""Battery storage: when to charge and when to discharge, at predicted prices."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from .._utils.checks import number, smoothing_number
from .._utils.equal_rows import equal_rows
from .._utils.rows import as_numpy_rows
from ..solvers.polytope import Polytope
from ..solvers.storage import (
    Store,
    UnprovenScheduleError,
    best_schedule,
    limits_missed,
    shares_missed,
)
from ._context import FromContext, is_marked
from ._marked import as_those_of, check_marked
from ._nearest import by_context, in_polytope, in_polytopes
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_SMOOTHING = 1.0
_ALLOWED = 1e-6  # share of a limit by which a decision with a cost may miss it
_KINDS = ("charge", "discharge", "state")

# Valid values of each number: limits for `number`, a test of rows, and words for the error.
_WANTED: dict[str, tuple[dict[str, float], Any, str]] = {
    **{
        name: ({"at_least": 0}, lambda values: values >= 0, "0 or more")
        for name in ("capacity", "max_charge", "max_discharge", "initial_state", "state_penalty")
    },
    "efficiency": (
        {"above": 0, "at_most": 1},
        lambda values: (values > 0) & (values <= 1),
        "above 0 and at most 1",
    ),
    "rate_penalty": ({"above": 0}, lambda values: values > 0, "positive"),
}


class StorageProblem(DecisionProblem):
    r"""Charge and discharge a battery before the prices of the day are known.

    The parameters are the prices y of T periods, such as the hours of a day. The decision is the
    energy c that is bought and charged in each period, followed by the energy d that is discharged
    and sold: :math:`z = (c_1, \dots, c_T, d_1, \dots, d_T)`. With the state s of the battery, the
    cost is

    .. math:: \sum_{t=1}^T y_t (c_t - d_t) + \alpha \, (s_t - C / 2)^2
       + \beta \, (c_t^2 + d_t^2),
       \qquad s_t = s_{t-1} + \eta \, c_t - d_t,

    with :math:`0 \le s_t \le C`, :math:`0 \le c_t \le c_{\max}` and
    :math:`0 \le d_t \le d_{\max}`. The terms are the payment on the market, a charge for leaving
    the middle of the range, where the battery could serve in both directions, and a charge for wear
    (Donti et al., 2017). Defaults are those of the benchmark of Yeh et al. (2024).

    Parameters
    ----------
    capacity : float or FromContext, default=1
        C, the largest energy that can be stored, 0 or more.
    max_charge, max_discharge : float or FromContext, default=0.5 and 0.2
        :math:`c_{\max}` and :math:`d_{\max}`, in energy per period, 0 or more.
    efficiency : float or FromContext, default=0.9
        :math:`\eta`, the share of charged energy that is stored; above 0 and at most 1.
    initial_state : float, FromContext or None, default=None
        :math:`s_0`, the energy stored at the start, from 0 to the capacity. None is half of the
        capacity.
    state_penalty : float or FromContext, default=0.1
        :math:`\alpha`, in cost per squared unit of energy, 0 or more.
    rate_penalty : float or FromContext, default=0.05
        :math:`\beta`, in cost per squared unit of energy, positive, which makes the best schedule
        unique.

    See Also
    --------
    dfl_sklearn.datasets.fetch_storage_prices : Prices to try it on.

    Notes
    -----
    Charging and discharging in the same period is allowed, as in the published benchmark, which
    makes the problem convex. It pays only where a price is negative, since losses then earn money.

    Schedules are exact. The least cost of the rest of the day is a convex, piecewise quadratic
    function of the state. It is computed backwards from the last period, for all rows at once. Each
    schedule is checked: dual values prove that none is cheaper, up to rounding. Rows that fail are
    solved again in exact arithmetic; a row that fails again is named in an error.

    The cost is linear in the prices for a given schedule. A decision therefore needs only the
    conditional mean of the prices, and several scenarios are solved for by their mean.

    References
    ----------
    Donti, Amos, Kolter, "Task-based end-to-end model learning in stochastic optimization",
    NeurIPS 2017, section 4.3.
    Yeh, Christianson, Wu, Wierman, Yue, "End-to-end conformal calibration for optimization under
    uncertainty", arXiv:2409.20534, 2024.

    Examples
    --------
    >>> from dfl_sklearn.problems import StorageProblem
    >>> problem = StorageProblem()
    >>> z = problem.solve([[20.0, 30.0, 60.0, 40.0]])
    >>> z.round(3)  # charge in each of four periods, then discharge in each of them
    array([[0.111, 0.   , 0.   , 0.   , 0.   , 0.2  , 0.2  , 0.2  ]])
    >>> problem.states(z).round(3)
    array([[0.6, 0.4, 0.2, 0. ]])

    With an initial state that is known for each day:

    >>> from dfl_sklearn.problems import FromContext
    >>> problem = StorageProblem(initial_state=FromContext(0))
    >>> problem.solve([[20.0, 60.0]] * 2, context=[0.0, 1.0]).round(3)
    array([[0.222, 0.   , 0.   , 0.2  ],
           [0.   , 0.   , 0.2  , 0.2  ]])
    """

    convex_decisions = True
    exact_scenarios = True  # y enters linearly, so the mean that the base solves for is enough
    decision_average = "decisions"

    def __init__(
        self,
        capacity: float | FromContext = 1.0,
        max_charge: float | FromContext = 0.5,
        max_discharge: float | FromContext = 0.2,
        efficiency: float | FromContext = 0.9,
        initial_state: float | FromContext | None = None,
        state_penalty: float | FromContext = 0.1,
        rate_penalty: float | FromContext = 0.05,
    ) -> None:
        self.capacity = capacity
        self.max_charge = max_charge
        self.max_discharge = max_discharge
        self.efficiency = efficiency
        self.initial_state = initial_state
        self.state_penalty = state_penalty
        self.rate_penalty = rate_penalty

    # -- numbers -----------------------------------------------------------------------

    def _check_constants(self) -> None:
        for name, (limits, _, _) in _WANTED.items():
            value = getattr(self, name)
            if not (isinstance(value, FromContext) or (value is None and name == "initial_state")):
                number(value, name, **limits)  # type: ignore[arg-type]
        if isinstance(self.capacity, FromContext) or isinstance(self.initial_state, FromContext):
            return
        if self.initial_state is not None and self.initial_state > self.capacity:
            raise ValueError(
                f"initial_state must be at most the capacity, {self.capacity}, got "
                f"{self.initial_state}."
            )

    def _check_context_values(self, context: np.ndarray) -> None:
        for name, (_, fits, wanted) in _WANTED.items():
            check_marked(self, name, context, fits, wanted)
        if self.initial_state is None:
            return
        initial, capacity = (
            np.broadcast_to(self._known(each, context).reshape(-1), len(context))
            for each in (self.initial_state, self.capacity)
        )
        if (initial > capacity).any():
            i = int((initial > capacity).argmax())
            raise ValueError(
                f"initial_state is above the capacity at row {i} of the context: {initial[i]} and "
                f"{capacity[i]}."
            )

    def _numbers(self, context: Any) -> tuple[Any, ...]:
        """Return the numbers of a `Store`, of shape () where they are not read from the context."""
        known = {
            name: self._known(value, context)
            for name in Store._fields
            if (value := getattr(self, name)) is not None
        }
        known.setdefault("initial_state", known["capacity"] / 2)
        return tuple(known[name] for name in Store._fields)

    def _store(self, context: np.ndarray | None) -> Store:
        return Store(*(np.reshape(each, -1) for each in self._numbers(context)))

    def _check_width(self, width: int) -> None:
        if not width:
            raise ValueError(f"y has no columns; {type(self).__name__} takes prices of periods.")

    def _n_decisions(self, n_parameters: int) -> int:
        return 2 * n_parameters

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        try:
            schedule = best_schedule(y, self._store(context))
        except UnprovenScheduleError as error:
            raise ValueError(
                f"{type(self).__name__} has no schedule for row {error.row} of y that is proven "
                "to be best: its numbers are too large to be multiplied. Give prices and energy in "
                "units in which they are smaller."
            ) from error
        return np.concatenate([schedule.charge, schedule.discharge], axis=1)

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        capacity, _, _, efficiency, initial, pull, penalty = (
            xp.reshape(as_those_of(each, y), (-1, 1)) for each in self._numbers(context)
        )
        charge, discharge = decisions[:, : y.shape[1]], decisions[:, y.shape[1] :]
        state = initial + xp.cumulative_sum(efficiency * charge - discharge, axis=1)
        squares = pull * (state - capacity / 2) ** 2 + penalty * (charge**2 + discharge**2)
        return xp.sum(y * (charge - discharge) + squares, axis=1)

    def cost_slopes(
        self, decisions: np.ndarray, n_parameters: int, context: np.ndarray | None = None
    ) -> np.ndarray:
        """Return energy bought less energy sold (n, T): the slopes of the cost in the prices."""
        return decisions[:, :n_parameters] - decisions[:, n_parameters:]

    def solve_worst_rows(
        self, center: np.ndarray, root: np.ndarray, context: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the best schedules (n, 2 T) for the worst prices of boxes or ellipsoids."""
        from ..solvers.storage_sets import best_for_box, best_for_ellipsoid

        solve = best_for_box if root.ndim == 2 else best_for_ellipsoid
        decisions = np.empty((len(center), 2 * center.shape[1]))
        store = self._store(context)
        table = np.stack(np.broadcast_arrays(*store, np.zeros(len(center)))[:-1], axis=1)
        for rows in equal_rows(table):  # rows of the same store
            decisions[rows] = solve(center[rows], root[rows], store.of(rows[:1], len(center)))
        return decisions

    def states(self, decisions: Any, *, context: Any = None) -> np.ndarray:
        """Return the energy stored after each period.

        Parameters
        ----------
        decisions : array-like of shape (n, 2 T)
            Schedules: charges, then discharges.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, T)
            The energy stored after each period.
        """
        return self._store_and_rates(decisions, None, context, 0.0, "states")[2]

    # -- constraints -------------------------------------------------------------------

    def _store_and_rates(
        self, decisions: Any, y: Any, context: Any, tol: float, verb: str
    ) -> tuple[Store, tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Return the store, charge and discharge of decisions, and the states."""
        z = self._decision_rows(decisions, y, context, tol)
        if z.shape[1] % 2 or not z.shape[1]:
            raise ValueError(
                f"decisions have {z.shape[1]} columns; {verb} takes the charge and the discharge "
                "of each period, an even number."
            )
        store = self._store(self.context_rows(context, len(z)))
        charge, discharge = np.split(z, 2, axis=1)
        with np.errstate(invalid="ignore"):  # infinite rates
            return store, (charge, discharge), store.states(charge, discharge)

    def cost(self, decisions: Any, y: Any, *, context: Any = None) -> Any:
        """Return the realised cost; see :meth:`DecisionProblem.cost`.

        An infeasible schedule is an error.
        """
        costs = super().cost(decisions, y, context=context)
        if isinstance(costs, np.ndarray):
            self._check_limits(as_numpy_rows(decisions, "decisions"), len(costs), context)
        return costs

    def _check_limits(self, z: np.ndarray, n_rows: int, context: Any) -> None:
        """Raise a ValueError that names the row and period in which a limit is missed."""
        store = self._store(self.context_rows(context, n_rows))
        z = np.broadcast_to(z.astype(np.float64, copy=False), (n_rows, z.shape[1]))
        charge, discharge = np.split(z, 2, axis=1)
        bad = shares_missed(store, charge, discharge) > _ALLOWED
        if bad.any():
            i, j = (int(each) for each in np.argwhere(bad)[0])
            kind, period = divmod(j, charge.shape[1])
            values = (charge, discharge, store.states(charge, discharge))[kind]
            limits = (store.max_charge, store.max_discharge, store.capacity)[kind]
            raise ValueError(
                f"decisions have a {_KINDS[kind]} of {values[i, period]} at row {i}, period "
                f"{period}, outside of [0, {np.broadcast_to(limits, n_rows)[i]}]. Decide with "
                "solve()."
            )

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return, for each row, whether charge, discharge and states keep their limits.

        Parameters
        ----------
        decisions : array-like of shape (n, 2 T)
            What was decided.
        y : array-like of shape (n, T), default=None
            Only its shape is checked; limits do not depend on prices.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.
        tol : float, default=1e-6
            By how much a limit may be missed, as a share of its absolute terms. For a rate, these
            are the rate and its limit; for a state, the initial state, all energy moved so far,
            and the capacity.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision is feasible.
        """
        store, rates, state = self._store_and_rates(decisions, y, context, tol, "is_feasible")
        finite = np.isfinite(state).all(axis=1)
        charge, discharge = (np.where(finite[:, None], each, 0.0) for each in rates)
        return finite & (shares_missed(store, charge, discharge) <= tol).all(axis=1)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each limit is missed, in units of energy.

        Parameters
        ----------
        decisions : array-like of shape (n, 2 T)
            What was decided.
        y : array-like of shape (n, T), default=None
            Only its shape is checked; limits do not depend on prices.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, 3 T)
            0 where a limit is kept. The columns are the charges of the T periods, then the
            discharges, then the states.
        """
        store, rates, _ = self._store_and_rates(decisions, y, context, 0.0, "violation")
        with np.errstate(invalid="ignore"):
            return limits_missed(store, *rates)

    # -- relaxed decisions -------------------------------------------------------------

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best schedule as a function of predicted prices.

        `smoothing`, without unit, adds ``smoothing`` times the standard deviation of a row's prices
        to the penalty :math:`\beta` (default 1; 0 is the exact schedule). Prices usually differ by
        much more than the penalty on a rate, so the exact schedule charges and discharges at its
        limits. It is then constant in the predictions until it jumps, and training stalls.
        Schedules are computed on the CPU.
        """
        from ..layers.known_numbers import KnownNumbersLayer
        from ..layers.storage import StorageLayer

        smoothing = smoothing_number(smoothing, positive=False)
        self._check_constants()
        extra = _SMOOTHING if smoothing is None else smoothing
        if not self.takes_context:
            return StorageLayer(extra, self._store(None))
        return KnownNumbersLayer(StorageLayer(extra), partial(_columns, self))

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the nearest schedule, by a quadratic program.

        See :meth:`DecisionProblem.decision_projection`.
        """
        self._check_constants()
        if not self.takes_context:
            return in_polytope(
                self, lambda n: self._schedules(n, None).for_rows(0), 2 * n_parameters
            )
        if is_marked(self.efficiency):
            return by_context(self, n_parameters)
        return in_polytopes(self, self._schedules)

    def _schedules(self, n: int, context: np.ndarray | None) -> Polytope:
        """Return the sets of n charges and discharges, one for each row of a context (B, c)."""
        n_rows, n_periods = 1 if context is None else len(context), n // 2
        store = self._store(context).of(slice(None), n_rows)
        so_far = np.tri(n_periods)
        stored = np.concatenate([store.efficiency[0] * so_far, -so_far], axis=1)
        room, held = store.capacity - store.initial_state, store.initial_state
        most = np.stack([store.max_charge, store.max_discharge], axis=1)
        part = Polytope.of(n, ub=(np.concatenate([stored, -stored]), np.zeros(2 * n_periods)))
        return part.replace(
            b_ub=np.repeat(np.stack([room, held], axis=1), n_periods, axis=1),
            b_eq=np.zeros((n_rows, 0)),
            lower=np.zeros((n_rows, n)),
            upper=np.repeat(most, n_periods, axis=1),
        )


def _columns(problem: StorageProblem, context: Any) -> tuple[Any, ...]:
    """Return the numbers of a `Store` as tensors (B, 1)."""
    context = context.double()
    return tuple(
        as_those_of(each, context).reshape(-1, 1).expand(len(context), 1)
        for each in problem._numbers(context)
    )
