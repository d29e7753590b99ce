"""The interface of decision losses."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.base import BaseEstimator

from ..problems.base import DecisionProblem
from ..rows import Optimum


class RowLoss(Protocol):
    """A loss bound to its problem."""

    def __call__(
        self,
        y_hat: torch.Tensor,
        y: torch.Tensor,
        optimum: Optimum,
        context: torch.Tensor | None = None,
        /,
    ) -> torch.Tensor:
        """Return the loss (B,) of predicted (B, d) and observed (B, d) parameters.

        The context (B, c) is given only where the problem takes one, with the columns that the
        problem reads, in its order.
        """


class DecisionLoss(BaseEstimator, ABC):
    """Base class of decision losses: one number per row, without reduction or weights.

    A loss object holds parameters and is not bound to a problem. ``loss.bind(problem)`` returns the
    function that training calls for each batch, so that anything costly (a layer, a matrix
    factorisation) is set up once.

    See Also
    --------
    RegretLoss : The regret through the decision layer.
    dfl_sklearn.DFLRegressor : Takes a loss as a parameter.

    Examples
    --------
    The quantile loss, which depends on the prediction alone:

    >>> import torch
    >>> from dfl_sklearn.losses import DecisionLoss
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> class QuantileLoss(DecisionLoss):
    ...     def __init__(self, level=0.9):
    ...         self.level = level
    ...
    ...     def bind(self, problem):
    ...         def quantile(y_hat, y, optimum, context=None):
    ...             short = y - y_hat
    ...             return torch.maximum(self.level * short, (self.level - 1) * short).sum(dim=1)
    ...
    ...         return quantile
    >>> forecast, demand = torch.tensor([[8.0], [8.0]]), torch.tensor([[10.0], [5.0]])
    >>> QuantileLoss()(NewsvendorProblem(9, 1), forecast, demand)
    tensor([1.8000, 0.3000])
    """

    @abstractmethod
    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum) and, for some problems, a context.

        See :class:`RowLoss`.

        Parameters
        ----------
        problem : DecisionProblem
            The problem in which the predictions are used.

        Returns
        -------
        callable
            ``row_loss(y_hat, y, optimum)``, with the context (B, c) as a fourth argument where the
            problem takes one. It returns the loss (B,) of each row.
        """

    def bind_scaled(self, problem: DecisionProblem, scale: np.ndarray) -> RowLoss:
        """Return the loss for training, given the scale of the training rows.

        Parameters
        ----------
        problem : DecisionProblem
            The problem in which the predictions are used.
        scale : ndarray of shape (d,)
            The standard deviation of each column of y, 1 where it is constant.

        Returns
        -------
        callable
            As from :meth:`bind`.
        """
        return self.bind(problem)

    def __call__(
        self,
        problem: DecisionProblem,
        y_hat: Any,
        y: Any,
        *,
        optimal: Optimum | None = None,
        context: Any = None,
    ) -> torch.Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        problem : DecisionProblem
            The problem in which the predictions are used.
        y_hat : torch.Tensor of shape (B, d)
            Predicted parameters.
        y : torch.Tensor of shape (B, d)
            Observed parameters.
        optimal : Optimum, default=None
            The best decisions for `y` and their cost; computed if not given.
        context : array-like of shape (B,) or (B, c), or DataFrame, default=None
            Known data of each row, for problems that take it, as in ``problem.solve``.

        Returns
        -------
        torch.Tensor of shape (B,)
        """
        if optimal is None:
            solution = problem.optimum(y.detach().cpu().numpy(), context=context)
            optimal = Optimum(y.new_tensor(solution.decisions), y.new_tensor(solution.cost))
        rows = problem.context_rows(context, len(y))
        loss = self.bind(problem)
        if rows is None:
            return loss(y_hat, y, optimal)
        # In float64, as problems read it: rounding would change the context.
        known = torch.as_tensor(rows, dtype=torch.float64, device=y.device)
        return loss(y_hat, y, optimal, known)
