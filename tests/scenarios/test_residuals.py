"""Residual scenarios against errors collected by hand, closed forms and limits."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold, LeaveOneOut, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from dfl_sklearn.scenarios import ResidualScenarios


def data(n=60, d=2, seed=0):
    """Return a linear mean, with errors that are correlated and grow with the first feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    noise = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return X, X @ rng.normal(size=(3, d)) + noise * np.exp(0.5 * X[:, :1])


def as_set(rows):
    return rows[np.lexsort(rows.T[::-1])]


def test_scenarios_are_the_prediction_plus_each_error_on_unseen_rows():
    X, y = data()
    model = ResidualScenarios(LinearRegression(), cv=3).fit(X, y)
    errors = np.concatenate(
        [
            y[held] - LinearRegression().fit(X[rest], y[rest]).predict(X[held])
            for rest, held in KFold(3).split(X)
        ]
    )
    found = model.predict_scenarios(X[:4])
    for i, mean in enumerate(LinearRegression().fit(X, y).predict(X[:4])):
        assert_allclose(as_set(found.values[i]), as_set(mean + errors), atol=1e-12)
    assert_allclose(found.weight, 1 / 60)
    assert_allclose(model.predict(X), LinearRegression().fit(X, y).predict(X) + errors.mean(axis=0))


def test_errors_of_leave_one_out_are_those_of_the_hat_matrix():
    X, y = data(30, 1)
    found = ResidualScenarios(LinearRegression(), cv=LeaveOneOut()).fit(X, y[:, 0]).residuals_
    design = np.column_stack([np.ones(30), X])
    hat = design @ np.linalg.solve(design.T @ design, design.T)
    expected = (y[:, 0] - hat @ y[:, 0]) / (1 - np.diag(hat))
    assert_allclose(found[:, 0], np.sort(expected), atol=1e-12)


def test_weight_two_is_the_row_twice():
    X, y = data(20)
    weight = np.arange(20) % 3
    fold = np.arange(20) % 4
    again = np.repeat(np.arange(20), weight)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)]
    twice = fold[again]
    repeated = [(np.flatnonzero(twice != k), np.flatnonzero(twice == k)) for k in range(4)]
    for scale in (None, "ridge"):
        a = ResidualScenarios(LinearRegression(), cv=splits, scale=scale)
        a.fit(X, y, sample_weight=weight)
        b = ResidualScenarios(LinearRegression(), cv=repeated, scale=scale).fit(X[again], y[again])
        assert_allclose(a.predict(X), b.predict(X), atol=1e-10)
        # Copies of a row differ by rounding errors here, so that they may not have been merged.
        draws = [m.predict_scenarios(X[:1]) for m in (a, b)]
        for q in (0.1, 0.5, 0.9):
            lower, upper = (
                np.quantile(s.values[0, :, 0], q, weights=s.weight[0], method="inverted_cdf")
                for s in draws
            )
            assert lower == pytest.approx(upper, abs=1e-9)


def test_a_learnt_scale_follows_the_size_of_the_errors():
    X, y = data(4000, 2)
    at = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    spread = ResidualScenarios(LinearRegression(), scale="ridge").fit(X, y)
    small, large = spread.predict_scenarios(at).values.std(axis=1)
    # e^{.5} against e^{-.5}; what is added before the logarithm is taken makes it a little less.
    assert_allclose(large / small, np.e, rtol=0.2)
    plain = ResidualScenarios(LinearRegression()).fit(X, y)
    small, large = plain.predict_scenarios(at).values.std(axis=1)
    assert_allclose(large / small, 1.0)


def test_the_scale_stays_within_that_of_the_training_rows():
    X, y = data(200, 1)
    model = ResidualScenarios(LinearRegression(), scale="ridge").fit(X, y)
    far = model.predict_scenarios(np.full((1, 3), 50.0)).values.std(axis=1)
    seen = model.predict_scenarios(X).values.std(axis=1)
    assert far.max() <= seen.max() * 1.5


@pytest.mark.parametrize("scale", [None, "ridge", HistGradientBoostingRegressor(max_iter=5)])
def test_a_perfect_prediction_has_one_scenario(scale):
    X = np.random.default_rng(0).normal(size=(50, 2))
    y = np.tile([3.0, 1.0], (50, 1))
    model = ResidualScenarios(DummyRegressor(), scale=scale).fit(X, y)
    assert_array_equal(model.predict_scenarios(X[:3]).values, np.array([[[3.0, 1.0]]] * 3))


