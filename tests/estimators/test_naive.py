"""Rules on the last values of a series."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils.estimator_checks import check_estimator

from dfl_sklearn.datasets import make_lagged
from dfl_sklearn.estimators import NaiveForecaster

X, Y = make_lagged(np.array([4.0, 1.0, 7.0, 2.0, 9.0, 3.0, 5.0, 8.0]), n_lags=4, horizon=3)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (NaiveForecaster(), [[2, 2, 2], [9, 9, 9]]),
        (NaiveForecaster("mean"), [[3.5, 3.5, 3.5], [4.75, 4.75, 4.75]]),
        (NaiveForecaster("max"), [[7, 7, 7], [9, 9, 9]]),
        (NaiveForecaster("seasonal", season_length=4), [[4, 1, 7], [1, 7, 2]]),
        (NaiveForecaster("seasonal", season_length=2), [[7, 2, 7], [2, 9, 2]]),
        (NaiveForecaster("last", columns=[0, 1]), [[1, 1, 1], [7, 7, 7]]),
    ],
    ids=str,
)
def test_rules(model, expected):
    assert_array_equal(model.fit(X, Y).predict(X), expected)
    assert_array_equal(model.fit(X, Y[:, 0]).predict(X), np.array(expected)[:, 0])


def test_columns_by_name():
    table = pd.DataFrame(X, columns=["lag_4", "lag_3", "lag_2", "lag_1"]).assign(weekday=3.0)
    model = NaiveForecaster("max", columns=["lag_2", "lag_1"]).fit(table, Y[:, 0])
    assert_array_equal(model.predict(table), [7.0, 9.0])


@pytest.mark.parametrize("length", [None, 5])
def test_a_season_is_at_most_what_is_known(length):
    with pytest.raises(ValueError, match="season_length must be at most the 4 past values"):
        NaiveForecaster("seasonal", season_length=length).fit(X, Y)


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match="must select at least one column of X"):
        NaiveForecaster(columns=[]).fit(X, Y)


def test_it_is_an_estimator():
    check_estimator(NaiveForecaster("mean"))
    check_estimator(NaiveForecaster(columns=[0]))


def test_other_columns_may_hold_anything():
    names = ["lag_4", "lag_3", "lag_2", "lag_1"]
    table = pd.DataFrame(X, columns=names).assign(weekday="Sun", temperature=np.nan)
    model = NaiveForecaster(columns=names).fit(table, Y[:, 0])
    assert_array_equal(model.predict(table), X[:, -1])
    assert model.n_features_in_ == 6
    assert [*model.feature_names_in_] == [*table]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[[*table][::-1]])
    with pytest.raises(ValueError, match="NaN"):
        model.predict(table.assign(lag_1=np.nan))


@pytest.mark.parametrize("names", ["lag_{}", "t-{}", "sales lag {}", "Prev{}"])
@pytest.mark.parametrize(
    "model", [NaiveForecaster(), NaiveForecaster("seasonal", season_length=2)], ids=str
)
def test_columns_with_the_newest_first_are_warned_of(names, model):
    names = [names.format(j) for j in (1, 2, 3, 10)]
    table = pd.DataFrame(X, columns=names)
    with pytest.warns(UserWarning, match="newest first") as warned:
        model.fit(table, Y)
    assert str(warned[0].message).endswith(f"columns={names[::-1]}.")
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        ("last", ["t-4", "t-3", "t-2", "t-1"]),
        ("last", ["lag_10", "lag_9", "lag_2", "lag_1"]),
        ("last", ["x0", "x1", "x2", "x3"]),
        ("last", ["day1", "day2", "day3", "day4"]),
        ("mean", ["lag_1", "lag_2", "lag_3", "lag_4"]),
        ("max", ["lag_1", "lag_2", "lag_3", "lag_4"]),
    ],
)
def test_other_names_are_not_warned_of(strategy, names, recwarn):
    NaiveForecaster(strategy).fit(pd.DataFrame(X, columns=names), Y)
    NaiveForecaster(strategy, columns=[0]).fit(pd.DataFrame(X, columns=names), Y)
    assert not recwarn
