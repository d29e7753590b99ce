"""The conformal quantile against a count, and groups of rows."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dfl_sklearn._conformal.groups import group_labels, quantile_of_rows, quantiles_of
from dfl_sklearn._conformal.quantile import conformal_quantile, rows_needed


def by_count(scores, level):
    """The least score that at least level * (n + 1) scores do not exceed, level in hundredths."""
    hundredths = round(100 * level)
    for each in sorted(scores):
        if 100 * sum(s <= each for s in scores) >= hundredths * (len(scores) + 1):
            return each
    return math.inf


@pytest.mark.parametrize("level", [0.01, 0.1, 0.29, 0.5, 0.55, 0.57, 0.7, 0.9, 0.95, 0.99])
def test_quantile_is_that_of_a_count(level):
    rng = np.random.default_rng(0)
    for n in range(1, 120):
        scores = rng.integers(0, 12, n).astype(float)  # with ties
        weight = rng.integers(1, 4, n).astype(float)
        expected = by_count(np.repeat(scores, weight.astype(int)), level)
        assert conformal_quantile(scores, weight, level) == expected
        copies = np.repeat(scores, weight.astype(int))
        assert conformal_quantile(copies, np.ones(len(copies)), level) == expected
        order = rng.permutation(n)
        assert conformal_quantile(scores[order], weight[order], level) == expected


@pytest.mark.parametrize("level", [0.05, 0.29, 0.5, 0.57, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_rows_needed_is_the_least_number_with_a_finite_quantile(level):
    least = rows_needed(level)
    assert np.isfinite(conformal_quantile(np.arange(float(least)), np.ones(least), level))
    if least > 1:
        fewer = least - 1
        assert conformal_quantile(np.zeros(fewer), np.ones(fewer), level) == math.inf


def test_known_numbers_of_rows():
    assert [rows_needed(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_one_more_score_is_below_it_as_often_as_promised(level):
    # Of distinct exchangeable scores exactly: by the rank of the last among all of them.
    n = 19
    kept = 0
    for last in range(n + 1):
        others = np.array([s for s in range(n + 1) if s != last], dtype=float)
        kept += last <= conformal_quantile(others, np.ones(n), level)
    assert level <= kept / (n + 1) <= level + 1 / (n + 1)


def test_groups_are_columns_or_what_a_function_returns():
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0], "shop": ["x", "y", "x"], "day": [1, 1, 2]})
    assert group_labels("shop", table) == ["x", "y", "x"]
    assert group_labels(["shop", "day"], table) == [("x", 1), ("y", 1), ("x", 2)]
    assert group_labels(lambda X: X["a"] > 0.5, table) == [False, True, True]
    array = np.array([[1.0, 5.0], [2.0, 5.0]])
    assert group_labels(0, array) == [1.0, 2.0]
    assert group_labels(slice(0, 2), array.tolist()) == [(1.0, 5.0), (2.0, 5.0)]
    assert group_labels(1, sparse.csr_array(array)) == [5.0, 5.0]
    assert group_labels(None, array) is None


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("other", "groups='other' is not among the columns of X"),
        (lambda X: X["a"].to_numpy()[:2], "one value for each of the 3 rows of X"),
        ("a", "The group of row 1 of X is missing"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        group_labels(groups, pd.DataFrame({"a": [0.0, np.nan, 2.0]}))


def test_every_group_has_its_quantile_and_needs_its_rows():
    scores = np.r_[np.arange(9.0), 100 + np.arange(12.0)]
    weight, labels = np.ones(21), ["a"] * 9 + ["b"] * 12
    found = quantiles_of(scores, weight, labels, 0.9)
    assert found == {"a": 8.0, "b": 111.0}
    assert quantile_of_rows(found, ["b", "a"]).tolist() == [111.0, 8.0]
    with pytest.raises(ValueError, match="Row 1 of X is of group 'c', of which there were no"):
        quantile_of_rows(found, ["a", "c"])
    with pytest.raises(ValueError, match="at least 9 calibration rows of group 'a', got 8"):
        quantiles_of(scores[1:], weight[1:], labels[1:], 0.9)
