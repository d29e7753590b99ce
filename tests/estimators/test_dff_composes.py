"""Fine-tuning inside other tools and around them, and its clear errors."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction import DictVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfl_sklearn import DFFRegressor
from dfl_sklearn.datasets import (
    make_newsvendor,
)
from dfl_sklearn.estimators._correction_rows import cross_fitted_rows
from dfl_sklearn.losses import (
    BlackboxLoss,
    IdentityLoss,
    LogLoss,
    PerturbedFenchelYoungLoss,
    RegretLoss,
    ScoreFunctionLoss,
    SquaredErrorLoss,
)
from dfl_sklearn.problems import (
    NewsvendorProblem,
)
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    DiffusionBall,
    GaussianNoise,
    KLBall,
    NominalSamples,
    TiltedSearch,
    WassersteinBall,
)
from dfl_sklearn.rows import Rows

from .test_dff import GENERATOR, QUICK, TASKS

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def test_over_and_inside_a_pipeline_and_a_search():
    X, y = make_newsvendor(150, random_state=0)
    problem = NewsvendorProblem(9, 1)
    over = DFFRegressor(make_pipeline(StandardScaler(), Ridge()), problem, **QUICK).fit(X, y)
    inside = make_pipeline(StandardScaler(), DFFRegressor(Ridge(), problem, **QUICK)).fit(X, y)
    assert_allclose(over.predict_backbone(X), inside[-1].predict_backbone(inside[0].transform(X)))
    search = GridSearchCV(
        DFFRegressor(Ridge(), problem, **QUICK),
        {"epsilon": [0.0, 0.5], "estimator__alpha": [0.1, 10.0]},
        cv=3,
    ).fit(X, y)
    assert search.best_params_["epsilon"] == 0.5


def test_a_table_with_text():
    X, y = make_newsvendor(150, random_state=0)
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])
    frame["day"] = np.where(np.arange(150) % 7 < 5, "weekday", "weekend")
    encode = make_column_transformer((OneHotEncoder(), ["day"]), remainder="passthrough")
    backbone = make_pipeline(encode, LinearRegression())
    problem = NewsvendorProblem(9, 1)
    with pytest.raises(ValueError, match='Use inputs="predictions"'):
        DFFRegressor(backbone, problem, **QUICK).fit(frame, y)
    model = DFFRegressor(backbone, problem, inputs="predictions", **QUICK).fit(frame, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.decide(frame).shape == (150,)
    # One prediction, one correction.
    order = np.argsort(model.predict_backbone(frame))
    assert model.corrector_.n_features_in_ == 1
    assert np.isfinite(model.predict(frame)[order]).all()
    frame["day"] = frame["day"].astype(object)
    again = clone(model).fit(frame, y)
    assert_array_equal(again.predict(frame), model.predict(frame))


def test_columns_are_found_by_name():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((150, 3)), columns=["warm", "dear", "far"])
    y = 5 + np.abs(frame["warm"].to_numpy()) + rng.exponential(1 + (frame["far"].to_numpy() > 0))
    select = make_column_transformer((StandardScaler(), ["warm", "dear", "far"]))
    backbone = make_pipeline(select, LinearRegression())
    model = DFFRegressor(backbone, NewsvendorProblem(9, 1), **QUICK).fit(frame, y)
    assert not model.fell_back_
    assert_array_equal(model.predict(frame[["far", "warm", "dear"]]), model.predict(frame))
    model.estimator_ = Constant(1.0)  # which does not look
    with pytest.raises(ValueError, match=r"X lacks columns .*: \['dear'\]"):
        model.predict(frame[["far", "warm"]])


def test_what_pandas_cannot_compare():
    X, y = make_newsvendor(60, random_state=0)
    backbone = make_pipeline(DictVectorizer(), Ridge())
    settings = {"inputs": "predictions", **QUICK}
    rows = [{"first": float(each)} for each in X[:, 0]]
    model = DFFRegressor(backbone, NewsvendorProblem(9, 1), **settings).fit(rows, y)
    assert model.predict(rows).shape == (60,)
    windows = np.stack([X, X], axis=2)
    model = DFFRegressor(Constant(9.0), NewsvendorProblem(9, 1), **settings).fit(windows, y)
    assert model.predict(windows).shape == (60,)


def test_the_correction_sees_what_it_is_told_to():
    X, y = make_newsvendor(150, random_state=0)
    inputs = np.column_stack([X, np.full(150, 5.0)])
    moved = np.column_stack([X, np.linspace(4, 6, 150)])
    for name, same in (("X", True), ("both", False)):
        model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), inputs=name, **QUICK)
        net = model.fit(X, y).corrector_
        factors = [net.predict(each)[:, 0] / each[:, -1] for each in (inputs, moved)]
        assert np.allclose(*factors) is same


@pytest.mark.parametrize(
    "setting",
    [
        {"loss": RegretLoss()},
        {"loss": PerturbedFenchelYoungLoss()},
        {"loss": ScoreFunctionLoss()},
        {"loss": SquaredErrorLoss()},
        {"loss": BlackboxLoss()},
        {"loss": IdentityLoss()},
        {"ambiguity_set": KLBall(0.1)},
        {"ambiguity_set": ChiSquareBall(0.1)},
        {"ambiguity_set": GaussianNoise(0.1), "nominal_weight": 0.5},
        {"ambiguity_set": NominalSamples(100, generator=GENERATOR), "nominal_weight": 0.5},
        {"ambiguity_set": DiffusionBall(0.1, generator=GENERATOR, search=TiltedSearch(200))},
        {"ambiguity_set": CVaR(0.8)},
        {"ambiguity_set": WassersteinBall(0.05), "nominal_weight": 0.5, "max_iter": 4},
    ],
    ids=str,
)
def test_losses_and_ambiguity_sets(setting):
    problem, make = TASKS["paths"]
    X, y = make(100, 0)
    model = DFFRegressor(LinearRegression(), problem, epsilon=0.3, **{**QUICK, **setting}).fit(X, y)
    model.fell_back_ = False
    before, after = model.predict_backbone(X), model.predict(X)
    assert (np.abs(after - before) <= 0.3 * np.abs(before) + 1e-12).all()
    assert (after != before).any() == (model.corrector_.best_epoch_ > 0)


def test_a_frozen_backbone_is_not_fitted():
    X, y = make_newsvendor(200, random_state=0)
    X_new, y_new = make_newsvendor(200, random_state=1)
    forest = RandomForestRegressor(10, random_state=0).fit(X, y)
    model = DFFRegressor(FrozenEstimator(forest), NewsvendorProblem(9, 1), **QUICK)
    model.fit(X_new, y_new)
    assert_array_equal(model.predict_backbone(X_new), forest.predict(X_new))
    # Nor is it wrapped, whatever its tags say.
    problem, make = TASKS["portfolio"]
    X, y = make(100, 0)
    model = DFFRegressor(FrozenEstimator(Constant(1.0, 5).fit(X, y)), problem, **QUICK).fit(X, y)
    assert model.predict(X).shape == y.shape
    with pytest.raises(ValueError, match=r"a Constant, predicts shape .*multi_output"):
        DFFRegressor(Constant(1.0, 5), problem, **QUICK).fit(X, y)


def test_splitters():
    X, y = make_newsvendor(120, random_state=0)
    model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), **QUICK)
    clone(model).set_params(cv=KFold(3)).fit(X, y)
    # Rows that are never held out have no prediction to learn from.
    ordered = clone(model).set_params(cv=TimeSeriesSplit(5)).fit(X, y)
    rows = cross_fitted_rows(ordered, X, y, np.ones(120), {}, 0)
    assert len(rows.X) == 100
    for start in range(20, 120, 20):
        before = LinearRegression().fit(X[:start], y[:start]).predict(X[start : start + 20])
        of_these = [int(np.flatnonzero(rows.y[:, 0] == each)[0]) for each in y[start : start + 20]]
        assert_allclose(rows.X[of_these, -1], before)
    with pytest.raises(ValueError, match=r"holds out row .* more than once"):
        clone(model).set_params(cv=ShuffleSplit(5, random_state=0)).fit(X, y)
    i = np.arange(120)
    with pytest.raises(ValueError, match="Split 0 of cv fits on row 0 and holds it out"):
        clone(model).set_params(cv=[(i, i)]).fit(X, y)
    weight = np.where(i < 20, 0.0, 1.0)
    with pytest.raises(ValueError, match="cv holds out no row of positive weight"):
        clone(model).set_params(cv=[(i[20:], i[:20])]).fit(X, y, sample_weight=weight)
    groups = i // 12
    clone(model).set_params(cv=list(GroupKFold(3).split(X, y, groups))).fit(X, y)


def test_given_held_out_rows():
    X, y = make_newsvendor(200, random_state=0)
    X_val, y_val = make_newsvendor(300, random_state=1)
    problem = NewsvendorProblem(9, 1)
    model = DFFRegressor(LinearRegression(), problem, **QUICK).fit(X, y, X_val=X_val, y_val=y_val)
    paid = problem.cost(problem.solve(model.predict_backbone(X_val)), y_val).mean()
    assert model.held_out_regret_.backbone == pytest.approx(paid)
    assert model.held_out_regret_.corrected == pytest.approx(
        problem.cost(problem.solve(model.predict(X_val)), y_val).mean()
    )
    with pytest.raises(ValueError, match="Give both X_val and y_val"):
        clone(model).fit(X, y, X_val=X_val)
    with pytest.raises(ValueError, match="sample_weight_val was given without"):
        clone(model).fit(X, y, sample_weight_val=np.ones(5))
    with pytest.raises(ValueError, match="X_val has 300 rows and y_val has 10"):
        clone(model).fit(X, y, X_val=X_val, y_val=y_val[:10])


def test_metadata_is_routed():
    X, y = make_newsvendor(100, random_state=0)
    weight = np.random.default_rng(0).uniform(1, 2, 100)
    with sklearn.config_context(enable_metadata_routing=True):
        backbone = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            Ridge().set_fit_request(sample_weight=True),
        )
        model = DFFRegressor(backbone, NewsvendorProblem(9, 1), **QUICK)
        model.fit(X, y, sample_weight=weight)
        alone = clone(backbone).fit(X, y, sample_weight=weight)
        assert_array_equal(model.predict_backbone(X), alone.predict(X))
        frozen = DFFRegressor(FrozenEstimator(alone), NewsvendorProblem(9, 1), **QUICK)
        frozen.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(frozen, {"epsilon": [0.1]}, cv=2)
        search.fit(X, y, sample_weight=weight)


def test_weights_reach_what_a_wrapper_wraps():
    X, y = make_newsvendor(100, random_state=0)
    weight = np.random.default_rng(0).uniform(1, 2, 100)
    of_log = TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)
    model = DFFRegressor(of_log, NewsvendorProblem(9, 1), **QUICK).fit(X, y, sample_weight=weight)
    alone = clone(of_log).fit(X, y, sample_weight=weight)
    assert_array_equal(model.predict_backbone(X), alone.predict(X))


def test_several_outputs_over_a_backbone_of_one():
    problem, make = TASKS["portfolio"]
    X, y = make(100, 0)
    model = DFFRegressor(HistGradientBoostingRegressor(max_iter=3), problem, **QUICK).fit(X, y)
    assert model.predict(X).shape == y.shape
    one = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), **QUICK)
    target = np.abs(y[:, :1])
    assert one.fit(X, target).predict(X).shape == (100, 1)
    assert one.fit(X, target[:, 0]).predict(X).shape == (100,)


# -- clear errors ----------------------------------------------------------------------


class Constant(RegressorMixin, BaseEstimator):
    """Predicts what it is told to."""

    def __init__(self, value=0.0, width=None):
        self.value, self.width = value, width

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.full(len(X) if self.width is None else (len(X), self.width), self.value)


def test_a_backbone_of_another_width():
    X, y = make_newsvendor(50, random_state=0)
    with pytest.raises(ValueError, match=r"a Constant, predicts shape \(10, 3\) for 10 rows"):
        DFFRegressor(Constant(1.0, 3), NewsvendorProblem(9, 1)).fit(X, y)
    with pytest.raises(ValueError, match="a Constant, predicts nan at row 0, column 0"):
        DFFRegressor(Constant(np.nan), NewsvendorProblem(9, 1)).fit(X, y)


def test_predictions_of_0_cannot_be_multiplied():
    X, y = make_newsvendor(50, random_state=0)
    model = DFFRegressor(Constant(0.0), NewsvendorProblem(9, 1), **QUICK)
    with pytest.warns(UserWarning, match="100% of the backbone's predictions are exactly 0"):
        model.fit(X, y)
    assert model.fell_back_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(trust_region="absolute").fit(X, y)
    assert not model.fell_back_


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epsilon": 1.5}, r"'epsilon' parameter .* in the range \[0.0, 1.0\]"),
        ({"epsilon": -0.1}, "'epsilon' parameter"),
        ({"trust_region": "wide"}, "'trust_region' parameter"),
        ({"inputs": "y"}, "'inputs' parameter"),
        ({"min_gain": -1}, "'min_gain' parameter"),
        ({"cv": "all"}, "'cv' parameter"),
    ],
)
def test_bad_parameters(params, message):
    X, y = make_newsvendor(50, random_state=0)
    with pytest.raises(ValueError, match=message):
        DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), **params).fit(X, y)


def test_bad_data():
    X, y = make_newsvendor(50, random_state=0)
    model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1))
    with pytest.raises(ValueError, match="y is a negative demand at row 3"):
        model.fit(X, np.where(np.arange(50) == 3, -1.0, y))
    with pytest.raises(ValueError, match="needs predictions between 0 and 1"):
        clone(model).set_params(loss=LogLoss()).fit(X, y)
    with pytest.raises(ValueError, match="at least 2 distinct rows"):
        model.fit(X[:1], y[:1])
    with pytest.raises(ValueError, match=r"but Lone\.fit does not take it"):
        DFFRegressor(Lone(), NewsvendorProblem(9, 1)).fit(X, y, sample_weight=np.ones(50))


class Lone(LinearRegression):
    """Takes no weights."""

    def fit(self, X, y):
        return super().fit(X, y)


def test_the_residual_scale_does_not_see_the_held_out_rows():
    """Errors of a constant backbone are the parameters themselves."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 2)), rng.normal(size=100)
    backbone = FrozenEstimator(DummyRegressor(strategy="constant", constant=0.0).fit(X, y))
    model = DFFRegressor(
        backbone, trust_region="absolute", hidden_layer_sizes=(4,), max_iter=2, random_state=0
    )
    before = model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:]).residual_scale_
    assert_allclose(before, y[:80].std())
    held_out, at_random = {}, Rows.split

    def split(rows, fraction, rng):
        held_out["train"], held_out["valid"] = at_random(rows, fraction, rng)
        return held_out["train"], held_out["valid"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rows, "split", split)
        model.fit(X, y)
    assert len(held_out["valid"].y) == 20
    assert_allclose(model.residual_scale_, held_out["train"].y.std(axis=0))
    assert abs(model.residual_scale_[0] - y.std()) > 1e-6
