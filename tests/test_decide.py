"""Asking any estimator for its decisions: whose context counts, and what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from dfl_sklearn import TwoStageRegressor, decide
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer, keep_context
from dfl_sklearn.inspection import DecisionDisplay
from dfl_sklearn.metrics import make_decision_cost_scorer, make_regret_scorer, regret
from dfl_sklearn.problems import (
    FromContext,
    KnapsackProblem,
    NewsvendorProblem,
    ProvisioningProblem,
    SquaredErrorProblem,
    TopKProblem,
)

CAPPED = ProvisioningProblem(c_min=0.1, c_max=FromContext("capacity"))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"warm": rng.uniform(5, 9, 60), "capacity": rng.choice([2.0, 3.0], 60)})
    return X.assign(limit=X["capacity"] + 1), X["warm"].to_numpy() + rng.uniform(0, 1, 60)


def two_stage(problem=CAPPED, **params):
    return TwoStageRegressor(LinearRegression(), problem, **params)


@pytest.mark.parametrize(
    ("make", "sense"),
    [
        (lambda k: KnapsackProblem([[1.0] * 4], k), "max"),
        (lambda k: TopKProblem(k), "max"),
    ],
)
def test_a_model_that_knows_no_context_is_asked_for_its_predictions(make, sense):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=200), "k": rng.integers(1, 4, 200).astype(float)})
    y = X[["a"]].to_numpy() + rng.normal(size=(200, 4))
    problem = make(FromContext("k"))
    right = two_stage(problem, context="k").fit(X, y)
    fixed = two_stage(make(4)).fit(X, y)  # decides for 4 on each row
    found = decide(fixed, X, problem, context="k")
    assert_array_equal(found, decide(right, X))
    assert problem.is_feasible(found, context=X).all()
    scorer = make_regret_scorer(problem, context="k")
    assert scorer(fixed, X, y) == scorer(right, X, y)
    assert scorer(fixed, X, y) == -regret(y, fixed.predict(X), problem=problem, context=X)
    with pytest.raises(ValueError, match="'k' from the context"):
        decide(fixed, X, problem)
    # Asked without a context, a model that has one decides in its own.
    assert_array_equal(decide(right, X, problem), decide(right, X))
    assert decide(fixed, X).shape == (200, 4)


def test_a_model_that_decides_in_its_context_is_not_scored_in_another(data):
    X, y = data
    model = two_stage(context="capacity").fit(X, y)
    same = make_decision_cost_scorer(CAPPED, context="capacity")
    assert same(model, X, y) == make_decision_cost_scorer(CAPPED)(model, X, y)
    by_place = ProvisioningProblem(c_min=0.1, c_max=FromContext(0))
    placed = two_stage(by_place, context=[1]).fit(X, y)
    assert make_decision_cost_scorer(by_place, context=[1])(placed, X, y) == same(model, X, y)
    with pytest.raises(ValueError, match=r"context=\[2\] is not the context in which TwoStageR"):
        make_decision_cost_scorer(by_place, context=[2])(placed, X, y)
    for problem, asked in ((by_place, model), (CAPPED, placed)):
        with pytest.raises(ValueError, match=r"reads its context by .* mark both in the same way"):
            make_decision_cost_scorer(problem)(asked, X, y)
    # Fixed numbers are no context: the decision is what it is.
    fixed = ProvisioningProblem(c_min=0.1, c_max=9.0)
    cost = fixed.cost(model.decide(X), y).mean()
    assert make_decision_cost_scorer(fixed)(model, X, y) == pytest.approx(-cost)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_context_that_a_step_has_changed_is_said(data, by_name):
    X, y = data
    scale = MinMaxScaler()
    if by_name:
        model, scale = two_stage(context="capacity"), scale.set_output(transform="pandas")
    else:
        model = two_stage(ProvisioningProblem(c_min=0.1, c_max=FromContext(0)), context=[1])
        X = X.to_numpy()
    X_small = X + 0.5  # capacities of 0 would be refused
    pipe = make_pipeline(scale, FunctionTransformer(_plus_one), model).fit(X_small, y)
    what = "'capacity'" if by_name else "column 1"
    with pytest.warns(UserWarning, match=f"The context, {what}, has been changed by a step before"):
        decide(pipe, X_small)
    with pytest.warns(UserWarning, match="has been changed"):
        make_decision_cost_scorer(pipe[-1].problem)(pipe, X_small, y)
    if by_name:
        with pytest.raises(ValueError, match="a step of the Pipeline has changed them"):
            decide(pipe, X_small, CAPPED, context="capacity")


def _plus_one(X):
    return X + 1.0


def test_a_context_that_is_kept_imputed_or_made_on_the_way_is_not(data):
    X, y = data
    kept = make_pipeline(keep_context(MinMaxScaler(), "capacity"), two_stage(context="capacity"))
    made = make_pipeline(FunctionTransformer(_with_capacity), two_stage(context="capacity"))
    moved = make_pipeline(
        keep_context(MinMaxScaler(), [1]),
        FunctionTransformer(np.asarray),
        two_stage(ProvisioningProblem(c_min=0.1, c_max=FromContext(0)), context=[0]),
    )
    filled = make_pipeline(FunctionTransformer(_filled), two_stage(context="capacity"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = decide(kept.fit(X, y), X)
        assert_array_equal(decide(moved.fit(X, y), X), expected)
        decide(made.fit(X.drop(columns="capacity"), y), X.drop(columns="capacity"))
        X.loc[3, "capacity"] = np.nan
        assert decide(filled.fit(X, y), X)[3] <= 2.0


def _with_capacity(X):
    return X.assign(capacity=X["limit"] - 1)


def _filled(X):
    return X.fillna(2.0)


@pytest.mark.parametrize("context", [None, "capacity"])
def test_a_pipeline_that_ends_in_decisions_gives_them(data, context):
    X, y = data
    problem = NewsvendorProblem(9, 1) if context is None else CAPPED
    if context is None:
        pipe = make_pipeline(
            PredictionTransformer(LinearRegression()), DecisionTransformer(problem)
        )
    else:
        before = keep_context(PredictionTransformer(LinearRegression()), context)
        pipe = make_pipeline(before, DecisionTransformer(problem, context=context))
    pipe.fit(X, y)
    decisions = decide(pipe, X)
    assert_array_equal(decisions, np.asarray(pipe.transform(X)))
    known = None if context is None else X
    cost = problem.cost(decisions, y, context=known).mean()
    assert make_decision_cost_scorer(problem)(pipe, X, y) == pytest.approx(-cost)
    with pytest.raises(ValueError, match="its decisions are no decisions of the SquaredError"):
        decide(pipe, X, SquaredErrorProblem())


def test_a_search_without_a_model_says_so(data):
    X, y = data
    search = GridSearchCV(two_stage(context="capacity"), {}, refit=False, cv=2)
    with pytest.raises(NotFittedError):
        decide(search, X)
    search.fit(X, y)
    with pytest.raises(ValueError, match=r"GridSearchCV was not refitted \(refit=False\)"):
        decide(search, X)


def test_displays_find_the_problem_inside_a_pipeline(data):
    pytest.importorskip("matplotlib")
    X, y = data
    pipe = make_pipeline(keep_context(MinMaxScaler(), "capacity"), two_stage(context="capacity"))
    display = DecisionDisplay.from_estimator(pipe.fit(X, y), X, y)
    assert display.regret.mean() == pytest.approx(-make_regret_scorer(CAPPED)(pipe, X, y))
