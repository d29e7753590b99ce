"""The fan of scenarios."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.inspection import ScenarioDisplay
from dfl_sklearn.problems import MultiProductNewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios, Scenarios

pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    days = pd.date_range("2026-01-01", periods=40)
    y = pd.DataFrame(
        30 + X[:, :2] + rng.normal(size=(40, 2)), columns=["bread", "rolls"], index=days
    )
    return X, y


def test_quantiles_are_those_of_numpy():
    rng = np.random.default_rng(0)
    values, weight = rng.integers(0, 9, (3, 12, 2)).astype(float), rng.dirichlet(np.ones(12), 3)
    weight[:, 3] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    levels = [0.0, 0.21, 0.5, 0.83, 1.0]
    found = Scenarios(values, weight).quantiles(levels)
    for i in range(3):
        kept = weight[i] > 0
        for j in range(2):
            expected = np.quantile(
                values[i, kept, j], levels, weights=weight[i, kept], method="inverted_cdf"
            )
            assert_array_equal(found[i, :, j], expected)


def test_a_fan_with_decisions_for_each_product(rows):
    X, y = rows
    problem = MultiProductNewsvendorProblem([9, 4], 1, capacity=60.0)
    model = make_pipeline(
        StandardScaler(), TwoStageRegressor(ResidualScenarios(LinearRegression()), problem)
    ).fit(X, y)
    display = ScenarioDisplay.from_estimator(model, X, y, color="red")
    assert len(display.axes_) == 2
    assert [each.get_ylabel() for each in display.axes_] == ["bread", "rolls"]
    drawn = display.axes_[1].lines[-1]
    assert_allclose(drawn.get_ydata(), model[-1].decide(model[:-1].transform(X))[:, 1])
    assert drawn.get_color() == "red"
    again = display.plot(ax=display.axes_)
    assert again.figure_ is display.figure_


def test_a_bare_scenario_model_has_no_decisions(rows):
    X, y = rows
    model = ResidualScenarios(LinearRegression()).fit(X, y)
    display = ScenarioDisplay.from_estimator(model, X)
    assert display.decisions is None
    assert display.y_true is None
    problem = MultiProductNewsvendorProblem([9, 4], 1, capacity=60.0)
    assert ScenarioDisplay.from_estimator(model, X, problem=problem).decisions.shape == (40, 2)


def test_errors_say_what_is_wrong(rows):
    X, y = rows
    with pytest.raises(ValueError, match="LinearRegression predicts no scenarios"):
        ScenarioDisplay.from_estimator(LinearRegression().fit(X, y), X)
    model = ResidualScenarios(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match=r"y must have shape \(40, 2\)"):
        ScenarioDisplay.from_estimator(model, X, y["bread"])
    display = ScenarioDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="ax must hold 2 axes"):
        display.plot(ax=display.axes_[:1])


def test_rows_out_of_order_are_drawn_one_after_the_other(rows):
    X, y = rows
    model = ResidualScenarios(LinearRegression()).fit(X, y)
    for order, places in ((np.arange(40), y.index), (np.arange(40)[::-1], None)):
        display = ScenarioDisplay.from_estimator(model, X[order], y.iloc[order])
        expected = np.arange(40) if places is None else np.asarray(places)
        assert_array_equal(display.axes_[0].lines[0].get_xdata(), expected)
    levels = pd.MultiIndex.from_product([["a", "b"], range(20)])
    assert ScenarioDisplay.from_estimator(model, X, y.set_axis(levels)).index is None
    names = pd.Index([f"shop {i}" for i in range(40)])
    assert_array_equal(ScenarioDisplay.from_estimator(model, X, y.set_axis(names)).index, names)


def test_names_are_those_of_a_series_and_one_for_each_output(rows):
    X, y = rows
    model = ResidualScenarios(LinearRegression()).fit(X, y["bread"])
    display = ScenarioDisplay.from_estimator(model, X, y["bread"])
    assert display.axes_[0].get_ylabel() == "bread"
    with pytest.raises(ValueError, match="names must be 1, one for each output, got 2"):
        ScenarioDisplay.from_estimator(model, X, names=["bread", "rolls"])
