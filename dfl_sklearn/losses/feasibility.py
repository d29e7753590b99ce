"""Predictions under which decisions are as feasible as they turn out to be."""

import torch

from .._utils.checks import number
from ..problems.base import DecisionProblem
from ..rows import Optimum
from ._linear import solved
from .base import DecisionLoss, RowLoss

_MISSED = 1e-9  # by which a constraint is exceeded that counts as violated, as a share of its size


class FeasibilityLoss(DecisionLoss):
    r"""What a prediction gets wrong about which decisions are allowed (Odece).

    For problems whose constraints :math:`g_k(z, y) \le 0` depend on what is predicted. Two errors
    are weighed against each other. Under the prediction the best decision :math:`z^*` is not
    allowed, or the decision :math:`\hat z` that the prediction leads to turns out not to be:

    .. math:: (1 - \alpha)\, \frac1K \sum_k \mathrm{sp}\bigl( g_k(z^*, \hat y) + m \bigr)
       + \alpha\, \frac1{|V|} \sum_{k \in V} \mathrm{sp}\bigl( m - g_k(\hat z, \hat y) \bigr),
       \qquad V = \{ k : g_k(\hat z, y) > 0 \}.

    The second term is 0 where no constraint is violated. Decisions are held constant: a step moves
    the prediction so that it allows the first or forbids the second. Costs play no part.

    Parameters
    ----------
    infeasibility_weight : float, default=0.5
        :math:`\alpha`, the weight of what turns out not to be allowed, in [0, 1]. More of it gives
        more cautious predictions, and suits a higher price of a violation: the one thing to tune.
    margin : float, default=0.05
        m, by how much a constraint should be kept, or exceeded, as a share of its size.
    sharpness : float, default=20.0
        :math:`\beta`, positive, of the softplus
        :math:`\mathrm{sp}(g) = \log(1 + e^{\beta g}) / \beta`: beyond :math:`1 / \beta` it is
        nearly its limit :math:`\max(g, 0)`.

    See Also
    --------
    ScoreFunctionLoss : The mean regret under noise, also where constraints are predicted.
    dfl_sklearn.metrics.infeasible_share : How often decisions turn out not to be allowed.

    Notes
    -----
    The excess of a constraint is divided by its size under the observed parameters, the absolute
    right-hand side (1 where that is 0), so that margin and sharpness have no unit. The paper takes
    2 and 5 in the units of its constraints. It drops rows in which nothing is violated from the
    second term; here they count with a second term of 0.

    Training watches the regret, so that the problem has to price what is missed (`penalty=`).

    This loss can do worse than two-stage learning. It does not know what decisions cost, nor the
    price of a violation. Trained from random weights it was often worse than least squares on
    knapsacks, several times so where a violation is cheap. Start from a net that is trained on
    squared errors (``warm_start=True``), and compare with that.

    Every step solves for the decision of each row once. Where exceeding a constraint has its price
    (a penalty, a recourse), the best decision may itself exceed it, and is still the target.

    References
    ----------
    Mandi, Defresne, Berden, Guns, "Feasibility-aware decision-focused learning for predicting
    parameters in the constraints", arXiv:2510.04951 (Odece).

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import FeasibilityLoss
    >>> from dfl_sklearn.problems import UncertainKnapsackProblem
    >>> problem = UncertainKnapsackProblem(values=[4, 5], capacity=10, penalty=9)
    >>> weights = torch.tensor([[6.0, 7.0]])
    >>> light = torch.tensor([[4.0, 5.0]], requires_grad=True)
    >>> loss = FeasibilityLoss()(problem, light, weights)  # both items are taken
    >>> (-torch.autograd.grad(loss.sum(), light)[0]).sign()  # both should be heavier
    tensor([[1., 1.]])
    """

    def __init__(
        self,
        infeasibility_weight: float = 0.5,
        margin: float = 0.05,
        sharpness: float = 20.0,
    ) -> None:
        self.infeasibility_weight = infeasibility_weight
        self.margin = margin
        self.sharpness = sharpness

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""
        alpha = number(self.infeasibility_weight, "infeasibility_weight", at_least=0, at_most=1)
        margin = number(self.margin, "margin", at_least=0)
        beta = number(self.sharpness, "sharpness", above=0)
        why = problem._why_all_is_certain()
        if why is not None:
            raise ValueError(
                f"FeasibilityLoss is for constraints that depend on what is predicted, and "
                f"{type(problem).__name__} {why}. Use RegretLoss or ScoreFunctionLoss."
            )

        def softplus(excess: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.softplus(excess, beta)

        def loss(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            decisions = solved(problem, y_hat, context)

            def excess(z: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
                _, size = problem.uncertain_constraints(z, y, context)
                over, _ = problem.uncertain_constraints(z, parameters, context)
                return over / torch.where(size > 0, size, 1.0)

            optimal = softplus(excess(optimum.decisions, y_hat) + margin).mean(dim=1)
            violated = (excess(decisions, y) > _MISSED).to(y_hat)
            terms = softplus(margin - excess(decisions, y_hat)) * violated
            infeasible = terms.sum(dim=1) / violated.sum(dim=1).clamp(min=1.0)
            return (1 - alpha) * optimal + alpha * infeasible

        return loss
