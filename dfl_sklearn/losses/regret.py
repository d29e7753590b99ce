"""The regret through the decision layer."""

import torch

from ..problems.base import DecisionProblem
from ..rows import Optimum
from .base import DecisionLoss, RowLoss


class RegretLoss(DecisionLoss):
    r"""The cost of the decision layer's decision less the cost of the best one.

    .. math:: f(\tilde z(\hat y), y) - f(z^*(y), y)

    Here :math:`f` is the cost and :math:`\tilde z` the problem's decision layer. With an exact
    layer this is the regret itself.

    Parameters
    ----------
    smoothing : float or None, default=None
        Passed to ``problem.decision_layer``; None takes the problem's default.

    See Also
    --------
    SPOPlusLoss : For costs that are linear in the decision.
    ScoreFunctionLoss : For problems without a decision layer.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import RegretLoss
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> forecast, demand = torch.tensor([[8.0], [8.0]]), torch.tensor([[10.0], [5.0]])
    >>> RegretLoss()(NewsvendorProblem(9, 1), forecast, demand)
    tensor([18.,  3.])
    """

    def __init__(self, smoothing: float | None = None) -> None:
        self.smoothing = smoothing

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the regret as a function of (y_hat, y, optimum, context)."""
        return regret_through(problem, problem.decision_layer(self.smoothing))


def regret_through(problem: DecisionProblem, layer: torch.nn.Module) -> RowLoss:
    """Return the regret of the decisions that a layer makes from the output of a net."""

    def regret(
        y_hat: torch.Tensor,
        y: torch.Tensor,
        optimum: Optimum,
        context: torch.Tensor | None = None,
    ) -> torch.Tensor:
        decisions = layer(y_hat) if context is None else layer(y_hat, context)
        if decisions.shape != optimum.decisions.shape:
            raise ValueError(
                f"The decision layer of {type(problem).__name__} returned shape "
                f"{tuple(decisions.shape)} where decisions have shape "
                f"{tuple(optimum.decisions.shape)}."
            )
        return problem.cost_rows(decisions, y, context) - optimum.cost

    return regret
