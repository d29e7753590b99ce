"""What the builder of a ConvexProgram returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.optional import import_optional

_LONGEST = 60  # characters of a constraint that a message shows


@dataclass(frozen=True, eq=False)  # cvxpy compares by writing constraints
class CvxpyProgram:
    """A cvxpy problem, with its parts that are predicted, decided and known.

    The builder of a :class:`ConvexProgram` returns such an object.

    Parameters
    ----------
    problem : cvxpy.Problem
        The problem. It must have the parameters given here and no others.
    parameters : cvxpy.Parameter or sequence of them
        The parameters that a model predicts, of any shapes. The columns of `y` are their entries,
        one parameter after the other, each in C order.
    decisions : cvxpy.Variable or sequence of them
        The variables that are decided, of any shapes. The columns of a decision are their entries,
        in the same order. Other variables of the problem are recourse: they take their best values
        once the parameters are known.
    context : cvxpy.Parameter or sequence of them, default=()
        The parameters that are known when deciding and differ by row, of any shapes. Their entries
        are read from the context: by position, in the same order, or by name if each was given a
        ``name=``. A scalar is read from the column `name`, a vector from `name_0`, `name_1`, ...,
        a matrix from `name_0_0`, `name_0_1`, ...

    See Also
    --------
    ConvexProgram : The decision problem made from it.

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


@dataclass(frozen=True)
class WithoutNames:
    """A builder whose context parameters are read by position, whatever their names."""

    builder: Callable[[], Any]

    def __call__(self) -> Any:
        """Return what the builder returns."""
        return self.builder()


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


def parts_at(parts: CvxpyProgram, row: np.ndarray) -> CvxpyProgram:
    """Return the parts of a program with the numbers (c,) of one row of context as constants."""
    cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    values = split(np.asarray(row, dtype=np.float64), parts.context)
    constants = {
        id(each): cp.Constant(value) for each, value in zip(parts.context, values, strict=True)
    }
    return CvxpyProgram(replaced(parts.problem, constants), parts.parameters, parts.decisions)


def replaced(problem: Any, leaves: dict[int, Any]) -> Any:
    """Return a problem with parameters, given by their id(), replaced by other leaves."""
    objective = problem.objective.tree_copy(leaves)
    limits = [each.tree_copy(leaves) for each in problem.constraints]
    for limit, each in zip(limits, problem.constraints, strict=True):
        if label := label_of(each):
            limit.set_label(label)
    return type(problem)(objective, limits)


def label_of(limit: Any) -> str | None:
    """Return the label that the user gave a constraint, in versions of cvxpy that have them."""
    return getattr(limit, "label", None)


def name_of(limit: Any, limits: Sequence[Any], index: str = "") -> str:
    """Return what a constraint among others is called, in one short line.

    It is its label, or else its number and what cvxpy prints of it.

    Parameters
    ----------
    limit : cvxpy.Constraint
    limits : sequence of cvxpy.Constraint
        The constraints of the problem.
    index : str, default=""
        Which entry of it is meant, such as "[2]".
    """
    if label := label_of(limit):
        return f"{label}{index}"
    text = " ".join(str(limit).split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    for i, each in enumerate(limits):
        if each is limit:
            return f"constraint {i}{index} ({text})"
    return f"{text}{index}"


def is_dpp_given_context(parts: CvxpyProgram) -> bool:
    """Return whether a program follows the DPP rules once its context is known."""
    cp = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")

    class Known(cp.Parameter):  # type: ignore[name-defined]
        """A constant of which only the attributes are known."""

        def is_constant(self) -> bool:
            return True

        def parameters(self) -> list[Any]:
            return []

    known = {id(each): Known(each.shape, **each.attributes) for each in parts.context}
    problem = replaced(parts.problem, known)
    return problem.is_dcp(dpp=True) and len(problem.parameters()) == len(parts.parameters)


def split(row: np.ndarray, leaves: Sequence[Any]) -> list[np.ndarray]:
    """Return the parts of a row that are the values of parameters or variables, in their shapes."""
    ends = np.cumsum([each.size for each in leaves])[:-1]
    parts = np.split(row, ends)
    return [part.reshape(each.shape) for part, each in zip(parts, leaves, strict=True)]


def is_among(leaf: Any, leaves: Sequence[Any]) -> bool:
    # Not by ==, which makes a constraint in cvxpy.
    return any(each is leaf for each in leaves)


def _as_tuple(leaves: Any) -> tuple[Any, ...]:
    return tuple(leaves) if isinstance(leaves, (list, tuple)) else (leaves,)
