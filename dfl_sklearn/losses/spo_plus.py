"""The SPO+ loss of Elmachtoub and Grigas."""

import torch

from ..problems.base import DecisionProblem
from ..rows import Optimum
from ._linear import linear_costs, solved
from .base import DecisionLoss, RowLoss


class SPOPlusLoss(DecisionLoss):
    r"""A convex upper bound of the regret, for costs :math:`c^\top z` with predicted c.

    .. math:: -\min_z (2 \hat c - c)^\top z + 2 \hat c^\top z^*(c) - c^\top z^*(c)

    The subgradient is :math:`2 (z^*(c) - z^*(2 \hat c - c))`. It needs the exact solution of one
    problem per row and step, but no decision layer, and works with integer decisions as well.

    See Also
    --------
    PerturbedFenchelYoungLoss : A smooth loss, with several solutions per row.
    BlackboxLoss : The regret itself, with the gradient of an interpolation.
    RegretLoss : For costs that are not linear in the decision.

    References
    ----------
    Elmachtoub, Grigas, "Smart 'predict, then optimize'", Management Science 68, 2022, eq. 9.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import SPOPlusLoss
    >>> from dfl_sklearn.problems import TopKProblem
    >>> predicted, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]])
    >>> SPOPlusLoss()(TopKProblem(1), predicted, values)
    tensor([3.])
    """

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""
        costs = linear_costs(problem, "SPOPlusLoss")

        def spo_plus(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            # Costs are affine in y, so these are the parameters whose costs are 2 c_hat - c.
            reflected = torch.add(-y, y_hat, alpha=2.0)
            gap = optimum.decisions - solved(problem, reflected, context)
            return (costs(reflected, context) * gap).sum(dim=1)

        return spo_plus
