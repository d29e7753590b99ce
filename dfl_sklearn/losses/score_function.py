"""The regret under noisy predictions, with the score function gradient."""

import numpy as np
import torch

from .._utils.checks import flag, number, whole_number
from .._utils.memory import check_rows
from .._utils.row_numbers import renumbered
from ..problems.base import DecisionProblem
from ..rows import Optimum
from ._linear import solved
from .base import DecisionLoss, RowLoss


class ScoreFunctionLoss(DecisionLoss):
    r"""The mean regret under noisy predictions, with the score function gradient.

    .. math:: \mathrm E\, r(\hat y + \sigma \odot \xi), \qquad \xi \sim N(0, I),

    with r the exact regret of the decision made from a prediction. The gradient uses only the
    density of the noise and values of the regret, so that nothing else needs to be differentiated:
    decisions may be integers, constraints may be predicted, and costs may be any function. With
    noise :math:`\xi_k` and regrets :math:`r_k` it is estimated by

    .. math:: \frac1K \sum_k \frac{r_k \xi_k}{\sigma} \quad \text{(pairs } \pm \xi \text{)}, \qquad
       \frac1{K - 1} \sum_k \frac{(r_k - \bar r)\, \xi_k}{\sigma} \quad \text{(independent)}.

    Both are unbiased.

    Parameters
    ----------
    sigma : float, default=0.1
        Size of the noise, as a share of the standard deviation of each column of the observed
        parameters; positive. Training uses the standard deviation of all training rows. A constant
        column counts as one with a standard deviation of 1.
    n_samples : int, default=8
        Number of noisy predictions per row and step, each of which is solved for. At least 2, and
        even with `antithetic`.
    antithetic : bool, default=True
        Whether the noise comes in pairs of opposite sign, which removes most of the variance where
        the regret is nearly affine.
    random_state : int, default=0
        Seed of the noise; every fit draws the same noise.

    See Also
    --------
    RegretLoss : The regret through a decision layer, where there is one.
    FeasibilityLoss : For predicted constraints, with one solution per row.

    Notes
    -----
    Where a :class:`~dfl_sklearn.DFLRegressor` has a scenario model as predictor, the noise is that
    of the model, and `sigma` and `antithetic` are ignored. Scenarios :math:`y_m` are drawn. If the
    problem's `scenario_layer` provides the slope :math:`w_m` of the cost in the weight of each
    scenario, the gradient is estimated by
    :math:`\frac1S \sum_m (w_m - \bar w_m) \nabla \log p(y_m \mid x)`, where
    :math:`\bar w_m` is the mean of the other slopes ("Diffusion-DFL", ICLR 2026; the baseline is
    ours). If it does not, as with plans of linear programs, `n_samples` sets of scenarios are
    drawn, and the score of each set is weighted by the regret of its decision.

    The variance of the gradient grows with the number of parameters. The loss works well with some
    tens of parameters; with hundreds, too many samples are needed. Every step solves `n_samples`
    programs for each row.

    References
    ----------
    Silvestri et al., "Score function gradient estimation to widen the applicability of
    decision-focused learning", Journal of Artificial Intelligence Research, 2026.

    Examples
    --------
    >>> import torch
    >>> from dfl_sklearn.losses import ScoreFunctionLoss
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> loss, demand = ScoreFunctionLoss(n_samples=1000), torch.tensor([[10.0], [30.0]])
    >>> forecast = torch.tensor([[8.0], [33.0]], requires_grad=True)
    >>> regret = loss(NewsvendorProblem(9, 1), forecast, demand)
    >>> regret.detach().round()
    tensor([18.,  3.])
    >>> torch.autograd.grad(regret.sum(), forecast)[0].round()
    tensor([[-9.],
            [ 1.]])
    """

    def __init__(
        self,
        sigma: float = 0.1,
        n_samples: int = 8,
        antithetic: bool = True,
        random_state: int = 0,
    ) -> None:
        self.sigma = sigma
        self.n_samples = n_samples
        self.antithetic = antithetic
        self.random_state = random_state

    def bind(self, problem: DecisionProblem) -> RowLoss:
        """Return the loss as a function of (y_hat, y, optimum, context).

        The noise is in units of the columns of the y that it is called with.
        """
        return self.bind_scaled(problem, None)

    def bind_scaled(self, problem: DecisionProblem, scale: np.ndarray | None) -> RowLoss:
        """Return the loss with noise in units of the scale (d,) of the training rows."""
        number(self.sigma, "sigma", above=0)
        flag(self.antithetic, "antithetic")
        K = whole_number(self.n_samples, "n_samples", at_least=2)
        if self.antithetic and K % 2:
            raise ValueError(
                f"n_samples must be even for pairs of noise, got {K}. Give an even number, "
                "or antithetic=False."
            )
        whole_number(self.random_state, "random_state", at_least=0)
        generator = torch.Generator().manual_seed(self.random_state)

        def noise(shape: torch.Size) -> torch.Tensor:
            half = K // 2 if self.antithetic else K
            drawn = torch.randn((half, *shape), generator=generator, dtype=torch.float64)
            return torch.cat([drawn, -drawn]) if self.antithetic else drawn

        def mean_regret(
            y_hat: torch.Tensor,
            y: torch.Tensor,
            optimum: Optimum,
            context: torch.Tensor | None = None,
        ) -> torch.Tensor:
            check_rows("n_samples", K, 4 * y_hat.numel())
            xi = noise(y_hat.shape).to(y_hat)
            unit = self.sigma * (_deviation(y) if scale is None else y_hat.new_tensor(scale))
            with torch.no_grad():
                known = torch.isfinite(y_hat).all(dim=1)
                regret = y_hat.new_full((K, len(y)), torch.nan)
                if known.any():
                    noisy = (y_hat + unit * xi)[:, known].reshape(-1, y_hat.shape[1])
                    rows = torch.nonzero(known)[:, 0].repeat(K)
                    costs = _costs(problem, noisy, y, context, rows)
                    regret[:, known] = costs.reshape(K, -1) - optimum.cost[known]
                mean = regret.mean(dim=0)
                if self.antithetic:
                    slope = (regret[..., None] * xi).mean(dim=0) / unit
                else:
                    slope = ((regret - mean)[..., None] * xi).sum(dim=0) / (K - 1) / unit
            return mean + ((y_hat - y_hat.detach()) * slope).sum(dim=1)

        return mean_regret


def _costs(
    problem: DecisionProblem,
    predicted: torch.Tensor,
    y: torch.Tensor,
    context: torch.Tensor | None,
    rows: torch.Tensor,
) -> torch.Tensor:
    """Return the costs of decisions from predictions (N, d), each under one of the rows of y."""
    there = () if context is None else (context[rows.to(context.device)],)
    with renumbered(rows.cpu().numpy()):
        decisions = solved(problem, predicted, *there)
        return problem.cost_rows(decisions, y[rows], *there)


def _deviation(y: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation (d,) of each column, 1 where it is 0."""
    found = y.std(dim=0, correction=0)
    return torch.where(found > 0, found, 1.0)
