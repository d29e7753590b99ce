"""Linear programs with recourse: what is planned, and what makes up for it later."""

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

_NEAR = 1e-6  # by which a part of a plan that has a cost may miss a whole number
_NEAR_0 = 1e-9  # by which a feasible plan may miss a constraint in its unit, beside its tolerance


class RecourseLinearProgram(DecisionProblem):
    r"""Linear program in two stages: plan now, and correct it once y is known.

    .. math:: \min_z \; c^\top z + Q(z, y), \qquad
       Q(z, y) = \min_{w \ge 0} \; q^\top w \quad \text{with} \quad W w \ge h - T z.

    The plan z is decided from a prediction; the recourse w is chosen once y has come true. Every
    number of c, q, T, W, h, b_ub and b_eq may be predicted (:class:`Predicted`, a column of y) or
    known for each row (:class:`FromContext`).

    Parameters
    ----------
    c : array-like of shape (n,)
        Costs of the plan.
    q : array-like of shape (k,)
        Costs of the recourse.
    T : array-like of shape (m, n)
        What the plan contributes to each of the needs h.
    W : array-like of shape (m, k)
        What the recourse contributes.
    h : array-like of shape (m,)
        The needs.
    A_ub : array-like or sparse matrix of shape (m_ub, n), default=None
        Constraints on the plan, ``A_ub z <= b_ub``; numbers.
    b_ub : array-like of shape (m_ub,), default=None
        Right-hand sides of these.
    A_eq : array-like or sparse matrix of shape (m_eq, n), default=None
        Equations of the plan, ``A_eq z = b_eq``; numbers.
    b_eq : array-like of shape (m_eq,), default=None
        Right-hand sides of these.
    bounds : pair or sequence of pairs, default=(0, None)
        Bounds of the plan, as in :func:`scipy.optimize.linprog`.
    integrality : int or array-like of shape (n,), default=None
        1 where a part of the plan is a whole number. The recourse is continuous.
    n_jobs : int, default=None
        Threads among which rows are divided that are solved one by one.
    time_limit, mip_gap : float, default=None and 0
        Limits of each row with whole numbers, as in :class:`LinearProgram`.
    nonnegative : bool, default=False
        Whether the predicted numbers cannot be negative, as demand cannot. Negative observed ones
        are then an error, and negative predictions and scenarios are replaced by 0.

    Attributes
    ----------
    exact : bool
        False where one of the limits is set.

    See Also
    --------
    Predicted : Stands for a number that is predicted.
    LinearProgram : One stage, with predicted costs.
    dfl_sklearn.datasets.make_unit_commitment : Loads for an example with whole numbers.

    Notes
    -----
    ``solve`` plans for a prediction as if it were certain, recourse included; with scenarios it
    minimises their mean cost, as one program (the extensive form). ``cost`` is what was planned at
    the prices that came true, and the least cost of the recourse. A plan that misses a constraint
    on plans by more than 1e-6 of its terms, or a need that no recourse makes up for, has no cost,
    which is an error that names the row.

    Where T and W are numbers, rows are solved, costed and differentiated together; up to 32
    combinations of whole numbers are all tried. Predicted entries of T cost more, as plans are then
    solved row by row, and predicted entries of W most. Rows with several best plans, and those with
    many whole numbers, are solved by HiGHS: ``pip install "dfl-sklearn[highs]"``.

    Train with :class:`~dfl_sklearn.losses.RegretLoss` where predictions stand in right-hand sides:
    the plan follows them. Where T or W are predicted or there are whole numbers, train with
    :class:`~dfl_sklearn.losses.ScoreFunctionLoss`.

    References
    ----------
    Birge and Louveaux, "Introduction to stochastic programming", Springer, 2011.

    Examples
    --------
    Buy at 2 a unit before demand is known; what is missing costs 5, and what is left is worth
    nothing:

    >>> from dfl_sklearn.problems import Predicted, RecourseLinearProgram
    >>> problem = RecourseLinearProgram(c=[2.0], q=[5.0], T=[[1.0]], W=[[1.0]], h=[Predicted(0)])
    >>> bought = problem.solve([10.0, 4.0])
    >>> bought
    array([10.,  4.])
    >>> problem.cost(bought, [12.0, 3.0])
    array([30.,  8.])
    >>> problem.solve([[[4.0], [10.0], [12.0]]])  # over three scenarios
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
        """Whether a mean of feasible decisions is feasible: no decision is a whole number."""
        return not np.any(self.integrality)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the best plan is found: not where a limit may end the search before."""
        return not (np.any(self.integrality) and has_limits(self.time_limit, self.mip_gap))

    @property
    def decision_average(self) -> str:  # type: ignore[override]
        """What an ensemble averages: plans, unless some of their parts are whole numbers."""
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
        """Whether the recourse can make up for any plan.

        True where W is fixed and ``W w >= 1`` has a solution ``w >= 0``.
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
        """Raise a ValueError, naming the row, if observed `y` is negative where it cannot be."""
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
        """Set negative generated `y` to 0, if it cannot be negative, and report the share."""
        values, _ = super().project_parameters(y)
        return self._domain.project(values)

    def _read(self, y: Any, context: Any) -> "torch.Tensor":
        """Return predictions, within the domain, and the context as parameters (B, q)."""
        program = self._program()
        return program.parameters(self._domain.nearest_tensor(program.rows(y)), context)

    # -- solving -----------------------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best plans (n, k) for y (n, d), unchecked."""
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
        """Return the plan (n, k) of the least mean cost over scenarios y (n, S, d); unchecked."""
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
        """Return the cost (n,) of plans (n, k) or (1, k) under y (n, d), unchecked."""
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
        """Return, for each row, whether the constraints on plans hold, to `tol` of their terms.

        Without `y` those whose right-hand sides are predicted are not looked at. Whole numbers may
        be off by `tol`. Whether a recourse makes up for a plan is for ``cost`` to say.
        """
        z, polytope = self._plans(decisions, y, context, tol)
        finite = np.isfinite(z).all(axis=1)
        return finite & polytope.contains(
            np.where(finite[:, None], z, 0.0), tol, _NEAR_0 * (tol > 0)
        )

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint on plans is missed, in its own unit.

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
            each part of the plan its bounds or, where that is more, its distance from a whole
            number.
        """
        z, polytope = self._plans(decisions, y, context, 0.0)
        return polytope.violation(z)

    def _plans(
        self, decisions: Any, y: Any, context: Any, tol: float
    ) -> tuple[np.ndarray, Polytope]:
        """Return plans (n, k), and the sets of plans of their rows."""
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
            is 0 where predictions stand in right-hand sides alone, which the exact plan follows;
            where costs are predicted it has to be given.

        Raises
        ------
        ValueError
            If the plan has no slope: with whole numbers, or predicted entries of T or W.
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

        All scenarios are in one program, of which some tens are quickly solved.

        Parameters
        ----------
        smoothing : float or None, default=None
            :math:`\gamma`, as in :meth:`decision_layer`. With equal weights a row often has
            several best plans, and no slope: a smoothing that costs next to nothing leaves one.

        Raises
        ------
        ValueError
            If the plan has no slope: with whole numbers, or predicted entries of T or W.
        """
        from ..layers.scenario_program import ScenarioProgramLayer

        gamma, program = self._smoothed(smoothing)
        plan = np.arange(len(program.lower))
        return ScenarioProgramLayer(program.joint(), plan, self._read, self.solve_scenarios, gamma)

    def _smoothed(self, smoothing: float | None) -> "tuple[float, Recourse]":
        """Return the smoothing of a layer, and the program; or say that there is no slope."""
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
        """Return the nearest plan that keeps the constraints on plans, by a quadratic program.

        See :meth:`DecisionProblem.decision_projection`. Whole numbers are refused, and constraints
        on plans whose right-hand sides are predicted.
        """
        self._check_constants()
        program = self._program()
        if program.integral.any():
            refuse_whole(self)
        if program.is_predicted("b_ub", "b_eq"):
            raise ValueError(
                "Right-hand sides of constraints on plans are predicted, so that no plan surely "
                "keeps them: write them with T, W and h, and a price for what makes up for it, or "
                "train DFLRegressor."
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
    """Return the checked program of pickled parameters; each is set up once."""
    from ._recourse import Recourse

    return Recourse.of(pickle.loads(numbers))
