"""Negative predictions of what cannot be negative: `sell <= demand`, in cvxpy and as numbers."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, PolicyRegressor, TwoStageRegressor
from dfl_sklearn.losses import RegretLoss, ScoreFunctionLoss
from dfl_sklearn.problems import ConvexProgram, Predicted, RecourseLinearProgram
from dfl_sklearn.scenarios import GaussianScenarios, ResidualScenarios


def sales(**declared):
    """Buy two products for 2 each, 9 at most, and sell them for 5 and 4 up to demand."""

    def build():
        bought, sold = cp.Variable(2, nonneg=True), cp.Variable(2, nonneg=True)
        demand = cp.Parameter(2, name="demand", **declared)
        limits = [sold <= bought, sold <= demand, cp.sum(bought) <= 9]
        return cp.Problem(cp.Maximize([5, 4] @ sold - 2 * cp.sum(bought)), limits), demand, bought

    return ConvexProgram(build)


def sales_in_numbers(nonnegative=True):
    one, none = np.eye(2), np.zeros((2, 2))
    return RecourseLinearProgram(
        [2.0, 2.0],
        [-5.0, -4.0],
        np.vstack([one, none]),
        np.vstack([-one, -one]),
        [0, 0, -1 * Predicted(0), -1 * Predicted(1)],
        A_ub=[[1.0, 1.0]],
        b_ub=[9.0],
        nonnegative=nonnegative,
    )


PROBLEMS = {"cvxpy": sales(nonneg=True), "numbers": sales_in_numbers()}
Y = np.array([[4.0, 3.0], [-1.0, 3.0], [2.0, -0.5], [-1.0, -2.0]])


def best(y):
    """Return the best plan for one demand: the dearer product first."""
    first = np.clip(y[0], 0, 9)
    return np.array([first, np.clip(y[1], 0, 9 - first)])


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param]


def test_predictions_are_planned_for_as_the_nearest_demand(problem):
    expected = [best(each) for each in Y]
    assert_allclose(problem.solve(Y), expected, atol=1e-9)
    y = torch.tensor(Y, requires_grad=True)
    plans = problem.decision_layer()(y)
    assert_allclose(plans.detach(), expected, atol=1e-7)
    (slopes,) = torch.autograd.grad(plans.sum(), y)
    assert_allclose(slopes, Y > 0, atol=1e-6)


def test_scenarios_are_moved_as_well(problem):
    y = np.stack([Y, Y + [0.0, 2.0], Y - 1.0], axis=1)
    plans = problem.solve(y)
    assert_array_equal(plans, problem.solve(np.maximum(y, 0.0)))
    layer = problem.scenario_layer() if problem is PROBLEMS["cvxpy"] else problem.scenario_layer(0)
    weight = torch.full((4, 3), 1 / 3, dtype=torch.float64)

    def means(plans):
        demands = np.maximum(y, 0.0)
        return [problem.cost(np.tile(plans[i], (3, 1)), demands[i]).mean() for i in range(4)]

    found = layer(torch.tensor(y), weight).numpy()
    assert_allclose(means(found), means(plans), atol=1e-7)


def test_generated_demand_is_moved_and_observed_demand_refused(problem):
    moved, share = problem.project_parameters(Y)
    assert_array_equal(moved, np.maximum(Y, 0.0))
    assert share == 0.75
    assert problem.nonnegative
    problem.check_parameters(moved)
    with pytest.raises(ValueError, match=r"[Rr]ow 1.*(nonneg|negative)"):
        problem.check_parameters(Y)


def test_signs_and_bounds_of_several_parameters():
    def build():
        z, a = cp.Variable(), cp.Parameter(nonpos=True)
        b, free = cp.Parameter(2, bounds=[[0, 1], [2, 5]]), cp.Parameter()
        return cp.Problem(cp.Minimize(cp.square(z - a - cp.sum(b) - free))), [a, b, free], z

    problem = ConvexProgram(build)
    y = [[1.0, 3.0, 0.0, -9.0], [-1.0, 1.0, 7.0, 9.0]]
    moved, share = problem.project_parameters(y)
    assert_array_equal(moved, [[0.0, 2.0, 1.0, -9.0], [-1.0, 1.0, 5.0, 9.0]])
    assert share == 1.0
    assert not problem.nonnegative
    assert_allclose(problem.solve(y)[:, 0], moved.sum(axis=1), atol=1e-6)


N = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2))
OBSERVED = np.maximum(1.0 + X @ [[2.0, -1.0], [1.0, 1.5]] + 0.5 * RNG.normal(size=(N, 2)), 0.0)
NETS = {"hidden_layer_sizes": (), "random_state": 0}


@pytest.mark.parametrize(
    "make",
    [
        lambda p: TwoStageRegressor(LinearRegression(), p),
        lambda p: TwoStageRegressor(ResidualScenarios(LinearRegression(), cv=2), p),
        lambda p: DFLRegressor(p, max_iter=3, **NETS),
        lambda p: DFLRegressor(p, loss=ScoreFunctionLoss(n_samples=2), max_iter=2, **NETS),
        lambda p: PolicyRegressor(p, max_iter=2, **NETS),
        lambda p: DFLRegressor(
            p,
            predictor=GaussianScenarios(n_scenarios=3, max_iter=2, **NETS),
            loss=None if p is PROBLEMS["cvxpy"] else RegretLoss(smoothing=1e-3),
            max_iter=1,
            random_state=0,
        ),
    ],
    ids=["point", "scenarios", "net", "score function", "policy", "trained scenarios"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_models_whose_predictions_are_negative_are_fitted_and_decide(problem, make):
    model = make(problem).fit(X, OBSERVED)
    assert problem.is_feasible(model.decide(X)).all()
    if not isinstance(model, PolicyRegressor):
        assert (LinearRegression().fit(X, OBSERVED).predict(X) < 0).any()


def test_without_a_declaration_the_error_names_values_constraint_and_remedy():
    match = (
        r"for row 1 of y. y is \[-1.0, 3.0\] there. At least these .* <= demand\) \(by 1\). "
        r".*cp.Parameter\(nonneg=True\)"
    )
    with pytest.raises(ValueError, match=match):
        sales().solve(Y)
    with pytest.raises(ValueError, match=r"all scenarios of row 0. .* scenario 2. y is \[-1.0, "):
        sales().solve([[[1.0, 2.0], [2.0, 3.0], [-1.0, 2.0]]])
    with pytest.raises(ValueError, match=r"y is \[-1.0, 3.0\] there. .* nonnegative=True"):
        sales_in_numbers(nonnegative=False).solve(Y)
