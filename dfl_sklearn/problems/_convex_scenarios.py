"""Decisions of a program written in cvxpy for several scenarios at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._utils.optional import import_optional
from ..solvers.cvxpy_terms import bounds_that_are_expressions
from ._cvxpy_parts import is_among, split
from ._cvxpy_program import BuiltProgram


def program_of_scenarios(
    program: BuiltProgram, y: np.ndarray, weight: np.ndarray, context: np.ndarray | None
) -> tuple[Any, tuple[Any, ...]]:
    """Return the cvxpy problem of the least mean cost over scenarios y (S, d), and its decisions.

    All scenarios share the decisions. The other variables and all constraints are repeated for
    each scenario, with its numbers instead of parameters.

    Parameters
    ----------
    program : BuiltProgram
    y : ndarray of shape (S, d)
    weight : ndarray of shape (S,)
    context : ndarray of shape (c,) or None
    """
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    problem = program.problem
    variables = problem.variables()
    others = [each for each in variables if not is_among(each, program.decisions)]
    bounds = bounds_that_are_expressions(variables)  # these contain parameters
    shared = {id(each): _copy(each) for each in program.decisions}
    known = shared | ({} if context is None else _constants(program.context, context))
    costs, constraints = [], []
    for row, share in zip(y, weight, strict=True):
        leaves = known | _constants(program.parameters, row)
        leaves |= {id(each): _copy(each) for each in others}
        constraints += [each.tree_copy(leaves) for each in (*problem.constraints, *bounds)]
        costs.append(float(share) * problem.objective.expr.tree_copy(leaves))
    objective = type(problem.objective)(cp.sum(costs))
    return cp.Problem(objective, constraints), tuple(shared.values())


def _copy(variable: Any) -> Any:
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    attributes = dict(variable.attributes)
    if bounds_that_are_expressions([variable]):
        attributes["bounds"] = None
    return cp.Variable(variable.shape, **attributes)


def _constants(leaves: Sequence[Any], row: np.ndarray) -> dict[int, Any]:
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    values = split(np.asarray(row, dtype=np.float64), leaves)
    return {id(each): cp.Constant(value) for each, value in zip(leaves, values, strict=True)}
