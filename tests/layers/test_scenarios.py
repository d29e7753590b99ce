"""Layers of scenarios: decisions as `solve` takes them, slopes against differences and SciPy."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.stats import norm

from dfl_sklearn.layers.scenarios import ScenarioMeanLayer
from dfl_sklearn.problems import (
    FromContext,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    SquaredErrorProblem,
    UncertainKnapsackProblem,
)

COSTS = np.array([9.0, 4.0, 2.0]), np.array([1.0, 1.0, 2.0])
PROBLEMS = {
    "tight": MultiProductNewsvendorProblem(*COSTS, usage=[1, 2, 1], capacity=12),
    "loose": MultiProductNewsvendorProblem(*COSTS, usage=[1, 2, 1], capacity=1000),
    "net": MultiProductNewsvendorProblem(*COSTS, capacity=-2, nonnegative=False),
    "unshared": NewsvendorProblem(*COSTS),
    "squared": SquaredErrorProblem(),
}


def scenarios(B=5, S=9, d=3, seed=0):
    rng = np.random.default_rng(seed)
    y = torch.tensor(rng.normal(4, 3, size=(B, S, d)))
    return y, torch.tensor(rng.dirichlet(np.full(S, 3.0), B))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_decisions_are_those_of_solve(name, smoothing):
    problem = PROBLEMS[name]
    y, weight = scenarios()
    layer = pickle.loads(pickle.dumps(problem.scenario_layer(smoothing)))
    found = layer(y.requires_grad_(), weight)
    values = problem.project_parameters(y.detach().numpy().reshape(-1, 3))[0].reshape(y.shape)
    expected = problem.solve(values, scenario_weight=weight.numpy())
    assert_allclose(found.detach(), expected, rtol=1e-12, atol=1e-12)
    assert found.requires_grad
    assert layer(y.detach().float(), weight).dtype == torch.float32


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_slopes_are_those_of_differences(name):
    problem = PROBLEMS[name]
    y, weight = scenarios()
    layer, step = problem.scenario_layer(0.0), 1e-6
    pull = torch.tensor(np.random.default_rng(1).normal(size=(5, 3)))
    (slopes,) = torch.autograd.grad((pull * layer(y.requires_grad_(), weight)).sum(), y)
    y = y.detach()
    expected = torch.zeros_like(y)
    for place in np.ndindex(*y.shape):
        moved = [y.clone(), y.clone()]
        moved[0][place] += step
        moved[1][place] -= step
        ends = [(pull * layer(each, weight)).sum() for each in moved]
        expected[place] = (ends[0] - ends[1]) / (2 * step)
    assert_allclose(slopes, expected, atol=1e-7)


def normal_orders(mean, spread, underage, overage, usage, capacity):
    """Return the best orders of normal demand, by bisection for the price of the capacity."""

    def orders(price):
        level = (underage - price * usage) / (underage + overage)
        return mean + spread * norm.ppf(np.clip(level, 1e-12, 1))

    if usage @ orders(0.0) <= capacity:
        return orders(0.0)
    most = (underage / usage).max()
    return orders(brentq(lambda p: usage @ orders(p) - capacity, 0, most, xtol=1e-13))


@pytest.mark.parametrize("capacity", [12.0, 1000.0])
def test_smoothed_slopes_are_those_of_the_best_orders_of_the_distribution(capacity):
    usage = np.array([1.0, 2.0, 1.0])
    problem = MultiProductNewsvendorProblem(*COSTS, usage=usage, capacity=capacity)
    S = 20_000
    rng = np.random.default_rng(0)
    noise = torch.tensor(norm.ppf(np.stack([(rng.permutation(S) + 0.5) / S for _ in range(3)], 1)))
    start = np.array([5.0, 4.0, 6.0, 1.0, 1.5, 0.7])
    law = torch.tensor(start, requires_grad=True)
    y = (law[:3] + law[3:] * noise)[None]
    z = problem.scenario_layer(0.1)(y, torch.full((1, S), 1.0 / S, dtype=torch.float64))
    known = (*COSTS, usage, capacity)
    assert_allclose(z[0].detach(), normal_orders(start[:3], start[3:], *known), atol=0.01)
    for j in range(3):
        (slopes,) = torch.autograd.grad(z[0, j], law, retain_graph=True)
        for i in range(6):
            ends = []
            for sign in (1, -1):
                moved = start.copy()
                moved[i] += sign * 1e-5
                ends.append(normal_orders(moved[:3], moved[3:], *known)[j])
            assert slopes[i] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=0.03)


def test_smoothed_slopes_in_weights_are_those_of_the_best_orders_of_a_mixture():
    # Two normal distributions: the weight of the second, of which all scenarios have a share.
    S = 20_000
    noise = norm.ppf((np.arange(S) + 0.5) / S)
    y = torch.tensor(np.concatenate([noise, 3.0 + 0.5 * noise]))[None, :, None]
    share = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    weight = torch.cat([(1 - share).expand(S), share.expand(S)])[None] / S
    problem = NewsvendorProblem(7, 3, nonnegative=False)
    z = problem.scenario_layer(0.05)(y, weight)[0, 0]
    (slope,) = torch.autograd.grad(z, share)

    def order(p):
        return brentq(lambda q: (1 - p) * norm.cdf(q) + p * norm.cdf(q, 3, 0.5) - 0.7, -9, 9)

    assert z.item() == pytest.approx(order(0.3), abs=1e-3)
    assert slope == pytest.approx((order(0.3 + 1e-5) - order(0.3 - 1e-5)) / 2e-5, rel=0.03)


def test_one_scenario_is_the_layer_of_points():
    y = torch.tensor(np.random.default_rng(0).uniform(1, 9, size=(6, 3)), requires_grad=True)
    problem = MultiProductNewsvendorProblem(*COSTS, usage=[1, 2, 1], capacity=12)
    found = problem.scenario_layer(0.0)(y[:, None], torch.ones((6, 1), dtype=torch.float64))
    expected = problem.decision_layer()(y)
    assert_allclose(found.detach(), expected.detach(), rtol=1e-12)
    pull = torch.tensor([[1.0, 2.0, -1.0]])
    slopes = [torch.autograd.grad((pull * each).sum(), y)[0] for each in (found, expected)]
    assert_allclose(*slopes, atol=1e-12)


def test_numbers_from_the_context():
    y, weight = scenarios()
    capacity = torch.tensor([[8.0], [10.0], [12.0], [14.0], [90.0]])
    problem = MultiProductNewsvendorProblem(*COSTS, capacity=FromContext(0))
    layer = problem.scenario_layer()
    together = layer(y.requires_grad_(), weight, capacity)
    (slopes,) = torch.autograd.grad(together.sum(), y)
    for i, each in enumerate(capacity[:, 0].tolist()):
        one = MultiProductNewsvendorProblem(*COSTS, capacity=each).scenario_layer()
        alone = one(y[[i]], weight[[i]])
        assert_allclose(alone.detach(), together[[i]].detach())
        assert_allclose(torch.autograd.grad(alone.sum(), y)[0][i], slopes[i], atol=1e-12)


def test_where_the_mean_is_enough():
    problem = LinearProgram(bounds=(-1, 1))
    y, weight = scenarios()
    layer = problem.scenario_layer(1.0)
    assert isinstance(layer, ScenarioMeanLayer)
    mean = (weight[..., None] * y).sum(dim=1)
    assert_array_equal(layer(y, weight), problem.decision_layer(1.0)(mean))


def test_bad_input():
    layer = PROBLEMS["tight"].scenario_layer()
    y, weight = scenarios()
    with pytest.raises(TypeError, match="takes torch tensors"):
        layer(y.numpy(), weight)
    with pytest.raises(ValueError, match=r"got \(5, 9, 3\) and \(5, 8\)"):
        layer(y, weight[:, :8])
    with pytest.raises(TypeError, match="floating-point"):
        layer(y.long(), weight)
    with pytest.raises(ValueError, match="smoothing"):
        PROBLEMS["tight"].scenario_layer(-1.0)
    with pytest.raises(NotImplementedError, match=r"no scenario_layer.*ScoreFunctionLoss"):
        UncertainKnapsackProblem(1.0, 2.0, penalty=3.0).scenario_layer()


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_smoothed_slopes_have_no_unit(unit):
    layer = NewsvendorProblem(*COSTS).scenario_layer(0.5)
    slopes = []
    for scale in (1.0, unit):
        y, weight = scenarios()
        y = (scale * y).requires_grad_()
        layer(y, weight).sum().backward()
        slopes.append(y.grad)
    assert_allclose(slopes[1], slopes[0], rtol=1e-6, atol=1e-9)
