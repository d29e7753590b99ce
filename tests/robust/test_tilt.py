"""Exponential tilting against a convex solver, closed forms and its limits."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from dfl_sklearn.robust import ChiSquareBall, CVaR, KLBall, TotalVariationBall
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


@pytest.mark.parametrize("radius", [1e-320, 1e-40, 1e-30, 1e-20, 1e-16, 1e-13, 1e-10])
@pytest.mark.parametrize("size", [1e-200, 1.0, 1e300])
def test_tiny_radii_and_losses_of_any_size(radius, size):
    """To first order the worst weights are q (1 + sqrt(2 rho / var) (l - mean))."""
    rng = np.random.default_rng(0)
    loss, weight = rng.uniform(-1, 1, 30), rng.dirichlet(np.ones(30))
    p, divergence = tilt(size * loss, weight, radius)
    assert 0 <= divergence <= radius * (1 + 1e-6)
    excess = loss - weight @ loss
    change = np.sqrt(2 * radius / (weight @ excess**2)) * excess
    np.testing.assert_allclose(p / weight - 1, change, rtol=0, atol=3 * radius + 1e-15)
    if radius > 1e-25:
        assert divergence == pytest.approx(radius, rel=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1e200])
@pytest.mark.parametrize("ball", [KLBall(0.3), ChiSquareBall(0.1), ChiSquareBall(2.0), CVaR(0.4)])
def test_the_unit_of_the_losses_does_not_matter(ball, size):
    loss = np.random.default_rng(0).exponential(1.0, 20)
    assert ball.worst_mean(size * loss) == pytest.approx(size * ball.worst_mean(loss), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "weight", "message"),
    [
        ([1.0, np.inf], None, "loss is not finite at row 1"),
        ([1.0, 2.0], [1.0, -1.0], "weight is negative at row 1"),
        ([1.0, 2.0], [0.0, 0.0], "weight must have a positive, finite sum"),
        ([1.0, 2.0], [1.0], r"shape \(n,\)"),
        ([], None, r"shape \(n,\)"),
        (["1", "2"], None, "loss must hold numbers"),
    ],
)
def test_losses_that_have_no_worst_mean(loss, weight, message):
    for ball in (KLBall(), ChiSquareBall(), CVaR(), TotalVariationBall()):
        with pytest.raises(ValueError, match=message):
            ball.worst_mean(loss, weight)


def test_rows_without_weight_do_not_count():
    for ball in (KLBall(9.0), ChiSquareBall(9.0), CVaR(0.1)):
        assert ball.worst_mean([1.0, 2.0, 50.0], [1.0, 1.0, 0.0]) == pytest.approx(2.0)
