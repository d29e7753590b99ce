"""Policies: against quantile regression, the best constant decision, and what must not happen."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import (
    DFFRegressor,
    DFLRegressor,
    PolicyRegressor,
    TwoStageRegressor,
    decide,
)
from dfl_sklearn.compose import PredictionTransformer
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.inspection import DecisionDisplay
from dfl_sklearn.learners.scaling import Scale
from dfl_sklearn.metrics import d2_regret_score, make_decision_cost_scorer, make_regret_scorer
from dfl_sklearn.model_selection import CostTailSplit
from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    KnapsackProblem,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    PortfolioProblem,
    Predicted,
    SquaredErrorProblem,
)
from dfl_sklearn.robust import WassersteinBall
from dfl_sklearn.training import policy

from ..contracts.samplers import two_sites

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"hidden_layer_sizes": (), "max_iter": 5, "random_state": 0}
SHELF = MultiProductNewsvendorProblem([9, 4, 6], 1, usage=[1, 2, 1], capacity=40.0)
RECOURSE = two_sites([Predicted(0), Predicted(1)])


def demand(n, seed=0):
    """Three features, two needs that depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    mean = np.column_stack([4 + 1.5 * X[:, 0], 5 - 1.2 * X[:, 1]])
    return X, np.maximum(mean + 1.2 * rng.standard_normal((n, 2)), 0.0)


def shelf_demand(n=80, seed=0):
    return make_newsvendor(n, n_products=3, random_state=seed)


# -- what it learns ----------------------------------------------------------------------------


def test_a_linear_policy_finds_a_linear_quantile():
    def draw(n, seed):
        rng = np.random.default_rng(seed)
        x = rng.uniform(0, 2, (n, 1))
        return x, 5 + 3 * x[:, 0] + (0.5 + x[:, 0]) * rng.standard_normal(n)

    X, y = draw(400, 0)
    X_new, y_new = draw(20_000, 1)
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    policy = PolicyRegressor(problem, hidden_layer_sizes=(), random_state=0).fit(X, y)
    quantile = QuantileRegressor(quantile=0.9, alpha=0.0).fit(X, y)
    paid, expected = (
        problem.cost(orders, y_new).mean()
        for orders in (policy.decide(X_new), quantile.predict(X_new))
    )
    assert paid == pytest.approx(expected, rel=0.01)


def test_a_policy_with_recourse_costs_less_than_the_best_constant_plan():
    X, y = demand(150)
    X_new, y_new = demand(300, seed=1)
    model = PolicyRegressor(RECOURSE, **{**QUICK, "max_iter": 8}, learning_rate_init=0.05)
    model.fit(X, y)
    plans = model.decide(X_new)
    assert RECOURSE.is_feasible(plans).all()
    constant = RECOURSE.cost(RECOURSE.solve(y[None]), y_new).mean()
    # Perfect foresight costs some 13 % less.
    assert RECOURSE.cost(plans, y_new).mean() < 0.98 * constant


def test_with_the_default_problem_it_is_least_squares():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 3))
    y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal(100)
    model = PolicyRegressor(hidden_layer_sizes=(), random_state=0).fit(X, y)
    expected = LinearRegression().fit(X, y).predict(X)
    assert_allclose(model.predict(X), expected, atol=0.05)


class Zero(torch.nn.Linear):
    """A linear net that starts at 0."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        torch.nn.init.zeros_(self.weight)
        torch.nn.init.zeros_(self.bias)


@pytest.mark.parametrize("problem", [SHELF, NewsvendorProblem([9, 1, 3], 1)])
def test_training_starts_from_the_best_constant_decision(problem):
    X, y = shelf_demand()
    weight = np.random.default_rng(1).uniform(0, 3, len(y))
    model = PolicyRegressor(
        problem, predictor=Zero, learning_rate_init=1e-12, max_iter=1, early_stopping=False
    ).fit(X, y, sample_weight=weight)
    constant = problem.solve(y[None], scenario_weight=weight)
    assert_allclose(model.decide(X), np.repeat(constant, len(X), axis=0), atol=1e-8)


def test_outputs_that_are_all_outside_are_brought_back(monkeypatch):
    """By the projection alone they would have no slope, and stay where they are."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 1))
    y = X[:, 0] + 0.1 * rng.standard_normal(60)

    class Outside(torch.nn.Linear):
        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out)
            torch.nn.init.zeros_(self.weight)
            torch.nn.init.constant_(self.bias, -3.0)

    params = {"learning_rate_init": 0.1, "max_iter": 60, "random_state": 0}
    model = PolicyRegressor(LinearProgram(bounds=(-1, 1)), predictor=Outside, **params)
    assert clone(model).fit(X, y).score(X, y) > 0.9
    monkeypatch.setattr(policy, "_WAY_BACK", 0.0)
    assert clone(model).fit(X, y).score(X, y) < 0.1


