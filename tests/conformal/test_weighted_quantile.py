"""The weighted quantile against its definition, in rational arithmetic and with rows repeated."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dfl_sklearn._conformal.groups import lowest_of, quantile_of_rows, quantiles_of
from dfl_sklearn._conformal.quantile import WeightedQuantile, conformal_quantile


def by_definition(scores, weight, new, level):
    """The least score up to which the weights reach `level` of all, the new row's included."""
    weight = [Fraction(float(each)) for each in weight]
    wanted = Fraction(str(level)) * (sum(weight) + Fraction(float(new)))
    for each in sorted(scores):
        if sum(w for w, s in zip(weight, scores, strict=True) if s <= each) >= wanted:
            return each
    return math.inf


@pytest.mark.parametrize("level", [0.1, 0.29, 0.5, 0.9, 0.95])
def test_it_is_the_quantile_of_the_definition(level):
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 30):
        scores = rng.integers(0, 12, n).astype(float)  # with ties
        weight = np.where(rng.random(n) < 0.2, 0.0, rng.lognormal(0, 2, n))
        weight[0] = 1.0
        new = np.r_[0.0, rng.lognormal(0, 3, 20), weight, weight.sum()]
        found = WeightedQuantile(scores, np.ones(n), weight, level)
        expected = [by_definition(scores, weight, each, level) for each in new]
        assert_array_equal(found(new), expected)
        assert found.lowest == expected[0]
        # The largest weight that it says is the last with a finite quantile.
        most = found.largest_weight
        assert by_definition(scores, weight, most, level) < math.inf
        assert by_definition(scores, weight, np.nextafter(most, np.inf), level) == math.inf


@pytest.mark.parametrize("level", [0.3, 0.5, 0.9])
def test_whole_weights_are_rows_repeated(level):
    rng = np.random.default_rng(1)
    for n in (1, 5, 40):
        scores, counts = rng.integers(0, 9, n).astype(float), rng.integers(1, 4, n)
        weight = rng.integers(1, 5, n)
        found = WeightedQuantile(scores, counts.astype(float), weight.astype(float), level)
        for new in range(1, 12):
            sample = np.sort(np.r_[np.repeat(scores, counts * weight), np.full(new, np.inf)])
            place = math.ceil(Fraction(str(level)) * len(sample)) - 1
            assert found(np.array([float(new)]))[0] == sample[place]


@pytest.mark.parametrize("unit", [1.0, 0.1, 1 / 3, 1e-200, 1e200, 5e-324])
def test_equal_weights_are_none_in_any_unit(unit):
    rng = np.random.default_rng(2)
    for n in (1, 9, 19, 60):
        scores, count = rng.integers(0, 12, n).astype(float), rng.uniform(0.2, 2, n)
        for level in (0.5, 0.9, 0.95):
            found = WeightedQuantile(scores, np.ones(n), np.full(n, unit), level)
            plain = conformal_quantile(scores, np.ones(n), level)
            assert_array_equal(found(np.full(2, unit)), [plain, plain])
        found = WeightedQuantile(scores, count, np.ones(n), 0.7)
        assert found(np.ones(1))[0] == conformal_quantile(scores, count, 0.7)


def test_neither_the_unit_nor_the_order_of_rows_matters():
    rng = np.random.default_rng(3)
    scores, weight = rng.standard_normal(80), rng.lognormal(0, 1, 80)
    new, order = rng.lognormal(0, 1, 200), rng.permutation(80)
    found = WeightedQuantile(scores, np.ones(80), weight, 0.9)
    for unit in (0.7, 1e6, 2.0**-40):
        other = WeightedQuantile(scores, np.ones(80), unit * weight, 0.9)
        assert_array_equal(other(unit * new), found(new))
        assert other.largest_weight == pytest.approx(unit * found.largest_weight)
    shuffled = WeightedQuantile(scores[order], np.ones(80), weight[order], 0.9)
    assert pickle.dumps(shuffled) == pickle.dumps(found)
    assert len(found.scores) < 80  # those that are never the quantile are not kept


def test_copies_of_a_row_are_its_count_to_the_bit():
    rng = np.random.default_rng(4)
    scores, weight, count = rng.standard_normal(40), rng.lognormal(0, 1, 40), rng.integers(1, 4, 40)
    one = WeightedQuantile(scores, count.astype(float), weight, 0.9)
    at = rng.permutation(np.repeat(np.arange(40), count))
    assert_array_equal(
        WeightedQuantile(scores[at], np.ones(len(at)), weight[at], 0.9).up_to, one.up_to
    )


def test_infinite_scores_are_never_promised():
    scores = np.r_[np.arange(18.0), np.inf, np.inf]
    found = WeightedQuantile(scores, np.ones(20), np.ones(20), 0.8)
    assert_array_equal(found(np.array([0.0, 2.5, 2.51])), [15.0, 17.0, np.inf])
    assert WeightedQuantile(scores, np.ones(20), np.ones(20), 0.95).lowest == np.inf


def test_each_group_has_weights_of_its_own():
    scores, shift = (
        np.r_[np.arange(9.0), 100 + np.arange(12.0)],
        np.r_[np.ones(9), np.full(12, 4.0)],
    )
    labels = ["a"] * 9 + ["b"] * 12
    found = quantiles_of(scores, np.ones(21), labels, 0.9, shift)
    assert lowest_of(found) == [8.0, 110.0]
    asked = np.array([4.0, 1.0, 0.0, 5.0])
    rows = quantile_of_rows(found, ["b", "a", "b", "b"], asked)
    assert_array_equal(rows, [111.0, 8.0, 110.0, 111.0])
    for k, label in enumerate(["b", "a", "b", "b"]):
        at = np.array([each == label for each in labels])
        assert rows[k] == by_definition(scores[at], shift[at], asked[k], 0.9)
    with pytest.raises(
        ValueError,
        match=r"promised for rows 1, 2 of X: the shift weight of row 1 is 1\.5, and the "
        r"calibration rows of group 'a' allow at most 1",
    ):
        quantile_of_rows(found, ["b", "a", "a"], np.array([0.0, 1.5, 2.0]))
    with pytest.raises(ValueError, match="rows 0, 1, 2, 3, 4 and 3 others of X"):
        quantile_of_rows(found, ["a"] * 8, np.full(8, 2.0))
    with pytest.raises(ValueError, match="Row 0 of X is of group 'c'"):
        quantile_of_rows(found, ["c"], np.ones(1))
    with pytest.raises(ValueError, match="of group 'b' all have a shift weight of 0"):
        quantiles_of(scores, np.ones(21), labels, 0.9, np.r_[np.ones(9), np.zeros(12)])
