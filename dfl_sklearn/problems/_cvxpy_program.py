"""A program written in cvxpy, checked, whose parameters are set to rows of numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.optional import import_optional
from ..solvers.cvxpy_forms import CvxpyForm, standard_form
from ..solvers.cvxpy_terms import (
    OF_MATRICES,
    bounds_of,
    bounds_that_are_expressions,
    dense,
    distance,
    holds,
    is_as_declared,
)
from ..solvers.extensive_form import ExtensiveForm
from ._context import Column
from ._cvxpy_parts import CvxpyProgram, is_among, name_of, parts_of, replaced, split
from ._domain import Domain
from ._soft_constraints import soft_parts

if TYPE_CHECKING:
    from ._parametric import OnDecisions, ParametricDecision

_OFF = 1e-10  # cvxpy's tolerance for values of parameters with attributes


@dataclass(frozen=True, eq=False)
class BuiltProgram:
    """The program that a builder returned, checked.

    Attributes
    ----------
    problem : cvxpy.Problem
    parameters, context : tuple of cvxpy.Parameter
    decisions : tuple of cvxpy.Variable
    hard : CvxpyProgram
        The program before constraints were softened.
    limits : tuple of cvxpy.Constraint
        Constraints of the hard program, and bounds of the decisions that are expressions.
    columns : tuple of str or int
        Columns of the context.
    sign : float
        -1 where the objective is maximised.
    recourse : tuple (problem, held, constraints) or None
        Where there are other variables: the same problem with the decisions fixed by parameters.
    options : dict
        Options of ``cvxpy.Problem.solve``.
    """

    problem: Any
    parameters: tuple[Any, ...]
    decisions: tuple[Any, ...]
    context: tuple[Any, ...]
    hard: CvxpyProgram
    limits: tuple[Any, ...]
    columns: tuple[Column, ...]
    sign: float
    recourse: tuple[Any, tuple[Any, ...], tuple[Any, ...]] | None
    options: dict[str, bool]

    @property
    def n_parameters(self) -> int:
        """The number of columns of y."""
        return sum(int(each.size) for each in self.parameters)

    @property
    def n_decisions(self) -> int:
        """The number of columns of a decision."""
        return sum(int(each.size) for each in self.decisions)

    @cached_property
    def domain(self) -> Domain:
        """What the signs and bounds of the predicted parameters allow."""
        ends = zip(*map(bounds_of, self.parameters), strict=True)
        return Domain(*(np.concatenate([np.ravel(each) for each in part]) for part in ends))

    @cached_property
    def is_uncertain(self) -> bool:
        """Whether a constraint on decisions depends on what is predicted."""
        return len(list(self.limits_on_decisions(with_parameters=True))) > len(
            list(self.limits_on_decisions(with_parameters=False))
        )

    @cached_property
    def parametric(self) -> "ParametricDecision | None":
        """The program for many rows at once, where it is a linear or quadratic one.

        Only its costs and right-hand sides may depend on parameters. The call changes the values of
        parameters and variables.
        """
        from ._parametric import ParametricDecision

        form = self._standard_form(self.problem)
        return form and ParametricDecision(form)

    @cached_property
    def extensive(self) -> ExtensiveForm | None:
        """The program of one decision for several scenarios, where it has a standard form."""
        form = self._standard_form(self.problem)
        return form and ExtensiveForm(*form, "ConvexProgram")

    @cached_property
    def uncertain(self) -> "OnDecisions | None":
        """The constraints on decisions that depend on predictions, where all are affine."""
        from ._parametric import OnDecisions

        form = self._standard_form(self.hard.problem)
        return form and OnDecisions(form, slice(self.n_parameters))

    def _standard_form(self, problem: Any) -> CvxpyForm | None:
        """Return a problem with these parameters and decisions in standard form, if it has one."""
        if problem.is_mixed_integer() or not _is_dpp(problem):
            return None
        leaves = (*self.parameters, *self.context)
        return standard_form(problem, leaves, self.decision, **self.options)

    # -- numbers -------------------------------------------------------------------------

    def check_rows(self, y: np.ndarray, context: np.ndarray | None) -> None:
        """Raise a ValueError that names a row of y (n, d) or context that is not valid."""
        if not all(map(_takes_any, self.parameters)):
            for i, row in enumerate(y):
                self.set_parameters(row, i)
        if context is not None and not all(map(_takes_any, self.context)):
            for i, row in enumerate(context):
                self.set_context(row, i)

    def set_parameters(self, row: np.ndarray, number: int) -> None:
        """Set the predicted parameters to a row (d,) of y, or raise an error that names the row."""
        values = split(np.asarray(row, dtype=np.float64), self.parameters)
        for leaf, value in zip(self.parameters, values, strict=True):
            try:
                _set(leaf, value)
            except ValueError as error:
                what = "parameter"
                if len(self.parameters) > 1:
                    what = f"parameter {leaf.name()!r}, {value.tolist()}"
                raise ValueError(
                    f"Row {number} of y, {np.asarray(row).tolist()}, cannot be the program's "
                    f"{what}: {error} Correct it, or change what the parameter is declared to be."
                ) from error

    def unset_parameters(self) -> None:
        """Remove the values of the predicted parameters."""
        for leaf in self.parameters:
            leaf.save_value(None)

    def set_context(self, row: np.ndarray, number: int) -> None:
        """Set the context parameters to a row (c,), or raise an error that names the bad entry."""
        place = 0
        for leaf, value in zip(self.context, split(row, self.context), strict=True):
            names = self.columns[place : place + leaf.size]
            place += leaf.size
            try:
                _set(leaf, value)
            except ValueError as error:
                worst = int(np.argmax(np.nan_to_num(distance(leaf, value), nan=np.inf)))
                where = f"column {names[worst]!r} is {np.ravel(value)[worst]}"
                if any(leaf.attributes[each] for each in OF_MATRICES):
                    where = f"columns {names[0]!r} to {names[-1]!r} are {value.tolist()}"
                raise ValueError(
                    f"Row {number} of the context cannot be the program's "
                    f"parameter {leaf.name()!r}: {where}. {error}"
                ) from error

    def check_width(self, context: Any) -> None:
        """Raise a ValueError unless the context has the columns that are read, and no others.

        Columns without names are identified by their order alone.
        """
        if context.shape[1] != len(self.columns):
            raise ValueError(
                f"ConvexProgram reads {len(self.columns)} columns of the context, which has "
                f"{context.shape[1]}: give these alone, or give each context parameter a name=."
            )

    def set_decision(self, decision: np.ndarray) -> None:
        """Set the decisions (k,), without a check of the attributes of the variables."""
        for leaf, value in zip(self.decisions, split(decision, self.decisions), strict=True):
            leaf.save_value(value)

    def hold(self, decision: np.ndarray) -> None:
        """Set the parameters that fix the decisions (k,)."""
        if self.recourse is not None:
            for held, value in zip(self.recourse[1], split(decision, self.decisions), strict=True):
                held.value = value

    def decision(self) -> np.ndarray:
        """Return the values (k,) of the decisions."""
        return np.concatenate([np.ravel(each.value) for each in self.decisions])

    def limits_on_decisions(self, *, with_parameters: bool) -> Iterator[Any]:
        """Yield the constraints on decisions and context alone, or also those with parameters."""
        for limit in self.limits:
            variables, parameters = limit.variables(), limit.parameters()
            if all(is_among(each, self.decisions) for each in variables) and (
                with_parameters or not any(is_among(each, self.parameters) for each in parameters)
            ):
                yield limit

    def violation(self, *, with_parameters: bool) -> np.ndarray:
        """Return by how much the present decisions miss each constraint on them (m,), in its unit.

        The last entries are their distances from the values that the variables' attributes allow.
        """
        limits = self.limits_on_decisions(with_parameters=with_parameters)
        parts = [np.ravel(each.violation()) for each in limits]
        parts += [np.ravel(distance(each, dense(each.value))) for each in self.decisions]
        return np.concatenate(parts)

    def no_violations(self, with_parameters: bool) -> np.ndarray:
        """Return the violations (0, m) of no decisions."""
        for leaf in (*self.decisions, *self.parameters, *self.context):
            leaf.save_value(np.zeros(leaf.shape))
        return self.violation(with_parameters=with_parameters)[None][:0]

    def missed(self, tol: float, atol: float, *, with_parameters: bool = True) -> str | None:
        """Return a constraint that the present decisions miss, in words, or None."""
        for limit in self.limits_on_decisions(with_parameters=with_parameters):
            if not holds(limit, self.decisions, tol, atol):
                name = name_of(limit, self.hard.problem.constraints)
                return f"{name} by {np.max(limit.violation()):.6g}"
        for leaf in self.decisions:  # attributes of the variable, such as nonneg=True
            if not is_as_declared(leaf, tol, atol):
                off = np.max(distance(leaf, dense(leaf.value)))
                return f"what {leaf.name()!r} is declared to be by {off:.6g}"
        return None

    # -- slopes and sizes ----------------------------------------------------------------

    def slope(self) -> np.ndarray:
        """Return the slope (k,) of the objective in the decisions, at their present values."""
        expression = self.problem.objective.expr
        try:
            gradients = expression.grad
        except NotImplementedError:
            raise ValueError(
                f"cvxpy has no gradient of the objective {expression}. Write it with other atoms, "
                "or with variables, or train with ScoreFunctionLoss."
            ) from None
        there = {each.id for each in expression.variables()}
        slopes = []
        for leaf in self.decisions:
            if leaf.id not in there:
                slopes.append(np.zeros(leaf.size))
                continue
            gradient = gradients[leaf]
            if gradient is None:
                raise ValueError("The objective of the program has no slope at this decision.")
            # cvxpy counts the entries of a matrix column by column.
            slopes.append(np.ravel(dense(gradient)).reshape(leaf.shape, order="F").ravel())
        return np.concatenate(slopes)

    def held_slope(self) -> np.ndarray:
        """Return the slope (k,) of the best cost in the fixed decisions, after recourse is solved.

        It follows from the envelope theorem.
        """
        if self.recourse is None:
            raise ValueError("The program has no other variables.")
        return -np.concatenate([np.ravel(each.dual_value) for each in self.recourse[2]])

    # -- checks --------------------------------------------------------------------------

    @staticmethod
    def of(builder: Callable[[], Any], penalty: float | None = None) -> "BuiltProgram":
        """Build and check; a penalty makes constraints on predicted parameters soft."""
        hard = parts_of(builder)
        return BuiltProgram.from_parts(soft_parts(hard, penalty), hard)

    @staticmethod
    def from_parts(parts: CvxpyProgram, hard: CvxpyProgram | None = None) -> "BuiltProgram":
        """Check the parts, and make the program with fixed decisions.

        `hard` is the program before constraints were softened.
        """
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        problem, decisions = parts.problem, parts.decisions
        _check_leaves(parts)
        if not problem.is_dcp():
            raise ValueError(
                "The problem is not convex by cvxpy's rules (DCP), so that no solver can guarantee "
                "the best decision."
            )
        bounds = bounds_that_are_expressions(decisions)
        is_maximised = isinstance(problem.objective, cp.Maximize)
        return BuiltProgram(
            problem,
            parts.parameters,
            decisions,
            parts.context,
            hard=hard or parts,
            limits=(*(hard or parts).problem.constraints, *bounds),
            columns=_columns(parts.context),
            sign=-1.0 if is_maximised else 1.0,
            recourse=_with_decisions_held(parts),
            # cvxpy's warning about slow solves is suppressed: the documentation mentions it.
            options={"ignore_dpp": True} if parts.context and not _is_dpp(problem) else {},
        )


def _with_decisions_held(
    parts: CvxpyProgram,
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]] | None:
    """Return the program of the other variables, if there are any.

    The decisions are its parameters. It does not contain the constraints on them alone.
    """
    cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    problem, decisions = parts.problem, parts.decisions
    if len(problem.variables()) == len(decisions):
        return None
    # Without the attributes of the decisions, which values may miss by rounding errors.
    free = {id(each): cp.Variable(each.shape) for each in decisions}
    limits = [
        each
        for each in problem.constraints
        if any(not is_among(leaf, decisions) for leaf in each.variables())
    ]
    rest = replaced(cp.Problem(problem.objective, limits), free)
    held = tuple(cp.Parameter(each.shape) for each in decisions)
    at = tuple(free[id(each)] == value for each, value in zip(decisions, held, strict=True))
    return cp.Problem(rest.objective, [*rest.constraints, *at]), held, at


def _takes_any(leaf: Any) -> bool:
    """Return whether a parameter may have any real value."""
    return leaf.num_attributes == 0 and leaf.bounds is None


def _set(leaf: Any, value: np.ndarray) -> None:
    """Set a parameter, or raise a ValueError if it is declared to be something else."""
    leaf.value = value
    if leaf.num_attributes > 1 and (distance(leaf, value) > _OFF).any():
        declared = [name for name, each in leaf.attributes.items() if each is not None and each]
        raise ValueError(f"Parameter value must be {' and '.join(declared)}.")


def _columns(context: Sequence[Any]) -> tuple[Column, ...]:
    """Return the columns that context parameters are read from: names, or else positions."""
    from cvxpy.settings import PARAM_PREFIX

    named = [each for each in context if each.name() != f"{PARAM_PREFIX}{each.id}"]
    if not named:
        return tuple(range(sum(int(each.size) for each in context)))
    if len(named) < len(context):
        raise ValueError(
            f"Give a name= to all {len(context)} context parameters, or to none: "
            f"{', '.join(repr(each.name()) for each in named)} would be read by name and the "
            "others by position."
        )
    columns = [
        "_".join([each.name(), *map(str, index)])
        for each in context
        for index in np.ndindex(each.shape)
    ]
    twice = sorted({each for each in columns if columns.count(each) > 1})
    if twice:
        raise ValueError(
            f"More than one context parameter would be read from the column {twice[0]!r}: rename "
            "one of them."
        )
    return tuple(columns)


def _check_leaves(parts: CvxpyProgram) -> None:
    """Raise a ValueError unless a problem has the parameters and variables that are returned."""
    problem, known = parts.problem, (*parts.parameters, *parts.context)
    for what, leaves in (("parameter", known), ("variable", parts.decisions)):
        for i, leaf in enumerate(leaves):
            if is_among(leaf, leaves[:i]):
                raise ValueError(f"The {what} {leaf.name()!r} is returned twice.")
            for attribute in ("complex", "imag", "hermitian", "diag", "sparsity"):
                if leaf.attributes[attribute]:
                    raise ValueError(
                        f"The {what} {leaf.name()!r} has {attribute}=, but its columns must be "
                        "real numbers, all of them used. Return a vector and make the matrix "
                        "from it."
                    )
    there = problem.parameters()
    others = [each for each in there if not is_among(each, known)]
    absent = [each for each in known if not is_among(each, there)]
    if others or absent:
        several = len(known) > 1
        raise ValueError(
            f"The problem must have the returned parameter{'s' if several else ''} and no other; "
            f"it has {[each.name() for each in there]}, and returned "
            f"{'were' if several else 'was'} {[each.name() for each in known]}. Use arrays for "
            "constants."
        )
    for variable in parts.decisions:
        if not is_among(variable, problem.variables()):
            name = "" if len(parts.decisions) == 1 else f" {variable.name()!r}"
            raise ValueError(f"The returned variable{name} does not occur in the problem.")


def _is_dpp(problem: Any) -> bool:
    """Return whether cvxpy compiles a problem once for all values of its parameters."""
    try:
        return bool(problem.is_dpp(quad_form_dpp="qp"))
    except TypeError:  # before cvxpy 1.9
        return bool(problem.is_dpp())
