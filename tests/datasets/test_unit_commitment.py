"""Loads, and the stations that are switched on for them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.datasets import make_unit_commitment, unit_commitment_numbers
from dfl_sklearn.problems import RecourseLinearProgram


def test_shapes_and_seeds():
    X, y = make_unit_commitment(30, 3, 6, random_state=0)
    assert X.shape == (30, 3)
    assert y.shape == (30, 6)
    assert (y >= 0).all()
    for one, other in zip((X, y), make_unit_commitment(30, 3, 6, random_state=0), strict=True):
        assert_array_equal(one, other)
    assert (make_unit_commitment(30, 3, 6, random_state=1)[1] != y).all()


def test_what_a_shift_changes():
    X, y = make_unit_commitment(4000, random_state=0)
    for name, moved in (("surge", 25 * 0.25), ("level_up", None), ("noise", 0.0)):
        X_shifted, shifted = make_unit_commitment(4000, shift=name, random_state=0)
        assert_array_equal(X_shifted, X)
        if moved is not None:
            assert_allclose((shifted - y).mean(), moved, atol=0.8)
    level = make_unit_commitment(4000, shift={"level": 2.0, "noise": 0, "surge": 0}, random_state=0)
    plain = make_unit_commitment(4000, shift={"noise": 0, "surge": 0}, random_state=0)
    assert_allclose(level[1], 2 * plain[1])
    # 45 - 12 cos + 4 on average, since squares of standard normals are 1.
    assert_allclose(plain[1].mean(axis=0), [37, 49, 61, 49], atol=0.8)


def test_the_power_of_each_period_by_merit():
    """With given stations the cheapest run first, above their least power."""
    numbers = unit_commitment_numbers(2, 3)
    problem = RecourseLinearProgram(**numbers)
    power, price = 40 * 0.8 ** np.arange(3), 10 * 1.35 ** np.arange(3)
    rng = np.random.default_rng(0)
    on, load = rng.integers(0, 2, (8, 3)).astype(float), rng.uniform(5, 110, (8, 2))
    expected = on @ numbers["c"]
    for i in range(8):
        for need in load[i]:
            given = 0.4 * power * on[i]
            for j in range(3):
                given[j] += np.clip(need - given.sum(), 0, 0.6 * power[j] * on[i, j])
            expected[i] += given @ price + 100 * max(need - given.sum(), 0)
    assert_allclose(problem.cost(on, load), expected)
    every = np.array(list(np.ndindex(2, 2, 2)), dtype=float)
    costs = problem.cost(np.repeat(every, 8, axis=0), np.tile(load, (8, 1))).reshape(8, 8)
    assert_allclose(problem.optimal_cost(load), costs.min(axis=0))


def test_numbers_that_make_no_sense():
    with pytest.raises(ValueError, match="n_periods"):
        make_unit_commitment(10, 2, 0)
    with pytest.raises(ValueError, match="price_of_shortage must be a number above 0"):
        unit_commitment_numbers(price_of_shortage=0)
