"""A mixture of experts: what is averaged, what is learnt from costs, and streams."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import (
    DiffusionDRODFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    TwoStageRegressor,
)
from dfl_sklearn.datasets import make_newsvendor, make_shortest_path
from dfl_sklearn.problems import (
    FromContext,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    ShortestPathProblem,
)
from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch
from dfl_sklearn.scenarios import ResidualScenarios
from dfl_sklearn.training.fit import StagedFit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1)
X, Y = make_newsvendor(300, random_state=0)
EXPERTS = [
    ("line", LinearRegression()),
    ("much", DummyRegressor(strategy="quantile", quantile=0.9)),
    ("scenarios", ResidualScenarios(LinearRegression())),
]


def fitted(problem=PROBLEM, experts=EXPERTS, **params):
    return ExpertMixture(experts, problem, **params).fit(X[:100], Y[:100])


def test_decisions_are_means_of_what_experts_decide():
    model = fitted().partial_fit(X[100:150], Y[100:150])
    each = [TwoStageRegressor(e, PROBLEM).fit(X[:100], Y[:100]).decide(X[150:]) for _, e in EXPERTS]
    assert not np.allclose(model.weights_, 1 / 3)
    assert_allclose(model.decide(X[150:]), model.weights_ @ np.stack(each), rtol=1e-12)
    predicted = [e.predict(X[150:]) for e in model.experts_]
    assert_allclose(model.predict(X[150:]), model.weights_ @ np.stack(predicted), rtol=1e-12)


def test_where_decisions_are_whole_predictions_are_averaged():
    problem = ShortestPathProblem.grid(3, 3)
    X, y = make_shortest_path(60, grid=(3, 3), random_state=0)
    experts = [("line", LinearRegression()), ("mean", DummyRegressor())]
    model = ExpertMixture(experts, problem).fit(X[:30], y[:30]).partial_fit(X[30:], y[30:])
    mean = np.tensordot(model.weights_, [e.predict(X) for e in model.experts_], axes=1)
    assert_array_equal(model.decide(X), problem.solve(mean))


def test_where_nothing_can_be_averaged_the_leader_decides():
    problem = LinearProgram(bounds=(0, 1))
    y = np.stack([X[:, 0], X[:, 1]], axis=1)
    experts = [("mean", DummyRegressor()), ("scenarios", ResidualScenarios(LinearRegression()))]
    model = ExpertMixture(experts, problem).fit(X[:100], y[:100]).partial_fit(X[100:], y[100:])
    leader = TwoStageRegressor(experts[1][1], problem).fit(X[:100], y[:100])
    assert model.weights_.argmax() == 1
    assert_array_equal(model.decide(X), leader.decide(X))


@pytest.mark.parametrize("tracking", [True, False])
@pytest.mark.parametrize("delay", [1, 3])
def test_a_stream_is_decided_with_what_is_known(tracking, delay):
    model = fitted(tracking=tracking)
    before = pickle.dumps(model)
    played = model.progressive(X[100:140], Y[100:140], delay=delay)
    assert pickle.dumps(model) == before
    by_hand = clone(model).fit(X[:100], Y[:100])
    for t in range(40):
        if t >= delay:
            row = slice(100 + t - delay, 101 + t - delay)
            by_hand.partial_fit(X[row], Y[row])
        assert_allclose(played.weights[t], by_hand.weights_, rtol=1e-9)
        assert_allclose(by_hand.decide(X[100 + t : 101 + t]), played.decisions[t], rtol=1e-12)
    assert_allclose(played.cost, PROBLEM.cost(played.decisions, Y[100:140]), rtol=1e-12)
    totals = played.expert_cost.sum(axis=0)
    assert played.best_expert == EXPERTS[totals.argmin()][0]
    assert played.regret == pytest.approx(played.cost.sum() - totals.min())
    assert played.switching_cost[0] == pytest.approx(totals.min())
    assert (np.diff(played.switching_cost) <= 1e-9).all()


def test_the_cost_is_within_the_bound_of_the_best_expert():
    model = fitted(tracking=False)
    played = model.progressive(X[100:], Y[100:])
    model.partial_fit(X[100:], Y[100:])
    assert played.regret <= model.hedge_.bound()
    assert model.n_rows_seen_ == 200


def test_a_stream_may_be_cut_and_stored_anywhere():
    whole = fitted().partial_fit(X[100:], Y[100:])
    parts = fitted()
    for start, end in ((100, 101), (101, 160), (160, 300)):
        parts = pickle.loads(pickle.dumps(parts)).partial_fit(X[start:end], Y[start:end])
    assert_allclose(parts.weights_, whole.weights_, rtol=1e-9)
    assert_allclose(parts.decide(X), whole.decide(X), rtol=1e-9)


def test_experts_that_are_fitted_are_taken_as_they_are():
    line = LinearRegression().fit(X[:50], Y[:50])
    frozen = [("line", FrozenEstimator(line)), ("mean", DummyRegressor())]
    model = ExpertMixture(frozen, PROBLEM).fit(X[50:100], Y[50:100])
    assert_array_equal(model.experts_[0].predict(X), line.predict(X))
    first = ExpertMixture(frozen, PROBLEM).partial_fit(X[50:100], Y[50:100])
    assert_array_equal(first.weights_, [0.5, 0.5])
    assert first.n_rows_seen_ == 0


def test_a_grid_of_radii_shares_a_generator_and_a_first_net(tmp_path, monkeypatch):
    flagship = DiffusionDRODFLRegressor(
        PROBLEM,
        generator=DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=2),
        search=TiltedSearch(200),
        hidden_layer_sizes=(),
        max_iter=3,
        random_state=0,
    )
    alone = clone(flagship).set_params(radius=0.3).fit(X[:50], Y[:50])
    fits = []
    for owner, name in ((DiffusionGenerator, "fit"), (StagedFit, "_nominal")):
        monkeypatch.setattr(owner, name, counted(fits, name, getattr(owner, name)))
    flagship.set_params(memory=str(tmp_path))
    experts = [(f"radius {r}", clone(flagship).set_params(radius=r)) for r in (0.03, 0.3)]
    model = ExpertMixture(experts, PROBLEM).fit(X[:50], Y[:50])
    assert sorted(fits) == ["_nominal", "fit"]
    each = [expert.predict(X) for expert in model.experts_]
    assert_array_equal(each[1], alone.predict(X))
    assert not np.allclose(*each)


def counted(calls, name, function):
    def counting(*args, **params):
        calls.append(name)
        return function(*args, **params)

    return counting


def test_policies_decide_and_predict_nothing():
    policy = PolicyRegressor(PROBLEM, hidden_layer_sizes=(), max_iter=3, random_state=0)
    model = fitted(experts=[("policy", policy), ("line", LinearRegression())])
    alone = clone(policy).fit(X[:100], Y[:100]).decide(X)
    line = PROBLEM.solve(LinearRegression().fit(X[:100], Y[:100]).predict(X))
    assert_allclose(model.decide(X), (alone + line) / 2, rtol=1e-9)
    with pytest.raises(ValueError, match="'policy' is a policy"):
        model.predict(X)


def test_rows_are_drawn_by_weight():
    model = fitted().partial_fit(X[100:130], Y[100:130])
    drawn = model.sample(X, random_state=0)
    each = model._expert_decisions(X)
    chosen = (each == drawn).argmax(axis=0)
    share = np.bincount(chosen, minlength=3) / len(X)
    assert_allclose(share, model.weights_, atol=4 * np.sqrt(0.25 / len(X)))
    assert_array_equal(model.sample(X, random_state=0), drawn)


def test_experts_decide_in_the_context_of_a_row():
    limit = np.linspace(5.0, 100.0, 300)
    table, demand = np.column_stack([X, limit]), np.stack([Y, Y], axis=1)
    experts = [("line", LinearRegression()), ("mean", DummyRegressor())]
    problem = MultiProductNewsvendorProblem(9, 1, capacity=FromContext(0))
    model = ExpertMixture(experts, problem, context=[X.shape[1]])
    model.fit(table[:100], demand[:100]).partial_fit(table[100:], demand[100:])
    assert (model.decide(table).sum(axis=1) <= limit * (1 + 1e-9)).all()
    assert (model.decide(table).sum(axis=1)[:20] > 0.99 * limit[:20]).all()


def test_parameters_of_experts_are_searched():
    experts = [("ridge", Ridge()), ("mean", DummyRegressor())]
    search = GridSearchCV(
        ExpertMixture(experts, PROBLEM), {"ridge__alpha": [1e-3, 1e6], "tracking": [False]}, cv=2
    ).fit(X, Y)
    assert search.best_params_ == {"ridge__alpha": 1e-3, "tracking": False}
    replaced = ExpertMixture(experts).set_params(mean=Ridge(alpha=2.0))
    assert replaced.get_params()["mean__alpha"] == 2.0


def test_weights_of_rows_reach_the_experts():
    weight = np.arange(100.0)
    model = ExpertMixture([("line", LinearRegression())]).fit(X[:100], Y[:100], weight)
    alone = LinearRegression().fit(X[:100], Y[:100], weight)
    assert_array_equal(model.predict(X), alone.predict(X))


def test_weights_go_to_the_experts_that_request_them():
    weight = np.arange(100.0)
    with config_context(enable_metadata_routing=True):
        asked = Ridge().set_fit_request(sample_weight=True)
        experts = [
            ("asked", asked),
            ("refused", Ridge().set_fit_request(sample_weight=False)),
            ("pipe", make_pipeline(StandardScaler().set_fit_request(sample_weight=False), asked)),
            ("fitted", FrozenEstimator(LinearRegression().fit(X, Y))),
        ]
        model = ExpertMixture(experts, PROBLEM).fit(X[:100], Y[:100], sample_weight=weight)
        several = ExpertMixture([("trees", GradientBoostingRegressor(n_estimators=2))])
        with pytest.raises(UnsetMetadataPassedError, match="GradientBoostingRegressor"):
            several.fit(X[:100], np.stack([Y, Y], axis=1)[:100], weight)
        with pytest.raises(TypeError, match="not routed to any object"):
            ExpertMixture(experts[1:2]).fit(X[:100], Y[:100], weight)
        params = {"sample_weight": np.arange(300.0)}
        score = cross_val_score(
            ExpertMixture(experts, PROBLEM).set_score_request(sample_weight=True),
            *(X, Y),
            params=params,
        )
    assert np.isfinite(score).all()
    weighted, plain = (Ridge().fit(X[:100], Y[:100], each).predict(X) for each in (weight, None))
    assert_array_equal(model.experts_[0].predict(X), weighted)
    assert_array_equal(model.experts_[1].predict(X), plain)
    scaled = StandardScaler().fit(X[:100])
    by_hand = Ridge().fit(scaled.transform(X[:100]), Y[:100], weight).predict(scaled.transform(X))
    assert_allclose(model.experts_[2].predict(X), by_hand, rtol=1e-12)


class NoWeights(DummyRegressor):
    def fit(self, X, y):
        return super().fit(X, y)


class Wider(NewsvendorProblem):
    def solve_rows(self, y, context=None):
        return np.repeat(super().solve_rows(y, context), 2 if (y > 1e6).all() else 1, axis=1)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: fitted(experts=[]), "it is empty"),
        (lambda: fitted(experts=[LinearRegression()]), r"got LinearRegression\(\) in it"),
        (lambda: fitted(experts=[("a", 1)]), "'a' is 1, which is not a regressor"),
        (lambda: fitted(experts=[EXPERTS[0]] * 2), "not unique"),
        (lambda: fitted().progressive(X, Y, delay=0), "delay must be a whole number of at least 1"),
        (lambda: fitted().partial_fit(X[:5], Y[:4]), "X has 5 rows, and y has 4"),
        (
            lambda: fitted(
                experts=[("two", FrozenEstimator(LinearRegression().fit(X, np.stack([Y, Y], 1))))]
            ).predict(X),
            "'two' predicts 2 numbers for a row, and y has had 1 in fit",
        ),
        (
            lambda: ExpertMixture([("a", FrozenEstimator(LinearRegression().fit(X, Y)))]).fit(
                X[:9], Y[:8]
            ),
            "inconsistent numbers of samples",
        ),
        (lambda: fitted().partial_fit(X[:5], np.full(5, np.nan)), "y is not finite at row 0"),
        (lambda: fitted().partial_fit(X[:5, :1], Y[:5]), "features"),
        (lambda: fitted().decide(X, context=Y), "experts read it from X"),
        (
            lambda: ExpertMixture([("a", NoWeights())]).fit(X, Y, sample_weight=np.ones(len(X))),
            "expert 'a', NoWeights, does not take it",
        ),
        (
            lambda: fitted(
                Wider(9, 1), [("a", LinearRegression()), ("b", DummyRegressor(strategy="constant",
                constant=1e7))]
            ).decide(X),
            "'b' decides 2 numbers for each of 300 rows, but 'a' decides 1",
        ),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_experts_set_after_a_fit_are_those_of_the_next_one():
    model = fitted()
    expected = model.progressive(X[100:150], Y[100:150])
    played = model.set_params(experts=EXPERTS[1:]).progressive(X[100:150], Y[100:150])
    assert played.best_expert == expected.best_expert
    assert_array_equal(model.predict(X), fitted().predict(X))
    assert len(model.fit(X[:100], Y[:100]).weights_) == 2
