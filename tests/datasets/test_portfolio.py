import numpy as np
import pytest

from dfl_sklearn.datasets import make_portfolio, portfolio_covariance


def mean_return(X, crisis, level=0.0, n_assets=5):
    """The docstring's formula, entry by entry."""
    mean = np.empty((len(X), n_assets))
    for row, in_crisis in enumerate(crisis):
        for j in range(1, n_assets + 1):
            b = (j - 1) / (n_assets - 1)
            beta = [b * np.cos(i + 2 * j) for i in range(1, X.shape[1])]
            gamma = [b * np.sin(i) for i in range(1, X.shape[1])]
            slope = gamma if in_crisis else beta
            mean[row, j - 1] = (
                0.5 + b * (1 + level - 6 * in_crisis) + np.dot(slope, X[row, : X.shape[1] - 1])
            )
    return mean


@pytest.mark.parametrize(("n_features", "n_assets"), [(2, 2), (5, 5), (4, 7)])
def test_without_noise_returns_are_the_formula(n_features, n_assets):
    shift = {"noise": 0.0, "crisis": 0.4, "level": 0.7}
    X, y, crisis = make_portfolio(
        60, n_features, n_assets, shift=shift, random_state=0, return_crisis=True
    )
    assert 0 < crisis.sum() < 60
    np.testing.assert_allclose(y, mean_return(X, crisis, 0.7, n_assets), atol=1e-12)


def test_noise_has_the_covariance_stated():
    X, y, crisis = make_portfolio(100_000, random_state=0, return_crisis=True)
    X_0, y_0 = make_portfolio(100_000, shift={"noise": 0.0}, random_state=0)
    np.testing.assert_array_equal(X, X_0)
    np.testing.assert_allclose(np.cov(y - y_0, rowvar=False), portfolio_covariance(5), atol=0.15)
    assert crisis.mean() == pytest.approx(0.05, abs=0.003)
    assert X[crisis][:, -1].mean() == pytest.approx(1.0, abs=0.06)
    assert X[~crisis][:, -1].mean() == pytest.approx(0.0, abs=0.02)


def test_shifts_are_paired():
    X, y = make_portfolio(200, random_state=3)
    up, down = (make_portfolio(200, shift=s, random_state=3) for s in ("level_up", "level_down"))
    exposure = np.linspace(0, 1, 5)
    np.testing.assert_allclose(up[1] - y, np.tile(1.5 * exposure, (200, 1)), atol=1e-12)
    np.testing.assert_allclose(y - down[1], np.tile(1.5 * exposure, (200, 1)), atol=1e-12)
    np.testing.assert_array_equal(X, up[0])


def test_bad_arguments():
    with pytest.raises(ValueError, match="n_assets must be at least 2"):
        make_portfolio(10, n_assets=1)
    with pytest.raises(ValueError, match="crash"):
        make_portfolio(10, shift={"crash": 1.0})
    with pytest.raises(ValueError, match="crisis"):
        make_portfolio(10, shift={"crisis": 1.5})
    with pytest.raises(TypeError, match="n_samples must be an integer"):
        make_portfolio(10.5)
