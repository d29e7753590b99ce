"""Losses of the prediction alone, for two-stage training of the same net."""

import torch

from ..problems.base import DecisionProblem
from ..rows import Optimum
from .base import DecisionLoss, RowLoss


class SquaredErrorLoss(DecisionLoss):
    r"""Squared error of the predicted parameters, :math:`\|\hat y - y\|^2`.

    It ignores the decision. Comparing it with another loss therefore shows the effect of training
    for the decision: the net, early stopping by the regret and everything else are the same.

    See Also
    --------
    LogLoss : The corresponding loss for probabilities.
    RegretLoss : The regret of the decision.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import SquaredErrorLoss
    >>> from dfl_sklearn.problems import TopKProblem
    >>> SquaredErrorLoss()(TopKProblem(1), torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]]))
    tensor([4.])
    """

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""

        def squared_error(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            return (y_hat - y).square().sum(dim=1)

        return squared_error


class LogLoss(DecisionLoss):
    r"""Log loss of predicted probabilities, summed over the columns.

    .. math:: -\sum_j y_j \log \hat y_j + (1 - y_j) \log (1 - \hat y_j)

    It is for parameters in [0, 1], predicted by a net with the output "logistic" and
    ``standardize=False``. Like :class:`SquaredErrorLoss`, it ignores the decision.

    See Also
    --------
    SquaredErrorLoss : The corresponding loss for numbers that are not probabilities.
    dfl_sklearn.learners.ItemwisePredictor : A net with the output "logistic".

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import LogLoss
    >>> from dfl_sklearn.problems import TopKProblem
    >>> LogLoss()(TopKProblem(1), torch.tensor([[0.5, 0.9]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.7985])
    """

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""

        def log_loss(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            for name, values in (("observed", y), ("predicted", y_hat)):
                if ((values < 0) | (values > 1)).any():
                    raise ValueError(
                        f"LogLoss needs probabilities, but {name} parameters lie between "
                        f"{float(values.min()):.3g} and {float(values.max()):.3g}."
                        + (
                            ' Use a predictor with output="logistic", and standardize=False.'
                            if name == "predicted"
                            else ""
                        )
                    )
            known = torch.isfinite(y_hat).all(dim=1)  # else NaN, which the caller explains
            probabilities = torch.where(known[:, None], y_hat, 0.5)
            terms = torch.nn.functional.binary_cross_entropy(probabilities, y, reduction="none")
            return torch.where(known, terms.sum(dim=1), torch.nan)

        return log_loss
