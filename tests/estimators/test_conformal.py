"""Decisions with a promised cost: how often it is kept, and through which doors."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dfl_sklearn import ConformalDecisions, PolicyRegressor, TwoStageRegressor, decide
from dfl_sklearn._conformal.outcomes import Outcomes
from dfl_sklearn._conformal.plans import Plans
from dfl_sklearn.compose import keep_context
from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
)
from dfl_sklearn.robust import CVaR
from dfl_sklearn.scenarios import ResidualScenarios


def newsvendor():
    return NewsvendorProblem(9, 1, nonnegative=False)


class Purchase(DecisionProblem):
    """Buy what is predicted, at a price; what is wrong of it costs more."""

    def solve_rows(self, y, context=None):
        return y

    def cost_rows(self, decisions, y, context=None):
        return (2 * decisions + 5 * abs(y - decisions)).sum(axis=1)


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    return X, 20 + X @ [2.0, -1.0] + np.exp(0.5 * X[:, 0]) * rng.standard_normal(n)


@pytest.mark.parametrize("scale", [None, "planned", "ridge"])
def test_promises_are_kept_as_often_as_said(scale):
    # One new row for each of 200 samples of calibration rows, so that their number is binomial.
    level, n = 0.8, 200
    model = ConformalDecisions(LinearRegression(), Purchase(), confidence_level=level, scale=scale)
    model.fit(*sample(60, seed=2))
    X, y = sample(20 * n, seed=100)
    plans = Plans.of(model.decider_, X)
    rows, kept = Outcomes.of(plans, X, y, None), 0
    for start in range(0, 20 * n, 20):
        first, last = np.arange(start, start + 19), [start + 19]
        quantile = model._certificate.calibrate(rows.take(first, X[first]), None, level)
        new = replace(plans, decisions=plans.decisions[last], planned=plans.planned[last])
        promised = model._certificate.decisions_and_promises(X[last], new, quantile)[1]
        kept += int(rows.realised[last][0] <= promised[0])
    low, high = binom.ppf([0.0005, 0.9995], n, level)
    assert low <= kept <= high  # with 19 rows the probability is exactly 0.8


def test_the_promise_without_a_scale_by_hand():
    X, y = sample(80)
    problem, plain = newsvendor(), LinearRegression().fit(X[:60], y[:60])
    model = ConformalDecisions(LinearRegression(), newsvendor(), scale=None).fit(X, y)
    assert_array_equal(model.estimator_.coef_, plain.coef_)
    z = problem.solve(plain.predict(X))
    planned, realised = problem.cost(z, plain.predict(X)), problem.cost(z, y)
    errors = np.sort((realised - planned)[60:])
    assert model.quantile_ == errors[int(np.ceil(21 * 0.9)) - 1]
    assert_array_equal(model.decide(X), z)
    assert_array_equal(model.predict(X), plain.predict(X))
    assert_allclose(model.promised_cost(X), planned + model.quantile_)
    assert (model.n_calibration_, model.guaranteed_level_) == (20, 0.9)
    found = model.certificate(X[60:], y[60:])
    assert_array_equal(found.realised, realised[60:])
    assert found.coverage == np.mean(realised[60:] <= found.promised)
    assert found.mean_promise == pytest.approx(found.promised.mean())
    assert found.mean_cost == pytest.approx(found.realised.mean())
    two_stages = TwoStageRegressor(FrozenEstimator(plain), newsvendor()).fit(X, y)
    assert model.score(X, y) == two_stages.score(X, y)


@pytest.mark.parametrize("tail", [0, 0.5, 2])
@pytest.mark.parametrize("scale", ["planned", "ridge", KNeighborsRegressor(3)])
def test_a_cost_is_promised_where_its_score_is_the_quantile(scale, tail):
    X, y = sample(120)
    model = ConformalDecisions(Ridge(), Purchase(), scale=scale, tail=tail).fit(X, y)
    z = model.decide(X)
    plans = Purchase().cost(z, model.predict(X))
    size = model._certificate._units.size(X, plans)
    scores = model._certificate._units.scores(model.promised_cost(X) - plans, size)
    assert_allclose(scores, model.quantile_)
    held = model.certificate(X[90:], y[90:])
    assert held.coverage == 28 / 30  # ceil(31 * 0.9) = 28 calibration rows keep it, none is tied


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("scale", [None, "planned", "ridge"])
def test_the_unit_of_the_cost_does_not_matter(scale, factor):
    X, y = sample(120)
    scaled = TransformedTargetRegressor(LinearRegression())
    one, other = (
        ConformalDecisions(scaled, Purchase(), scale=scale).fit(X, c * y) for c in (1.0, factor)
    )
    assert_allclose(other.promised_cost(X), factor * one.promised_cost(X), rtol=1e-9)


def test_a_scale_makes_promises_wide_where_errors_are():
    X, y = sample(2000)
    X_new, y_new = sample(2000, seed=5)
    wide = X_new[:, 0] > 0
    coverage = {}
    for scale, tail in ((None, 0), ("ridge", 0)):
        model = ConformalDecisions(LinearRegression(), newsvendor(), scale=scale, tail=tail)
        found = model.fit(X, y).certificate(X_new, y_new)
        kept = found.realised <= found.promised
        coverage[scale] = kept[wide].mean(), kept[~wide].mean()
    assert abs(np.subtract(*coverage["ridge"])) < 0.5 * abs(np.subtract(*coverage[None]))


def test_calibration_rows_may_be_given():
    X, y = sample(120)
    problem = newsvendor()
    model = ConformalDecisions(LinearRegression(), problem)
    split = clone(model).fit(X, y)
    given = clone(model).fit(X[:90], y[:90], X_cal=X[90:], y_cal=y[90:])
    assert_array_equal(given.promised_cost(X), split.promised_cost(X))
    single = clone(model).set_params(cv=[(np.arange(90), np.arange(90, 120))]).fit(X, y)
    assert_array_equal(single.promised_cost(X), split.promised_cost(X))
    # A model that is fitted already: all rows calibrate.
    frozen = FrozenEstimator(LinearRegression().fit(X[:90], y[:90]))
    prefit = ConformalDecisions(frozen, problem, scale=None).fit(X[90:], y[90:])
    plain = ConformalDecisions(LinearRegression(), problem, scale=None).fit(X, y)
    assert_array_equal(prefit.promised_cost(X), plain.promised_cost(X))
    assert prefit.guaranteed_level_ == 0.9
    scaled = ConformalDecisions(frozen, problem).fit(X[90:], y[90:], X_cal=X[60:90], y_cal=y[60:90])
    assert scaled.n_calibration_ == 30


def test_cross_fitting_by_hand():
    X, y = sample(60)
    problem = newsvendor()
    model = ConformalDecisions(Ridge(), problem, scale=None, cv=3).fit(X, y)
    errors = []
    for rest, held in KFold(3).split(X):
        prediction = Ridge().fit(X[rest], y[rest]).predict(X[held])
        z = problem.solve(prediction)
        errors.extend(problem.cost(z, y[held]) - problem.cost(z, prediction))
    assert model.quantile_ == pytest.approx(np.sort(errors)[int(np.ceil(61 * 0.9)) - 1])
    assert_array_equal(model.predict(X), Ridge().fit(X, y).predict(X))
    assert model.guaranteed_level_ is None
    assert model.n_calibration_ == 60
    assert ConformalDecisions(Ridge(), problem, cv=3).fit(X, y).n_calibration_ == 60


def with_policy():
    return PolicyRegressor(newsvendor(), hidden_layer_sizes=(4,), max_iter=3, random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: TwoStageRegressor(ResidualScenarios(LinearRegression()), newsvendor()),
        lambda: TwoStageRegressor(
            ResidualScenarios(LinearRegression()), newsvendor(), risk=CVaR(0.5)
        ),
        lambda: make_pipeline(StandardScaler(), TwoStageRegressor(Ridge(), newsvendor())),
        lambda: GridSearchCV(TwoStageRegressor(Ridge(), newsvendor()), {"estimator__alpha": [1]}),
        with_policy,
    ],
    ids=["scenarios", "risk", "Pipeline", "search", "policy"],
)
def test_models_that_decide_are_asked(make):
    X, y = sample(48)
    careful = getattr(make(), "risk", None) is not None
    model = ConformalDecisions(make(), scale=None if careful else "planned").fit(X, y)
    assert_array_equal(model.decide(X), decide(make().fit(X[:36], y[:36]), X))
    assert_array_equal(decide(model, X), model.decide(X))
    assert np.isfinite(model.promised_cost(X)).all()
    assert isinstance(model._resolve_problem(), NewsvendorProblem)
    found = model.certificate(X[36:], y[36:])
    assert found.coverage == 12 / 12


def test_the_plan_of_scenarios_is_their_mean_cost():
    X, y = sample(80)
    problem = newsvendor()
    model = ConformalDecisions(ResidualScenarios(LinearRegression()), problem, scale=None)
    model.fit(X, y)
    scenarios = ResidualScenarios(LinearRegression()).fit(X[:60], y[:60]).predict_scenarios(X)
    z = model.decide(X)
    costs = [problem.cost(z, scenarios.values[:, s]) for s in range(scenarios.values.shape[1])]
    planned = np.einsum("sn,ns->n", costs, scenarios.weight)
    assert_allclose(model.promised_cost(X), planned + model.quantile_)


def test_inside_pipelines_searches_and_stores():
    X, y = sample(100)
    inner = ConformalDecisions(Ridge(), newsvendor())
    pipe = make_pipeline(StandardScaler(), inner).fit(X, y)
    assert_array_equal(decide(pipe, X), pipe[-1].decide(pipe[0].transform(X)))
    grid = {"confidence_level": [0.5, 0.8], "estimator__alpha": [0.1, 10.0], "scale": [None]}
    search = GridSearchCV(inner, grid, cv=2).fit(X, y)
    assert search.best_estimator_.promised_cost(X).shape == (100,)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(again.promised_cost(X), search.best_estimator_.promised_cost(X))
    levels = [clone(inner).set_params(confidence_level=c).fit(X, y).quantile_ for c in (0.5, 0.9)]
    assert levels[0] < levels[1]


def test_copies_of_rows_and_weights_are_the_same_to_the_bit():
    X, y = sample(60)
    X_cal, y_cal = sample(40, seed=3)
    rng = np.random.default_rng(0)
    counts, counts_cal = rng.integers(0, 3, 60), rng.integers(0, 3, 40)
    model = ConformalDecisions(Ridge(), newsvendor(), scale="ridge")
    held_out = {"X_cal": X_cal, "y_cal": y_cal, "sample_weight_cal": counts_cal.astype(float)}
    weighted = clone(model).fit(X, y, sample_weight=counts.astype(float), **held_out)
    rows, rows_cal = np.repeat(np.arange(60), counts), np.repeat(np.arange(40), counts_cal)
    rows, rows_cal = rng.permutation(rows), rng.permutation(rows_cal)
    repeated = clone(model).fit(X[rows], y[rows], X_cal=X_cal[rows_cal], y_cal=y_cal[rows_cal])
    assert_allclose(repeated.promised_cost(X), weighted.promised_cost(X), rtol=1e-9)
    plain = ConformalDecisions(FrozenEstimator(Ridge().fit(X, y)), newsvendor(), scale=None)
    one = clone(plain).fit(X, y, sample_weight=counts.astype(float))
    assert one.quantile_ == clone(plain).fit(X[rows], y[rows]).quantile_
    assert one.n_calibration_ == (counts > 0).sum()


def test_weights_are_refused_where_the_estimator_takes_none():
    X, y = sample(60)
    model = ConformalDecisions(KNeighborsRegressor(), newsvendor())
    with pytest.raises(ValueError, match=r"KNeighborsRegressor\.fit does not take it"):
        model.fit(X, y, sample_weight=np.ones(60))


def test_weights_are_routed():
    X, y = sample(80)
    weight = np.random.default_rng(0).uniform(1, 2, 80)
    expected = ConformalDecisions(Ridge(), newsvendor()).fit(X, y, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        for make in (lambda e: e, lambda e: TwoStageRegressor(e, newsvendor())):
            routed = make(Ridge().set_fit_request(sample_weight=True))
            model = ConformalDecisions(routed, newsvendor()).fit(X, y, sample_weight=weight)
            assert_array_equal(model.promised_cost(X), expected.promised_cost(X))


def test_a_promise_for_each_group():
    X, y = sample(400)
    rng = np.random.default_rng(4)
    shop = rng.integers(0, 2, 400)
    y = y + shop * 5 * rng.standard_normal(400)
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "shop": np.array(["quiet", "wild"])[shop]})
    numbers = StandardScaler()
    model = ConformalDecisions(
        make_pipeline(ColumnsOf(["a", "b"]), numbers, LinearRegression()),
        newsvendor(),
        scale=None,
        groups="shop",
    ).fit(table, y)
    assert set(model.quantile_) == {"quiet", "wild"}
    assert model.quantile_["wild"] > 2 * model.quantile_["quiet"]
    promise = model.promised_cost(table)
    # The plans of a newsvendor cost nothing.
    assert_allclose(promise, [model.quantile_[each] for each in table["shop"]], rtol=1e-12)
    with pytest.raises(ValueError, match="Row 2 of X is of group 'new'"):
        model.promised_cost(table.iloc[:3].assign(shop=["quiet", "wild", "new"]))
    few = table.assign(shop=np.where(np.arange(400) > 395, "rare", "quiet"))
    with pytest.raises(ValueError, match="at least 9 calibration rows of group 'rare', got 4"):
        model.fit(few, y)


class ColumnsOf:
    """A step that keeps some columns."""

    def __init__(self, names):
        self.names = names

    def get_params(self, deep=True):
        return {"names": self.names}

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[self.names]


def test_context_reaches_the_decision_and_the_promise():
    rng = np.random.default_rng(0)
    y = rng.uniform(5, 15, (200, 2))
    table = pd.DataFrame({"a": rng.standard_normal(200), "room": rng.uniform(10, 30, 200)})
    problem = MultiProductNewsvendorProblem([9, 3], 1, capacity=FromContext("room"))
    model = ConformalDecisions(
        LinearRegression(), problem, context=["room"], context_is_feature=False, scale=None
    ).fit(table, y)
    plain = LinearRegression().fit(table[["a"]][:150], y[:150])
    z = problem.solve(plain.predict(table[["a"]]), context=table[["room"]])
    assert_array_equal(model.decide(table), z)
    planned = problem.cost(z, plain.predict(table[["a"]]), context=table[["room"]])
    assert_allclose(model.promised_cost(table), planned + model.quantile_)
    assert_array_equal(model.context_of(table)["room"], table["room"])
    assert_array_equal(model.feature_names_in_, ["a", "room"])
    # A decider with a context of its own, and another context at decision time.
    own = ConformalDecisions(
        TwoStageRegressor(LinearRegression(), problem, context="room", context_is_feature=False),
        scale=None,
    ).fit(table, y)
    assert_array_equal(own.promised_cost(table), model.promised_cost(table))
    assert own.score(table, y) == model.score(table, y)
    tight = table[["room"]] / 2
    moved = table.assign(room=tight["room"])
    assert_array_equal(model.promised_cost(table, context=tight), model.promised_cost(moved))
    assert_array_equal(own.decide(table, context=tight), model.decide(moved))
    for same in ("room", ["room"]):
        said = clone(own).set_params(context=same).fit(table, y)
        assert_array_equal(said.promised_cost(table), own.promised_cost(table))
    with pytest.raises(ValueError, match="TwoStageRegressor has its own context='room'"):
        clone(own).set_params(context="a").fit(table, y)
    with pytest.raises(ValueError, match="reads 'room' from the context"):
        ConformalDecisions(LinearRegression(), problem).fit(table, y)
    scenarios = ConformalDecisions(
        ResidualScenarios(LinearRegression()), problem, context="room"
    ).fit(table, y)
    assert scenarios.certificate(table[150:], y[150:]).coverage >= 0.9


def test_a_context_inside_a_pipeline():
    rng = np.random.default_rng(1)
    y = rng.uniform(5, 15, (80, 2))
    table = pd.DataFrame({"a": rng.standard_normal(80), "room": rng.uniform(10, 30, 80)})
    problem = MultiProductNewsvendorProblem([9, 3], 1, capacity=FromContext("room"))
    model = ConformalDecisions(LinearRegression(), problem, context="room", scale=None)
    pipe = make_pipeline(keep_context(StandardScaler(), "room"), model).fit(table, y)
    orders = decide(pipe, table)
    assert (orders.sum(axis=1) <= table["room"] + 1e-9).all()
    assert_array_equal(decide(pipe, table, problem), orders)
    changed = make_pipeline(
        StandardScaler().set_output(transform="pandas"),
        FunctionTransformer(lambda X: X - X.min() + 1),
        clone(model),
    ).fit(table, y)
    with pytest.warns(UserWarning, match="'room', has been changed by a step before Conformal"):
        decide(changed, table)


def test_what_makes_no_sense_is_refused():
    X, y = sample(30)
    with pytest.raises(ValueError, match="at least 9 calibration rows, got 8"):
        ConformalDecisions(Ridge(), newsvendor()).fit(X, y)
    with pytest.raises(ValueError, match="at least 99 calibration rows, got 30"):
        ConformalDecisions(Ridge(), newsvendor(), confidence_level=0.99, cv=3).fit(X, y)
    for level in (0, 1, 90):
        with pytest.raises(ValueError, match="'confidence_level'"):
            ConformalDecisions(Ridge(), newsvendor(), confidence_level=level).fit(X, y)
    with pytest.raises(ValueError, match="both X_cal and y_cal"):
        ConformalDecisions(Ridge(), newsvendor()).fit(X, y, X_cal=X)
    with pytest.raises(ValueError, match="without X_cal"):
        ConformalDecisions(Ridge(), newsvendor()).fit(X, y, sample_weight_cal=y)
    with pytest.raises(ValueError, match="X_cal was given: omit one"):
        ConformalDecisions(Ridge(), newsvendor(), cv=3).fit(X, y, X_cal=X, y_cal=y)
    with pytest.raises(ValueError, match=r"y_cal must have shape \(30,\)"):
        ConformalDecisions(Ridge(), newsvendor()).fit(X, y, X_cal=X, y_cal=y[:-1])
    with pytest.raises(ValueError, match="fits on row 0 and holds it out"):
        ConformalDecisions(Ridge(), newsvendor(), cv=[(range(10), range(30))]).fit(X, y)
    with pytest.raises(ValueError, match="2 distinct training rows, got 1"):
        ConformalDecisions(Ridge(), newsvendor()).fit(X[:1], y[:1], X_cal=X[1:], y_cal=y[1:])


def test_rows_that_calibrate_and_train_are_said():
    X, y = sample(40)
    model = ConformalDecisions(Ridge(), newsvendor())
    with pytest.warns(UserWarning, match="5 of 20 calibration rows are training rows") as said:
        model.fit(X[:25], y[:25], X_cal=X[20:], y_cal=y[20:])
    assert said[0].filename == __file__
    table = pd.DataFrame(X, columns=["a", "b"])
    with pytest.warns(UserWarning, match="40 of 40"):
        model.fit(table, y, X_cal=table, y_cal=y)


def test_random_splits_hold_out_rows_too():
    X, y = sample(100)
    split = ShuffleSplit(1, test_size=0.3, random_state=0)
    model = ConformalDecisions(Ridge(), newsvendor(), cv=split).fit(X, y)
    assert (model.n_calibration_, model.guaranteed_level_) == (30, 0.9)


def test_scenarios_are_asked_for_no_mean_that_nobody_reads():
    class Counting(ResidualScenarios):
        n_asked = 0

        def predict(self, X):
            type(self).n_asked += 1
            return super().predict(X)

    X, y = sample(60)
    model = ConformalDecisions(Counting(LinearRegression()), newsvendor()).fit(X, y)
    model.certificate(X, y)
    assert Counting.n_asked == 0
    model.predict(X)
    assert Counting.n_asked == 1


def test_a_certificate_is_printed_in_short_with_its_groups():
    X, y = sample(160)
    group = np.arange(160) % 2
    rows = np.column_stack([X, group])
    model = ConformalDecisions(Ridge(), Purchase(), groups=-1).fit(rows[:120], y[:120])
    weight = np.where(np.arange(40) < 20, 1.0, 2.0)
    found = model.certificate(rows[120:], y[120:], sample_weight=weight)
    kept = found.realised <= found.promised
    table = found.group_coverage.set_index("group")
    for one in (0.0, 1.0):
        of_it = group[120:] == one
        assert table.loc[one, "weight"] == weight[of_it].sum()
        assert_allclose(table.loc[one, "coverage"], np.average(kept[of_it], weights=weight[of_it]))
    assert_allclose(np.average(table["coverage"], weights=table["weight"]), found.coverage)
    text = repr(found)
    assert text.startswith(f"{found.coverage:.1%} of 40 promised costs kept; mean promise")
    assert "array" not in text
    assert len(text.splitlines()) == 4
    plain = ConformalDecisions(Ridge(), Purchase()).fit(X, y).certificate(X, y)
    assert plain.group_coverage is None
    assert len(repr(plain).splitlines()) == 1
    assert repr(pickle.loads(pickle.dumps(found))) == text
