"""Promises for rows that are distributed otherwise than those that calibrate."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import ConformalDecisions, decide
from dfl_sklearn._conformal.outcomes import Outcomes
from dfl_sklearn._conformal.plans import Plans
from dfl_sklearn.inspection import CertificateDisplay
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import (
    FromContext,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    StorageProblem,
)
from dfl_sklearn.robust import CovariateShiftWeight

SHIFT = 1.0  # of the mean of x, in standard deviations


def newsvendor():
    return NewsvendorProblem(9, 1, nonnegative=False)


def true_ratio(X):
    """The density of N(SHIFT, 1) over that of N(0, 1), in the first feature."""
    return np.exp(SHIFT * np.asarray(X)[:, 0] - SHIFT**2 / 2)


def ones(X):
    return np.ones(len(X))


def whole(X):
    return 1.0 + (np.asarray(X)[:, 0] > 0)


def sample(n, seed=0, shift=0.0):
    """Rows whose errors are the larger the larger x is."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2)) + [shift, 0.0]
    return X, 20 + X @ [2.0, -1.0] + np.exp(0.5 * X[:, 0]) * rng.standard_normal(n)


def prices(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    y = 30 + X @ rng.normal(size=(2, 4)) + np.array([0, 8, -3, 12.0])
    return X, y + 4 * rng.standard_normal((n, 4))


def positive(X):
    return np.asarray(X)[:, 0] > 0


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"scale": None, "cv": 3},
        {"scale": "ridge", "groups": positive, "confidence_level": 0.7},
        {"method": "box"},
        {"method": "ellipsoid", "groups": positive, "cv": 3},
    ],
    ids=["default", "no-scale", "groups", "box", "ellipsoid"],
)
def test_equal_weights_change_nothing(params):
    X, y = prices(48)
    problem = MultiProductNewsvendorProblem([9] * 4, 1, capacity=100)
    if "method" in params:
        problem = StorageProblem()
    weight = np.random.default_rng(1).integers(0, 3, 48).astype(float)
    plain = ConformalDecisions(Ridge(), problem, **params).fit(X, y, sample_weight=weight)
    model = clone(plain).set_params(shift_weight=ones).fit(X, y, sample_weight=weight)
    assert_array_equal(model.promised_cost(X), plain.promised_cost(X))
    assert_array_equal(model.decide(X), plain.decide(X))
    assert (model.n_calibration_, model.guaranteed_level_) == (
        plain.n_calibration_,
        plain.guaranteed_level_,
    )
    assert plain.max_shift_weight_ is None


