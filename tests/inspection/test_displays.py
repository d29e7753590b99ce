"""What the displays compute and draw."""

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import DFFRegressor, DiffusionDRODFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.inspection import (
    BiasCorrectionDisplay,
    DecisionDisplay,
    RadiusCurveDisplay,
    WorstCaseDisplay,
)
from dfl_sklearn.metrics import decision_cost
from dfl_sklearn.problems import (
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    ShortestPathProblem,
)
from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch

pytestmark = pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
PROBLEM = NewsvendorProblem(9, 1)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(150, random_state=0)


def robust(**params):
    return DiffusionDRODFLRegressor(
        PROBLEM,
        generator=DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=3),
        search=TiltedSearch(500),
        hidden_layer_sizes=(),
        max_iter=20,
        random_state=0,
        **params,
    )


@pytest.fixture(scope="module")
def shifted(data):
    """A model of which the worst case differs visibly from the nominal rows."""
    return robust(radius=0.3, nominal_weight=0.0).fit(*data)


def test_decisions_and_cumulated_regret(data):
    X, y = data
    model = TwoStageRegressor(LinearRegression(), PROBLEM).fit(X, y)
    display = DecisionDisplay.from_estimator(model, X, y)
    np.testing.assert_array_equal(display.decisions, model.decide(X))
    np.testing.assert_array_equal(display.best_decisions, y)
    np.testing.assert_allclose(display.regret, PROBLEM.cost(model.decide(X), y))
    line = display.axes_[1].lines[0]
    np.testing.assert_allclose(line.get_ydata(), np.cumsum(display.regret))
    again = DecisionDisplay.from_predictions(
        y, np.full(len(y), 10.0), problem=PROBLEM, name="ten", ax=display.axes_
    )
    assert again.figure_ is display.figure_
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == ["observed", "best decision", "TwoStageRegressor", "ten"]


def _shows_all_lines(ax):
    low, high = ax.get_ylim()
    return all(
        low <= line.get_ydata().min() and line.get_ydata().max() <= high for line in ax.lines
    )


def test_axes_grow_with_what_is_added(data):
    _, y = data
    display = DecisionDisplay.from_predictions(y, y + 1, problem=PROBLEM)
    DecisionDisplay.from_predictions(y, y + 50, problem=PROBLEM, ax=display.axes_)
    assert all(map(_shows_all_lines, display.axes_))
    assert all(ax.get_ylim()[0] <= 0 for ax in display.axes_)
    assert display.axes_[0].get_ylim()[1] == pytest.approx(1.2 * (y.max() + 50))
    for ax in display.axes_:
        ax.set_ylim(0, 7)  # by the user
    DecisionDisplay.from_predictions(y, y + 99, problem=PROBLEM, ax=display.axes_)
    assert all(ax.get_ylim() == (0, 7) for ax in display.axes_)


def test_decision_display_names_what_it_cannot_draw(data):
    X, y = data
    model = LinearRegression().fit(X, y)
    with pytest.raises(ValueError, match="has no decision problem"):
        DecisionDisplay.from_estimator(model, X, y)
    with pytest.raises(ValueError, match="must have the same shape"):
        DecisionDisplay.from_predictions(np.ones((3, 2)), np.ones(3), problem=PROBLEM)
    with pytest.raises(ValueError, match="either y_pred or decisions"):
        DecisionDisplay.from_predictions(y, problem=PROBLEM)
    with pytest.raises(ValueError, match=r"one decision for each parameter.*\(2, 40\).*\(2, 25\)"):
        DecisionDisplay.from_predictions(
            np.ones((2, 40)), decisions=np.ones((2, 25)), problem=ShortestPathProblem.grid(5, 5)
        )
    with pytest.raises(ValueError, match="12 outputs at most, got 13"):
        DecisionDisplay.from_predictions(np.ones((3, 13)), np.ones((3, 13)), problem=PROBLEM)


