"""Comparing estimators by their decisions: costs by row, the table, shifts, contexts, Ctrl-C."""

import pickle
import signal
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVR

from dfl_sklearn import ExpertMixture, TwoStageRegressor, decide
from dfl_sklearn.metrics import decision_cost, normalized_regret
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import FromContext, NewsvendorProblem, ProvisioningProblem
from dfl_sklearn.scenarios import ResidualScenarios

PROBLEM = NewsvendorProblem(3, 1)
MEAN, LINE = DummyRegressor(), LinearRegression()


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    return X, 20 + X @ [3.0, 1.0] + rng.normal(size=60)


@pytest.fixture(autouse=True)
def interrupts_arrive():
    """Where the tests run in the background of a shell, it has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def compare(estimators, X, y, **options):
    return compare_decisions(estimators, X, y, **{"problem": PROBLEM, **options})


def test_costs_means_and_intervals_by_hand():
    """Six rows, two folds of three: the mean of the other fold is what is ordered."""
    y = np.array([1.0, 2.0, 6.0, 4.0, 5.0, 9.0])  # means 3 and 6
    X = np.zeros((6, 1))
    taken = [3.0, 2.0, 2.0, 4.0, 6.0, 8.0]
    with pytest.warns(UserWarning, match="Intervals over 6 rows are rough"):
        found = compare({"mean": MEAN}, X, y, cv=2, incumbent=taken)
    assert_array_equal(found.costs["mean"], [5, 4, 0, 3, 6, 18])
    assert_array_equal(found.costs["incumbent"], [2, 0, 12, 0, 1, 3])
    assert_array_equal(found.best_cost, np.zeros(6))
    assert_array_equal(found.regrets["mean"], found.costs["mean"])
    table = found.to_frame()
    assert_array_equal(table.index, ["mean", "incumbent"])
    assert_array_equal(table["mean_cost"], [6, 3])
    assert_array_equal(table["mean_regret"], [6, 3])
    assert_array_equal(table["relative_regret"], [1, 0.5])
    assert_array_equal(table["price"], [0, -0.5])
    assert_allclose(table["difference"], [0, -3], rtol=1e-15)
    assert table["normalized_regret"].isna().all()  # the best decisions cost nothing
    assert np.isnan(table.loc["incumbent", "fit_seconds"])
    expected = stats.ttest_1samp([-3, -4, 12, -3, -5, -15], 0).confidence_interval(0.95)
    assert_allclose(table.loc["incumbent", ["low", "high"]].astype(float), expected)
    assert np.isnan(table.loc["mean", "low"])
    back = found.differences("incumbent")
    assert_array_equal(back.index, ["mean"])
    assert_allclose(back.loc["mean", ["low", "high"]], [-expected[1], -expected[0]])


def test_blocks_of_unequal_sizes_by_hand():
    y = np.array([1.0, 2.0, 6.0, 4.0, 5.0, 9.0])
    labels = pd.Series(["mon", "mon", "tue", "tue", "tue", "wed"])
    with pytest.warns(UserWarning, match="Intervals over 3 blocks are rough"):
        found = compare(
            {"mean": MEAN}, np.zeros((6, 1)), y, cv=2, incumbent=y, blocks=labels, reference="mean"
        )
    d = -np.array([5, 4, 0, 3, 6, 18])
    share, means = np.array([2, 3, 1]) / 6, np.array([-4.5, -3, -18])
    error = np.sqrt((share**2 * (means - d.mean()) ** 2 / (1 - share)).sum())
    line = found.differences().loc["incumbent"]
    assert line["standard_error"] == pytest.approx(error)
    assert line["degrees_of_freedom"] < 2
    reach = stats.t.ppf(0.975, line["degrees_of_freedom"]) * error
    assert_allclose(line[["low", "high"]].astype(float), (d.mean() - reach, d.mean() + reach))
    assert found.n_blocks == 3
    with pytest.warns(UserWarning, match="4 blocks"):
        equal = compare({"mean": MEAN}, np.zeros((6, 1)), y, cv=2, incumbent=y, blocks=4)
    assert_array_equal(equal.block, [0, 0, 1, 1, 2, 3])


def test_decisions_are_those_of_models_fitted_on_the_other_rows(data):
    X, y = data
    estimators = [
        ("pipe", make_pipeline(StandardScaler(), LINE)),
        ("search", GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2)),
        ("scenarios", ResidualScenarios(LINE)),
        ("two-stage", TwoStageRegressor(LINE, PROBLEM)),
        ("experts", ExpertMixture([("line", LINE), ("mean", MEAN)], PROBLEM)),
    ]
    folds = KFold(3, shuffle=True, random_state=0)
    found = compare(estimators, X, y, cv=folds)
    assert list(found.costs) == [name for name, _ in estimators]
    for name, estimator in estimators:
        expected = np.full(60, np.nan)
        for train, test in folds.split(X):
            model = clone(estimator).fit(X[train], y[train])
            expected[test] = PROBLEM.cost(decide(model, X[test], PROBLEM), y[test])
        assert_array_equal(found.costs[name], expected, err_msg=name)
    assert_array_equal(found.costs["pipe"].round(9), found.costs["two-stage"].round(9))
    assert found.reference == "pipe"


def test_shares_where_best_decisions_cost_something(data):
    X, y = data
    y = y / 10
    problem = ProvisioningProblem(c_min=0.1, c_max=4.0)
    found = compare({"line": LINE, "mean": MEAN}, X, y, problem=problem, cv=2)
    table = found.to_frame()
    decisions = np.full(60, np.nan)
    for train, test in KFold(2).split(X):
        decisions[test] = decide(clone(LINE).fit(X[train], y[train]), X[test], problem)
    paid = {"problem": problem, "decisions": decisions}
    assert table.loc["line", "mean_cost"] == pytest.approx(decision_cost(y, **paid))
    assert table.loc["line", "normalized_regret"] == pytest.approx(normalized_regret(y, **paid))
    regrets = table["mean_regret"]
    assert table.loc["mean", "relative_regret"] == pytest.approx(regrets["mean"] / regrets["line"])
    cost = table["mean_cost"]
    assert cost["line"] < 0
    assert table.loc["mean", "price"] == pytest.approx(
        (cost["mean"] - cost["line"]) / -cost["line"]
    )


def test_weights_enter_fits_and_means(data):
    X, y = data
    weight = np.random.default_rng(1).integers(0, 4, 60).astype(float)
    found = compare({"mean": MEAN, "line": LINE}, X, y, cv=2, sample_weight=weight)
    paid = np.zeros(60)
    for train, test in KFold(2).split(X):
        paid[test] = PROBLEM.cost([np.average(y[train], weights=weight[train])], y[test])
    assert_allclose(found.costs["mean"], paid)
    table = found.to_frame()
    assert table.loc["mean", "mean_cost"] == pytest.approx(np.average(paid, weights=weight))
    assert found.n_blocks == (weight > 0).sum()


def test_rows_without_a_test_set_have_no_cost(data):
    X, y = data
    found = compare({"mean": MEAN, "line": LINE}, X, y, cv=TimeSeriesSplit(4), blocks=12)
    assert found.costs[:12].isna().all().all()
    assert found.best_cost[:12].isna().all()
    assert found.costs[12:].notna().all().all()
    assert_array_equal(found.block, [-1] * 12 + [k for k in range(12) for _ in range(4)])
    assert "Decisions for 48 of 60 rows, each held out once" in repr(found)
    assert "intervals over 12 blocks" in repr(found)


def test_repeated_splits_are_averaged_by_row(data):
    X, y = data
    repeated = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    found = compare({"mean": MEAN, "line": LINE}, X, y, cv=repeated)
    halves = []
    splits = list(repeated.split(X))
    for part in (splits[:3], splits[3:]):
        halves.append(compare({"mean": MEAN, "line": LINE}, X, y, cv=part).costs)
    assert_frame_equal(found.costs, (halves[0] + halves[1]) / 2)
    assert found.n_repeats == 2
    assert "each held out 2 times" in repr(found)
    # A row is one observation, however often it was held out.
    assert found.differences().loc["line", "degrees_of_freedom"] == pytest.approx(59)


def test_shifts_are_decided_by_models_of_all_rows(data):
    X, y = data
    rng = np.random.default_rng(1)
    late, small = X[:20] + rng.normal(size=(20, 2)), X[:5]
    shifts = {"late": (late, y[:20] + 5), "small": (small, y[:5])}
    found = compare({"mean": MEAN, "line": LINE}, X, y, shifts=shifts, incumbent=y)
    for name, (X_shift, y_shift) in shifts.items():
        for label, each in (("mean", MEAN), ("line", LINE)):
            paid = PROBLEM.cost(clone(each).fit(X, y).predict(X_shift), y_shift).mean()
            assert found.shift_costs.loc[label, name] == pytest.approx(paid)
            assert found.shift_regrets.loc[label, name] == pytest.approx(paid)
    table = found.to_frame()
    assert_array_equal(table["worst_shift_cost"], found.shift_costs.max(axis=1, skipna=False))
    assert np.isnan(table.loc["incumbent", "worst_shift_cost"])
    assert_array_equal(found.costs, compare({"mean": MEAN, "line": LINE}, X, y, incumbent=y).costs)


def _plus_one(X):
    return X + 1


CAPPED = ProvisioningProblem(c_min=0.1, c_max=FromContext("capacity"))


@pytest.fixture
def capped():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"warm": rng.uniform(5, 9, 40), "capacity": rng.choice([2.0, 3.0], 40)},
        index=pd.date_range("2026-01-01", periods=40),
    )
    return X, X["warm"].to_numpy() + rng.uniform(0, 1, 40)


def test_each_row_is_decided_and_measured_in_its_context(capped):
    X, y = capped
    taken = X["capacity"] - 0.5
    own = TwoStageRegressor(LINE, CAPPED, context="capacity")
    found = compare_decisions(
        {"own": own, "asked": LINE}, X, y, context="capacity", problem=CAPPED, incumbent=taken
    )
    assert_array_equal(found.costs["own"], found.costs["asked"])
    assert_array_equal(found.best_cost, CAPPED.optimal_cost(y, context=X))
    assert_array_equal(found.costs["incumbent"], CAPPED.cost(taken, y, context=X))
    assert found.costs.index.equals(X.index)
    # In that of the estimator, where none is named.
    assert_frame_equal(compare_decisions({"own": own}, X, y).costs, found.costs[["own"]])
    piped = make_pipeline(FunctionTransformer(_plus_one), clone(own))
    with (
        pytest.raises(ValueError, match="'piped' decides for split 1 of 5 in another context"),
        pytest.warns(UserWarning, match="has been changed by a step before"),
    ):
        compare_decisions({"own": own, "piped": piped}, X, y)


def test_outputs_are_predicted_one_by_one_where_a_model_has_one(data):
    X, y = data
    both = np.column_stack([y, y + 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare({"svr": LinearSVR(), "line": LINE}, X, both, cv=2)
    assert found.costs.notna().all().all()


def test_frozen_models_are_asked_as_they_are(data):
    X, y = data
    models = {
        name: FrozenEstimator(clone(each).fit(X[:30], y[:30]))
        for name, each in (("mean", MEAN), ("line", LINE))
    }
    found = compare(models, X[30:], y[30:])
    assert_allclose(found.costs["mean"], PROBLEM.cost(np.full(30, y[:30].mean()), y[30:]))
    again = compare({name: each.estimator for name, each in models.items()}, X[30:], y[30:])
    assert (again.costs["mean"] != found.costs["mean"]).any()  # unfrozen ones are fitted


def test_groups_reach_the_splitter(data):
    X, y = data
    groups = np.repeat(np.arange(12), 5)
    found = compare({"mean": MEAN, "line": LINE}, X, y, cv=GroupKFold(4), groups=groups)
    folds = list(GroupKFold(4).split(X, y, groups))
    assert_frame_equal(found.costs, compare({"mean": MEAN, "line": LINE}, X, y, cv=folds).costs)


def test_two_at_a_time_find_the_same(data):
    X, y = data
    shifts = {"late": (X, y + 1)}
    alone = compare({"mean": MEAN, "line": LINE}, X, y, shifts=shifts)
    with joblib.parallel_config(backend="threading"):
        beside = compare({"mean": MEAN, "line": LINE}, X, y, shifts=shifts, n_jobs=2)
    columns = alone.to_frame().columns.drop("fit_seconds")
    assert_frame_equal(alone.to_frame()[columns], beside.to_frame()[columns], check_exact=True)
    assert_frame_equal(alone.costs, beside.costs, check_exact=True)


def test_results_go_through_pickle(data):
    X, y = data
    found = compare({"mean": MEAN, "line": LINE}, X, y, shifts={"late": (X, y)}, incumbent=y)
    again = pickle.loads(pickle.dumps(found))
    assert repr(again) == repr(found)
    assert_frame_equal(again.to_frame(), found.to_frame())


def test_progress_is_printed_when_asked_for(data, capsys):
    X, y = data
    compare({"mean": MEAN, "line": LINE}, X, y, cv=2, shifts={"late": (X, y)}, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("[1/6] mean, 0.0 s, split 1: mean cost ")
    assert lines[-1].startswith("[6/6] line, 0.0 s, late: mean cost ")
    compare({"mean": MEAN}, X, y, cv=2)
    assert not capsys.readouterr().out


def test_a_perfect_reference_leaves_shares_out(data):
    X, y = data
    found = compare({"mean": MEAN}, X, y, incumbent=y, reference="incumbent")
    table = found.to_frame()
    assert table[["relative_regret", "price"]].isna().all().all()
    assert "price" not in repr(found)


def test_two_that_decide_alike_are_never_told_apart(data):
    X, y = data
    found = compare({"line": LINE, "again": LINE}, X, y)
    assert found.differences().loc["again", "more_rows"] == np.inf
    assert "infinite" in repr(found)


def test_rows_that_follow_each_other_alike_are_said():
    y = np.repeat(np.random.default_rng(0).normal(10, 1, 20), 10)
    X = np.zeros((200, 1))
    with pytest.warns(UserWarning, match="between 'b' and 'a' are correlated in neighbouring rows"):
        compare({"a": MEAN, "b": DummyRegressor(strategy="quantile", quantile=0.75)}, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(
            {"a": MEAN, "b": DummyRegressor(strategy="quantile", quantile=0.75)}, X, y, blocks=20
        )


class Interrupted(RegressorMixin, BaseEstimator):
    """A mean that is interrupted in its n-th fit, and may keep it to itself."""

    fits = 0

    def __init__(self, at, keeps_it=False):
        self.at = at
        self.keeps_it = keeps_it

    def fit(self, X, y):
        type(self).fits += 1
        self.mean_ = y.mean()
        if type(self).fits == self.at:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                self.mean_ = 1e9
                if not self.keeps_it:
                    raise
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.mark.parametrize("keeps_it", [False, True])
def test_ctrl_c_keeps_the_splits_that_all_have_been_through(data, keeps_it):
    X, y = data
    Interrupted.fits = 0
    estimators = {"line": LINE, "slow": Interrupted(3, keeps_it)}
    before = signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match=r"interrupted\. It contains 2 of 5 splits\.$"):
        found = compare(estimators, X, y, shifts={"late": (X, y)})
    assert signal.getsignal(signal.SIGINT) is before
    assert found.interrupted
    assert found.costs[:24].notna().all().all()
    assert found.costs[24:].isna().all().all()
    assert found.shift_costs.isna().all().all()
    assert found.costs.max().max() < 1e6
    assert "24 of 60 rows, each held out once, interrupted" in repr(found)


def test_ctrl_c_in_the_first_split_keeps_the_estimators_that_are_done(data):
    X, y = data
    Interrupted.fits = 0
    estimators = {"line": LINE, "mean": MEAN, "slow": Interrupted(1)}
    with pytest.warns(UserWarning, match="1 of 5 splits, and no result for 'slow'"):
        found = compare(estimators, X, y, reference="slow")
    assert list(found.costs) == ["line", "mean"]
    assert found.reference == "line"
    Interrupted.fits = 0
    with pytest.raises(KeyboardInterrupt):
        compare({"slow": Interrupted(1), "line": LINE}, X, y)


def test_ctrl_c_before_the_shifts_keeps_all_splits(data):
    X, y = data
    Interrupted.fits = 0
    with pytest.warns(
        UserWarning, match="It contains all splits, but not all decisions for the sh"
    ):
        found = compare({"line": LINE, "slow": Interrupted(6)}, X, y, shifts={"late": (X, y)})
    assert found.shift_costs["late"].isna().tolist() == [False, True]
    assert found.costs.notna().all().all()


def test_one_estimator_alone_has_a_cost(data):
    X, y = data
    found = compare({"line": LINE}, X, y)
    assert len(found.differences()) == 0
    assert found.to_frame().loc["line", "mean_cost"] == pytest.approx(found.costs["line"].mean())
    assert "line" in repr(found)


def test_random_hold_outs_may_leave_rows_out(data):
    X, y = data
    once = ShuffleSplit(1, test_size=20, random_state=0)
    found = compare({"line": LINE, "mean": MEAN}, X, y, cv=once)
    assert found.costs["line"].notna().sum() == 20
