"""Scenarios that a model around them hides, or does not."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import DFFRegressor, TwoStageRegressor, decide
from dfl_sklearn.compose import PredictionTransformer
from dfl_sklearn.metrics import make_regret_scorer
from dfl_sklearn.problems import NewsvendorProblem, SquaredErrorProblem
from dfl_sklearn.scenarios import ResidualScenarios

from .with_scenarios import demands, residuals


@pytest.fixture(scope="module")
def rows():
    return demands()


@pytest.mark.parametrize(
    "make",
    [
        MultiOutputRegressor,
        BaggingRegressor,
        RegressorChain,
        lambda one: VotingRegressor([("one", one), ("two", one)]),
        lambda one: StackingRegressor(
            [("one", make_pipeline(StandardScaler(), one))], LinearRegression(), cv=2
        ),
        lambda one: StackingRegressor([("one", LinearRegression())], final_estimator=one, cv=2),
        lambda one: GridSearchCV(BaggingRegressor(one, 2), {"n_estimators": [2]}, cv=2),
        lambda one: make_pipeline(StandardScaler(), BaggingRegressor(one, 2)),
        lambda one: MultiOutputRegressor(GridSearchCV(one, {"cv": [2]}, cv=2)),
    ],
)
def test_scenarios_that_something_hides_are_said(rows, make):
    X, y = rows[0][:40], rows[1][:40, 0]
    hides = make(ResidualScenarios(LinearRegression(), cv=2))
    is_for_tables = isinstance(hides, (MultiOutputRegressor, RegressorChain))
    y = y[:, None] if is_for_tables else y
    said = r"hides the scenarios of ResidualScenarios: decisions are made from its point prediction"
    problem = NewsvendorProblem(9, 1)
    with pytest.warns(UserWarning, match=said) as caught:
        model = TwoStageRegressor(hides, problem).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        decided = model.decide(X)
        assert_array_equal(decide(model, X), decided)
    with pytest.warns(UserWarning, match=said) as caught:
        found = decide(model.estimator_, X, problem)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_array_equal(found, decided)
    # Another problem than the model's own.
    with pytest.warns(UserWarning, match=said):
        decide(model, X, SquaredErrorProblem())
    with pytest.warns(UserWarning, match=said):
        make_regret_scorer(problem)(model.estimator_, X, y)


@pytest.mark.parametrize("hides", [lambda one: one, lambda one: BaggingRegressor(one, 2)])
@pytest.mark.parametrize(
    "make",
    [lambda one: DFFRegressor(one, NewsvendorProblem(9, 1), epsilon=0.0), PredictionTransformer],
)
def test_scenarios_of_which_predictions_alone_are_used_are_said(rows, make, hides):
    X, y = rows[0][:40], rows[1][:40, 0]
    model = make(hides(residuals()))
    with pytest.warns(UserWarning, match="hides the scenarios of ResidualScenarios") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    logs = TransformedTargetRegressor(residuals(), func=np.log, inverse_func=np.exp)
    with pytest.warns(UserWarning, match="hides the scenarios of ResidualScenarios"):
        make(logs).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(hides(LinearRegression())).fit(X, y)


def test_what_hides_scenarios_is_named(rows):
    X, y = rows[0][:40], rows[1][:40, 0]
    bags = BaggingRegressor(residuals(), 2)
    bags = TransformedTargetRegressor(bags, func=np.log, inverse_func=np.exp)
    with pytest.warns(UserWarning, match="^BaggingRegressor hides the scenarios of Residual"):
        TwoStageRegressor(bags, NewsvendorProblem(9, 1)).fit(X, y)


def test_scenarios_that_nothing_hides_are_not_said(rows):
    X, y = rows
    for model in (BaggingRegressor(LinearRegression(), 2), residuals()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decide(model.fit(X, y[:, 0]), X, NewsvendorProblem(9, 1))
