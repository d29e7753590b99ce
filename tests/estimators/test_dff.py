"""The guarantees of fine-tuning."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from skorch.callbacks import Callback

from dfl_sklearn import DFFRegressor
from dfl_sklearn.datasets import (
    make_newsvendor,
    make_portfolio,
    make_shortest_path,
    portfolio_covariance,
)
from dfl_sklearn.estimators._correction_rows import cross_fitted_rows
from dfl_sklearn.problems import (
    NewsvendorProblem,
    PortfolioProblem,
    ShortestPathProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.robust import (
    DiffusionGenerator,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 15, "hidden_layer_sizes": (8,), "random_state": 0}
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=3, random_state=0)
TASKS = {
    "newsvendor": (NewsvendorProblem(9, 1), lambda n, s: make_newsvendor(n, random_state=s)),
    "paths": (
        ShortestPathProblem.grid(3, 3),
        lambda n, s: make_shortest_path(n, grid=(3, 3), random_state=s),
    ),
    "portfolio": (
        PortfolioProblem(portfolio_covariance(5), 0.25),
        lambda n, s: make_portfolio(n, random_state=s),
    ),
}
BACKBONES = {
    "least squares": LinearRegression(),
    "forest": RandomForestRegressor(10, min_samples_leaf=5, random_state=0),
    "boosting": HistGradientBoostingRegressor(max_iter=5, random_state=0),
}


def columns(values):
    return np.asarray(values).reshape(len(values), -1)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_the_three_guarantees_hold_row_by_row(task, backbone, epsilon):
    problem, make = TASKS[task]
    X, y = make(150, 0)
    X_test, y_test = make(400, 1)
    model = DFFRegressor(BACKBONES[backbone], problem, epsilon=epsilon, min_gain=0, **QUICK)
    model.fit(X, y)
    model.fell_back_ = False  # whatever came of the comparison, the correction keeps its word
    before, after = columns(model.predict_backbone(X_test)), columns(model.predict(X_test))
    assert (np.abs(after - before) <= epsilon * np.abs(before) + 1e-12).all()
    assert (after != before).any() == (model.corrector_.best_epoch_ > 0)
    lengths = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
    cosine = (after * before).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
    assert (cosine[lengths > 0] >= np.sqrt(1 - epsilon**2) - 1e-9).all()
    errors = [np.sqrt(((each - columns(y_test)) ** 2).mean(axis=1)) for each in (before, after)]
    allowed = epsilon * np.linalg.norm(before, axis=1) / np.sqrt(before.shape[1])
    assert (errors[1] - errors[0] <= allowed + 1e-12).all()
    assert_array_equal(model.trust_radius(X_test), epsilon * np.abs(model.predict_backbone(X_test)))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_the_absolute_trust_region_is_a_share_of_the_errors(task, epsilon):
    problem, make = TASKS[task]
    X, y = make(150, 0)
    model = DFFRegressor(
        LinearRegression(), problem, epsilon=epsilon, trust_region="absolute", **QUICK
    )
    X_test, y_test = make(400, 1)
    model.fit(X, y, X_val=X_test[:50], y_val=y_test[:50])
    model.fell_back_ = False
    moved = np.abs(model.correction(X_test))
    assert (moved <= model.trust_radius(X_test) + 1e-12).all()
    radius = model.trust_radius(X_test)
    assert_allclose(columns(radius)[7], epsilon * model.residual_scale_)
    model.set_params(epsilon=9.0, trust_region="relative")  # for the next fit
    assert_array_equal(model.trust_radius(X_test), radius)
    # The errors on rows not seen are at least those on rows seen.
    seen = columns(y - model.estimator_.predict(X)).std(axis=0)
    assert (model.residual_scale_ > seen).all()
    assert (model.residual_scale_ < 1.5 * seen).all()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("task", TASKS)
def test_epsilon_0_is_the_backbone_to_the_last_bit(task, backbone):
    problem, make = TASKS[task]
    X, y = make(80, 0)
    model = DFFRegressor(BACKBONES[backbone], problem, epsilon=0, **QUICK).fit(X, y)
    alone = model._unfitted(y).fit(X, y)
    assert_array_equal(model.predict(X), alone.predict(X))
    assert model.fell_back_
    assert not model.correction(X).any()
    assert not model.trust_radius(X).any()
    assert model.n_iter_ == 0
    assert not hasattr(model, "corrector_")


def test_it_lowers_a_lopsided_cost():
    X, y = make_newsvendor(400, random_state=0)
    X_test, y_test = make_newsvendor(5_000, random_state=1)
    problem = NewsvendorProblem(9, 1)
    model = DFFRegressor(LinearRegression(), problem, random_state=0).fit(X, y)
    before, after = (
        problem.cost(problem.solve(each), y_test).mean()
        for each in (model.predict_backbone(X_test), model.predict(X_test))
    )
    assert not model.fell_back_
    assert after < 0.85 * before


def test_it_falls_back_where_nothing_is_to_be_gained():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = 5.0 + X @ [1.0, -1.0, 0.5]
    model = DFFRegressor(LinearRegression(), SquaredErrorProblem(), **QUICK).fit(X, y)
    assert model.fell_back_
    assert_array_equal(model.predict(X), model.estimator_.predict(X))
    assert model.held_out_regret_.corrected <= model.held_out_regret_.backbone


def test_min_gain_is_in_standard_errors():
    X, y = make_newsvendor(300, random_state=0)
    problem = NewsvendorProblem(9, 1)
    models = [
        DFFRegressor(LinearRegression(), problem, min_gain=gain, **QUICK).fit(X, y)
        for gain in (0.0, 1e6)
    ]
    assert not models[0].fell_back_
    assert models[1].fell_back_
    by = models[0].held_out_regret_
    assert by == models[1].held_out_regret_
    ratio = (by.backbone - by.corrected) / by.standard_error
    for gain, falls in ((0.99 * ratio, False), (1.01 * ratio, True)):
        model = DFFRegressor(LinearRegression(), problem, min_gain=gain, **QUICK).fit(X, y)
        assert model.fell_back_ is falls


def test_the_comparison_is_on_rows_that_the_backbone_has_not_seen():
    """A backbone that knows its rows by heart must not be believed on them."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 3, (300, 2))
    y = 10 + X[:, 0] + rng.exponential(3.0, 300)
    tree = RandomForestRegressor(1, bootstrap=False, random_state=0)
    model = DFFRegressor(tree, NewsvendorProblem(9, 1), **{**QUICK, "max_iter": 60}).fit(X, y)
    assert_allclose(model.predict_backbone(X), y)
    assert model.held_out_regret_.backbone > 5
    assert not model.fell_back_


