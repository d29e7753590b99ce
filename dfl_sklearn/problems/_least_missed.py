"""Why a program written in cvxpy has no feasible decision."""

from typing import Any

import numpy as np

from .._utils.optional import import_optional
from ..solvers.cvxpy_programs import solve_canonical
from ._cvxpy_parts import name_of

_NEAR = 1e-9  # a miss that counts as none, as a share of the largest
_NONE = 1e-12  # a miss that may be an error of rounding, as a share of the size of parameters
_MOST = 4  # constraints that are named


def least_missed(problem: Any, options: dict[str, Any], size: float) -> str | None:
    """Return, in words, constraints that cannot hold together with the others, or "".

    They are those that are missed where the sum of all misses is least, None where this is 0, by a
    share of `size`. Constraints other than inequalities and equations are kept.
    """
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by="ConvexProgram")
    missed, limits = [], []
    for limit in problem.constraints:
        kinds = cp.constraints
        if isinstance(limit, kinds.Inequality):
            over = cp.Variable(limit.shape, nonneg=True)
            limits.append(limit.args[0] <= limit.args[1] + over)
        elif isinstance(limit, kinds.Equality | kinds.Zero):
            over = cp.Variable(limit.shape)
            limits.append(limit.expr == over)
        else:
            limits.append(limit)
            continue
        missed.append((limit, over))
    total = sum(cp.sum(cp.abs(over)) for _, over in missed)
    try:
        solve_canonical(cp.Problem(cp.Minimize(total), limits), **options)
    except (ValueError, RuntimeError, ArithmeticError, cp.SolverError):
        return ""  # also where the domains of variables contradict one another
    sizes = [float(np.abs(over.value).max()) for _, over in missed]
    if max(sizes, default=0.0) <= _NONE * size:
        return None
    named = [
        f"{name_of(limit, problem.constraints)} (by {size:.6g})"
        for (limit, _), size in zip(missed, sizes, strict=True)
        if size > _NEAR * max(sizes)
    ]
    more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
    return f"At least these would have to be missed: {', '.join(named[:_MOST])}{more}."
