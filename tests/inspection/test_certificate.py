"""The picture of promised and realised costs."""

import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_array_equal

mpl.use("Agg")

from matplotlib import pyplot as plt
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import ConformalDecisions, TwoStageRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.inspection import CertificateDisplay
from dfl_sklearn.problems import NewsvendorProblem


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_picture_shows_the_certificate():
    X, y = make_newsvendor(300, random_state=0)
    model = ConformalDecisions(LinearRegression(), NewsvendorProblem(9, 1), scale="ridge")
    pipe = make_pipeline(StandardScaler(), model).fit(X[:200], y[:200])
    display = CertificateDisplay.from_estimator(pipe, X[200:], y[200:], n_bins=4)
    found = pipe[-1].certificate(pipe[0].transform(X[200:]), y[200:])
    assert_array_equal(display.promised, found.promised)
    assert_array_equal(display.realised, found.realised)
    assert display.coverage == found.coverage
    assert display.mean_promise == pytest.approx(found.mean_promise)
    assert display.mean_cost == pytest.approx(found.mean_cost)
    assert display.coverage_of_bins.mean() == pytest.approx(found.coverage)
    drawn = display.axes_[0].collections[0].get_offsets()
    assert_array_equal(drawn, np.column_stack([found.promised, found.realised]))
    assert display.axes_[1].lines[0].get_ydata()[0] == 0.9
    again = display.plot(ax=display.axes_)
    assert len(again.axes_[0].collections) == 2
    assert len(again.axes_[0].lines) == 1


def test_shares_of_parts_by_hand():
    promised = np.array([3.0, 1.0, 2.0, 4.0, 5.0])
    realised = np.array([3.0, 2.0, 0.0, 9.0, 0.0])
    display = CertificateDisplay.from_predictions(promised, realised, n_bins=2)
    assert display.coverage == 0.6
    # Promises 1, 2 and 3, of which one is broken; 4 and 5, of which one is.
    assert_array_equal(display.coverage_of_bins, [2 / 3, 1 / 2])
    few = CertificateDisplay.from_predictions([1.0], [2.0])
    assert_array_equal(few.coverage_of_bins, [0.0])


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"must both have shape \(n,\)"):
        CertificateDisplay.from_predictions([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="n_bins must be a whole number"):
        CertificateDisplay.from_predictions([1.0], [1.0], n_bins=0)
    with pytest.raises(ValueError, match="realised is not finite"):
        CertificateDisplay.from_predictions([1.0], [np.nan])
    X, y = make_newsvendor(50, random_state=0)
    plain = TwoStageRegressor(LinearRegression(), NewsvendorProblem(9, 1)).fit(X, y)
    with pytest.raises(TypeError, match="TwoStageRegressor promises no cost: put Conformal"):
        CertificateDisplay.from_estimator(plain, X, y)
