"""Small problems, and draws of parameters and of decisions that are allowed in them."""

from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np

from dfl_sklearn.problems import (
    MultiProductNewsvendorProblem,
    RecourseLinearProgram,
    StorageProblem,
)

from .problem_case import ProblemCase, Sampler


def uniform(low: Any, high: Any, n_columns: int = 1) -> Sampler:
    return lambda rng, n: rng.uniform(low, high, (n, n_columns))


def normal(scale: float, n_columns: int = 1) -> Sampler:
    return lambda rng, n: scale * rng.standard_normal((n, n_columns))


def staff_cost(staff: np.ndarray, calls: np.ndarray) -> np.ndarray:
    return 2.0 * staff + 5.0 * np.maximum(calls - staff, 0.0) ** 2


def staff_cost_of_one(staff: float, calls: float) -> float:
    return 2.0 * staff + (5.0 * (calls - staff) ** 2 if calls > staff else 0.0)


def two_machines_cost(power: np.ndarray, load: np.ndarray) -> np.ndarray:
    """A strictly convex quadratic in two decisions, with a coupled optimum."""
    first, second = power[:, 0], power[:, 1]
    return first**2 + 2.0 * second**2 + 3.0 * (first + second - load) ** 2


def two_sites(h: list[Any], T: Any = ((1.0, 0.0, 0.3), (0.0, 1.0, 0.2))) -> RecourseLinearProgram:
    """Three plants for the needs of two sites, and three ways to make up for what is missing."""
    W = [[1.0, 0.0, 0.4], [0.0, 1.0, 0.7]]
    limits = {"A_ub": [[1.0, 1.0, 1.0]], "b_ub": [7.0], "bounds": (0, 5)}
    return RecourseLinearProgram([1.0, 1.3, 0.4], [5.0, 4.0, 4.5], list(T), W, h, **limits)


def shares(n_assets: int) -> Sampler:
    """Spread over the simplex, its faces included."""
    return lambda rng, n: rng.dirichlet(np.full(n_assets, 0.4), n)


def linear_case(
    name: str,
    make: Callable[[], Any],
    n: int,
    other: dict[str, Any],
    sizes: tuple[float, ...] = (),
    sample_decision: Sampler | None = None,
    is_slow: bool = False,
) -> ProblemCase:
    """A problem that prices its decisions; feasible ones are the best under other prices."""
    return ProblemCase(
        name,
        make,
        normal(2.0, n),
        sample_decision or (lambda rng, n_rows: make().solve(rng.standard_normal((n_rows, n)))),
        is_slow=is_slow,
        other=other,
        tol=1e-9,
        slopes=(None, *sizes),
        layer_tol=1e-4,
        is_linear=True,
    )


def two_whole_numbers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Allowed by ``2 a + 3 b + 4 c <= 9.5``, a and c whole, none above 2; b is often at its end."""
    pairs = np.array([(a, c) for a in range(3) for c in range(3) if 2 * a + 4 * c <= 9.5])
    a, c = pairs[rng.integers(len(pairs), size=n)].T
    b = np.minimum(2.0, (9.5 - 2 * a - 4 * c) / 3) * np.minimum(1.0, rng.uniform(0, 2, n))
    return np.stack([a, b, c], axis=1).astype(float)


def some_path(rng: np.random.Generator, n: int) -> np.ndarray:
    """All ways along TWO_WAY_ROAD that pass no node twice."""
    paths = [(0, 4), (1, 5), (1, 6), (0, 2, 5), (0, 2, 6), (1, 3, 4)]
    z = np.array([np.isin(np.arange(7), path) for path in paths], dtype=float)
    return z[rng.integers(len(z), size=n)]


def shares_and_reserve(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.concatenate([shares(3)(rng, n), 2.0 * rng.standard_normal((n, 1))], axis=1)


def two_items_of(n_items: int) -> Sampler:
    """Two items, or one, of several."""
    choices = [
        np.eye(n_items)[[i, j]].max(axis=0) for i in range(n_items) for j in range(i, -1, -1)
    ]
    return lambda rng, n: np.array(choices)[rng.integers(len(choices), size=n)]


def whole(low: int, high: int, n_columns: int = 1) -> Sampler:
    return lambda rng, n: rng.integers(low, high + 1, (n, n_columns)).astype(float)


RESIDUALS = np.random.default_rng(0).standard_normal((7, 3)) * [0.2, 1.0, 2.0]
COVARIANCE = np.array([[1.0, 0.4, -0.2], [0.4, 2.0, 0.1], [-0.2, 0.1, 1.5]])
TWO_WAY_ROAD = [[0, 1], [0, 2], [1, 2], [2, 1], [1, 3], [2, 3], [2, 3]]


def batteries():
    """Charge three batteries at predicted prices; wear grows with the square."""
    charge, price = cp.Variable(3), cp.Parameter(3)
    wear = cp.sum_squares(cp.multiply([1.0, 0.7, 1.4], charge))
    limits = [cp.sum(charge) == 2, charge >= 0, charge <= 1.5]
    return cp.Problem(cp.Minimize(price @ charge + wear), limits), price, charge


def shelf(nonnegative: bool) -> MultiProductNewsvendorProblem:
    """Three products on a shelf that often holds less than what is asked for."""
    return MultiProductNewsvendorProblem(
        [9, 1, 4], [1.0, 2.0, 0.5], usage=[1, 2, 0.5], capacity=12, nonnegative=nonnegative
    )


def orders_on_the_shelf(rng: np.random.Generator, n: int) -> np.ndarray:
    """Spread over what the shelf holds, the full shelf nearly included."""
    shares = rng.dirichlet(np.full(4, 0.7), n)[:, :3]
    return 1e-3 + 11.98 * shares / [1, 2, 0.5]


def wearing_battery() -> StorageProblem:
    """A battery whose wear counts, so that it does not only charge and discharge at its limits."""
    return StorageProblem(max_discharge=0.4, rate_penalty=8.0)


def schedules(rng: np.random.Generator, n: int) -> np.ndarray:
    """Schedules of a battery over five periods, with room left on either side."""
    state, rates = np.full(n, 0.5), []
    for _ in range(5):
        charge = rng.uniform(0.01, 0.99, n) * np.minimum(0.5, (1.0 - state) / 0.9)
        state = state + 0.9 * charge
        discharge = rng.uniform(0.01, 0.99, n) * np.minimum(0.4, state)
        state = state - discharge
        rates.append((charge, discharge))
    return np.concatenate([np.stack(each, axis=1) for each in zip(*rates, strict=True)], axis=1)
