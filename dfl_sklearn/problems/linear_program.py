"""Problems whose cost is linear in the decision: the parameters are prices of its parts."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import job_count, option, smoothing_number
from ..solvers.linear_rows import solve_linear_rows
from ..solvers.polytope import Polytope
from ._constraints import as_bounds, as_constraints, as_integrality, as_matrix, as_pairs
from ._limits import check_limits, has_limits
from .base import DecisionProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


class LinearCostProblem(DecisionProblem):
    r"""Base class of problems with the cost :math:`\pm y^\top z`, one parameter per decision.

    A subclass fills in `solve_rows` and `_polytope(n)`, the linear constraints on n decisions.
    It has a parameter `sense` where values can be maximised: costs are negated values then.

    Under a distribution of y the best decision is that of its mean, so that several scenarios are
    solved for exactly.
    """

    exact_scenarios = True
    sense: str = "min"

    @abstractmethod
    def _polytope(self, n: int) -> Polytope:
        """Return the constraints on n decisions; the constants have been checked."""

    @property
    def _sign(self) -> float:
        """1 where ``y @ z`` is minimised, -1 where it is maximised."""
        return -1.0 if self.sense == "max" else 1.0

    def _check_constants(self) -> None:
        option(self.sense, "sense", ("min", "max"))
        job_count(getattr(self, "n_jobs", None))

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        return self._sign * xp.sum(y * decisions, axis=1)

    def linear_objective(self) -> "Callable[[Any], Any]":
        """Return the map from parameters (n, d) to the cost vectors (n, d) of ``c @ z``."""
        sign = self._sign
        return lambda y: sign * y

    def as_linear_program(self, n_decisions: int | None = None) -> "LinearProgram":
        """Return the same problem as a :class:`LinearProgram`, to look at or to extend.

        Parameters
        ----------
        n_decisions : int, default=None
            Needed where the problem does not fix it.
        """
        self._check_constants()
        n = self._n_parameters() if n_decisions is None else n_decisions
        if n is None:
            raise ValueError(f"n_decisions is needed: {type(self).__name__} does not fix it.")
        self._check_width(n)
        part = self._polytope(n)
        has_ub, has_eq = len(part.b_ub) > 0, len(part.b_eq) > 0
        return LinearProgram(
            A_ub=part.A_ub.copy() if has_ub else None,
            b_ub=part.b_ub.copy() if has_ub else None,
            A_eq=part.A_eq.copy() if has_eq else None,
            b_eq=part.b_eq.copy() if has_eq else None,
            bounds=np.stack([part.lower, part.upper], axis=1),
            integrality=part.integral.astype(int),
            sense=self.sense,
        )

    def is_feasible(
        self,
        decisions: Any,
        y: Any = None,
        *,
        context: Any = None,
        tol: float = 1e-6,
        atol: float | None = None,
    ) -> np.ndarray:
        r"""Return, for each row, whether all constraints hold.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
        y, context : array-like, default=None
            Their shapes are checked; the constraints are known.
        tol : float, default=1e-6
            By how much a constraint may be missed, as a share of its absolute terms,
            :math:`\sum_j |a_j z_j| + |b|`, and of a variable and its bounds; and how far whole
            numbers may be from such.
        atol : float, default=None
            By how much more it may be missed, in its own unit. None is a billionth of the least
            right-hand side or bound that is not 0, or of 1 if that is less; 0 where `tol` is 0.

        Returns
        -------
        ndarray of bool of shape (n,)
        """
        z = self._decision_rows(decisions, y, context, tol)
        self._check_width(z.shape[1])
        polytope = self._polytope(z.shape[1])
        finite = np.isfinite(z).all(axis=1)
        return finite & polytope.contains(np.where(finite[:, None], z, 0.0), tol, atol)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
        y, context : None
            Not looked at: the constraints are known.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds. The columns are the inequalities, the equations, and for
            each decision its bounds or, where that is more, its distance from a whole number.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        self._check_width(z.shape[1])
        return self._polytope(z.shape[1]).violation(z)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best decision under the cost plus :math:`\gamma \|z\|^2`, relaxed.

        Whole numbers are relaxed to real ones. `smoothing` is :math:`\gamma`, positive, in the
        units of `y` per unit of a decision. None takes for each row the root mean square of its
        parameters: what is decided then does not depend on their scale. (Of a single parameter
        that leaves the sign alone, which has no slope: give a number there.)

        The decision costs at most :math:`\gamma` times the squared diameter of the feasible set
        more than the best one (Wilder et al., 2019, theorem 1).
        """
        why = (
            ": the best decision under a linear cost jumps, and has no slope elsewhere. To train "
            "without smoothing use SPOPlusLoss."
        )
        smoothing_number(smoothing, positive=True, why=why)
        self._check_constants()
        return self._decision_layer(smoothing)

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        """Return the layer; a subclass that knows a quicker one for its constraints fills it in."""
        from ..layers.regularized_linear import RegularizedLinearLayer

        return RegularizedLinearLayer(self._polytope, smoothing, scale=self._sign)


