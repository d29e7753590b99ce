"""Shadow prices of linear programs with recourse: of the plan and of what makes up for it."""

from typing import Any

import numpy as np

from .._utils.row_numbers import renumbered
from ._recourse import Recourse
from ._recourse_costs import best_recourse
from ._shadow_prices import ShadowPrices, names_of, prices_of


def prices_of_plans(
    program: Recourse, decisions: np.ndarray, y: np.ndarray, context: Any, name: str
) -> ShadowPrices:
    """Return slacks of plans (B, n) with their best recourse, and prices of plan and recourse.

    Where parts of the plan are whole numbers, prices are those of real ones.
    """
    parameters = program.parameters(y, context)
    w = best_recourse(program, program.rows(decisions), parameters, np.arange(len(y)), name)[0]
    z = np.concatenate([decisions, w.numpy()], axis=1)
    costs = program.costs(parameters.numpy())
    parts = []
    for i in range(len(y)):
        row = slice(i, i + 1)
        with renumbered(np.array([i])):
            joint = program.polytope(parameters.numpy()[row])
            parts.append(prices_of(joint, costs[row], z[row], name))
    # For the names; the numbers do not matter.
    joint = program.polytope(np.zeros((1, parameters.shape[1])))
    names, (m, width) = names_of(joint), joint.matrix.shape
    slack, price = np.split(np.concatenate([np.empty((0, 2 * len(names))), *parts]), 2, axis=1)
    # W w >= h - T z stands in the program with its signs turned.
    price[:, joint.n_first : joint.A_ub.shape[0]] *= -1.0
    # Bounds of the recourse are no constraints of the user's.
    of_plan = np.arange(width) < decisions.shape[1]
    kept = np.concatenate([np.ones(m, dtype=bool), of_plan, of_plan])
    return ShadowPrices(
        [each for each, is_kept in zip(names, kept, strict=True) if is_kept],
        slack[:, kept],
        price[:, kept],
    )
