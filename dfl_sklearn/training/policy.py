"""The objective of policies: the cost of the decisions that a net outputs."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.members import member_mean
from .._utils.row_numbers import renumbered
from ..learners.scaling import Scale
from ..losses.base import RowLoss
from ..losses.regret import RegretLoss, regret_through
from ..problems.base import DecisionProblem
from ..rows import Rows
from .objective import Objective

_WAY_BACK = 0.1  # share of the slope at the nearest feasible decision that is added
_CHUNK = 1 << 12  # decisions projected at a time


class PolicyObjective(Objective):
    """A problem, and nets whose output, after a projection, is the decision.

    Parameters
    ----------
    problem : DecisionProblem
    n_parameters : int
        The number of columns of y.
    """

    def __init__(self, problem: DecisionProblem, n_parameters: int) -> None:
        super().__init__(problem, RegretLoss())
        self.projection = problem.decision_projection(n_parameters)

    @cached_property
    def row_loss(self) -> RowLoss:
        """The regret of the decisions."""
        return regret_through(self.problem, WithWayBack(self.projection))

    def targets(self, rows: Rows) -> np.ndarray:
        """Return the best decisions (n, k)."""
        return self.solved(rows).optimum.decisions

    def output_scale(self, rows: Rows, seed: int) -> Scale:
        """Return the best constant decision, and the distance of the best decisions from it."""
        targets = self.targets(rows)  # first: a row without a decision is an error that names it
        of, constant = self._constant(rows, seed)
        weight = rows.weight[of] if len(constant) > 1 else np.ones(1)
        return Scale.about(np.average(constant, axis=0, weights=weight), targets, rows.weight)

    def _decisions(self, y_hat: np.ndarray, rows: Rows) -> np.ndarray:
        context = None if rows.context is None else rows.context.cpu().numpy()
        if y_hat.ndim == 2:
            return nearest_decisions(self.projection, y_hat, context)
        members = [nearest_decisions(self.projection, each, context) for each in y_hat]
        return member_mean(np.stack(members))

    def relaxed_regret(self, y_hat: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return the regret (n,) of outputs (n, k), or of the mean of those of an ensemble."""
        return super().relaxed_regret(y_hat if y_hat.ndim == 2 else y_hat.mean(dim=0), rows)

    @cached_property
    def _relaxation(self) -> tuple[nn.Module, RowLoss]:
        return self.problem.decision_layer(), self.row_loss


class WithWayBack(nn.Module):
    """A projection whose slopes also lead back from outputs that are not feasible.

    The nearest decision does not change when the output moves straight away from it. Where all
    outputs are far outside, slopes are therefore 0, and training stalls. So a share of the slope of
    the cost at the nearest decision is added, only in those entries in which it leads back. Where
    the output is feasible, or the best decision is at the limit, slopes are those of the
    projection.
    """

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, z: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        """Map any decisions (B, k), and their context, to the nearest feasible ones."""
        return _WayBack.apply(self.projection(z, *context), z)


class _WayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, nearest: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(z - nearest)
        return nearest.clone()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (outside,) = ctx.saved_tensors
        return slope, _WAY_BACK * torch.where(slope * outside > 0, slope, 0.0)


def nearest_decisions(
    projection: nn.Module, decisions: np.ndarray, context: np.ndarray | None
) -> np.ndarray:
    """Return the nearest feasible decisions (n, k), in bounded memory.

    Parameters
    ----------
    projection : nn.Module
        See :meth:`~dfl_sklearn.problems.DecisionProblem.decision_projection`.
    decisions : ndarray of shape (n, k)
    context : ndarray of shape (n, c) or None
    """
    found = np.empty(decisions.shape)
    for start in range(0, len(decisions), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(decisions)))
        parts = [each[rows] for each in (decisions, context) if each is not None]
        with renumbered(rows), torch.no_grad():
            found[rows] = projection(*(_tensor(each) for each in parts)).numpy()
    return found


def _tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))
