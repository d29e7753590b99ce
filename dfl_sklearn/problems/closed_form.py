"""Problems whose best decision has a closed form."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import flag, positive, smoothing_number
from .._utils.powers import size_exponent
from .._utils.rows import as_numpy_rows, raise_at
from ._context import is_marked, stand_in
from ._marked import Numbers, as_those_of, check_marked, refuse_markers
from ._projected import raised_to_0
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn


_LEAST = 1e-150


class SquaredErrorProblem(DecisionProblem):
    """The decision is the prediction, and its cost is the squared error.

    This is the default problem of every estimator. With it, decision-focused learning is least
    squares, and the D2 regret score is R2. The cost of a row is the sum over outputs of
    ``(z_j - y_j) ** 2``.

    See Also
    --------
    NewsvendorProblem : Errors that cost more on one side.
    dfl_sklearn.losses.SquaredErrorLoss : The squared error as a loss, for any problem.

    Examples
    --------
    >>> from dfl_sklearn.problems import SquaredErrorProblem
    >>> SquaredErrorProblem().cost([1.0, 2.0], [1.0, 4.0])
    array([0., 4.])
    """

    exact_scenarios = True
    convex_decisions = True
    decision_average = "decisions"

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        return y.copy()

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        return xp.sum((decisions - y) ** 2, axis=1)

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError if the squares of `y` would underflow."""
        super().check_parameters(y)
        size = float(np.abs(as_numpy_rows(y, "y")).max(initial=0.0))
        if 0 < size < _LEAST:
            raise ValueError(
                f"y is too small for squared errors: the largest entry is {size:.3g}, and squares "
                f"of numbers below {_LEAST} are lost. Multiply y by a power of ten."
            )

    # The base class solves for the mean of the scenarios, which is the minimiser here.

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the identity; `smoothing` has nothing to smooth."""
        from ..layers.box import AffineBoxLayer

        return AffineBoxLayer(smoothing=smoothing_number(smoothing, positive=False) or 0.0)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return the identity; see :meth:`DecisionProblem.decision_projection`."""
        from ..layers.nearest import NearestInBox

        return NearestInBox()


