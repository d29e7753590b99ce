"""Weights of forests and neighbours against loops and scikit-learn's own predictions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from dfl_sklearn.scenarios import LocalScenarios
from dfl_sklearn.scenarios import base as scenario_models


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    return X, np.column_stack([X[:, 0] + rng.normal(size=80), 100 * rng.exponential(size=80)])


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(7, min_samples_leaf=3, random_state=0),
        ExtraTreesRegressor(5, max_depth=3, random_state=0),
        DecisionTreeRegressor(max_depth=3, random_state=0),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_leaf_weights_are_those_of_a_loop_over_trees(rows, forest, weighted):
    X, y = rows
    weight = np.arange(80) % 4 if weighted else None
    model = LocalScenarios(forest).fit(X, y, sample_weight=weight)
    kept = np.arange(80) if weight is None else np.flatnonzero(weight)
    share = np.ones(len(kept)) if weight is None else weight[kept].astype(float)
    trees = getattr(model.estimator_, "estimators_", [model.estimator_])
    at = X[:5] + 0.1
    expected = np.zeros((5, len(kept)))
    for tree in trees:
        for i, leaf in enumerate(tree.apply(at.astype(np.float32))):
            inside = (tree.apply(X[kept].astype(np.float32)) == leaf) * share
            expected[i] += inside / inside.sum() / len(trees)
    assert_allclose(model.weights(at).toarray(), expected, atol=1e-15)
    found = model.predict_scenarios(at)
    assert_allclose(found.mean, expected @ y[kept], atol=1e-10)
    assert_allclose(found.weight.sum(axis=1), 1)
    assert_allclose(model.predict(at), expected @ y[kept], atol=1e-10)


@pytest.mark.parametrize(
    "neighbors",
    [
        KNeighborsRegressor(7),
        KNeighborsRegressor(7, weights="distance"),
        RadiusNeighborsRegressor(3.0),
        RadiusNeighborsRegressor(5.0, weights="distance"),
        RadiusNeighborsRegressor(5.0, weights=lambda d: [np.exp(-each) for each in d]),
        make_pipeline(StandardScaler(), KNeighborsRegressor(5)),
        make_pipeline(
            StandardScaler(), make_pipeline(FunctionTransformer(np.square), KNeighborsRegressor(5))
        ),
        make_pipeline(make_pipeline(FunctionTransformer(np.square), KNeighborsRegressor(5))),
    ],
)
def test_the_mean_over_neighbours_is_their_own_prediction(rows, neighbors):
    X, y = rows
    model = LocalScenarios(neighbors).fit(X, y)
    at = np.vstack([X[:3], 0.5 * X[3:6]])  # some are training rows
    assert_allclose(model.predict(at), neighbors.fit(X, y).predict(at), atol=1e-10)


def test_outputs_of_a_large_unit_do_not_decide_about_the_splits(rows):
    X, y = rows
    forest = RandomForestRegressor(20, min_samples_leaf=5, random_state=0)
    units = np.array([1.0, 2.0**-20])  # which changes no digit
    scaled = [LocalScenarios(forest).fit(X, y * u).weights(X).toarray() for u in (1.0, units)]
    assert_allclose(*scaled, atol=1e-12)
    plain = LocalScenarios(forest, scale_targets=False)
    assert np.abs(plain.fit(X, y).weights(X) - plain.fit(X, y * units).weights(X)).max() > 0.01


def test_rows_in_parts_are_the_same(rows, monkeypatch):
    X, y = rows
    model = LocalScenarios(RandomForestRegressor(5, random_state=0)).fit(X, y)
    whole = model.predict(X)
    draws = model.sample(X, 3, random_state=1)
    monkeypatch.setattr(scenario_models, "_NUMBERS_AT_ONCE", 500)
    assert len(list(model.iter_scenarios(X))) > 10
    assert_array_equal(model.predict(X), whole)
    assert_array_equal(model.sample(X, 3, random_state=1), draws)


def test_a_fitted_forest_takes_other_rows(rows):
    X, y = rows
    forest = RandomForestRegressor(30, min_samples_leaf=2, random_state=0).fit(X[:60], y[:60])
    model = LocalScenarios(FrozenEstimator(forest)).fit(X[60:], y[60:])
    weights = model.weights(X[:60])
    assert weights.shape == (60, 20)
    assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1.0)


def test_errors_say_what_is_wrong(rows):
    X, y = rows
    with pytest.raises(ValueError, match="LinearRegression, which has none of apply"):
        LocalScenarios(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match="does not take it"):
        LocalScenarios(KNeighborsRegressor()).fit(X, y, sample_weight=np.ones(80))
    fitted = KNeighborsRegressor().fit(X[:40], y[:40])
    for frozen in (
        FrozenEstimator(fitted),
        make_pipeline(FunctionTransformer(np.square), FrozenEstimator(fitted)),
    ):
        with pytest.raises(ValueError, match="finds neighbours only among the rows that it was"):
            LocalScenarios(frozen).fit(X[40:], y[40:])
    model = LocalScenarios(RadiusNeighborsRegressor(1e-3)).fit(X, y)
    with pytest.raises(ValueError, match="Row 1 of X has no training row within its radius"):
        model.predict(np.vstack([X[0], X[0] + 1]))
    far = LocalScenarios(KNeighborsRegressor(2, weights=lambda d: 0 * d)).fit(X, y)
    with pytest.raises(ValueError, match="Row 0 of X has neighbours of weight 0"):
        far.predict(X)
    tree = DecisionTreeRegressor().fit(X[:40], y[:40])
    lone = LocalScenarios(FrozenEstimator(tree)).fit(X[40:41], y[40:41])
    with pytest.raises(ValueError, match="has no training row in any of its leaves"):
        lone.predict(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_a_single_output_is_left_as_it_is(rows):
    """With a threshold in the unit of y, of which a tree of scaled outputs would make nothing."""
    X, y = rows
    forest = RandomForestRegressor(5, min_impurity_decrease=100.0, random_state=0)
    flat, column = (LocalScenarios(forest).fit(X, each) for each in (y[:, 1], y[:, [1]]))
    assert_array_equal(flat.weights(X).toarray(), column.weights(X).toarray())
    assert len(np.unique(flat.weights(X).toarray(), axis=0)) > 1


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 1.0, 1234.7, 1e8 + 0.1, -5.0])
def test_a_constant_output_changes_no_leaf(constant):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 2))
    y = 10 * (X[:, 0] > 0.5) + 1 + 0.1 * rng.normal(size=200)
    forest = RandomForestRegressor(10, min_samples_leaf=10, random_state=0)
    table = np.column_stack([y, np.full(200, constant)])
    found = LocalScenarios(forest).fit(X, table).predict([[0.2, 0.5], [0.8, 0.5]])
    assert_allclose(found[:, 0], [1, 11], atol=0.1)
    assert_allclose(found[:, 1], constant)


@pytest.mark.parametrize("k", [1e-200, 1e-12, 1e-9, 1.0, 1e12, 1e160, 1e200])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_unit_and_the_level_of_targets_change_no_leaf(k, n_outputs):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 2))
    y = 10 * (X[:, 0] > 0.5) + 1 + 0.1 * rng.normal(size=200)
    tree = DecisionTreeRegressor(min_samples_leaf=20, random_state=0)
    asked = [[0.2, 0.5], [0.8, 0.5]]
    if n_outputs == 1:
        found = LocalScenarios(tree).fit(X, k * y).predict(asked)
    else:
        table = np.column_stack([k * y, 1e8 + rng.normal(size=200)])
        found = LocalScenarios(tree).fit(X, table).predict(asked)[:, 0]
    assert_allclose(found / k, [1, 11], atol=0.2)
