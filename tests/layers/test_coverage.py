import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import brentq

from dfl_sklearn.layers._projection import nearest_with_sum_at_most


def nearest(z, k):
    """The nearest point of the capped simplex, by the root of its one multiplier."""

    def excess(level):
        return np.clip(z - level, 0, 1).sum() - k

    return np.clip(z - (0 if excess(0) <= 0 else brentq(excess, 0, z.max(), xtol=1e-15)), 0, 1)


@pytest.mark.parametrize("seed", range(30))
def test_projection_agrees_with_a_root_finder(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    k = int(rng.integers(1, n + 1))
    z = rng.choice([0.1, 1.0, 10.0]) * rng.standard_normal((8, n))
    z[::2] = np.round(2 * z[::2]) / 2  # ties, and entries exactly 0 and 1
    found = nearest_with_sum_at_most(torch.as_tensor(z), k).numpy()
    assert_allclose(found, [nearest(row, k) for row in z], atol=1e-12)
    assert (found.sum(axis=1) <= k + 1e-12).all()
