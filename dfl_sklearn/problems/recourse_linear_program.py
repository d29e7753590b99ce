"""Two-stage linear programs: a plan, and its recourse once the parameters are known."""

import pickle
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.checks import flag, smoothing_number
from .._utils.progress import counted
from .._utils.row_numbers import renumbered
from .._utils.rows import as_numpy_rows, raise_at
from ..solvers.linear import NoDecisionError
from ..solvers.polytope import Polytope
from ._domain import Domain
from ._limits import check_limits, has_limits
from ._nearest import in_polytope, in_polytopes, refuse_whole
from ._recourse_plans import PlanSolver
from ._shadow_prices import ShadowPrices
from ._small_weights import decide_with_small_weights
from .base import DecisionProblem

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ._recourse import Recourse

_NEAR = 1e-6  # distance to an integer up to which a decision counts as one
_NEAR_0 = 1e-9  # absolute tolerance of constraints, in their units, in addition to the relative one


class RecourseLinearProgram(DecisionProblem):
    r"""Linear program in two stages: plan now, and correct it once y is known.

    .. math:: \min_z \; c^\top z + Q(z, y), \qquad
       Q(z, y) = \min_{w \ge 0} \; q^\top w \quad \text{with} \quad W w \ge h - T z.

    The plan z is decided from a prediction; the recourse w is chosen once y is known. Every entry
    of c, q, T, W, h, b_ub and b_eq may be predicted (:class:`Predicted`, a column of y) or known
    for each row (:class:`FromContext`). At least one must be predicted. All others, and the entries
    of A_ub, A_eq and `bounds`, are numbers.

    Parameters
    ----------
    c : array-like of shape (k,)
        Costs of the plan, per unit of z.
    q : array-like of shape (r,)
        Costs of the recourse, per unit of w.
    T : array-like of shape (m, k)
        What a unit of each part of the plan contributes to each of the requirements h.
    W : array-like of shape (m, r)
        What a unit of each part of the recourse contributes to them.
    h : array-like of shape (m,)
        The requirements, which plan and recourse together must meet.
    A_ub : array-like or sparse matrix of shape (m_ub, k), default=None
        Matrix of the inequality constraints of the plan, ``A_ub z <= b_ub``.
    b_ub : array-like of shape (m_ub,), default=None
        Right-hand sides of the inequality constraints.
    A_eq : array-like or sparse matrix of shape (m_eq, k), default=None
        Matrix of the equality constraints of the plan, ``A_eq z = b_eq``.
    b_eq : array-like of shape (m_eq,), default=None
        Right-hand sides of the equality constraints.
    bounds : pair or sequence of pairs, default=(0, None)
        Bounds of the plan, as in :func:`scipy.optimize.linprog`.
    integrality : int or array-like of shape (k,), default=None
        1 where an entry of the plan must be an integer, 0 where not; None is 0 for all. The
        recourse is continuous.
    n_jobs : int, default=None
        Threads among which the rows are divided that are solved one by one; None is 1, -1 all
        cores.
    time_limit, mip_gap : float, default=None and 0
        Seconds for each row, and by how much a plan may cost more than the best one, as a share of
        its cost, where there are integers. See :class:`LinearProgram`.
    nonnegative : bool, default=False
        Whether the predicted numbers cannot be negative, as demand cannot. Negative observed
        numbers are then an error, and negative predictions and scenarios are replaced by 0.

    Attributes
    ----------
    exact : bool
        False where there are integers and `time_limit` or `mip_gap` is set.

    See Also
    --------
    Predicted : Marks a number that is predicted.
    LinearProgram : One stage, with predicted costs.
    dfl_sklearn.datasets.make_unit_commitment : Loads for an example with integers.

    Notes
    -----
    ``solve`` treats a prediction as certain and minimises the cost of plan and recourse for it.
    With scenarios it minimises their mean cost, as one program (the extensive form). ``cost`` is
    the cost of the plan for the observed c plus the least cost of the recourse. It raises an error
    that names the row if a plan violates one of its own constraints by more than 1e-6 of the
    absolute terms of that constraint, or if no recourse meets the requirements.

    Where all entries of T and W are numbers, the rows are solved, evaluated and differentiated
    together, and up to 32 combinations of integers are enumerated. If entries of T are predicted or
    read from the context, plans are computed row by row, which takes longer. If entries of W are,
    costs are too, which takes longest. Rows solved one by one, rows with several best plans, more
    combinations of integers, and scenarios need HiGHS: ``pip install "dfl-sklearn[highs]"``.

    Where right-hand sides are predicted, train with :class:`~dfl_sklearn.losses.RegretLoss`: the
    plan changes continuously with them. With integers, or where entries of T or W are predicted or
    read from the context, train with :class:`~dfl_sklearn.losses.ScoreFunctionLoss`.

    References
    ----------
    Birge and Louveaux, "Introduction to stochastic programming", Springer, 2011.

    Examples
    --------
    Goods are bought at 2 per unit before demand is known. Each missing unit is bought later at 5,
    and leftovers are worth nothing:

    >>> from dfl_sklearn.problems import Predicted, RecourseLinearProgram
    >>> problem = RecourseLinearProgram(c=[2.0], q=[5.0], T=[[1.0]], W=[[1.0]], h=[Predicted(0)])
    >>> bought = problem.solve([10.0, 4.0])
    >>> bought
    array([10.,  4.])
    >>> problem.cost(bought, [12.0, 3.0])
    array([30.,  8.])
    >>> problem.solve([[[4.0], [10.0], [12.0]]])  # one row with three scenarios
    array([[10.]])
    """

    exact_scenarios = True

    def __init__(
        self,
        c: ArrayLike,
        q: ArrayLike,
        T: Any,
        W: Any,
        h: ArrayLike,
        *,
        A_ub: Any = None,
        b_ub: ArrayLike | None = None,
        A_eq: Any = None,
        b_eq: ArrayLike | None = None,
        bounds: Any = (0, None),
        integrality: Any = None,
        n_jobs: int | None = None,
        time_limit: float | None = None,
        mip_gap: float = 0.0,
        nonnegative: bool = False,
    ) -> None:
        self.c = c
        self.q = q
        self.T = T
        self.W = W
        self.h = h
        self.A_ub = A_ub
        self.b_ub = b_ub
        self.A_eq = A_eq
        self.b_eq = b_eq
        self.bounds = bounds
        self.integrality = integrality
        self.n_jobs = n_jobs
        self.time_limit = time_limit
        self.mip_gap = mip_gap
        self.nonnegative = nonnegative

    @property
    def convex_decisions(self) -> bool:  # type: ignore[override]
        """Whether the mean of feasible decisions is feasible: so if none is an integer."""
        return not np.any(self.integrality)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the best plan is found: not if a limit may end the search early."""
        return not (np.any(self.integrality) and has_limits(self.time_limit, self.mip_gap))

    @property
    def decision_average(self) -> str:  # type: ignore[override]
        """What an ensemble averages: plans, or predictions where plans have integers."""
        return "decisions" if self.convex_decisions else "predictions"

    # -- the program -------------------------------------------------------------------

    def _program(self) -> "Recourse":
        # In the order of get_params, in which the columns of the context are counted.
        given = self.get_params(deep=False).items()
        return _built(pickle.dumps({name: each for name, each in given if name in _NUMBERS}))

    def _check_constants(self) -> None:
        check_limits(self.time_limit, self.mip_gap)
        flag(self.nonnegative, "nonnegative")
        self._program()

    def _n_parameters(self) -> int:
        return self._program().n_parameters

    def _what_parameters_are(self) -> str:
        last = self._n_parameters() - 1
        return "Predicted(0)" + (f" to Predicted({last}), in this order" if last else "")

    def _n_decisions(self, n_parameters: int) -> int:
        return len(self._program().lower)

    @property
    def has_complete_recourse(self) -> bool:
        """Whether every plan has a recourse, for any h and T (complete recourse).

        This is so if W is the same for all rows and ``W w >= 1`` has a solution ``w >= 0``. For
        other W it is False, which says nothing about them.
        """
        program = self._program()
        return program.is_fixed("W") and program.is_complete

    @property
    def _has_every_cost(self) -> bool:
        return self.has_complete_recourse and not self._program().is_predicted("b_ub", "b_eq")

    # -- what y may be -----------------------------------------------------------------

    @property
    def _domain(self) -> Domain:
        n = self._n_parameters()
        return Domain(np.full(n, 0.0 if self.nonnegative else -np.inf), np.full(n, np.inf))

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError, naming the row, if observed `y` is negative and `nonnegative` is set.

        See :meth:`DecisionProblem.check_parameters`.
        """
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y")
        if self.nonnegative and (rows < 0).any():
            raise_at(
                rows < 0,
                rows,
                "y",
                "is negative",
                "Correct it, or set nonnegative=False if the predicted numbers can be negative.",
            )

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated `y` to 0 if `nonnegative` is set, and return the share of rows."""
        values, _ = super().project_parameters(y)
        return self._domain.project(values)

    def _read(self, y: Any, context: Any) -> "torch.Tensor":
        """Return predictions, within the domain, and the context as parameters (B, q)."""
        program = self._program()
        return program.parameters(self._domain.nearest_tensor(program.rows(y)), context)

    # -- solving -----------------------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best plans (n, k) for y (n, d); the input is not checked."""
        parameters, solver = self._read(y, context), self._plan_solver()
        try:
            return solver.for_rows(parameters)
        except NoDecisionError as error:
            raise NoDecisionError(f"{error} {solver.why_none(parameters, len(y[0]))}") from error

    def _plan_solver(self) -> PlanSolver:
        return PlanSolver(
            self._program(), type(self).__name__, self.n_jobs, self.time_limit, self.mip_gap
        )

    def solve_scenarios(
        self, y: np.ndarray, weight: np.ndarray, context: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the plans (n, k) of least mean cost over scenarios y (n, S, d), unchecked."""
        solver, y = self._plan_solver(), self._domain.nearest(y)
        program = self._program()
        plans = np.empty((len(y), len(program.lower)))
        is_certain = (weight > 0).sum(axis=1) == 1
        certain = np.flatnonzero(is_certain)
        if len(certain):
            alone = y[certain, weight[certain].argmax(axis=1)]
            with renumbered(certain):
                plans[certain] = self.solve_rows(
                    alone, None if context is None else context[certain]
                )
        others = np.flatnonzero(~is_certain).tolist()
        for i in counted(others, "rows solved over scenarios", len(others)):
            some = np.flatnonzero(weight[i] > 0)
            known = None if context is None else np.repeat(context[i : i + 1], len(some), axis=0)
            parameters = program.parameters(y[i][some], known).numpy()
            decide = partial(solver.over_scenarios, parameters, numbers=some, row=i)
            known = None if context is None else context[i]
            plans[i] = decide_with_small_weights(
                self, y[i][some], weight[i][some], known, i, decide
            )
        return plans

    # -- costing -----------------------------------------------------------------------

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of plans (n, k) or (1, k) under y (n, d).

        Shapes are not checked. A plan that violates its constraints, or that has no recourse,
        raises a ValueError.
        """
        from ._recourse_costs import check_plans, second_stage

        program = self._program()
        parameters = program.parameters(y, context)
        z = program.rows(decisions).expand(len(parameters), decisions.shape[1])
        check_plans(program, z.detach().numpy(), parameters.detach().numpy())
        cost = (program.cost_of_plan(parameters) * z).sum(dim=1)
        cost = cost + second_stage(program, z, parameters, type(self).__name__)
        return cost.numpy() if isinstance(y, np.ndarray) else cost.to(y)

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        off = np.abs(decisions - np.rint(decisions)) * self._program().integral > _NEAR
        if off.any():
            raise_at(off, decisions, "decisions", "is no whole number", "Use solve(), or round it.")

    # -- constraints -------------------------------------------------------------------

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return, for each row, whether the plan satisfies its constraints.

        Each may be violated by `tol` times the sum of its absolute terms, plus 1e-9 in its own unit
        unless `tol` is 0. Integers may be off by `tol`. Without `y`, constraints whose right-hand
        sides are predicted are not checked. Whether a plan has a recourse is not checked either:
        ``cost`` raises an error if it has none.
        """
        z, polytope = self._plans(decisions, y, context, tol)
        finite = np.isfinite(z).all(axis=1)
        return finite & polytope.contains(
            np.where(finite[:, None], z, 0.0), tol, _NEAR_0 * (tol > 0)
        )

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint on plans is violated, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            The parameters that came true. Without them constraints whose right-hand sides are
            predicted are left out.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where something is read from it.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds. The columns are the rows of A_ub, those of A_eq, and for
            each entry of the plan the violation of its bounds or, if that is larger, its distance
            from an integer.
        """
        z, polytope = self._plans(decisions, y, context, 0.0)
        return polytope.violation(z)

    def _plans(
        self, decisions: Any, y: Any, context: Any, tol: float
    ) -> tuple[np.ndarray, Polytope]:
        """Return plans (n, k), and the feasible set of plans of each row."""
        z, program = self._decision_rows(decisions, y, context, tol), self._program()
        known = self._check_context(context, len(z))
        rows = np.zeros((len(z), program.n_parameters)) if y is None else as_numpy_rows(y, "y")
        parameters = program.parameters(rows, known).numpy()
        return z, program.first_stage(parameters, with_predicted=y is not None)

    def _shadow_prices(
        self, decisions: np.ndarray, y: np.ndarray, context: np.ndarray | None
    ) -> ShadowPrices:
        from ._recourse_prices import prices_of_plans

        y = self._domain.nearest(y)
        return prices_of_plans(self._program(), decisions, y, context, type(self).__name__)

    def uncertain_constraints(self, decisions: Any, y: Any, context: Any = None) -> tuple[Any, Any]:
        """Return by how much plans (n, k) exceed right-hand sides that are predicted; unchecked."""
        program = self._program()
        if not program.is_predicted("b_ub", "b_eq"):
            return super().uncertain_constraints(decisions, y, context)
        excess, size = program.excess(program.rows(decisions), program.parameters(y, context))
        if isinstance(y, np.ndarray):
            return excess.numpy(), size.numpy()
        return excess.to(y), size.to(y)

    def _why_all_is_certain(self) -> str | None:
        if self._program().is_predicted("b_ub", "b_eq"):
            return None
        return (
            "has none on its plans: no entry of b_ub or b_eq is Predicted, and the recourse makes "
            "up for the rest"
        )

    # -- training ----------------------------------------------------------------------

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best plan under the cost plus :math:`\gamma (\|z\|^2 + \|w\|^2)`.

        Parameters
        ----------
        smoothing : float or None, default=None
            :math:`\gamma`, at least 0, in the unit of the cost per squared unit of the plan. None
            is 0, which is enough where only right-hand sides are predicted: the best plan changes
            continuously with them. Where costs are predicted, `smoothing` must be given.

        Returns
        -------
        torch.nn.Module
            Maps y (B, d), and the context (B, c) if there is one, to plans (B, k).

        Raises
        ------
        ValueError
            If the plan has no slope, because there are integers, or because entries of T or W are
            predicted or read from the context; if costs are predicted and `smoothing` is None.
        """
        from ..layers.recourse import RecourseLayer
        from ..solvers.parametric_program import ParametricProgram

        gamma, program = self._smoothed(smoothing)
        return RecourseLayer(
            ParametricProgram(program.joint(gamma), np.arange(len(program.lower))),
            len(program.lower),
            program.n_parameters,
            program.n_context,
            self._read,
            self.solve_rows,
            is_smoothed=gamma > 0,
        )

    def scenario_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best plan over scenarios, for the mean of the cost in :meth:`decision_layer`.

        All scenarios of a row form one program. Some tens of scenarios are solved quickly.

        Parameters
        ----------
        smoothing : float or None, default=None
            :math:`\gamma`, as in :meth:`decision_layer`. Where scenarios have equal weights, a row
            often has several best plans, and then no slope. With a small smoothing, whose effect on
            the cost is negligible, there is only one.

        Returns
        -------
        torch.nn.Module
            Maps scenarios (B, S, d), weights (B, S), and the context (B, c) if there is one, to
            plans (B, k).

        Raises
        ------
        ValueError
            As :meth:`decision_layer`.
        """
        from ..layers.scenario_program import ScenarioProgramLayer

        gamma, program = self._smoothed(smoothing)
        plan = np.arange(len(program.lower))
        return ScenarioProgramLayer(program.joint(), plan, self._read, self.solve_scenarios, gamma)

    def _smoothed(self, smoothing: float | None) -> "tuple[float, Recourse]":
        """Return the smoothing of a layer and the program; raise if there is no slope."""
        gamma = smoothing_number(smoothing, positive=False) or 0.0
        self._check_constants()
        program = self._program()
        if program.integral.any() or not program.is_fixed("T", "W"):
            what = "whole numbers" if program.integral.any() else "numbers of T or W that differ"
            raise ValueError(
                f"A plan with {what} has no slope in the predictions. Train with ScoreFunctionLoss."
            )
        if smoothing is None and program.is_predicted("c", "q"):
            raise ValueError(
                "Costs are predicted, and the best plan jumps as they change: give a smoothing, as "
                "in RegretLoss(smoothing=0.1), or train with ScoreFunctionLoss."
            )
        return gamma, program

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return a layer that finds the nearest feasible plan, by a quadratic program.

        See :meth:`DecisionProblem.decision_projection`. Integers, and predicted right-hand sides of
        constraints on plans, raise a ValueError.
        """
        self._check_constants()
        program = self._program()
        if program.integral.any():
            refuse_whole(self)
        if program.is_predicted("b_ub", "b_eq"):
            raise ValueError(
                "Right-hand sides of constraints on plans are predicted, so that no plan is "
                "certain to satisfy them: write them with T, W and h, with a recourse that meets "
                "them at a price, or train DFLRegressor."
            )
        if not program.is_fixed("b_ub", "b_eq"):
            return in_polytopes(self, self._sets_of_plans)
        nothing = np.zeros((1, len(program.c) - 1))
        return in_polytope(
            self, lambda n: program.first_stage(nothing).for_rows(0), len(program.lower)
        )

    def _sets_of_plans(self, n: int, context: np.ndarray) -> Polytope:
        program = self._program()
        nothing = np.zeros((len(context), program.n_parameters))
        return program.first_stage(program.parameters(nothing, context).numpy())


_NUMBERS = ("c", "q", "T", "W", "h", "A_ub", "b_ub", "A_eq", "b_eq", "bounds", "integrality")


@lru_cache(maxsize=16)
def _built(numbers: bytes) -> "Recourse":
    """Return the checked program of pickled parameters; the last 16 are kept."""
    from ._recourse import Recourse

    return Recourse.of(pickle.loads(numbers))
