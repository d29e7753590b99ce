"""What the builder of a ConvexProgram returns, checked, with its rows of numbers put in place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.optional import import_optional
from ..solvers.cvxpy_forms import standard_form
from ..solvers.cvxpy_terms import OF_MATRICES, bounds_that_are_expressions, dense, distance
from ._context import Column

if TYPE_CHECKING:
    from ._parametric import ParametricDecision

_OFF = 1e-10  # by how much cvxpy lets the value of a parameter miss what it is declared to be


@dataclass(frozen=True, eq=False)  # cvxpy compares by writing constraints
class CvxpyProgram:
    """A cvxpy problem, and which parts of it are predicted, decided and known.

    This is what the builder of a :class:`ConvexProgram` returns.

    Parameters
    ----------
    problem : cvxpy.Problem
        It has the parameters given here and no others.
    parameters : cvxpy.Parameter or sequence of them
        What a model predicts, of any shapes. The columns of `y` are their entries, one parameter
        after the other, each row by row (C order).
    decisions : cvxpy.Variable or sequence of them
        What is decided, of any shapes. The columns of a decision are their entries, in the same
        order. Other variables of the problem take their best values once the parameters are known.
    context : cvxpy.Parameter or sequence of them, default=()
        What is known when deciding and differs by row, of any shapes. Their entries are read from
        the context: by position, in the same order; or by name, if each was given a ``name=``.
        A scalar is read from the column `name`, a vector from `name_0`, `name_1`, ..., a matrix
        from `name_0_0`, `name_0_1`, ...

    Examples
    --------
    The limit of each day is known, the prices are predicted:

    >>> import cvxpy as cp
    >>> import pandas as pd
    >>> from dfl_sklearn.problems import ConvexProgram, CvxpyProgram
    >>> def charging():
    ...     power, price = cp.Variable(3), cp.Parameter(3)
    ...     limit = cp.Parameter(name="limit", nonneg=True)
    ...     cost = price @ power + 0.5 * cp.sum_squares(power)
    ...     limits = [cp.sum(power) == 2, power >= 0, power <= limit]
    ...     return CvxpyProgram(cp.Problem(cp.Minimize(cost), limits), price, power, limit)
    >>> problem = ConvexProgram(charging)
    >>> problem.context_columns()
    ['limit']
    >>> days = pd.DataFrame({"limit": [2.0, 1.0]})
    >>> abs(problem.solve([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]], context=days)).round(3)
    array([[1.5, 0.5, 0. ],
           [1. , 1. , 0. ]])
    """

    problem: Any
    parameters: Any
    decisions: Any
    context: Any = ()


def parts_of(builder: Callable[[], Any]) -> CvxpyProgram:
    """Call a builder and return what it built, with tuples of parameters and variables."""
    cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    built = builder()
    if isinstance(built, tuple) and len(built) == 3:
        built = CvxpyProgram(*built)
    if isinstance(built, CvxpyProgram):
        parts = CvxpyProgram(
            built.problem, *map(_as_tuple, (built.parameters, built.decisions, built.context))
        )
        kinds = (cp.Parameter, parts.parameters), (cp.Variable, parts.decisions)
        if (
            isinstance(parts.problem, cp.Problem)
            and all(each and all(isinstance(x, kind) for x in each) for kind, each in kinds)
            and all(isinstance(each, cp.Parameter) for each in parts.context)
        ):
            return parts
    raise ValueError(
        "builder must return (problem, parameter, variable), a cvxpy.Problem, a cvxpy.Parameter "
        "or a list of them, and a cvxpy.Variable or a list of them, or a CvxpyProgram, which has "
        f"a context as well; got {built!r}."
    )


def parts_at(builder: Callable[[], Any], row: Sequence[float]) -> CvxpyProgram:
    """Return the parts of a program with the numbers (c,) of one row of context as constants."""
    cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    parts = parts_of(builder)
    values = _split(np.asarray(row, dtype=np.float64), parts.context)
    constants = {
        id(each): cp.Constant(value) for each, value in zip(parts.context, values, strict=True)
    }
    return CvxpyProgram(_replaced(parts.problem, constants), parts.parameters, parts.decisions)


def _replaced(problem: Any, leaves: dict[int, Any]) -> Any:
    """Return a problem with parameters, given by their id(), replaced by other leaves."""
    objective = problem.objective.tree_copy(leaves)
    return type(problem)(objective, [each.tree_copy(leaves) for each in problem.constraints])


def is_dpp_given_context(builder: Callable[[], Any]) -> bool:
    """Return whether a program follows the DPP rules once its context is known, whatever it is."""
    cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")

    class Known(cp.Parameter):  # type: ignore[name-defined]
        """A constant of which only the attributes are known."""

        def is_constant(self) -> bool:
            return True

        def parameters(self) -> list[Any]:
            return []

    parts = parts_of(builder)
    known = {id(each): Known(each.shape, **each.attributes) for each in parts.context}
    problem = _replaced(parts.problem, known)
    return problem.is_dcp(dpp=True) and len(problem.parameters()) == len(parts.parameters)


@dataclass(frozen=True, eq=False)
class BuiltProgram:
    """What a builder returned, checked.

    Attributes
    ----------
    problem : cvxpy.Problem
    parameters, context : tuple of cvxpy.Parameter
    decisions : tuple of cvxpy.Variable
    limits : tuple of cvxpy.Constraint
        Those of the problem, and bounds of the decisions that are expressions.
    columns : tuple of str or int
        Of the context.
    sign : float
        -1 where the objective is maximised.
    recourse : tuple (problem, held, constraints) or None
        Where there are other variables: the same problem with the decisions held at parameters.
    options : dict
        For cvxpy.
    """

    problem: Any
    parameters: tuple[Any, ...]
    decisions: tuple[Any, ...]
    context: tuple[Any, ...]
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
    def parametric(self) -> "ParametricDecision | None":
        """The program for many rows at once, where it is a linear or quadratic one.

        Only its costs and right-hand sides may depend on parameters. The values of parameters and
        variables change.
        """
        from ._parametric import ParametricDecision

        if self.problem.is_mixed_integer() or not _is_dpp(self.problem):
            return None
        leaves = (*self.parameters, *self.context)
        form = standard_form(self.problem, leaves, self.decision, **self.options)
        return form and ParametricDecision(form, has_others=self.recourse is not None)

    # -- numbers -------------------------------------------------------------------------

    def check_rows(self, y: np.ndarray, context: np.ndarray | None) -> None:
        """Raise a ValueError that names a row of y (n, d) or context that parameters cannot be."""
        if not all(map(_takes_any, self.parameters)):
            for i, row in enumerate(y):
                self.set_parameters(row, i)
        if context is not None and not all(map(_takes_any, self.context)):
            for i, row in enumerate(context):
                self.set_context(row, i)

    def set_parameters(self, row: np.ndarray, number: int) -> None:
        """Set what is predicted to a row (d,) of y, or name the row that it cannot take."""
        values = _split(np.asarray(row, dtype=np.float64), self.parameters)
        for leaf, value in zip(self.parameters, values, strict=True):
            try:
                _set(leaf, value)
            except ValueError as error:
                what = "parameter"
                if len(self.parameters) > 1:
                    what = f"parameter {leaf.name()!r}, {value.tolist()}"
                raise ValueError(
                    f"Row {number} of y, {np.asarray(row).tolist()}, cannot be the program's "
                    f"{what}: {error} The last layer of a net can keep predictions in its domain."
                ) from error

    def unset_parameters(self) -> None:
        """Take their values from the predicted parameters."""
        for leaf in self.parameters:
            leaf.save_value(None)

    def set_context(self, row: np.ndarray, number: int) -> None:
        """Set what is known to a row (c,) of the context, or name the entry it cannot take."""
        place = 0
        for leaf, value in zip(self.context, _split(row, self.context), strict=True):
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

        Which column is which is known from their order alone where they have no names.
        """
        if context.shape[1] != len(self.columns):
            raise ValueError(
                f"ConvexProgram reads {len(self.columns)} columns of the context, which has "
                f"{context.shape[1]}: give these alone, or give each context parameter a name=."
            )

    def set_decision(self, decision: np.ndarray) -> None:
        """Set the decisions (k,), whatever the attributes of the variables say."""
        for leaf, value in zip(self.decisions, _split(decision, self.decisions), strict=True):
            leaf.save_value(value)

    def hold(self, decision: np.ndarray) -> None:
        """Set the parameters at which decisions (k,) are held."""
        if self.recourse is not None:
            for held, value in zip(self.recourse[1], _split(decision, self.decisions), strict=True):
                held.value = value

    def decision(self) -> np.ndarray:
        """Return the values (k,) of the decisions."""
        return np.concatenate([np.ravel(each.value) for each in self.decisions])

    def limits_on_decisions(self, *, with_parameters: bool) -> Iterator[Any]:
        """Yield the constraints that hold decisions and context alone, or parameters as well."""
        for limit in self.limits:
            variables, parameters = limit.variables(), limit.parameters()
            if all(_is_among(each, self.decisions) for each in variables) and (
                with_parameters or not any(_is_among(each, self.parameters) for each in parameters)
            ):
                yield limit

    # -- slopes and sizes ----------------------------------------------------------------

    def slope(self) -> np.ndarray:
        """Return the slope (k,) of the objective in the decisions, at their present values."""
        expression = self.problem.objective.expr
        gradients = expression.grad
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
        """Return the slope (k,) of the best cost in what is held, after the recourse is solved.

        By the envelope theorem.
        """
        if self.recourse is None:
            raise ValueError("The program has no other variables.")
        return -np.concatenate([np.ravel(each.dual_value) for each in self.recourse[2]])

    # -- checks --------------------------------------------------------------------------

    @staticmethod
    def of(builder: Callable[[], Any]) -> "BuiltProgram":
        """Build and check."""
        return BuiltProgram.from_parts(parts_of(builder))

    @staticmethod
    def from_parts(parts: CvxpyProgram) -> "BuiltProgram":
        """Check, and write down the program with its decisions held."""
        cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
        problem, decisions = parts.problem, parts.decisions
        _check_leaves(parts)
        if not problem.is_dcp():
            raise ValueError(
                "The problem is not convex by cvxpy's rules (DCP), so that no solver can promise "
                "the best decision."
            )
        recourse = None
        if len(problem.variables()) > len(decisions):
            held = tuple(cp.Parameter(each.shape) for each in decisions)
            constraints = tuple(each == at for each, at in zip(decisions, held, strict=True))
            recourse = cp.Problem(problem.objective, [*problem.constraints, *constraints])
            recourse = recourse, held, constraints
        return BuiltProgram(
            problem,
            parts.parameters,
            decisions,
            parts.context,
            limits=(*problem.constraints, *bounds_that_are_expressions(decisions)),
            columns=_columns(parts.context),
            sign=-1.0 if isinstance(problem.objective, cp.Maximize) else 1.0,
            recourse=recourse,
            # Without a word about rows that are solved slowly: the documentation says so.
            options={"ignore_dpp": True} if parts.context and not _is_dpp(problem) else {},
        )