def test_decisions_for_several_products():
    y = pd.DataFrame({"bread": [3.0, 5.0, 4.0], "rolls": [1.0, 2.0, 6.0]})
    problem = MultiProductNewsvendorProblem([9, 3], 1, capacity=7.0)
    taken = np.array([[3.0, 2.0], [4.0, 3.0], [4.0, 3.0]])
    display = DecisionDisplay.from_predictions(y, decisions=taken, problem=problem, name="taken")
    best = problem.optimum(y.to_numpy())
    np.testing.assert_array_equal(display.decisions, taken)
    np.testing.assert_allclose(display.best_decisions, best.decisions)
    np.testing.assert_allclose(display.regret, problem.cost(taken, y.to_numpy()) - best.cost)
    assert [ax.get_ylabel() for ax in display.axes_] == ["bread", "rolls", "cumulative regret"]
    np.testing.assert_array_equal(display.axes_[1].lines[-1].get_ydata(), taken[:, 1])
    again = DecisionDisplay.from_predictions(y, y, problem=problem, name="known", ax=display.axes_)
    first, second = again.axes_[2].lines
    assert first.get_linestyle() != second.get_linestyle()  # also told apart in grey
    again.plot(ax=again.axes_, c="k", linestyle="-.", linewidth=3)
    chosen = again.axes_[2].lines[-1]
    assert (chosen.get_color(), chosen.get_linestyle(), chosen.get_linewidth()) == ("k", "-.", 3)
    with pytest.raises(ValueError, match=r"ax must hold 3 axes, .* got 2"):
        display.plot(ax=plt.subplots(2)[1])
    taken[2, 1] = 8.0
    with pytest.raises(ValueError, match="exceed the capacity at row 2"):
        DecisionDisplay.from_predictions(y, decisions=taken, problem=problem)


def test_worst_case_rows_and_their_regret(shifted):
    display = WorstCaseDisplay.from_estimator(shifted, n_samples=400, random_state=0)
    assert display.nominal.shape == display.worst.shape == (400, 2)
    assert display.worst_regret.mean() > display.nominal_regret.mean()
    assert display.worst_regret.mean() == pytest.approx(shifted.worst_case_.worst_regret, rel=0.3)
    chosen = WorstCaseDisplay.from_estimator(shifted, feature=2, n_samples=50, random_state=0)
    assert chosen.axes_[0].get_xlabel() == "feature 2"


def test_displays_look_into_pipelines(shifted, data):
    X, y = data
    piped = Pipeline([("model", FrozenEstimator(shifted))])
    display = WorstCaseDisplay.from_estimator(piped, n_samples=50, random_state=0)
    alone = WorstCaseDisplay.from_estimator(shifted, n_samples=50, random_state=0)
    np.testing.assert_array_equal(display.worst, alone.worst)
    with pytest.raises(ValueError, match="LinearRegression has no worst case"):
        WorstCaseDisplay.from_estimator(LinearRegression().fit(X, y))
    tuned = DFFRegressor(LinearRegression(), PROBLEM, max_iter=3, random_state=0)
    pipe = make_pipeline(StandardScaler(), tuned).fit(X, y)
    corrected = BiasCorrectionDisplay.from_estimator(pipe, X, y)
    np.testing.assert_allclose(corrected.backbone + corrected.correction, pipe.predict(X))
    curve = RadiusCurveDisplay.from_estimator(
        make_pipeline(StandardScaler(), robust()), X, y, tests={"all": (X, y)}, radii=(0.0,)
    )
    assert np.isfinite(curve.costs["all"]).all()
    with pytest.raises(ValueError, match="LinearRegression has no radius"):
        RadiusCurveDisplay.from_estimator(LinearRegression(), X, y, tests={})


def test_worst_case_needs_a_radius(data):
    with pytest.raises(AttributeError, match="without a worst case"):
        WorstCaseDisplay.from_estimator(robust(radius=0.0).fit(*data))


def test_radius_curve_is_the_cost_of_each_fit(data):
    X, y = data
    model = robust()
    display = RadiusCurveDisplay.from_estimator(
        model, X, y, tests={"training rows": (X, y)}, radii=(0.0, 0.1)
    )
    expected = [
        decision_cost(y, robust(radius=radius).fit(X, y).predict(X), problem=PROBLEM)
        for radius in (0.0, 0.1)
    ]
    np.testing.assert_allclose(display.costs["training rows"], expected)
    np.testing.assert_allclose(display.ax_.lines[0].get_ydata(), expected)


