"""A convex program of the user's own, written in cvxpy."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from array_api_compat import is_torch_array

from .._utils.optional import import_optional
from .._utils.row_numbers import renumbered
from .._utils.rows import as_numpy_rows
from ..solvers.cvxpy_programs import solve_canonical
from ..solvers.cvxpy_terms import holds, is_as_declared
from ..solvers.linear import NoDecisionError, NoMinimumError
from ._context import Column
from ._cvxpy_program import BuiltProgram, CvxpyProgram, is_dpp_given_context, parts_at, parts_of
from .base import DecisionProblem

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ._parametric import Found

_KEPT = threading.local()  # programs hold the values of the last solve, so threads share none


class ConvexProgram(DecisionProblem):
    """Minimise (or maximise) what a function of yours writes down in cvxpy.

    Parameters
    ----------
    builder : callable
        Takes nothing and returns a :class:`CvxpyProgram`: a ``cvxpy.Problem``, its parameters that
        a model predicts, its variables that are decided, and its parameters that are read from the
        context. Without a context it may return ``(problem, parameter, variable)`` instead. Other
        variables are free to be chosen once the parameters are known. A function at the top of a
        module, so that it can be pickled; it must always return the same program, which is kept.
    solver : str, default=None
        None is PIQP, HiGHS (whole numbers) or Clarabel (cones), with numbers scaled and every
        answer checked. A name is handed to ``cvxpy.Problem.solve``:
        decisions are then as accurate as that solver's tolerances, which are often absolute.

    Notes
    -----
    The cost of a decision is the objective at it, negated where it is maximised. Where there are
    other variables, the cost is that of their best values with the decision held.

    Linear and quadratic programs whose costs and right-hand sides alone depend on parameters are
    written down once; all rows of a table or batch are then solved, costed and differentiated
    together. Rows of other programs are solved one after the other by cvxpy, and those with several
    best decisions too; problems of this package with a closed form are many times faster.

    The other programs are trained through `cvxpylayers`, which differentiates programs that follow
    cvxpy's rules for parameters (DPP); integer variables cannot be differentiated. Where a program
    follows these rules only once its context is known, for example because it multiplies a known
    price by a predicted demand, a layer is made for each distinct context, and rows are solved more
    slowly. There is no slope in the context.

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

    def __init__(
        self,
        builder: Callable[[], CvxpyProgram | tuple[Any, Any, Any]],
        solver: str | None = None,
    ):
        self.builder = builder
        self.solver = solver

    # -- the program -------------------------------------------------------------------

    def _check_constants(self) -> None:
        if not (self.solver is None or isinstance(self.solver, str)):
            raise ValueError(f"solver must be the name of a solver or None, got {self.solver!r}.")
        self._program()

    def _program(self) -> BuiltProgram:
        if not callable(self.builder):
            raise ValueError(
                f"builder must be a function that returns (problem, parameter, variable) or a "
                f"CvxpyProgram, got {self.builder!r}."
            )
        kept = _KEPT.__dict__.setdefault("programs", WeakKeyDictionary())
        try:
            is_known = self.builder in kept
        except TypeError as error:
            raise ValueError(
                f"builder must be a plain function, or hashable like one: {error}"
            ) from error
        if not is_known:
            kept[self.builder] = BuiltProgram.of(self.builder)
        return kept[self.builder]

    def _n_parameters(self) -> int:
        return self._program().n_parameters

    def _n_decisions(self, n_parameters: int) -> int:
        return self._program().n_decisions

    # -- context -----------------------------------------------------------------------

    def context_columns(self) -> list[Column]:
        """Return the columns that context parameters are read from, in order.

        Their names where the parameters have names, see :class:`CvxpyProgram`, else positions.
        """
        return list(self._program().columns)

    def _check_context(
        self, context: Any, n_rows: int, like: Any = None, compared: str = "y has"
    ) -> Any:
        columns = self.context_columns()
        is_table = hasattr(context, "columns") or hasattr(context, "to_frame")
        if context is not None and not is_table and any(isinstance(each, str) for each in columns):
            raise ValueError(
                f"ConvexProgram reads {', '.join(map(repr, columns))} from the context, which has "
                "no column names. Give a pandas DataFrame, or leave out the name= of the program's "
                "context parameters, to have them read by position."
            )
        return super()._check_context(context, n_rows, like, compared)

    def _check_context_values(self, context: np.ndarray) -> None:
        program = self._program()
        program.check_width(context)
        if any(each.num_attributes for each in program.context):
            for i, row in enumerate(context):
                program.set_context(row, i)

    def _set_row(self, row: np.ndarray, context: np.ndarray | None, number: int) -> None:
        """Set the parameters to a row of y and of the context, or say why they cannot take it."""
        program = self._program()
        if context is not None:
            program.set_context(context, number)
        program.set_parameters(row, number)

    def _rows_set(
        self, y: np.ndarray, context: np.ndarray | None, numbers: np.ndarray
    ) -> Iterator[tuple[int, BuiltProgram]]:
        """Yield the number of each of some rows, and the program with its parameters set to it."""
        for i in map(int, numbers):
            self._set_row(y[i], None if context is None else context[i], i)
            yield i, self._program()

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        y, context = np.asarray(y, np.float64), self._context_rows(context)
        decisions, done = np.empty((len(y), self._program().n_decisions)), np.zeros(len(y), bool)
        if self.solver is None and len(y):
            found = self.minimisers(_tensor(y), context)
            if found is not None:
                decisions[:], done = (each.numpy() for each in found)
        what = "y" if context is None else "y and the context"
        for i, program in self._rows_set(y, context, np.flatnonzero(~done)):
            self._run(program, program.problem, f"row {i} of {what}")
            decisions[i] = program.decision()
        return decisions

    def minimisers(self, y: "torch.Tensor", context: np.ndarray | None) -> "Found | None":
        """Return the best decisions (B, k) of linear and quadratic programs, all rows at once.

        They are right where there is only one. None where the program is another one.
        """
        program = self._program()
        if program.parametric is None:
            return None
        program.check_rows(y.detach().numpy(), context)
        return program.parametric.decide(_beside(y, context))

    def _context_rows(self, context: Any) -> np.ndarray | None:
        """Return rows of context as an array, if there are such."""
        if context is None:
            return None
        context = _as_array(context)
        self._program().check_width(context)
        return context

    def _run(self, program: BuiltProgram, problem: Any, where: str) -> None:
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        infeasible = f"No decision satisfies the constraints for {where}."
        endless = f"The objective has no best value for {where}: bound the decisions."
        try:
            if self.solver is None:
                solve_canonical(problem, **program.options)
                return
            # A warm start would make a decision depend on the rows before.
            problem.solve(solver=self.solver, warm_start=False, **program.options)
        except NoDecisionError as error:
            raise ValueError(infeasible) from error
        except NoMinimumError as error:
            raise ValueError(endless) from error
        except (cp.SolverError, RuntimeError, ValueError, ArithmeticError) as error:
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
            z, rows = _tensor(decisions), _tensor(y)
            return self._tensor_cost(z, rows, self._context_rows(context)).numpy()
        import torch

        z, rows = (each.to("cpu", torch.float64) for each in (decisions, y))
        return self._tensor_cost(z, rows, self._context_rows(context)).to(y)

    def _tensor_cost(
        self, decisions: "torch.Tensor", y: "torch.Tensor", context: np.ndarray | None
    ) -> "torch.Tensor":
        """Return the cost (n,) of decisions (n, k) or (1, k) under y (n, d), differentiably."""
        decisions, program = decisions.expand(len(y), decisions.shape[1]), self._program()
        import torch

        cost, rest = y.new_zeros(len(y)), np.arange(len(y))
        if len(y) and program.parametric is not None:
            program.check_rows(y.detach().numpy(), context)
            cost, is_right = program.parametric.cost(decisions, _beside(y, context))
            rest = np.flatnonzero(~is_right.numpy())
        if not len(rest):
            return cost
        one_by_one = self._cost_one_by_one(decisions[rest], y[rest], context, rest)
        return cost.index_put((torch.as_tensor(rest),), one_by_one)

    def _cost_one_by_one(
        self,
        decisions: "torch.Tensor",
        y: "torch.Tensor",
        context: np.ndarray | None,
        numbers: np.ndarray,
    ) -> "torch.Tensor":
        """Return the costs of some rows, which have these numbers, from the program itself."""
        from ..layers.numeric import differentiate_rows

        known = None if context is None else context[numbers]
        held = decisions.detach()
        fixed, observed = held.numpy(), y.detach().numpy()
        with_slopes = decisions.requires_grad
        with renumbered(numbers):
            found = y.new_tensor(self._costs(fixed, observed, known, with_slopes=with_slopes))
            costs = found[:, 0]
            if y.requires_grad:
                costs = differentiate_rows(
                    lambda rows: self._costs(fixed, rows, known), [y], steps=[]
                )[:, 0]
        return costs + ((decisions - held) * found[:, 1:]).sum(1) if with_slopes else costs

    def _costs(
        self,
        decisions: np.ndarray,
        y: np.ndarray,
        context: np.ndarray | None,
        *,
        with_slopes: bool = False,
    ) -> np.ndarray:
        """Return the cost of each row as a column (n, 1), its slopes in the decision behind it."""
        costs = np.empty((len(y), 1 + with_slopes * self._program().n_decisions))
        for i, program in self._rows_set(y, context, np.arange(len(y))):
            costs[i] = self._cost_and_slopes(program, decisions[i], i, with_slopes)
        return costs

    def _cost_and_slopes(
        self, program: BuiltProgram, decision: np.ndarray, row: int, with_slopes: bool
    ) -> np.ndarray:
        if program.recourse is None:
            program.set_decision(decision)
            cost = program.sign * float(program.problem.objective.value)
            slopes = program.sign * program.slope() if with_slopes else np.zeros(0)
        else:
            problem = program.recourse[0]
            program.hold(decision)
            self._run(program, problem, f"the decision of row {row} held")
            cost = program.sign * float(problem.value)
            slopes = program.held_slope() if with_slopes else np.zeros(0)
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

        Constraints on other variables are not looked at, nor, without `y`, are those on what is
        predicted.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
        y : array-like of shape (n,) or (n, d), default=None
            The parameters.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where the program has context parameters.
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
        known = self.context_rows(context, len(z))
        program.unset_parameters()
        feasible = np.isfinite(z).all(axis=1)
        for i in np.flatnonzero(feasible):
            if known is not None:
                program.set_context(known[i], int(i))
            if rows is not None:
                program.set_parameters(rows[i], int(i))
            program.set_decision(np.asarray(z[i], float))
            # nonneg=True and the like stand with the variable, not among the constraints.
            feasible[i] = all(
                is_as_declared(each, tol, atol) for each in program.decisions
            ) and all(
                holds(each, program.decisions, tol, atol)
                for each in program.limits_on_decisions(with_parameters=rows is not None)
            )
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
        is_by_context = not program.problem.is_dcp(dpp=True)
        if is_by_context and not (program.context and is_dpp_given_context(self.builder)):
            raise ValueError(
                "The program does not follow cvxpy's rules for parameters (DPP), so it cannot be "
                "differentiated. See cvxpy's tutorial on disciplined parametrized programming; "
                "often a variable for the product with the parameter helps, or a constraint in the "
                "place of a variable's bound."
            )
        return ConvexLayer(
            partial(parts_at if is_by_context else parts_of, self.builder),
            self.solve_rows,
            self._set_row,
            self.minimisers,
            n_parameters=program.n_parameters,
            n_context=len(program.columns),
            n_decisions=program.n_decisions,
            is_by_context=is_by_context,
        )


def _tensor(values: Any) -> "torch.Tensor":
    """Return an array, copied to float64, as a tensor; torch is imported where it is needed."""
    import torch

    return torch.as_tensor(np.array(values, dtype=np.float64))


def _beside(y: "torch.Tensor", context: np.ndarray | None) -> "torch.Tensor":
    """Return the parameters of each row: those in y and, after them, those in the context."""
    import torch

    return y if context is None else torch.cat([y, torch.as_tensor(context)], dim=1)


def _as_array(context: Any) -> np.ndarray:
    """Return rows of context, which may be a torch tensor, in float64."""
    if is_torch_array(context):
        context = context.detach().cpu().numpy()
    return np.asarray(context, dtype=np.float64)