class LinearProgram(LinearCostProblem):
    r"""Minimise (or maximise) :math:`y^\top z` under linear constraints.

    .. math:: \min_z \; y^\top z \quad \text{with} \quad
       A_{ub} z \le b_{ub}, \quad A_{eq} z = b_{eq}, \quad l \le z \le u.

    The parameters are the costs of the decisions; the constraints are known. Arguments are those
    of :func:`scipy.optimize.linprog`.

    Parameters
    ----------
    A_ub : array-like or sparse of shape (m, n), default=None
    b_ub : array-like of shape (m,), default=None
        Inequality constraints.
    A_eq : array-like or sparse of shape (p, n), default=None
    b_eq : array-like of shape (p,), default=None
        Equality constraints.
    bounds : (lower, upper), sequence of n such pairs or scipy.optimize.Bounds, default=(0, None)
        None stands for no bound.
    integrality : int or array-like of shape (n,), default=None
        1 where a decision must be a whole number, 0 where not; None is 0 for all.
    sense : {"min", "max"}, default="min"
        With "max" the parameters are values, and the cost is the negated value.
    n_jobs : int, default=None
        Threads among which the rows are divided; None is 1, -1 all cores. Decisions do not
        depend on it.
    time_limit : float, default=None
        Seconds for each row, where there are whole numbers. Decisions may then differ from run to
        run.
    mip_gap : float, default=0
        By how much a decision may be dearer than the best one, as a share of its cost, where there
        are whole numbers.

    Attributes
    ----------
    exact : bool
        False where there are whole numbers and one of these limits. Rows that such a limit leaves
        short of the best decision are counted in a warning, with the largest gap.

    Notes
    -----
    Needs HiGHS: ``pip install "dfl-sklearn[highs]"``. Without any constraints and with one pair of
    bounds the number of decisions is that of the columns of `y`.

    Every decision is checked in the units given: constraints hold to 1e-9 of the absolute terms of
    their row, and the dual values prove that no other decision is cheaper by more than 1e-7 of the
    absolute terms of the cost (1e-6 with whole numbers). What fails is solved again in exact
    arithmetic or, if it is large, in other units; what still fails is an error.

    Predicted costs may be negative where observed ones are not, and training with
    :class:`~dfl_sklearn.losses.SPOPlusLoss` solves for such costs: give finite bounds.

    Examples
    --------
    Two products share ten hours of a machine; at most six of each can be sold.

    >>> from dfl_sklearn.problems import LinearProgram
    >>> problem = LinearProgram([[1, 2]], [10], bounds=(0, 6), sense="max")
    >>> problem.solve([[3.0, 1.0], [1.0, 4.0]])
    array([[6., 2.],
           [0., 5.]])
    >>> problem.optimal_cost([[3.0, 1.0], [1.0, 4.0]])
    array([-20., -20.])
    """

    def __init__(
        self,
        A_ub: Any = None,
        b_ub: ArrayLike | None = None,
        A_eq: Any = None,
        b_eq: ArrayLike | None = None,
        bounds: Any = (0, None),
        integrality: Any = None,
        sense: str = "min",
        n_jobs: int | None = None,
        time_limit: float | None = None,
        mip_gap: float = 0.0,
    ) -> None:
        self.A_ub = A_ub
        self.b_ub = b_ub
        self.A_eq = A_eq
        self.b_eq = b_eq
        self.bounds = bounds
        self.integrality = integrality
        self.sense = sense
        self.n_jobs = n_jobs
        self.time_limit = time_limit
        self.mip_gap = mip_gap

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the best decision is found: not where a limit may end the search before."""
        return not (np.any(self.integrality) and has_limits(self.time_limit, self.mip_gap))

    def _check_constants(self) -> None:
        super()._check_constants()
        check_limits(self.time_limit, self.mip_gap)
        width = self._n_parameters()
        self._polytope(1 if width is None else width)

    def _n_parameters(self) -> int | None:
        for A in (self.A_ub, self.A_eq):
            if A is not None:
                return int(as_matrix(A, "A_ub" if A is self.A_ub else "A_eq").shape[1])
        if len(as_pairs(self.bounds)) > 1:
            return len(as_pairs(self.bounds))
        return (
            None
            if self.integrality is None or np.ndim(self.integrality) == 0
            else len(self.integrality)
        )

    def _polytope(self, n: int) -> Polytope:
        low, high = as_bounds(self.bounds, n)
        return Polytope.of(
            n,
            ub=as_constraints(self.A_ub, self.b_ub, n, "ub"),
            eq=as_constraints(self.A_eq, self.b_eq, n, "eq"),
            lower=low,
            upper=high,
            integral=as_integrality(self.integrality, n),
        )

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        polytope = self._polytope(y.shape[1])
        return solve_linear_rows(
            polytope,
            self._sign * y,
            n_jobs=self.n_jobs,
            name=type(self).__name__,
            time_limit=self.time_limit,
            mip_gap=self.mip_gap,
        )