def _takes_any(leaf: Any) -> bool:
    """Return whether a parameter may have any real value."""
    return leaf.num_attributes == 0 and leaf.bounds is None


def _set(leaf: Any, value: np.ndarray) -> None:
    """Set a parameter, or raise a ValueError if it is declared to be something else."""
    leaf.value = value
    if leaf.num_attributes > 1 and (distance(leaf, value) > _OFF).any():
        declared = [name for name, each in leaf.attributes.items() if each is not None and each]
        raise ValueError(f"Parameter value must be {' and '.join(declared)}.")


def _split(row: np.ndarray, leaves: Sequence[Any]) -> list[np.ndarray]:
    """Return the parts of a row that are the values of parameters or variables, in their shapes."""
    ends = np.cumsum([each.size for each in leaves])[:-1]
    parts = np.split(row, ends)
    return [part.reshape(each.shape) for part, each in zip(parts, leaves, strict=True)]


def _columns(context: Sequence[Any]) -> tuple[Column, ...]:
    """Return the columns that context parameters are read from: names, or else positions."""
    from cvxpy.settings import PARAM_PREFIX

    named = [each for each in context if each.name() != f"{PARAM_PREFIX}{each.id}"]
    if not named:
        return tuple(range(sum(int(each.size) for each in context)))
    if len(named) < len(context):
        raise ValueError(
            f"Give all {len(context)} context parameters a name=, or none: "
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
            if _is_among(leaf, leaves[:i]):
                raise ValueError(f"The {what} {leaf.name()!r} is returned twice.")
            for attribute in ("complex", "imag", "hermitian", "diag", "sparsity"):
                if leaf.attributes[attribute]:
                    raise ValueError(
                        f"The {what} {leaf.name()!r} has {attribute}=, and its columns must be "
                        "real numbers, all of them used. Return a vector and make the matrix "
                        "from it."
                    )
    there = problem.parameters()
    others = [each for each in there if not _is_among(each, known)]
    absent = [each for each in known if not _is_among(each, there)]
    if others or absent:
        several = len(known) > 1
        raise ValueError(
            f"The problem must have the returned parameter{'s' if several else ''} and no other; "
            f"it has {[each.name() for each in there]}, and returned "
            f"{'were' if several else 'was'} {[each.name() for each in known]}. Constants can be "
            "arrays."
        )
    for variable in parts.decisions:
        if not _is_among(variable, problem.variables()):
            name = "" if len(parts.decisions) == 1 else f" {variable.name()!r}"
            raise ValueError(f"The returned variable{name} does not occur in the problem.")


def _is_dpp(problem: Any) -> bool:
    """Return whether cvxpy writes a problem down once for all values of its parameters."""
    try:
        return bool(problem.is_dpp(quad_form_dpp="qp"))
    except TypeError:  # before cvxpy 1.9
        return bool(problem.is_dpp())


def _is_among(leaf: Any, leaves: Sequence[Any]) -> bool:
    # Not by ==, with which cvxpy writes a constraint.
    return any(each is leaf for each in leaves)


def _as_tuple(leaves: Any) -> tuple[Any, ...]:
    return tuple(leaves) if isinstance(leaves, (list, tuple)) else (leaves,)
