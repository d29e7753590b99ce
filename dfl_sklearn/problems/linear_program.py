"""Linear programs, with or without integer variables, whose costs are the parameters."""

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import is_torch_array
from numpy.typing import ArrayLike
from sklearn.base import clone

from .._utils.rows import as_float, check_finite
from ..solvers.linear_rows import solve_linear_rows
from ..solvers.polytope import Polytope
from ._constraints import as_bounds, as_constraints, as_integrality, as_matrix, as_pairs
from ._context import each_context, is_marked, stand_in
from ._limits import check_limits, has_limits
from .linear_cost import LinearCostProblem, solve_there

if TYPE_CHECKING:
    from torch import nn


class LinearProgram(LinearCostProblem):
    r"""Minimise (or maximise) :math:`y^\top z` under linear constraints.

    .. math:: \min_z \; y^\top z \quad \text{with} \quad
       A_{ub} z \le b_{ub}, \quad A_{eq} z = b_{eq}, \quad l \le z \le u.

    The parameters are the costs of the decisions; the constraints are known. Arguments are those
    of :func:`scipy.optimize.linprog`.

    Numbers of the constraints, and known costs, may differ by row: where an entry is
    :class:`FromContext`, it is read from the context.

    Parameters
    ----------
    A_ub : array-like or sparse of shape (m, n), default=None
        Matrix of the inequality constraints. Entries of lists and of object arrays may be
        FromContext.
    b_ub : array-like of shape (m,), default=None
        Right-hand sides of the inequality constraints. Entries may be FromContext.
    A_eq : array-like or sparse of shape (p, n), default=None
        Matrix of the equality constraints, as `A_ub`.
    b_eq : array-like of shape (p,), default=None
        Right-hand sides of the equality constraints. Entries may be FromContext.
    bounds : (lower, upper), sequence of n such pairs or scipy.optimize.Bounds, default=(0, None)
        Bounds of the decisions; None is no bound. In pairs, each of the two may be FromContext.
    integrality : int or array-like of shape (n,), default=None
        1 where a decision must be an integer, 0 where not; None is 0 for all.
    sense : {"min", "max"}, default="min"
        With "max" the parameters are values, and the cost is the negated value.
    n_jobs : int, default=None
        Threads among which the rows are divided; None is 1, -1 all cores. Decisions do not
        depend on it.
    time_limit : float, default=None
        Seconds for each row, where there are integer variables. With such a limit decisions may
        differ from run to run.
    mip_gap : float, default=0
        By how much a decision may cost more than the best one, as a share of its cost, where there
        are integer variables.
    known_cost : array-like of shape (n,), default=None
        A known part of the costs, in the units of `y`: decisions cost ``y + known_cost`` per unit.
        With ``sense="max"`` it is a known value, as `y` is, and a known cost must be given with a
        minus sign. Entries may be FromContext.

    Attributes
    ----------
    exact : bool
        False where there are integer variables and one of these limits. A warning then says for how
        many rows the best decision was not proven, and how large the largest gap is.

    See Also
    --------
    RecourseLinearProgram : Predicted constraints, with recourse.
    ShortestPathProblem : Faster for paths.
    KnapsackProblem : Faster for knapsacks.
    MatchingProblem : Faster for matchings and assignments.

    Notes
    -----
    This class needs HiGHS: ``pip install "dfl-sklearn[highs]"``. Without any constraints and with
    one pair of bounds, the number of decisions is the number of columns of `y`.

    Every decision is checked in the units given: constraints hold to 1e-9 of the absolute terms of
    their row, and the dual values prove that no other decision is cheaper by more than 1e-7 of the
    absolute terms of the cost (1e-6 with integer variables). Rows that fail are solved again in
    exact arithmetic or, if they are large, in other units. A row that still fails raises an error.

    Predicted costs may be negative where observed ones are not, and training with
    :class:`~dfl_sklearn.losses.SPOPlusLoss` solves for such costs. Therefore give finite bounds.

    Where only right-hand sides and bounds are read from the context, rows share one model in
    HiGHS, and the decision layer solves all rows as one batch. A matrix that is read from the
    context is set up once for each distinct context.

    Examples
    --------
    Two products share ten hours of a machine, and at most six units of each can be sold.

    >>> from dfl_sklearn.problems import LinearProgram
    >>> problem = LinearProgram([[1, 2]], [10], bounds=(0, 6), sense="max")
    >>> problem.solve([[3.0, 1.0], [1.0, 4.0]])
    array([[6., 2.],
           [0., 5.]])
    >>> problem.optimal_cost([[3.0, 1.0], [1.0, 4.0]])
    array([-20., -20.])

    The same with hours and a price of power that are known for each day:

    >>> import pandas as pd
    >>> from dfl_sklearn.problems import FromContext
    >>> power = FromContext("power")
    >>> problem = LinearProgram(
    ...     [[1, 2]], [FromContext("hours")], bounds=(0, 6), sense="max", known_cost=[power, power]
    ... )
    >>> days = pd.DataFrame({"hours": [10.0, 4.0], "power": [0.0, -2.0]})
    >>> problem.solve([[3.0, 1.0], [3.0, 1.0]], context=days)
    array([[6., 2.],
           [4., 0.]])
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
        known_cost: ArrayLike | None = None,
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
        self.known_cost = known_cost

    @property
    def convex_decisions(self) -> bool:  # type: ignore[override]
        """Whether a mean of feasible decisions is feasible: no decision is a whole number."""
        return not np.any(self.integrality)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """Whether the best decision is found for sure: False where a limit may end the search."""
        return not (np.any(self.integrality) and has_limits(self.time_limit, self.mip_gap))

    # -- checks ------------------------------------------------------------------------

    def _check_constants(self) -> None:
        super()._check_constants()
        check_limits(self.time_limit, self.mip_gap)
        width = self._n_parameters()
        constant = self._unmarked()
        constant._polytope(1 if width is None else width)
        if self.known_cost is not None:
            known = as_float(constant.known_cost, "known_cost")
            if known.shape != (width,):
                raise ValueError(
                    "known_cost must have one entry per decision, shape "
                    f"({'n' if width is None else width},), got {known.shape}."
                )
            check_finite(known, "known_cost")

    def _check_context_values(self, context: np.ndarray) -> None:
        low, high = self._bounds_rows(context)
        bad = low > high
        if bad.any():
            i, j = (int(each) for each in np.argwhere(bad)[0])
            which = f"bounds[{j}]" if bad.shape[1] > 1 else "bounds"
            raise ValueError(
                f"{which} = ({low[i, j]}, {high[i, j]}) hold no number at row {i} of the context."
            )

    def _n_parameters(self) -> int | None:
        for name in ("A_ub", "A_eq"):
            A = stand_in(getattr(self, name), 1.0)
            if A is not None:
                return int(as_matrix(A, name).shape[1])
        if len(as_pairs(self.bounds)) > 1:
            return len(as_pairs(self.bounds))
        for each in (self.integrality, self.known_cost):
            if each is not None and np.ndim(each):
                return np.shape(each)[0]
        return None

    # -- constraints and costs ---------------------------------------------------------

    def _unmarked(self) -> "LinearProgram":
        """Return the same with its markers replaced by numbers, or by no bound."""
        constant = copy.copy(self)
        for name in ("A_ub", "b_ub", "A_eq", "b_eq", "known_cost"):
            setattr(constant, name, stand_in(getattr(self, name), 1.0))
        constant.bounds = stand_in(self.bounds, None)
        return constant

    @property
    def _shares_matrix(self) -> bool:
        return not (is_marked(self.A_ub) or is_marked(self.A_eq))

    @property
    def _has_own_constraints(self) -> bool:
        sides = self.b_ub, self.b_eq, self.bounds
        return not self._shares_matrix or any(is_marked(each) for each in sides)

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

    def _polytope_rows(self, n: int, context: np.ndarray) -> Polytope:
        part, B = self._unmarked()._polytope(n), len(context)
        low, high = self._bounds_rows(context)
        b_ub, b_eq = (
            self._known([] if each is None else each, context) for each in (self.b_ub, self.b_eq)
        )
        return part.replace(
            b_ub=np.broadcast_to(b_ub, (B, part.A_ub.shape[0])),
            b_eq=np.broadcast_to(b_eq, (B, part.A_eq.shape[0])),
            lower=np.broadcast_to(low, (B, n)),
            upper=np.broadcast_to(high, (B, n)),
        )

    def _bounds_rows(self, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper bounds, (B, n), or (B, 1) for one pair for all decisions."""
        pairs = as_pairs(self.bounds)
        low, high = (
            self._known([absent if each[i] is None else each[i] for each in pairs], context)
            for i, absent in ((0, -np.inf), (1, np.inf))
        )
        shape = (len(context), low.shape[-1])
        return np.broadcast_to(low, shape), np.broadcast_to(high, shape)

    def _plus_known(self, y: Any, context: Any) -> Any:
        if self.known_cost is None:
            return y
        known = self._known(self.known_cost, context)
        if is_torch_array(y):
            import torch

            known = torch.as_tensor(known).to(y)
        return y + known

    def as_linear_program(self, n_decisions: int | None = None) -> "LinearProgram":
        """Return a copy with its own arrays, to inspect or to extend it.

        Parameters
        ----------
        n_decisions : int, default=None
            The number of decisions; needed where the problem does not fix it.
        """
        if self.context_columns():
            self._check_constants()
            return clone(self)
        program = super().as_linear_program(n_decisions)
        return program.set_params(known_cost=copy.deepcopy(self.known_cost))

    # -- solving -----------------------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        if context is not None and not self._shares_matrix:
            return each_context(self, context, solve_there, y)
        n = y.shape[1]
        with np.errstate(over="ignore"):
            costs = self._cost_vectors(y, context)
        if self.known_cost is not None and not np.isfinite(costs).all():
            i, j = np.argwhere(~np.isfinite(costs))[0]
            raise ValueError(f"known_cost and y together are too large at row {i}, column {j}.")
        return solve_linear_rows(
            self._polytope(n)
            if context is None or not self._has_own_constraints
            else self._polytope_rows(n, context),
            costs,
            n_jobs=self.n_jobs,
            name=type(self).__name__,
            time_limit=self.time_limit,
            mip_gap=self.mip_gap,
        )

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        layer = super()._decision_layer(smoothing)
        if self.known_cost is None or not self._shares_matrix:
            return layer  # made for each context, known costs included, where the matrix differs
        from ..layers.regularized_linear_rows import PlusKnownLayer

        return PlusKnownLayer(layer, self._plus_known, takes_context=self._has_own_constraints)


LinearCostProblem._linear_program = LinearProgram
