"""Arrays that cannot be written to, which torch warns of once per process where they are shared."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFFRegressor, DFLRegressor, PolicyRegressor, TwoStageRegressor
from dfl_sklearn.problems import ConvexProgram, CvxpyProgram, NewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios


@pytest.fixture(autouse=True)
def torch_warns():
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*not writable.*")
        yield
    torch.set_warn_always(before)


def fixed(values):
    values = np.array(values)
    values.setflags(write=False)
    return values


def test_problems_take_read_only_arrays(case):
    problem, rng = case.make(), np.random.default_rng(0)
    y, z = fixed(case.sample_y(rng, 2)), fixed(case.sample_decision(rng, 2))
    problem.optimal_cost(y)
    problem.cost(z, y)
    problem.is_feasible(z, y)
    problem.project_parameters(y)


def supply():
    bought, short = cp.Variable(nonneg=True), cp.Variable(nonneg=True)
    demand, most = cp.Parameter(), cp.Parameter(nonneg=True)
    limits = [bought + short >= demand, bought <= most]
    return CvxpyProgram(cp.Problem(cp.Minimize(bought + 5 * short), limits), demand, bought, most)


def test_a_context_may_be_read_only():
    problem, y = ConvexProgram(supply), fixed([[1.0], [2.0], [3.0]])
    context = fixed([[1.5]] * 3)
    np.testing.assert_allclose(problem.optimal_cost(y, context=context), [1.0, 4.0, 9.0])
    problem.solve(fixed(np.stack([y, y + 1], axis=1)), context=context)
    problem.violation(fixed([[1.0]] * 3), y, context=context)
    np.testing.assert_allclose(problem.cost_rows(fixed([[1.0]] * 3), y, context), [1.0, 6.0, 11.0])


@pytest.mark.parametrize(
    "model",
    [
        DFLRegressor(NewsvendorProblem(9, 1), max_iter=1),
        DFLRegressor(NewsvendorProblem(9, 1), max_iter=1, standardize=False),
        PolicyRegressor(NewsvendorProblem(9, 1), max_iter=1),
        DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), max_iter=1, cv=2),
        TwoStageRegressor(ResidualScenarios(LinearRegression(), cv=2), NewsvendorProblem(9, 1)),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:.*max_iter")
def test_estimators_take_read_only_arrays(model, dtype):
    rng = np.random.default_rng(0)
    X = fixed(rng.normal(size=(30, 2)).astype(dtype))
    y, weight = fixed(rng.uniform(1, 2, 30).astype(dtype)), fixed(rng.uniform(1, 2, 30))
    model.fit(X, y, sample_weight=weight).decide(X)
