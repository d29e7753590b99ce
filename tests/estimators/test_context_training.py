"""Training with a context: no set changes it, and no net goes on for another."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn import DFLRegressor
from dfl_sklearn.inspection import WorstCaseDisplay
from dfl_sklearn.learners import LSTMPredictor, ScaleEquivariantPredictor
from dfl_sklearn.problems import (
    FromContext,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
)
from dfl_sklearn.robust import (
    CVaR,
    GaussianNoise,
    KLBall,
    PolicyGradientSearch,
    TiltedSearch,
    WassersteinBall,
)

from .with_context import CAPPED, QUICK, flagship, rows

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def data():
    return rows()


def test_no_set_changes_the_context(data):
    X, y = data
    for ambiguity_set in (KLBall(0.1), CVaR(0.5), GaussianNoise(0.3), WassersteinBall(0.3)):
        seen = []

        class Watched(type(ambiguity_set)):
            def worst_case(self, row_loss, seen=seen):
                rows, divergence = super().worst_case(row_loss)
                seen.append((rows.X.shape[1], set(rows.context[:, 0])))
                return rows, divergence

        watched = Watched(**ambiguity_set.get_params())
        DFLRegressor(
            CAPPED, context="capacity", ambiguity_set=watched, **{**QUICK, "max_iter": 3}
        ).fit(X, y)
        assert seen
        assert all(each == (2, {4.0, 6.0, 30.0}) for each in seen)


@pytest.mark.parametrize(
    "search",
    [
        TiltedSearch(200),
        PolicyGradientSearch(n_steps=6, n_tail=3, n_trajectories=80, n_warm_up=1, n_rounds=1),
    ],
    ids=["tilted", "policy gradient"],
)
def test_generated_rows_take_the_context_of_real_ones(search, data):
    X, y = data
    model = flagship(search, context="capacity").fit(X, y)
    X_worst, y_worst = model.sample_worst_case(300, random_state=0)
    assert X_worst.shape == (300, 3)
    assert set(X_worst[:, 1]) == {4.0, 6.0, 30.0}
    assert len(np.unique(X_worst[:, 0])) > 30
    again = pickle.loads(pickle.dumps(model)).sample_worst_case(300, random_state=0)
    assert_array_equal(again[0], X_worst)
    # What is reported is the regret of these decisions, each under its own capacity.
    table = pd.DataFrame(X_worst, columns=X.columns)
    paid = CAPPED.cost(model.decide(table), y_worst, context=table)
    regret = (paid - CAPPED.optimal_cost(y_worst, context=table)).mean()
    assert regret == pytest.approx(model.worst_case_.worst_regret, rel=0.5)
    pytest.importorskip("matplotlib")
    display = WorstCaseDisplay.from_estimator(model, n_samples=50, random_state=0)
    assert len(display.worst_regret) == 50
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_slope_that_moves_rows_is_that_of_the_features(data):
    """A ball of one column moves it by its radius, the context standing between the features."""
    X, y = data
    model = DFLRegressor(
        CAPPED,
        context="capacity",
        ambiguity_set=WassersteinBall(0.2, columns="features"),
        **QUICK,
    ).fit(X, y)
    assert 0 < model.worst_case_.divergence <= 0.2 + 1e-9


def test_warm_start_and_partial_fit_go_on(data):
    X, y = data
    model = DFLRegressor(CAPPED, context="capacity", warm_start=True, **QUICK).fit(X, y)
    first = model.score(X, y)
    model.fit(X, y)
    assert model.score(X, y) >= first - 0.05
    model.partial_fit(X[:40], y[:40])
    assert (model.decide(X) <= X["capacity"] + 1e-9).all()


@pytest.mark.parametrize("change", [{"context": "rain"}, {"context_is_feature": True}])
def test_training_does_not_go_on_for_other_columns(change, data):
    X, y = data
    X = X.assign(rain=X["capacity"])
    problem = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    before = {"context": "capacity", "context_is_feature": False}
    model = DFLRegressor(problem, warm_start=True, **before, **QUICK).fit(X, y)
    expected = model.predict(X)
    with pytest.raises(ValueError, match=r"sees the columns \[0, 2\] of X.* the new one would see"):
        model.set_params(**change).fit(X, y)
    assert_array_equal(model.set_params(**before).predict(X), expected)


@pytest.mark.parametrize("predictor", [LSTMPredictor(3), ScaleEquivariantPredictor()], ids=str)
def test_a_net_whose_columns_are_alike_says_that_it_sees_a_context(predictor, data):
    X, y = data
    model = DFLRegressor(CAPPED, predictor=predictor, context="capacity", **QUICK)
    with pytest.warns(UserWarning, match=f"{type(predictor).__name__} takes the columns of X for"):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(context_is_feature=False).fit(X, y)


def test_linear_costs_train_with_context():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "room"])
    X["room"] = rng.choice([0.5, 1.5, 3.0], 80)
    y = np.stack([X["a"] + 1, X["b"] + 1, -X["a"] + 1], axis=1) + 0.1 * rng.normal(size=(80, 3))
    problem = LinearProgram([[1.0] * 3], [FromContext("room")], bounds=(0, 1), sense="max")
    model = DFLRegressor(
        problem,
        context="room",
        **{**QUICK, "hidden_layer_sizes": (), "max_iter": 15, "learning_rate_init": 0.05},
    ).fit(X, y)
    z = model.decide(X)
    assert (z.sum(axis=1) <= X["room"] + 1e-9).all()
    assert model.score(X, y) > 0.8


def test_a_capacity_that_binds_on_half_of_the_days_is_worth_knowing():
    """Trained with its capacity a model does better than one that is cut off afterwards."""
    gains = []
    settings = {
        "hidden_layer_sizes": (),
        "max_iter": 12,
        "learning_rate_init": 0.05,
        "random_state": 0,
    }
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
        X["capacity"] = np.where(rng.random(400) < 0.5, 3.0, 100.0)
        # Two products of unequal worth share the capacity: which one to give up is learnt.
        first = np.maximum(0, 2 + X["a"] + 0.5 * rng.normal(size=400))
        second = np.maximum(0, 2 + X["b"] ** 2 - X["a"] + 0.5 * rng.normal(size=400))
        y = np.stack([first, second], axis=1)
        shared = MultiProductNewsvendorProblem([9, 4], 1.0, capacity=FromContext("capacity"))
        knows = DFLRegressor(shared, context="capacity", **settings)
        ignores = DFLRegressor(NewsvendorProblem([9, 4], 1.0), **settings)
        train, test = slice(0, 250), slice(250, None)
        cost = []
        for model in (knows, ignores):
            model.fit(X[train], y[train])
            orders = shared.solve(model.predict(X[test]), context=X[test])
            cost.append(shared.cost(orders, y[test], context=X[test]).mean())
        gains.append(cost[0] / cost[1] - 1)
    mean, error = np.mean(gains), np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert mean + 2.78 * error < 0, gains  # the t quantile of five
