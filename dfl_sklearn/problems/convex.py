"""A convex program of the user's own, written in cvxpy."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from .._utils.optional import import_optional
from .._utils.rows import as_rows
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_KEPT = threading.local()  # programs hold the values of the last solve, so threads share none


class ConvexProgram(DecisionProblem):
    """Minimise (or maximise) what a function of yours writes down in cvxpy.

    Parameters
    ----------
    builder : callable
        Takes nothing and returns ``(problem, parameter, variable)``: a ``cvxpy.Problem``, its one
        ``cvxpy.Parameter`` of shape (d,), which is what a model predicts, and the
        ``cvxpy.Variable`` of shape (k,) that is decided. Other variables are free to be chosen
        once the parameter is known. A function at the top of a module, so that it can be pickled.
    solver : str, default=None
        Handed to ``cvxpy.Problem.solve``; None is cvxpy's choice, for quadratic programs one that
        is good to about 1e-4. "CLARABEL" is good to 1e-8.

    Notes
    -----
    The cost of a decision is the objective at it, negated where it is maximised. Where there are
    other variables, the cost is that of their best values with the decision held (a second solve
    for each row). Rows are solved one after the other; problems of this package with a closed form
    or a batched solver are many times faster.

    A model is trained through `cvxpylayers`, which differentiates programs that follow cvxpy's
    rules for parameters (DPP); integer variables cannot be differentiated.

    Needs cvxpy: ``pip install "dfl-sklearn[cvxpy]"``.

    Examples
    --------
    >>> import cvxpy as cp
    >>> from dfl_sklearn.problems import ConvexProgram
    >>> def build():
    ...     power, price = cp.Variable(3), cp.Parameter(3)
    ...     cost = price @ power + 0.5 * cp.sum_squares(power)
    ...     return cp.Problem(cp.Minimize(cost), [cp.sum(power) == 2, power >= 0]), price, power
    >>> abs(ConvexProgram(build).solve([[1.0, 2.0, 9.0]])).round(3)
    array([[1.5, 0.5, 0. ]])
    """

    def __init__(self, builder: Callable[[], tuple[Any, Any, Any]], solver: str | None = None):
        self.builder = builder
        self.solver = solver

    # -- the program -------------------------------------------------------------------

    def _check_constants(self) -> None:
        self._program()

    def _program(self) -> "_Program":
        if not callable(self.builder):
            raise ValueError(
                f"builder must be a function that returns (problem, parameter, variable), got "
                f"{self.builder!r}."
            )
        kept = _KEPT.__dict__.setdefault("programs", WeakKeyDictionary())
        if self.builder not in kept:
            kept[self.builder] = _Program.of(self.builder)
        return kept[self.builder]

    def _n_parameters(self) -> int:
        return int(self._program().parameter.size)

    def _n_decisions(self, n_parameters: int) -> int:
        return int(self._program().variable.size)

    # -- the hooks ---------------------------------------------------------------------

    def _solve(self, y: np.ndarray, context: Any) -> np.ndarray:
        program = self._program()
        decisions = np.empty((len(y), program.variable.size))
        for i, row in enumerate(y):
            program.parameter.value = row.astype(np.float64)
            self._run(program.problem, f"row {i} of y")
            decisions[i] = np.ravel(program.variable.value)
        return decisions.astype(y.dtype, copy=False)

    def _run(self, problem: Any, where: str) -> None:
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        try:
            # A warm start would make a decision depend on the rows before.
            problem.solve(solver=self.solver, warm_start=False)
        except cp.SolverError as error:
            raise RuntimeError(f"cvxpy could not solve the program for {where}: {error}") from error
        if problem.status in ("infeasible", "infeasible_inaccurate"):
            raise ValueError(f"No decision satisfies the constraints for {where}.")
        if problem.status in ("unbounded", "unbounded_inaccurate"):
            raise ValueError(f"The objective has no best value for {where}: bound the decisions.")
        if problem.status not in ("optimal", "optimal_inaccurate"):
            raise RuntimeError(f"cvxpy stopped with status {problem.status!r} for {where}.")

    def _cost(self, xp: Any, decisions: Any, y: Any, context: Any) -> Any:
        if isinstance(y, np.ndarray):
            return self._costs(decisions, y)[:, 0].astype(y.dtype, copy=False)
        from ..layers.numeric import differentiate_rows

        decisions = xp.broadcast_to(decisions, (y.shape[0], decisions.shape[1]))
        return differentiate_rows(self._costs, [decisions, y], steps=[None, None])[:, 0]

    def _costs(self, decisions: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the cost of each row as a column (n, 1)."""
        program = self._program()
        costs = np.empty((len(y), 1))
        for i, row in enumerate(y):
            program.parameter.value = row.astype(np.float64)
            decision = decisions[i if len(decisions) > 1 else 0].astype(np.float64)
            costs[i] = program.sign * self._objective(program, decision, i)
        return costs

    def _objective(self, program: "_Program", decision: np.ndarray, row: int) -> float:
        if program.recourse is None:
            program.variable.value = decision.reshape(program.variable.shape)
            return float(program.problem.objective.value)
        problem, held = program.recourse
        held.value = decision.reshape(held.shape)
        self._run(problem, f"the decision of row {row} held")
        return float(problem.value)

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return, for each row, whether the constraints hold to an absolute `tol`.

        Constraints on other variables, or on the parameter, are not looked at without `y`.
        """
        z, program = as_rows(decisions, "decisions"), self._program()
        self._check_decision_width(z, program.parameter.size)
        rows = None if y is None else as_rows(y, "y")
        feasible = np.isfinite(z).all(axis=1)
        for i in np.flatnonzero(feasible):
            program.variable.value = np.asarray(z[i], float).reshape(program.variable.shape)
            program.parameter.value = None if rows is None else np.asarray(rows[i], float)
            for constraint in program.problem.constraints:
                others = [each for each in constraint.variables() if each is not program.variable]
                if others or (rows is None and constraint.parameters()):
                    continue
                feasible[i] &= bool(np.max(constraint.violation()) <= tol)
        return feasible

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the best decision as a function of the parameter, by cvxpylayers.

        There is nothing to smooth: `smoothing` must be None. Add a quadratic term to the objective
        where the best decision jumps.
        """
        from ..layers.convex import ConvexLayer

        if smoothing is not None:
            raise ValueError(
                f"smoothing must be a finite number only for problems that know how to smooth; for "
                f"ConvexProgram it must be None, got {smoothing!r}. Add a quadratic term to the "
                "objective."
            )
        program = self._program()
        if program.problem.is_mixed_integer():
            raise ValueError(
                "The program has whole-number variables, so its decision has no slope. Train with "
                "TwoStageRegressor, or relax the variables."
            )
        if not program.problem.is_dcp(dpp=True):
            raise ValueError(
                "The program does not follow cvxpy's rules for parameters (DPP), so it cannot be "
                "differentiated. See cvxpy's tutorial on disciplined parametrized programming; "
                "often a variable for the product with the parameter helps."
            )
        return ConvexLayer(self)