def test_weights_are_rows_given_twice():
    X, y = make_newsvendor(120, random_state=0)
    weight = np.random.default_rng(0).integers(0, 3, 120)
    problem = NewsvendorProblem(9, 1)
    model = DFFRegressor(LinearRegression(), problem, **QUICK)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    order = np.random.default_rng(1).permutation(120)
    shuffled = clone(model).fit(X[order], y[order], sample_weight=weight[order])
    for other in (repeated, shuffled):
        assert_allclose(other.predict(X), weighted.predict(X), rtol=1e-8)
        assert other.held_out_regret_.backbone == pytest.approx(weighted.held_out_regret_.backbone)


def test_weights_reach_backbone_folds_and_correction():
    seen = []

    class Spy(Ridge):
        def fit(self, X, y, sample_weight=None):
            seen.append(sample_weight)
            return super().fit(X, y, sample_weight)

    X, y = make_newsvendor(100, random_state=0)
    weight = np.random.default_rng(0).uniform(1, 2, 100)
    model = DFFRegressor(Spy(), NewsvendorProblem(9, 1), cv=4, **QUICK)
    model.fit(X, y, sample_weight=weight)
    assert_array_equal(seen[0], weight)
    assert [len(each) for each in seen[1:]] == [75] * 4
    assert set(np.concatenate(seen[1:])) == set(weight)
    heavy = np.where(y > np.median(y), 20.0, 1.0)
    steps = {"epsilon": 1.0, "min_gain": 0, **QUICK, "max_iter": 60}
    light = DFFRegressor(FrozenEstimator(model.estimator_), NewsvendorProblem(1, 1), **steps)
    up = clone(light).fit(X, y, sample_weight=heavy).corrector_
    down = clone(light).fit(X, y, sample_weight=1 / heavy).corrector_
    inputs = np.column_stack([X, model.estimator_.predict(X)])
    assert up.predict(inputs).mean() > down.predict(inputs).mean()


@pytest.mark.parametrize("n_features", [5, 37, 60])
def test_copies_are_one_row_even_where_their_predictions_differ_in_the_last_bit(n_features):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, n_features))
    y = np.abs(X[:, 0]) + rng.exponential(size=60)
    weight = rng.integers(1, 4, 60)
    order = rng.permutation(weight.sum())
    model = DFFRegressor(Ridge(), NewsvendorProblem(9, 1), min_gain=0, **QUICK)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    X_long, y_long = np.repeat(X, weight, axis=0)[order], np.repeat(y, weight)[order]
    repeated = clone(model).fit(X_long, y_long)
    assert len(cross_fitted_rows(repeated, X_long, y_long, np.ones(len(order)), {}, 0).X) == 60
    assert_allclose(repeated.predict(X), weighted.predict(X), rtol=1e-8)
    assert repeated.held_out_regret_.backbone == pytest.approx(weighted.held_out_regret_.backbone)


def test_a_single_held_out_row_is_no_evidence():
    X, y = make_newsvendor(80, random_state=0)
    model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), min_gain=0.1, **QUICK)
    model.fit(X, y, X_val=X[:1], y_val=y[:1] + 30)
    assert model.fell_back_
    assert model.held_out_regret_.standard_error == np.inf


def test_a_fit_that_fails_leaves_the_last_model_whole():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("no more")

    X, y = make_newsvendor(80, random_state=0)
    model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), **QUICK).fit(X, y)
    before, fitted = model.predict(X), dict(vars(model))
    for params, data, message in (
        ({}, {"X_val": X}, "Give both"),
        ({"callbacks": [Stop()]}, {}, "no more"),
    ):
        with pytest.raises((ValueError, RuntimeError), match=message):
            model.set_params(**params).fit(X, 10 * y, **data)
        assert_array_equal(model.predict(X), before)
        assert vars(model).keys() == fitted.keys()
    fresh = clone(model)
    with pytest.raises(RuntimeError, match="no more"):
        fresh.fit(X, y)
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_copies_of_a_row_share_a_fold():
    X, y = make_newsvendor(60, random_state=0)
    tree = RandomForestRegressor(1, bootstrap=False, random_state=0)
    model = DFFRegressor(tree, NewsvendorProblem(9, 1), **QUICK)
    model.fit(np.tile(X, (5, 1)), np.tile(y, 5))  # a leak would make this tree look perfect
    assert model.held_out_regret_.backbone > 1


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    X, y = make_newsvendor(150, random_state=0)
    model = DFFRegressor(LinearRegression(), NewsvendorProblem(9, 1), **QUICK)
    first = clone(model).fit(X, y).predict(X)
    assert_array_equal(clone(model).fit(X, y).predict(X), first)
    assert (clone(model).set_params(random_state=1).fit(X, y).predict(X) != first).any()
