"""Deciding over scenarios, through every door."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from dfl_sklearn import DFFRegressor, TwoStageRegressor, decide
from dfl_sklearn.compose import PredictionTransformer
from dfl_sklearn.metrics import make_regret_scorer
from dfl_sklearn.problems import (
    CoverageProblem,
    FromContext,
    KnapsackProblem,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.robust import CVaR, KLBall, WassersteinBall
from dfl_sklearn.robust.decisions import best_costs
from dfl_sklearn.scenarios import (
    LocalScenarios,
    ResidualScenarios,
    ScenarioModel,
    Scenarios,
)
from dfl_sklearn.scenarios import base as scenario_models


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (
        30
        + X @ rng.normal(size=(3, 2))
        + rng.exponential(3, size=(120, 2)) * np.exp(0.3 * X[:, :1])
    )
    return X, y


def problem():
    return MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=65.0)


def residuals():
    return ResidualScenarios(LinearRegression(), scale="ridge")


def test_decisions_are_the_best_over_the_scenarios(rows):
    X, y = rows
    model = TwoStageRegressor(residuals(), problem()).fit(X, y)
    scenarios = residuals().fit(X, y).predict_scenarios(X)
    expected = problem().solve(scenarios.values, scenario_weight=scenarios.weight)
    assert_array_equal(model.decide(X), expected)
    assert_array_equal(model.predict(X), residuals().fit(X, y).predict(X))
    # Decisions, not predictions, are scored.
    regret = problem().cost(model.decide(X), y) - problem().optimal_cost(y)
    constant = problem().solve(y[None])
    worst = problem().cost(constant, y) - problem().optimal_cost(y)
    assert model.score(X, y) == pytest.approx(1 - regret.sum() / worst.sum())
    assert model.score(X, y) > TwoStageRegressor(LinearRegression(), problem()).fit(X, y).score(
        X, y
    )


def test_every_door_leads_to_the_scenarios(rows):
    X, y = rows
    plain = TwoStageRegressor(residuals(), problem()).fit(StandardScaler().fit_transform(X), y)
    expected = plain.decide(StandardScaler().fit_transform(X))
    inside = make_pipeline(StandardScaler(), residuals())
    models = {
        "a Pipeline inside": TwoStageRegressor(inside, problem()).fit(X, y),
        "a Pipeline outside": make_pipeline(
            StandardScaler(), TwoStageRegressor(residuals(), problem())
        ).fit(X, y),
        "a model without a problem": inside.fit(X, y),
        "a frozen one": TwoStageRegressor(FrozenEstimator(inside), problem()).fit(X, y),
    }
    for name, model in models.items():
        assert_array_equal(decide(model, X, problem()), expected, err_msg=name)


def test_scenarios_of_transformed_targets_come_back_in_the_units_of_y(rows):
    X, y = rows
    logs = TransformedTargetRegressor(residuals(), func=np.log, inverse_func=np.exp)
    scenarios = residuals().fit(X, np.log(y)).predict_scenarios(X)
    expected = problem().solve(np.exp(scenarios.values), scenario_weight=scenarios.weight)
    for inside in (logs, make_pipeline(FunctionTransformer(), logs)):
        model = TwoStageRegressor(inside, problem()).fit(X, y)
        assert_array_equal(model.decide(X), expected)
        assert_array_equal(decide(model.estimator_, X, problem()), expected)
    assert_allclose(model.predict_scenarios(X).values, np.exp(scenarios.values))
    one = TransformedTargetRegressor(residuals(), func=np.log, inverse_func=np.exp)
    risky = TwoStageRegressor(one, NewsvendorProblem(9, 1), risk=CVaR(0.5)).fit(X, y[:, 0])
    assert risky.decide(X).shape == (120,)


@pytest.mark.parametrize(
    "make",
    [
        MultiOutputRegressor,
        BaggingRegressor,
        RegressorChain,
        lambda one: VotingRegressor([("one", one), ("two", one)]),
        lambda one: StackingRegressor(
            [("one", make_pipeline(StandardScaler(), one))], LinearRegression(), cv=2
        ),
        lambda one: StackingRegressor([("one", LinearRegression())], final_estimator=one, cv=2),
        lambda one: GridSearchCV(BaggingRegressor(one, 2), {"n_estimators": [2]}, cv=2),
        lambda one: make_pipeline(StandardScaler(), BaggingRegressor(one, 2)),
        lambda one: MultiOutputRegressor(GridSearchCV(one, {"cv": [2]}, cv=2)),
    ],
)
def test_scenarios_that_something_hides_are_said(rows, make):
    X, y = rows[0][:40], rows[1][:40, 0]
    hides = make(ResidualScenarios(LinearRegression(), cv=2))
    is_for_tables = isinstance(hides, (MultiOutputRegressor, RegressorChain))
    y = y[:, None] if is_for_tables else y
    said = r"hides the scenarios of ResidualScenarios: decisions are taken from a point"
    problem = NewsvendorProblem(9, 1)
    with pytest.warns(UserWarning, match=said) as caught:
        model = TwoStageRegressor(hides, problem).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        decided = model.decide(X)
        assert_array_equal(decide(model, X), decided)
    with pytest.warns(UserWarning, match=said) as caught:
        found = decide(model.estimator_, X, problem)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_array_equal(found, decided)
    # Another problem than the model's own.
    with pytest.warns(UserWarning, match=said):
        decide(model, X, SquaredErrorProblem())
    with pytest.warns(UserWarning, match=said):
        make_regret_scorer(problem)(model.estimator_, X, y)


@pytest.mark.parametrize("hides", [lambda one: one, lambda one: BaggingRegressor(one, 2)])
@pytest.mark.parametrize(
    "make",
    [lambda one: DFFRegressor(one, NewsvendorProblem(9, 1), epsilon=0.0), PredictionTransformer],
)
def test_scenarios_of_which_predictions_alone_are_used_are_said(rows, make, hides):
    X, y = rows[0][:40], rows[1][:40, 0]
    model = make(hides(residuals()))
    with pytest.warns(UserWarning, match="hides the scenarios of ResidualScenarios") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    logs = TransformedTargetRegressor(residuals(), func=np.log, inverse_func=np.exp)
    with pytest.warns(UserWarning, match="hides the scenarios of ResidualScenarios"):
        make(logs).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(hides(LinearRegression())).fit(X, y)


@pytest.mark.parametrize(
    "make",
    [
        residuals,
        lambda: BaggingRegressor(residuals()),
        lambda: MultiOutputRegressor(residuals()),
        lambda: TransformedTargetRegressor(residuals()),
        lambda: make_pipeline(StandardScaler(), TransformedTargetRegressor(residuals())),
    ],
)
def test_models_that_are_not_fitted_say_so(rows, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NotFittedError):
            decide(make(), rows[0], NewsvendorProblem(9, 1))


def test_a_transform_that_is_not_defined_for_a_scenario_is_said(rows):
    X, y = rows[0], rows[1][:, 0] - 29
    roots = TransformedTargetRegressor(
        residuals(), func=np.square, inverse_func=np.sqrt, check_inverse=False
    ).fit(X, y)
    said = r"TransformedTargetRegressor takes scenario \d+ of row \d+ of X, \[-.*\], to \[nan\]"
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=said):
        decide(roots, X, NewsvendorProblem(9, 1))


def test_what_hides_scenarios_is_named(rows):
    X, y = rows[0][:40], rows[1][:40, 0]
    bags = BaggingRegressor(residuals(), 2)
    bags = TransformedTargetRegressor(bags, func=np.log, inverse_func=np.exp)
    with pytest.warns(UserWarning, match="^BaggingRegressor hides the scenarios of Residual"):
        TwoStageRegressor(bags, NewsvendorProblem(9, 1)).fit(X, y)


def test_scenarios_that_nothing_hides_are_not_said(rows):
    X, y = rows
    for model in (BaggingRegressor(LinearRegression(), 2), residuals()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decide(model.fit(X, y[:, 0]), X, NewsvendorProblem(9, 1))


def test_a_gap_that_nobody_knows_is_said():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.random((30, 6))
    model = TwoStageRegressor(
        ResidualScenarios(LinearRegression(), cv=2), CoverageProblem(1, 3), risk=CVaR(0.5)
    ).fit(X, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decisions = model.decide(X[:4])
    known = [str(each.message) for each in caught if "is not known: " in str(each.message)]
    assert len(known) == 1
    assert "decisions for CVaR" in known[0]
    assert "CoverageProblem does not solve for scenarios exactly" in known[0]
    assert decisions.shape == (4, 3)


def test_scenario_makers_are_chosen_by_the_cost_of_decisions(rows):
    X, y = rows
    makers = [
        residuals(),
        ResidualScenarios(LinearRegression(), cv=3),
        LocalScenarios(RandomForestRegressor(10, min_samples_leaf=5, random_state=0)),
        LocalScenarios(KNeighborsRegressor(10)),
    ]
    search = GridSearchCV(
        TwoStageRegressor(makers[0], problem()),
        {"estimator": makers},
        scoring=make_regret_scorer(problem()),
        cv=3,
    ).fit(X, y)
    scores = [
        cross_val_score(make, X, y, scoring=make_regret_scorer(problem()), cv=3).mean()
        for make in makers
    ]
    assert_allclose(search.cv_results_["mean_test_score"], scores)
    assert_array_equal(decide(search, X), search.best_estimator_.decide(X))
    nested = TwoStageRegressor(residuals(), problem()).set_params(estimator__scale=None)
    assert nested.estimator.scale is None


def test_rows_in_parts_are_decided_alike(rows, monkeypatch):
    X, y = rows
    frame = pd.DataFrame(X, columns=["a", "b", "capacity"])
    frame["capacity"] = np.linspace(40, 80, 120)
    known = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=FromContext("capacity"))
    for risk in (None, CVaR(0.5)):
        model = TwoStageRegressor(residuals(), known, context="capacity", risk=risk).fit(frame, y)
        some = frame[::10]
        whole = model.decide(some)
        monkeypatch.setattr(scenario_models, "_NUMBERS_AT_ONCE", 700)
        assert_array_equal(model.decide(some), whole)
        monkeypatch.undo()
        assert (whole.sum(axis=1) <= some["capacity"] + 1e-9).all()


def test_risk_raises_the_orders_of_one_product(rows):
    X, y = rows
    orders = [
        TwoStageRegressor(residuals(), NewsvendorProblem(9, 1), risk=risk)
        .fit(X, y[:, 0])
        .decide(X[:10])
        for risk in (None, KLBall(0.0), CVaR(1.0), KLBall(0.1), CVaR(0.3))
    ]
    assert orders[0].shape == (10,)
    assert_array_equal(orders[0], orders[1])  # to the bit
    assert_array_equal(orders[0], orders[2])
    assert (orders[3] >= orders[0]).all()
    assert (orders[4] >= orders[0]).all()
    assert (orders[4] > orders[0]).any()


class Fixed(ScenarioModel):
    """The same scenarios for every row."""

    def __init__(self, values, weight=None):
        self.values = values
        self.weight = weight

    def fit(self, X, y):
        self.n_features_in_ = np.shape(X)[1]
        self.is_vector_, (self.n_scenarios_, self.n_outputs_) = False, np.shape(self.values)
        return self

    def _conditions(self, X):
        return (np.zeros(len(X)),)

    def _scenarios(self, nothing):
        n, S = len(nothing), len(self.values)
        weight = np.full(S, 1 / S) if self.weight is None else np.asarray(self.weight)
        values = np.broadcast_to(np.asarray(self.values, float), (n, S, self.n_outputs_))
        return Scenarios(values, np.broadcast_to(weight, (n, S)))


def test_one_scenario_is_the_plain_decision_to_the_bit(rows):
    X, y = rows
    model = TwoStageRegressor(Fixed([[31.7, 29.123456789]]), problem()).fit(X, y)
    assert_array_equal(model.decide(X), problem().solve(np.tile([31.7, 29.123456789], (120, 1))))
    assert_array_equal(model.decide(X), problem().solve(model.predict(X)))


def test_scenarios_outside_the_domain_are_projected_and_said(rows):
    X, y = rows
    few = TwoStageRegressor(Fixed([[-1.0, 2.0]] + [[1.0, 2.0]] * 19), problem()).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few.decide(X)
    values = [[-1.0, -2.0], [1.0, 2.0], [3.0, -2.0], [-3.0, 2.0]]
    many = TwoStageRegressor(Fixed(values), problem()).fit(X, y)
    with pytest.warns(UserWarning, match="50% of the numbers in the scenarios were outside"):
        found = many.decide(X)
    expected = problem().solve(np.maximum(values, 0)[None])
    assert_array_equal(found, np.repeat(expected, 120, axis=0))


def test_gaps_of_whole_decisions_are_said():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), np.abs(20 + 8 * rng.normal(size=(50, 4)))
    model = TwoStageRegressor(
        ResidualScenarios(LinearRegression()), KnapsackProblem([1, 2, 3, 2], 4), risk=CVaR(0.2)
    ).fit(X, y)
    with pytest.warns(UserWarning, match=r"of row \d+ for CVaR is within \d+.\d% of the best"):
        decisions = model.decide(X)
    found = model.worst_case_decisions(X)
    assert_array_equal(found.decisions, decisions)
    assert found.gap.shape == found.worst_cost.shape == (50,)


def test_errors_say_what_is_wrong(rows):
    X, y = rows
    with pytest.raises(ValueError, match="LinearRegression predicts a point"):
        TwoStageRegressor(LinearRegression(), problem(), risk=CVaR()).fit(X, y)
    with pytest.raises(ValueError, match="no worst case without risk="):
        TwoStageRegressor(residuals(), problem()).fit(X, y).worst_case_decisions(X)
    with pytest.raises(TypeError, match="WassersteinBall moves or generates rows"):
        TwoStageRegressor(residuals(), problem(), risk=WassersteinBall()).fit(X, y)
    with pytest.raises(ValueError, match="alpha must be in"):
        TwoStageRegressor(residuals(), problem(), risk=CVaR(0)).fit(X, y)
    model = TwoStageRegressor(Fixed([[1.0], [2.0]]), problem()).fit(X, y)
    with pytest.raises(ValueError, match="has 2 parameters per row, but y has 1 column"):
        model.decide(X)


class Unnormalised(ScenarioModel):
    def fit(self, X, y):
        self.n_outputs_, self.n_scenarios_, self.is_vector_ = 1, 4, True
        return self

    def _conditions(self, X):
        return (np.asarray(X),)

    def _scenarios(self, X):
        values = np.broadcast_to([[1.0], [2.0], [4.0], [9.0]], (len(X), 4, 1))
        return Scenarios(values, np.full((len(X), 4), 3.0))


def test_weights_of_scenarios_need_not_sum_to_one():
    X, y = np.zeros((5, 1)), np.arange(5.0)
    values = np.array([1.0, 2.0, 4.0, 9.0])
    model = TwoStageRegressor(Unnormalised(), NewsvendorProblem(1, 1), risk=CVaR(0.5)).fit(X, y)
    found = model.worst_case_decisions(X[:1])
    grid = np.linspace(0, 10, 1001)
    least = min(CVaR(0.5).worst_mean(np.abs(values - order)) for order in grid)
    assert_allclose(found.worst_cost, least)
    assert found.gap[0] < 1e-6


def test_a_search_may_put_scenarios_in_the_place_of_a_point(rows):
    X, y = rows
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LinearRegression()),
        {"linearregression": [ResidualScenarios(LinearRegression())]},
        cv=2,
    )
    cost = NewsvendorProblem(9, 1)
    model = TwoStageRegressor(search, cost)
    assert not hasattr(model, "predict_scenarios")
    scenarios = model.fit(X, y[:, 0]).predict_scenarios(X[:3])
    best = cost.solve(scenarios.values, scenario_weight=scenarios.weight)
    assert_allclose(model.decide(X[:3]), best[:, 0])
    with pytest.warns(UserWarning, match="MultiOutputRegressor hides the scenarios of Residual"):
        TwoStageRegressor(search, problem()).fit(X, y)  # of each output by itself


@pytest.mark.parametrize("risk", [None, CVaR(0.5)])
def test_a_context_of_other_rows_is_refused(rows, risk, monkeypatch):
    X, y = rows
    cost = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=FromContext(0))
    capacity = np.linspace(50, 70, 120)[:, None]
    model = TwoStageRegressor(residuals(), cost, context=[0], risk=risk)
    model.fit(np.column_stack([capacity, X]), y)
    monkeypatch.setattr(scenario_models, "_NUMBERS_AT_ONCE", 500)
    asked = np.column_stack([capacity, X])[:5]
    with pytest.raises(ValueError, match="context has 7 rows, but X has 5"):
        model.decide(asked, context=capacity[:7])
    with pytest.raises(ValueError, match=r"got the number 60. .* np.full\(len\(X\), 60\)"):
        model.decide(asked, context=60)


def test_decisions_of_one_number_have_the_shape_of_y(rows):
    X, y = rows
    cost, logs = NewsvendorProblem(9, 1), {"func": np.log, "inverse_func": np.exp}
    models = [
        residuals(),
        LocalScenarios(KNeighborsRegressor()),
        make_pipeline(StandardScaler(), residuals()),
        TransformedTargetRegressor(residuals(), **logs),
        TransformedTargetRegressor(TwoStageRegressor(residuals(), cost), **logs),
        TwoStageRegressor(residuals()),  # of another problem
    ]
    for model in models:
        assert decide(model.fit(X, y[:, 0]), X, cost).shape == (120,)
        assert decide(model.fit(X, y[:, :1]), X, cost).shape == (120, 1)


def test_a_risk_that_does_not_count_is_said(rows):
    X, y = rows
    cost = NewsvendorProblem(9, 1)
    model = TwoStageRegressor(residuals(), risk=CVaR(0.5)).fit(X, y[:, 0])
    with pytest.warns(UserWarning, match="decides for CVaR in its own problem alone"):
        found = decide(model, X, cost)
    assert_array_equal(found, TwoStageRegressor(residuals(), cost).fit(X, y[:, 0]).decide(X))


def test_a_risk_given_after_fit_needs_scenarios_too(rows):
    X, y = rows
    model = TwoStageRegressor(LinearRegression(), problem()).fit(X, y).set_params(risk=CVaR(0.5))
    for ask in (model.decide, model.worst_case_decisions):
        with pytest.raises(ValueError, match="risk= weights scenarios, and LinearRegression"):
            ask(X)


def worst_regret_by_cvxpy(values, weight, problem, alpha):
    """Return the least CVaR of the regrets of a shared capacity: an exact linear program."""
    cp = pytest.importorskip("cvxpy")
    z, level = cp.Variable(2, nonneg=True), cp.Variable()
    costs = sum(
        under * cp.pos(y - z[j]) + cp.pos(z[j] - y)
        for j, (under, y) in enumerate(zip([9.0, 4.0], values.T, strict=True))
    )
    regrets = costs - problem.cost(problem.solve(values), values)
    objective = level + weight @ cp.pos(regrets - level) / alpha
    program = cp.Problem(cp.Minimize(objective), [cp.sum(z) <= 65.0])
    return program.solve(solver=cp.CLARABEL)


def test_the_risk_of_regret_is_that_of_a_convex_program(rows):
    X, y = rows
    rng = np.random.default_rng(0)
    values, weight = rng.uniform(10, 60, (12, 2)), rng.dirichlet(np.ones(12))
    model = TwoStageRegressor(Fixed(values, weight), problem(), risk=CVaR(0.4), risk_of="regret")
    found = model.fit(X, y).worst_case_decisions(X[:2])
    expected = worst_regret_by_cvxpy(values, weight, problem(), 0.4)
    assert_allclose(found.worst_cost, expected, rtol=1e-5)
    assert found.gap.max() < 1e-6
    assert_array_equal(found.decisions, model.decide(X[:2]))
    costs = model.set_params(risk_of="cost").worst_case_decisions(X[:2])
    assert np.abs(costs.decisions - found.decisions).max() > 1.0  # another decision


@pytest.mark.parametrize("risk", [CVaR(0.3), KLBall(0.2)])
def test_the_risk_of_regret_of_one_product_and_its_context(risk):
    """Against a grid of orders, each row with a price of its own."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(1, 9, (40, 1)), rng.uniform(10, 40, 40)
    model = TwoStageRegressor(
        Fixed(y[:9, None]),
        NewsvendorProblem(FromContext(0), 1.0),
        context=[0],
        risk=risk,
        risk_of="regret",
    ).fit(X, y)
    found = model.worst_case_decisions(X[:4])
    grid = np.linspace(10, 40, 301)
    for price, worst in zip(X[:4, 0], found.worst_cost, strict=True):
        # The best order for a scenario alone is its demand, which costs nothing.
        over = grid[:, None] - y[:9]
        regret = np.maximum(over, 0) + price * np.maximum(-over, 0)
        best = min(risk.worst_mean(each) for each in regret)
        assert best - 0.05 * price <= worst <= best + 1e-6  # half a step of the grid


def test_regret_at_radius_0_is_the_plain_decision_to_the_bit(rows):
    X, y = rows
    plain = TwoStageRegressor(residuals(), problem()).fit(X, y).decide(X[:20])
    for risk in (None, KLBall(0.0), CVaR(1.0)):
        model = TwoStageRegressor(residuals(), problem(), risk=risk, risk_of="regret").fit(X, y)
        assert_array_equal(model.decide(X[:20]), plain)


def test_best_costs_of_scenarios_that_repeat(rows):
    _, y = rows
    values = y[np.random.default_rng(0).integers(0, 20, (5, 30))]
    expected = np.stack([problem().optimal_cost(each) for each in values])
    assert_array_equal(best_costs(problem(), values), expected)