class _Program(NamedTuple):
    """What a builder returned, checked.

    Attributes
    ----------
    sign : float
        -1 where the objective is maximised.
    recourse : tuple (problem, held) or None
        Where there are other variables: the same problem with the decision held at a parameter.
    """

    problem: Any
    parameter: Any
    variable: Any
    sign: float
    recourse: tuple[Any, Any] | None

    @staticmethod
    def of(builder: Callable[[], tuple[Any, Any, Any]]) -> "_Program":
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        built = builder()
        kinds = (cp.Problem, cp.Parameter, cp.Variable)
        if not (
            isinstance(built, tuple)
            and len(built) == 3
            and all(isinstance(each, kind) for each, kind in zip(built, kinds, strict=True))
        ):
            raise ValueError(
                "builder must return (problem, parameter, variable), a cvxpy.Problem, a "
                f"cvxpy.Parameter and a cvxpy.Variable; got {built!r}."
            )
        problem, parameter, variable = built
        for what, leaf in (("parameter", parameter), ("variable", variable)):
            if leaf.ndim > 1:
                raise ValueError(f"The {what} must be a vector, got shape {leaf.shape}.")
        others = [each for each in problem.parameters() if each is not parameter]
        if others or not problem.parameters():
            raise ValueError(
                f"The problem must have the returned parameter and no other; it has "
                f"{[each.name() for each in problem.parameters()]}. Constants can be arrays."
            )
        if not any(each is variable for each in problem.variables()):
            raise ValueError("The returned variable does not occur in the problem.")
        if not problem.is_dcp():
            raise ValueError(
                "The problem is not convex by cvxpy's rules (DCP), so that no solver can promise "
                "the best decision."
            )
        recourse = None
        if len(problem.variables()) > 1:
            held = cp.Parameter(variable.shape)
            limits = [*problem.constraints, variable == held]
            recourse = cp.Problem(problem.objective, limits), held
        sign = -1.0 if isinstance(problem.objective, cp.Maximize) else 1.0
        return _Program(problem, parameter, variable, sign, recourse)