def test_slopes_of_allowed_outputs_are_those_of_the_projection():
    projection = NewsvendorProblem(9, 1).decision_projection(1)
    z = torch.tensor([[3.0], [-2.0], [-2.0]], requires_grad=True)
    upstream = torch.tensor([[5.0], [5.0], [-5.0]])
    (policy.WithWayBack(projection)(z) * upstream).sum().backward()
    # Inside; outside, where less would be better still; outside, where more would be.
    assert_allclose(z.grad, [[5.0], [0.0], [-0.5]])


def test_the_scale_of_a_column_that_hindsight_leaves_alone():
    centre, values = np.array([2.0, 0.0, 5.0]), np.array([[1.0, 0, 4], [3, 0, 8]])
    scale = Scale.about(centre, values, np.array([1.0, 3.0]))
    assert_array_equal(scale.mean, centre)
    third = np.sqrt((1 + 3 * 9) / 4)
    assert_allclose(scale.scale, [1.0, np.sqrt((1 + third**2) / 2), third])
    assert_array_equal(Scale.about(centre, centre[None], np.ones(1)).scale, np.zeros(3))


# -- as an estimator ---------------------------------------------------------------------------


def test_it_predicts_what_it_decides():
    X, y = shelf_demand()
    model = PolicyRegressor(SHELF, **QUICK).fit(X, y)
    orders = model.predict(X)
    assert_array_equal(orders, model.decide(X))
    assert orders.dtype == np.float64
    assert SHELF.is_feasible(orders, y).all()
    assert model.score(X, y) == d2_regret_score(y, decisions=orders, problem=SHELF)
    assert PolicyRegressor(NewsvendorProblem(), **QUICK).fit(X, y[:, 0]).predict(X).shape == (80,)
    shares = PolicyRegressor(PortfolioProblem(np.eye(3)), **QUICK).fit(X, y).predict(X)
    assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("problem", "data"),
    [(SHELF, shelf_demand), (RECOURSE, demand), (PortfolioProblem(np.eye(3)), shelf_demand)],
)
def test_weights_shuffles_and_threads(problem, data):
    X, y = data(60)
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    model = PolicyRegressor(problem, **{**QUICK, "max_iter": 2}, batch_size=16)
    fitted = clone(model).fit(X, y, sample_weight=weight)
    expected = fitted.decide(X)
    twice = np.random.default_rng(1).permutation(np.repeat(np.arange(len(X)), weight))
    assert_array_equal(clone(model).fit(X[twice], y[twice]).decide(X), expected)
    assert_array_equal(
        clone(model).set_params(n_jobs=4).fit(X, y, sample_weight=weight).decide(X), expected
    )
    assert_array_equal(np.concatenate([fitted.decide(row[None]) for row in X[:5]]), expected[:5])


def test_float32_features_train_a_float32_net():
    X, y = shelf_demand()
    model = PolicyRegressor(SHELF, **QUICK).fit(X.astype(np.float32), y)
    assert next(model.predictor_.module_.parameters()).dtype == torch.float32
    assert SHELF.is_feasible(model.decide(X.astype(np.float32))).all()


def test_decisions_keep_to_the_context():
    X, y = shelf_demand()
    room = np.random.default_rng(0).uniform(10, 60, len(X))
    table = pd.DataFrame(X, columns=list("abcde")).assign(room=room)
    problem = SHELF.__class__([9, 4, 6], 1, usage=[1, 2, 1], capacity=FromContext("room"))
    model = PolicyRegressor(problem, context=["room"], **QUICK).fit(table, y)
    used = model.decide(table) @ [1, 2, 1]
    assert (used <= room * (1 + 1e-9)).all()
    assert (used > 0.99 * room).mean() > 0.2
    less = model.decide(table, context=pd.DataFrame({"room": room / 2})) @ [1, 2, 1]
    assert (less <= room / 2 * (1 + 1e-9)).all()
    assert make_regret_scorer(problem)(model, table, y) < 0
    assert_array_equal(decide(model, table, problem), model.decide(table))


def test_it_goes_on_from_the_last_weights():
    X, y = shelf_demand()
    model = PolicyRegressor(SHELF, warm_start=True, **QUICK).fit(X, y)
    cost = SHELF.cost(model.decide(X), y).mean()
    model.set_params(learning_rate_init=1e-12).fit(X, y)
    assert SHELF.cost(model.decide(X), y).mean() == pytest.approx(cost, rel=1e-6)
    before = model.decide(X)
    assert_allclose(model.partial_fit(X[:20], y[:20]).decide(X), before, rtol=1e-6)
    assert model.n_iter_ == 11
    with pytest.raises(ValueError, match=r"y has 2 columns, .* was fitted on 3"):
        model.set_params(problem=NewsvendorProblem()).fit(X, y[:, :2])


