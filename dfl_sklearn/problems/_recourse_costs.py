"""The costs of recourse for given plans, and which plans have a cost."""

import numpy as np
import torch

from ..solvers.linear import LinearSolver, NoDecisionError, NoMinimumError
from ..solvers.polytope import Polytope
from ._no_cost import NOT_ALLOWED, NoCostError
from ._recourse import Recourse

_NEAR = 1e-6  # by which a plan with a cost may miss a constraint, as a share of its terms
_NEAR_0 = 1e-9  # the same, in the unit of the constraint


def second_stage(
    program: Recourse, z: torch.Tensor, parameters: torch.Tensor, name: str
) -> torch.Tensor:
    """Return the least recourse costs (B,) of plans (B, n), differentiably."""
    left = program.left_over(z, parameters)
    cost, rest = left.new_zeros(len(left)), np.arange(len(left))
    if program.is_fixed("W"):
        found = program.second.solve(torch.cat([parameters, left], dim=1))
        cost, rest = found.value, np.flatnonzero(~found.is_solved.numpy())
    if not len(rest):
        return cost
    w, dual = best_recourse(program, z[rest].detach(), parameters[rest].detach(), rest, name)
    # By the envelope theorem this expression has the slopes of the least cost.
    q, W = program.rows_of("q", parameters[rest]), program.rows_of("W", parameters[rest])
    missing = left[rest] - (W * w[:, None]).sum(dim=2)
    by_duals = (q * w).sum(dim=1) + (dual * missing).sum(dim=1)
    return cost.index_put((torch.as_tensor(rest),), by_duals)


def best_recourse(
    program: Recourse,
    z: torch.Tensor,
    parameters: torch.Tensor,
    numbers: np.ndarray,
    name: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best recourse (B, k) and its dual values (B, m) of rows with these numbers."""
    left = program.left_over(z, parameters)
    nearly = left - _NEAR * program.left_over_size(z, parameters)
    q, W = (program.at(each, parameters.numpy()) for each in ("q", "W"))
    found, duals = np.empty(q.shape), np.empty(left.shape)
    for i, number in enumerate(numbers):
        try:
            try:
                w, dual = _least_recourse(W[i], left[i].numpy(), q[i : i + 1], name)
            except NoDecisionError:
                w, dual = _least_recourse(W[i], nearly[i].numpy(), q[i : i + 1], name)
        except NoDecisionError:
            what = f"no w >= 0 has W w >= h - T z, which is {left[i].tolist()}"
            raise NoCostError.at(
                int(number),
                f"has no recourse ({what})",
                "Add recourse that makes up for anything, at a price.",
                f"Nothing makes up for the plan of row {number}: {what}.",
            ) from None
        except NoMinimumError:
            raise ValueError(
                f"The recourse of row {number} has no least cost: with q = {q[i].tolist()} it "
                "pays to do ever more of it. Change q so that no recourse earns money without end."
            ) from None
        found[i], duals[i] = w[0], -dual[0]
    return torch.as_tensor(found), torch.as_tensor(duals)


def _least_recourse(
    W: np.ndarray, left: np.ndarray, q: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best recourse (1, k) and dual values (1, m) for a right-hand side (m,)."""
    polytope = Polytope.of(q.shape[1], ub=(-W, -left))
    return LinearSolver(polytope, name).solve_with_duals(q)


def check_plans(program: Recourse, z: np.ndarray, parameters: np.ndarray) -> None:
    """Raise an error that names the first infeasible plan of (B, n)."""
    polytope = program.first_stage(parameters)
    polytope = polytope.replace(integral=np.zeros_like(polytope.integral))
    misses = polytope.misses(z, _NEAR, _NEAR_0) & np.isfinite(z).all(axis=1)[:, None]
    bad = np.flatnonzero(misses.any(axis=1))
    if not len(bad):
        return
    i = int(bad[0])
    depends = program.predicted_limits()
    # A known constraint is missed whatever is predicted, so that it is named first.
    known = misses[i] & ~depends
    missed = polytope.for_rows(slice(i, i + 1)).violation(z[i : i + 1])[0]
    worst = int(np.argmax(np.where(known if known.any() else misses[i], missed, -1.0)))
    n_rows = len(missed) - z.shape[1]
    where = f"bounds[{worst - n_rows}]" if worst >= n_rows else polytope.name_of_row(worst)
    what = f"misses {where} by {missed[worst]:.6g}"
    remedy = (
        "Where the outcome can violate a constraint, write it with T, W and h, and a price "
        "for the recourse."
    )
    raise NoCostError.at(
        i,
        what,
        remedy if depends[worst] else NOT_ALLOWED,
        f"The plan of row {i} {what}, and has no cost.",
    )
