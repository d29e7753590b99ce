"""Normal returns: their mean and covariance, and the portfolio that is best in closed form."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from dfl_sklearn.datasets import make_mean_cvar_portfolio, mean_cvar_portfolio_covariance
from dfl_sklearn.problems import CVaRPortfolioProblem

PROBLEM = CVaRPortfolioProblem(level=0.8, risk_aversion=10)


def known_cost(shares, mean, covariance):
    """The docstring's formula: mean loss and ten times its CVaR."""
    risk = np.sqrt(np.einsum("ki,ij,kj->k", shares, covariance, shares))
    return -11 * (mean * shares).sum(axis=1) + 10 * norm.pdf(norm.ppf(0.8)) / 0.2 * risk


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_mean_is_the_formula(exponent):
    X, _, mean = make_mean_cvar_portfolio(
        100_000, 5, exponent=exponent, random_state=0, return_mean=True
    )
    assert (X > 0).all()
    j = np.arange(1, 11)
    design = X[:, :3] ** exponent
    slopes, off, _, _ = np.linalg.lstsq(design, mean - 0.005 * j, rcond=None)
    assert_allclose(off, 0.0, atol=1e-12)
    # The mean of |N(0, 1)| to the power 1/2, 1 and 2.
    usual = {0.5: 0.822179, 1.0: np.sqrt(2 / np.pi), 2.0: 1.0}[exponent]
    assert_allclose(slopes.sum(axis=0) * usual, 0.025 * j, rtol=1e-5)
    for k, part in ((1, 0.0075), (2, 0.005)):
        u = slopes[k] * usual / (part * j)
        assert (np.abs(u - 1) <= 0.2 + 1e-5).all()
        assert np.ptp(u) > 0.1
    assert_allclose(mean.mean(axis=0), 0.03 * j, rtol=0.01)


def test_the_noise_has_the_covariance_stated():
    X, y, mean = make_mean_cvar_portfolio(200_000, n_assets=4, random_state=0, return_mean=True)
    j = np.arange(1, 5)
    expected = np.diag((0.025 * j) ** 2) + 0.02**2
    assert_allclose(mean_cvar_portfolio_covariance(4), expected)
    assert_allclose(np.cov((y - mean).T), expected, atol=1e-4)
    assert_allclose(np.corrcoef(X.T, (y - mean).T)[:3, 3:], 0.0, atol=0.01)


def test_the_cost_of_known_shares():
    rng = np.random.default_rng(0)
    _, y, mean = make_mean_cvar_portfolio(50_000, random_state=0, return_mean=True)
    covariance = mean_cvar_portfolio_covariance()
    shares = rng.dirichlet(np.ones(10), 3)
    for z in shares:
        returns = mean[:1] + (y - mean)
        var = -mean[0] @ z + norm.ppf(0.8) * np.sqrt(z @ covariance @ z)
        sampled = PROBLEM.cost(np.append(z, var)[None], returns).mean()
        assert sampled == pytest.approx(known_cost(z[None], mean[:1], covariance)[0], rel=0.02)


def test_scenarios_lead_to_the_best_portfolio():
    cp = pytest.importorskip("cvxpy")
    _, y, mean = make_mean_cvar_portfolio(1000, random_state=1, return_mean=True)
    covariance = mean_cvar_portfolio_covariance()
    root = np.linalg.cholesky(covariance)
    shares = PROBLEM.solve(mean[:2, None] + (y - mean))[:, :-1]
    for m, found in zip(mean[:2], known_cost(shares, mean[:2], covariance), strict=True):
        z = cp.Variable(10, nonneg=True)
        tail = 10 * norm.pdf(norm.ppf(0.8)) / 0.2
        best = cp.Problem(
            cp.Minimize(-11 * m @ z + tail * cp.norm(root.T @ z)), [cp.sum(z) == 1]
        ).solve(solver="CLARABEL")
        assert best - 1e-7 <= found <= best + 0.02


def test_shifts_are_paired():
    X, y, mean = make_mean_cvar_portfolio(300, random_state=3, return_mean=True)
    j = np.arange(1, 11)
    for name, step in (("level_up", 0.01), ("level_down", -0.01)):
        X_moved, moved, m = make_mean_cvar_portfolio(
            300, shift=name, random_state=3, return_mean=True
        )
        assert_array_equal(X_moved, X)
        assert_allclose(moved - y, np.tile(step * j, (300, 1)), atol=1e-12)
        assert_allclose(m - mean, np.tile(step * j, (300, 1)), atol=1e-12)
    loud = make_mean_cvar_portfolio(300, shift="noise", random_state=3)[1]
    assert_allclose(loud - mean, 1.5 * (y - mean), atol=1e-12)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_features": 2}, ValueError, "n_features must be at least 3"),
        ({"n_assets": 1}, ValueError, "n_assets must be at least 2"),
        ({"exponent": 0}, ValueError, "exponent must be a number above 0"),
        ({"return_mean": 1}, ValueError, "return_mean must be True or False"),
        ({"shift": "crisis"}, ValueError, "Unknown shift 'crisis'"),
        ({"n_samples": 2.5}, TypeError, "n_samples must be an integer"),
    ],
)
def test_bad_arguments(params, error, message):
    with pytest.raises(error, match=message):
        make_mean_cvar_portfolio(**params)
