"""Capacity provisioning: serve demand without wasting energy on idle machines."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from .._utils.checks import finite_number, smoothing_number
from .._utils.rows import as_numpy_rows, raise_at
from ..solvers.dc_search import minimise_dc
from ._context import FromContext, each_context
from ._marked import as_those_of, check_marked
from ._projected import raised_to_0
from .base import DecisionProblem

if TYPE_CHECKING:
    import torch
    from torch import nn

_CHUNK = 1 << 21  # numbers in the largest temporary array of a scenario solve
_POSITIVE = ("a", "b", "e_active", "e_idle")


class _Constants(NamedTuple):
    """The constants; each is a float or, where it is read from the context, of shape (n, 1)."""

    c_min: Any
    c_max: Any
    eta: Any
    a: Any
    b: Any
    e_active: Any
    e_idle: Any

    @property
    def range(self) -> Any:
        return self.c_max - self.c_min

    def log1p_a(self) -> Any:
        """Return log(1 + a), by which the service term is normalised."""
        return (np if np.ndim(self.a) == 0 else array_namespace(self.a)).log1p(self.a)

    def slope(self) -> Any:
        """Return the share of demand that is worth serving: the factor of v in u*."""
        ratio = self.eta / ((1 - self.eta) * self.e_active * self.b * self.log1p_a())
        share = ratio - 1 / self.a
        if np.ndim(share) == 0:
            return float(np.clip(share, 0.0, 1.0))
        return array_namespace(share).clip(share, 0.0, 1.0)


class ProvisioningProblem(DecisionProblem):
    r"""Choose serving capacity before demand is known, trading energy against service.

    Capacity z and demand y are scaled to ``u = (z - c_min) / (c_max - c_min)`` and
    ``v = max(y - c_min, 0) / (c_max - c_min)``. The cost is

    .. math::
        (1 - \eta) \left[ e_{active} \min(u, v) + e_{idle} (u - v)_+ \right]
        - \eta\, v\, s(\min(1, u / v)), \qquad s(q) = \frac{\log(1 + a q)}{b \log(1 + a)} :

    the energy of the capacity in use and of the idle capacity, less the value of the demand
    served, which saturates. Demand up to `c_min` is met by the capacity that always runs, so that
    a row without demand is valid, and its best capacity is `c_min`. Several columns of `y` are
    several services, whose costs add up.

    Parameters
    ----------
    c_min, c_max : float or FromContext, default=200, 400_000
        Smallest and largest capacity, in the unit of the demand (tokens per interval).
    eta : float or FromContext, default=0.7
        Weight of service against energy, in (0, 1).
    a : float or FromContext, default=20
        How fast the value of service saturates, positive.
    b : float or FromContext, default=1.5
        Scale of the service term, positive.
    e_active, e_idle : float or FromContext, default=280/200, 100/200
        Energy of a unit of capacity in use, and of an idle one; positive. To model a price of
        energy that differs by row, multiply both by it.

    See Also
    --------
    dfl_sklearn.compose.ProvisioningOptimizer : The same problem as the last step of a Pipeline.
    dfl_sklearn.datasets.fetch_azure_llm_trace : Demand of two real services.
    dfl_sklearn.datasets.make_llm_trace : Demand that needs no download.

    Notes
    -----
    The best capacity for a known demand is linear in it,

    .. math::
        u^* = \mathrm{clip}\left(\frac{\eta}{(1 - \eta)\, e_{active}\, b \log(1 + a)}
        - \frac{1}{a},\ 0,\ 1\right) v \quad \text{(at most 1)},

    which is ``0.315 v`` with the defaults: because service saturates, serving every token costs
    more than it is worth. For several scenarios the mean cost is a convex function (service) plus a
    concave or convex one (energy) of a single number. Its global minimum is found by branch and
    bound, to a relative accuracy of 1e-10.

    References
    ----------
    The cost and its constants are those of the LLM-serving task of Wen, Fan and Yang,
    "3D-Learning", arXiv:2602.02943.

    Examples
    --------
    >>> from dfl_sklearn.problems import ProvisioningProblem
    >>> problem = ProvisioningProblem()
    >>> problem.solve([0.0, 10_000.0, 100_000.0]).round()
    array([  200.,  3287., 31632.])

    A limit that differs by row and is known when deciding:

    >>> from dfl_sklearn.problems import FromContext
    >>> problem = ProvisioningProblem(c_max=FromContext(0))
    >>> problem.solve([10_000.0, 100_000.0], context=[5_000.0, 20_000.0]).round()
    array([ 3287., 20000.])
    """

    exact_scenarios = True
    convex_decisions = True
    nonnegative = True

    def __init__(
        self,
        c_min: float | FromContext = 200.0,
        c_max: float | FromContext = 400_000.0,
        *,
        eta: float | FromContext = 0.7,
        a: float | FromContext = 20.0,
        b: float | FromContext = 1.5,
        e_active: float | FromContext = 1.4,
        e_idle: float | FromContext = 0.5,
    ) -> None:
        self.c_min = c_min
        self.c_max = c_max
        self.eta = eta
        self.a = a
        self.b = b
        self.e_active = e_active
        self.e_idle = e_idle

    @property
    def decision_average(self) -> str:  # type: ignore[override]
        """What an ensemble averages: decisions, where the cost is known to be convex in them.

        With the defaults it is not convex: just above the demand, the cost rises more slowly with
        capacity than just below it.
        """
        if any(isinstance(each, FromContext) for each in self._given()):
            return "predictions"
        known = self._constants()
        served = known.eta * known.a / ((1 + known.a) * known.b * known.log1p_a())
        before = (1 - known.eta) * known.e_active - served
        return "decisions" if before <= (1 - known.eta) * known.e_idle else "predictions"

    def _check_constants(self) -> None:
        # Numbers from the context are checked with it; here they are replaced by valid ones.
        legal = _Constants(
            c_min=0.0, c_max=np.finfo(float).max, eta=0.5, **dict.fromkeys(_POSITIVE, 1.0)
        )
        known = _Constants(
            *(
                finite_number(number if isinstance(value, FromContext) else value, name)
                for name, number, value in zip(legal._fields, legal, self._given(), strict=True)
            )
        )
        if known.c_min >= known.c_max:
            raise ValueError(f"c_min must be below c_max, got {self.c_min} and {self.c_max}.")
        if known.c_min < 0:
            raise ValueError(f"c_min must be at least 0, got {self.c_min}.")
        if not 0 < known.eta < 1:
            raise ValueError(f"eta must lie strictly between 0 and 1, got {self.eta}.")
        for name in _POSITIVE:
            if getattr(known, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")

    def _check_context_values(self, context: np.ndarray) -> None:
        check_marked(self, "c_min", context, lambda c: c >= 0, "at least 0")
        check_marked(self, "eta", context, lambda eta: (eta > 0) & (eta < 1), "between 0 and 1")
        for name in _POSITIVE:
            check_marked(self, name, context, lambda value: value > 0, "positive")
        c_min, c_max = (self._known(each, context) for each in (self.c_min, self.c_max))
        bad = np.broadcast_to(c_min >= c_max, (len(context), 1))[:, 0]
        if bad.any():
            i = int(bad.argmax())
            low, high = (np.broadcast_to(each, (len(context), 1))[i, 0] for each in (c_min, c_max))
            raise ValueError(
                f"c_min must be below c_max, but they are {low} and {high} at row {i} of the "
                "context. Correct it, or leave such rows out."
            )

    def _given(self) -> _Constants:
        """Return the constants as they were given, markers included."""
        return _Constants(*(getattr(self, name) for name in _Constants._fields))

    def _constants(self, context: Any = None, like: Any = None) -> _Constants:
        """Return the constants, of the rows of a context where they are read from it."""
        values = []
        for value in self._given():
            if isinstance(value, FromContext):
                value = self._known(value, context)
                value = value if like is None else as_those_of(value, like)
            values.append(value)
        return _Constants(*values)

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        known = self._constants(context)
        above = known.slope() * (y - known.c_min)
        # Clipping the sum rather than the product keeps the result inside after rounding.
        return np.clip(above + known.c_min, known.c_min, known.c_max)

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        known = self._constants(context, like=y)
        u = (decisions - known.c_min) / known.range
        v = (y - known.c_min) / known.range
        v = xp.maximum(v, xp.zeros_like(v))
        used = xp.minimum(u, v)
        # The gradient of u / v at v = 0 is NaN even where it is masked: divide by 1 instead.
        served = used / xp.where(v > 0, v, xp.ones_like(v))
        energy = known.e_active * used + known.e_idle * (u - used)
        all_served = known.log1p_a()
        all_served = float(all_served) if np.ndim(all_served) == 0 else all_served
        value = v * xp.log1p(known.a * served) / (known.b * all_served)
        return xp.sum((1 - known.eta) * energy - known.eta * value, axis=1)

    # -- constraints -------------------------------------------------------------------

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        bad = ~(self._share_missed(decisions, context) <= 1e-6)
        if bad.any():
            row = int(np.argwhere(bad)[0, 0])
            low, high = (
                each if np.ndim(each) == 0 else each[row, 0] for each in self._limits(context)
            )
            raise_at(
                bad,
                np.broadcast_to(decisions, bad.shape),
                "decisions",
                f"is not a capacity between c_min={low} and c_max={high}",
                "Decide with solve(), or clip it.",
            )

    def _limits(self, context: Any) -> tuple[Any, Any]:
        """Return c_min and c_max, numbers or (n, 1) where they are read from the context."""
        low, high = (
            self._known(each, context) if isinstance(each, FromContext) else each
            for each in (self.c_min, self.c_max)
        )
        return low, high

    def _missed(self, z: np.ndarray, context: Any) -> np.ndarray:
        """Return by how much (n, d) capacities miss the limits."""
        low, high = self._limits(context)
        return np.maximum(np.maximum(low - z, z - high), 0.0)

    def _share_missed(self, z: np.ndarray, context: Any) -> np.ndarray:
        """Return by how much (n, d) capacities miss the limits, as a share of the range."""
        low, high = self._limits(context)
        return self._missed(z, context) / (high - low)

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return whether capacities lie in [c_min, c_max], to `tol` of the range."""
        z = self._decision_rows(decisions, y, context, tol)
        missed = self._share_missed(z, self._check_context(context, len(z)))
        return missed.max(axis=1, initial=0.0) <= tol

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much capacities miss their limits, in units of capacity.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, d)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            Only its shape is checked; limits do not depend on demand.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, d)
            0 between c_min and c_max, one column per service.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        return self._missed(z, self._check_context(context, len(z)))

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row of a negative demand; a demand of 0 is valid."""
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y")
        if (rows < 0).any():
            raise_at(rows < 0, rows, "y", "is a negative demand", "Demand is 0 or more.")

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated demand to 0 and report the share of rows moved."""
        return raised_to_0(super().project_parameters(y)[0])

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return capacity as a function of predicted demand, linear inside [c_min, c_max].

        `smoothing`, in units of demand, rounds the two corners (default 0: not at all).
        """
        from ..layers.box import AffineBoxLayer, RowBoxLayer
        from ..layers.known_numbers import KnownNumbersLayer

        self._check_constants()
        smoothing = smoothing_number(smoothing, positive=False) or 0.0
        if self.takes_context:
            return KnownNumbersLayer(RowBoxLayer(smoothing), self._affine)
        known = self._constants()
        slope = known.slope()
        return AffineBoxLayer(slope, (1 - slope) * known.c_min, known.c_min, known.c_max, smoothing)

    def _affine(self, context: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        """Return slope, offset and bounds of the best capacity, for rows of a context."""
        known = self._constants(context)
        slope = known.slope()
        numbers = slope, (1 - slope) * known.c_min, known.c_min, known.c_max
        return tuple(as_those_of(each, context) for each in numbers)

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Return capacities within their limits; see :meth:`DecisionProblem.decision_projection`.

        The cost is not convex in the capacity, so that training may end in a local minimum.
        """
        from ..layers.box import RowBoxLayer
        from ..layers.known_numbers import KnownNumbersLayer
        from ..layers.nearest import NearestInBox

        self._check_constants()
        if self.takes_context:
            return KnownNumbersLayer(RowBoxLayer(), self._as_they_are)
        known = self._constants()
        return NearestInBox(known.c_min, known.c_max)

    def _as_they_are(self, context: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        """Return the slope 1, the offset 0, and the limits, for rows of a context."""
        known = self._constants(context)
        return tuple(as_those_of(each, context) for each in (1.0, 0.0, known.c_min, known.c_max))

    # -- scenarios ---------------------------------------------------------------------

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) with the least mean cost over y (n, S, d), unchecked."""
        if not len(y):
            return np.empty((0, y.shape[2]))
        if context is not None:
            return each_context(
                self, context, lambda problem, y, w: problem.solve_scenarios(y, w), y, weight
            )
        known = self._constants()
        v = np.maximum(y - known.c_min, 0.0) / known.range
        u = [
            [self._solve_mean(known, v[i, :, j], weight[i]) for j in range(v.shape[2])]
            for i in range(len(v))
        ]
        return np.clip(known.c_min + known.range * np.array(u), known.c_min, known.c_max)

    def _solve_mean(self, known: _Constants, v: np.ndarray, weight: np.ndarray) -> float:
        """Minimise the weighted mean cost over u in [0, 1], for one service."""
        kept = (v > 0) & (weight > 0)  # for the others the cost is idle energy alone
        order = np.argsort(v[kept])
        v, weight = v[kept][order], weight[kept][order]
        # The cost of a scenario rises beyond its own best capacity, so the mean cost rises beyond
        # the largest of these.
        upper = min(known.slope() * float(v[-1]), 1.0) if len(v) else 0.0
        if upper == 0.0:
            return 0.0
        mass = np.concatenate([[0.0], np.cumsum(weight)])
        moment = np.concatenate([[0.0], np.cumsum(weight * v)])
        value = known.eta / (known.b * known.log1p_a())

        def mean_used(u: np.ndarray) -> np.ndarray:  # concave
            full = np.searchsorted(v, u)
            return moment[full] + (mass[-1] - mass[full]) * u

        def share_short(u: np.ndarray) -> np.ndarray:  # the derivative of mean_used
            return mass[-1] - mass[np.searchsorted(v, u, side="right")]

        def service(u: np.ndarray) -> np.ndarray:  # convex: minus the mean value served
            out = np.empty_like(u)
            for i, block in self._blocks(u, v):
                out[i] = np.log1p(known.a * np.minimum(block, 1.0)) @ (weight * v)
            return -value * out

        def service_slope(u: np.ndarray) -> np.ndarray:
            out = np.empty_like(u)
            for i, block in self._blocks(u, v):
                out[i] = np.where(block < 1, known.a / (1 + known.a * block), 0.0) @ weight
            return -value * out

        idle = (1 - known.eta) * known.e_idle
        extra = (1 - known.eta) * (known.e_active - known.e_idle)
        # Energy is idle * u + extra * mean_used(u): concave if extra > 0, else convex.
        bent, straight = (0.0, extra) if extra > 0 else (extra, 0.0)
        return minimise_dc(
            lambda u: service(u) + idle * u + bent * mean_used(u),
            lambda u: service_slope(u) + idle + bent * share_short(u),
            lambda u: straight * mean_used(u),
            upper,
            tol=1e-10 * upper,
        )

    @staticmethod
    def _blocks(u: np.ndarray, v: np.ndarray) -> Any:
        """Yield slices of `u` with the ratios u / v, in blocks of bounded memory."""
        step = max(1, _CHUNK // len(v))
        for start in range(0, len(u), step):
            part = slice(start, start + step)
            yield part, u[part, None] / v
