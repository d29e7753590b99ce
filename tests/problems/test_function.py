"""A user's own cost function, against closed forms."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from dfl_sklearn.problems import FunctionProblem, NewsvendorProblem


def newsvendor_cost(z, y):
    return 9 * np.maximum(y - z, 0) + np.maximum(z - y, 0)


def newsvendor_cost_of_one(z, y):
    return 9 * (y - z) if y > z else z - y


def coupled_cost(z, y):
    return ((z - y) ** 2).sum(axis=1) + z[:, 0] * z[:, 1]


def priced_cost(z, y, price):
    return price * z + (y - z) ** 2


@pytest.fixture
def y():
    return np.random.default_rng(0).uniform(0, 10, 60)


@pytest.mark.parametrize(
    "problem",
    [
        FunctionProblem(newsvendor_cost, (0, 20)),
        FunctionProblem(newsvendor_cost_of_one, [(0, 20)], vectorized=False),
    ],
    ids=["vectorized", "row_by_row"],
)
def test_newsvendor(problem, y):
    exact = NewsvendorProblem(9, 1)
    assert_allclose(problem.solve(y), exact.solve(y), atol=1e-6)
    z = np.random.default_rng(1).uniform(0, 20, len(y))
    assert_array_equal(problem.cost(z, y), exact.cost(z, y))
    scenarios = y.reshape(4, 15, 1)
    weight = np.random.default_rng(2).dirichlet(np.ones(15), 4)
    assert_allclose(
        problem.solve(scenarios, scenario_weight=weight),
        exact.solve(scenarios, scenario_weight=weight),
        atol=1e-6,
    )


def test_quadratic_of_two_decisions(y):
    """min |z - y|^2 + z0 z1 has the optimum of 2 z0 + z1 = 2 y0, z0 + 2 z1 = 2 y1."""
    y = np.column_stack([y, y[::-1]])
    problem = FunctionProblem(coupled_cost, [(-30, 30), (-20, 20)])
    expected = np.linalg.solve([[2.0, 1.0], [1.0, 2.0]], 2 * y.T).T
    assert_allclose(problem.solve(y), expected, atol=1e-4)
    best = coupled_cost(expected, y)
    assert_allclose(problem.optimal_cost(y), best, atol=1e-8)


def test_bounds_bind(y):
    problem = FunctionProblem(newsvendor_cost, (2.0, 5.0))
    assert_allclose(problem.solve(y), np.clip(y, 2, 5), atol=1e-7)
    assert problem.is_feasible(problem.solve(y), tol=0.0).all()
    assert_array_equal(problem.is_feasible([1.9, 2.0, 5.0, 5.1]), [False, True, True, False])


def test_a_second_valley_is_found(y):
    def two_valleys(z, y):
        return np.minimum((z - 2) ** 2, (z - 8) ** 2 - y / 10)

    problem = FunctionProblem(two_valleys, (0, 10))
    assert_allclose(problem.solve(y[y > 0.1]), 8.0, atol=1e-4)


def largest_term(z, y):
    """A convex cost with sharp kinks: the largest of eight linear terms, and a price."""
    return np.abs((z - y) @ SIDES.T).max(axis=1) + 0.01 * z.sum(axis=1)


SIDES = np.random.default_rng(5).standard_normal((8, 4))


def least_mean(y, weight):
    """The least mean cost over scenarios y (S, 4) of `largest_term`, as a linear program."""
    S, above = len(y), np.concatenate([SIDES, -SIDES])
    rows = [np.hstack([above, -np.eye(S)[[s]].repeat(len(above), axis=0)]) for s in range(S)]
    return linprog(
        np.append(np.full(4, 0.01), weight),
        A_ub=np.concatenate(rows),
        b_ub=np.concatenate([above @ each for each in y]),
        bounds=[(0, 20)] * 4 + [(None, None)] * S,
    ).fun


@pytest.mark.parametrize("n_scenarios", [1, 30])
def test_kinks_in_four_decisions(n_scenarios):
    rng = np.random.default_rng(0)
    y, weight = rng.uniform(0, 20, (3, n_scenarios, 4)), rng.dirichlet(np.ones(n_scenarios), 3)
    problem = FunctionProblem(largest_term, [(0, 20)] * 4)
    z = problem.solve(y, scenario_weight=weight)
    every = zip(z, y, weight, strict=True)
    paid = [w @ largest_term(np.tile(each, (len(w), 1)), rows) for each, rows, w in every]
    best = [least_mean(*each) for each in zip(y, weight, strict=True)]
    assert_allclose(paid, best, rtol=1e-4, atol=1e-4)
    assert (paid >= np.array(best) - 1e-9).all()


def test_many_scenarios_of_two_decisions_at_a_bound():
    """The mean cost is a quadratic of the mean scenario, whose best first decision is below 0."""
    rng = np.random.default_rng(0)
    y = rng.normal([-1.0, 3.0], 2.0, (2, 50, 2))
    weight = rng.dirichlet(np.ones(50), 2)
    z = FunctionProblem(coupled_cost, [(0, 5), (-20, 20)]).solve(y, scenario_weight=weight)
    mean = np.einsum("ns,nsd->nd", weight, y)
    first = np.maximum((4 * mean[:, 0] - 2 * mean[:, 1]) / 3, 0)
    assert_allclose(z, np.column_stack([first, mean[:, 1] - first / 2]), atol=1e-5)


@pytest.mark.parametrize("n_scenarios", [1, 40])
def test_a_row_is_decided_as_if_it_were_alone(n_scenarios):
    y = np.random.default_rng(0).uniform(0, 20, (5, n_scenarios, 4))
    problem = FunctionProblem(largest_term, [(0, 20)] * 4)
    assert_array_equal(problem.solve(y)[3:4], problem.solve(y[3:4]))


def test_context(y):
    problem = FunctionProblem(priced_cost, (0, 20))
    price = np.random.default_rng(3).uniform(0, 4, len(y))
    expected = np.maximum(y - price / 2, 0)  # the vertex of a parabola, cut at the bound
    assert_allclose(problem.solve(y, context=price), expected, atol=1e-5)
    z = np.random.default_rng(4).uniform(0, 20, len(y))
    assert_allclose(problem.cost(z, y, context=price), priced_cost(z, y, price))
    torch_cost = problem.cost(torch.as_tensor(z), torch.as_tensor(y), context=price)
    assert_allclose(torch_cost.numpy(), priced_cost(z, y, price))
    scenarios = np.column_stack([y - 0.5, y + 0.5])[:, :, None]
    shared = problem.solve(scenarios, context=price)
    assert_allclose(shared[:, 0], expected, atol=1e-5)


def test_gradients_at_the_bounds_are_one_sided():
    problem = FunctionProblem(lambda z, y: np.sqrt(z) * y, (0.0, 4.0))  # NaN below 0
    z = torch.tensor([[0.0], [4.0]], dtype=torch.float64, requires_grad=True)
    problem.cost(z, torch.ones(2, 1, dtype=torch.float64)).sum().backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad[1, 0] == pytest.approx(0.25, rel=1e-4)


def branching(z, y):
    return 9 * (y - z) if y > z else z - y


def with_max(z, y):
    return max(z - y, 0) + max(y - z, 0)


def with_ceil(z, y):
    return math.ceil(10 * z) + 9 * abs(y - z)


@pytest.mark.parametrize("function", [branching, with_max, with_ceil])
def test_a_function_of_numbers_says_how_to_use_it(function):
    with pytest.raises(ValueError, match="vectorized=False"):
        FunctionProblem(function, (0, 1)).solve([0.5, 0.6])
    FunctionProblem(function, (0, 1), vectorized=False).solve([0.5, 0.6])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z, y: 1.0, r"must return one cost per row, shape \(\d+,\), got \(\)"),
        (lambda z, y: z[:, None], r"must return one cost per row"),
        (lambda z, y: z[:-1], r"must return one cost per row"),
        (lambda z, y: None, "cost_function"),
        (lambda z, y: ["a"] * len(z), "the result of cost_function must hold numbers"),
        (lambda z, y: np.where(z > 0.5, np.nan, z), "cost_function returned nan for decision"),
        (lambda z, y: z / 0.0 * np.sign(z - 2), "cost_function returned"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide|invalid)")
def test_a_function_that_returns_something_else(function, message):
    with pytest.raises(ValueError, match=message):
        FunctionProblem(function, (0, 1)).solve([0.5, 0.6])


def test_the_users_own_errors_pass():
    def broken(z, y):
        raise KeyError("no such tariff")

    with pytest.raises(KeyError, match="no such tariff"):
        FunctionProblem(broken, (0, 1)).solve([0.5])


def test_the_function_cannot_write_to_the_data(y):
    def writes(z, y):
        y += 1.0
        return z

    before = y.copy()
    with pytest.raises(ValueError, match="read-only"):
        FunctionProblem(writes, (0, 1)).solve(y)
    assert_array_equal(y, before)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bounds": (3, 3)}, r"bounds\[0\] has a lower end that is not below its upper end"),
        ({"bounds": [(0, 1), (2, 1)]}, r"bounds\[1\] has a lower end"),
        ({"bounds": (0, np.inf)}, "bounds is not finite"),
        ({"bounds": (0, np.nan)}, "bounds is not finite"),
        ({"bounds": 5}, "bounds must be"),
        ({"bounds": (0, 1, 2)}, "bounds must be"),
        ({"bounds": "wide"}, "bounds must"),
        ({"cost_function": 3}, "cost_function must be callable, got 3"),
        ({"tol": 0}, "tol must be in"),
        ({"n_starts": 1}, "n_starts must be a whole number of at least 3"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    problem = FunctionProblem(**{"cost_function": newsvendor_cost, "bounds": (0, 1), **parameters})
    for use in (problem.solve, problem.optimal_cost, problem.check_parameters):
        with pytest.raises(ValueError, match=message):
            use([0.5])


def test_decisions_of_another_width_are_refused():
    problem = FunctionProblem(coupled_cost, [(0, 1), (0, 1)])
    with pytest.raises(ValueError, match="decisions"):
        problem.cost(np.zeros((3, 1)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="decisions"):
        problem.is_feasible(np.zeros((3, 3)))


def test_scenarios_of_weight_zero_need_no_cost():
    def relative(z, y):
        with np.errstate(divide="ignore", invalid="ignore"):
            return (z - y) ** 2 / y

    problem = FunctionProblem(relative, bounds=(0, 10))
    scenarios = np.array([[[0.0], [2.0], [8.0]], [[1.0], [4.0], [0.0]]])
    weight = np.array([[0.0, 0.5, 0.5], [1.0, 1.0, 0.0]])
    found = problem.solve(scenarios, scenario_weight=weight)
    # The least mean of (z - y)^2 / y is at the harmonic mean.
    assert_allclose(found, [[3.2], [1.6]], rtol=1e-4)
    with pytest.raises(ValueError, match=r"returned \w+ for decision"):
        problem.solve(scenarios)
