"""Mean-CVaR portfolios: shares of a budget, and a reserve held against losses."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import finite_number, smoothing_number
from .._utils.progress import counted
from .._utils.rows import as_float
from ..solvers.tail_program import TailProgram, value_at_risk
from ._context import FromContext, each_context, is_marked, layer_by_context, stand_in
from ._marked import as_those_of, check_marked, refuse_markers
from ._shares import check_shares, shares_missed
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_MOST_PAIRS = 5_000  # most pairs of scenarios and residuals, for the unit of the loss
_ROUNDING = 1e-9  # tolerance of sums of scenario weights and of deviations that are 0


class CVaRPortfolioProblem(DecisionProblem):
    r"""Spread a budget over assets, and hold a reserve against the remaining losses.

    The decision holds the shares z and, as its last entry, the reserve t. With returns y, known
    residuals :math:`e_1, \dots, e_S` and the losses :math:`L_s = -(y + e_s)^\top z`, the cost is

    .. math:: \frac1S \sum_s L_s
       + \lambda \Bigl( t + \frac{1}{(1 - \beta) S} \sum_s (L_s - t)_+ \Bigr),
       \qquad z \ge 0, \quad \textstyle\sum_j z_j = 1,

    the mean loss plus a charge for the reserve and, at a higher rate, for losses beyond it. The
    best reserve is the value at risk. The bracket is then the conditional value at risk (CVaR), the
    mean of the worst share :math:`1 - \beta` of the losses (Rockafellar and Uryasev, 2000).

    Parameters
    ----------
    level : float or FromContext, default=0.95
        :math:`\beta`, the level of the CVaR, between 0 and 1: 0.95 is the mean of the worst 5 % of
        the losses. It is one minus the `alpha` of :class:`~dfl_sklearn.robust.CVaR`: ``level=0.95``
        is ``alpha=0.05``.
    risk_aversion : float or FromContext, default=1
        :math:`\lambda`, positive: the weight of the CVaR relative to the mean loss.
    residuals : array-like of shape (n_scenarios, n_assets), default=None
        The part of the returns that no model predicts, in units of `y`: usually the errors of a
        forecast on held-out rows. With None there is a single residual of 0, so that a known row of
        returns has no risk.

    See Also
    --------
    PortfolioProblem : Variance as the measure of risk.
    dfl_sklearn.robust.CVaR : The same risk measure for any problem, by its share `alpha`.
    dfl_sklearn.datasets.make_mean_cvar_portfolio : Returns to try it on.

    Notes
    -----
    With several scenarios of returns per row, shape (n, S, d), `solve` minimises their mean loss
    and CVaR exactly, because the reserve makes the CVaR a mean over scenarios. Residuals, where
    given, are added to each scenario. HiGHS solves one linear program per row
    (``pip install "dfl-sklearn[highs]"``), except where all scenarios of a row are equal.

    Where the value at risk is not unique, the smallest one is taken. Where the level or the risk
    aversion is read from the context, rows that share it are solved together.

    References
    ----------
    Rockafellar, Uryasev, "Optimization of conditional value-at-risk", Journal of Risk 2, 2000.

    Examples
    --------
    The second asset has a larger return in three scenarios, and a loss in the fourth.

    >>> from dfl_sklearn.problems import CVaRPortfolioProblem
    >>> returns = [[[1.0, 4.0], [1.0, 4.0], [1.0, 4.0], [1.0, -5.0]]]
    >>> CVaRPortfolioProblem(level=0.75, risk_aversion=1.0).solve(returns)
    array([[ 1.,  0., -1.]])
    >>> CVaRPortfolioProblem(level=0.75, risk_aversion=0.01).solve(returns)
    array([[ 0.,  1., -4.]])
    """

    exact_scenarios = True
    convex_decisions = True
    decision_average = "decisions"

    def __init__(
        self,
        level: float | FromContext = 0.95,
        risk_aversion: float | FromContext = 1.0,
        residuals: ArrayLike | None = None,
    ) -> None:
        self.level = level
        self.risk_aversion = risk_aversion
        self.residuals = residuals

    def _check_constants(self) -> None:
        refuse_markers(self, but=("level", "risk_aversion"))
        if not 0 < finite_number(stand_in(self.level, 0.5), "level") < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}.")
        if finite_number(stand_in(self.risk_aversion, 1.0), "risk_aversion") <= 0:
            raise ValueError(f"risk_aversion must be positive, got {self.risk_aversion}.")
        if self.residuals is None:
            return
        matrix = as_float(self.residuals, "residuals")
        if matrix.ndim != 2 or not matrix.size:
            raise ValueError(
                f"residuals must have shape (n_scenarios, n_assets), got {matrix.shape}."
            )
        if not np.isfinite(matrix).all():
            i, j = np.argwhere(~np.isfinite(matrix))[0]
            raise ValueError(f"residuals are not finite at row {i}, column {j}: {matrix[i, j]}.")

    def _check_context_values(self, context: np.ndarray) -> None:
        check_marked(self, "level", context, lambda a: (a > 0) & (a < 1), "between 0 and 1")
        check_marked(self, "risk_aversion", context, lambda value: value > 0, "positive")

    def _residuals(self, n_assets: int) -> np.ndarray:
        """Return residuals (S, d), one of 0 where there are none."""
        if self.residuals is None:
            return np.zeros((1, n_assets))
        return np.asarray(self.residuals, dtype=np.float64)

    def _n_parameters(self) -> int | None:
        return None if self.residuals is None else int(np.shape(self.residuals)[1])

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters + 1

    @property
    def most_scenarios(self) -> int:  # type: ignore[override]
        """The most scenarios to solve for; a program has one row per scenario and residual."""
        n_residuals = 1 if self.residuals is None else len(np.asarray(self.residuals))
        return max(20, _MOST_PAIRS // n_residuals)

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        if not len(y):
            return np.empty((0, y.shape[1] + 1))
        if context is not None:
            return each_context(self, context, lambda problem, y: problem.solve_rows(y), y)
        residuals = self._residuals(y.shape[1])
        centre = residuals.mean(axis=0)
        even = np.full(len(residuals), 1.0 / len(residuals))
        return self._decide(y + centre, residuals - centre, even)

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) with the least mean cost over y (n, S, d), unchecked."""
        if not len(y):
            return np.empty((0, y.shape[2] + 1))
        if context is not None:
            return each_context(
                self, context, lambda problem, y, w: problem.solve_scenarios(y, w), y, weight
            )
        n, _, n_assets = y.shape
        residuals = self._residuals(n_assets)
        centre = residuals.mean(axis=0)
        z = np.empty((n, n_assets + 1))
        for i in counted(range(n), "rows solved over scenarios", n):
            present = weight[i] > 0
            chance = weight[i, present]
            mean = chance @ y[i, present]
            spread = (y[i, present] - mean)[:, None] + (residuals - centre)
            even = np.repeat(chance / len(residuals), len(residuals))
            z[i] = self._decide((mean + centre)[None], spread.reshape(-1, n_assets), even)[0]
        return z

    def _constants(self, context: Any, like: Any) -> tuple[Any, Any]:
        """Return level and risk aversion, numbers or (n,) where they are read from the context."""
        level, aversion = (
            as_those_of(self._known(each, context), like)[:, 0] if is_marked(each) else each
            for each in (self.level, self.risk_aversion)
        )
        return level, aversion

    def _decide(self, mean: np.ndarray, spread: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return decisions (n, d + 1) for returns of mean (n, d) and deviations (S, d) from it."""
        level, aversion = self._constants(None, mean)
        size = np.abs(spread).max()
        if size <= _ROUNDING * np.abs(mean).max(initial=0.0):  # nothing is uncertain
            shares = np.eye(mean.shape[1])[mean.argmax(axis=1)]
        else:
            # In units of the deviations, so that shares and losses are of similar size.
            program = TailProgram(spread / size, weight, level, aversion, type(self).__name__)
            shares = program.shares((1.0 + aversion) * (mean / size))
            shares = shares / shares.sum(axis=1, keepdims=True)
        losses = -(mean * shares).sum(axis=1, keepdims=True) - shares @ spread.T
        reserve = value_at_risk(losses, weight, level)
        return np.concatenate([shares, reserve[:, None]], axis=1)

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        residuals = xp.asarray(self._residuals(y.shape[1]), dtype=y.dtype, device=y.device)
        decisions = xp.broadcast_to(decisions, (y.shape[0], y.shape[1] + 1))
        shares, reserve = decisions[:, :-1], decisions[:, -1]
        losses = -xp.sum(y * shares, axis=1)[:, None] - shares @ residuals.T
        beyond = losses - reserve[:, None]
        beyond = xp.where(beyond > 0, beyond, 0.0 * beyond)
        level, aversion = self._constants(context, y)
        at_risk = reserve + xp.mean(beyond, axis=1) / (1.0 - level)
        return xp.mean(losses, axis=1) + aversion * at_risk

    # -- constraints -------------------------------------------------------------------

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        check_shares(decisions[:, :-1])

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, as a share of the budget.

        Parameters
        ----------
        decisions : array-like of shape (n, d + 1)
            What was decided.
        y : array-like of shape (n, d), default=None
            Only its shape is checked; the constraints do not depend on returns.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, 1 + d)
            0 where a constraint holds. The first column is the distance of the sum of the shares
            from 1; the others say by how much each share is below 0. Any reserve is feasible.
        """
        return shares_missed(self._decision_rows(decisions, y, context, 0.0)[:, :-1])

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the best decision under the cost plus :math:`\gamma \|z\|^2` on the shares.

        `smoothing` is :math:`\gamma`, positive, in units of `y`. None takes :math:`1 + \lambda`
        times the standard deviation of the residuals, averaged over assets, or the root mean square
        of each row of `y` where residuals do not vary.
        """
        from ..layers.cvar_portfolio import CVaRPortfolioLayer

        why = ": the best shares jump as returns change, and are constant in between."
        smoothing_number(smoothing, positive=True, why=why)
        self._check_constants()
        if self.takes_context:
            return layer_by_context(self, smoothing)
        residuals = None if self.residuals is None else np.asarray(self.residuals, np.float64)
        level, aversion = self._constants(None, None)
        return CVaRPortfolioLayer(level, aversion, residuals, smoothing)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the nearest shares of the budget, with the reserve unchanged.

        See :meth:`DecisionProblem.decision_projection`.
        """
        from ..layers.nearest import NearestShares

        self._check_constants()
        return NearestShares(1, width=n_parameters + 1)
