"""A diffusion model trained for the decision: gradients, and fits that must come out right."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.losses import RegretLoss, ScoreFunctionLoss
from dfl_sklearn.problems import (
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.robust import DiffusionGenerator
from dfl_sklearn.rows import Optimum, Rows
from dfl_sklearn.scenarios import DiffusionScenarios, _diffusion_net
from dfl_sklearn.training.scenarios import ScenarioObjective

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("short_epochs"),
]
PROBLEM = MultiProductNewsvendorProblem([9, 4, 2], 1, capacity=27)
TRAINED = {"max_iter": 6, "learning_rate_init": 0.01, "random_state": 0}


def scenarios(n_scenarios=12, **params):
    quick = {"hidden_layer_sizes": (8,), "n_steps": 12, "sampling_steps": 6, "max_iter": 4}
    generator = DiffusionGenerator(**{**quick, **params}, random_state=0)
    return DiffusionScenarios(generator, n_scenarios=n_scenarios, random_state=0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = np.maximum(10 + X @ rng.normal(size=(2, 3)) + 3 * rng.normal(size=(120, 3)), 0)
    return X, y


@pytest.fixture
def net(rows):
    """A fitted net, in double precision, that has moved away from where it began."""
    model = scenarios()
    X, y = rows
    fitted = clone(model)
    fitted.fit_rows(Rows(X, y, np.ones(len(X))).canonical(), None)
    found = fitted.net_to_train()
    found.denoiser.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in found.parameters():
            each += 0.05 * torch.randn(each.shape, generator=generator, dtype=each.dtype)
    return fitted, found


def loss_of(problem, loss, net, X, y):
    """Return a function of nothing: the losses of rows with the present weights of the net."""
    objective = ScenarioObjective(problem, loss, net)
    best = problem.optimum(y)
    known = torch.tensor(y), Optimum(torch.tensor(best.decisions), torch.tensor(best.cost))
    mean, scale = net.x_scale
    conditions = torch.tensor((X - mean) / scale)
    return lambda: objective.row_loss(conditions, *known).sum()


@pytest.mark.parametrize(
    ("problem", "recomputes"),
    [(SquaredErrorProblem(), False), (PROBLEM, False), (PROBLEM, True)],
    ids=["smooth", "orders", "recomputed"],
)
def test_slopes_through_draws_are_those_of_differences(rows, net, problem, recomputes, monkeypatch):
    if recomputes:
        monkeypatch.setattr(_diffusion_net, "_MOST_KEPT", 0)
    X, y = (each[:4] for each in rows)
    _, model = net
    loss = loss_of(problem, RegretLoss(0.0 if problem is PROBLEM else None), model, X, y)
    weights = model.denoiser.layers[-1].bias
    (slopes,) = torch.autograd.grad(loss(), weights)
    assert slopes.abs().sum() > 1
    for j in range(len(weights)):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weights[j] += sign * 1e-6
                ends.append(loss().item())
                weights[j] -= sign * 1e-6
        assert slopes[j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-4)


def test_the_net_draws_what_the_model_predicts(rows, net):
    X, _ = rows
    fitted, _ = net
    mean, scale = fitted.net_to_train().x_scale
    with torch.no_grad():
        values, weight = fitted.net_to_train().draws(torch.tensor((X - mean) / scale))
    expected = fitted.predict_scenarios(X)
    assert_allclose(values, expected.values, rtol=1e-5)
    assert_allclose(weight, expected.weight)


def test_the_score_is_that_of_predicted_noise(rows, net):
    # Of one row, with the noise drawn as the net draws it, and its slope by differences.
    X, y = (each[:1] for each in rows)
    _, model = net
    mean, scale = model.x_scale
    conditions, drawn = torch.tensor((X - mean) / scale), torch.tensor(y)[:, None]

    def score():
        return model.score_of(conditions, drawn, np.random.default_rng(3))[0, 0]

    draws = model.generator._conditional_draws(model.denoiser, torch.device("cpu"))
    rng, total, K = np.random.default_rng(3), 0.0, len(draws.chain)
    for level in range(4):
        step = torch.tensor([int((level + rng.random(1)[0]) / 4 * K)])
        half = torch.tensor(rng.standard_normal((1, draws.width)))
        pair = [draws.noise_errors(X, y, sign * half, step) for sign in (1, -1)]
        total = total - sum(pair) / 8
    assert score().item() == pytest.approx(total.item(), rel=1e-9)
    bias = model.denoiser.layers[-1].bias
    (slopes,) = torch.autograd.grad(score(), bias)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            bias[3] += sign * 1e-5
            ends.append(score().item())
            bias[3] -= sign * 1e-5
    assert slopes[3] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("loss", [None, ScoreFunctionLoss()], ids=["draws", "score"])
def test_training_for_the_decision_lowers_its_regret(rows, loss):
    X, y = rows
    trained = DFLRegressor(
        PROBLEM, loss=loss, predictor=scenarios(), early_stopping=False, **TRAINED
    ).fit(X, y)
    likely = TwoStageRegressor(scenarios(), PROBLEM).fit(X, y)
    before, after = (
        (PROBLEM.cost(each.decide(X), y) - PROBLEM.optimal_cost(y)).mean()
        for each in (likely, trained)
    )
    assert after < 0.99 * before
    assert after == pytest.approx(trained.history_["train_regret"].min(), rel=1e-9)
    assert_array_equal(trained.decide(X), PROBLEM.solve(
        np.maximum(trained.predict_scenarios(X).values, 0),
        scenario_weight=trained.predict_scenarios(X).weight,
    ))  # fmt: skip
    stored = pickle.loads(pickle.dumps(trained))
    assert_array_equal(stored.decide(X), trained.decide(X))


def test_weights_and_order_are_exact(rows):
    X, y = rows
    weight = np.arange(120) % 3
    again = np.random.default_rng(0).permutation(np.repeat(np.arange(120), weight))
    model = DFLRegressor(PROBLEM, predictor=scenarios(), **{**TRAINED, "max_iter": 2})
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(X[again], y[again])
    assert_array_equal(weighted.decide(X), repeated.decide(X))


def test_whole_numbers_are_trained_on_as_they_are_predicted(rows):
    X, y = rows
    model = DFLRegressor(
        NewsvendorProblem(9, 1), predictor=scenarios(), early_stopping=False, **TRAINED
    ).fit(X, np.round(y[:, 0]))
    values = model.predict_scenarios(X).values
    assert_array_equal(values, np.round(values))
    regret = NewsvendorProblem(9, 1).cost(model.decide(X), np.round(y[:, 0])).mean()
    assert regret == pytest.approx(model.history_["train_regret"].min(), rel=1e-9)


def test_a_kept_generator_stays_as_it_was(rows, tmp_path):
    X, y = rows
    model = DiffusionScenarios(scenarios().generator, n_scenarios=9)
    model.set_params(memory=str(tmp_path), random_state=0)
    kept = clone(model).fit(X, y).predict(X[:5])
    DFLRegressor(PROBLEM, predictor=model, early_stopping=False, **TRAINED).fit(X, y)
    assert_array_equal(clone(model).fit(X, y).predict(X[:5]), kept)


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (scenarios().set_params(n_estimators=2), "n_estimators=2 of DiffusionScenarios"),
        (scenarios(sampler="ddpm"), "sampler='ddpm' of the generator does not work"),
        (scenarios(n_scenarios=0), "'n_scenarios' parameter of DiffusionScenarios"),
    ],
)
def test_what_does_not_work_is_refused(rows, predictor, message):
    with pytest.raises(ValueError, match=message):
        DFLRegressor(PROBLEM, predictor=predictor, **TRAINED).fit(*rows)


def test_a_net_that_diverges_names_the_learning_rate(rows):
    given = TRAINED | {"learning_rate_init": 1e6}
    model = DFLRegressor(PROBLEM, loss=ScoreFunctionLoss(), predictor=scenarios(), **given)
    with pytest.raises(FloatingPointError, match="diverged"):
        model.fit(*rows)
