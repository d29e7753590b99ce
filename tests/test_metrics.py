"""Metrics and scorers, against scikit-learn's own and sums done by hand."""

import pickle

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate

from dfl_sklearn.metrics import (
    d2_regret_score,
    decision_cost,
    infeasible_share,
    make_decision_cost_scorer,
    make_infeasible_share_scorer,
    make_regret_scorer,
    normalized_regret,
    regret,
)
from dfl_sklearn.problems import (
    ConvexProgram,
    CvxpyProgram,
    FunctionProblem,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    PortfolioProblem,
    ProvisioningProblem,
    SquaredErrorProblem,
)

METRICS = [decision_cost, regret, normalized_regret, d2_regret_score, infeasible_share]
NEWSVENDOR = NewsvendorProblem(9, 1)


def draw(n=60, d=1, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(0, 10, (n, d))
    y_pred = y + rng.standard_normal((n, d)) * np.arange(1, d + 1)
    return y, y_pred, rng.uniform(0, 3, n)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_d2_is_r2_with_squared_errors(d, weighted, offset):
    y, y_pred, weight = draw(d=d)
    y, y_pred = y + offset, y_pred + offset
    weight = weight if weighted else None
    expected = r2_score(y, y_pred, sample_weight=weight, multioutput="variance_weighted")
    found = d2_regret_score(y, y_pred, problem=SquaredErrorProblem(), sample_weight=weight)
    assert found == pytest.approx(expected, abs=1e-12, rel=0)
    if d == 1:
        flat = d2_regret_score(
            y[:, 0], y_pred[:, 0], problem=SquaredErrorProblem(), sample_weight=weight
        )
        assert flat == found


@pytest.mark.parametrize(
    ("y", "y_pred"),
    [
        ([3.0, 3.0, 3.0], [3.0, 3.0, 3.0]),
        ([3.0, 3.0, 3.0], [3.0, 4.0, 3.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
        ([1.0, 2.0, 3.0], [30.0, -2.0, 2.0]),
        ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]),  # whose mean may not be 0.1 in floating point
    ],
)
def test_d2_has_the_rules_of_r2(y, y_pred):
    expected = r2_score(y, y_pred)
    assert d2_regret_score(y, y_pred, problem=SquaredErrorProblem()) == pytest.approx(expected)


def test_d2_rules_for_constant_demand():
    assert d2_regret_score([5.0, 5.0], [5.0, 5.0], problem=NEWSVENDOR) == 1.0
    assert d2_regret_score([5.0, 5.0], [5.0, 6.0], problem=NEWSVENDOR) == 0.0


@pytest.mark.parametrize("y", [[1.0], [[1.0, 2.0]]])
def test_d2_needs_two_rows(y):
    with pytest.warns(UndefinedMetricWarning, match="fewer than two samples"):
        score = d2_regret_score(y, y, problem=SquaredErrorProblem())
    assert np.isnan(score)


@pytest.mark.parametrize("weighted", [False, True])
def test_d2_is_the_pinball_d2_with_the_newsvendor(weighted):
    y, y_pred, weight = (each.ravel() for each in draw(n=61))
    weight = weight if weighted else np.ones(61)
    arguments = {"problem": NewsvendorProblem(9, 1, nonnegative=False), "sample_weight": weight}
    found = d2_regret_score(y, y_pred, **arguments)
    # The best constant order is a data point; scikit-learn's null model interpolates.
    least = min(regret(y, np.full(61, each), **arguments) for each in y)
    assert found == pytest.approx(1 - regret(y, y_pred, **arguments) / least)
    expected = d2_pinball_score(y, y_pred, sample_weight=weight, alpha=0.9)
    assert found <= expected + 1e-12
    assert found == pytest.approx(expected, abs=0.02)


def test_the_best_constant_decision_scores_zero_and_the_truth_one():
    y, _, weight = draw()
    for problem in (NEWSVENDOR, SquaredErrorProblem(), ProvisioningProblem(0.0, 9.0)):
        grid = np.linspace(0, 30, 3_001)
        scores = [
            d2_regret_score(y, np.full_like(y, c), problem=problem, sample_weight=weight)
            for c in grid[::10]
        ]
        assert max(scores) <= 1e-9
        assert max(scores) > -0.01
        perfect = d2_regret_score(y, y, problem=problem, sample_weight=weight)
        assert perfect == pytest.approx(1.0, abs=1e-12)


def test_sums_by_hand():
    y, y_pred, weight = [12.0, 7.0, 5.0], [10.0, 10.0, -3.0], [1.0, 2.0, 0.0]
    # Orders 10, 10, 0: two short at 9, three left over at 1, five short at 9.
    arguments = {"problem": NEWSVENDOR}
    assert decision_cost(y, y_pred, **arguments) == pytest.approx((18 + 3 + 45) / 3)
    assert regret(y, y_pred, **arguments) == pytest.approx((18 + 3 + 45) / 3)
    assert decision_cost(y, y_pred, sample_weight=weight, **arguments) == pytest.approx(24 / 3)
    # The best constant order is 12, the largest: costs 0 + 5 + 7.
    assert d2_regret_score(y, y_pred, **arguments) == pytest.approx(1 - 66 / 12)


def test_regret_subtracts_and_normalises_by_the_best_cost():
    problem = ProvisioningProblem()
    y, y_pred, weight = draw(d=2)
    y, y_pred = 4e4 * y, 4e4 * y_pred
    decided = problem.cost(problem.solve(y_pred), y)
    best = problem.cost(problem.solve(y), y)
    w = weight / weight.sum()
    for sample_weight, share in ((None, np.full(60, 1 / 60)), (weight, w)):
        arguments = {"problem": problem, "sample_weight": sample_weight}
        assert decision_cost(y, y_pred, **arguments) == pytest.approx(share @ decided)
        assert regret(y, y_pred, **arguments) == pytest.approx(share @ (decided - best))
        expected = (share @ (decided - best)) / (share @ np.abs(best))
        assert normalized_regret(y, y_pred, **arguments) == pytest.approx(expected)


@pytest.mark.parametrize("problem", [NEWSVENDOR, SquaredErrorProblem()])
def test_normalized_regret_points_to_d2_where_it_is_undefined(problem):
    with pytest.raises(ValueError, match=f"{type(problem).__name__} cost 0.*d2_regret_score"):
        normalized_regret([1.0, 2.0], [1.0, 3.0], problem=problem)


def power(n=1):
    """Cover loads with one machine each."""
    power, load = cp.Variable(n), cp.Parameter(n)
    return cp.Problem(cp.Minimize(cp.sum(power)), [power >= load, power >= 0]), load, power


def power_for_two():
    return power(2)


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        *((each, NEWSVENDOR) for each in (decision_cost, regret, d2_regret_score)),
        (infeasible_share, ConvexProgram(power_for_two)),
    ],
)
def test_integer_weights_are_repeated_rows(metric, problem):
    y, y_pred, _ = draw(d=2)
    weight = np.random.default_rng(5).integers(0, 4, len(y))
    weighted = metric(y, y_pred, problem=problem, sample_weight=weight)
    written = metric(np.repeat(y, weight, axis=0), np.repeat(y_pred, weight, axis=0),
                     problem=problem)  # fmt: skip
    assert weighted == pytest.approx(written, rel=1e-12)