def test_the_promise_by_hand():
    X, y = sample(80)
    problem, plain = newsvendor(), LinearRegression().fit(X[:60], y[:60])
    model = ConformalDecisions(LinearRegression(), problem, scale=None, shift_weight=whole)
    model.fit(X, y)
    z = problem.solve(plain.predict(X))
    planned = problem.cost(z, plain.predict(X))
    errors = (problem.cost(z, y) - planned)[60:]
    copies = np.sort(np.repeat(errors, whole(X[60:]).astype(int)))
    for weight in (1, 2):
        n = len(copies) + weight
        quantile = np.append(copies, np.inf)[-(-n * 9 // 10) - 1]
        at = whole(X) == weight
        assert_allclose(model.promised_cost(X)[at], planned[at] + quantile)
        assert model.quantile_(np.array([float(weight)]))[0] == quantile
    assert_array_equal(model.decide(X), z)
    assert model.max_shift_weight_ == pytest.approx(len(copies) / 9)


@pytest.mark.parametrize("method", ["box", "ellipsoid"])
def test_the_radius_of_a_set_depends_on_the_row(method):
    X, y = prices(100)
    params = {"method": method, "confidence_level": 0.6}
    frozen = FrozenEstimator(Ridge().fit(X[:60], y[:60]))
    held = {"X_cal": X[75:], "y_cal": y[75:]}
    model = ConformalDecisions(frozen, StorageProblem(), shift_weight=true_ratio, **params)
    model.fit(X[60:75], y[60:75], **held)
    plain = clone(model).set_params(shift_weight=None).fit(X[60:75], y[60:75], **held)
    new = np.array([[-1.0, 0.0], [0.5, 1.0], [1.0, 0.0], [1.4, 0.0]])
    radii = model.quantile_(true_ratio(new))
    assert len(np.unique(radii)) > 1
    decisions, promised = model.decide(new), model.promised_cost(new)
    for radius in np.unique(radii):
        at = radii == radius
        plain.quantile_ = radius
        assert_array_equal(plain.decide(new[at]), decisions[at])
        assert_array_equal(plain.promised_cost(new[at]), promised[at])


def test_promises_are_kept_under_a_known_shift():
    # One new row for each sample of calibration rows, so that their number is binomial.
    level, n, size = 0.8, 1000, 60
    model = ConformalDecisions(LinearRegression(), newsvendor(), scale=None)
    model.set_params(confidence_level=level).fit(*sample(100, seed=2))
    rows, new = (
        Outcomes.of(Plans.of(model.decider_, X), X, y, None)
        for X, y in (sample(size * n, seed=3), sample(n, seed=4, shift=SHIFT))
    )
    weight, new_weight = true_ratio(rows.X), true_ratio(new.X)
    kept = {"plain": 0, "weighted": 0}
    n_refused = 0
    for i in range(n):
        at = np.arange(i * size, (i + 1) * size)
        some = rows.take(at, rows.X[at])
        plain = model._certificate.calibrate(some, None, level)
        weighted = model._certificate.calibrate(some, None, level, weight[at])
        quantile = weighted(new_weight[[i]])[0]
        kept["plain"] += int(new.errors[i] <= plain)
        kept["weighted"] += int(new.errors[i] <= quantile)
        n_refused += int(np.isinf(quantile))
    low, high = binom.ppf([0.0005, 0.9995], n, level)
    assert kept["plain"] < low
    # It may be kept more often, by the largest share that a row has on average, of 0.11 here.
    assert low <= kept["weighted"] <= high + 0.05 * n
    assert n_refused < 0.05 * n


@pytest.mark.parametrize("params", [{"scale": "ridge", "tail": 1}, {"scale": None}], ids=str)
def test_promises_are_kept_with_estimated_weights(params):
    X, y = sample(3000, seed=5)
    X_new, y_new = sample(3000, seed=6, shift=SHIFT)
    X_target, _ = sample(1000, seed=7, shift=SHIFT)
    shift = CovariateShiftWeight().fit(X[2000:], X_target)
    held = {"X_cal": X[2000:], "y_cal": y[2000:]}
    plain = ConformalDecisions(LinearRegression(), newsvendor(), **params)
    model = clone(plain).set_params(shift_weight=shift)
    found = model.fit(X[:2000], y[:2000], **held).certificate(X_new, y_new)
    assert 0.87 < found.coverage < 0.94
    missed = plain.fit(X[:2000], y[:2000], **held).certificate(X_new, y_new).coverage
    assert missed < 0.86


def test_rows_too_heavy_for_a_promise_are_named():
    X, y = sample(160)
    model = ConformalDecisions(Ridge(), newsvendor(), shift_weight=true_ratio).fit(X, y)
    new = np.array([[0.0, 0.0], [7.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
    assert_array_equal(true_ratio(new) > model.max_shift_weight_, [False, True, False, True])
    message = r"promised for rows 1, 3 of X: the shift weight of row 1 is 665\.1.*max_shift_weight_"
    with pytest.raises(ValueError, match=message):
        model.promised_cost(new)
    with pytest.raises(ValueError, match=message):
        model.certificate(new, np.ones(4))
    assert model.decide(new).shape == (4,)  # which are those of the model
    ok = true_ratio(new) <= model.max_shift_weight_
    assert np.isfinite(model.promised_cost(new[ok])).all()
    X, y = prices(160)
    box = ConformalDecisions(Ridge(), StorageProblem(), method="box", shift_weight=true_ratio)
    box.fit(X, y)
    with pytest.raises(ValueError, match="promised for rows 1, 3 of X"):
        box.decide(new)
    assert len(box.decide(new[ok])) == 2


def test_the_unit_of_weights_does_not_matter():
    X, y = sample(120)
    model = ConformalDecisions(Ridge(), newsvendor(), shift_weight=true_ratio)
    new = X[true_ratio(X) < 1.5]
    expected = model.fit(X, y).promised_cost(new)
    for unit in (0.1, 3e7):
        scaled = clone(model).set_params(shift_weight=lambda X, c=unit: c * true_ratio(X))
        assert_array_equal(scaled.fit(X, y).promised_cost(new), expected)


def test_through_searches_pipelines_pictures_and_stores():
    X, y = sample(200)
    X_new, y_new = sample(100, seed=8, shift=0.5)
    scaler = StandardScaler().fit(X)
    shift = CovariateShiftWeight().fit(scaler.transform(X), scaler.transform(X_new))
    model = ConformalDecisions(Ridge(), newsvendor(), shift_weight=FrozenEstimator(shift))
    # In a Pipeline the weights are of what reaches the model.
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    assert_array_equal(decide(pipe, X_new), pipe[-1].decide(pipe[0].transform(X_new)))
    search = GridSearchCV(pipe, {"conformaldecisions__tail": [0, 0.5]}, cv=2).fit(X, y)
    assert search.best_estimator_[-1].max_shift_weight_ > 0
    again = pickle.loads(pickle.dumps(pipe))[-1]
    ok = shift.weight(scaler.transform(X_new)) <= again.max_shift_weight_
    assert ok.sum() > 90
    X_new, y_new = X_new[ok], y_new[ok]
    Z = scaler.transform(X_new)
    assert_array_equal(again.promised_cost(Z), pipe[-1].promised_cost(Z))
    display = CertificateDisplay.from_estimator(pipe, X_new, y_new)
    assert display.coverage == pipe[-1].certificate(Z, y_new).coverage
    results = compare_decisions({"a": pipe}, X, y, cv=2)
    assert np.isfinite(results.costs["a"]).all()
    with pytest.raises(ValueError, match="clone, searches and cross-validation forget a fit"):
        clone(model).set_params(shift_weight=clone(shift)).fit(X, y)
    # What set_params changes is for the next fit.
    single = pipe[-1].set_params(shift_weight=None)
    assert_array_equal(single.promised_cost(Z), again.promised_cost(Z))
    assert single.fit(scaler.transform(X), y).max_shift_weight_ is None


def test_weights_see_all_columns_the_context_as_well():
    rng = np.random.default_rng(0)
    y = rng.uniform(5, 15, (200, 2))
    table = pd.DataFrame({"a": rng.standard_normal(200), "room": rng.uniform(10, 30, 200)})
    problem = MultiProductNewsvendorProblem([9, 3], 1, capacity=FromContext("room"))
    tight = table[table["room"] < 20]
    shift = CovariateShiftWeight().fit(table, tight)
    model = ConformalDecisions(
        LinearRegression(),
        problem,
        context="room",
        context_is_feature=False,
        shift_weight=shift,
    ).fit(table, y)
    assert np.isfinite(model.promised_cost(tight)).all()
    # Out of fold for the rows that it was fitted on, as the calibration rows are.
    total = shift.weight_[150:].sum()
    assert model.max_shift_weight_ == pytest.approx(total / 9)
    other = CovariateShiftWeight().fit(table[["a"]], tight[["a"]])
    with pytest.raises(ValueError, match="X must have the columns of the source"):
        clone(model).set_params(shift_weight=FrozenEstimator(other)).fit(table, y)


@pytest.mark.parametrize(
    ("shift_weight", "message"),
    [
        (CovariateShiftWeight(), r"shift_weight=CovariateShiftWeight\(\.\.\.\) is not fitted"),
        (lambda X: -ones(X), "shift_weight is no weight at row 60: -1.0 .20 such entries"),
        (lambda X: np.where(positive(X), np.nan, 1.0), "shift_weight is no weight at row"),
        (lambda X: np.full(len(X), np.inf), "Weights are finite, and 0 or more"),
        (lambda X: 0 * ones(X), "shift_weight of the calibration rows must have a positive, fin"),
        (lambda X: ones(X)[1:], r"one weight for each of the 20 rows of X, got shape \(19,\)"),
        (lambda X: X, r"one weight for each of the 20 rows of X, got shape \(20, 2\)"),
        (lambda X: ["much"] * len(X), "must return numbers, got"),
        (np.ones(20), "The 'shift_weight' parameter of ConformalDecisions must be"),
    ],
)
def test_what_are_no_weights_is_refused_before_a_fit(shift_weight, message):
    class Broken(Ridge):
        def fit(self, X, y):
            raise AssertionError("fitted")

    X, y = sample(80)
    for cv in (None, [(np.arange(60), np.arange(60, 80))]):
        model = ConformalDecisions(Broken(), newsvendor(), cv=cv, shift_weight=shift_weight)
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)


def test_bad_weights_of_new_rows_are_refused():
    X, y = sample(80)
    model = ConformalDecisions(
        Ridge(), newsvendor(), shift_weight=lambda X: np.where(X[:, 0] > 8, np.nan, 1.0)
    ).fit(X, y)
    with pytest.raises(ValueError, match="shift_weight is no weight at row 1: nan"):
        model.promised_cost(np.array([[0.0, 0.0], [9.0, 0.0]]))


def test_few_rows_that_have_all_the_weight_are_said():
    X, y = sample(200)
    model = ConformalDecisions(Ridge(), newsvendor(), shift_weight=lambda X: np.exp(3 * X[:, 0]))
    message = (
        r"The 50 calibration rows have an effective sample size of [0-9.]+, and "
        "confidence_level=0.9 "
    )
    with pytest.warns(UserWarning, match=message) as said:
        model.fit(X, y)
    assert said[0].filename == __file__
    with pytest.warns(UserWarning, match="calibration rows of group True have an effective"):
        model.set_params(groups=positive, cv=3).fit(X, y)


def test_a_model_stored_before_there_were_weights_still_promises():
    X, y = sample(80)
    model = ConformalDecisions(Ridge(), newsvendor()).fit(X, y)
    promised = model.promised_cost(X)
    for name in ("shift_weight", "_shift_weight", "max_shift_weight_"):
        del model.__dict__[name]
    assert_array_equal(pickle.loads(pickle.dumps(model)).promised_cost(X), promised)


@pytest.mark.parametrize("params", [{}, {"cv": 4}], ids=str)
def test_rows_whose_weight_is_infinite_are_named_as_in_x(params):
    X, y = sample(100)
    row = 83 if "cv" in params else None
    asked = []

    def finite(X):
        asked.append(X)
        return np.ones(len(X))

    model = ConformalDecisions(Ridge(), newsvendor(), shift_weight=finite, **params).fit(X, y)
    if row is None:
        row = int(np.flatnonzero((asked[0][-1] == X).all(axis=1))[0])
        assert row != len(asked[0]) - 1

    def infinite(Z):
        return np.where((X[row] == Z).all(axis=1), np.inf, 1.0)

    with pytest.raises(ValueError, match=rf"row {row}\b"):
        clone(model).set_params(shift_weight=infinite).fit(X, y)

    class Sure:
        def weight(self, Z):
            if np.isinf(infinite(Z)).any():
                raise ValueError(f"Row {int(np.argmax(infinite(Z)))} has an infinite weight")
            return infinite(Z)

    with pytest.raises(ValueError, match=rf"Row {row} has an infinite weight"):
        clone(model).set_params(shift_weight=Sure()).fit(X, y)
