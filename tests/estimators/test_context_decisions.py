"""Decisions, scores and pictures of models in a context."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import DFFRegressor, DFLRegressor, TwoStageRegressor, decide
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer, keep_context
from dfl_sklearn.inspection import BiasCorrectionDisplay, DecisionDisplay
from dfl_sklearn.metrics import d2_regret_score, make_decision_cost_scorer, make_regret_scorer
from dfl_sklearn.model_selection import CostTailSplit
from dfl_sklearn.problems import FromContext, LinearProgram

from .with_context import CAPPED, QUICK, rows

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def data():
    return rows()


def test_one_way_to_ask_for_decisions(data):
    X, y = data
    own = DFLRegressor(CAPPED, context="capacity", **QUICK)
    pipe = make_pipeline(keep_context(StandardScaler(), "capacity"), own).fit(X, y)
    orders = decide(pipe, X)
    assert (orders <= X["capacity"] + 1e-9).all()
    assert_array_equal(orders, pipe[-1].decide(pipe[:-1].transform(X)))
    search = GridSearchCV(pipe, {"dflregressor__alpha": [1e-4, 1.0]}, cv=2).fit(X, y)
    assert_array_equal(decide(search, X), decide(search.best_estimator_, X))
    # Of a model that knows no problem the predictions are solved for, the context being told.
    plain = make_pipeline(StandardScaler(), LinearRegression()).fit(X, y)
    expected = CAPPED.solve(plain.predict(X), context=X)
    assert_array_equal(decide(plain, X, CAPPED, "capacity"), expected)
    assert_array_equal(decide(plain, X, CAPPED, [1]), expected)
    with pytest.raises(ValueError, match="has no decision problem"):
        decide(plain, X)
    # What is decided in another kind of problem is not the decision asked about.
    squares = DFLRegressor(**QUICK).fit(X, y)
    assert_array_equal(
        decide(squares, X, CAPPED, "capacity"), CAPPED.solve(squares.predict(X), context=X)
    )


def test_scorers_see_each_rows_own_context(data):
    X, y = data
    plain = LinearRegression().fit(X, y)
    orders = CAPPED.solve(plain.predict(X), context=X)
    cost = CAPPED.cost(orders, y, context=X)
    best = CAPPED.optimal_cost(y, context=X)
    score = make_decision_cost_scorer(CAPPED, context="capacity")(plain, X, y)
    assert score == pytest.approx(-cost.mean())
    regret = make_regret_scorer(CAPPED, context=["capacity"])
    assert regret(plain, X, y) == pytest.approx(-(cost - best).mean())
    weight = np.arange(1.0, len(y) + 1)
    assert regret(plain, X, y, sample_weight=weight) == pytest.approx(
        -np.average(cost - best, weights=weight)
    )
    own = TwoStageRegressor(LinearRegression(), CAPPED, context="capacity").fit(X, y)
    assert make_regret_scorer(CAPPED)(own, X, y) == pytest.approx(-(cost - best).mean())
    scores = cross_val_score(LinearRegression(), X, y, scoring=regret, cv=3)
    assert np.isfinite(scores).all()


def test_the_null_model_knows_the_context_and_no_features():
    """By hand: one capacity binds, and the best order without features is the quantile below it."""
    y = np.array([1.0, 2.0, 3.0, 10.0])
    context = pd.DataFrame({"capacity": [2.5, 100.0, 100.0, 4.0]})
    orders = np.minimum(10.0, context["capacity"].to_numpy())  # the 90 % quantile, capped
    null = CAPPED.cost(orders, y, context=context) - CAPPED.optimal_cost(y, context=context)
    guess = np.array([1.0, 1.0, 2.0, 9.0])
    paid = CAPPED.cost(np.minimum(guess, context["capacity"]), y, context=context)
    model = paid - CAPPED.optimal_cost(y, context=context)
    assert d2_regret_score(y, guess, problem=CAPPED, context=context) == pytest.approx(
        1 - model.sum() / null.sum()
    )


def test_the_null_model_of_a_linear_cost_decides_for_the_mean():
    problem = LinearProgram([[1.0, 1.0]], [FromContext("room")], bounds=(0, 1), sense="max")
    y = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, -1.0]])
    context = pd.DataFrame({"room": [0.5, 1.0, 2.0]})
    mean = np.broadcast_to(y.mean(axis=0), y.shape)
    null = problem.cost(problem.solve(mean, context=context), y, context=context)
    best = problem.optimal_cost(y, context=context)
    guess = y[::-1]
    paid = problem.cost(problem.solve(guess, context=context), y, context=context)
    assert d2_regret_score(y, guess, problem=problem, context=context) == pytest.approx(
        1 - (paid - best).sum() / (null - best).sum()
    )


def test_decision_transformer_is_told_which_columns_are_context(data):
    X, y = data
    pipe = make_pipeline(
        keep_context(PredictionTransformer(LinearRegression()), "capacity"),
        DecisionTransformer(CAPPED, context="capacity"),
    ).fit(X, y)
    orders = pipe.transform(X)
    model = TwoStageRegressor(
        LinearRegression(), CAPPED, context="capacity", context_is_feature=False
    ).fit(X, y)
    assert_allclose(orders[:, 0], model.decide(X))
    assert pipe.score(X, y) == pytest.approx(model.score(X, y))
    assert list(pipe.get_feature_names_out()) == ["decision_prediction0"]


def test_displays_and_splitters_decide_with_the_context(data):
    pytest.importorskip("matplotlib")
    X, y = data
    plain = LinearRegression().fit(X, y)
    display = DecisionDisplay.from_estimator(plain, X, y, problem=CAPPED, context="capacity")
    orders = CAPPED.solve(plain.predict(X), context=X)
    assert_array_equal(display.decisions, orders)
    regret = CAPPED.cost(orders, y, context=X) - CAPPED.optimal_cost(y, context=X)
    assert_allclose(display.regret, regret)
    again = DecisionDisplay.from_predictions(y, plain.predict(X), problem=CAPPED, context=X)
    assert_array_equal(again.decisions, orders)
    fine = DFFRegressor(LinearRegression(), CAPPED, context="capacity", **QUICK).fit(X, y)
    assert len(BiasCorrectionDisplay.from_estimator(fine, X, y).regret_change) == len(y)
    train, test = next(CostTailSplit(CAPPED, 1, context="capacity", random_state=0).split(X, y))
    assert len(np.intersect1d(train, test)) == 0
    import matplotlib.pyplot as plt

    plt.close("all")
