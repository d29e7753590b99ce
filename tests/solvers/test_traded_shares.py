"""Portfolios with a cost of trading, against a lower bound of their cost."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dfl_sklearn.solvers.traded_shares import traded_shares

from .portfolios import KINDS, random_covariance, random_holdings


def bound(Q, y, h, t, z):
    """Cost of z less a lower bound, as a share of the terms of the cost.

    With the slope r = Qz - y the cost is at least that of the linear part; with a multiplier of the
    budget this is separable, and each share is best at 0 or as held.
    """
    r = Q @ z - y
    order = np.argsort(r - t)
    full = np.searchsorted(np.cumsum(h[order]), 1.0, side="right")
    level = min([(r + t).min(), *(r - t)[order][full : full + 1]])
    terms = (r - level) * z + t * abs(z - h) - np.minimum(t * h, (r - level) * h)
    size = abs(z * y).sum() + z @ abs(Q) @ z + (t * abs(z - h)).sum()
    return terms.sum() / size if size > 0 else terms.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_no_portfolio_costs_less(kind, n):
    rng = np.random.default_rng(n)
    for size in (1e-6, 0.1, 1.0, 30.0):
        Q = random_covariance(rng, n) * rng.choice([1e-4, 1.0, 1e3])
        unit = np.diag(Q).mean()
        y = unit * rng.standard_normal((25, n))
        t = np.abs(size * unit * rng.standard_normal((25, n))) * (rng.random((25, n)) < 0.8)
        h = random_holdings(rng, 25, n, kind)
        z = traded_shares(Q, y, h, t).shares
        assert (z >= 0).all()
        assert_allclose(z.sum(axis=1), 1.0, atol=1e-12)
        assert max(bound(Q, *each) for each in zip(y, h, t, z, strict=True)) < 1e-13


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e5, 1e150])
def test_units_do_not_matter(scale):
    rng = np.random.default_rng(3)
    Q, y, t = random_covariance(rng, 5), rng.standard_normal((20, 5)), rng.uniform(0, 1, (20, 5))
    h = rng.dirichlet(np.ones(5), 20)
    scaled = traded_shares(scale * Q, scale * y, h, scale * t).shares
    assert_allclose(scaled, traded_shares(Q, y, h, t).shares, atol=1e-9)


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1e20, 1e300])
@pytest.mark.parametrize("rate", [0.0, 1e-300, 1.0, 1e20, 1e300])
def test_numbers_of_any_size_are_solved_for(size, rate):
    rng = np.random.default_rng(4)
    Q, y = random_covariance(rng, 4), size * rng.standard_normal((10, 4))
    t = rate * rng.uniform(0.5, 1, (10, 4))
    for kind in KINDS:
        h = random_holdings(rng, 10, 4, kind)
        z = traded_shares(Q, y, h, t).shares
        assert max(bound(Q, *each) for each in zip(y, h, t, z, strict=True)) < 1e-9


def test_ties_of_all_kinds_end():
    rng = np.random.default_rng(5)
    for _ in range(60):
        n = int(rng.integers(1, 7))
        Q = np.eye(n) * rng.integers(1, 3) + rng.integers(0, 2)
        y, t = rng.integers(-2, 3, (8, n)) / 2, rng.integers(0, 3, (8, n)) / 4
        h = rng.multinomial(4, np.ones(n) / n, 8) / rng.choice([4, 8])
        z = traded_shares(Q, y, h, t).shares
        assert max(bound(Q, *each) for each in zip(y, h, t, z, strict=True)) < 1e-13
        rounded = traded_shares(Q, y, h, t, kink=3.0).shares
        assert_allclose(rounded.sum(axis=1), 1.0, atol=1e-12)


def test_what_cannot_be_solved_is_named():
    y = np.array([[0.0, 0.0], [1e200, -1e200]])
    half = np.full((2, 2), 0.5)
    with np.errstate(all="ignore"), pytest.raises(RuntimeError, match="shares of row 1 could not"):
        traded_shares(1e-200 * np.eye(2), y, half, half)
