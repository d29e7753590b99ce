"""A convex program of the user's own, written in cvxpy."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from array_api_compat import is_torch_array

from .._utils.checks import number
from .._utils.optional import import_optional
from .._utils.row_numbers import renumbered
from .._utils.rows import as_numpy_rows
from ..solvers.cvxpy_programs import solve_canonical
from ..solvers.linear import NoDecisionError, NoMinimumError
from ._context import Column, refuse_one_number
from ._convex_prices import named, prices_of_row
from ._convex_scenarios import program_of_scenarios
from ._cvxpy_parts import CvxpyProgram, is_dpp_given_context, parts_at, parts_of
from ._cvxpy_program import BuiltProgram
from ._nearest import refuse_whole
from ._nearest_program import NearestProgram
from ._no_cost import NoCostError
from ._shadow_prices import ShadowPrices
from ._soft_constraints import soft_parts
from .base import DecisionProblem, scenario_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..solvers.extensive_form import ExtensiveForm
    from ._parametric import Found

_NEAR = 1e-6  # by which a decision with a cost may miss a constraint, as a share of its terms
_NEAR_0 = 1e-9  # the same, in the unit of the constraint
_NEAR_IN_LAYER = 1e-3  # as share of its terms, by decisions of cvxpylayers
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
    penalty : float, default=None
        What each unit costs by which a constraint on decisions alone is missed that depends on a
        predicted parameter, in the unit of the objective and as a loss. It is part of the cost, and
        of what decisions minimise. None: such a decision has no cost, which is an error.

    Notes
    -----
    The cost of a decision is the objective at it, negated where it is maximised. Where there are
    other variables, the cost is that of their best values with the decision held. A decision that
    misses a constraint by more than 1e-6 of its terms has no cost, which is an error that names it;
    that of cvxpylayers, in training, may miss it by 1e-3.

    With scenarios the mean cost is minimised: the decisions are shared, and the other variables and
    all constraints are repeated for each scenario. Constraints on decisions alone so hold in all of
    them, unless a `penalty` prices what they miss; where the scenarios contradict one another it is
    an error. A linear or quadratic program of 1,000 scenarios takes some tens of milliseconds.
    Others are written down by cvxpy, some milliseconds for each scenario. What cannot be proven
    best is solved for the mean of its scenarios, with a warning.

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

    Demand is predicted, and what was not bought before is bought late at 9 a unit:

    >>> def supply():
    ...     bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    ...     limits = [cp.sum(bought) >= demand, bought <= 10]
    ...     return cp.Problem(cp.Minimize(bought @ [1, 2]), limits), demand, bought
    >>> problem = ConvexProgram(supply, penalty=9.0)
    >>> bought = problem.solve([4.0, 13.0])
    >>> problem.cost(bought, [5.0, 13.0]).round(6)
    array([13., 16.])
    """

    exact_scenarios = True

    def __init__(
        self,
        builder: Callable[[], CvxpyProgram | tuple[Any, Any, Any]],
        solver: str | None = None,
        *,
        penalty: float | None = None,
    ):
        self.builder = builder
        self.solver = solver
        self.penalty = penalty

    @property
    def convex_decisions(self) -> bool:  # type: ignore[override]
        """Whether a mean of feasible decisions is feasible: no variable is a whole number."""
        return not self._program().problem.is_mixed_integer()

    # -- the program -------------------------------------------------------------------

    @property
    def most_scenarios(self) -> int:  # type: ignore[override]
        """Few where cvxpy writes a program down for each of them."""
        return 200 if self.solver is None and self._program().extensive is not None else 50

    def _check_constants(self) -> None:
        if not (self.solver is None or isinstance(self.solver, str)):
            raise ValueError(f"solver must be the name of a solver or None, got {self.solver!r}.")
        if self.penalty is not None:
            number(self.penalty, "penalty", above=0)
        self._program()

    def _program(self) -> BuiltProgram:
        if not callable(self.builder):
            raise ValueError(
                f"builder must be a function that returns (problem, parameter, variable) or a "
                f"CvxpyProgram, got {self.builder!r}."
            )
        kept = _KEPT.__dict__.setdefault("programs", WeakKeyDictionary())
        try:
            programs = kept.setdefault(self.builder, {})
        except TypeError as error:
            raise ValueError(
                f"builder must be a plain function, or hashable like one: {error}"
            ) from error
        if self.penalty not in programs:
            programs[self.penalty] = BuiltProgram.of(self.builder, self.penalty)
        return programs[self.penalty]

    def _parts(self) -> CvxpyProgram:
        """Return the parts of a program of its own, which nothing else sets."""
        return soft_parts(parts_of(self.builder), self.penalty)

    def _parts_at(self, row: np.ndarray) -> CvxpyProgram:
        """Return the same with a row (c,) of the context as constants."""
        return parts_at(self._parts(), row)

    @property
    def _has_every_cost(self) -> bool:
        program = self._program()
        if len(program.hard.problem.variables()) > len(program.decisions):
            return False  # nobody knows whether these make up for anything
        return self.penalty is not None or not program.is_uncertain

    def _n_parameters(self) -> int:
        return self._program().n_parameters

    def _what_parameters_are(self) -> str:
        each = self._program().parameters
        return "the entries of " + ", ".join(f"{one.name()!r} ({one.size})" for one in each)

    def _n_decisions(self, n_parameters: int) -> int:
        return self._program().n_decisions

    @property
    def decision_average(self) -> str:  # type: ignore[override]
        """What an ensemble averages: decisions, except whole numbers and where costs are linear."""
        program = self._program()
        is_linear = program.problem.objective.expr.is_affine() and program.recourse is None
        return "decisions" if self.convex_decisions and not is_linear else "predictions"

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
            refuse_one_number(context, columns, n_rows)
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

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decision (n, k) of the least mean cost over y (n, S, d), unchecked."""
        context, program = self._context_rows(context), self._program()
        form = None if self.solver is not None else program.extensive
        is_certain = (weight > 0).sum(axis=1) == 1
        if form is not None and form.is_linear_in(slice(program.n_parameters)):
            is_certain[:] = True
        certain = np.flatnonzero(is_certain)
        z = np.empty((len(y), program.n_decisions))
        if len(certain):
            mean = scenario_mean(y[certain], weight[certain])
            with renumbered(certain):
                z[certain] = self.solve_rows(mean, None if context is None else context[certain])
        unsolved: dict[int, RuntimeError] = {}
        for i in map(int, np.flatnonzero(~is_certain)):
            some = weight[i] > 0
            known = None if context is None else context[i]
            try:
                z[i] = self._decide_over(y[i, some], weight[i, some], known, i, form)
            except RuntimeError as error:
                unsolved[i] = error
                mean = scenario_mean(y[i : i + 1], weight[i : i + 1])
                with renumbered(np.array([i])):
                    z[i] = self.solve_rows(mean, None if known is None else known[None])[0]
        if unsolved:
            row = min(unsolved)
            warnings.warn(
                f"{len(unsolved)} of {len(y)} rows of ConvexProgram were solved for the mean of "
                f"their scenarios, which is approximate. {unsolved[row]}",
                UserWarning,
                stacklevel=3,
            )
        return z

    def _decide_over(
        self,
        y: np.ndarray,
        weight: np.ndarray,
        context: np.ndarray | None,
        row: int,
        form: "ExtensiveForm | None",
    ) -> np.ndarray:
        """Return the decision (k,) for scenarios y (S, d) of a row."""
        program = self._program()
        rows = None if context is None else np.repeat(context[None], len(y), axis=0)
        with renumbered(np.full(len(y), row)):
            program.check_rows(y, rows)
        where = f"all scenarios of row {row}"
        if form is None:
            with warnings.catch_warnings():
                # That it is long is no fault of the user's.
                warnings.filterwarnings("ignore", "(Objective|Constraint).*too many subexpressions")
                problem, decisions = program_of_scenarios(program, y, weight, context)
                self._run(program, problem, where)
            return np.concatenate([np.ravel(each.value) for each in decisions])
        with self._explained(where):
            return form.decide(y if rows is None else np.concatenate([y, rows], axis=1), weight)

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
        with self._explained(where):
            if self.solver is None:
                solve_canonical(problem, **program.options)
                return
            # A warm start would make a decision depend on the rows before.
            problem.solve(solver=self.solver, warm_start=False, **program.options)
            if problem.status in ("infeasible", "infeasible_inaccurate"):
                raise NoDecisionError
            if problem.status in ("unbounded", "unbounded_inaccurate"):
                raise NoMinimumError
        if problem.status != "optimal":
            raise RuntimeError(
                f"{self.solver} stopped with status {problem.status!r} for {where}, which is no "
                "answer. Leave solver=None, or give variables and constraints units in which their "
                "numbers are alike."
            )

    @contextmanager
    def _explained(self, where: str) -> Iterator[None]:
        """Say where it was that a solver raises an error."""
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        try:
            yield
        except NoDecisionError as error:
            raise NoDecisionError(f"No decision satisfies the constraints for {where}.") from error
        except NoMinimumError as error:
            raise ValueError(
                f"The objective has no best value for {where}: bound the decisions."
            ) from error
        except (cp.SolverError, RuntimeError, ValueError, ArithmeticError) as error:
            raise RuntimeError(f"The program could not be solved for {where}: {error}") from error

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        if isinstance(y, np.ndarray):
            z, rows = _tensor(decisions), _tensor(y)
            return self._tensor_cost(z, rows, self._context_rows(context), _NEAR).numpy()
        import torch

        z, rows = (each.to("cpu", torch.float64) for each in (decisions, y))
        near = _NEAR if self._program().parametric is not None else _NEAR_IN_LAYER
        return self._tensor_cost(z, rows, self._context_rows(context), near).to(y)

    def _tensor_cost(
        self,
        decisions: "torch.Tensor",
        y: "torch.Tensor",
        context: np.ndarray | None,
        near: float,
    ) -> "torch.Tensor":
        """Return the cost (n,) of decisions (n, k) or (1, k) under y (n, d), differentiably.

        Constraints on decisions may be missed by a share `near` of their terms.
        """
        decisions, program = decisions.expand(len(y), decisions.shape[1]), self._program()
        import torch

        is_known = torch.isfinite(decisions).all(dim=1) & torch.isfinite(y).all(dim=1)
        cost, rest = torch.where(is_known, 0.0, torch.nan).to(y), is_known.numpy()
        if len(y) and program.parametric is not None:
            program.check_rows(y.detach().numpy()[rest], None if context is None else context[rest])
            cost, is_right = program.parametric.cost(decisions, _beside(y, context))
            rest = rest & ~is_right.numpy()
        rest = np.flatnonzero(rest)
        if not len(rest):
            return cost
        one_by_one = self._cost_one_by_one(decisions[rest], y[rest], context, near, rest)
        return cost.index_put((torch.as_tensor(rest),), one_by_one)

    def _cost_one_by_one(
        self,
        decisions: "torch.Tensor",
        y: "torch.Tensor",
        context: np.ndarray | None,
        near: float,
        numbers: np.ndarray,
    ) -> "torch.Tensor":
        """Return the costs of some rows, which have these numbers, from the program itself."""
        from ..layers.numeric import differentiate_rows

        known = None if context is None else context[numbers]
        held = decisions.detach()
        fixed, observed = held.numpy(), y.detach().numpy()
        with_slopes = decisions.requires_grad
        with renumbered(numbers):
            found = y.new_tensor(self._costs(fixed, observed, known, near, with_slopes=with_slopes))
            costs = found[:, 0]
            if y.requires_grad:
                costs = differentiate_rows(
                    lambda rows: self._costs(fixed, rows, known, near), [y], steps=[]
                )[:, 0]
        return costs + ((decisions - held) * found[:, 1:]).sum(1) if with_slopes else costs

    def _costs(
        self,
        decisions: np.ndarray,
        y: np.ndarray,
        context: np.ndarray | None,
        near: float,
        *,
        with_slopes: bool = False,
    ) -> np.ndarray:
        """Return the cost of each row as a column (n, 1), its slopes in the decision behind it."""
        costs = np.empty((len(y), 1 + with_slopes * self._program().n_decisions))
        for i, program in self._rows_set(y, context, np.arange(len(y))):
            costs[i] = self._cost_and_slopes(program, decisions[i], i, near, with_slopes)
        return costs

    def _cost_and_slopes(
        self,
        program: BuiltProgram,
        decision: np.ndarray,
        row: int,
        near: float,
        with_slopes: bool,
    ) -> np.ndarray:
        program.set_decision(decision)
        # Solvers of layers are off by a share of the largest decision, others near 0 too.
        atol = _NEAR_0 if near == _NEAR else near * max(1.0, np.abs(decision).max())
        missed = program.missed(near, atol, with_parameters=self.penalty is None)
        if missed is not None:
            raise NoCostError.at(
                row,
                f"misses {missed}",
                "Where what comes true can break a constraint, give variables that make up for it, "
                "or penalty=, a price for each unit by which it is missed.",
            )
        if program.recourse is None:
            cost = program.sign * float(program.problem.objective.value)
            slopes = program.sign * program.slope() if with_slopes else np.zeros(0)
        else:
            problem = program.recourse[0]
            program.hold(decision)
            try:
                self._run(program, problem, f"the decision of row {row} held")
            except NoDecisionError:
                raise NoCostError.at(
                    row,
                    "leaves no values of the other variables that satisfy the constraints",
                    "Give variables that make up for any decision, at a price.",
                ) from None
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
        return np.array(
            [
                np.isfinite(row).all()
                and program.missed(tol, atol, with_parameters=y is not None) is None
                for row, program in self._decisions_set(decisions, y, context, tol)
            ],
            dtype=bool,
        )

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Constraints on other variables are not looked at, nor, without `y`, are those on what is
        predicted. They count whether or not a `penalty` prices them.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, k)
        y : array-like of shape (n,) or (n, d), default=None
            The parameters that came true.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where the program has context parameters.

        Returns
        -------
        ndarray of shape (n, m)
            0 where a constraint holds. The columns are the entries of the constraints in their
            order, and the distance of each decision from what its variable is declared to be.
        """
        rows = [
            program.violation(with_parameters=y is not None)
            for _, program in self._decisions_set(decisions, y, context, 0.0)
        ]
        return np.array(rows) if rows else self._program().no_violations(y is not None)

    def _shadow_prices(
        self, decisions: np.ndarray, y: np.ndarray, context: np.ndarray | None
    ) -> ShadowPrices:
        """Return slacks and prices of the constraints of linear and quadratic programs.

        Not of what variables are declared to be.
        """
        program = self._program()
        if program.extensive is None:
            raise NotImplementedError(
                "ConvexProgram knows shadow prices of linear and quadratic programs, whose costs "
                "and right-hand sides alone depend on parameters."
            )
        found = [
            prices_of_row(
                program,
                decisions[i],
                partial(self._run, program, where=f"the decision of row {i}"),
            )
            for i, _ in self._rows_set(y, context, np.arange(len(y)))
        ]
        return named(program, [each[0] for each in found], [each[1] for each in found])

    def uncertain_constraints(self, decisions: Any, y: Any, context: Any = None) -> tuple[Any, Any]:
        """Return what the constraints that depend on y are exceeded by; it checks nothing.

        Of linear and quadratic programs; an equation counts as two inequalities.

        Parameters
        ----------
        decisions : ndarray or torch.Tensor of shape (n, k)
        y : ndarray or torch.Tensor of shape (n, d)
        context : ndarray or torch.Tensor of shape (n, c) or None

        Returns
        -------
        excess, size : ndarray or torch.Tensor of shape (n, m)
            Positive where a constraint is missed; and the absolute right-hand sides.
        """
        uncertain = self._program().uncertain
        if uncertain is None or self._why_all_is_certain() is not None:
            return super().uncertain_constraints(decisions, y, context)
        if isinstance(y, np.ndarray):
            rows = _beside(_tensor(y), self._context_rows(context))
            excess, size = uncertain.excess(_tensor(decisions), rows)
            return excess.numpy(), size.numpy()
        z, rows = (each.to("cpu", _tensor(()).dtype) for each in (decisions, y))
        parts = uncertain.excess(z, _beside(rows, self._context_rows(context)))
        return parts[0].to(y), parts[1].to(y)

    def _why_all_is_certain(self) -> str | None:
        uncertain = self._program().uncertain
        if uncertain is None:
            return "knows them of linear and quadratic programs alone, without whole numbers"
        return None if uncertain.left.k else "has none on decisions alone"

    def _decisions_set(
        self, decisions: Any, y: Any, context: Any, tol: float
    ) -> Iterator[tuple[np.ndarray, BuiltProgram]]:
        """Yield each decision, and the program with it and the parameters of its row set."""
        z, program = self._decision_rows(decisions, y, context, tol), self._program()
        rows = None if y is None else as_numpy_rows(y, "y")
        known = self.context_rows(context, len(z))
        program.unset_parameters()
        for i, row in enumerate(z):
            if known is not None:
                program.set_context(known[i], i)
            if rows is not None:
                program.set_parameters(rows[i], i)
            program.set_decision(np.asarray(row, float))
            yield row, program

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
                "ScoreFunctionLoss, or relax the variables."
            )
        is_by_context = not program.problem.is_dcp(dpp=True)
        if is_by_context and not (program.context and is_dpp_given_context(self._parts())):
            raise ValueError(
                "The program does not follow cvxpy's rules for parameters (DPP), so it cannot be "
                "differentiated. See cvxpy's tutorial on disciplined parametrized programming; "
                "often a variable for the product with the parameter helps, or a constraint in the "
                "place of a variable's bound."
            )
        return ConvexLayer(
            self._parts_at if is_by_context else self._parts,
            self.solve_rows,
            self._set_row,
            self.minimisers,
            n_parameters=program.n_parameters,
            n_context=len(program.columns),
            n_decisions=program.n_decisions,
            is_by_context=is_by_context,
        )

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the nearest decision under the constraints that no prediction changes.

        A quadratic program where these are linear, and else by cvxpylayers. See
        :meth:`DecisionProblem.decision_projection`. Whole numbers are refused, and constraints on
        decisions alone that depend on what is predicted, unless a `penalty` prices them.
        """
        if self._program().problem.is_mixed_integer():
            refuse_whole(self)
        nearest = NearestProgram(self.builder, self.penalty is not None)
        return ConvexProgram(nearest).decision_layer()


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
