"""Mean-variance portfolios: how much of the budget goes into each asset."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import finite_number, smoothing_number
from .._utils.rows import as_float
from ..solvers.critical_regions import CriticalRegions
from ..solvers.simplex_qp import improved_shares, slope_gap
from ._shares import are_shares, check_shares
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_GAP = 1e-9  # by which shares may be too dear, as a share of the terms of their cost
_MOST_ENUMERATED = 8  # assets; there are 2^n - 1 sets of them that may be held


class PortfolioProblem(DecisionProblem):
    r"""Spread a budget over assets before their returns are known.

    With shares z of the budget (no short sales) and returns y, the cost is

    .. math:: -y^\top z + \frac{\lambda}{2} z^\top \Sigma z,
       \qquad z \ge 0, \quad \textstyle\sum_j z_j = 1,

    the return lost and a charge for risk (Markowitz, 1952). The returns are predicted; the
    covariance is known. Under a distribution of returns the best portfolio is that of their
    mean.

    Parameters
    ----------
    covariance : array-like of shape (n_assets, n_assets)
        Covariance :math:`\Sigma` of what no model predicts of the returns, in squared units of
        `y`; positive definite.
    risk_aversion : float, default=1
        The charge :math:`\lambda` for a unit of variance, positive, in 1 / units of `y`.

    Notes
    -----
    The best portfolio is piecewise affine in the returns, one piece for each set of assets
    held. Of up to 8 assets all pieces are computed once, and a row is looked up among them: exact,
    and without iterations. Of more, an interior point method solves all rows together, and an
    active-set method those that it leaves too dear by more than 1e-9 of the terms of their cost;
    shares are then off by about 1e-8.

    Examples
    --------
    >>> from dfl_sklearn.problems import PortfolioProblem
    >>> problem = PortfolioProblem([[1.0, 0.0], [0.0, 4.0]], risk_aversion=2.0)
    >>> problem.solve([[0.0, 0.0], [0.0, 4.0], [9.0, 0.0]])
    array([[0.8, 0.2],
           [0.4, 0.6],
           [1. , 0. ]])
    """

    exact_scenarios = True

    def __init__(self, covariance: ArrayLike, risk_aversion: float = 1.0) -> None:
        self.covariance = covariance
        self.risk_aversion = risk_aversion

    def _check_constants(self) -> None:
        if finite_number(self.risk_aversion, "risk_aversion") <= 0:
            raise ValueError(f"risk_aversion must be positive, got {self.risk_aversion}.")
        matrix = as_float(self.covariance, "covariance").astype(np.float64, copy=False)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
            raise ValueError(f"covariance must be a square matrix, got shape {matrix.shape}.")
        if not np.isfinite(matrix).all():
            i, j = np.argwhere(~np.isfinite(matrix))[0]
            raise ValueError(f"covariance is not finite at [{i}, {j}]: {matrix[i, j]}.")
        if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-12 * np.abs(matrix).max()):
            i, j = np.unravel_index(np.abs(matrix - matrix.T).argmax(), matrix.shape)
            raise ValueError(
                f"covariance is not symmetric: {matrix[i, j]} at [{i}, {j}] and {matrix[j, i]} at "
                f"[{j}, {i}]."
            )
        with np.errstate(over="ignore"):
            charge = self._quadratic()
        if not np.isfinite(charge).all() or not (np.diag(charge) > 0).all():
            raise ValueError(
                f"risk_aversion={self.risk_aversion} times the covariance, up to "
                f"{np.abs(matrix).max():.3g}, must be finite, with a positive diagonal."
            )
        least = np.linalg.eigvalsh(matrix)[0]
        if not least > 1e-12 * np.trace(matrix):
            raise ValueError(
                f"covariance must be positive definite, but its least eigenvalue is {least:.3g}. "
                "Add a small multiple of the identity, or drop a redundant asset."
            )

    def _quadratic(self) -> np.ndarray:
        """Return the charge for risk as a matrix; the constants have been checked."""
        matrix = np.asarray(self.covariance, dtype=np.float64)
        return self.risk_aversion * (matrix + matrix.T) / 2

    def _n_parameters(self) -> int:
        return len(np.asarray(self.covariance))

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        quadratic = self._quadratic()
        if len(quadratic) <= _MOST_ENUMERATED:
            return CriticalRegions.of(quadratic).solve(y)
        import torch

        shares = self._layer(quadratic)(torch.tensor(y)).numpy()
        shares = shares / shares.sum(axis=1, keepdims=True)
        # The layer's tolerance is a share of the largest return, which may not matter.
        for i in np.flatnonzero(slope_gap(quadratic, y, shares) > _GAP):
            shares[i] = improved_shares(quadratic, y[i], shares[i])
        return shares

    @staticmethod
    def _layer(quadratic: np.ndarray) -> "nn.Module":
        from ..layers.quadratic_program import QuadraticProgramLayer
        from ..layers.simplex import SimplexQPLayer

        n = len(quadratic)
        if n <= _MOST_ENUMERATED:
            return SimplexQPLayer(quadratic)
        return QuadraticProgramLayer(quadratic, np.ones((1, n)), [1.0], lower=0.0, scale=-1.0)

    # The mean of the scenarios, which the base solves for, is the minimiser: y enters linearly.

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        quadratic = xp.asarray(self._quadratic(), dtype=y.dtype, device=y.device)
        decisions = xp.broadcast_to(decisions, y.shape)
        risk = xp.sum(decisions * (decisions @ quadratic), axis=1)
        return 0.5 * risk - xp.sum(y * decisions, axis=1)

    def _check_decisions(self, decisions: np.ndarray) -> None:
        check_shares(decisions)

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return whether shares are non-negative and sum to 1, to `tol`."""
        return are_shares(self._decision_rows(decisions, y, context, tol), tol)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the best portfolio as a function of predicted returns.

        `smoothing`, without unit, adds ``smoothing`` times the mean variance to every asset's own
        (default 1; 0 is the exact portfolio). Where few assets are held the exact portfolio does
        not follow the returns of the others, and training stalls.
        """
        smoothing_number(smoothing, positive=False)
        self._check_constants()
        quadratic = self._quadratic()
        extra = (1.0 if smoothing is None else smoothing) * np.trace(quadratic) / len(quadratic)
        return self._layer(quadratic + extra * np.eye(len(quadratic)))
