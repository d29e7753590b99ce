"""Portfolios for tests: variances, and what is held today."""

import numpy as np


def random_covariance(rng, n):
    factors = rng.standard_normal((n, n + 2))
    return factors @ factors.T / n


def random_holdings(rng, n_rows, n, kind):
    """Shares that sum to 1, or to less, none, one asset, even ones."""
    shares = rng.dirichlet(np.full(n, 0.5), n_rows)
    return {
        "all": shares,
        "some cash": shares * rng.uniform(0, 1, (n_rows, 1)),
        "cash": np.zeros((n_rows, n)),
        "one asset": np.eye(n)[rng.integers(n, size=n_rows)],
        "even": np.full((n_rows, n), 1 / n),
        "rounded": shares * (1 + 3e-7),
    }[kind]


KINDS = ["all", "some cash", "cash", "one asset", "even", "rounded"]
