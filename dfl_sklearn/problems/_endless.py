"""Which variables of an unbounded cvxpy problem grow without end."""

from typing import Any

import numpy as np

from .._utils.optional import import_optional

_SIZES = 1e2, 1e4  # of two boxes in which the problem is solved
_MOST = 6  # names in a message


def endless_variables(problem: Any) -> list[str]:
    """Return the names of variables, or of their entries, that grow with the room that they get.

    All variables are named where that cannot be found out.
    """
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    leaves = problem.variables()
    names = [each.name() for each in leaves]
    kept = [each.value for each in leaves]
    found = []
    try:
        for size in _SIZES:
            box = [limit for each in leaves for limit in (each <= size, each >= -size)]
            cp.Problem(problem.objective, [*problem.constraints, *box]).solve()
            found.append([np.array(each.value, dtype=float) for each in leaves])
    except Exception:  # whatever a solver raises: the error is about another one
        return names
    finally:
        for leaf, value in zip(leaves, kept, strict=True):
            leaf.save_value(value)
    growing = []
    for name, small, large in zip(names, *found, strict=True):
        is_endless = np.abs(large) > 5 * np.maximum(np.abs(small), 1.0)
        for index in np.argwhere(is_endless):
            growing.append(f"{name}{index.tolist()}" if small.ndim else name)
    if len(growing) > _MOST:
        growing = [*growing[:_MOST], f"{len(growing) - _MOST} more"]
    return growing or names