def test_rows_in_no_fold_give_no_scenario():
    X, y = data(60, 1)
    cv = TimeSeriesSplit(n_splits=3, test_size=10)
    for scale in (None, "ridge"):
        model = ResidualScenarios(LinearRegression(), cv=cv, scale=scale).fit(X, y)
        assert model.n_scenarios_ == 30


def test_a_fitted_regressor_is_not_fitted_again():
    X, y = data(60, 1)
    fitted = LinearRegression().fit(X[:30], y[:30, 0])
    for scale in (None, "ridge"):
        model = ResidualScenarios(FrozenEstimator(fitted), scale=scale).fit(X[30:], y[30:, 0])
        assert model.n_scenarios_ == 30
    model = ResidualScenarios(FrozenEstimator(fitted)).fit(X[30:], y[30:, 0])
    expected = np.sort(y[30:, 0] - fitted.predict(X[30:]))
    assert_array_equal(model.residuals_[:, 0], expected)


def test_a_table_with_text():
    table = pd.DataFrame({"day": ["mon", "tue", "wed"] * 20, "warm": np.arange(60.0)})
    y = np.arange(60.0) % 3 + np.random.default_rng(0).normal(size=60)
    columns = make_column_transformer((OneHotEncoder(), ["day"]), remainder="passthrough")
    pipe = make_pipeline(columns, Ridge())
    model = ResidualScenarios(pipe, scale=pipe).fit(table, y)
    assert list(model.feature_names_in_) == ["day", "warm"]
    assert model.predict_scenarios(table[:2]).values.shape == (2, 60, 1)


def test_draws_have_the_frequencies_of_the_weights():
    X, y = data(6, 2)
    weight = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0])
    model = ResidualScenarios(Ridge(), cv=2).fit(X, y, sample_weight=weight)
    scenarios = model.predict_scenarios(X[:2])
    draws = model.sample(X[:2], 20_000, random_state=0)
    assert draws.shape == (2, 20_000, 2)
    for value, share in zip(scenarios.values[1], scenarios.weight[1], strict=True):
        seen = (draws[1] == value).all(axis=1).mean()
        assert seen == pytest.approx(share, abs=4 * np.sqrt(share / 20_000) + 1e-3)
    assert_array_equal(draws, model.sample(X[:2], 20_000, random_state=0))


def test_errors_say_what_is_wrong():
    X, y = data(4, 1)
    with pytest.raises(ValueError, match="n_splits=5"):
        ResidualScenarios(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match="no error is known"):
        ResidualScenarios(LinearRegression(), cv=[(np.arange(3), np.array([3]))]).fit(
            X, y, sample_weight=[1, 1, 1, 0]
        )
    with pytest.raises(ValueError, match=r"KNeighborsRegressor\.fit, of scale=, does not take it"):
        ResidualScenarios(LinearRegression(), cv=2, scale=KNeighborsRegressor(1)).fit(
            X, y[:, 0], sample_weight=[1, 1, 1, 2]
        )
    with pytest.raises(ValueError, match="'scale' parameter"):
        ResidualScenarios(LinearRegression(), scale="forest").fit(X, y)
    model = ResidualScenarios(LinearRegression(), cv=2).fit(X, y)
    with pytest.raises(ValueError, match="n_samples must be a whole number"):
        model.sample(X, 0)
    gap = np.where(np.arange(4)[:, None] == 1, np.nan, X)
    with pytest.raises(
        ValueError, match='scale="ridge" is a ridge regression, which takes only finite'
    ):
        ResidualScenarios(DummyRegressor(), cv=2, scale="ridge").fit(gap, y)
    fitted = FrozenEstimator(Ridge().fit(X, y))
    with pytest.raises(ValueError, match="needs the errors of at least 2 rows"):
        ResidualScenarios(fitted, scale="ridge").fit(X[:1], y[:1])


def test_fewer_rows_than_folds_are_an_error():
    X = np.arange(3.0)[:, None]
    with pytest.raises(ValueError, match="n_splits=5 greater than the number of samples"):
        ResidualScenarios(LinearRegression()).fit(X, X[:, 0] ** 2)
