"""Distributions trained for the decision: gradients, and fits that must come out right."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor, decide
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.losses import RegretLoss, ScoreFunctionLoss, SPOPlusLoss
from dfl_sklearn.problems import (
    FromContext,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.robust import CVaR
from dfl_sklearn.rows import Optimum
from dfl_sklearn.scenarios import GaussianScenarios, MixtureScenarios, ResidualScenarios
from dfl_sklearn.training.scenarios import ScenarioObjective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = MultiProductNewsvendorProblem([9, 4, 2], 1, capacity=27)
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 15, "n_scenarios": 20, "random_state": 0}
TRAINED = {"max_iter": 8, "learning_rate_init": 0.01, "random_state": 0}


class Unlayered(SquaredErrorProblem):
    """Squared error, of which no slopes are known."""

    def scenario_layer(self, smoothing=None):
        raise NotImplementedError


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = np.maximum(10 + X @ rng.normal(size=(2, 3)) + 3 * rng.normal(size=(120, 3)), 0)
    return X, y


@pytest.fixture(scope="module")
def fitted(rows):
    return GaussianScenarios(rank=1, **QUICK).fit(*rows), MixtureScenarios(2, **QUICK).fit(*rows)


def losses(problem, loss, model, X, y):
    """Return a function from the output of the net to the losses of rows, and that output."""
    objective = ScenarioObjective(problem, loss, model.net_)
    best = problem.optimum(y)
    known = torch.tensor(y), Optimum(torch.tensor(best.decisions), torch.tensor(best.cost))
    return lambda conditions: objective.row_loss(conditions, *known), model._conditions(X)[0]


@pytest.mark.parametrize("which", [0, 1], ids=["gaussian", "mixture"])
def test_slopes_through_scenarios_are_those_of_differences(rows, fitted, which):
    # A smooth problem, the noise being the same in every call.
    X, y = (each[:4] for each in rows)
    loss, start = losses(SquaredErrorProblem(), RegretLoss(), fitted[which], X, y)
    conditions = torch.tensor(start, requires_grad=True)
    (slopes,) = torch.autograd.grad(loss(conditions).sum(), conditions)
    for j in range(start.shape[1]):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[:, j] += sign * 1e-5
            ends.append(loss(torch.tensor(moved)))
        assert_allclose(slopes[:, j], (ends[0] - ends[1]) / 2e-5, atol=1e-6)


def test_slopes_of_orders_through_scenarios_are_those_of_differences(rows, fitted):
    X, y = (each[:6] for each in rows)
    loss, start = losses(PROBLEM, RegretLoss(0.0), fitted[0], X, y)
    conditions = torch.tensor(start, requires_grad=True)
    (slopes,) = torch.autograd.grad(loss(conditions).sum(), conditions)
    assert slopes.abs().sum() > 1
    for j in range(start.shape[1]):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[:, j] += sign * 1e-6
            ends.append(loss(torch.tensor(moved)))
        assert_allclose(slopes[:, j], (ends[0] - ends[1]) / 2e-6, atol=1e-5)


@pytest.mark.parametrize("problem", [SquaredErrorProblem(), Unlayered()], ids=["slopes", "sets"])
@pytest.mark.parametrize("which", [0, 1], ids=["gaussian", "mixture"])
def test_the_score_function_has_the_slopes_of_the_expectation(rows, fitted, problem, which):
    # The regret of the mean of S draws is |m - y|^2 + trace(V) / S in expectation. Where draws are
    # asked for the weight that they have had in the decision, the second term counts twice.
    X, y = (each[:1] for each in rows)
    model = clone(fitted[which]).set_params(n_scenarios=4).fit(*rows)
    n = 10_000
    repeated = np.repeat(y, n, axis=0), np.repeat(X, n, axis=0)
    loss, start = losses(problem, ScoreFunctionLoss(n_samples=3), model, *repeated[::-1])
    conditions = torch.tensor(start, requires_grad=True)
    (slopes,) = torch.autograd.grad(loss(conditions).sum(), conditions)
    one = torch.tensor(start[:1], requires_grad=True)
    values = model.net_.components.values
    selector, parameters = model.net_._parts(one)
    uniform = torch.tensor(np.random.default_rng(0).random((n, model.net_.uniform.shape[1])))
    share, S = selector.exp()[0], 4
    drawn = [values(parameters[:, [k]].expand(-1, n, -1), uniform)[0] for k in range(len(share))]
    mean = sum(p * each.mean(dim=0) for p, each in zip(share, drawn, strict=True))
    square = sum(p * (each**2).mean(dim=0) for p, each in zip(share, drawn, strict=True))
    at_mean = ((mean - torch.tensor(y[0])) ** 2).sum()
    times = 1 if isinstance(problem, Unlayered) else 2
    expected = at_mean + times * (square - mean**2).sum() / S
    wanted = torch.autograd.grad(expected, one)[0][0]
    error = slopes.std(dim=0) / np.sqrt(n)
    assert ((slopes.mean(dim=0) - wanted).abs() <= 5 * error + 0.05).all()


def test_the_score_function_of_orders_agrees_with_the_slopes_through_scenarios(rows, fitted):
    X, y = (each[:1] for each in rows)
    model = clone(fitted[0]).set_params(n_scenarios=500).fit(*rows)
    through, start = losses(PROBLEM, RegretLoss(), model, X, y)
    one = torch.tensor(start, requires_grad=True)
    (expected,) = torch.autograd.grad(through(one).sum(), one)
    n = 300
    loss, starts = losses(
        PROBLEM, ScoreFunctionLoss(), model, *(np.repeat(e, n, 0) for e in (X, y))
    )
    conditions = torch.tensor(starts, requires_grad=True)
    (slopes,) = torch.autograd.grad(loss(conditions).sum(), conditions)
    error = slopes.std(dim=0) / np.sqrt(n)
    off = (slopes.mean(dim=0) - expected[0]).abs()
    assert (off <= 5 * error + 0.1 * expected.abs().max()).all()
    assert (error < 0.3 * expected.abs().max()).all()


@pytest.mark.parametrize("loss", [None, RegretLoss(0.0), ScoreFunctionLoss()], ids=str)
@pytest.mark.parametrize(
    "model", [GaussianScenarios(**QUICK), MixtureScenarios(2, **QUICK)], ids=str
)
def test_training_for_the_decision_lowers_its_regret(rows, loss, model):
    X, y = rows
    trained = DFLRegressor(PROBLEM, loss=loss, predictor=model, early_stopping=False, **TRAINED)
    trained.fit(X, y)
    likely = TwoStageRegressor(model.set_params(early_stopping=False), PROBLEM).fit(X, y)
    assert trained.score(X, y) > likely.score(X, y)
    assert trained.history_["train_regret"].min() < trained.history_["train_regret"].iloc[0] + 1e-9
    regret = PROBLEM.cost(trained.decide(X), y) - PROBLEM.optimal_cost(y)
    assert regret.mean() == pytest.approx(trained.history_["train_regret"].min(), rel=1e-9)


def test_one_epoch_that_helps_nobody_leaves_the_likelihood_fit(rows):
    X, y = rows
    model = GaussianScenarios(early_stopping=False, **QUICK)
    trained = DFLRegressor(
        PROBLEM, predictor=model, early_stopping=False,
        **{**TRAINED, "learning_rate_init": 10.0, "max_iter": 1},
    ).fit(X, y)  # fmt: skip
    expected = clone(model).fit(X, y)
    assert trained.best_epoch_ == 0
    assert_array_equal(trained.predict(X), expected.predict(X))


def test_a_layer_without_slopes_in_weights_is_not_asked_for_them(rows, fitted):
    X, y = (each[:3] for each in rows)

    class Kinked(NewsvendorProblem):
        def scenario_layer(self, smoothing=None):
            return super().scenario_layer(0.0)

    loss, start = losses(Kinked(9, 1), ScoreFunctionLoss(), fitted[0], X, y)
    conditions = torch.tensor(start, requires_grad=True)
    (slopes,) = torch.autograd.grad(loss(conditions).sum(), conditions)
    assert slopes.abs().sum() > 1  # of sets of draws


def test_without_a_layer_it_learns_by_the_score_function(rows):
    X, y = rows
    model = GaussianScenarios(**{**QUICK, "max_iter": 1})
    trained = DFLRegressor(Unlayered(), predictor=model, **{**TRAINED, "max_iter": 3}).fit(X, y)
    before = TwoStageRegressor(model, SquaredErrorProblem()).fit(X, y)
    assert trained.score(X, y) > before.score(X, y)


def test_predicts_and_decides_as_its_scenario_model_does(rows):
    X, y = rows
    table = pd.DataFrame(X, columns=["a", "b"])
    model = DFLRegressor(PROBLEM, predictor=MixtureScenarios(2, **QUICK), **TRAINED).fit(table, y)
    scenarios = model.predict_scenarios(table)
    assert scenarios.values.shape == (120, 20, 3)
    assert_allclose(model.predict(table), scenarios.mean)
    values = np.maximum(scenarios.values, 0)
    expected = PROBLEM.solve(values, scenario_weight=scenarios.weight)
    assert_allclose(model.decide(table), expected)
    assert_allclose(decide(model, table), expected)
    other = MultiProductNewsvendorProblem([1, 4, 2], 1, capacity=20)
    assert_allclose(
        decide(model, table, NewsvendorProblem(9, 1)),
        NewsvendorProblem(9, 1).solve(values, scenario_weight=scenarios.weight),
    )
    assert len(decide(model, table, other)) == 120
    stored = pickle.loads(pickle.dumps(model))
    assert_array_equal(stored.decide(table), model.decide(table))
    assert not hasattr(model, "predict_members")
    assert not hasattr(DFLRegressor(PROBLEM), "predict_scenarios")
    with pytest.raises(ValueError, match="feature names"):
        model.decide(table[["b", "a"]])


def test_one_output(rows):
    X, y = rows
    model = DFLRegressor(NewsvendorProblem(9, 1), predictor=GaussianScenarios(**QUICK), **TRAINED)
    model.fit(X, y[:, 0])
    assert model.predict(X).shape == model.decide(X).shape == (120,)
    assert (y[:, 0] <= model.decide(X)).mean() == pytest.approx(0.9, abs=0.07)


def test_a_context_that_the_net_does_not_see(rows):
    X, y = rows
    capacity = np.random.default_rng(1).uniform(20, 35, 120)
    known = np.column_stack([capacity, X])
    problem = MultiProductNewsvendorProblem([9, 4, 2], 1, capacity=FromContext(0))
    model = DFLRegressor(
        problem, predictor=GaussianScenarios(**QUICK), context=[0], context_is_feature=False,
        **TRAINED,
    ).fit(known, y)  # fmt: skip
    assert model.scenario_model_.n_features_in_ == 2
    assert (model.decide(known).sum(axis=1) <= capacity * (1 + 1e-9)).all()
    assert (model.decide(known, context=np.full(120, 9.0)).sum(axis=1) <= 9 * (1 + 1e-9)).all()
    assert model.score(known, y) > 0


def test_weights_and_order(rows):
    X, y = rows
    weight = np.arange(120) % 3
    again = np.random.default_rng(0).permutation(np.repeat(np.arange(120), weight))
    model = DFLRegressor(PROBLEM, predictor=GaussianScenarios(**QUICK), **TRAINED)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(X[again], y[again])
    assert_array_equal(weighted.decide(X), repeated.decide(X))
    assert_array_equal(weighted.predict(X), repeated.predict(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ambiguity_set": CVaR(0.5)}, "ambiguity_set=CVaR.*does not work.*TwoStageRegressor"),
        ({"n_estimators": 3}, "n_estimators=3 does not work .* GaussianScenarios. Set it to 1"),
        ({"warm_start": True}, "warm_start=True does not work"),
        ({"standardize": False}, "standardize=False does not work"),
        ({"loss": SPOPlusLoss()}, r"loss=SPOPlusLoss\(\) is for predictions of y"),
        ({"predictor": GaussianScenarios(rank=-1)}, "'rank' parameter of GaussianScenarios"),
        ({"predictor": ResidualScenarios(LinearRegression())}, "'predictor' .*GaussianScenarios"),
    ],
)
def test_what_does_not_work_is_refused(rows, params, message):
    given = {"predictor": GaussianScenarios(**QUICK), **TRAINED, **params}
    with pytest.raises((ValueError, TypeError), match=message):
        DFLRegressor(PROBLEM, **given).fit(*rows)


def test_partial_fit_is_refused(rows):
    model = DFLRegressor(PROBLEM, predictor=GaussianScenarios(**QUICK), **TRAINED).fit(*rows)
    with pytest.raises(ValueError, match="partial_fit does not work with a scenario model"):
        model.partial_fit(*rows)


def test_negative_targets_of_a_lognormal_model_are_named(rows):
    X, y = rows
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    model = DFLRegressor(problem, predictor=MixtureScenarios(2, "lognormal", **QUICK), **TRAINED)
    with pytest.raises(ValueError, match="y is negative at row"):
        model.fit(X, y - 20)


def test_a_risk_measure_over_trained_scenarios():
    """As the docstring of DFLRegressor says, against a fine grid of decisions."""
    X, y = make_newsvendor(80, random_state=0)
    problem, quick = NewsvendorProblem(9, 1), {"max_iter": 3, "random_state": 0}
    trained = DFLRegressor(problem, predictor=GaussianScenarios(max_iter=3), **quick).fit(X, y)
    frozen = FrozenEstimator(trained.scenario_model_)
    model = TwoStageRegressor(frozen, problem, risk=CVaR(alpha=0.2)).fit(X, y)
    found = model.worst_case_decisions(X[:3])
    values = trained.scenario_model_.predict_scenarios(X[:3]).values[:, :, 0]
    for own, cost in zip(values, found.worst_cost, strict=True):
        orders = np.linspace(0.0, own.max(), 201)
        costs = [CVaR(0.2).worst_mean(problem.cost(np.full(len(own), z), own)) for z in orders]
        assert cost == pytest.approx(min(costs), rel=1e-2)
        assert cost <= min(costs) + 1e-9
