"""Soft constraints: those on predicted parameters, with a price for each unit missed."""

from typing import Any

from .._utils.optional import import_optional
from ..solvers.cvxpy_terms import bounds_that_are_expressions
from ._cvxpy_parts import CvxpyProgram, is_among, name_of


def soft_parts(parts: CvxpyProgram, penalty: float | None) -> CvxpyProgram:
    """Return a program whose constraints on decisions and predicted parameters are soft.

    With None it is the program as it is. Otherwise each such constraint gets a slack variable,
    which costs `penalty` per unit. Constraints with other variables are left as they are.

    Raises
    ------
    ValueError
        If there is no such constraint, or if one is of a kind that has no unit.
    """
    if penalty is None:
        return parts
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    problem, missing, constraints = parts.problem, [], []
    for limit in problem.constraints:
        if not is_uncertain(limit, parts):
            constraints.append(limit)
            continue
        short, over = (cp.Variable(limit.shape, nonneg=True) for _ in range(2))
        if isinstance(limit, cp.constraints.Inequality):
            constraints.append(limit.args[0] <= limit.args[1] + over)
            missing.append(over)
        elif isinstance(limit, cp.constraints.NonNeg | cp.constraints.NonPos):
            sign = 1 if isinstance(limit, cp.constraints.NonNeg) else -1
            constraints.append(sign * limit.args[0] + over >= 0)
            missing.append(over)
        elif isinstance(limit, cp.constraints.Equality | cp.constraints.Zero):
            constraints.append(limit.expr + short == over)
            missing += [short, over]
        else:
            raise ValueError(
                f"penalty= is a price for each unit by which an inequality or equation is missed, "
                f"but {name_of(limit, problem.constraints)} is neither: write it as an inequality, "
                "or with variables that make up for what is missing."
            )
    for variable in parts.decisions:
        for bound in bounds_that_are_expressions([variable]):
            if is_uncertain(bound, parts):
                raise ValueError(
                    f"penalty= cannot price the bounds of the variable {variable.name()!r}, which "
                    "depend on a predicted parameter: write them as constraints."
                )
    if not missing:
        raise ValueError(
            "penalty= has nothing to price: no constraint on decisions alone depends on a "
            "predicted parameter. Leave it out."
        )
    price = penalty * sum(cp.sum(each) for each in missing)
    objective = problem.objective
    if isinstance(objective, cp.Minimize):
        objective = cp.Minimize(objective.expr + price)
    else:
        objective = cp.Maximize(objective.expr - price)
    soft = cp.Problem(objective, constraints)
    return CvxpyProgram(soft, parts.parameters, parts.decisions, parts.context)


def is_uncertain(limit: Any, parts: CvxpyProgram) -> bool:
    """Return whether a constraint on decisions alone depends on predicted parameters."""
    return all(is_among(each, parts.decisions) for each in limit.variables()) and any(
        is_among(each, parts.parameters) for each in limit.parameters()
    )
