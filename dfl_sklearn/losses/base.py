"""The contract of a decision loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from sklearn.base import BaseEstimator

from ..problems.base import DecisionProblem
from ..rows import Optimum

RowLoss = Callable[[torch.Tensor, torch.Tensor, Optimum], torch.Tensor]
"""A loss bound to its problem: predicted (B, d), observed (B, d), optimum -> (B,)."""


class DecisionLoss(BaseEstimator, ABC):
    """Base class of decision losses: one number per row, no reduction, no weights.

    A loss is a parameter object, not bound to a problem. ``loss.bind(problem)`` gives the
    function that training calls batch after batch, so that whatever is costly to set up (a
    layer, a factor of a matrix) is set up once.
    """

    @abstractmethod
    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum)."""

    def __call__(
        self, problem: DecisionProblem, y_hat: Any, y: Any, *, optimal: Optimum | None = None
    ) -> torch.Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        problem : DecisionProblem
        y_hat : torch.Tensor of shape (B, d)
            Predicted parameters.
        y : torch.Tensor of shape (B, d)
            Observed parameters.
        optimal : Optimum, default=None
            The best decisions for `y` and their cost; solved for if not given.

        Returns
        -------
        torch.Tensor of shape (B,)
        """
        if optimal is None:
            solution = problem.optimum(y.detach().cpu().numpy())
            optimal = Optimum(y.new_tensor(solution.decisions), y.new_tensor(solution.cost))
        return self.bind(problem)(y_hat, y, optimal)