class NewsvendorProblem(DecisionProblem):
    r"""Order before demand is known, and pay for every unit short and every unit left over.

    The cost of ordering z when demand turns out to be y is, summed over products,

    .. math:: c_u (y - z)_+ + c_o (z - y)_+ ,

    with the underage cost :math:`c_u` and the overage cost :math:`c_o`. If y is known, the best
    order is y. Under a distribution of y it is the quantile at :math:`c_u / (c_u + c_o)`
    (Arrow, Harris and Marschak, 1951).

    Parameters
    ----------
    underage_cost : float, FromContext or array-like of these of shape (n_products,)
        Cost per unit of unmet demand, positive.
    overage_cost : float, FromContext or array-like of these of shape (n_products,)
        Cost per unit left over, positive.
    nonnegative : bool, default=True
        Whether demand and orders are non-negative. Observed negative demand is then an
        error, and a predicted one leads to an order of 0. Use False for net positions and
        standardised targets.

    See Also
    --------
    MultiProductNewsvendorProblem : Products that share a capacity.
    dfl_sklearn.datasets.make_newsvendor : Data to try it on.

    Examples
    --------
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> problem = NewsvendorProblem(underage_cost=9, overage_cost=1)
    >>> problem.cost([10.0, 10.0], [12.0, 7.0])
    array([18.,  3.])
    >>> problem.solve([[[1.0], [2.0], [3.0], [4.0]]], scenario_weight=[0.4, 0.4, 0.1, 0.1])
    array([[3.]])

    Costs that differ by row, here the cost of a unit short:

    >>> from dfl_sklearn.problems import FromContext
    >>> problem = NewsvendorProblem(underage_cost=FromContext(0), overage_cost=1)
    >>> problem.cost([10.0, 10.0], [12.0, 12.0], context=[9.0, 4.0])
    array([18.,  8.])
    """

    exact_scenarios = True
    convex_decisions = True
    decision_average = "decisions"

    def __init__(
        self,
        underage_cost: Numbers = 1.0,
        overage_cost: Numbers = 1.0,
        *,
        nonnegative: bool = True,
    ) -> None:
        self.underage_cost = underage_cost
        self.overage_cost = overage_cost
        self.nonnegative = nonnegative

    def _costs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the checked costs, with 1 for those that are read from the context."""
        under = positive(stand_in(self.underage_cost, 1.0), "underage_cost")
        over = positive(stand_in(self.overage_cost, 1.0), "overage_cost")
        if under.ndim and over.ndim and len(under) != len(over):
            raise ValueError(
                f"underage_cost has {len(under)} entries and overage_cost {len(over)}: "
                "give one per product, or a single number."
            )
        return under, over

    def _check_constants(self) -> None:
        refuse_markers(self, but=("underage_cost", "overage_cost"))
        flag(self.nonnegative, "nonnegative")
        self._costs()

    def _check_context_values(self, context: np.ndarray) -> None:
        for name in ("underage_cost", "overage_cost"):
            check_marked(self, name, context, lambda cost: cost > 0, "positive")

    def _n_parameters(self) -> int | None:
        under, over = self._costs()
        if under.ndim == 0 and over.ndim == 0:
            return None
        return len(under) if under.ndim else len(over)

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        return np.maximum(y, 0.0) if self.nonnegative else y.copy()

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) with the least mean cost over y (n, S, d), unchecked."""
        if context is None:
            under, over = self._costs()
        else:
            under, over = (self._known(each, context) for each in self._both())
        # Divided by a power of two, the sum of large costs does not overflow.
        both = np.stack(np.broadcast_arrays(under, over))
        exponent = size_exponent(both, axis=None if context is None else 0) + 1
        under, over = np.ldexp(under, -exponent), np.ldexp(over, -exponent)
        return self.solve_rows(weighted_quantile(y, weight, under / (under + over)), None)

    def _both(self) -> tuple[Any, Any]:
        return self.underage_cost, self.overage_cost

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        under, over = (
            as_those_of(self._known(each, context), y)
            if is_marked(each)
            else _constant(xp, each, y)
            for each in self._both()
        )
        surplus = decisions - y
        left_over = xp.maximum(surplus, xp.zeros_like(surplus))
        unmet = left_over - surplus
        return xp.sum(under * unmet + over * left_over, axis=1)

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        bad = decisions < -1e-6
        if self.nonnegative and bad.any():
            raise_at(
                bad,
                decisions,
                "decisions",
                "is a negative order",
                "Decide with solve(), or set nonnegative=False if orders can be negative.",
            )

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much orders are below 0, in units of product.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, d)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            Only its shape is checked; the constraints do not depend on demand.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where costs are read from it.

        Returns
        -------
        ndarray of shape (n, d)
            One column per product; of shape (n, 0) where orders may be negative.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        return np.maximum(0.0 - z, 0.0) if self.nonnegative else z[:, :0].copy()

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row of a negative demand."""
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y")
        if self.nonnegative and (rows < 0).any():
            raise_at(
                rows < 0,
                rows,
                "y",
                "is a negative demand",
                "Correct it, or set nonnegative=False if demand can be negative.",
            )

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated demand to 0 (unless it may be negative) and report the share."""
        values, _ = super().project_parameters(y)
        return raised_to_0(values) if self.nonnegative else (values, 0.0)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return the order as a function of predicted demand.

        `smoothing`, in units of demand, rounds the corner at 0 (default 0: not at all). Without
        ``nonnegative`` the layer is the identity. It does not depend on the costs.
        """
        from ..layers.box import AffineBoxLayer
        from ..layers.known_numbers import KnownNumbersLayer, nothing

        self._check_constants()
        lower = 0.0 if self.nonnegative else -np.inf
        layer = AffineBoxLayer(
            lower=lower, smoothing=smoothing_number(smoothing, positive=False) or 0.0
        )
        return KnownNumbersLayer(layer, nothing) if self.takes_context else layer

    def scenario_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return orders as a function of scenarios of demand.

        `smoothing`, in standard deviations of the scenarios (default 0.25), is the distance from an
        order within which scenarios count for its slope. With 0 only the scenario counts that the
        order equals. See :meth:`DecisionProblem.scenario_layer`.
        """
        from ..layers.scenarios import ScenarioOrdersLayer

        self._check_constants()
        width = scenario_smoothing(smoothing)
        return ScenarioOrdersLayer(self.solve_scenarios, width, nonnegative=self.nonnegative)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return orders, with negative ones replaced by 0 unless they may be negative.

        See :meth:`DecisionProblem.decision_projection`.
        """
        from ..layers.nearest import NearestInBox

        self._check_constants()
        return NearestInBox(0.0 if self.nonnegative else -np.inf)


def scenario_smoothing(smoothing: float | None) -> float:
    """Return the distance within which scenarios count for a slope, in standard deviations."""
    given = smoothing_number(smoothing, positive=False)
    return 0.25 if given is None else given


def weighted_quantile(y: np.ndarray, weight: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the smallest value at which the weighted distribution function reaches `level`.

    Parameters
    ----------
    y : ndarray of shape (n, S, d)
    weight : ndarray of shape (n, S)
        Weights; rows sum to 1.
    level : ndarray of shape (), (d,), (n, 1) or (n, d)

    Returns
    -------
    ndarray of shape (n, d)
    """
    level = level[:, None] if level.ndim == 2 else level
    order = np.argsort(y, axis=1, kind="stable")
    ranked = np.take_along_axis(y, order, axis=1)
    mass = np.cumsum(np.take_along_axis(weight[:, :, None], order, axis=1), axis=1)
    # Rounding in the cumulative sum must not push the quantile one scenario too far.
    reached = mass >= np.minimum(level * (1 - 1e-12), mass[:, -1:, :])
    first = reached.argmax(axis=1)[:, None, :]
    return np.take_along_axis(ranked, first, axis=1)[:, 0, :]


def _constant(xp: Any, value: ArrayLike, like: Any) -> Any:
    """Return a constant of a problem as a float, or as an array of the type of `like`."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(like, np.ndarray):
        return np.asarray(value, dtype=like.dtype)
    return xp.asarray(np.asarray(value), dtype=like.dtype, device=like.device)
