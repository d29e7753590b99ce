"""Deciding over scenarios, through every door."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dfl_sklearn import TwoStageRegressor, decide
from dfl_sklearn.metrics import make_regret_scorer
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.robust import CVaR, WassersteinBall
from dfl_sklearn.scenarios import LocalScenarios, ResidualScenarios
from dfl_sklearn.scenarios import base as scenario_models

from .with_scenarios import Fixed, demands, problem, residuals


@pytest.fixture(scope="module")
def rows():
    return demands()


def test_decisions_are_the_best_over_the_scenarios(rows):
    X, y = rows
    model = TwoStageRegressor(residuals(), problem()).fit(X, y)
    scenarios = residuals().fit(X, y).predict_scenarios(X)
    expected = problem().solve(scenarios.values, scenario_weight=scenarios.weight)
    assert_array_equal(model.decide(X), expected)
    assert_array_equal(model.predict(X), residuals().fit(X, y).predict(X))
    # Decisions, not predictions, are scored.
    regret = problem().cost(model.decide(X), y) - problem().optimal_cost(y)
    constant = problem().solve(y[None])
    worst = problem().cost(constant, y) - problem().optimal_cost(y)
    assert model.score(X, y) == pytest.approx(1 - regret.sum() / worst.sum())
    assert model.score(X, y) > TwoStageRegressor(LinearRegression(), problem()).fit(X, y).score(
        X, y
    )


def test_every_door_leads_to_the_scenarios(rows):
    X, y = rows
    plain = TwoStageRegressor(residuals(), problem()).fit(StandardScaler().fit_transform(X), y)
    expected = plain.decide(StandardScaler().fit_transform(X))
    inside = make_pipeline(StandardScaler(), residuals())
    models = {
        "a Pipeline inside": TwoStageRegressor(inside, problem()).fit(X, y),
        "a Pipeline outside": make_pipeline(
            StandardScaler(), TwoStageRegressor(residuals(), problem())
        ).fit(X, y),
        "a model without a problem": inside.fit(X, y),
        "a frozen one": TwoStageRegressor(FrozenEstimator(inside), problem()).fit(X, y),
    }
    for name, model in models.items():
        assert_array_equal(decide(model, X, problem()), expected, err_msg=name)


def test_scenarios_of_transformed_targets_come_back_in_the_units_of_y(rows):
    X, y = rows
    logs = TransformedTargetRegressor(residuals(), func=np.log, inverse_func=np.exp)
    scenarios = residuals().fit(X, np.log(y)).predict_scenarios(X)
    expected = problem().solve(np.exp(scenarios.values), scenario_weight=scenarios.weight)
    for inside in (logs, make_pipeline(FunctionTransformer(), logs)):
        model = TwoStageRegressor(inside, problem()).fit(X, y)
        assert_array_equal(model.decide(X), expected)
        assert_array_equal(decide(model.estimator_, X, problem()), expected)
    assert_allclose(model.predict_scenarios(X).values, np.exp(scenarios.values))
    one = TransformedTargetRegressor(residuals(), func=np.log, inverse_func=np.exp)
    risky = TwoStageRegressor(one, NewsvendorProblem(9, 1), risk=CVaR(0.5)).fit(X, y[:, 0])
    assert risky.decide(X).shape == (120,)


@pytest.mark.parametrize(
    "make",
    [
        residuals,
        lambda: BaggingRegressor(residuals()),
        lambda: MultiOutputRegressor(residuals()),
        lambda: TransformedTargetRegressor(residuals()),
        lambda: make_pipeline(StandardScaler(), TransformedTargetRegressor(residuals())),
    ],
)
def test_models_that_are_not_fitted_say_so(rows, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NotFittedError):
            decide(make(), rows[0], NewsvendorProblem(9, 1))


def test_a_transform_that_is_not_defined_for_a_scenario_is_said(rows):
    X, y = rows[0], rows[1][:, 0] - 29
    roots = TransformedTargetRegressor(
        residuals(), func=np.square, inverse_func=np.sqrt, check_inverse=False
    ).fit(X, y)
    said = r"TransformedTargetRegressor takes scenario \d+ of row \d+ of X, \[-.*\], to \[nan\]"
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=said):
        decide(roots, X, NewsvendorProblem(9, 1))


def test_scenario_makers_are_chosen_by_the_cost_of_decisions(rows):
    X, y = rows
    makers = [
        residuals(),
        ResidualScenarios(LinearRegression(), cv=3),
        LocalScenarios(RandomForestRegressor(10, min_samples_leaf=5, random_state=0)),
        LocalScenarios(KNeighborsRegressor(10)),
    ]
    search = GridSearchCV(
        TwoStageRegressor(makers[0], problem()),
        {"estimator": makers},
        scoring=make_regret_scorer(problem()),
        cv=3,
    ).fit(X, y)
    scores = [
        cross_val_score(make, X, y, scoring=make_regret_scorer(problem()), cv=3).mean()
        for make in makers
    ]
    assert_allclose(search.cv_results_["mean_test_score"], scores)
    assert_array_equal(decide(search, X), search.best_estimator_.decide(X))
    nested = TwoStageRegressor(residuals(), problem()).set_params(estimator__scale=None)
    assert nested.estimator.scale is None


def test_rows_in_parts_are_decided_alike(rows, monkeypatch):
    X, y = rows
    frame = pd.DataFrame(X, columns=["a", "b", "capacity"])
    frame["capacity"] = np.linspace(40, 80, 120)
    known = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=FromContext("capacity"))
    for risk in (None, CVaR(0.5)):
        model = TwoStageRegressor(residuals(), known, context="capacity", risk=risk).fit(frame, y)
        some = frame[::10]
        whole = model.decide(some)
        monkeypatch.setattr(scenario_models, "_NUMBERS_AT_ONCE", 700)
        assert_array_equal(model.decide(some), whole)
        monkeypatch.undo()
        assert (whole.sum(axis=1) <= some["capacity"] + 1e-9).all()


def test_one_scenario_is_the_plain_decision_to_the_bit(rows):
    X, y = rows
    model = TwoStageRegressor(Fixed([[31.7, 29.123456789]]), problem()).fit(X, y)
    assert_array_equal(model.decide(X), problem().solve(np.tile([31.7, 29.123456789], (120, 1))))
    assert_array_equal(model.decide(X), problem().solve(model.predict(X)))


def test_scenarios_outside_the_domain_are_projected_and_said(rows):
    X, y = rows
    few = TwoStageRegressor(Fixed([[-1.0, 2.0]] + [[1.0, 2.0]] * 19), problem()).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few.decide(X)
    values = [[-1.0, -2.0], [1.0, 2.0], [3.0, -2.0], [-3.0, 2.0]]
    many = TwoStageRegressor(Fixed(values), problem()).fit(X, y)
    with pytest.warns(UserWarning, match="50% of the numbers in the scenarios were outside"):
        found = many.decide(X)
    expected = problem().solve(np.maximum(values, 0)[None])
    assert_array_equal(found, np.repeat(expected, 120, axis=0))


def test_errors_say_what_is_wrong(rows):
    X, y = rows
    with pytest.raises(ValueError, match="LinearRegression predicts a point"):
        TwoStageRegressor(LinearRegression(), problem(), risk=CVaR()).fit(X, y)
    with pytest.raises(ValueError, match="no worst case without risk="):
        TwoStageRegressor(residuals(), problem()).fit(X, y).worst_case_decisions(X)
    with pytest.raises(TypeError, match="WassersteinBall moves or generates rows"):
        TwoStageRegressor(residuals(), problem(), risk=WassersteinBall()).fit(X, y)
    with pytest.raises(ValueError, match="alpha must be in"):
        TwoStageRegressor(residuals(), problem(), risk=CVaR(0)).fit(X, y)
    model = TwoStageRegressor(Fixed([[1.0], [2.0]]), problem()).fit(X, y)
    with pytest.raises(ValueError, match="has 2 parameters per row, but y has 1 column"):
        model.decide(X)


def test_a_search_may_put_scenarios_in_the_place_of_a_point(rows):
    X, y = rows
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LinearRegression()),
        {"linearregression": [ResidualScenarios(LinearRegression())]},
        cv=2,
    )
    cost = NewsvendorProblem(9, 1)
    model = TwoStageRegressor(search, cost)
    assert not hasattr(model, "predict_scenarios")
    scenarios = model.fit(X, y[:, 0]).predict_scenarios(X[:3])
    best = cost.solve(scenarios.values, scenario_weight=scenarios.weight)
    assert_allclose(model.decide(X[:3]), best[:, 0])
    with pytest.warns(UserWarning, match="MultiOutputRegressor hides the scenarios of Residual"):
        TwoStageRegressor(search, problem()).fit(X, y)  # of each output by itself


@pytest.mark.parametrize("risk", [None, CVaR(0.5)])
def test_a_context_of_other_rows_is_refused(rows, risk, monkeypatch):
    X, y = rows
    cost = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=FromContext(0))
    capacity = np.linspace(50, 70, 120)[:, None]
    model = TwoStageRegressor(residuals(), cost, context=[0], risk=risk)
    model.fit(np.column_stack([capacity, X]), y)
    monkeypatch.setattr(scenario_models, "_NUMBERS_AT_ONCE", 500)
    asked = np.column_stack([capacity, X])[:5]
    with pytest.raises(ValueError, match="context has 7 rows, but X has 5"):
        model.decide(asked, context=capacity[:7])
    with pytest.raises(ValueError, match=r"got the number 60. .* np.full\(len\(X\), 60\)"):
        model.decide(asked, context=60)


def test_decisions_of_one_number_have_the_shape_of_y(rows):
    X, y = rows
    cost, logs = NewsvendorProblem(9, 1), {"func": np.log, "inverse_func": np.exp}
    models = [
        residuals(),
        LocalScenarios(KNeighborsRegressor()),
        make_pipeline(StandardScaler(), residuals()),
        TransformedTargetRegressor(residuals(), **logs),
        TransformedTargetRegressor(TwoStageRegressor(residuals(), cost), **logs),
        TwoStageRegressor(residuals()),  # of another problem
    ]
    for model in models:
        assert decide(model.fit(X, y[:, 0]), X, cost).shape == (120,)
        assert decide(model.fit(X, y[:, :1]), X, cost).shape == (120, 1)
