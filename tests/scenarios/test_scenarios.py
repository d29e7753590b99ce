"""Weighted scenarios, checked where they are made."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.scenarios import Scenarios

VALUES = np.arange(12.0).reshape(2, 3, 2)


def test_weights_are_divided_by_their_sum():
    weight = np.array([[1.0, 2.0, 1.0], [0.0, 3.0, 0.0]])
    found = Scenarios(VALUES, weight)
    expected = np.stack([np.average(VALUES[i], axis=0, weights=weight[i]) for i in range(2)])
    assert_allclose(found.mean, expected)
    assert_array_equal(found.quantiles(0.5), VALUES[:, [1]])
    shares = np.array([[0.1, 0.7, 0.2]] * 2)
    assert_array_equal(Scenarios(VALUES, shares).weight, shares)  # to the bit
    few = Scenarios(VALUES[:, :, :1].astype(np.float32), np.float32(shares))
    assert_allclose(few.weight.sum(axis=1), 1.0, rtol=1e-6)
    assert len(Scenarios(VALUES[:0], shares[:0])) == 0


@pytest.mark.parametrize(
    "weight", [np.zeros((2, 3)), -np.ones((2, 3)), [[1, 1, np.nan]] * 2, [[1, 1, np.inf]] * 2]
)
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match="in every row, but those of row 0 are"):
        Scenarios(VALUES, np.asarray(weight))
    good = np.ones((1, 3))
    with pytest.raises(ValueError, match="in every row, but those of row 1 are"):
        Scenarios(VALUES, np.concatenate([good, np.asarray(weight)[:1]]))


@pytest.mark.parametrize("weight", [np.ones(3), np.ones((2, 2)), np.ones((2, 3, 2)), 1.0])
def test_shapes_that_do_not_go_together_are_refused(weight):
    with pytest.raises(ValueError, match=r"got \(2, 3, 2\) and"):
        Scenarios(VALUES, weight)
    with pytest.raises(ValueError, match=r"got \(2, 3\) and"):
        Scenarios(VALUES[:, :, 0], np.ones((2, 3)))


@pytest.mark.parametrize("n", [10, 20, 40, 50, 200])
def test_quantiles_at_the_steps_are_those_of_the_inverted_distribution(n):
    values, levels = np.arange(1.0, n + 1), np.arange(1, n + 1) / n
    found = Scenarios(values[None, :, None], np.full((1, n), 1 / n)).quantiles(levels)[0, :, 0]
    assert_array_equal(found, values)
    between = levels - 0.5 / n
    found = Scenarios(values[None, :, None], np.full((1, n), 1 / n)).quantiles(between)[0, :, 0]
    assert_array_equal(found, np.quantile(values, between, method="inverted_cdf"))
