"""Mean-CVaR portfolios as a layer: shares and reserve as a function of predicted returns."""

import numpy as np
import torch
from torch import nn

from ..problems._polytope import Polytope, tail_losses
from .quadratic_program import QuadraticProgramLayer
from .regularized_linear import RegularizedLinearLayer

_CURVATURE = 1e-4  # of the charges for reserve and losses beyond it, per standard deviation


class CVaRPortfolioLayer(nn.Module):
    r"""The minimiser of a portfolio's mean loss and CVaR plus :math:`\gamma \|z\|^2`.

    One quadratic program per row in the shares, the reserve less the predicted loss and what each
    scenario loses beyond it. The last two get a quadratic term too, of a ten-thousandth of their
    charges, since the solver asks for one.

    Parameters
    ----------
    level, risk_aversion : float
    residuals : ndarray of shape (n_scenarios, n_assets) or None
        None is no risk: the reserve is the predicted loss.
    smoothing : float or None
        :math:`\gamma`; None is as in
        :meth:`~dfl_sklearn.problems.CVaRPortfolioProblem.decision_layer`.
    """

    def __init__(
        self,
        level: float,
        risk_aversion: float,
        residuals: np.ndarray | None,
        smoothing: float | None,
    ) -> None:
        super().__init__()
        self.scale = 1.0 + risk_aversion
        if residuals is None:
            self.program: nn.Module = RegularizedLinearLayer(_simplex, smoothing, scale=-self.scale)
            self.charges = None
            return
        n_scenarios, n_assets = residuals.shape
        part = tail_losses(residuals)
        size = float(residuals.std(axis=0).mean()) or 1.0
        smoothing = self.scale * size if smoothing is None else smoothing
        charges = np.full(1 + n_scenarios, risk_aversion / ((1.0 - level) * n_scenarios))
        charges[0] = risk_aversion
        self.mean = torch.as_tensor(residuals.mean(axis=0))
        self.charges = torch.as_tensor(charges)
        self.program = QuadraticProgramLayer(
            np.concatenate([np.full(n_assets, 2.0 * smoothing), _CURVATURE / size * charges]),
            *(part.A_eq.toarray(), part.b_eq),
            *(part.A_ub.toarray(), part.b_ub),
            *(part.lower, part.upper),
        )

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map returns (B, d) to shares and the reserve (B, d + 1)."""
        if self.charges is None:
            shares = self.program(y)
            above = torch.zeros_like(y[:, :1])
        else:
            n_assets = len(self.mean)
            returns = y.to("cpu", torch.float64)
            charges = self.charges.expand(len(y), -1)
            linear = torch.cat([-self.scale * returns - self.mean, charges], dim=1)
            found = self.program(linear).to(y)
            shares, above = found[:, :n_assets], found[:, n_assets : n_assets + 1]
        return torch.cat([shares, above - (y * shares).sum(dim=1, keepdim=True)], dim=1)


def _simplex(n: int) -> Polytope:
    return Polytope.of(n, eq=(np.ones((1, n)), np.ones(1)))
