"""Orders of several products that share a capacity or a budget."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import flag, number, positive, smoothing_number
from .._utils.rows import as_numpy_rows, raise_at
from ..solvers.shared_capacity import best_orders
from ._context import FromContext, stand_in
from ._marked import as_those_of, check_marked, refuse_markers
from ._projected import raised_to_0
from ._shadow_prices import ShadowPrices
from .base import DecisionProblem
from .closed_form import scenario_smoothing

if TYPE_CHECKING:
    from torch import nn

_ALLOWED = 1e-6  # by how much a decision with a cost may be infeasible
_MOST_APART = 1e100  # largest ratio of two costs, or of two usages
_OF_PRODUCTS = ("underage_cost", "overage_cost", "usage")


class MultiProductNewsvendorProblem(DecisionProblem):
    r"""Order several products that share a capacity, before their demand is known.

    The cost of the orders z when demand turns out to be y is

    .. math:: \sum_j u_j (y_j - z_j)_+ + o_j (z_j - y_j)_+ ,
       \qquad \sum_j a_j z_j \le C, \quad z \ge 0,

    with underage costs u, overage costs o, the capacity a that a unit of each product uses, and the
    total capacity C. Examples of a and C are purchase prices and a budget, widths and a shelf, or
    machine hours (Hadley and Whitin, 1963).

    Parameters
    ----------
    underage_cost : float, FromContext or array-like of these of shape (n_products,)
        Cost per unit of unmet demand, positive.
    overage_cost : float, FromContext or array-like of these of shape (n_products,)
        Cost per unit left over, positive.
    usage : float, FromContext or array-like of these of shape (n_products,), default=1
        Capacity that a unit uses, 0 or more.
    capacity : float or FromContext
        Capacity that all orders may use together; 0 or more where orders are non-negative.
    nonnegative : bool, default=True
        Whether demand and orders are non-negative. An observed negative demand is then an error,
        and a predicted one leads to an order of 0. Use False for net positions and standardised
        targets.

    See Also
    --------
    NewsvendorProblem : Products without a shared capacity.
    dfl_sklearn.datasets.make_capacity_newsvendor : Data to try it on.

    Notes
    -----
    Known demand is ordered where it fits. Otherwise products are served in the order of underage
    cost per unit of capacity, the last one in part (a fractional knapsack). For several scenarios
    the mean cost is a sum of convex, piecewise linear functions, one per product, and their
    segments are served in the same way. Both methods are exact. Of products with the same ratio,
    the first column is served first.

    References
    ----------
    Hadley, Whitin, "Analysis of inventory systems", 1963, section 6-4. Erlebacher, "Optimal and
    heuristic solutions for the multi-item newsvendor problem with a single capacity constraint",
    Production and Operations Management 9, 2000.

    Examples
    --------
    Two products share ten units of shelf; a unit of the second one uses two of them.

    >>> from dfl_sklearn.problems import MultiProductNewsvendorProblem
    >>> problem = MultiProductNewsvendorProblem([9, 12], 1, usage=[1, 2], capacity=10)
    >>> problem.solve([[2.0, 3.0], [4.0, 5.0]])
    array([[2., 3.],
           [4., 3.]])
    >>> problem.cost([[4.0, 3.0]], [[4.0, 5.0]])
    array([24.])

    With a capacity that is known for each day:

    >>> from dfl_sklearn.problems import FromContext
    >>> problem = MultiProductNewsvendorProblem(
    ...     [9, 12], 1, usage=[1, 2], capacity=FromContext(0)
    ... )
    >>> problem.solve([[4.0, 5.0], [4.0, 5.0]], context=[6.0, 20.0])
    array([[4., 1.],
           [4., 5.]])
    """

    exact_scenarios = True
    convex_decisions = True
    decision_average = "decisions"

    def __init__(
        self,
        underage_cost: ArrayLike | FromContext,
        overage_cost: ArrayLike | FromContext,
        *,
        usage: ArrayLike | FromContext = 1.0,
        capacity: float | FromContext,
        nonnegative: bool = True,
    ) -> None:
        self.underage_cost = underage_cost
        self.overage_cost = overage_cost
        self.usage = usage
        self.capacity = capacity
        self.nonnegative = nonnegative

    # -- numbers -----------------------------------------------------------------------

    def _check_constants(self) -> None:
        refuse_markers(self, but=(*_OF_PRODUCTS, "capacity"))
        flag(self.nonnegative, "nonnegative")
        widths = {
            name: len(entries)
            for name in _OF_PRODUCTS
            if (
                entries := positive(
                    stand_in(getattr(self, name), 1.0), name, strictly=name != "usage"
                )
            ).ndim
        }
        if len(set(widths.values())) > 1:
            held = " and ".join(f"{name} {width}" for name, width in widths.items())
            raise ValueError(f"{held} entries: give one per product to each, or a single number.")
        if not isinstance(self.capacity, FromContext):
            number(self.capacity, "capacity", at_least=0 if self.nonnegative else None)
        if not self.takes_context:
            self._check_numbers(None)

    def _check_context_values(self, context: np.ndarray) -> None:
        for name in ("underage_cost", "overage_cost"):
            check_marked(self, name, context, lambda cost: cost > 0, "positive")
        check_marked(self, "usage", context, lambda usage: usage >= 0, "0 or more")
        if self.nonnegative:
            check_marked(self, "capacity", context, lambda values: values >= 0, "0 or more")
        self._check_numbers(context)

    def _check_numbers(self, context: np.ndarray | None) -> None:
        """Raise a ValueError if numbers differ by too large a factor, or no order is feasible."""
        underage, overage, usage, capacity = self._numbers(context)

        def where(bad: np.ndarray) -> str:
            return "" if context is None else f" at row {int(bad.argmax())} of the context"

        n_rows = max(len(each) for each in (underage, overage, usage))
        for name, values in (("costs", [underage, overage]), ("usage", [usage])):
            sizes = np.concatenate(
                [np.broadcast_to(each, (n_rows, each.shape[1])) for each in values], axis=1
            )
            most = sizes.max(axis=1, initial=0.0)
            least = np.where(sizes > 0, sizes, np.inf).min(axis=1, initial=np.inf)
            apart = most / _MOST_APART > least
            if apart.any():
                raise ValueError(
                    f"The {name} of products differ by a factor of more than {_MOST_APART:.0e}"
                    f"{where(apart)}: leave out those that do not matter."
                )
        stuck = (capacity[:, 0] < 0) & (usage == 0).all(axis=1)
        if stuck.any():
            raise ValueError(
                f"capacity is negative{where(stuck)}, and no product has a usage: no order is "
                "allowed."
            )

    def _numbers(self, context: Any, like: Any = None) -> tuple[Any, ...]:
        """Return costs and usage, (n or 1, d or 1), and capacity (n or 1, 1).

        They are tensors where `like` is one, and otherwise arrays in float64.
        """
        found = []
        for name in (*_OF_PRODUCTS, "capacity"):
            value = self._known(getattr(self, name), context)
            value = value if like is None else as_those_of(value, like)
            found.append(value if value.ndim == 2 else value.reshape(1, -1))
        return tuple(found)

    def _n_parameters(self) -> int | None:
        widths = [
            np.ndim(getattr(self, name)) and len(getattr(self, name)) for name in _OF_PRODUCTS
        ]
        return max(widths) or None

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        return self.solve_scenarios(y[:, None], np.ones((len(y), 1)), context)

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) with the least mean cost over y (n, S, d), unchecked."""
        *of_products, capacity = self._numbers(context)
        underage, overage, usage = (
            np.broadcast_to(each, (len(each), y.shape[2])) for each in of_products
        )
        return best_orders(
            y, weight, underage, overage, usage, capacity[:, 0], nonnegative=self.nonnegative
        )

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        underage, overage, _, _ = self._numbers(context, y)
        surplus = decisions - y
        left_over = xp.maximum(surplus, xp.zeros_like(surplus))
        return xp.sum(underage * (left_over - surplus) + overage * left_over, axis=1)

    # -- constraints -------------------------------------------------------------------

    def cost(self, decisions: Any, y: Any, *, context: Any = None) -> Any:
        """Return the realised cost; see :meth:`DecisionProblem.cost`.

        Orders that exceed the capacity, or are negative where they must not be, are an error.
        """
        costs = super().cost(decisions, y, context=context)
        if isinstance(costs, np.ndarray):
            z = as_numpy_rows(decisions, "decisions").astype(np.float64, copy=False)
            z = np.broadcast_to(z, (len(costs), z.shape[1]))
            bad = z < -_ALLOWED
            if self.nonnegative and bad.any():
                remedy = "Decide with solve(), or set nonnegative=False if orders can be negative."
                raise_at(bad, z, "decisions", "is a negative order", remedy)
            excess, size = self._excess(z, self.context_rows(context, len(z)))
            bad = excess > _ALLOWED * size
            if bad.any():
                remedy = "Decide with solve()."
                raise_at(bad, excess, "decisions", "exceed the capacity", remedy)
        return costs

    def _excess(self, z: np.ndarray, context: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much orders exceed the capacity (n,), and the absolute terms of that."""
        *_, usage, capacity = self._numbers(context)
        used = usage * z
        excess = used.sum(axis=1) - capacity[:, 0]
        return excess, np.abs(used).sum(axis=1) + np.abs(capacity[:, 0])

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        r"""Return, for each row, whether orders are feasible.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, d)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            Only its shape is checked; the constraints do not depend on demand.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.
        tol : float, default=1e-6
            How far orders may be below 0, in units of product, and by how much the capacity may be
            exceeded, as a share of its absolute terms, :math:`\sum_j a_j |z_j| + C`.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision is feasible.
        """
        z = self._decision_rows(decisions, y, context, tol)
        finite = np.isfinite(z).all(axis=1)
        z = np.where(finite[:, None], z, 0.0)
        excess, size = self._excess(z, self.context_rows(context, len(z)))
        allowed = finite & (excess <= tol * size)
        return allowed & (z >= -tol).all(axis=1) if self.nonnegative else allowed

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, d)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            Only its shape is checked; the constraints do not depend on demand.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, 1 + d)
            0 where a constraint holds. The first column is the capacity; the others say by how much
            orders are below 0, where `nonnegative` is set.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        with np.errstate(invalid="ignore"):  # infinite orders
            excess, _ = self._excess(z, self.context_rows(context, len(z)))
        below = 0.0 - z if self.nonnegative else np.zeros_like(z)
        return np.maximum(np.concatenate([excess[:, None], below], axis=1), 0.0)

    def _shadow_prices(
        self, decisions: np.ndarray, y: np.ndarray, context: np.ndarray | None
    ) -> ShadowPrices:
        """Return the slack of the capacity, and its price: what the last product served saves."""
        underage, _, usage, capacity = self._numbers(context)
        demand = np.maximum(y, 0.0) if self.nonnegative else y
        with np.errstate(divide="ignore"):
            ratio = np.broadcast_to(underage / usage, y.shape)
        order = np.argsort(-ratio, axis=1, kind="stable")
        ratio = np.take_along_axis(ratio, order, axis=1)
        used = np.take_along_axis(usage * demand, order, axis=1)
        is_last = np.cumsum(used, axis=1) > capacity
        counts = np.isfinite(ratio)
        if not self.nonnegative:  # orders of the last product are unbounded below
            is_last = np.cumsum(counts, axis=1) == counts.sum(axis=1, keepdims=True)
        at = (is_last & counts).argmax(axis=1)
        is_tight = used.sum(axis=1) > capacity[:, 0]
        price = np.where(is_tight, -ratio[np.arange(len(y)), at], 0.0)
        slack = -self._excess(decisions, context)[0]
        return ShadowPrices(["capacity"], slack[:, None], price[:, None])

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row of a negative demand."""
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y")
        if self.nonnegative and (rows < 0).any():
            remedy = "Correct it, or set nonnegative=False if demand can be negative."
            raise_at(rows < 0, rows, "y", "is a negative demand", remedy)

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated demand to 0 (unless it is allowed) and report the share."""
        values, _ = super().project_parameters(y)
        return raised_to_0(values) if self.nonnegative else (values, 0.0)

    # -- training ----------------------------------------------------------------------

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return orders as a function of predicted demand; they are always feasible.

        Demand that fits is ordered. Otherwise the order of product j is cut by the share
        :math:`\operatorname{clip}((\lambda a_j / u_j - 1) / \gamma, 0, 1)`, where the price
        :math:`\lambda` of capacity is such that the orders just fit. `smoothing` is :math:`\gamma`,
        without unit. With 0, the default, these are the orders of `solve`: products are cut one
        after the other. Orders are then continuous in predicted demand, and the slope is that of
        the regret: a product that is served displaces the last one served. With a positive value,
        several products are cut at the same time, and each follows its own prediction. A value of
        0.1 changes little; above 1, decisions differ much from those of `solve`.

        Without ``nonnegative`` orders can be cut without limit. The excess is then divided among
        the products by the shares :math:`(\lambda a_j / u_j - 1)_+ / \gamma`, which sum to 1.
        """
        from ..layers.known_numbers import KnownNumbersLayer
        from ..layers.rationing import RationingLayer

        smoothing = smoothing_number(smoothing, positive=False)
        self._check_constants()
        extra = 0.0 if smoothing is None else smoothing
        width, known = self._n_parameters(), None
        if not self.takes_context:
            underage, _, usage, capacity = self._numbers(None)
            known = underage, usage, capacity
        layer = RationingLayer(extra, self.nonnegative, known, width=width)
        return KnownNumbersLayer(layer, partial(_columns, self)) if known is None else layer

    def scenario_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return orders as a function of scenarios of demand.

        `smoothing`, in standard deviations of the scenarios (default 0.25), is the distance from an
        order within which scenarios count for its slope. With 0 an order follows the one scenario
        that it equals, and the last product takes the rest of the capacity. See
        :meth:`DecisionProblem.scenario_layer`.
        """
        from ..layers.scenarios import ScenarioOrdersLayer

        self._check_constants()
        return ScenarioOrdersLayer(
            self.solve_scenarios,
            scenario_smoothing(smoothing),
            nonnegative=self.nonnegative,
            numbers=partial(_all_numbers, self),
        )

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        r"""Return the nearest orders that keep the capacity, in closed form.

        See :meth:`DecisionProblem.decision_projection`.
        """
        from ..layers.known_numbers import KnownNumbersLayer
        from ..layers.nearest import NearestOrders

        self._check_constants()
        known = None if self.takes_context else self._numbers(None)[2:]
        layer = NearestOrders(self.nonnegative, known, width=self._n_parameters())
        return KnownNumbersLayer(layer, partial(_limits, self)) if known is None else layer


def _all_numbers(problem: MultiProductNewsvendorProblem, context: Any) -> tuple[Any, ...]:
    """Return both costs, usage and capacity as tensors (B or 1, ...)."""
    import torch

    if context is None:
        return tuple(torch.as_tensor(each) for each in problem._numbers(None))
    context = context.double()
    return problem._numbers(context, context)


def _columns(problem: MultiProductNewsvendorProblem, context: Any) -> tuple[Any, ...]:
    """Return underage costs, usage and capacity as tensors (B, ...)."""
    context = context.double()
    underage, _, usage, capacity = problem._numbers(context, context)
    return tuple(each.expand(len(context), -1) for each in (underage, usage, capacity))


def _limits(problem: MultiProductNewsvendorProblem, context: Any) -> tuple[Any, ...]:
    """Return usage and capacity as tensors (B, ...)."""
    return _columns(problem, context)[1:]