def priced_cost(z, y, price):
    return price * z + 5 * np.maximum(y - z, 0)


def test_context_reaches_solve_and_cost():
    problem = FunctionProblem(priced_cost, (0, 10))
    y, y_pred = np.array([4.0, 4.0]), np.array([3.0, 3.0])
    price = np.array([1.0, 6.0])  # the second row had better buy nothing
    found = decision_cost(y, y_pred, problem=problem, context=price)
    assert found == pytest.approx(((3 + 5) + 20) / 2, rel=1e-6)
    assert regret(y, y_pred, problem=problem, context=price) == pytest.approx((8 - 4) / 2, rel=1e-5)


def covered():
    """Cover a load by power that is bought, with a reserve that is known."""
    power, load, reserve = cp.Variable(1), cp.Parameter(1), cp.Parameter(name="reserve")
    problem = cp.Problem(cp.Minimize(power[0]), [power + reserve >= load, power >= 0])
    return CvxpyProgram(problem, load, power, reserve)


def test_decisions_that_the_truth_does_not_allow():
    y, y_pred, weight = draw(d=2)
    problem = ConvexProgram(power_for_two)
    short = (np.maximum(y_pred, 0) < y * (1 - 1e-3)).any(axis=1)
    assert 0.2 < short.mean() < 0.95
    assert infeasible_share(y, y_pred, problem=problem) == pytest.approx(short.mean())
    found = infeasible_share(y, y_pred, problem=problem, sample_weight=weight)
    assert found == pytest.approx(weight @ short / weight.sum())
    assert infeasible_share(y, y + 1.0, problem=problem) == 0.0
    assert infeasible_share(y, 0.9 * y, problem=problem, tol=1e-3) == 1.0
    assert infeasible_share(y, 0.9 * y, problem=problem, tol=0.1) == 0.0  # of |power| + |load|
    # Nothing that is predicted limits the orders of a newsvendor.
    assert infeasible_share(y, y_pred, problem=NEWSVENDOR) == 0.0
    with pytest.raises(ValueError, match="tol must be"):
        infeasible_share(y, y_pred, problem=problem, tol=-1.0)
    with pytest.raises(TypeError, match="problem must be a DecisionProblem"):
        infeasible_share(y, y_pred, problem="newsvendor")


