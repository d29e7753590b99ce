"""The perturbed Fenchel-Young loss of Berthet et al."""

import torch

from .._utils.checks import number, whole_number
from .._utils.memory import check_rows
from .._utils.torch_powers import power_of_two_factor
from ..problems.base import DecisionProblem
from ..rows import Optimum
from ._linear import linear_costs, solved
from .base import DecisionLoss, RowLoss


class PerturbedFenchelYoungLoss(DecisionLoss):
    r"""Compare the best decision with the mean decision for noisy predictions.

    .. math:: \hat c^\top z^*(c) - \mathrm E \min_z (\hat c + \sigma \xi)^\top z,
       \qquad \xi \sim N(0, I),

    a smooth, convex function of the predicted costs, with the gradient
    :math:`z^*(c) - \mathrm E\, z^*(\hat c + \sigma \xi)`. It is small where noise of size
    :math:`\sigma` does not move the decision away from the best one. It is not in units of regret,
    and its minimum is not 0.

    Parameters
    ----------
    sigma : float, default=0.5
        Size of the noise, as a share of the root mean square of the observed parameters of each
        row; positive.
    n_samples : int, default=8
        Number of noisy predictions per row and step, each of which is solved for.
    random_state : int, default=0
        Seed of the noise; every fit draws the same noise.

    See Also
    --------
    SPOPlusLoss : A convex upper bound of the regret, with one solution per row.
    ScoreFunctionLoss : The mean regret under noise, for costs that are not linear.

    References
    ----------
    Berthet et al., "Learning with differentiable perturbed optimizers", NeurIPS 2020, section 4.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import PerturbedFenchelYoungLoss
    >>> from dfl_sklearn.problems import TopKProblem
    >>> loss, values = PerturbedFenchelYoungLoss(n_samples=100), torch.tensor([[3.0, 2.0]])
    >>> right, wrong = torch.tensor([[9.0, 1.0]]), torch.tensor([[1.0, 9.0]])
    >>> bool(loss(TopKProblem(1), right, values) < loss(TopKProblem(1), wrong, values))
    True
    """

    def __init__(self, sigma: float = 0.5, n_samples: int = 8, random_state: int = 0) -> None:
        self.sigma = sigma
        self.n_samples = n_samples
        self.random_state = random_state

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context)."""
        number(self.sigma, "sigma", above=0)
        whole_number(self.n_samples, "n_samples", at_least=1)
        whole_number(self.random_state, "random_state", at_least=0)
        costs = linear_costs(problem, "PerturbedFenchelYoungLoss")
        generator = torch.Generator().manual_seed(self.random_state)

        def fenchel_young(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            check_rows("n_samples", self.n_samples, 3 * y_hat.numel())
            noise = torch.randn(
                (self.n_samples, *y_hat.shape), generator=generator, dtype=torch.float64
            ).to(y_hat)
            factor = power_of_two_factor(y)
            size = (y * factor).square().mean(dim=1, keepdim=True).sqrt() / factor
            noisy = y_hat + self.sigma * size * noise
            every = noisy.reshape(-1, y_hat.shape[1])
            repeated = None if context is None else context.repeat(self.n_samples, 1)
            c_noisy, decisions = costs(every, repeated), solved(problem, every, repeated)
            c_noisy, decisions = (
                each.reshape(*noisy.shape[:2], -1) for each in (c_noisy, decisions)
            )
            least = (c_noisy * decisions).sum(dim=2).mean(dim=0)
            return (costs(y_hat, context) * optimum.decisions).sum(dim=1) - least

        return fenchel_young
