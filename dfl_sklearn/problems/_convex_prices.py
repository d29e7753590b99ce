"""Slacks and multipliers of the constraints of a program written in cvxpy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..solvers.cvxpy_terms import dense
from ._cvxpy_parts import name_of
from ._cvxpy_program import BuiltProgram
from ._shadow_prices import ShadowPrices


def prices_of_row(
    program: BuiltProgram, decision: np.ndarray, solve: Callable[[Any], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return slacks at a decision (k,) and prices, one for each entry of the constraints.

    The parameters must be set. `solve` takes a cvxpy problem.
    """
    solve(program.problem)
    prices = [-_entries(each.dual_value) for each in program.problem.constraints]
    if program.recourse is not None:
        program.hold(decision)
        solve(program.recourse[0])
    program.set_decision(decision)
    slack = [-_entries(each.expr.value) for each in program.hard.problem.constraints]
    return np.concatenate(slack), np.concatenate(prices)


def named(program: BuiltProgram, slack: list[np.ndarray], price: list[np.ndarray]) -> ShadowPrices:
    """Return the slacks and prices of rows, with the constraints named as the user wrote them."""
    names = []
    limits = program.hard.problem.constraints
    for each in limits:
        several = each.size > 1
        for index in np.ndindex(each.shape):
            names.append(name_of(each, limits, f"{list(index)}" if several else ""))
    shape = len(slack), len(names)
    return ShadowPrices(names, np.array(slack).reshape(shape), np.array(price).reshape(shape))


def _entries(values: Any) -> np.ndarray:
    return np.ravel(dense(values))
