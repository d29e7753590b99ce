"""Where displays draw rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.inspection import DecisionDisplay, ScenarioDisplay
from dfl_sklearn.inspection._places import places
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios

pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("Agg")

N = 8
DAYS = pd.date_range("2026-01-01", periods=N)
KNOWN = [
    (DAYS, DAYS),
    (DAYS.tz_localize("UTC"), DAYS.tz_localize("UTC")),
    (DAYS.to_period("D"), DAYS),
    (pd.interval_range(0, N), np.arange(N) + 0.5),
    (pd.timedelta_range(0, periods=N, freq="h"), pd.timedelta_range(0, periods=N, freq="h")),
    (pd.Index([f"shop {i}" for i in range(N)]), [f"shop {i}" for i in range(N)]),
    (pd.RangeIndex(5, 5 + N), np.arange(5, 5 + N)),
]
BACK_AND_FORTH = [
    DAYS[::-1],
    pd.Index([np.nan, *range(N - 1)]),
    pd.Index(["a", *range(N - 1)]),
    pd.Index(list("ab") * (N // 2)),
    pd.MultiIndex.from_product([range(N // 2), list("ab")]),
    pd.DatetimeIndex([pd.NaT, *DAYS[1:]]),
]


def test_places_are_those_of_the_index():
    for index, expected in KNOWN:
        assert_array_equal(places(pd.Series(0.0, index=index)), np.asarray(expected))
    for index in BACK_AND_FORTH:
        assert places(pd.Series(0.0, index=index)) is None
    for nothing in ([1.0], (1.0,), np.ones(1), torch.ones(1), None):
        assert places(nothing) is None
    frame = pd.DataFrame({"a": [1.0]}, index=[7])
    assert_array_equal(places([2.0], frame), [7])


@pytest.fixture(scope="module")
def model():
    X = np.random.default_rng(0).normal(size=(40, 1))
    maker = ResidualScenarios(LinearRegression(), cv=2)
    return TwoStageRegressor(maker, NewsvendorProblem(9, 1)).fit(X, 9 + X[:, 0])


@pytest.mark.parametrize("display", [DecisionDisplay, ScenarioDisplay])
def test_any_rows_are_drawn(model, display):
    X, y = np.linspace(-1, 1, N)[:, None], np.linspace(8, 10, N)
    indexes = [DAYS.to_period("D"), DAYS.tz_localize("UTC"), BACK_AND_FORTH[2], BACK_AND_FORTH[4]]
    tables = [pd.Series(y, index=each) for each in indexes]
    axes = None
    for given in (*tables, y.tolist(), torch.as_tensor(y)):
        found = display.from_estimator(model, X, given, ax=axes)
        axes = found.axes_
        for each in axes:
            each.clear()
    pyplot.close(found.figure_)
