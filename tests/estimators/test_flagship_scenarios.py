"""DiffusionDRODFLRegressor that decides over the scenarios of its generator."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import DiffusionDRODFLRegressor, TwoStageRegressor, decide
from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, KLBall, TiltedSearch
from dfl_sklearn.scenarios import DiffusionScenarios

pytestmark = pytest.mark.usefixtures("short_epochs")
PROBLEM = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=65.0)
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=6, max_iter=2)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    return X, 30 + 3 * X @ rng.standard_normal((2, 2)) + rng.gamma(2.0, 2.0, (80, 2))


def flagship(problem=PROBLEM, **params):
    quick = {"decision": "scenarios", "generator": GENERATOR, "n_scenarios": 16, "random_state": 0}
    return DiffusionDRODFLRegressor(problem, **{**quick, **params})


def two_stage(problem=PROBLEM, risk=None, context=None, **params):
    params = {"n_scenarios": 16, "random_state": 0, **params}
    scenarios = DiffusionScenarios(GENERATOR, **params)
    return TwoStageRegressor(scenarios, problem, risk=risk, risk_of="regret", context=context)


def test_at_radius_0_it_is_the_two_stage_model_to_the_bit(data):
    X, y = data
    model, plain = flagship(radius=0.0).fit(X, y), two_stage().fit(X, y)
    for name in ("decide", "predict"):
        assert_array_equal(getattr(model, name)(X[:9]), getattr(plain, name)(X[:9]))
    found, expected = (each.predict_scenarios(X[:9]) for each in (model, plain))
    assert_array_equal(found.values, expected.values)
    assert_array_equal(found.weight, expected.weight)
    assert model.score(X[:9], y[:9]) == plain.score(X[:9], y[:9])


def test_a_radius_is_a_kl_ball_on_the_regrets(data):
    X, y = data
    model = flagship(radius=0.1).fit(X, y)
    expected = two_stage(risk=KLBall(0.1)).fit(X, y)
    assert_array_equal(model.decide(X[:9]), expected.decide(X[:9]))
    found = model.worst_case_decisions(X[:9])
    assert_array_equal(found.decisions, model.decide(X[:9]))
    # What no weights of the scenarios within the radius exceed, here by themselves.
    values = model.predict_scenarios(X[:9]).values
    for z, worst, y_s in zip(found.decisions, found.worst_cost, values, strict=True):
        regrets = PROBLEM.cost(np.tile(z, (16, 1)), y_s) - PROBLEM.optimal_cost(y_s)
        assert worst == pytest.approx(KLBall(0.1).worst_mean(regrets))
    plain = flagship(radius=0.0).fit(X, y).decide(X[:9])
    for z, worst, y_s in zip(plain, found.worst_cost, values, strict=True):
        regrets = PROBLEM.cost(np.tile(z, (16, 1)), y_s) - PROBLEM.optimal_cost(y_s)
        assert KLBall(0.1).worst_mean(regrets) >= worst - 1e-9


def test_several_generators_make_the_scenarios_together(data):
    X, y = data
    model = flagship(radius=0.0, n_estimators=3).fit(X, y)
    plain = two_stage(n_estimators=3).fit(X, y)
    assert_array_equal(model.decide(X), plain.decide(X))
    assert set(model.history_["generator"]) == {0, 1, 2}
    assert model.n_iter_ == 2
    assert model.generator_ is model.estimator_.estimator_.generators_[0]


def test_another_radius_fits_no_generator(data, tmp_path, monkeypatch):
    X, y = data
    model = flagship(memory=str(tmp_path), radius=0.0).fit(X, y)
    fits = []
    with monkeypatch.context() as patch:
        patch.setattr(DiffusionGenerator, "fit", lambda *args, **params: fits.append(args))
        careful = clone(model).set_params(radius=0.2).fit(X, y)
    assert not fits
    assert np.abs(careful.decide(X[:5]) - model.decide(X[:5])).max() > 0.1
    assert_array_equal(careful.decide(X[:5]), flagship(radius=0.2).fit(X, y).decide(X[:5]))
    with pytest.warns(UserWarning, match="memory is not used, because random_state is None"):
        model.set_params(random_state=None).fit(X, y)


def test_a_search_over_decision_and_radius(data):
    X, y = data[0][:30], data[1][:30]
    model = flagship(hidden_layer_sizes=(), tol=0.1, n_iter_no_change=2)
    grid = [{"decision": ["point"], "radius": [0.0]}, {"radius": [0.0, 0.1], "n_scenarios": [3]}]
    search = GridSearchCV(make_pipeline(StandardScaler(), model), _in_pipeline(grid), cv=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert decide(search, X).shape == (30, 2)


def _in_pipeline(grid):
    name = "diffusiondrodflregressor__"
    return [{name + key: values for key, values in each.items()} for each in grid]


@pytest.mark.parametrize("is_feature", [True, False])
def test_a_context_is_read(data, is_feature):
    X, y = data
    table = pd.DataFrame(X, columns=["a", "b"])
    table["capacity"] = np.random.default_rng(1).uniform(30, 70, 80)
    problem = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=FromContext("capacity"))
    model = flagship(problem, radius=0.05, context="capacity", context_is_feature=is_feature)
    decisions = model.fit(table, y).decide(table[:9])
    assert (decisions.sum(axis=1) <= table["capacity"][:9] + 1e-9).all()
    assert model.estimator_.estimator_.n_features_in_ == 2 + is_feature
    assert list(model.feature_names_in_) == ["a", "b", "capacity"]
    less = model.decide(table[:9], context=table[["capacity"]][:9] / 2)
    assert (less.sum(axis=1) <= table["capacity"][:9] / 2 + 1e-9).all()
    assert np.isfinite(model.score(table[:9], y[:9]))


def test_weights_are_exact_and_a_pickle_decides_the_same(data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 3, 80)
    model = flagship(radius=0.05).fit(X, y, sample_weight=weight)
    expected = model.decide(X[:5])
    assert_array_equal(pickle.loads(pickle.dumps(model)).decide(X[:5]), expected)
    repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0)
    assert_array_equal(flagship(radius=0.05).fit(*repeated).decide(X[:5]), expected)


def test_weights_arrive_where_metadata_are_routed(data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 3, 80)
    expected = flagship(radius=0.0).fit(X, y, sample_weight=weight).decide(X[:5])
    with config_context(enable_metadata_routing=True):
        model = flagship(radius=0.0).fit(X, y, sample_weight=weight)
    assert_array_equal(model.decide(X[:5]), expected)


def test_a_vector_of_parameters(data):
    X, y = data
    model = flagship(NewsvendorProblem(9, 1), radius=0.05).fit(X, y[:, 0])
    assert model.predict(X).shape == (80,)
    assert model.decide(X[:3]).shape == (3,)
    assert_allclose(model.predict(X), model.predict_scenarios(X).mean[:, 0])
    other = decide(model, X[:3], NewsvendorProblem(1, 1))
    assert other.shape == (3,)


@pytest.mark.parametrize(
    "params",
    [
        {"search": TiltedSearch()},
        {"loss": RegretLoss()},
        {"predictor": lambda n, m: None},
        {"callbacks": [1]},
        {"warm_start": True},
    ],
)
def test_what_a_net_alone_would_need_is_refused(data, params):
    (name,) = params
    with pytest.raises(ValueError, match=rf"{name} would have no effect: with decision="):
        flagship(**params).fit(*data)


def test_held_out_rows_are_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="X_val would have no effect"):
        flagship().fit(X, y, X_val=X, y_val=y)


def test_what_belongs_to_the_other_decision_says_so(data):
    X, y = data
    model = flagship(radius=0.1).fit(X, y)
    for name in ("worst_case_", "ambiguity_set_", "sample_worst_case", "predict_members"):
        with pytest.raises(AttributeError, match=r"needs decision=\"point\", and this"):
            getattr(model, name)
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
        model.partial_fit
    point = {"decision": "point", "radius": 0.0, "tol": 0.1, "n_iter_no_change": 2}
    model.set_params(**point).fit(X, y)  # which forgets the scenarios
    assert not hasattr(model, "estimator_")
    assert not hasattr(model, "predict_scenarios")
    assert_array_equal(model.decide(X), flagship(**point).fit(X, y).decide(X))
    with pytest.raises(AttributeError, match=r"needs decision=\"scenarios\""):
        model.worst_case_decisions
    with pytest.raises(AttributeError, match="fitted without a worst case"):
        model.generator_
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        model.nothing
    model.set_params(decision="scenarios").fit(X, y)  # and back
    assert not hasattr(model, "predictor_")
    assert_array_equal(model.decide(X), flagship(radius=0.0).fit(X, y).decide(X))


def test_bad_rows_are_named(data):
    X, y = data
    with pytest.raises(ValueError, match=r"NaN at row 0"):
        flagship().fit(X, np.where(y == y[0, 0], np.nan, y))
    with pytest.raises(ValueError, match="negative demand at row 3"):
        flagship().fit(X, np.where(np.arange(80)[:, None] == 3, -y, y))