@pytest.mark.parametrize("trust_region", ["relative", "absolute"])
def test_corrections_and_what_they_did(data, trust_region):
    X, y = data
    model = DFFRegressor(
        LinearRegression(), PROBLEM, trust_region=trust_region, max_iter=20, random_state=0
    ).fit(X, y)
    display = BiasCorrectionDisplay.from_estimator(model, X, y)
    np.testing.assert_array_equal(display.backbone, model.predict_backbone(X))
    np.testing.assert_allclose(display.backbone + display.correction, model.predict(X))
    np.testing.assert_array_equal(display.radius, model.trust_radius(X))
    change = decision_cost(y, model.predict(X), problem=PROBLEM) - decision_cost(
        y, model.predict_backbone(X), problem=PROBLEM
    )
    assert display.regret_change.mean() == pytest.approx(change)
    offsets = display.axes_[1].collections[0].get_offsets()
    np.testing.assert_allclose(offsets[:, 0], display.correction / display.radius)
    np.testing.assert_allclose(offsets[:, 1], display.regret_change)
    again = display.plot(ax=plt.subplots(1, 2)[1], color="red")
    assert again.axes_[0].collections[1].get_facecolor()[0][0] == 1.0


@pytest.mark.parametrize(
    ("correction", "xlim"),
    [
        ([0.1, 0.5], (-0.05, 1.05)),
        ([-0.1, -0.5], (-1.05, 0.05)),
        ([-0.1, 0.5], (-1.05, 1.05)),
        ([0.0, 0.0], (-1.05, 1.05)),
    ],
)
def test_corrections_of_one_sign_leave_no_half_of_the_axis_empty(correction, xlim):
    ones = np.ones(2)
    display = BiasCorrectionDisplay(
        backbone=ones, correction=np.array(correction), radius=ones, regret_change=ones
    ).plot()
    assert display.axes_[1].get_xlim() == pytest.approx(xlim)


def test_corrections_that_are_added_are_not_cut_off():
    ones = np.ones(2)
    parts = {"backbone": ones, "radius": ones, "regret_change": ones}
    first = BiasCorrectionDisplay(correction=np.array([-0.1, -0.5]), **parts).plot()
    BiasCorrectionDisplay(correction=np.array([0.1, 0.5]), **parts).plot(ax=first.axes_)
    assert first.axes_[1].get_xlim() == pytest.approx((-1.05, 1.05))


def test_what_cannot_be_drawn_as_a_correction(data):
    X, y = data
    two_stage = TwoStageRegressor(LinearRegression(), PROBLEM).fit(X, y)
    with pytest.raises(ValueError, match="A TwoStageRegressor has no corrections"):
        BiasCorrectionDisplay.from_estimator(two_stage, X, y)
    model = DFFRegressor(LinearRegression(), PROBLEM, epsilon=0).fit(X, y)
    with pytest.raises(ValueError, match="column=1, but y has 1 columns"):
        BiasCorrectionDisplay.from_estimator(model, X, y, column=1)
    with pytest.raises(ValueError, match="ax must hold two axes, got 1"):
        BiasCorrectionDisplay.from_estimator(model, X, y, ax=plt.gca())
    assert not BiasCorrectionDisplay.from_estimator(model, X, y).correction.any()


def test_decisions_of_the_default_problem_are_drawn(data):
    X, y = data
    model = TwoStageRegressor(LinearRegression()).fit(X, y)
    display = DecisionDisplay.from_estimator(model, X, y)
    np.testing.assert_allclose(display.decisions, model.predict(X))
    np.testing.assert_allclose(display.regret, (model.predict(X) - y) ** 2)
    again = DecisionDisplay.from_predictions(y, model.predict(X))
    np.testing.assert_array_equal(again.regret, display.regret)


def test_a_worst_case_of_named_columns_is_drawn_in_silence(data):
    X, y = data
    frame = pd.DataFrame(X, columns=[f"lag {i}" for i in range(X.shape[1])])
    model = robust(radius=0.3, nominal_weight=0.0).fit(frame, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = WorstCaseDisplay.from_estimator(model, n_samples=50, feature=1, random_state=0)
    assert named.names[0] == "lag 1"
    plain = robust(radius=0.3, nominal_weight=0.0).fit(X, y)
    display = WorstCaseDisplay.from_estimator(plain, n_samples=50, feature=1, random_state=0)
    np.testing.assert_allclose(display.worst_regret, named.worst_regret, rtol=1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"output": 1}, "output=1, but y has 1 columns"),
        ({"feature": 99}, "feature=99, but X has"),
        ({"feature": "lag"}, "feature must be a whole number"),
        ({"n_samples": 0}, "n_samples must be a whole number of at least 2"),
    ],
)
def test_worst_case_display_names_what_it_cannot_draw(shifted, params, message):
    with pytest.raises(ValueError, match=message):
        WorstCaseDisplay.from_estimator(shifted, **params)
