"""A loss for predicted constraints: which decisions a prediction makes feasible."""

import torch

from .._utils.checks import number
from ..problems.base import DecisionProblem
from ..rows import Optimum
from ._linear import solved
from .base import DecisionLoss, RowLoss

_MISSED = 1e-9  # share of its size above which an exceeded constraint counts as violated


class FeasibilityLoss(DecisionLoss):
    r"""Penalise predictions that misjudge which decisions are feasible (Odece).

    This loss is for problems whose constraints :math:`g_k(z, y) \le 0` depend on what is predicted.
    It weighs two errors against each other. In the first term, the best decision :math:`z^*` is
    infeasible under the prediction. In the second, the decision :math:`\hat z` made from the
    prediction turns out to be infeasible:

    .. math:: (1 - \alpha)\, \frac1K \sum_k \mathrm{sp}\bigl( g_k(z^*, \hat y) + m \bigr)
       + \alpha\, \frac1{|V|} \sum_{k \in V} \mathrm{sp}\bigl( m - g_k(\hat z, \hat y) \bigr),
       \qquad V = \{ k : g_k(\hat z, y) > 0 \}.

    The second term is 0 where no constraint is violated. Decisions are treated as constants: a
    gradient step moves the prediction so that :math:`z^*` becomes feasible or :math:`\hat z`
    infeasible. Costs are not used.

    Parameters
    ----------
    infeasibility_weight : float, default=0.5
        :math:`\alpha`, the weight of decisions that turn out to be infeasible, in [0, 1]. A larger
        weight gives more cautious predictions, and suits a higher price of violations. This is the
        main parameter to tune.
    margin : float, default=0.05
        m, the slack or excess of constraints to aim for, as a share of their size.
    sharpness : float, default=20.0
        :math:`\beta`, positive, of the softplus
        :math:`\mathrm{sp}(g) = \log(1 + e^{\beta g}) / \beta`, which is close to its limit
        :math:`\max(g, 0)` where :math:`|g|` is well above :math:`1 / \beta`.

    See Also
    --------
    ScoreFunctionLoss : The mean regret under noise, also where constraints are predicted.
    dfl_sklearn.metrics.infeasible_share : How often decisions turn out to be infeasible.

    Notes
    -----
    The excess of a constraint is divided by its size under the observed parameters, the absolute
    right-hand side (1 where that is 0), so that margin and sharpness have no unit. The paper uses
    2 and 5 in the units of its constraints. It drops rows without a violation from the second
    term; here they count with a second term of 0.

    Training watches the regret, so the problem must put a price on violations (`penalty=`).

    This loss can do worse than two-stage learning. It does not know what decisions cost, nor the
    price of a violation. Trained from random weights it was often worse than least squares on
    knapsacks, several times so where a violation is cheap. Start from a net that is trained on
    squared errors (``warm_start=True``), and compare with that.

    Every step solves for the decision of each row once. Where violations have a price (a penalty or
    recourse), the best decision may itself violate a constraint, and is still the target.

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
                f"FeasibilityLoss is for constraints that depend on what is predicted, but "
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
