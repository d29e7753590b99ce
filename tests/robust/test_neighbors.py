"""The neighbour estimate of a divergence against the closed form of two Gaussians."""

import numpy as np
import pytest

from dfl_sklearn.robust._neighbors import (
    conditional_neighbor_divergence,
    neighbor_divergence,
)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("divergence", [0.0, 0.1, 0.5])
def test_shifted_gaussians(d, divergence):
    rng = np.random.default_rng(0)
    q = rng.standard_normal((4000, d))
    p = rng.standard_normal((4000, d)) + np.sqrt(2 * divergence / d)
    assert neighbor_divergence(p, q) == pytest.approx(divergence, abs=0.05)


def test_many_columns_are_underestimated_as_documented():
    rng = np.random.default_rng(0)
    q, noise = rng.standard_normal((4000, 6)), rng.standard_normal((4000, 6))
    found = [neighbor_divergence(noise + np.sqrt(2 * D / 6), q) for D in (0.0, 0.1, 0.5)]
    assert found[0] == pytest.approx(0.0, abs=0.05)
    assert 0.03 < found[1] < 0.12
    assert 0.33 < found[2] < 0.5


def test_scaled_gaussians_and_unequal_sizes():
    rng = np.random.default_rng(0)
    p, q = 0.5 * rng.standard_normal((3000, 2)), rng.standard_normal((6000, 2))
    closed_form = 2 * (0.5 * (0.25 - 1) - np.log(0.5))
    assert neighbor_divergence(p, q) == pytest.approx(closed_form, abs=0.05)


CONTEXTS = {
    "two values": lambda rng, n: rng.integers(0, 2, (n, 1)) * 2.0 - 1.0,
    "a few repeated": lambda rng, n: rng.standard_normal(100)[rng.integers(0, 100, n)][:, None],
    "continuous": lambda rng, n: rng.standard_normal((n, 1)),
}


@pytest.mark.parametrize("divergence", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("name", CONTEXTS)
def test_shifts_that_depend_on_the_context(name, divergence):
    """Their mean over contexts is 0, so that rows without their contexts hardly differ."""
    rng = np.random.default_rng(0)
    known = CONTEXTS[name](rng, 4000)
    known = known - known.mean()
    p = rng.standard_normal((4000, 2))
    p[:, :1] += np.sqrt(2 * divergence) * known / known.std()
    q = rng.standard_normal((4000, 2))
    assert conditional_neighbor_divergence(p, q, known) == pytest.approx(divergence, abs=0.11)


def test_the_conditional_estimate_in_many_columns_as_documented():
    rng = np.random.default_rng(0)
    known = rng.standard_normal((4096, 1))
    for d, expected in ((3, 0.4), (6, 0.33)):
        q, p = rng.standard_normal((4096, d)), rng.standard_normal((4096, d))
        p[:, :1] += 0.5 + 0.5 * known / known.std() * np.sqrt(3)
        found = conditional_neighbor_divergence(p, q, known)
        assert found == pytest.approx(expected, abs=0.07)
