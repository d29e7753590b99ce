"""The neighbour estimate of a divergence against the closed form of two Gaussians."""

import numpy as np
import pytest

from dfl_sklearn.robust._neighbors import neighbor_divergence


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
