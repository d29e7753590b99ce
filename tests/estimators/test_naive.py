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
