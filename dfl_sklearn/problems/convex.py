"""A convex program of the user's own, written in cvxpy."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from .._utils.optional import import_optional
from .._utils.rows import as_numpy_rows
from ..solvers.cvxpy_programs import solve_canonical
from ..solvers.linear import NoDecisionError, NoMinimumError
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
        once the parameter is known. A function at the top of a module, so that it can be pickled;
        it must always return the same program, which is kept.
    solver : str, default=None
        None is HiGHS for linear programs, whole numbers included, and Clarabel for others, with
        numbers scaled and every answer checked. A name is handed to ``cvxpy.Problem.solve``:
        decisions are then as accurate as that solver's tolerances, which are often absolute.

    Notes
    -----
    The cost of a decision is the objective at it, negated where it is maximised. Where there are
    other variables, the cost is that of their best values with the decision held (a second solve
    for each row). Rows are solved one after the other; problems of this package with a closed form
    or a batched solver are many times faster.

    A model is trained through `cvxpylayers`, which differentiates programs that follow cvxpy's
    rules for parameters (DPP); integer variables cannot be differentiated.

    Decisions are checked in the units given: constraints hold to 1e-8 of their absolute terms, and
    the dual values prove that no decision is cheaper by more than 1e-7 of the absolute terms of the
    cost. What cannot be proven is an error.

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
        if not (self.solver is None or isinstance(self.solver, str)):
            raise ValueError(f"solver must be the name of a solver or None, got {self.solver!r}.")
        self._program()

    def _program(self) -> "_Program":
        if not callable(self.builder):
            raise ValueError(
                f"builder must be a function that returns (problem, parameter, variable), got "
                f"{self.builder!r}."
            )
        kept = _KEPT.__dict__.setdefault("programs", WeakKeyDictionary())
        try:
            is_known = self.builder in kept
        except TypeError as error:
            raise ValueError(
                f"builder must be a plain function, or hashable like one: {error}"
            ) from error
        if not is_known:
            kept[self.builder] = _Program.of(self.builder)
        return kept[self.builder]

    def _n_parameters(self) -> int:
        return int(self._program().parameter.size)

    def _n_decisions(self, n_parameters: int) -> int:
        return int(self._program().variable.size)

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        program = self._program()
        decisions = np.empty((len(y), program.variable.size))
        for i, row in enumerate(y):
            program.set_parameter(row, i)
            self._run(program.problem, f"row {i} of y")
            decisions[i] = np.ravel(program.variable.value)
        return decisions

    def _run(self, problem: Any, where: str) -> None:
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        infeasible = f"No decision satisfies the constraints for {where}."
        endless = f"The objective has no best value for {where}: bound the decisions."
        try:
            if self.solver is None:
                solve_canonical(problem)
                return
            # A warm start would make a decision depend on the rows before.
            problem.solve(solver=self.solver, warm_start=False)
        except NoDecisionError as error:
            raise ValueError(infeasible) from error
        except NoMinimumError as error:
            raise ValueError(endless) from error
        except (cp.SolverError, RuntimeError) as error:
            raise RuntimeError(f"The program could not be solved for {where}: {error}") from error
        if problem.status in ("infeasible", "infeasible_inaccurate"):
            raise ValueError(infeasible)
        if problem.status in ("unbounded", "unbounded_inaccurate"):
            raise ValueError(endless)
        if problem.status != "optimal":
            raise RuntimeError(
                f"{self.solver} stopped with status {problem.status!r} for {where}, which is no "
                "answer. Leave solver=None, or give variables and constraints units in which their "
                "numbers are alike."
            )

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        if isinstance(y, np.ndarray):
            return self._costs(decisions, y)[:, 0]
        from ..layers.numeric import differentiate_rows

        decisions = decisions.expand(y.shape[0], decisions.shape[1])
        held = decisions.detach()
        fixed, observed = (each.cpu().numpy() for each in (held, y.detach()))
        found = y.new_tensor(self._costs(fixed, observed, with_slopes=decisions.requires_grad))
        costs = found[:, 0]
        if y.requires_grad:
            costs = differentiate_rows(lambda rows: self._costs(fixed, rows), [y], steps=[])[:, 0]
        if not decisions.requires_grad:
            return costs
        return costs + ((decisions - held) * found[:, 1:]).sum(1)

    def _costs(
        self, decisions: np.ndarray, y: np.ndarray, *, with_slopes: bool = False
    ) -> np.ndarray:
        """Return the cost of each row as a column (n, 1), its slopes in the decision behind it."""
        program = self._program()
        costs = np.empty((len(y), 1 + with_slopes * program.variable.size))
        for i, row in enumerate(y):
            program.set_parameter(row, i)
            decision = decisions[i if len(decisions) > 1 else 0].astype(np.float64)
            costs[i] = self._cost_and_slopes(program, decision, i, with_slopes)
        return costs

    def _cost_and_slopes(
        self, program: "_Program", decision: np.ndarray, row: int, with_slopes: bool
    ) -> np.ndarray:
        if program.recourse is None:
            program.set_decision(decision)
            cost = program.sign * float(program.problem.objective.value)
            slopes = program.sign * program.slope() if with_slopes else np.zeros(0)
        else:
            problem, held, constraint = program.recourse
            held.value = decision.reshape(held.shape)
            self._run(problem, f"the decision of row {row} held")
            cost = program.sign * float(problem.value)
            # How the best cost follows what is held (the envelope theorem).
            slopes = -np.ravel(constraint.dual_value) if with_slopes else np.zeros(0)
        return np.concatenate([[cost], slopes])

    def is_feasible(
        self,
        decisions: Any,
        y: Any = None,
        *,
        context: Any = None,
        tol: float = 1e-6,
        atol: float = 1e-9,
    ) -> np.ndarray:
        """Return, for each row, whether the constraints hold.

        Constraints on other variables are not looked at, nor are those on the parameter without
        `y`.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
        y : array-like of shape (n,) or (n, d), default=None
            The parameters.
        context : None
        tol : float, default=1e-6
            By how much a constraint may be missed, as a share of its absolute terms.
        atol : float, default=1e-9
            By how much more it may be missed, in its own unit.

        Returns
        -------
        ndarray of bool of shape (n,)
        """
        z, program = self._decision_rows(decisions, y, context, tol), self._program()
        rows = None if y is None else as_numpy_rows(y, "y")
        feasible = np.isfinite(z).all(axis=1)
        for i in np.flatnonzero(feasible):
            decision = program.set_decision(np.asarray(z[i], float))
            program.parameter.save_value(None)
            if rows is not None:
                program.set_parameter(rows[i], int(i))
            # nonneg=True and the like stand with the variable, not among the constraints.
            nearest = np.asarray(program.variable.project(decision))
            slack = tol * np.abs(decision) + atol
            feasible[i] &= bool((np.abs(nearest - decision) <= slack).all())
            for constraint in program.problem.constraints:
                others = [each for each in constraint.variables() if each is not program.variable]
                if others or (rows is None and constraint.parameters()):
                    continue
                missed = np.ravel(constraint.violation())
                feasible[i] &= bool((missed <= tol * program.size(constraint) + atol).all())
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
        return ConvexLayer(
            self.builder, self.solve_rows, program.parameter.shape, program.variable.size
        )


class _Program(NamedTuple):
    """What a builder returned, checked.

    Attributes
    ----------
    sign : float
        -1 where the objective is maximised.
    recourse : tuple (problem, held, constraint) or None
        Where there are other variables: the same problem with the decision held at a parameter.
    """

    problem: Any
    parameter: Any
    variable: Any
    sign: float
    recourse: tuple[Any, Any, Any] | None

    def set_parameter(self, row: np.ndarray, number: int) -> None:
        """Set the parameter, or name the row whose values it cannot take."""
        try:
            self.parameter.value = np.asarray(row, dtype=np.float64).reshape(self.parameter.shape)
        except ValueError as error:
            raise ValueError(
                f"Row {number} of y, {np.asarray(row).tolist()}, cannot be the program's "
                f"parameter: {error} The last layer of a net can keep predictions in its domain."
            ) from error

    def set_decision(self, decision: np.ndarray) -> np.ndarray:
        """Set the variable, whatever its attributes say, and return the value set."""
        value = decision.reshape(self.variable.shape)
        self.variable.save_value(value)
        return value

    def size(self, constraint: Any) -> Any:
        """Return the absolute terms of a constraint, entry by entry, at the present values.

        Those of its linear part, where it has a slope; else the absolute values of its sides.
        """
        expression: Any = getattr(constraint, "expr", None)
        gradient = None if expression is None else expression.grad.get(self.variable)
        if gradient is None or constraint.size != expression.size:
            return max(float(np.abs(side.value).max()) for side in constraint.args)
        slopes = gradient.toarray() if hasattr(gradient, "toarray") else np.asarray(gradient)
        slopes = slopes.reshape(self.variable.size, -1)
        z = np.ravel(self.variable.value, order="F")
        rest = np.ravel(expression.value, order="F") - z @ slopes
        return np.abs(z) @ np.abs(slopes) + np.abs(rest)

    def slope(self) -> np.ndarray:
        """Return the slope of the objective in the variable, at their present values."""
        gradient = self.problem.objective.expr.grad[self.variable]
        if gradient is None:
            raise ValueError("The objective of the program has no slope at this decision.")
        return np.ravel(gradient.toarray() if hasattr(gradient, "toarray") else gradient)

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
            constraint = variable == held
            recourse = cp.Problem(problem.objective, [*problem.constraints, constraint])
            recourse = recourse, held, constraint
        sign = -1.0 if isinstance(problem.objective, cp.Maximize) else 1.0
        return _Program(problem, parameter, variable, sign, recourse)
