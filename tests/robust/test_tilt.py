"""Exponential tilting against a convex solver, closed forms and its limits."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from dfl_sklearn.robust._tilt import effective_sample_size, tilt


def dual_value(loss, weight, radius):
    """Return min over tau of tau log E exp(loss / tau) + tau radius, by another library."""

    def dual(log_tau):
        tau = np.exp(log_tau)
        return tau * logsumexp(loss / tau, b=weight) + tau * radius

    grid = np.linspace(-12, 12, 200)
    start = grid[np.argmin([dual(g) for g in grid])]
    return minimize_scalar(
        dual, bounds=(start - 0.3, start + 0.3), method="bounded", options={"xatol": 1e-12}
    ).fun


@pytest.mark.parametrize("seed", range(50))
def test_primal_value_equals_the_dual(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    loss, weight = rng.exponential(size=n) * 10 ** rng.uniform(-3, 3), rng.dirichlet(np.ones(n))
    radius = rng.uniform(0.001, 0.9) * -np.log(weight[loss.argmax()])
    p, divergence = tilt(loss, weight, radius)
    assert p.sum() == pytest.approx(1.0)
    assert divergence == pytest.approx(radius, rel=1e-6)
    assert float(p @ np.log(np.where(p > 0, p, 1) / weight)) == pytest.approx(radius, rel=1e-5)
    assert float(p @ loss) == pytest.approx(dual_value(loss, weight, radius), rel=1e-6)


def test_gaussian_tilt_moves_the_mean_by_sigma_sqrt_2_radius():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, size=400_000)
    for radius in (0.02, 0.1, 0.5):
        p, _ = tilt(x, np.full(len(x), 1 / len(x)), radius)
        standard_error = 2.0 / np.sqrt(effective_sample_size(p))
        assert abs(float(p @ x) - 3.0 - 2.0 * np.sqrt(2 * radius)) < 4 * standard_error


def test_limits():
    loss, weight = np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.2, 0.3])
    np.testing.assert_array_equal(tilt(loss, weight, 0.0)[0], weight)
    worst, divergence = tilt(loss, weight, 50.0)
    np.testing.assert_array_equal(worst, [0.0, 1.0, 0.0])
    assert divergence == pytest.approx(-np.log(0.2))
    np.testing.assert_array_equal(tilt(np.ones(3), weight, 1.0)[0], weight)


def test_tied_worst_losses_share_the_mass():
    weights, divergence = tilt(np.array([2.0, 2.0, 0.0]), np.full(3, 1 / 3), 9.0)
    np.testing.assert_allclose(weights, [0.5, 0.5, 0.0])
    assert divergence == pytest.approx(np.log(1.5))
