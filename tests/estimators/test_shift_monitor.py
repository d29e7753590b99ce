"""When to refit: alarms, their words, streams cut in other ways, and what is refused."""

import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import binom
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from dfl_sklearn import ExpertMixture, ShiftMonitor, TwoStageRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import (
    FromContext,
    NewsvendorProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.problems._no_cost import NoCostError

PROBLEM = NewsvendorProblem(9, 1)
X, y = make_newsvendor(700, random_state=0)
MODEL = LinearRegression().fit(X[:300], y[:300])
REFERENCE, STREAM = slice(300, 500), slice(500, 700)
QUICK = {"window": 20, "horizon": 100, "cv": 2, "classifier": LogisticRegression()}


class RowMean(RegressorMixin, BaseEstimator):
    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(X, dtype=float).mean(axis=1)


@pytest.fixture(autouse=True)
def _few_streams(monkeypatch):
    monkeypatch.setattr("dfl_sklearn.online.cusum._N_STREAMS", 400)


def monitor(model=MODEL, problem=PROBLEM, **params):
    return ShiftMonitor(model, problem, **{**QUICK, **params}).fit(X[REFERENCE], y[REFERENCE])


def state(found):
    return [
        *(found.cost_statistic_, found.feature_p_values_, found.feature_aucs_),
        *(found.cost_alarm_at_, found.costs_risen_since_, found.feature_alarm_at_),
        *(found.n_rows_seen_, found.alarm_),
    ]


def assert_same(one, other):
    for a, b in zip(state(one), state(other), strict=True):
        assert_array_equal(a, b)


def test_higher_costs_and_moved_features_sound_their_alarms():
    found = monitor().update(X[STREAM], y[STREAM])
    assert not found.alarm_
    said = "No alarm. Costs: no rise in 200 rows. Features: no shift in 9 tests"
    assert found.report().startswith(said)
    dearer = pickle.loads(pickle.dumps(found)).update(X[STREAM], 2 * y[STREAM])
    assert 200 <= dearer.cost_alarm_at_ < 210
    assert 195 <= dearer.costs_risen_since_ <= dearer.cost_alarm_at_
    assert dearer.feature_alarm_at_ is None
    said = f"Refit the model. Costs: an alarm in row {dearer.cost_alarm_at_}; from row "
    assert dearer.report().startswith(said)
    moved = pickle.loads(pickle.dumps(found)).update(X[STREAM] + 3)  # before any y is known
    assert moved.feature_alarm_at_ in (219, 239)  # a classifier knows the shift after 220
    assert moved.feature_aucs_[-1] > 0.9
    assert moved.cost_alarm_at_ is None
    assert "Features: a shift in the 20 rows up to row " in moved.report()


def test_false_alarms_of_both_are_as_many_as_asked_for():
    alpha, n_streams, n_alarms = 0.2, 40, 0
    for seed in range(n_streams):
        rng = np.random.default_rng(seed)
        rows, costs = rng.normal(size=(200, 2)), rng.exponential(size=200)
        params = {**QUICK, "classifier": GaussianNB()}
        found = ShiftMonitor(alpha=alpha, **params).fit(rows[:100], costs=costs[:100])
        n_alarms += found.update(rows[100:], costs=costs[100:]).alarm_
    low, high = binom.ppf([1e-3, 1 - 1e-3], n_streams, alpha)
    assert low <= n_alarms <= high


@pytest.mark.parametrize("as_table", [False, True])
def test_streams_cut_in_other_ways_give_the_same_bits(as_table):
    costs = PROBLEM.cost(MODEL.predict(X), y)
    rows = pd.DataFrame(X, columns=list("abcdefgh")[: X.shape[1]]) if as_table else X
    at = rows.iloc if as_table else rows
    reference = ShiftMonitor(**QUICK).fit(at[REFERENCE], costs=costs[REFERENCE])
    once = pickle.loads(pickle.dumps(reference)).update(at[STREAM], costs=2 * costs[STREAM])
    for cuts in ([*range(500, 620), 700], [500, 501, 519, 541, 541, 700]):
        cut = pickle.loads(pickle.dumps(reference))
        for low, high in pairwise(cuts):
            if low < high:
                cut.update(at[low:high], costs=2 * costs[low:high])
        assert_same(cut, once)
    apart = pickle.loads(pickle.dumps(reference)).update(at[STREAM])
    assert_same(apart.update(costs=2 * costs[STREAM]), once)
    assert once.cost_alarm_at_ is not None


def test_costs_are_those_of_the_decisions():
    by_y = monitor().update(X[STREAM], y[STREAM])
    costs = PROBLEM.cost(PROBLEM.solve(MODEL.predict(X)), y)
    by_cost = ShiftMonitor(**QUICK).fit(X[REFERENCE], costs=costs[REFERENCE])
    assert_same(by_cost.update(X[STREAM], costs=costs[STREAM]), by_y)
    assert_array_equal(by_y.reference_costs_, costs[REFERENCE])
    regret = monitor(metric="regret")
    assert_array_equal(regret.reference_costs_, (costs - PROBLEM.optimal_cost(y))[REFERENCE])


def test_a_level_that_is_too_small_is_named_as_it_was_given():
    costs = PROBLEM.cost(MODEL.predict(X), y)[REFERENCE]
    small = {**QUICK, "alpha": 1.5e-4}
    with pytest.raises(
        ValueError, match=r"alpha=0.00015 must be at least 0.0002, of which .* half"
    ):
        ShiftMonitor(**small).fit(X[REFERENCE], costs=costs)
    ShiftMonitor(**small).fit(costs=costs)
    with pytest.raises(ValueError, match=r"alpha=5e-05 must be at least 0.0001\.$"):
        ShiftMonitor(**{**QUICK, "alpha": 5e-5}).fit(costs=costs)


def test_one_alarm_alone_has_all_of_alpha():
    costs = PROBLEM.cost(MODEL.predict(X), y)[REFERENCE]
    both = ShiftMonitor(**QUICK).fit(X[REFERENCE], costs=costs)
    rows = ShiftMonitor(**QUICK).fit(X[REFERENCE])
    paid = ShiftMonitor(**QUICK).fit(costs=costs)
    assert both.feature_level_ == pytest.approx(0.025 / 4)  # tests after 40, 60, 80, 100 rows
    assert rows.feature_level_ == pytest.approx(0.05 / 4)
    assert rows.cost_threshold_ is None
    assert paid.feature_level_ is None
    assert paid.cost_threshold_ < both.cost_threshold_
    assert paid.update(costs=costs).report().startswith("No alarm. Costs:")
    no_window = monitor(window=None)
    assert no_window.report() == "No alarm. Costs: none yet."
    assert no_window.update(X[STREAM], y[STREAM]).feature_p_values_.size == 0
    assert no_window.cost_threshold_ == paid.cost_threshold_
    new = X[STREAM]
    assert rows.update(new[:39]).report() == (
        "No alarm. Features: not tested yet; the first test takes 40 new rows, and 39 have come."
    )
    assert "no shift in 1 test at" in rows.update(new[39:40]).report()
    assert rows.update(new[40:]).report() == (
        "No alarm. Features: no shift in 9 tests at the level 0.013."
    )


def test_pipelines_tables_policies_and_words():
    table = pd.DataFrame(X[:, :2], columns=["a", "b"])
    table["place"] = np.where(X[:, 0] > np.median(X[:, 0]), "x", "y")
    columns = make_column_transformer((OneHotEncoder(), ["place"]), remainder=StandardScaler())
    model = make_pipeline(columns, TwoStageRegressor(LinearRegression(), PROBLEM))
    model.fit(table[:300], y[:300])
    tell = make_pipeline(clone(columns), LogisticRegression())
    watch = ShiftMonitor(model, **{**QUICK, "classifier": tell}).fit(table[REFERENCE], y[REFERENCE])
    assert list(watch.feature_names_in_) == ["a", "b", "place"]
    assert not watch.update(table[STREAM], y[STREAM]).alarm_
    elsewhere = table[STREAM].assign(place="x")
    assert watch.update(elsewhere, y[STREAM]).feature_alarm_at_ == 239
    with pytest.raises(ValueError, match="feature names should match"):
        watch.update(table[STREAM].rename(columns={"a": "c"}))
    plain = ShiftMonitor(model, **{**QUICK, "classifier": None})
    with pytest.raises(ValueError, match=r"takes only finite numbers: .*Give a classifier"):
        plain.fit(table[REFERENCE], y[REFERENCE])


def test_a_mixture_is_asked_as_it_is_at_the_time():
    mixture = ExpertMixture([("line", LinearRegression())], PROBLEM).fit(X[:300], y[:300])
    watch = ShiftMonitor(mixture, **QUICK).fit(X[REFERENCE], y[REFERENCE])
    watch.update(X[STREAM], y[STREAM])
    mixture.partial_fit(X[STREAM], y[STREAM])
    expected = PROBLEM.cost(mixture.decide(X), y)
    np.testing.assert_allclose(watch.reference_costs_, expected[REFERENCE])


def test_context_reaches_the_problem():
    problem = NewsvendorProblem(FromContext(0), 1.0)
    known = np.abs(X[:, :1]) + 1
    rows = np.column_stack([known, X])
    model = LinearRegression().fit(rows[:300], y[:300])
    found = ShiftMonitor(model, problem, context=[0], **QUICK).fit(rows[REFERENCE], y[REFERENCE])
    expected = problem.cost(model.predict(rows), y, context=known)
    assert_array_equal(found.reference_costs_, expected[REFERENCE])


class NoRemedy(SquaredErrorProblem):
    """Squared error; what is decided below y cannot be made up for."""

    def cost_rows(self, decisions, y, context=None):
        short = np.flatnonzero((decisions < y).any(axis=1))
        if len(short):
            raise NoCostError.at(int(short[0]), "is short", "")
        return super().cost_rows(decisions, y, context)


def test_a_decision_without_a_cost_sounds_the_alarm_at_once():
    rng = np.random.default_rng(0)
    rows = rng.uniform(1, 2, (80, 2))
    came = rows.mean(axis=1) - rng.exponential(size=80)
    watch = ShiftMonitor(RowMean(), NoRemedy(), **QUICK).fit(rows, came)
    came[3] = 5.0
    watch.update(rows[:9], came[:9])
    assert watch.cost_alarm_at_ == 3
    assert np.isfinite(watch.cost_statistic_).sum() == 3
    assert "Costs: the decision of row 3 has no finite cost." in watch.report()
    with pytest.raises(NoCostError, match="row 3 is short"):
        watch.fit(rows, came)
    given = ShiftMonitor(**QUICK).fit(costs=rng.exponential(size=80))
    assert given.update(costs=[0.5, np.inf, 0.5]).cost_alarm_at_ == 1


def test_what_is_refused():
    watch = monitor()
    before = state(watch)
    refused = [
        ((X[STREAM][:, :2],), {}, "features, but ShiftMonitor is expecting"),
        ((X[STREAM], y[:3]), {}, "X has 200 rows, and y has 3"),
        ((X[STREAM], np.column_stack([y, y])[STREAM]), {}, "column"),
        ((X[STREAM],), {"costs": np.full(200, np.nan)}, "costs is no cost at row 0: nan"),
        ((X[STREAM],), {"costs": np.ones(3)}, "X has 200 rows, and costs has 3"),
        ((X[STREAM], y[STREAM]), {"costs": np.ones(200)}, "Give y or costs=, not both"),
        ((), {}, "nothing to watch"),
        ((None, y[STREAM]), {}, "Computing costs from y needs X"),
        ((np.where(X > 0, np.nan, X)[STREAM],), {}, "takes only finite numbers"),
    ]
    plain = pickle.loads(pickle.dumps(watch)).set_params(classifier=None)
    for args, params, message in refused:
        with pytest.raises(ValueError, match=message):
            plain.update(*args, **params)
    assert_same(plain, watch)
    assert len(before) == len(state(plain))
    with pytest.raises(NotFittedError):
        ShiftMonitor(MODEL).update(X, y)
    for name in ("alarm_", "cost_alarm_at_", "costs_risen_since_"):
        with pytest.raises(NotFittedError):
            getattr(ShiftMonitor(MODEL), name)
    with pytest.raises(ValueError, match="reference had no costs"):
        ShiftMonitor(MODEL, PROBLEM, **QUICK).fit(X[REFERENCE]).update(X[STREAM], y[STREAM])
    with pytest.raises(ValueError, match="needs an estimator"):
        ShiftMonitor(**QUICK).fit(X[REFERENCE], y[REFERENCE])
    with pytest.raises(ValueError, match="has no decision problem"):
        ShiftMonitor(MODEL, **QUICK).fit(X[REFERENCE], y[REFERENCE])
    with pytest.raises(ValueError, match="must have at least 40 rows"):
        ShiftMonitor(**QUICK).fit(X[:39])
    with pytest.raises(ValueError, match="at least 30 reference costs, got 29"):
        ShiftMonitor(**QUICK).fit(costs=y[:29])
    with pytest.raises(ValueError, match="horizon=30 must hold two windows of 20"):
        ShiftMonitor(**{**QUICK, "horizon": 30}).fit(X[REFERENCE])
    with pytest.raises(ValueError, match="reference costs is not finite at row 0"):
        ShiftMonitor(**QUICK).fit(costs=[np.inf, *y[:50]])


def test_an_estimator_must_be_fitted_and_stays_so_in_a_clone_where_it_is_frozen():
    with pytest.raises(NotFittedError, match="LinearRegression is not fitted"):
        ShiftMonitor(LinearRegression(), PROBLEM, **QUICK).fit(X[REFERENCE], y[REFERENCE])
    frozen = clone(ShiftMonitor(FrozenEstimator(MODEL), PROBLEM, **QUICK))
    frozen.fit(X[REFERENCE], y[REFERENCE]).update(X[STREAM], y[STREAM])
    assert_same(frozen, monitor().update(X[STREAM], y[STREAM]))


@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks_with_as_few_rows_as_they_have(monkeypatch):
    monkeypatch.setattr("dfl_sklearn.online.cusum.LEAST_WORTH", 0)
    watch = ShiftMonitor(RowMean(), SquaredErrorProblem(), window=5, horizon=20, cv=2)
    check_estimator(watch)
