"""Costs of decisions under a cvxpy program, for all rows at once or one by one, with slopes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.row_numbers import renumbered
from ..solvers.linear import NoDecisionError
from ._cvxpy_problem import CvxpyProblem
from ._cvxpy_program import BuiltProgram
from ._no_cost import NOT_ALLOWED, NoCostError

if TYPE_CHECKING:
    import torch

NEAR = 1e-6  # by which a decision with a cost may miss a constraint, as a share of its terms
NEAR_IN_LAYER = 1e-3  # the same, of decisions of cvxpylayers
_NEAR_0 = 1e-9  # in the unit of the constraint
_BROKEN_LATER = (
    "Where the outcome can violate a constraint, give variables that make up for it, or "
    "penalty=, a price for each unit by which it is missed."
)


def costs_of(
    problem: CvxpyProblem,
    decisions: "torch.Tensor",
    y: "torch.Tensor",
    context: np.ndarray | None,
    near: float,
) -> "torch.Tensor":
    """Return the cost (n,) of decisions (n, k) or (1, k) under y (n, d), differentiably.

    Constraints on decisions may be missed by a share `near` of their terms.
    """
    decisions, program = decisions.expand(len(y), decisions.shape[1]), problem._program()
    import torch

    is_known = torch.isfinite(decisions).all(dim=1) & torch.isfinite(y).all(dim=1)
    cost, rest = torch.where(is_known, 0.0, torch.nan).to(y), is_known.numpy()
    if len(y) and program.parametric is not None:
        program.check_rows(y.detach().numpy()[rest], None if context is None else context[rest])
        cost, is_right = program.parametric.cost(decisions, beside(y, context))
        rest = rest & ~is_right.numpy()
    rest = np.flatnonzero(rest)
    if not len(rest):
        return cost
    one_by_one = _one_by_one(problem, decisions[rest], y[rest], context, near, rest)
    return cost.index_put((torch.as_tensor(rest),), one_by_one)


def _one_by_one(
    problem: CvxpyProblem,
    decisions: "torch.Tensor",
    y: "torch.Tensor",
    context: np.ndarray | None,
    near: float,
    numbers: np.ndarray,
) -> "torch.Tensor":
    """Return the costs of the rows with these numbers, from the program itself."""
    from ..layers.numeric import differentiate_rows

    known = None if context is None else context[numbers]
    held = decisions.detach()
    fixed, observed = held.numpy(), y.detach().numpy()
    with_slopes = decisions.requires_grad
    with renumbered(numbers):
        found = y.new_tensor(_costs(problem, fixed, observed, known, near, with_slopes=with_slopes))
        costs = found[:, 0]
        if y.requires_grad:
            costs = differentiate_rows(
                lambda rows: _costs(problem, fixed, rows, known, near), [y], steps=[]
            )[:, 0]
    return costs + ((decisions - held) * found[:, 1:]).sum(1) if with_slopes else costs


def _costs(
    problem: CvxpyProblem,
    decisions: np.ndarray,
    y: np.ndarray,
    context: np.ndarray | None,
    near: float,
    *,
    with_slopes: bool = False,
) -> np.ndarray:
    """Return the cost of each row as a column (n, 1), followed by its slopes in the decision."""
    costs = np.empty((len(y), 1 + with_slopes * problem._program().n_decisions))
    for i, program in problem._rows_set(y, context, np.arange(len(y))):
        costs[i] = _cost_and_slopes(problem, program, decisions[i], i, near, with_slopes)
    return costs


def _cost_and_slopes(
    problem: CvxpyProblem,
    program: BuiltProgram,
    decision: np.ndarray,
    row: int,
    near: float,
    with_slopes: bool,
) -> np.ndarray:
    program.set_decision(decision)
    # The errors of solvers of layers are a share of the largest decision, near 0 as well.
    atol = _NEAR_0 if near == NEAR else near * max(1.0, np.abs(decision).max())
    missed = program.missed(near, atol, with_parameters=problem.penalty is None)
    if missed is not None:
        is_wrong_itself = missed == program.missed(near, atol, with_parameters=False)
        raise NoCostError.at(
            row, f"misses {missed}", NOT_ALLOWED if is_wrong_itself else _BROKEN_LATER
        )
    if program.recourse is None:
        cost = program.sign * float(program.problem.objective.value)
        slopes = program.sign * program.slope() if with_slopes else np.zeros(0)
    else:
        completed = program.recourse[0]
        program.hold(decision)
        try:
            problem._run(program, completed, f"the decision of row {row} held")
        except NoDecisionError:
            raise NoCostError.at(
                row,
                "leaves no values of the other variables that satisfy the constraints",
                "Give variables that make up for any decision, at a price.",
            ) from None
        cost = program.sign * float(completed.value)
        slopes = program.held_slope() if with_slopes else np.zeros(0)
    return np.concatenate([[cost], slopes])


def as_tensor(values: Any) -> "torch.Tensor":
    """Return an array, copied to float64, as a tensor; torch is imported only here."""
    import torch

    return torch.as_tensor(np.array(values, dtype=np.float64))


def beside(y: "torch.Tensor", context: np.ndarray | None) -> "torch.Tensor":
    """Return the parameters of each row: those in y, followed by those in the context."""
    import torch

    return y if context is None else torch.cat([y, as_tensor(context)], dim=1)
