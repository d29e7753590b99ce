"""The layer of programs over scenarios: decisions as `solve` takes them, slopes by differences."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.problems import ConvexProgram, FromContext, Predicted, RecourseLinearProgram
from dfl_sklearn.scenarios import GaussianScenarios, MixtureScenarios


def recourse(**params):
    """Return orders of two products at a cost, more of either later, and something left over."""
    numbers = {
        "c": [1.0, 1.3],
        "q": [4.0, 3.0, 0.2, 0.1],
        "T": [[1.0, 0.0], [0.0, 1.0]],
        "W": [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]],
        "h": [Predicted(0), Predicted(1)],
        "A_ub": [[1.0, 1.0]],
        "b_ub": [9.0],
    }
    return RecourseLinearProgram(**{**numbers, **params})


def power():
    """Return a quadratic program with kinks: power of three hours that changes slowly."""
    import cvxpy as cp

    load, z = cp.Parameter(3), cp.Variable(3)
    off = load - z
    cost = 5 * cp.sum(cp.pos(off)) + 0.5 * cp.sum(cp.pos(-off)) + 0.5 * cp.sum_squares(off)
    change = cp.diff(z)
    return cp.Problem(cp.Minimize(cost), [change <= 0.4, change >= -0.4]), load, z


PROBLEMS = {
    "recourse": (recourse(), 2, None),
    "smoothed": (recourse(), 2, 0.3),
    "predicted costs": (recourse(c=[Predicted(2), 1.3]), 3, 0.2),
    "predicted limit": (recourse(b_ub=[4.0 + Predicted(2)]), 3, None),
    "convex": (ConvexProgram(power), 3, None),
}


def scenarios(d, B=3, S=5, seed=0):
    rng = np.random.default_rng(seed)
    y = torch.tensor(rng.normal(3.5, 1.5, size=(B, S, d)))
    return y, torch.full((B, S), 1.0 / S, dtype=torch.float64)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if PROBLEMS[name][2] is None])
def test_decisions_are_those_of_solve(name):
    problem, d, smoothing = PROBLEMS[name]
    y, weight = scenarios(d)
    layer = pickle.loads(pickle.dumps(problem.scenario_layer(smoothing)))
    assert_allclose(layer(y, weight), problem.solve(y.numpy()), atol=1e-8)
    y, weight = scenarios(d, S=4, seed=1)  # another number of them
    assert_allclose(layer(y, weight), problem.solve(y.numpy()), atol=1e-8)


@pytest.mark.parametrize("name", PROBLEMS)
def test_slopes_are_those_of_differences(name):
    problem, d, smoothing = PROBLEMS[name]
    y, weight = scenarios(d)
    layer = problem.scenario_layer(smoothing)
    pull = torch.tensor(np.random.default_rng(1).normal(size=(3, layer(y, weight).shape[1])))
    (slopes,) = torch.autograd.grad((pull * layer(y.requires_grad_(), weight)).sum(), y)
    assert slopes.abs().sum() > 0.1
    y = y.detach()
    for place in np.ndindex(*y.shape[1:]):
        ends = []
        for sign in (1, -1):
            moved = y.clone()
            moved[(slice(None), *place)] += sign * 1e-5
            ends.append((pull * layer(moved, weight)).sum(dim=1))
        assert_allclose(slopes[(slice(None), *place)], (ends[0] - ends[1]) / 2e-5, atol=1e-6)


def test_it_says_whether_weights_have_slopes():
    # A score function by a layer that knows none would be 0.
    has = {name: PROBLEMS[name][0].scenario_layer(PROBLEMS[name][2]) for name in PROBLEMS}
    assert {name for name, layer in has.items() if layer.weights_have_slopes} == {
        "smoothed",
        "predicted costs",
    }
    y, weight = scenarios(3)
    found = has["convex"](y.requires_grad_(), weight.requires_grad_()).sum()
    assert torch.autograd.grad(found, weight, allow_unused=True)[0] is None


def test_weights_of_linear_costs_count_and_have_slopes():
    problem = recourse()
    y, _ = scenarios(2)
    weight = torch.tensor(np.random.default_rng(2).dirichlet(np.full(5, 4.0), 3))
    plain = problem.scenario_layer()
    expected = problem.solve(y.numpy(), scenario_weight=weight.numpy())
    assert_allclose(plain(y, weight), expected, atol=1e-8)
    layer = problem.scenario_layer(0.3)
    (slopes,) = torch.autograd.grad(layer(y, weight.requires_grad_())[:, 0].sum(), weight)
    weight = weight.detach()
    for s in range(5):
        moved = weight.clone()
        moved[:, s] += 1e-6
        off = (layer(y, moved) - layer(y, weight))[:, 0] / 1e-6
        assert_allclose(slopes[:, s], off, atol=1e-5)


def test_rows_with_several_best_plans_have_no_slope_unless_smoothed():
    # A price of 4 against a cost of 2 and four scenarios: any order between two of them.
    problem = recourse(c=[2.0, 1.5], q=[4.0, 3.0, 0.0, 0.0], b_ub=[99.0])
    y, weight = scenarios(2, S=4)
    exact = problem.scenario_layer()
    with pytest.warns(UserWarning, match=r"None of 3 rows .* RegretLoss\(smoothing=1e-3\)"):
        found = exact(y.requires_grad_(), weight)
    assert torch.autograd.grad(found.sum(), y)[0].abs().sum() == 0
    smoothed = problem.scenario_layer(1e-4)(y, weight)
    assert (torch.autograd.grad(smoothed.sum(), y)[0].abs().sum(dim=(1, 2)) > 0.5).all()
    costs = [
        sum(problem.cost(each.detach().numpy(), y[:, s].detach().numpy()) for s in range(4))
        for each in (found, smoothed)
    ]
    assert_allclose(*costs, rtol=1e-3)


def test_numbers_from_the_context():
    problem = recourse(b_ub=[FromContext(0)])
    y, weight = scenarios(2)
    limits = torch.tensor([[5.0], [6.0], [30.0]])
    found = problem.scenario_layer()(y, weight, limits)
    assert_allclose(found, problem.solve(y.numpy(), context=limits.numpy()), atol=1e-8)


def positive():
    """Return what is nearest to a number that is not negative."""
    import cvxpy as cp

    y, z = cp.Parameter(1, nonneg=True), cp.Variable(1)
    return cp.Problem(cp.Minimize(cp.sum_squares(z - y))), y, z


def test_parameters_are_moved_to_what_cvxpy_was_told():
    layer = ConvexProgram(positive).scenario_layer()
    y, weight = scenarios(1)
    assert_allclose(layer(y.abs(), weight), y.abs().mean(dim=1), atol=1e-9)
    assert_allclose(layer(y - 3.5, weight), (y - 3.5).clamp(0).mean(dim=1), atol=1e-9)


def test_what_has_no_slope_is_said():
    y, _ = scenarios(3)
    weight = torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1]] * 3)
    with pytest.raises(ValueError, match=r"must have equal weights .* GaussianScenarios"):
        ConvexProgram(power).scenario_layer()(y, weight)
    with pytest.raises(ValueError, match="smoothing must be None"):
        ConvexProgram(power).scenario_layer(0.1)
    with pytest.raises(NotImplementedError, match="no scenario_layer"):
        ConvexProgram(power, solver="CLARABEL").scenario_layer()
    with pytest.raises(ValueError, match="whole numbers has no slope"):
        recourse(integrality=[1, 0]).scenario_layer()
    with pytest.raises(ValueError, match="give a smoothing"):
        recourse(c=[Predicted(2), 1.0]).scenario_layer()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("K", [1, 2])
def test_a_distribution_is_trained_for_a_plan(K):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 1))
    y = 4 + X + rng.exponential(1.5, size=(20, 2))
    settings = {"hidden_layer_sizes": (), "n_scenarios": 4, "max_iter": 10, "random_state": 0}
    model = GaussianScenarios(**settings) if K == 1 else MixtureScenarios(K, **settings)
    trained = DFLRegressor(
        recourse(), predictor=model, early_stopping=False, max_iter=3, random_state=0
    ).fit(X, y)
    likely = TwoStageRegressor(model, recourse()).fit(X, y)
    assert trained.score(X, y) > likely.score(X, y)
