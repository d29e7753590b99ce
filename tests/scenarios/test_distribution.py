"""What regressors of other libraries predict, as scenarios."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.scenarios import DistributionScenarios

LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


class Gaussian(RegressorMixin, BaseEstimator):
    """The mean and standard deviation of y, whatever x is."""

    def fit(self, X, y):
        self.mean_, self.std_ = np.mean(y, axis=0), np.std(y, axis=0)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict(self, X):
        return np.broadcast_to(self.mean_, (len(X), *np.shape(self.mean_)))


class WithQuantiles(Gaussian):
    def predict_quantiles(self, X, alpha):
        row = norm.ppf(alpha, self.mean_, self.std_)
        return pd.DataFrame(np.tile(row, (len(X), 1)))


class WithDistribution(Gaussian):
    def pred_dist(self, X):
        return norm(np.full(len(X), self.mean_), self.std_)


class WithLevels(Gaussian):
    def predict(self, X, quantiles=None):
        if quantiles is None:
            return super().predict(X)
        return np.tile(norm.ppf(quantiles, self.mean_, self.std_), (len(X), 1))


class WithDraws(Gaussian):
    def sample(self, X, n_samples=1, random_state=None):
        rng = np.random.default_rng(random_state)
        size = (len(X), n_samples, *np.shape(self.mean_))
        return rng.normal(self.mean_, self.std_, size)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, size=(200, 2))
    return X, 5 + X[:, 0] + rng.normal(size=200)


@pytest.mark.parametrize("kind", [WithQuantiles, WithDistribution, WithLevels])
def test_scenarios_are_quantiles_at_equal_steps(rows, kind):
    X, y = rows
    model = DistributionScenarios(kind(), n_scenarios=5).fit(X, y)
    found = model.predict_scenarios(X[:3])
    assert_allclose(found.values[:, :, 0], np.tile(norm.ppf(LEVELS, y.mean(), y.std()), (3, 1)))
    assert_allclose(found.weight, 0.2)


def test_a_quantile_forest_of_another_library(rows):
    library = pytest.importorskip("quantile_forest")
    X, y = rows
    forest = library.RandomForestQuantileRegressor(30, min_samples_leaf=10, random_state=0)
    model = DistributionScenarios(forest, n_scenarios=20).fit(X, y)
    found = model.predict_scenarios(X).values[:, :, 0]
    inside = (found[:, 1] <= y) & (y <= found[:, -2])
    assert 0.75 < inside.mean() < 0.99  # .85 between the levels .075 and .925, in sample


@pytest.mark.parametrize(
    "quantile",
    [
        QuantileRegressor(alpha=0),
        HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=5),
        GradientBoostingRegressor(loss="quantile", n_estimators=5, random_state=0),
    ],
)
def test_quantile_regressors_are_fitted_at_each_level(rows, quantile):
    X, y = rows
    model = DistributionScenarios(quantile, n_scenarios=5).fit(X, y)
    name = "alpha" if isinstance(quantile, GradientBoostingRegressor) else "quantile"
    assert_allclose([each.get_params()[name] for each in model.estimator_], LEVELS)
    share = (y[:, None] <= model.predict_scenarios(X).values[:, :, 0]).mean(axis=0)
    assert_allclose(share, LEVELS, atol=0.12)


def test_the_newsvendor_decides_the_quantile_of_its_costs(rows):
    X, y = rows
    several = DistributionScenarios(QuantileRegressor(alpha=0), n_scenarios=5)
    model = TwoStageRegressor(several, NewsvendorProblem(3, 1)).fit(X, y)
    expected = QuantileRegressor(quantile=0.7, alpha=0).fit(X, y).predict(X)  # the fourth
    assert_allclose(model.decide(X), expected)


def test_draws_of_several_outputs(rows):
    X, y = rows
    y = np.column_stack([y, -y])
    model = DistributionScenarios(WithDraws(), n_scenarios=50, random_state=3).fit(X, y)
    first, again = (model.predict_scenarios(X).values for _ in range(2))
    assert first.shape == (200, 50, 2)
    assert_array_equal(first, again)
    assert_allclose(first.mean(axis=(0, 1)), y.mean(axis=0), atol=0.05)


def test_errors_say_what_is_wrong(rows):
    X, y = rows
    with pytest.raises(ValueError, match="LinearRegression predicts neither draws nor quantiles"):
        DistributionScenarios(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match="quantiles do not say how these depend on"):
        TwoStageRegressor(DistributionScenarios(QuantileRegressor()), NewsvendorProblem(1, 1)).fit(
            X, np.column_stack([y, y])
        )
    with pytest.raises(ValueError, match="Put its steps around DistributionScenarios"):
        DistributionScenarios(make_pipeline(StandardScaler(), QuantileRegressor())).fit(X, y)
    with pytest.raises(ValueError, match='Did you mean loss="quantile"'):
        DistributionScenarios(HistGradientBoostingRegressor()).fit(X, y)
    fitted = FrozenEstimator(QuantileRegressor().fit(X, y))
    with pytest.raises(ValueError, match="predicts neither draws nor quantiles"):
        DistributionScenarios(fitted).fit(X, y)  # of one level only

    class Endless(WithLevels):
        def predict(self, X, quantiles=None):
            return np.full((len(X), len(quantiles)), np.inf)

    with pytest.raises(ValueError, match=r"gives \[inf\] as scenario 0 of row 0"):
        DistributionScenarios(Endless()).fit(X, y).predict(X)

    class Short(WithLevels):
        def predict(self, X, quantiles=None):
            return np.zeros((len(X), 1))

    with pytest.raises(ValueError, match="scenarios of shape"):
        DistributionScenarios(Short()).fit(X, y).predict(X)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(weight):
    X, y = np.arange(6.0)[:, None], np.arange(6.0)
    model = DistributionScenarios(QuantileRegressor(alpha=0), n_scenarios=2)
    with pytest.raises(ValueError, match=r"Negative values|Input sample_weight contains"):
        model.fit(X, y, sample_weight=np.where(y == 2, weight, 1.0))
