"""Costs that are written with NumPy alone, while training asks for them with torch."""

from typing import Any

import numpy as np
import torch

from ..problems.base import DecisionProblem

_FEW = 8  # rows that are tried


def is_for_numpy_alone(
    problem: DecisionProblem, decisions: torch.Tensor, y: torch.Tensor, context: Any
) -> bool:
    """Return whether ``cost_rows`` gives costs for NumPy arrays, and none for the same tensors.

    Parameters
    ----------
    problem : DecisionProblem
    decisions : torch.Tensor of shape (n, k)
    y : torch.Tensor of shape (n, d)
    context : torch.Tensor of shape (n, c) or None
    """
    few = [None if each is None else each[:_FEW].detach() for each in (decisions, y, context)]
    arrays = [None if each is None else each.cpu().numpy() for each in few]
    try:
        costs = problem.cost_rows(*arrays)
        if not isinstance(costs, np.ndarray):
            return False
        few[0] = few[0].clone().requires_grad_()  # type: ignore[union-attr]
    except Exception:
        return False
    try:
        return not isinstance(problem.cost_rows(*few), torch.Tensor)
    except Exception:
        return True


def numpy_costs_error(problem: DecisionProblem, error: Exception) -> TypeError:
    """Return the error to be raised instead of the one that NumPy or torch has raised."""
    return TypeError(
        f"{type(problem).__name__}.cost_rows works with NumPy arrays alone, and training calls it "
        f"with torch tensors ({type(error).__name__}: {error}). Write it with "
        "xp = array_namespace(decisions, y) of array_api_compat, and with xp.maximum, xp.where or "
        "xp.sum(..., axis=1) where it calls NumPy."
    )
