"""Capacity provisioning: serve a demand well without burning energy on idle machines."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from .._utils.checks import finite_number, smoothing_number
from .._utils.rows import as_numpy_rows, raise_at
from ..solvers.dc_search import minimise_dc
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 1 << 21  # numbers in the largest temporary array of a scenario solve


class ProvisioningProblem(DecisionProblem):
    r"""Choose serving capacity before demand is known, trading energy against service.

    With capacity z and demand y, both as ``u = (z - c_min) / (c_max - c_min)`` and
    ``v = max(y - c_min, 0) / (c_max - c_min)``, the cost is

    .. math::
        (1 - \eta) \left[ e_{active} \min(u, v) + e_{idle} (u - v)_+ \right]
        - \eta\, v\, s(\min(1, u / v)), \qquad s(q) = \frac{\log(1 + a q)}{b \log(1 + a)} :

    energy for the capacity in use and for the capacity left idle, less the value of the
    demand served, which saturates. Demand up to `c_min` is met by the capacity that always
    runs, so that an empty interval is a legal row whose best capacity is `c_min`. Several
    columns of `y` are several services; their costs add up.

    Parameters
    ----------
    c_min, c_max : float, default=200, 400_000
        Smallest and largest capacity, in the unit of the demand (tokens per interval).
    eta : float, default=0.7
        Weight of service against energy, in (0, 1).
    a : float, default=20
        How fast service saturates, positive.
    b : float, default=1.5
        Scale of the service term, positive.
    e_active, e_idle : float, default=280/200, 100/200
        Energy of a unit of capacity in use, and idle; positive.

    Notes
    -----
    The best capacity for a known demand is linear in it,

    .. math::
        u^* = \mathrm{clip}\left(\frac{\eta}{(1 - \eta)\, e_{active}\, b \log(1 + a)}
        - \frac{1}{a},\ 0,\ 1\right) v \quad \text{(at most 1)},

    which is ``0.315 v`` with the defaults: saturating service makes serving every token too
    dear. Under several scenarios the mean cost is a convex function (service) plus a
    concave or convex one (energy) of a single number, and its global minimum is found by
    branch and bound, to a relative accuracy of 1e-10.

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
    """

    exact_scenarios = True
    nonnegative = True

    def __init__(
        self,
        c_min: float = 200.0,
        c_max: float = 400_000.0,
        *,
        eta: float = 0.7,
        a: float = 20.0,
        b: float = 1.5,
        e_active: float = 1.4,
        e_idle: float = 0.5,
    ) -> None:
        self.c_min = c_min
        self.c_max = c_max
        self.eta = eta
        self.a = a
        self.b = b
        self.e_active = e_active
        self.e_idle = e_idle

    def _check_constants(self) -> None:
        if finite_number(self.c_min, "c_min") >= finite_number(self.c_max, "c_max"):
            raise ValueError(f"c_min must be below c_max, got {self.c_min} and {self.c_max}.")
        if self.c_min < 0:
            raise ValueError(f"c_min must be at least 0, got {self.c_min}.")
        if not 0 < finite_number(self.eta, "eta") < 1:
            raise ValueError(f"eta must lie strictly between 0 and 1, got {self.eta}.")
        for name in ("a", "b", "e_active", "e_idle"):
            if finite_number(getattr(self, name), name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")

    @property
    def _range(self) -> float:
        return self.c_max - self.c_min

    def _slope(self) -> float:
        """Return the share of demand that is worth serving, the clipped factor of v in u*."""
        ratio = self.eta / ((1 - self.eta) * self.e_active * self.b * np.log1p(self.a))
        return float(np.clip(ratio - 1 / self.a, 0.0, 1.0))

    def _n_decisions(self, n_parameters: int) -> int:
        return n_parameters

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        above = self._slope() * (y - self.c_min)
        # Clipping the sum rather than the product keeps the result inside after rounding.
        return np.clip(above + self.c_min, self.c_min, self.c_max)

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        u = (decisions - self.c_min) / self._range
        v = (y - self.c_min) / self._range
        v = xp.maximum(v, xp.zeros_like(v))
        used = xp.minimum(u, v)
        # u / v at v = 0 has no gradient even where it is masked: divide by 1 there instead.
        served = used / xp.where(v > 0, v, xp.ones_like(v))
        energy = self.e_active * used + self.e_idle * (u - used)
        value = v * xp.log1p(self.a * served) / (self.b * float(np.log1p(self.a)))
        return xp.sum((1 - self.eta) * energy - self.eta * value, axis=1)

    def _check_decisions(self, decisions: np.ndarray) -> None:
        below, above = self._violation(decisions)
        bad = ~(np.maximum(below, above) <= 1e-6)
        if bad.any():
            raise_at(
                bad,
                decisions,
                "decisions",
                f"is not a capacity between c_min={self.c_min} and c_max={self.c_max}",
                "Decide with solve(), or clip it.",
            )

    def _violation(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (self.c_min - z) / self._range, (z - self.c_max) / self._range

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        """Return whether capacities lie in [c_min, c_max], to `tol` of the range."""
        below, above = self._violation(self._decision_rows(decisions, y, context, tol))
        return (np.maximum(below, above) <= tol).all(axis=1)

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row of a negative demand. Zero demand is legal."""
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y")
        if (rows < 0).any():
            raise_at(rows < 0, rows, "y", "is a negative demand", "Demand is 0 or more.")

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated demand to 0 and report the share of rows moved."""
        values, _ = super().project_parameters(y)
        rows = as_numpy_rows(values, "y")
        return np.maximum(values, 0.0), float((rows < 0).any(axis=1).mean()) if len(rows) else 0.0

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Return capacity as a function of predicted demand, linear inside [c_min, c_max].

        `smoothing`, in units of demand, rounds the two corners (default 0: not at all).
        """
        from ..layers.box import AffineBoxLayer

        self._check_constants()
        slope = self._slope()
        smoothing = smoothing_number(smoothing, positive=False) or 0.0
        return AffineBoxLayer(slope, (1 - slope) * self.c_min, self.c_min, self.c_max, smoothing)

    # -- scenarios ---------------------------------------------------------------------

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) with the least mean cost over y (n, S, d), unchecked."""
        v = np.maximum(y - self.c_min, 0.0) / self._range
        u = [
            [self._solve_mean(v[i, :, j], weight[i]) for j in range(v.shape[2])]
            for i in range(len(v))
        ]
        return np.clip(self.c_min + self._range * np.array(u), self.c_min, self.c_max)

    def _solve_mean(self, v: np.ndarray, weight: np.ndarray) -> float:
        """Minimise the weighted mean cost over u in [0, 1], for one service."""
        kept = (v > 0) & (weight > 0)  # elsewhere the cost is idle energy alone
        order = np.argsort(v[kept])
        v, weight = v[kept][order], weight[kept][order]
        # A scenario's cost rises beyond its own best capacity; so does the mean beyond the
        # largest of them.
        upper = min(self._slope() * float(v[-1]), 1.0) if len(v) else 0.0
        if upper == 0.0:
            return 0.0
        mass = np.concatenate([[0.0], np.cumsum(weight)])
        moment = np.concatenate([[0.0], np.cumsum(weight * v)])
        value = self.eta / (self.b * np.log1p(self.a))

        def mean_used(u: np.ndarray) -> np.ndarray:  # concave
            full = np.searchsorted(v, u)
            return moment[full] + (mass[-1] - mass[full]) * u

        def share_short(u: np.ndarray) -> np.ndarray:  # a derivative of mean_used
            return mass[-1] - mass[np.searchsorted(v, u, side="right")]

        def service(u: np.ndarray) -> np.ndarray:  # convex: minus the mean value served
            out = np.empty_like(u)
            for i, block in self._blocks(u, v):
                out[i] = np.log1p(self.a * np.minimum(block, 1.0)) @ (weight * v)
            return -value * out

        def service_slope(u: np.ndarray) -> np.ndarray:
            out = np.empty_like(u)
            for i, block in self._blocks(u, v):
                out[i] = np.where(block < 1, self.a / (1 + self.a * block), 0.0) @ weight
            return -value * out

        idle = (1 - self.eta) * self.e_idle
        extra = (1 - self.eta) * (self.e_active - self.e_idle)
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
