"""What the picture of a comparison shows."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import TimeSeriesSplit

from dfl_sklearn.inspection import DecisionComparisonDisplay
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import NewsvendorProblem

pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("Agg")
ESTIMATORS = {"mean": DummyRegressor(), "line": LinearRegression()}


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    days = pd.date_range("2026-01-01", periods=60)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"], index=days)
    return X, 20 + X.to_numpy() @ [3.0, 1.0] + rng.normal(size=60)


@pytest.fixture(scope="module")
def result(rows):
    X, y = rows
    return compare_decisions(
        ESTIMATORS,
        *(X, y),
        problem=NewsvendorProblem(3, 1),
        cv=TimeSeriesSplit(4),
        sample_weight=np.arange(60) % 3,
        incumbent=y + 1,
        shifts={"late": (X, y + 3), "early": (X, y - 1)},
    )


def test_intervals_sums_and_shifts_are_those_of_the_result(result):
    display = DecisionComparisonDisplay.from_result(result, lw=2.5)
    table = result.differences()
    assert display.names == ["line", "incumbent"]
    for name in ("difference", "low", "high"):
        assert_array_equal(getattr(display, name), table[name])
    left, middle, right = display.axes_
    for j, bars in enumerate(left.containers):
        (ends,) = bars.lines[2][0].get_segments()
        assert_allclose(ends, [[display.low[j], j], [display.high[j], j]])
    assert [each.get_text() for each in left.get_yticklabels()] == display.names
    assert "less that of mean" in left.get_xlabel()
    assert "95 % intervals" in left.get_xlabel()
    weight = result.weight[12:]
    paid = result.costs[12:]
    sums = np.cumsum(weight * (paid["line"] - paid["mean"]))
    line = middle.lines[1]
    assert_allclose(line.get_ydata(), sums[weight > 0])
    assert line.get_lw() == 2.5
    assert_array_equal(display.index, paid.index[weight > 0])
    assert sums.iloc[-1] / weight.sum() == pytest.approx(display.difference[0])
    frame = result.to_frame()
    assert display.shift_costs == {
        name: (frame.loc[name, "mean_cost"], frame.loc[name, "worst_shift_cost"])
        for name in ("mean", "line")  # of the incumbent nothing is known under shifts
    }
    drawn = [(*each.get_xdata(), *each.get_ydata()) for each in right.lines]
    assert drawn == list(display.shift_costs.values())
    assert display.plot(ax=display.axes_).figure_ is display.figure_


def test_another_reference(result):
    display = DecisionComparisonDisplay.from_result(result, reference="incumbent")
    assert display.names == ["mean", "line"]
    assert (display.difference > 0).all()
    assert "less that of incumbent" in display.axes_[1].get_ylabel()


def test_without_shifts_there_are_two_pictures(rows):
    X, y = rows
    found = compare_decisions(ESTIMATORS, X.to_numpy(), y, problem=NewsvendorProblem(3, 1))
    display = DecisionComparisonDisplay.from_result(found)
    assert len(display.axes_) == 2
    assert display.index is None
    assert display.axes_[1].get_xlabel() == "row held out"
    with pytest.raises(ValueError, match="ax must hold 2 axes, got 1"):
        display.plot(ax=pyplot.gca())
    with pytest.raises(ValueError, match="reference='x' is none of"):
        DecisionComparisonDisplay.from_result(found, reference="x")


def test_one_estimator_alone_is_no_comparison(rows):
    X, y = rows
    alone = compare_decisions({"line": LinearRegression()}, X, y, problem=NewsvendorProblem(3, 1))
    with pytest.raises(ValueError, match="There is nothing to draw except 'line'"):
        DecisionComparisonDisplay.from_result(alone)


def test_labels_of_two_years_do_not_overlap():
    days = pd.date_range("2023-01-01", periods=720)
    y = np.random.default_rng(0).normal(20, 3, size=720)
    X = pd.DataFrame({"a": y + 1}, index=days)
    found = compare_decisions(ESTIMATORS, X, y, problem=NewsvendorProblem(3, 1), cv=2)
    display = DecisionComparisonDisplay.from_result(found)
    display.figure_.canvas.draw()
    shown = [each for each in display.axes_[1].get_xticklabels() if each.get_text()]
    boxes = sorted((each.get_window_extent().x0, each.get_window_extent().x1) for each in shown)
    assert len(boxes) >= 3
    assert all(left[1] < right[0] for left, right in pairwise(boxes))


def test_other_models_are_not_drawn_over_the_names_of_these(result, rows):
    display = DecisionComparisonDisplay.from_result(result)
    display.plot(ax=display.axes_)
    X, y = rows
    other = compare_decisions(
        ESTIMATORS, X, y, problem=NewsvendorProblem(3, 1), shifts={"late": (X, y + 3)}
    )
    with pytest.raises(ValueError, match="axes given show other models already"):
        DecisionComparisonDisplay.from_result(other, ax=display.axes_)
