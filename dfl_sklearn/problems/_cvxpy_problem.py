"""A problem stated as a cvxpy program, which is set to the numbers of a row and solved."""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from array_api_compat import is_torch_array

from .._utils.checks import number
from .._utils.optional import import_optional
from .._utils.progress import counted
from .._utils.rows import as_numpy_rows
from ..solvers.cvxpy_programs import solve_canonical
from ..solvers.linear import NoDecisionError, NoMinimumError
from ._context import Column, refuse_one_number
from ._cvxpy_parts import CvxpyProgram, WithoutNames, parts_at, parts_of
from ._cvxpy_program import BuiltProgram
from ._endless import endless_variables
from ._soft_constraints import soft_parts
from .base import DecisionProblem

_KEPT = threading.local()  # programs store the values of the last solve: one per thread


class CvxpyProblem(DecisionProblem):
    """The part of :class:`~dfl_sklearn.problems.ConvexProgram` that works on its cvxpy program.

    The program is built once for each builder and thread. For each row its parameters are set to y
    and the context, its variables to decisions, and it is solved. Errors name the row.
    """

    builder: Callable[[], CvxpyProgram | tuple[Any, Any, Any]]
    solver: str | None
    penalty: float | None

    # -- the program -------------------------------------------------------------------

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
        """Return the parts of a newly built program, whose values nothing else sets."""
        return soft_parts(parts_of(self.builder), self.penalty)

    def _parts_at(self, row: np.ndarray) -> CvxpyProgram:
        """Return the same with a row (c,) of the context as constants."""
        return parts_at(self._parts(), row)

    def _n_parameters(self) -> int:
        return self._program().n_parameters

    def _what_parameters_are(self) -> str:
        each = self._program().parameters
        return "the entries of " + ", ".join(f"{one.name()!r} ({one.size})" for one in each)

    def _n_decisions(self, n_parameters: int) -> int:
        return self._program().n_decisions

    # -- what y may be -----------------------------------------------------------------

    @property
    def nonnegative(self) -> bool:  # type: ignore[override]
        """Whether negative observed parameters are an error: all are declared to have that sign."""
        return bool((self._program().domain.lower >= 0).all())

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError, naming the row, if observed `y` is not what cvxpy was told it is."""
        super().check_parameters(y)
        self._program().check_rows(as_numpy_rows(y, "y"), None)

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Move generated `y` to the signs and bounds of the parameters, and report the share.

        These are ``nonneg=True``, ``nonpos=True`` and ``bounds=``. Other attributes, such as
        ``PSD=True``, move nothing.
        """
        values, _ = super().project_parameters(y)
        return self._program().domain.project(values)

    # -- context -----------------------------------------------------------------------

    def context_columns(self) -> list[Column]:
        """Return the columns that context parameters are read from, in order.

        These are names where the parameters have names, see :class:`CvxpyProgram`, else positions.
        """
        columns = self._program().columns
        return list(range(len(columns)) if isinstance(self.builder, WithoutNames) else columns)

    def _by_position(self) -> Any:
        there = copy.copy(self)
        there.builder = WithoutNames(self.builder)
        return there

    def _check_context(
        self, context: Any, n_rows: int, like: Any = None, compared: str = "y has"
    ) -> Any:
        columns = self.context_columns()
        is_table = hasattr(context, "columns") or hasattr(context, "to_frame")
        if context is not None and not is_table and any(isinstance(each, str) for each in columns):
            refuse_one_number(context, columns, n_rows)
            raise ValueError(
                f"ConvexProgram reads {', '.join(map(repr, columns))} from the context, which has "
                "no column names. Give a pandas DataFrame, or omit the name= of the program's "
                "context parameters, which are then read by position."
            )
        return super()._check_context(context, n_rows, like, compared)

    def _check_context_values(self, context: np.ndarray) -> None:
        program = self._program()
        program.check_width(context)
        if any(each.num_attributes for each in program.context):
            for i, row in enumerate(context):
                program.set_context(row, i)

    def _context_rows(self, context: Any) -> np.ndarray | None:
        """Return rows of context as an array, or None."""
        if context is None:
            return None
        context = _as_array(context)
        self._program().check_width(context)
        return context

    # -- rows and runs ------------------------------------------------------------------

    def _set_row(self, row: np.ndarray, context: np.ndarray | None, number: int) -> None:
        """Set the parameters to a row of y and of the context, or raise an error that names it."""
        program = self._program()
        if context is not None:
            program.set_context(context, number)
        program.set_parameters(row, number)

    def _rows_set(
        self, y: np.ndarray, context: np.ndarray | None, numbers: np.ndarray
    ) -> Iterator[tuple[int, BuiltProgram]]:
        """Yield the number of each of these rows, and the program with its parameters set to it."""
        for i in counted(map(int, numbers), "rows solved", len(numbers)):
            self._set_row(y[i], None if context is None else context[i], i)
            yield i, self._program()

    def _decisions_set(
        self, decisions: Any, y: Any, context: Any, tol: float
    ) -> Iterator[tuple[np.ndarray, BuiltProgram]]:
        """Yield each decision, and the program set to it and to the parameters of its row."""
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

    def _run(self, program: BuiltProgram, problem: Any, where: str) -> None:
        with self._explained(where, problem):
            if self.solver is None:
                solve_canonical(problem, **program.options)
                return
            # With a warm start, a decision would depend on the rows before it.
            problem.solve(solver=self.solver, warm_start=False, **program.options)
            if problem.status in ("infeasible", "infeasible_inaccurate"):
                raise NoDecisionError
            if problem.status in ("unbounded", "unbounded_inaccurate"):
                raise NoMinimumError
        if problem.status != "optimal":
            raise RuntimeError(
                f"{self.solver} stopped with status {problem.status!r} for {where}, which is no "
                "answer. Leave solver=None, or choose units for variables and constraints in which "
                "their numbers are of similar size."
            )

    @contextmanager
    def _explained(self, where: str, problem: Any = None) -> Iterator[None]:
        """Add to the errors of a solver the row, and variables of a problem that are not bounded.

        None is the problem itself, without the values of its parameters.
        """
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        try:
            yield
        except NoDecisionError as error:
            raise NoDecisionError(f"No decision satisfies the constraints for {where}.") from error
        except NoMinimumError as error:
            if problem is None:
                names = [each.name() for each in self._program().problem.variables()]
            else:
                names = endless_variables(problem)
            raise ValueError(
                f"The objective is unbounded for {where}: one of {', '.join(names)} has no bound "
                "on the side where it pays. Bound the decisions."
                if len(names) > 1
                else f"The objective is unbounded for {where}: {names[0]} has no bound on the side "
                "where it pays. Bound the decisions."
            ) from error
        except (cp.SolverError, RuntimeError, ValueError, ArithmeticError) as error:
            raise RuntimeError(f"The program could not be solved for {where}: {error}") from error


def _as_array(context: Any) -> np.ndarray:
    """Return rows of context, which may be a torch tensor, in float64."""
    if is_torch_array(context):
        context = context.detach().cpu().numpy()
    return np.asarray(context, dtype=np.float64)
