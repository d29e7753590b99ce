"""Mean-CVaR portfolios as a layer: shares and reserve as a function of predicted returns."""

import numpy as np
import torch
from torch import nn

from ..solvers.polytope import Polytope
from ..solvers.tail_losses import tail_losses
from ._batch import check_batch
from .quadratic_program import QuadraticProgramLayer
from .regularized_linear import RegularizedLinearLayer

_CURVATURE = 1e-4  # of the charges for reserve and losses beyond it, per standard deviation
_ROUNDING = 1e-9  # deviations of residuals that are none, beside residuals


class CVaRPortfolioLayer(nn.Module):
    r"""The minimiser of a portfolio's mean loss and CVaR plus :math:`\gamma \|z\|^2`.

    One quadratic program per row in the shares, the reserve less the predicted loss and what each
    scenario loses beyond it. The last two get a quadratic term too, of a ten-thousandth of their
    charges, since the solver needs one.

    Parameters
    ----------
    level, risk_aversion : float
    residuals : ndarray of shape (n_scenarios, n_assets) or None
        None means no risk: the reserve is the predicted loss.
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
        self.scale, self.size = 1.0 + risk_aversion, 1.0
        self.centre: torch.Tensor | None = None
        self.charges: torch.Tensor | None = None
        spread = np.zeros((1, 1))
        if residuals is not None:
            centre = residuals.mean(axis=0)
            spread = residuals - centre
            self.centre = torch.as_tensor(centre)
        if residuals is None or np.abs(spread).max() <= _ROUNDING * np.abs(residuals).max():
            self.program: nn.Module = RegularizedLinearLayer(_simplex, smoothing, scale=-self.scale)
            return
        n_scenarios, n_assets = spread.shape
        # In units of the residuals, since the solver's tolerances are absolute.
        self.size = float(spread.std(axis=0).mean())
        part = tail_losses(spread / self.size)
        gamma = self.scale if smoothing is None else smoothing / self.size
        charges = np.full(1 + n_scenarios, risk_aversion / ((1.0 - level) * n_scenarios))
        charges[0] = risk_aversion
        self.charges = torch.as_tensor(charges)
        self.program = QuadraticProgramLayer(
            np.concatenate([np.full(n_assets, 2.0 * gamma), _CURVATURE * charges]),
            *(part.A_eq.toarray(), part.b_eq),
            *(part.A_ub.toarray(), part.b_ub),
            *(part.lower, part.upper),
        )

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Map returns (B, d) to shares and the reserve (B, d + 1)."""
        check_batch(y, None if self.centre is None else len(self.centre))
        returns = y.to(torch.float64)
        if self.centre is not None:
            returns = returns + self.centre.to(y.device)
        if self.charges is None:
            shares, above = self.program(returns), torch.zeros_like(returns[:, :1])
        else:
            gain, charges = (
                returns * (self.scale / self.size),
                self.charges.to(y.device).expand(len(y), -1),
            )
            found = self.program(torch.cat([-gain, charges], dim=1))
            shares, above = found[:, : y.shape[1]], self.size * found[:, y.shape[1], None]
        loss = -(returns * shares).sum(dim=1, keepdim=True)
        return torch.cat([shares, above + loss], dim=1).to(y)


def _simplex(n: int) -> Polytope:
    return Polytope.of(n, eq=(np.ones((1, n)), np.ones(1)))
