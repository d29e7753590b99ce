"""Variables without a choice, against linear programs of their least and largest value."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from dfl_sklearn.solvers.no_choice import no_choice

NOTHING = np.zeros((0, 3)), np.zeros((1, 0))


def found(A=NOTHING[0], b=NOTHING[1], G=NOTHING[0], h=NOTHING[1], low=(0, 0, 0), high=(1, 1, 1)):
    result = no_choice(
        np.array(A, float),
        np.array(b, float),
        np.array(G, float),
        np.array(h, float),
        np.array([low], float),
        np.array([high], float),
    )
    value = [v if held else None for held, v in zip(result.held[0], result.value[0], strict=True)]
    return value, bool(result.is_clear[0])


def test_single_constraints():
    assert found() == ([None] * 3, True)
    assert found(high=(1, 0, 1)) == ([None, 0.0, None], True)
    # No capacity, a sum that needs all there is, and one that leads to another.
    assert found(G=[[1, 2, 0]], h=[[0]]) == ([0.0, 0.0, None], True)
    assert found(G=[[-1, -1, 0]], h=[[-2]]) == ([1.0, 1.0, None], True)
    assert found(A=[[1, 1, 0]], b=[[2]]) == ([1.0, 1.0, None], True)
    assert found(A=[[1, 1, 0], [1, 0, -1]], b=[[2, 1]]) == (
        [1.0, 1.0, 0.0],
        True,
    )
    assert found(G=[[1, -2, 0]], h=[[-2]]) == ([0.0, 1.0, None], True)
    # Without a bound nothing follows.
    assert found(G=[[1, 2, 0]], h=[[0]], low=(0, -np.inf, 0)) == ([None] * 3, True)
    # Nothing satisfies these.
    assert not found(G=[[1, 1, 0]], h=[[-0.1]])[1]
    assert not found(A=[[1, 1, 0]], b=[[2.1]])[1]
    assert not found(A=[[1, 0, 0], [1, 1, 1]], b=[[1, 0]])[1]
    assert not found(low=(0, 2, 0))[1]
    # Numbers as rounded as 0.1 + 0.2.
    assert found(A=[[1, 1, 1]], b=[[0.1 + 0.2]], high=(0.1, 0.2, 0.0))[0] == [0.1, 0.2, 0.0]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_held_has_a_single_value(seed):
    rng = np.random.default_rng(seed)
    n, m, p, B = 4, 3, 1, 5
    A, G = rng.integers(-1, 3, (p, n)).astype(float), rng.integers(-1, 3, (m, n)).astype(float)
    inside = rng.integers(0, 3, (B, n)).astype(float)
    low = inside - rng.integers(0, 2, (B, n))
    high = inside + rng.integers(0, 2, (B, n))
    b, h = inside @ A.T, inside @ G.T + rng.integers(0, 2, (B, m))
    result = no_choice(A, b, G, h, low, high)
    assert result.is_clear.all()
    assert_array_equal(result.value[~result.held], 0.0)
    for i, j in np.argwhere(result.held):
        bounds = np.stack([low[i], high[i]], axis=1)
        for sign in (1, -1):
            best = linprog(sign * np.eye(n)[j], G, h[i], A, b[i], bounds=bounds)
            assert_allclose(sign * best.fun, result.value[i, j], atol=1e-9)
    # Contradictions that a single constraint shows are seen.
    h[2, 0] = np.minimum(G[0] * low[2], G[0] * high[2]).sum() - 1.0
    is_clear = no_choice(A, b, G, h, low, high).is_clear
    assert_array_equal(is_clear, [True, True, False, True, True])
