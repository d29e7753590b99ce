"""Scenarios of a diffusion model, against conditional distributions that are known."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, MLPDenoiser
from dfl_sklearn.scenarios import DiffusionScenarios

SLOPE, SPREAD = np.array([[1.0, -1.0], [0.5, 2.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])


def quick(**params):
    return DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=6, max_iter=2, **params)


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    return X, 5.0 + X @ SLOPE + rng.standard_normal((n, 2)) @ SPREAD.T


@pytest.fixture
def model(short_epochs):
    X, y = rows(60)
    return DiffusionScenarios(quick(), n_scenarios=20, random_state=0).fit(X, y)


def test_scenarios_of_gaussian_rows_are_those_of_their_conditional_distribution():
    X, y = rows(1000)
    model = DiffusionScenarios(quick(), n_scenarios=512, random_state=0).fit(X, y)
    at = np.array([[0.0, 0.0], [1.0, -2.0]])
    found, true = model.predict_scenarios(at), 5.0 + at @ SLOPE
    error = 4 * np.sqrt((1 + (at**2).sum(axis=1)) / 1000)[:, None]  # of the regression
    assert (np.abs(found.mean - true) < error).all()
    for each in found.values:
        # Deviations of 1000 rows are off by a share of 1 / sqrt(2000), the draws by less.
        assert_allclose(np.cov(each.T), SPREAD @ SPREAD.T, atol=4 * np.sqrt(2 / 1000))
    levels = np.array([0.05, 0.5, 0.95])
    expected = np.broadcast_to(norm.ppf(levels)[:, None], (2, 3, 2))
    assert_allclose(found.quantiles(levels) - found.mean[:, None], expected, atol=0.2)
    assert_array_equal(model.predict(at), found.mean)


def test_a_spread_that_depends_on_x_is_learnt_from_few_rows():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    y = 5 + X[:, 0] + np.exp(X[:, 0]) * rng.standard_normal(300)
    generator = DiffusionGenerator(hidden_layer_sizes=(32,), max_iter=10)
    model = DiffusionScenarios(generator, random_state=0).fit(X, y)
    at = np.array([[-0.8], [0.0], [0.8]])
    found = model.predict_scenarios(at).values[..., 0]
    assert_allclose(found.mean(axis=1), 5 + at[:, 0], atol=0.3)
    assert_allclose(found.std(axis=1), np.exp(at[:, 0]), rtol=0.25)
    given = DiffusionGenerator(denoiser=MLPDenoiser((8,)), max_iter=1)
    assert not DiffusionScenarios(given).fit(X, y).generator_.denoiser_.gain


def test_noise_is_the_same_at_every_x(model):
    X, _ = rows(30, seed=1)
    X[7] = X[3]
    values = model.predict_scenarios(X).values
    assert_array_equal(values[7], values[3])
    # Where the net is the Gaussian, deviations from the mean are the same for all rows.
    gaussian = DiffusionScenarios(quick(), n_scenarios=9, random_state=0).fit(*rows(25))
    values = gaussian.predict_scenarios(X).values
    deviation = values - values.mean(axis=1, keepdims=True)
    assert_allclose(deviation, np.broadcast_to(deviation[:1], deviation.shape), atol=1e-9)


def test_scenarios_of_a_row_do_not_depend_on_the_others(model):
    X, _ = rows(30, seed=1)
    values = model.predict_scenarios(X).values
    for part in (slice(0, 1), slice(4, 9), slice(None, None, -1)):
        assert_array_equal(model.predict_scenarios(X[part]).values, values[part])
    parts = [some.values for _, some in model.iter_scenarios(X)]
    assert_array_equal(np.concatenate(parts), values)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_other_samplers_have_common_noise_too(short_epochs, sampler):
    X, y = rows(60)
    model = DiffusionScenarios(quick(sampler=sampler), n_scenarios=9, random_state=0).fit(X, y)
    found = model.predict_scenarios(X[[0, 1, 0]]).values
    assert_array_equal(found[0], found[2])
    assert_array_equal(model.predict_scenarios(X[:1]).values[0], found[0])


def test_generators_together(short_epochs):
    X, y = rows(60)
    model = DiffusionScenarios(quick(), n_scenarios=7, n_estimators=3, random_state=0).fit(X, y)
    alone = DiffusionScenarios(quick(), n_scenarios=3, random_state=0).fit(X, y)
    found = model.predict_scenarios(X[:4])
    assert_array_equal(found.weight, np.full((4, 7), 1 / 7))
    assert_array_equal(found.values[:, :3], alone.predict_scenarios(X[:4]).values)
    assert len({each.random_state for each in model.generators_}) == 3
    assert len(np.unique(found.values[0, :, 0])) == 7
    assert model.generator_ is model.generators_[0]
    assert model.sample(X[:4], 5, random_state=0).shape == (4, 5, 2)


def test_samples_are_fresh(model):
    X = np.tile([[1.0, -2.0]], (3, 1))
    drawn = model.sample(X, 800, random_state=0)
    assert_array_equal(drawn, model.sample(X, 800, random_state=0))
    assert len(np.unique(drawn[..., 0])) == 2400
    true = 5.0 + X[0] @ SLOPE
    assert_allclose(drawn.mean(axis=(0, 1)), true, atol=1.0)  # 60 rows, far from their mean


def test_a_vector_of_parameters(short_epochs):
    X, y = rows(60)
    model = DiffusionScenarios(quick(), n_scenarios=5, random_state=0).fit(X, y[:, 0])
    assert model.predict(X).shape == (60,)
    assert model.predict_scenarios(X).values.shape == (60, 5, 1)


@pytest.mark.parametrize("of_x", [lambda X: np.full(len(X), 3.0), lambda X: X @ [1.0, 2.0] + 3.0])
def test_a_function_of_x_has_one_scenario_value(short_epochs, of_x):
    X = np.random.default_rng(0).standard_normal((40, 2))
    model = DiffusionScenarios(DiffusionGenerator(max_iter=1), n_scenarios=5, random_state=0)
    found = model.fit(X, of_x(X)).predict_scenarios(X[:3]).values
    assert_allclose(found[:, :, 0], np.tile(of_x(X[:3])[:, None], 5), rtol=1e-9)


def test_numbers_of_a_unit_and_functions_of_x_are_kept(short_epochs):
    rng = np.random.default_rng(0)
    X = rng.integers(5, 30, (80, 1)).astype(float)
    y = np.column_stack([rng.poisson(X[:, 0]), 2 * X[:, 0] + 1])
    values = DiffusionScenarios(quick(), n_scenarios=9, random_state=0).fit(X, y)
    found = values.predict_scenarios(X[:5]).values
    assert_array_equal(found[:, :, 0], np.round(found[:, :, 0]))
    assert_array_equal(found[:, :, 1], np.broadcast_to(2 * X[:5] + 1, (5, 9)))


def test_weights_are_exact_and_order_does_not_matter(short_epochs):
    X, y = rows(60)
    weight = np.random.default_rng(0).integers(0, 3, 60)
    make = DiffusionScenarios(quick(), n_scenarios=5, n_estimators=2, random_state=0)
    expected = make.fit(X, y, sample_weight=weight).predict_scenarios(X).values
    again = pickle.loads(pickle.dumps(make))
    assert_array_equal(again.predict_scenarios(X).values, expected)
    make.fit(np.repeat(X, weight, axis=0)[::-1], np.repeat(y, weight, axis=0)[::-1])
    assert_array_equal(make.predict_scenarios(X).values, expected)


def test_a_generator_is_fitted_once(short_epochs, tmp_path, monkeypatch):
    X, y = rows(60)
    fits = []
    fit = DiffusionGenerator.fit

    def counted(self, *args, **params):
        fits.append(self)
        return fit(self, *args, **params)

    monkeypatch.setattr(DiffusionGenerator, "fit", counted)
    make = DiffusionScenarios(quick(), n_scenarios=5, memory=str(tmp_path), random_state=0)
    first = make.fit(X, y).predict_scenarios(X).values
    assert_array_equal(make.fit(X[::-1], y[::-1]).predict_scenarios(X).values, first)
    make.set_params(n_scenarios=8).fit(X, y)
    assert len(fits) == 1
    plain = make.set_params(memory=None, n_scenarios=5).fit(X, y)
    assert_array_equal(plain.predict_scenarios(X).values, first)
    assert len(fits) == 2
    make.set_params(memory=str(tmp_path), random_state=None)
    with pytest.warns(UserWarning, match="memory is not used, because random_state is None"):
        make.fit(X, y)


def test_in_a_search_a_pipeline_and_transformed_targets(short_epochs):
    X, y = rows(60)
    table = pd.DataFrame({"x": X[:, 0], "day": np.where(X[:, 1] > 0, "sun", "mon")})
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["day"]), remainder="passthrough"
    )
    scenarios = DiffusionScenarios(quick(), n_scenarios=5, random_state=0)
    with pytest.raises(ValueError, match=r"X must hold numbers.*OneHotEncoder"):
        scenarios.fit(table, y)
    logs = TransformedTargetRegressor(
        make_pipeline(encode, scenarios), func=np.log, inverse_func=np.exp
    )
    demand = np.exp(y[:, 0] / 5)
    problem = NewsvendorProblem(9, 1)
    model = TwoStageRegressor(logs, problem).fit(table, demand)
    assert (model.predict_scenarios(table).values > 0).all()
    search = GridSearchCV(
        TwoStageRegressor(scenarios, problem), {"estimator__n_scenarios": [1, 20]}, cv=2
    ).fit(X, demand)
    assert search.best_params_ == {"estimator__n_scenarios": 20}


def test_rows_without_finite_scenarios_are_shown(model):
    far = np.array([[0.0, 1.0], [1e300, 1e300]])
    with np.errstate(all="ignore"):
        for ask in (model.predict_scenarios, model.predict, model.sample):
            with pytest.raises(ValueError, match=r"no finite scenarios for the row \[1e\+300, "):
                ask(far)


def test_what_is_refused():
    X, y = rows(20)
    with pytest.raises(ValueError, match=r"n_scenarios=2 are made by n_estimators=3"):
        DiffusionScenarios(n_scenarios=2, n_estimators=3).fit(X, y)
    with pytest.raises(ValueError, match="at least 2 distinct rows"):
        DiffusionScenarios(quick()).fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="NaN at row 0"):
        DiffusionScenarios(quick()).fit(X, np.where(y == y[0, 0], np.nan, y))
