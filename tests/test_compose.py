"""Predictions and decisions as steps of a Pipeline."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.compose import (
    DecisionTransformer,
    PredictionTransformer,
    ProvisioningOptimizer,
    keep_context,
)
from dfl_sklearn.metrics import d2_regret_score
from dfl_sklearn.problems import FunctionProblem, NewsvendorProblem, ProvisioningProblem


@pytest.fixture
def demand():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 1, (90, 3)), columns=["a", "b", "c"])
    y = pd.Series(3e4 + 1e5 * X["a"] + 2e4 * X["b"] + 1e4 * rng.uniform(0, 1, 90), name="tokens")
    return X, y


def _second(X):
    return X.columns[1]


def provisioning_pipeline(regressor=None):
    return Pipeline(
        [
            ("scale", StandardScaler()),
            ("predict", PredictionTransformer(regressor or Ridge())),
            ("provision", ProvisioningOptimizer()),
        ]
    )


def test_the_pipeline_is_its_parts(demand):
    X, y = demand
    pipe = provisioning_pipeline().fit(X, y)
    y_hat = make_pipeline(StandardScaler(), Ridge()).fit(X, y).predict(X)
    problem = ProvisioningProblem()
    assert_allclose(pipe.transform(X), problem.solve(y_hat)[:, None])
    assert pipe.score(X, y) == pytest.approx(d2_regret_score(y, y_hat, problem=problem))


def test_grid_search_with_the_default_scoring(demand):
    X, y = demand
    grid = {"predict__estimator__alpha": [0.1, 1e6], "provision__eta": [0.6, 0.7]}
    search = GridSearchCV(provisioning_pipeline(), grid, n_jobs=2, error_score="raise", cv=3)
    search.fit(X, y)
    assert search.best_params_["predict__estimator__alpha"] == 0.1
    for alpha, eta, score in zip(
        search.cv_results_["param_predict__estimator__alpha"],
        search.cv_results_["param_provision__eta"],
        search.cv_results_["mean_test_score"],
        strict=True,
    ):
        problem = ProvisioningProblem(eta=eta)
        by_hand = [
            d2_regret_score(
                y.iloc[test],
                make_pipeline(StandardScaler(), Ridge(alpha=alpha))
                .fit(X.iloc[train], y.iloc[train])
                .predict(X.iloc[test]),
                problem=problem,
            )
            for train, test in KFold(3).split(X)
        ]
        assert score == pytest.approx(np.mean(by_hand))


def test_nested_parameters_are_reached(demand):
    X, y = demand
    model = TwoStageRegressor(Ridge(), NewsvendorProblem(9, 1))
    search = GridSearchCV(model, {"problem__underage_cost": [1.0, 9.0]}).fit(X, y)
    assert set(search.cv_results_["param_problem__underage_cost"]) == {1.0, 9.0}
    step = DecisionTransformer(NewsvendorProblem(9, 1)).set_params(problem__overage_cost=4)
    assert step.get_params()["problem__overage_cost"] == 4


def test_a_decision_focused_net_as_a_step(demand):
    X, y = demand
    net = DFLRegressor(ProvisioningProblem(), max_iter=60, random_state=0, tol=0.01)
    score = cross_val_score(provisioning_pipeline(net), X, y, cv=3, error_score="raise")
    assert (score > 0.5).all()


def test_names_of_pandas_output(demand):
    X, y = demand
    pipe = provisioning_pipeline().set_output(transform="pandas").fit(X, y)
    out = pipe.transform(X)
    assert out.columns.tolist() == ["decision_tokens"]
    assert_array_equal(out.index, X.index)
    assert pipe.get_feature_names_out().tolist() == ["decision_tokens"]
    both = pd.DataFrame({"in": y, "out": 2 * y})
    step = PredictionTransformer(LinearRegression()).fit(X, both)
    assert step.get_feature_names_out().tolist() == ["in", "out"]
    plain = PredictionTransformer(LinearRegression()).fit(X, both.to_numpy())
    assert plain.get_feature_names_out().tolist() == ["prediction0", "prediction1"]


def two_decisions(z, y):
    return ((z - y[:, None]) ** 2).sum(axis=1)


def test_names_where_decisions_are_not_parameters():
    step = DecisionTransformer(FunctionProblem(two_decisions, [(0, 9), (0, 9)], n_starts=5))
    out = step.set_output(transform="pandas").fit_transform(pd.DataFrame({"load": [1.0, 2.0]}))
    assert out.columns.tolist() == ["decision0", "decision1"]


def test_names_are_checked(demand):
    X, y = demand
    step = PredictionTransformer(Ridge()).fit(X, y)
    with pytest.raises(ValueError, match="input_features"):
        step.get_feature_names_out(["x", "y", "z"])
    with pytest.raises(ValueError, match="feature names"):
        step.transform(X.rename(columns={"a": "A"}))


def test_each_column_where_the_regressor_predicts_one(demand):
    X, y = demand
    both = np.column_stack([y, 2 * y])
    boosting = HistGradientBoostingRegressor(max_iter=5)
    out = PredictionTransformer(boosting).fit(X, both).transform(X)
    alone = [HistGradientBoostingRegressor(max_iter=5).fit(X, each).predict(X) for each in both.T]
    assert_array_equal(out, np.column_stack(alone))


def test_weights_reach_the_regressor(demand):
    X, y = demand
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    out = PredictionTransformer(Ridge()).fit(X, y, sample_weight=weight).transform(X)
    assert_array_equal(out[:, 0], Ridge().fit(X, y, sample_weight=weight).predict(X))
    with pytest.raises(ValueError, match=r"KNeighborsRegressor\.fit does not take it"):
        PredictionTransformer(KNeighborsRegressor()).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("make", [PredictionTransformer, TwoStageRegressor])
def test_metadata_routing(make, demand):
    X, y = demand
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        asked = make(Ridge().set_fit_request(sample_weight=True))
        asked.fit(X, y, sample_weight=weight)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone_of(asked))
        pipe.fit(X, y, sample_weight=weight)
        refused = make(Ridge().set_fit_request(sample_weight=False)).fit(X, y)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            make(Ridge()).fit(X, y, sample_weight=weight)
    expected = Ridge().fit(X, y, sample_weight=weight)
    assert_array_equal(asked.estimator_.coef_, expected.coef_)
    assert_array_equal(refused.estimator_.coef_, Ridge().fit(X, y).coef_)
    scaled = Ridge().fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    assert_allclose(pipe[-1].estimator_.coef_, scaled.coef_)


def clone_of(estimator):
    return sklearn.base.clone(estimator)


def test_weights_of_the_score_are_asked_for(demand):
    """What a search is given counts in `score` if that is said, and is not dropped in silence."""
    X, y = demand
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = TwoStageRegressor(Ridge().set_fit_request(sample_weight=True))
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match=r"Regressor\.score"):
            GridSearchCV(model, {}, cv=2).fit(X, y, sample_weight=weight)
        model.set_score_request(sample_weight=True)
        inside = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        for each in (model, inside):
            search = GridSearchCV(each, {}, cv=KFold(2), error_score="raise")
            search.fit(X, y, sample_weight=weight)
            scores = []
            for train, test in KFold(2).split(X):
                fitted = clone(each).fit(X.iloc[train], y.iloc[train], sample_weight=weight[train])
                decided = fitted.predict(X.iloc[test])
                scores.append(r2_score(y.iloc[test], decided, sample_weight=weight[test]))
            assert_allclose(search.best_score_, np.mean(scores))


@pytest.mark.parametrize("columns", [1, [1], [False, True], _second, np.int64(1)])
def test_columns_that_are_kept(columns):
    table = pd.DataFrame({"a": [1.0, 3.0], "capacity": [5.0, 9.0]})
    found = keep_context(StandardScaler(), columns).fit_transform(table)
    assert list(found.columns) == ["capacity", "a"]
    assert_array_equal(found, [[5.0, -1.0], [9.0, 1.0]])
    pickle.dumps(keep_context(StandardScaler(), columns))


def test_the_transformer_that_is_given_stays_as_it_is():
    table = pd.DataFrame({"day": ["Mon", "Sat"], "capacity": [5.0, 9.0]})
    columns = make_column_transformer((OneHotEncoder(), ["day"]), sparse_threshold=0)
    keep_context(columns, "capacity")
    assert_array_equal(columns.fit_transform(table), np.eye(2))  # no pandas, so sparse parts pass
    assert isinstance(columns.fit_transform(table), np.ndarray)
    kept = keep_context("passthrough", "capacity").fit_transform(table[["capacity"]].assign(a=1.0))
    assert list(kept.columns) == ["capacity", "a"]


def test_there_is_no_score_against_a_target_of_another_width(demand):
    X, y = demand
    step = DecisionTransformer().fit(X, y)
    assert not hasattr(step, "score")
    assert hasattr(DecisionTransformer().fit(X, X), "score")
    assert hasattr(DecisionTransformer().fit(X), "score")


def test_score_weights(demand):
    _, y = demand
    step = ProvisioningOptimizer().fit(y.to_frame())
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    guess = y.to_frame() * 1.3
    written = step.score(guess.loc[np.repeat(y.index, weight)], np.repeat(y, weight))
    assert step.score(guess, y, sample_weight=weight) == pytest.approx(written)


def test_bad_input(demand):
    X, y = demand
    with pytest.raises(ValueError, match="c_min must be below c_max"):
        ProvisioningOptimizer(c_min=5, c_max=2).fit(y.to_frame())
    with pytest.raises(ValueError, match="'eta' parameter of ProvisioningOptimizer"):
        ProvisioningOptimizer(eta="high").fit(y.to_frame())
    with pytest.raises(ValueError, match="'problem' parameter of DecisionTransformer"):
        DecisionTransformer("newsvendor").fit(X)
    with pytest.raises(ValueError, match="'estimator' parameter of PredictionTransformer"):
        PredictionTransformer("ridge").fit(X, y)
    with pytest.raises(ValueError, match="has 2 parameters per row, but y has 3 columns"):
        DecisionTransformer(NewsvendorProblem([1, 2], 1)).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        ProvisioningOptimizer().fit([[np.nan]])
    with pytest.raises(ValueError, match="is a negative demand at row 0"):
        ProvisioningOptimizer().fit([[1.0]]).score([[1.0], [2.0]], [-1.0, 1.0])
    step = DecisionTransformer().fit(X.to_numpy())
    with pytest.raises(ValueError, match="X has 2 features, but DecisionTransformer is expecting"):
        step.transform(X.to_numpy()[:, :2])


def test_constants_are_those_of_the_problem():
    assert ProvisioningOptimizer().get_params() == ProvisioningProblem().get_params()


def test_a_model_that_ignores_the_features_scores_at_most_zero(demand):
    X, y = demand
    pipe = provisioning_pipeline(DummyRegressor()).fit(X, y)
    assert pipe.score(X, y) <= 0
