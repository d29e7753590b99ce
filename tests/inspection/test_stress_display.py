"""The picture of a stress test."""

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt
from sklearn.linear_model import LinearRegression, QuantileRegressor

from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.inspection import StressTestDisplay
from dfl_sklearn.model_selection import stress_test
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def result(short_epochs):
    X, y = make_newsvendor(200, random_state=0)
    models = {
        "mean": LinearRegression().fit(X[:100], y[:100]),
        "quantile": QuantileRegressor(quantile=0.9, alpha=0).fit(X[:100], y[:100]),
    }
    return stress_test(
        *(models, X[100:], y[100:]),
        problem=NewsvendorProblem(9, 1),
        radius=(0.1, 0.02),
        generator=DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=8, max_iter=2),
        n_samples=1000,
        random_state=0,
    )


def test_lines_start_at_the_nominal_regret_and_bars_are_shifts(result):
    display = StressTestDisplay.from_result(result, n_columns=3, lw=3)
    left, right = display.axes_
    levels = result.to_frame()
    lines = {line.get_label(): line for line in left.lines}
    for name in ("mean", "quantile"):
        own = levels[levels["estimator"] == name].sort_values("radius")
        np.testing.assert_array_equal(lines[name].get_xdata(), [0, 0.02, 0.1])
        np.testing.assert_array_equal(
            lines[name].get_ydata(), [own["nominal"].iloc[0], *own["worst"]]
        )
        assert lines[name].get_linewidth() == 3
        dashed = [line.get_ydata() for line in left.lines if line.get_linestyle() == "--"]
        assert [own["real"].iloc[0]] * 2 in [list(each) for each in dashed]
    assert len(right.containers) == 2
    labels = [text.get_text() for text in right.get_yticklabels()]
    assert len(labels) == 3
    assert labels[0] == "y"
    for name, bars in zip(("mean", "quantile"), right.containers, strict=True):
        moved = result.moved_columns(estimator=name, radius=0.1)["shift"]
        np.testing.assert_array_equal([bar.get_width() for bar in bars], moved[labels])
    texts = [text.get_text() for text in left.get_legend().get_texts()]
    assert texts == ["mean", "quantile", "real rows"]


def test_another_radius_and_given_axes(result):
    _, axes = plt.subplots(1, 2)
    display = StressTestDisplay.from_result(result, radius=0.02, ax=axes)
    assert display.axes_[0] is axes[0]
    assert display.figure_ is axes[0].figure
    assert "at radius 0.02" in axes[1].get_xlabel()
    shift = result.moved_columns(estimator="mean", radius=0.02)["shift"]
    np.testing.assert_array_equal(display.shifts["mean"], shift[display.shifts["mean"].index])
    with pytest.raises(ValueError, match="ax must hold 2 axes, got 1"):
        StressTestDisplay.from_result(result, ax=axes[0])
    with pytest.raises(ValueError, match=r"radius=0.5 was not tested"):
        StressTestDisplay.from_result(result, radius=0.5)


def test_a_second_drawing_on_the_same_axes(result):
    display = StressTestDisplay.from_result(result)
    StressTestDisplay.from_result(result, ax=display.axes_)
    assert display.axes_[1].yaxis_inverted()  # what moves most is on top
    with pytest.raises(ValueError, match="axes given show other columns already"):
        StressTestDisplay.from_result(result, n_columns=1, ax=display.axes_)


def test_one_model_of_several(result):
    display = StressTestDisplay.from_result(result, estimator="quantile")
    left, right = display.axes_
    worst = result.to_frame().query("estimator == 'quantile'").sort_values("radius")["worst"]
    np.testing.assert_array_equal(left.lines[0].get_ydata()[1:], worst)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["quantile", "real rows"]
    assert len(right.containers) == 1
    moved = result.moved_columns(estimator="quantile")
    assert display.shifts["quantile"].index[0] == moved.index[0]
    with pytest.raises(ValueError, match="estimator must be one of"):
        StressTestDisplay.from_result(result, estimator="b")
