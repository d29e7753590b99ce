"""Context through the estimators: columns of X that the problem reads and nothing else changes."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import DFFRegressor, DFLRegressor, TwoStageRegressor
from dfl_sklearn.metrics import d2_regret_score
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.robust import GaussianNoise, KLBall, WassersteinBall

from .with_context import CAPPED, QUICK, flagship, rows

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def data():
    return rows()


def models():
    """One estimator for each way through the code, with the context as a feature or without."""
    seen, unseen = ({"context": "capacity", "context_is_feature": each} for each in (True, False))
    fine = {**QUICK, "cv": 2}
    return {
        "net": DFLRegressor(CAPPED, **seen, **QUICK),
        "net, unseen": DFLRegressor(CAPPED, **unseen, **QUICK),
        "kl": DFLRegressor(CAPPED, ambiguity_set=KLBall(0.1), **seen, **QUICK),
        "noise, unseen": DFLRegressor(CAPPED, ambiguity_set=GaussianNoise(0.1), **unseen, **QUICK),
        "wasserstein": DFLRegressor(
            CAPPED, ambiguity_set=WassersteinBall(0.1), **seen, **{**QUICK, "max_iter": 3}
        ),
        "two-stage": TwoStageRegressor(LinearRegression(), CAPPED, **seen),
        "two-stage, unseen": TwoStageRegressor(LinearRegression(), CAPPED, **unseen),
        "fine-tuning": DFFRegressor(LinearRegression(), CAPPED, **seen, **fine),
        "fine-tuning, unseen": DFFRegressor(LinearRegression(), CAPPED, **unseen, **fine),
        "predictions": DFFRegressor(
            LinearRegression(), CAPPED, inputs="predictions", **seen, **fine
        ),
        "flagship, unseen": flagship(**unseen),
    }


@pytest.fixture(params=models(), ids=str)
def model(request):
    return clone(models()[request.param])


def test_decisions_keep_to_the_limit_of_their_row_and_no_more_is_seen_than_features(model, data):
    X, y = data
    model.fit(X, y)
    orders = model.decide(X)
    assert (orders <= X["capacity"] + 1e-9).all()
    assert (orders > 4.0).any()
    assert_array_equal(orders, CAPPED.solve(model.predict(X), context=X))
    assert model.n_features_in_ == 3
    assert list(model.feature_names_in_) == list(X.columns)
    # The score is that of these decisions, and of a null model that knows the capacity.
    assert model.score(X, y) == pytest.approx(
        d2_regret_score(y, model.predict(X), problem=CAPPED, context=X)
    )
    stored = pickle.loads(pickle.dumps(model))
    assert_array_equal(stored.decide(X), orders)
    # What is no feature does not reach the predictor.
    other = X.assign(capacity=X["capacity"].to_numpy()[::-1])
    same = np.array_equal(model.predict(X), model.predict(other))
    assert same is not model.context_is_feature


def test_a_row_of_weight_two_is_the_row_twice(model, data):
    X, y = (each[:60] for each in data)
    weight = np.random.default_rng(1).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), weight)
    if model.get_params().get("cv"):
        model.set_params(cv=2)
    weighted = clone(model).fit(X, y, sample_weight=weight.astype(float))
    repeated = clone(model).fit(X.iloc[rows], y[rows])
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


@pytest.mark.parametrize(
    "context",
    [
        "capacity",
        ["capacity"],
        1,
        [1],
        slice("capacity", "capacity"),
        [False, True, False],
        make_column_selector(pattern="cap"),
    ],
    ids=["name", "names", "position", "positions", "slice", "mask", "callable"],
)
def test_columns_are_selected_as_in_a_column_transformer(context, data):
    X, y = data
    expected = DFLRegressor(CAPPED, context="capacity", **QUICK).fit(X, y).decide(X)
    found = DFLRegressor(CAPPED, context=context, **QUICK).fit(X, y).decide(X)
    assert_array_equal(found, expected)


def test_positions_need_no_names(data):
    X, y = data
    by_position = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    found = DFLRegressor(by_position, context=[1], **QUICK).fit(X.to_numpy(), y)
    expected = DFLRegressor(CAPPED, context="capacity", **QUICK).fit(X, y)
    assert_array_equal(found.decide(X.to_numpy()), expected.decide(X))


def test_the_order_in_which_columns_are_selected_does_not_matter_to_names(data):
    X, y = data
    X = X.assign(dear=np.where(X["rain"] > 0, 9.0, 4.0))
    problem = MultiProductNewsvendorProblem(
        FromContext("dear"), 1.0, capacity=FromContext("capacity")
    )
    orders = [
        DFLRegressor(problem, context=context, **QUICK).fit(X, y).decide(X)
        for context in (["capacity", "dear"], ["dear", "capacity"])
    ]
    assert_array_equal(*orders)


def test_columns_of_a_table_are_found_by_name_where_they_have_gone(data):
    X, y = data
    model = TwoStageRegressor(
        make_pipeline(PassNames(), LinearRegression()), CAPPED, context="capacity"
    )
    model.fit(X, y)
    turned = X[["rain", "warm", "capacity"]]
    assert_array_equal(model.decide(turned), model.decide(X))


class PassNames(StandardScaler):
    """A step that looks for its columns by name, in any order."""

    def fit(self, X, y=None):
        return super().fit(X[sorted(X.columns)], y)

    def transform(self, X):
        return super().transform(X[sorted(X.columns)])


def test_what_is_wrong_is_said(data):
    X, y = data
    with pytest.raises(ValueError, match=r"reads 'capacity' from the context, but none was given"):
        DFLRegressor(CAPPED, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"keep_context\(StandardScaler\(\), \['capacity'\]\)"):
        make_pipeline(StandardScaler(), DFLRegressor(CAPPED, context="capacity", **QUICK)).fit(X, y)
    with pytest.raises(ValueError, match="NewsvendorProblem takes no context"):
        DFLRegressor(NewsvendorProblem(9, 1), context="capacity", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"not among the columns of X: it has \['warm'"):
        DFLRegressor(CAPPED, context="cap", **QUICK).fit(X, y)
    renamed = ColumnTransformer(
        [("scale", StandardScaler(), ["warm"])], remainder="passthrough"
    ).set_output(transform="pandas")
    with pytest.raises(ValueError, match=r"made 'remainder__capacity' of it: put keep_context"):
        make_pipeline(renamed, DFLRegressor(CAPPED, context="capacity", **QUICK)).fit(X, y)
    with pytest.raises(ValueError, match=r"reads 'capacity' .* it selects \['rain'\]"):
        DFLRegressor(CAPPED, context="rain", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="by name, but X is an array"):
        DFLRegressor(CAPPED, context=1, **QUICK).fit(X.to_numpy(), y)
    with pytest.raises(ValueError, match="leaves the predictor none"):
        DFLRegressor(CAPPED, context="capacity", context_is_feature=False, **QUICK).fit(
            X[["capacity"]], y
        )
    with pytest.raises(ValueError, match="selects no column"):
        DFLRegressor(CAPPED, context=[], **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="twice"):
        DFLRegressor(CAPPED, context=[1, 1], **QUICK).fit(X, y)
    for selection in (3.0, lambda X: None):
        with pytest.raises(
            TypeError, match="context must be a name, a position, a list or a slice"
        ):
            DFLRegressor(CAPPED, context=[0], **QUICK).set_params(context=selection)._find_context(
                X
            )
    with pytest.raises(ValueError, match=r"no names \(a step without get_feature_names"):
        DFLRegressor(CAPPED, context="capacity", **QUICK).fit(pd.DataFrame(X.to_numpy()), y)
    with pytest.raises(ValueError, match="have the same name"):
        TwoStageRegressor(LinearRegression(), CAPPED, context="capacity").fit(
            X[["capacity", "capacity"]], y
        )
    bad = X.copy()
    bad.loc[7, "capacity"] = -1.0
    for estimator in (
        TwoStageRegressor(LinearRegression(), CAPPED, context="capacity"),
        DFLRegressor(CAPPED, context="capacity", **QUICK),
        DFFRegressor(LinearRegression(), CAPPED, context="capacity", **QUICK),
    ):
        with pytest.raises(ValueError, match=r"capacity.*row 7"):
            estimator.fit(bad, y)
        with pytest.raises(ValueError, match=r"capacity.*row 7"):
            estimator.fit(X, y).decide(bad)
    for estimator in (
        DFLRegressor(CAPPED, context="capacity", **QUICK),
        DFFRegressor(LinearRegression(), CAPPED, context="capacity", **QUICK),
    ):
        with pytest.raises(ValueError, match=r"capacity.*row 7"):
            estimator.fit(X, y, X_val=bad, y_val=y)


def test_labels_that_are_no_names_are_places(data):
    """As for scikit-learn: what stands first stays first, whatever its label."""
    X, y = data
    labelled = X[["capacity", "warm", "rain"]].set_axis([2, 0, 1], axis=1)
    fresh = labelled.set_axis([0, 1, 2], axis=1)
    problem = MultiProductNewsvendorProblem(9.0, 1.0, capacity=FromContext(0))
    for model in (
        DFLRegressor(problem, context=[0], **QUICK),
        DFFRegressor(LinearRegression(), problem, context=[0], **QUICK),
    ):
        model.fit(labelled, y)
        assert_array_equal(model.context_of(fresh)[:, 0], X["capacity"])
        assert_array_equal(model.decide(fresh), model.decide(labelled))
