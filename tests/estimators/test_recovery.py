"""Nets that find what theory says they should."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.metrics import regret
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem

LINEAR = {"hidden_layer_sizes": (), "alpha": 0.0, "random_state": 0}


@pytest.mark.parametrize(("under", "over"), [(9, 1), (1, 1), (1, 4)])
def test_newsvendor_finds_the_conditional_quantile(under, over):
    """With y = X b + N(0, s), the best order is X b + s times the normal quantile.

    A regression quantile at level t has standard error sqrt(t (1 - t) / n) / f, where f is
    the density of the noise at its quantile, for the intercept, and the same over the spread
    of a feature for its slope; the tolerance is four of them plus 0.02 s for the optimiser.
    """
    n, noise = 3_000, 2.0
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    coefficients = np.array([3.0, -1.0])
    y = 50 + X @ coefficients + noise * rng.standard_normal(n)
    model = DFLRegressor(NewsvendorProblem(under, over), **LINEAR).fit(X, y)
    level = under / (under + over)
    density = norm.pdf(norm.ppf(level)) / noise
    tolerance = 4 * np.sqrt(level * (1 - level) / n) / density + 0.02 * noise
    found = model.predict([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert found[0] == pytest.approx(50 + noise * norm.ppf(level), abs=tolerance)
    assert_allclose(found[1:] - found[0], coefficients, atol=tolerance)
    # Its own training sample splits at the level as well, as first-order conditions ask.
    assert (y <= model.decide(X)).mean() == pytest.approx(level, abs=0.01)


def test_squared_error_is_least_squares():
    """To 1 % of the noise: what is left is the optimiser's, both minimise the same sum."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3)) * [1.0, 10.0, 0.1] + [0.0, 100.0, 0.0]
    y = X @ np.array([[2.0, 0.0], [0.1, 0.3], [5.0, -5.0]]) + rng.standard_normal((500, 2))
    weight = rng.uniform(0, 2, 500)
    model = DFLRegressor(**LINEAR, tol=1e-6).fit(X, y, sample_weight=weight)
    exact = LinearRegression().fit(X, y, sample_weight=weight)
    assert_allclose(model.predict(X), exact.predict(X), atol=0.01)
    # An affine map of the inputs is undone by the standardisation.
    assert model.score(X, y) == pytest.approx(exact.score(X, y), abs=0.02)


def test_a_decision_focused_line_beats_least_squares_where_costs_are_lopsided():
    rng = np.random.default_rng(1)
    X = rng.uniform(0, 1, (1_000, 1))
    y = 10 + 5 * X[:, 0] + rng.exponential(3.0, 1_000)
    problem = NewsvendorProblem(9, 1)
    focused = DFLRegressor(problem, **LINEAR).fit(X, y)
    two_stage = TwoStageRegressor(LinearRegression(), problem).fit(X, y)
    assert focused.score(X, y) > two_stage.score(X, y) + 0.1
    # No line has a lower regret in sample than the trained one, beyond the optimiser's slack.
    paid = regret(y, focused.predict(X), problem=problem)
    lines = [10 + 5 * X[:, 0] + shift for shift in np.linspace(0, 12, 121)]
    assert paid <= 1.005 * min(regret(y, each, problem=problem) for each in lines)


def test_provisioning_is_trained_through_its_layer():
    """Noise-free demand that is linear in X is met almost exactly."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 1, (400, 2))
    y = 5e4 + X @ [1e5, 2e5]
    model = DFLRegressor(ProvisioningProblem(), **LINEAR).fit(X, y)
    assert model.score(X, y) > 0.999
    assert_allclose(model.decide(X), ProvisioningProblem().solve(y), rtol=0.05)
