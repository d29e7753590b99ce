"""Functions that the losses for linear costs share."""

from collections.abc import Callable

import numpy as np
import torch

from ..problems.base import DecisionProblem


def linear_costs(problem: DecisionProblem, loss: str) -> Callable[..., torch.Tensor]:
    """Return the map from parameters and the context to cost vectors, or raise an error."""
    costs = problem.linear_objective()
    if costs is None:
        raise ValueError(
            f"{loss} is for costs that are known to be linear in the decision, which those of "
            f"{type(problem).__name__} are not. Use RegretLoss, or ScoreFunctionLoss for integer "
            "decisions. Linear costs under known constraints can be written as a LinearProgram."
        )

    def of_rows(y: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        return costs(y) if context is None else costs(y, context)

    return of_rows


def solved(
    problem: DecisionProblem, y: torch.Tensor, context: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the best decisions (B, k) for parameters (B, d), as constants; NaN stays NaN."""
    values, rows = _numbers(y), None if context is None else _numbers(context)
    if np.isfinite(values).all():
        decisions = _solved(problem, values, rows)
        if not decisions.flags.writeable:  # torch does not share read-only arrays
            decisions = decisions.copy()
        return torch.as_tensor(decisions, dtype=y.dtype, device=y.device)
    known = np.isfinite(values).all(axis=1)
    if rows is not None:
        if not known.any():
            n = problem._n_decisions(y.shape[1]) or y.shape[1]
            return y.new_full((len(y), n), torch.nan)
        rows = rows[known]
    decisions = _solved(problem, values[known], rows)
    found = y.new_full((len(y), decisions.shape[1]), torch.nan)
    found[torch.as_tensor(known, device=y.device)] = y.new_tensor(decisions)
    return found


def _numbers(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float64, copy=False)


def _solved(problem: DecisionProblem, y: np.ndarray, context: np.ndarray | None) -> np.ndarray:
    """Return the best decisions; an error gets a note that it occurred in training."""
    try:
        return problem.solve_rows(y, context)
    except ValueError as error:
        error.add_note(
            "This occurred in training: the rows are predictions, or combinations of these with "
            "observed parameters that the loss needs, and can have other signs. Where the cost "
            "is unbounded for such rows, give the decisions finite bounds."
        )
        raise