def test_what_the_truth_allows_in_a_context(data):
    X, y = data
    problem = ConvexProgram(covered)
    table = pd.DataFrame({"a": X[:, 0], "reserve": np.abs(X[:, 1]) * 9})
    model = LinearRegression().fit(table[["a"]], y)
    y_pred = model.predict(table[["a"]])
    short = np.maximum(y_pred - table["reserve"], 0) + table["reserve"] < y - 1e-3
    assert 0.2 < short.mean() < 0.8
    context = table[["reserve"]]
    found = infeasible_share(y, y_pred, problem=problem, context=context)
    assert found == pytest.approx(short.mean())
    with pytest.raises(ValueError, match="from the context, but none was given"):
        infeasible_share(y, y_pred, problem=problem)
    # Also of an estimator that knows no context, in that of the scorer.
    model = LinearRegression().fit(table, y)
    scorer = make_infeasible_share_scorer(problem, context="reserve")
    expected = infeasible_share(y, model.predict(table), problem=problem, context=context)
    assert scorer(model, table, y) == -expected < 0
    loose = make_infeasible_share_scorer(problem, context="reserve", tol=1e3)
    assert loose(model, table, y) == 0.0
    assert "tol=1000.0" in repr(loose)
    with pytest.raises(ValueError, match="tol must be"):
        make_infeasible_share_scorer(problem, tol=-1.0)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input(metric):
    problem = ProvisioningProblem()
    for y, y_pred, message in [
        ([1.0, 2.0], [1.0], "y_true has shape .* and y_pred"),
        ([[1.0, 2.0]], [1.0, 2.0], "y_true has shape .* and y_pred"),
        ([1.0, 2.0], [[1.0, 3.0], [2.0, 4.0]], "Scenarios have three dimensions"),
        ([1.0, -2.0], [1.0, 2.0], "is a negative demand at row 1"),
        (["a"], [1.0], "y_true must hold numbers"),
        ([1.0, 2.0], ["a", "b"], "y_pred must hold numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric(y, y_pred, problem=problem)
    with pytest.raises(ValueError, match=r"y_pred \(3, 1\)\.$"):  # no word of scenarios
        metric([1.0, 2.0], [1.0, 2.0, 3.0], problem=problem)
    for weight in ([1.0, -1.0], [0.0, 0.0], [1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
            metric([1.0, 2.0], [1.0, 2.0], problem=problem, sample_weight=weight)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_array_that_is_not_finite_is_named(metric, value):
    problem = ProvisioningProblem()
    with pytest.raises(ValueError, match=r"y_pred.* not finite at row 1"):
        metric([1.0, 2.0], [1.0, value], problem=problem)
    with pytest.raises(ValueError, match=r"y.* not finite at row 0"):
        metric([value, 2.0], [1.0, 2.0], problem=problem)


@pytest.mark.parametrize("metric", METRICS)
def test_no_rows_are_an_error_about_rows(metric):
    with pytest.raises(ValueError, match=r"0 sample|no rows|y_true"):
        metric([], [], problem=ProvisioningProblem())


SCORERS = {
    "cost": (make_decision_cost_scorer, decision_cost, NEWSVENDOR),
    "regret": (make_regret_scorer, regret, NEWSVENDOR),
    "infeasible": (make_infeasible_share_scorer, infeasible_share, ConvexProgram(power)),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    return X, 10 + X @ [1.0, 2.0, 0.5] + rng.standard_normal(80)


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_in_cross_validation(name, data):
    make, metric, problem = SCORERS[name]
    scorer = pickle.loads(pickle.dumps(make(problem)))
    X, y = data
    cv = KFold(4)
    found = cross_validate(LinearRegression(), X, y, scoring=scorer, cv=cv)["test_score"]
    expected = [
        -metric(y[test], LinearRegression().fit(X[train], y[train]).predict(X[test]),
                problem=problem)
        for train, test in cv.split(X)
    ]  # fmt: skip
    assert_allclose(found, expected)


def test_scorers_rank_in_grid_search(data):
    X, y = data
    search = GridSearchCV(
        Ridge(), {"alpha": [0.1, 1e6]}, scoring=make_regret_scorer(NEWSVENDOR), n_jobs=2
    )
    assert search.fit(X, y).best_params_ == {"alpha": 0.1}


def test_normalized_scorer(data):
    X, y = data
    problem = ProvisioningProblem(0.0, 40.0)
    scorer = make_regret_scorer(problem, normalized=True)
    model = LinearRegression().fit(X, y)
    assert scorer(model, X, y) == -normalized_regret(y, model.predict(X), problem=problem)


@pytest.mark.parametrize("name", SCORERS)
def test_sample_weight_is_routed(name, data):
    X, y = data
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    make, metric, problem = SCORERS[name]
    cv = KFold(4)
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(
            LinearRegression().set_fit_request(sample_weight=False),
            X,
            y,
            scoring=make(problem).set_score_request(sample_weight=True),
            params={"sample_weight": weight},
            cv=cv,
        )["test_score"]
    expected = [
        -metric(y[test], LinearRegression().fit(X[train], y[train]).predict(X[test]),
                problem=problem, sample_weight=weight[test])
        for train, test in cv.split(X)
    ]  # fmt: skip
    assert_allclose(found, expected)


# -- of decisions and of scenarios -----------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_decisions_in_the_place_of_predictions(metric):
    y, y_pred, weight = draw(d=3)
    shelf = MultiProductNewsvendorProblem([9, 4, 6], 1, capacity=12.0)
    if metric is normalized_regret:
        y, y_pred = np.maximum(y, 5.0), np.maximum(y_pred, 0.0)
    arguments = {"problem": shelf, "sample_weight": weight}
    expected = metric(y, y_pred, **arguments)
    orders = shelf.solve(y_pred)
    assert metric(y, decisions=orders, **arguments) == expected
    # Decisions are not decided from once more.
    portfolio = PortfolioProblem(np.eye(3), risk_aversion=9.0)
    shares = portfolio.solve(y_pred)
    assert metric(y, decisions=shares, problem=portfolio) == metric(y, y_pred, problem=portfolio)
    if metric is not infeasible_share:
        assert metric(y, shares, problem=portfolio) != metric(y, y_pred, problem=portfolio)


@pytest.mark.parametrize("metric", METRICS)
def test_scenarios_are_decided_over(metric):
    y, _, weight = draw(d=1)
    rng = np.random.default_rng(1)
    scenarios, share = rng.uniform(0, 10, (len(y), 7, 1)), rng.uniform(size=7)
    problem = ProvisioningProblem(0.0, 9.0)
    orders = problem.solve(scenarios, scenario_weight=share)
    arguments = {"problem": problem, "sample_weight": weight}
    found = metric(y[:, 0], scenarios, scenario_weight=share, **arguments)
    assert found == metric(y, decisions=orders, **arguments)


@pytest.mark.parametrize("metric", METRICS)
def test_either_predictions_or_decisions(metric):
    y, y_pred, _ = draw()
    with pytest.raises(ValueError, match=r"either y_pred.* or decisions=, got neither"):
        metric(y, problem=NEWSVENDOR)
    with pytest.raises(ValueError, match="got both"):
        metric(y, y_pred, decisions=y_pred, problem=NEWSVENDOR)
    with pytest.raises(ValueError, match="scenario_weight is for scenarios"):
        metric(y, decisions=y, scenario_weight=[1.0], problem=NEWSVENDOR)
    with pytest.raises(ValueError, match="y_true has 60 rows and decisions 1"):
        metric(y, decisions=y[:1], problem=NEWSVENDOR)
    with pytest.raises(ValueError, match="decisions is not finite at row 2"):
        metric(y, decisions=np.where(np.arange(60) == 2, np.nan, y[:, 0]), problem=NEWSVENDOR)
    with pytest.raises(ValueError, match=r"y_true has shape \(60, 1\) and y_pred \(60, 4, 2\)"):
        metric(y, np.ones((60, 4, 2)), problem=NEWSVENDOR)


def test_a_decision_that_is_not_allowed_has_no_cost():
    with pytest.raises(ValueError, match="is a negative order at row 1"):
        decision_cost([1.0, 2.0], decisions=[1.0, -2.0], problem=NEWSVENDOR)
    assert infeasible_share([1.0, 2.0], decisions=[1.0, -2.0], problem=NEWSVENDOR) == 0.5
