"""Regret of the exact decision, with surrogate gradients."""

from typing import Any

import torch

from .._utils.checks import number
from .._utils.torch_powers import power_of_two_factor
from ..problems.base import DecisionProblem
from ..rows import Optimum
from ._linear import linear_costs, solved
from .base import DecisionLoss, RowLoss


class BlackboxLoss(DecisionLoss):
    r"""The regret itself, with the gradient of a piecewise affine interpolation (DBB).

    The regret is constant except where the decision jumps. A second solution, for predictions moved
    towards the realised costs, gives it a gradient in :math:`\hat c`:

    .. math:: \frac{1}{\lambda} \left( z^*(\hat c + \lambda c) - z^*(\hat c) \right).

    A step of descent raises the predicted cost of components that the better decision does not use.

    Parameters
    ----------
    interpolation : float, default=1
        The step :math:`\lambda` to the second solution; positive, without unit.

    See Also
    --------
    IdentityLoss : The regret with a gradient that needs no second solution.
    PerturbedFenchelYoungLoss : A smooth loss, with several solutions per row.
    SPOPlusLoss : A convex upper bound of the regret.

    References
    ----------
    Pogancic et al., "Differentiation of blackbox combinatorial solvers", ICLR 2020, section 3.2.

    Examples
    --------
    The first item should have been chosen. A step of descent raises its predicted value, and lowers
    that of the other.

    >>> import torch
    >>> from dfl_sklearn.losses import BlackboxLoss
    >>> from dfl_sklearn.problems import TopKProblem
    >>> predicted = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> values = torch.tensor([[4.0, 2.0]])
    >>> regret = BlackboxLoss()(TopKProblem(1), predicted, values)
    >>> regret.detach()
    tensor([2.])
    >>> torch.autograd.grad(regret.sum(), predicted)[0]
    tensor([[-1.,  1.]])
    """

    def __init__(self, interpolation: float = 1.0) -> None:
        self.interpolation = interpolation

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""
        far = self.interpolation
        number(far, "interpolation", above=0)
        costs = linear_costs(problem, "BlackboxLoss")

        def blackbox(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            decisions = solved(problem, y_hat, context)
            # Costs are affine in y, and decisions do not depend on their scale.
            towards = solved(problem, (y_hat + far * y) / (1.0 + far), context)
            slope = (towards - decisions) / far
            regret = _regret(problem, decisions, y, optimum, context)
            return regret + _slope_only(costs(y_hat, context), slope)

        return blackbox


class IdentityLoss(DecisionLoss):
    r"""The regret itself, with the solver differentiated as minus the identity (NID).

    The gradient in the predicted costs is then :math:`-c`, taken through a projection that does not
    change decisions: predictions are centred and divided by their length. It is the gradient of
    minus the correlation of predicted and realised costs, and needs no second solution.

    This loss is for problems whose decisions do not change when all costs are raised by the same
    amount (paths with equal numbers of edges, assignments, the k best of many).

    See Also
    --------
    BlackboxLoss : The regret with a gradient from a second solution.
    SPOPlusLoss : A convex upper bound of the regret.

    References
    ----------
    Sahoo et al., "Backpropagation through combinatorial algorithms: identity with projection
    works", ICLR 2023, section 3.

    Examples
    --------
    The first item should have been chosen. A step of descent raises its predicted value, and lowers
    those of the others.

    >>> import torch
    >>> from dfl_sklearn.losses import IdentityLoss
    >>> from dfl_sklearn.problems import TopKProblem
    >>> predicted = torch.tensor([[1.0, 2.0, 0.0]], requires_grad=True)
    >>> values = torch.tensor([[4.0, 2.0, 0.0]])
    >>> regret = IdentityLoss()(TopKProblem(1), predicted, values)
    >>> regret.detach()
    tensor([2.])
    >>> torch.autograd.grad(regret.sum(), predicted)[0]
    tensor([[-1.4142,  0.7071,  0.7071]])
    """

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""
        costs = linear_costs(problem, "IdentityLoss")

        def identity(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            c_hat = costs(y_hat, context)
            # Divided by a power of two, which cancels, squares neither overflow nor underflow.
            c_hat = c_hat * power_of_two_factor(c_hat)
            centred = c_hat - c_hat.mean(dim=1, keepdim=True)
            length = centred.square().sum(dim=1, keepdim=True)
            projected = centred / torch.where(length > 0, length, 1.0).sqrt()
            decisions = solved(problem, y_hat, context)
            regret = _regret(problem, decisions, y, optimum, context)
            return regret + _slope_only(projected, -costs(y, context))

        return identity


def _regret(
    problem: DecisionProblem,
    decisions: torch.Tensor,
    y: torch.Tensor,
    optimum: Optimum,
    context: torch.Tensor | None,
) -> Any:
    return problem.cost_rows(decisions, y, context) - optimum.cost


def _slope_only(variable: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Return zeros (B,) whose gradient in `variable` is `slope`."""
    return ((variable - variable.detach()) * slope).sum(dim=1)
