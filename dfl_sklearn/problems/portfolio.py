"""Mean-variance portfolios: the share of the budget in each asset."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import finite_number, positive, smoothing_number
from .._utils.rows import as_float
from ..solvers.critical_regions import CriticalRegions
from ..solvers.simplex_qp import improved_shares, slope_gap
from ..solvers.traded_shares import traded_shares
from ._context import FromContext, is_marked, stand_in
from ._marked import Numbers, as_those_of, check_marked, refuse_markers
from ._shares import check_shares, shares_missed
from .base import DecisionProblem

if TYPE_CHECKING:
    import torch
    from torch import nn

_GAP = 1e-9  # by which the cost may exceed the least one, as a share of its terms
_MOST_ENUMERATED = 8  # assets; there are 2^n - 1 sets of them that may be held
_MOST_HELD = 1.0 + 1e-6  # largest sum of holdings, rounding included
_HUGE = np.finfo(np.float64).max
_KINK = 8.0  # largest curvature of the smoothed trading cost, in mean variances over smoothing


class PortfolioProblem(DecisionProblem):
    r"""Spread a budget over assets before their returns are known.

    With shares z of the budget (no short sales) and returns y, the cost is

    .. math:: -y^\top z + \frac{\lambda}{2} z^\top \Sigma z,
       \qquad z \ge 0, \quad \textstyle\sum_j z_j = 1,

    the negated return plus a charge for risk (Markowitz, 1952). The returns are predicted; the
    covariance is known. Under a distribution of returns the best portfolio is that for their mean.

    With transaction costs, the best portfolio depends on the shares h held today, and
    :math:`\sum_j t_j |z_j - h_j|` is added to the cost.

    Parameters
    ----------
    covariance : array-like of shape (n_assets, n_assets)
        Covariance :math:`\Sigma` of the part of the returns that no model predicts, in squared
        units of `y`; positive definite.
    risk_aversion : float or FromContext, default=1
        The charge :math:`\lambda` for a unit of variance, positive, in 1 / units of `y`.
    holdings : array-like of float or FromContext, of shape (n_assets,), default=None
        Shares h of the budget held today, non-negative. If they sum to less than 1, the rest is
        cash, which is invested. Needed with a transaction cost.
    transaction_cost : float, FromContext or array-like of these of shape (n_assets,), default=0
        Cost t of buying or selling a share of 1, non-negative, in units of `y`; a number holds for
        every asset.

    See Also
    --------
    CVaRPortfolioProblem : The mean of the worst losses as the measure of risk.
    dfl_sklearn.datasets.make_portfolio : Returns to try it on.

    Notes
    -----
    The best portfolio is piecewise affine in the returns, with one piece for each set of assets
    held. For up to 8 assets all pieces are computed once, and the piece of each row is looked up,
    which is exact and needs no iterations. For more assets, an interior-point method (PIQP) finds
    which are held, and the shares are computed from these. Rows whose cost then exceeds the least
    one by more than 1e-9 of its terms are solved by an active-set method. With a transaction cost,
    an active-set method solves all rows together, exactly up to rounding. Within a range of
    returns it is best not to trade an asset.

    Examples
    --------
    >>> from dfl_sklearn.problems import PortfolioProblem
    >>> problem = PortfolioProblem([[1.0, 0.0], [0.0, 4.0]], risk_aversion=2.0)
    >>> problem.solve([[0.0, 0.0], [0.0, 4.0], [9.0, 0.0]])
    array([[0.8, 0.2],
           [0.4, 0.6],
           [1. , 0. ]])

    Trading costs 0.5 per share, and the shares held today are the context of each row:

    >>> from dfl_sklearn.problems import FromContext
    >>> problem = PortfolioProblem(
    ...     [[1.0, 0.0], [0.0, 4.0]],
    ...     risk_aversion=2.0,
    ...     holdings=[FromContext(0), FromContext(1)],
    ...     transaction_cost=0.5,
    ... )
    >>> problem.solve([[0.0, 0.0], [0.0, 0.0]], context=[[0.75, 0.25], [0.0, 1.0]])
    array([[0.75, 0.25],
           [0.7 , 0.3 ]])
    """

    exact_scenarios = True
    convex_decisions = True
    decision_average = "decisions"

    def __init__(
        self,
        covariance: ArrayLike,
        risk_aversion: float | FromContext = 1.0,
        holdings: Numbers | None = None,
        transaction_cost: Numbers = 0.0,
    ) -> None:
        self.covariance = covariance
        self.risk_aversion = risk_aversion
        self.holdings = holdings
        self.transaction_cost = transaction_cost

    def _check_constants(self) -> None:
        refuse_markers(self, but=("risk_aversion", "holdings", "transaction_cost"))
        if finite_number(stand_in(self.risk_aversion, 1.0), "risk_aversion") <= 0:
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
        self._check_trading(len(matrix))

    def _check_trading(self, n_assets: int) -> None:
        rate = positive(stand_in(self.transaction_cost, 1.0), "transaction_cost", strictly=False)
        if rate.ndim and len(rate) != n_assets:
            raise ValueError(
                f"transaction_cost must be a number or have one entry per asset, shape "
                f"({n_assets},), got {rate.shape}."
            )
        if self.holdings is None:
            if rate.any():
                raise ValueError(
                    "transaction_cost needs holdings: the shares held today, 0 where all is cash."
                )
            return
        held = positive(stand_in(self.holdings, 0.0), "holdings", strictly=False)
        if held.shape != (n_assets,):
            raise ValueError(
                f"holdings must have one share per asset, shape ({n_assets},), got {held.shape}."
            )
        if held.sum() > _MOST_HELD:
            raise ValueError(
                f"holdings must sum to at most 1, got {held.sum()}: divide them by the budget."
            )

    def _check_context_values(self, context: np.ndarray) -> None:
        matrix = np.asarray(self.covariance, dtype=np.float64)
        least, largest = np.diag(matrix).min(), _HUGE / max(1.0, np.abs(matrix).max())
        check_marked(
            *(self, "risk_aversion", context),
            lambda aversion: (aversion > 0) & (aversion * least > 0) & (aversion < largest),
            "positive, and neither too small nor too large for the covariance",
        )
        for name in ("holdings", "transaction_cost"):
            check_marked(self, name, context, lambda value: value >= 0, "at least 0")
        if is_marked(self.holdings):
            total = self._known(self.holdings, context).sum(axis=1)
            if (total > _MOST_HELD).any():
                i = int((total > _MOST_HELD).argmax())
                raise ValueError(
                    f"holdings must sum to at most 1, but they sum to {total[i]} at row {i} of the "
                    "context: divide them by the budget."
                )

    def _quadratic(self) -> np.ndarray:
        """Return the charge for risk as a matrix; the constants are already checked.

        Where the risk aversion is read from the context, this is the matrix for a value of 1.
        """
        matrix = np.asarray(self.covariance, dtype=np.float64)
        return stand_in(self.risk_aversion, 1.0) * (matrix + matrix.T) / 2

    def _trading_costs(self) -> bool:
        cost: Any = self.transaction_cost
        return is_marked(cost) or bool(np.any(cost))

    def _trading(self, context: Any) -> tuple[Any, Any]:
        """Return holdings and rates, to be broadcast to (n, n_assets)."""
        return self._known(self.holdings, context), self._known(self.transaction_cost, context)

    def _n_parameters(self) -> int:
        return len(np.asarray(self.covariance))

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        quadratic = self._quadratic()
        aversion = self._aversion(context)
        if aversion is not None:
            y = _over(y, aversion, "y")
        if self._trading_costs():
            held, rate = self._trading(context)
            rate = rate if aversion is None else _over(rate, aversion, "transaction_cost")
            held, rate = (np.broadcast_to(each, y.shape) for each in (held, rate))
            return traded_shares(quadratic, y, held, rate).shares
        if len(quadratic) <= _MOST_ENUMERATED:
            return CriticalRegions.of(quadratic).solve(y)
        import torch

        shares = self._layer(quadratic)(torch.tensor(y)).numpy()
        shares = shares / shares.sum(axis=1, keepdims=True)
        # The layer's tolerance is a share of the largest return, which may be irrelevant.
        for i in np.flatnonzero(slope_gap(quadratic, y, shares) > _GAP):
            shares[i] = improved_shares(quadratic, y[i], shares[i])
        return shares

    def _aversion(self, context: Any) -> Any:
        """Return risk aversions (n, 1) where they are read from the context, else None."""
        if not is_marked(self.risk_aversion):
            return None
        return self._known(self.risk_aversion, context)

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
        aversion = self._aversion(context)
        if aversion is not None:
            risk = as_those_of(aversion, y)[:, 0] * risk
        cost = 0.5 * risk - xp.sum(y * decisions, axis=1)
        if self._trading_costs():
            held, rate = (as_those_of(each, y) for each in self._trading(context))
            cost = cost + xp.sum(rate * xp.abs(decisions - held), axis=1)
        return cost

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        check_shares(decisions)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, as a share of the budget.

        Parameters
        ----------
        decisions : array-like of shape (n, d)
            What was decided.
        y : array-like of shape (n, d), default=None
            Only its shape is checked; the constraints do not depend on returns.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, 1 + d)
            0 where a constraint holds. The first column is the distance of the sum of the shares
            from 1; the others say by how much each share is below 0.
        """
        return shares_missed(self._decision_rows(decisions, y, context, 0.0))

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the best portfolio as a function of predicted returns.

        `smoothing`, without unit, adds ``smoothing`` times the mean variance to the variance of
        every asset (default 1; 0 is the exact portfolio). Where few assets are held, the exact
        portfolio does not depend on the returns of the others, and training stalls. With a
        transaction cost, `smoothing` also rounds the kinks of that cost, to a curvature of 8 mean
        variances over `smoothing`. Otherwise a share that is not traded would not depend on its
        return.
        """
        from ..layers.known_numbers import DividedLayer, KnownNumbersLayer

        smoothing_number(smoothing, positive=False)
        self._check_constants()
        quadratic = self._quadratic()
        smoothing = 1.0 if smoothing is None else smoothing
        extra = smoothing * np.trace(quadratic) / len(quadratic)
        smoothed = quadratic + extra * np.eye(len(quadratic))
        if self._trading_costs():
            from ..layers.traded_shares import TradedSharesLayer

            size = np.trace(quadratic) / len(quadratic)
            kink = _KINK * size / smoothing if smoothing > 0 else np.inf
            held, rate = (None, None) if self.takes_context else self._trading(None)
            layer: nn.Module = TradedSharesLayer(smoothed, held, rate, kink)
        else:
            layer = self._layer(smoothed)
        if is_marked(self.risk_aversion):
            layer = DividedLayer(layer)
        return KnownNumbersLayer(layer, self._read) if self.takes_context else layer

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the nearest shares of the budget; see :meth:`DecisionProblem.decision_projection`.

        The projection is exact: shares are at least 0 and sum to 1.
        """
        from ..layers.nearest import NearestShares

        self._check_constants()
        return NearestShares(width=self._n_parameters())

    def _read(self, context: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        """Return those of risk aversions, holdings and rates that the layer takes."""
        aversion = self._aversion(context)
        numbers = [] if aversion is None else [aversion]
        if self._trading_costs():
            held, rate = (as_those_of(each, context) for each in self._trading(context))
            numbers += [held, rate if aversion is None else rate / aversion]
        return tuple(numbers)


def _over(values: np.ndarray, aversion: np.ndarray, name: str) -> np.ndarray:
    """Return values divided by the risk aversions (n, 1); raise an error where that overflows."""
    with np.errstate(over="ignore"):
        ratio = values / aversion
    if not np.isfinite(ratio).all():
        i, _ = np.argwhere(~np.isfinite(ratio))[0]
        raise ValueError(
            f"{name} is too large for a risk_aversion of {aversion[i, 0]} at row {i}: measure "
            "returns in a larger unit."
        )
    return ratio
