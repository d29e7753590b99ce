import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, norm

from dfl_sklearn.datasets import make_two_item_newsvendor
from dfl_sklearn.problems import MultiProductNewsvendorProblem


def truncated_cdf(y, mean, spread):
    low, high = norm.cdf(-mean / spread), norm.cdf((100 - mean) / spread)
    return (norm.cdf((y - mean) / spread) - low) / (high - low)


@pytest.mark.parametrize(
    ("shift", "mean", "factor"), [(None, 3, 1), ({"noise": 2, "level": -1}, 2, 2)]
)
def test_demand_is_truncated_normal_with_the_spread_of_its_feature(shift, mean, factor):
    X, y = make_two_item_newsvendor(20_000, shift=shift, random_state=0)
    assert X.shape == (20_000, 10)
    assert y.min() >= 0
    assert y.max() <= 100
    level = truncated_cdf(y, mean, factor * np.exp(X[:, :2]))
    for item in range(2):
        assert kstest(level[:, item], "uniform").pvalue > 0.01
        wide = X[:, item] > 1
        assert kstest(level[wide, item], "uniform").pvalue > 0.01
    assert np.corrcoef(level.T)[0, 1] == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(X[:, 5], level[:, 0])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_the_best_order_is_a_quantile():
    """Demand at fixed features, drawn by many seeds, against the closed form."""
    X, _ = make_two_item_newsvendor(3, random_state=0)
    problem = MultiProductNewsvendorProblem([100, 1], [5, 0.05], capacity=1000)
    rng = np.random.default_rng(0)
    spread = np.exp(X[:, :2])
    draws = rng.normal(3, spread[:, None], (3, 60_000, 2))
    inside = ((draws >= 0) & (draws <= 100)).all(axis=2)
    for row in range(3):
        order = problem.solve(draws[row][inside[row]][None])[0]
        assert_allclose(truncated_cdf(order, 3, spread[row]), 20 / 21, atol=0.005)


def test_shifts_are_paired():
    X, y = make_two_item_newsvendor(300, random_state=1)
    for name, sign in (("level_up", 1), ("level_down", -1)):
        X_moved, moved = make_two_item_newsvendor(300, shift=name, random_state=1)
        assert_array_equal(X_moved, X)
        assert (sign * (moved - y) > 0).all()
    calm = X[:, :2] < -2  # too narrow to feel the ends
    loud = make_two_item_newsvendor(300, shift="noise", random_state=1)[1]
    assert_allclose((loud - 3)[calm], 1.5 * (y - 3)[calm], atol=1e-6)
    assert calm.any()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_features": 1}, ValueError, "n_features must be at least 2"),
        ({"shift": {"noise": 0}}, ValueError, "noise"),
        ({"shift": {"level": 1000}}, ValueError, "level"),
        ({"n_samples": "2"}, TypeError, "n_samples must be an integer"),
    ],
)
def test_bad_arguments(params, error, message):
    with pytest.raises(error, match=message):
        make_two_item_newsvendor(**params)