def test_rows_are_moved_for_a_policy():
    X, y = shelf_demand()
    plain = PolicyRegressor(SHELF, **QUICK).fit(X, y)
    model = clone(plain).set_params(ambiguity_set=WassersteinBall(0.3)).fit(X, y)
    assert model.worst_case_.worst_regret > model.worst_case_.train_regret
    assert SHELF.is_feasible(model.decide(X)).all()


def test_in_pipelines_and_searches():
    X, y = shelf_demand()
    scorer = make_decision_cost_scorer(SHELF)
    pipe = make_pipeline(StandardScaler(), PolicyRegressor(SHELF, **QUICK))
    scores = cross_val_score(pipe, X, y, scoring=scorer, cv=2)
    found = []
    for train, test in ((slice(40, None), slice(40)), (slice(40), slice(40, None))):
        pipe.fit(X[train], y[train])
        found.append(-SHELF.cost(pipe.predict(X[test]), y[test]).mean())
    assert_allclose(scores, found)
    grid = {"policyregressor__alpha": [1e-4, 1.0]}
    search = GridSearchCV(pipe, grid, scoring=scorer, cv=2).fit(X, y)
    assert_array_equal(decide(search, X, SHELF), search.predict(X))
    # The default problem given by name is the same problem.
    plain = PolicyRegressor(**QUICK).fit(X, y)
    assert_array_equal(decide(plain, X, SquaredErrorProblem()), plain.predict(X))


# -- what must not happen ----------------------------------------------------------------------


def test_decisions_are_never_taken_for_parameters():
    X, y = shelf_demand()
    model = PolicyRegressor(SHELF, **QUICK).fit(X, y)
    shares = PortfolioProblem(np.eye(3))
    frozen = FrozenEstimator(model)
    bag = BaggingRegressor(PolicyRegressor(SHELF, **QUICK), 2, random_state=0).fit(X, y)
    for estimator in (model, frozen, make_pipeline(model), bag):
        for ask in (
            lambda each: decide(each, X, shares),
            lambda each: make_regret_scorer(shares)(each, X, y),
        ):
            with pytest.raises(ValueError, match=r"PolicyRegressor.* predicts decisions"):
                ask(estimator)
    with pytest.raises(ValueError, match="PolicyRegressor, inside a BaggingRegressor, predicts"):
        decide(bag, X, SHELF)
    for inner in (model, frozen, make_pipeline(StandardScaler(), model)):
        for wrapper in (
            DFFRegressor(inner, shares),
            TwoStageRegressor(inner, SHELF),
            PredictionTransformer(inner),
        ):
            with pytest.raises(ValueError, match=f"{type(wrapper).__name__} would take them for"):
                wrapper.fit(X, y)
    with pytest.raises(ValueError, match="CostTailSplit would take them for"):
        next(CostTailSplit(SHELF, estimator=model).split(X, y))


def test_a_display_shows_its_decisions():
    X, y = make_newsvendor(60, random_state=0)
    model = PolicyRegressor(NewsvendorProblem(9, 1), **QUICK).fit(X, y)
    pytest.importorskip("matplotlib").use("agg")
    display = DecisionDisplay.from_estimator(model, X, y)
    assert_array_equal(display.decisions, model.decide(X))


class NoProjection(DecisionProblem):
    def solve_rows(self, y, context=None):
        raise AssertionError("nothing is solved before the problem is refused")

    def cost_rows(self, decisions, y, context=None):
        raise AssertionError


def test_problems_without_policies_are_refused_before_anything_is_solved(monkeypatch):
    X, y = shelf_demand()
    with pytest.raises(NotImplementedError, match="no policy can be trained for it"):
        PolicyRegressor(NoProjection()).fit(X, y)
    whole = LinearProgram([[1.0, 1.0, 1.0]], [2.0], bounds=(0, 1), integrality=1)
    monkeypatch.setattr(DecisionProblem, "solve", NoProjection.solve_rows)
    for problem in (whole, KnapsackProblem([1, 2, 1], 2)):
        with pytest.raises(ValueError, match="decides whole numbers"):
            PolicyRegressor(problem).fit(X, y)


def test_a_net_of_another_width_is_refused():
    X, y = shelf_demand()
    model = PolicyRegressor(SHELF, predictor=lambda n_in, n_out: torch.nn.Linear(n_in, 2))
    with pytest.raises(ValueError, match="the problem needs 3 numbers per row"):
        model.fit(X, y)


def test_there_is_no_loss_to_choose():
    with pytest.raises(TypeError, match="loss"):
        PolicyRegressor(loss=None)
    others = set(DFLRegressor().get_params()) - {"loss"}
    assert set(PolicyRegressor().get_params()) == others
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PolicyRegressor(SHELF)
