"""One entry per problem; the contract tests of this folder run over all of them.

To put a new problem under the contract, add one `ProblemCase` to `PROBLEMS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cvxpy as cp
import numpy as np

from dfl_sklearn.problems import (
    ConvexProgram,
    CoverageProblem,
    CVaRPortfolioProblem,
    DecisionProblem,
    FunctionProblem,
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    PortfolioProblem,
    Predicted,
    ProvisioningProblem,
    RecourseLinearProgram,
    SetMultiCoverProblem,
    ShortestPathProblem,
    SquaredErrorProblem,
    StorageProblem,
    TopKProblem,
    UncertainKnapsackProblem,
)

Sampler = Callable[[np.random.Generator, int], np.ndarray]
"""Draws n rows of parameters, (n, d)."""


@dataclass(frozen=True)
class ProblemCase:
    """What the contract tests need to know of a problem.

    Attributes
    ----------
    name : str
        The id of the tests.
    make : callable
        Returns a fresh instance.
    sample_y : callable
        ``(rng, n) -> (n, d)``: legal observed parameters.
    sample_decision : callable
        ``(rng, n) -> (n, k)``: feasible decisions, spread over the feasible set.
    other : dict
        Constructor parameters that differ from those of `make`, for set_params.
    tol : float
        How far (in cost, relative to 1 + |cost|) `solve` may be from the minimum.
    slopes : tuple of float or None
        Values of `smoothing` at which the layer's gradient is compared with finite
        differences; None if the problem has no layer.
    sample_prediction : callable or None
        Predicted parameters, away from corners of the layer; None takes `sample_y`.
    layer_tol : float
        Relative tolerance of that comparison.
    smooths : bool
        Whether the layer has something for `smoothing` to smooth.
    zero_is_legal : bool
        Whether y = 0 can be observed.
    is_linear : bool
        Whether the cost is linear in the decision: the layer is that of a linear program, whole
        numbers relaxed, with a quadratic term that moves its decisions.
    is_regularized : bool
        Whether the layer of another problem has such a term.
    is_slow : bool
        Whether a row takes milliseconds to solve, so that fewer of them have to do.
    """

    name: str
    make: Callable[[], DecisionProblem]
    sample_y: Sampler
    sample_decision: Sampler
    other: dict[str, Any]
    tol: float = 1e-12
    slopes: tuple[float | None, ...] | None = (None,)
    sample_prediction: Sampler | None = None
    layer_tol: float = 1e-6
    smooths: bool = True
    zero_is_legal: bool = True
    is_linear: bool = False
    is_regularized: bool = False
    is_slow: bool = False

    def rows(self, n: int) -> int:
        """Return of `n` rows how many a test solves for."""
        return max(1, n // 8) if self.is_slow else n

    def predictions(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return (self.sample_prediction or self.sample_y)(rng, n)

    @property
    def is_one_number(self) -> bool:
        """Whether one parameter leads to one decision, so that a fine grid is an oracle."""
        rng = np.random.default_rng(0)
        return self.sample_y(rng, 1).size == self.sample_decision(rng, 1).size == 1

    def __str__(self) -> str:
        return self.name


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


PROBLEMS = [
    ProblemCase(
        "squared_error",
        SquaredErrorProblem,
        normal(3.0, 2),
        normal(5.0, 2),
        other={},
        smooths=False,
    ),
    ProblemCase(
        "newsvendor",
        lambda: NewsvendorProblem(9, 1),
        uniform(0, 10),
        uniform(0, 15),
        other={"underage_cost": 3.0, "overage_cost": 2.0},
        slopes=(None, 0.0, 0.5),
        sample_prediction=lambda rng, n: (
            rng.choice([-1.0, 1.0], (n, 1)) * rng.uniform(1, 9, (n, 1))
        ),
    ),
    ProblemCase(
        "newsvendor_net_position",
        lambda: NewsvendorProblem(9, 1, nonnegative=False),
        normal(4.0),
        normal(6.0),
        other={"nonnegative": True},
        smooths=False,
    ),
    ProblemCase(
        "newsvendor_three_products",
        lambda: NewsvendorProblem([9, 1, 4], [1.0, 2.0, 0.5]),
        uniform(0, 10, 3),
        uniform(0, 15, 3),
        other={"overage_cost": [2.0, 2.0, 2.0]},
        slopes=(None, 0.2),
    ),
    ProblemCase(
        "newsvendor_shared_capacity",
        lambda: shelf(nonnegative=True),
        uniform(0, 10, 3),
        orders_on_the_shelf,
        other={"capacity": 14.0},
    ),
    ProblemCase(
        "newsvendor_shared_limit_of_net_positions",
        lambda: shelf(nonnegative=False),
        normal(6.0, 3),
        lambda rng, n: orders_on_the_shelf(rng, n) - rng.exponential(3.0, (n, 3)),
        other={"capacity": 40.0},
        slopes=(None, 0.3),
        is_regularized=True,
    ),
    ProblemCase(
        "provisioning",
        ProvisioningProblem,
        uniform(0, 900_000),
        uniform(200, 400_000),
        other={"eta": 0.5, "a": 5.0},
        slopes=(None, 0.0, 5_000.0),
        sample_prediction=uniform(20_000, 1_000_000),
        tol=1e-9,
    ),
    ProblemCase(
        "provisioning_two_services",
        lambda: ProvisioningProblem(1.0, 9.0, eta=0.8, b=1.2),
        uniform(0, 12, 2),
        uniform(1, 9, 2),
        other={"c_max": 11.0},
        slopes=(None, 0.3),
        sample_prediction=uniform(2, 12, 2),
        tol=1e-9,
    ),
    ProblemCase(
        "portfolio",
        lambda: PortfolioProblem(COVARIANCE, 2.0),
        normal(2.0, 3),
        shares(3),
        other={"risk_aversion": 0.5},
        slopes=(0.0,),
        sample_prediction=normal(0.4, 3),
        tol=1e-12,
    ),
    ProblemCase(
        "portfolio_of_many",
        lambda: PortfolioProblem(np.eye(9) + 0.3, 2.0),
        normal(1.0, 9),
        shares(9),
        other={"risk_aversion": 1.0},
        slopes=(0.0,),
        sample_prediction=normal(0.3, 9),
        tol=1e-8,
        layer_tol=1e-4,
    ),
    ProblemCase(
        "portfolio_with_trading_costs",
        lambda: PortfolioProblem(COVARIANCE, 2.0, [0.5, 0.2, 0.2], [0.1, 0.3, 0.2]),
        normal(2.0, 3),
        shares(3),
        other={"transaction_cost": 0.5, "holdings": [0.1, 0.9, 0.0]},
        slopes=(0.0,),
        sample_prediction=normal(0.4, 3),
        tol=1e-12,
    ),
    ProblemCase(
        "cvar_portfolio",
        lambda: CVaRPortfolioProblem(0.8, 0.5, RESIDUALS),
        normal(1.0, 3),
        shares_and_reserve,
        other={"level": 0.9},
        slopes=(None, 0.5),
        sample_prediction=normal(0.4, 3),
        tol=1e-9,
        layer_tol=1e-3,
        is_regularized=True,
    ),
    ProblemCase(
        "cvar_portfolio_of_scenarios",
        lambda: CVaRPortfolioProblem(0.7, 2.0),
        normal(1.0, 3),
        shares_and_reserve,
        other={"risk_aversion": 0.9},
        slopes=(None, 0.5),
        sample_prediction=normal(0.4, 3),
        tol=1e-9,
        layer_tol=1e-4,
        is_regularized=True,
    ),
    ProblemCase(
        "storage",
        wearing_battery,
        uniform(-5, 30, 5),
        schedules,
        other={"state_penalty": 0.0},
        slopes=(None, 0.0),
        layer_tol=1e-5,
        is_regularized=True,
    ),
    linear_case(
        "linear_program",
        lambda: LinearProgram(
            [[1.0, 2.0, 1.0], [3.0, 0.5, 1.0]], [4.0, 5.0], bounds=(-1, 3), sense="max"
        ),
        3,
        other={"sense": "min"},
        sizes=(0.5,),
    ),
    linear_case("box", lambda: LinearProgram(bounds=(-1, 1)), 1, {"bounds": (-1, 2)}, (2.0,)),
    linear_case(
        "whole_numbers",
        lambda: LinearProgram(
            [[2.0, 3.0, 4.0]], [9.5], bounds=(0, 2), integrality=[1, 0, 1], sense="max"
        ),
        3,
        other={"integrality": 0},
        sample_decision=two_whole_numbers,
        is_slow=True,
    ),
    linear_case("shortest_path", lambda: ShortestPathProblem.grid(3, 3), 12, {"target": 7}),
    replace(
        linear_case("two_way_road", lambda: ShortestPathProblem(TWO_WAY_ROAD), 7, {"target": 2}),
        sample_y=uniform(0.0, 4.0, 7),
        sample_decision=some_path,
    ),
    linear_case("matching", lambda: MatchingProblem(2, 3), 6, {"sense": "min"}, (0.3,)),
    linear_case("assignment", lambda: MatchingProblem(3, 2, perfect=True), 6, {"perfect": False}),
    linear_case("knapsack", lambda: KnapsackProblem([3, 4, 5, 1], 7), 4, {"capacity": 5}),
    linear_case("top_k", lambda: TopKProblem(1), 4, {"k": 2}, (1.0,)),
    ProblemCase(
        "convex_program",
        lambda: ConvexProgram(batteries),
        normal(2.0, 3),
        lambda rng, n: 0.5 + 0.5 * rng.dirichlet(np.ones(3), n),
        other={"solver": "SCS"},
        tol=1e-9,
        sample_prediction=normal(0.2, 3),
        layer_tol=1e-5,
    ),
    ProblemCase(
        "recourse",
        lambda: two_sites([Predicted(0), Predicted(1)]),
        uniform(1, 9, 2),
        uniform(0, 2, 3),
        other={"q": [3.0, 3.0, 4.0]},
        tol=1e-9,
        slopes=(None, 0.3),
        layer_tol=1e-5,
        is_regularized=True,
    ),
    ProblemCase(
        "recourse_of_predicted_yields",
        lambda: two_sites([4.0, Predicted(2)], [[Predicted(0), 0.0, 0.3], [0.2, Predicted(1), 0]]),
        uniform(0.5, 2, 3),
        uniform(0, 2, 3),
        other={"c": [1.0, 1.0, 1.0]},
        tol=1e-9,
        slopes=(),
        is_slow=True,
    ),
    ProblemCase(
        "coverage",
        lambda: CoverageProblem(2, 4, [1.0, 2.0, 0.5]),
        uniform(0, 1, 12),
        lambda rng, n: np.eye(4)[rng.integers(4, size=n)],
        other={"k": 3},
        slopes=(None, 0.3),
        sample_prediction=uniform(0.1, 0.5, 12),
        layer_tol=1e-3,
    ),
    # What does not fit costs more than any item is worth, and weights are whole: the best knapsack
    # is never too full.
    ProblemCase(
        "knapsack_of_unknown_weights",
        lambda: UncertainKnapsackProblem([4.0, 1.0, 3.0, 2.5], 7.5, penalty=20.0, unit=1.0),
        whole(1, 3, 4),
        two_items_of(4),
        other={"penalty": 30.0, "capacity": 5.0},
        slopes=None,
    ),
    ProblemCase(
        "knapsack_of_unknown_capacity",
        lambda: UncertainKnapsackProblem([4.0, 1.0, 3.0, 2.5], weights=[3, 1, 2, 2], penalty=20.0),
        whole(6, 15),
        two_items_of(4),
        other={"values": 2.0},
        slopes=None,
    ),
    ProblemCase(
        "set_multicover",
        lambda: SetMultiCoverProblem([[1, 0, 1], [0, 1, 1]], [3.0, 2.0, 4.0], [9.0, 12.0]),
        whole(0, 3, 2),
        lambda rng, n: rng.integers(3, 6, (n, 3)).astype(float),
        other={"penalty": 8.0},
        slopes=(None, 0.5),
        sample_prediction=uniform(0.2, 3.0, 2),
        layer_tol=1e-5,
        is_regularized=True,
        is_slow=True,
    ),
    ProblemCase(
        "function",
        lambda: FunctionProblem(staff_cost, (0.0, 20.0)),
        uniform(0, 15),
        uniform(0, 20),
        other={"bounds": (0.0, 10.0), "n_starts": 17},
        slopes=(None, 0.05),
        sample_prediction=uniform(1, 15),
        tol=1e-8,
        layer_tol=1e-4,
    ),
    ProblemCase(
        "function_row_by_row",
        lambda: FunctionProblem(staff_cost_of_one, (0.0, 20.0), vectorized=False, n_starts=9),
        uniform(0, 15),
        uniform(0, 20),
        other={"tol": 1e-7},
        sample_prediction=uniform(1, 15),
        tol=1e-8,
        layer_tol=1e-4,
    ),
    ProblemCase(
        "function_two_decisions",
        lambda: FunctionProblem(two_machines_cost, [(0.0, 10.0), (0.0, 10.0)], n_starts=9),
        uniform(1, 8),
        uniform(0, 10, 2),
        other={"n_starts": 5},
        tol=1e-7,
        layer_tol=1e-3,
    ),
]
