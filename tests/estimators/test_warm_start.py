"""Going on from the last fit when the level, the unit or the spread of the rows has changed."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.learners import (
    ItemwisePredictor,
    LSTMPredictor,
    MLPPredictor,
    ScaleEquivariantPredictor,
)
from dfl_sklearn.learners.scaling import Scale
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import KLBall
from dfl_sklearn.training.warm_start import LastFit, re_expressed

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1)


def rows(seed, n=120):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 3, (n, 3))
    return X, 10 + X @ [1.0, 2.0, 0.5] + rng.uniform(0, 3, n)


def regressor(hidden=(), **params):
    return DFLRegressor(PROBLEM, hidden_layer_sizes=hidden, random_state=0, **params)


def cost(model, X, y):
    return PROBLEM.cost(model.decide(X), y).mean()


SECOND_BATCHES = {
    "no sales first": ((1, 0), (1, 1)),
    "x1e-4": ((1, 1), (1, 1e-4)),
    "features x1000": ((1, 1), (1000, 1)),
}


@pytest.mark.filterwarnings("ignore:The predictions of the last fit")
@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *((name, ()) for name in ("no sales first", "x1e-4")),
        *((name, (16,)) for name in ("features x1000", "+100")),
    ],
)
def test_a_warm_fit_costs_about_what_a_fresh_one_does(name, hidden):
    first, second = SECOND_BATCHES.get(name, ((1, 1), (1, 1)))
    (X, y), (X_new, y_new) = (
        (scale[0] * X, scale[1] * y)
        for scale, (X, y) in zip((first, second), (rows(0), rows(1)), strict=True)
    )
    if name == "+100":
        y_new = y_new + 100
    fresh = cost(regressor(hidden).fit(X_new, y_new), X_new, y_new)
    model = regressor(hidden, warm_start=True).fit(X, y)
    assert cost(model, X_new, y_new) > 3 * fresh
    assert cost(model.fit(X_new, y_new), X_new, y_new) < 1.2 * fresh
    by_parts = regressor(hidden).partial_fit(X, y)
    for _ in range(25):
        by_parts.partial_fit(X_new, y_new)
    assert cost(by_parts, X_new, y_new) < 1.25 * fresh
    assert by_parts.n_iter_ == len(by_parts.history_)


@pytest.mark.parametrize("predictor", [None, LSTMPredictor(3)])
def test_after_rows_without_variation_a_warm_fit_is_a_fresh_one(predictor):
    X, y = rows(0)
    model = regressor((4,), predictor=predictor, max_iter=10)
    fresh = clone(model).fit(X, y).predict(X)
    model.set_params(warm_start=True).fit(X, 0 * y)
    assert_array_equal(model.predict(X), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Training stopped")
        model.fit(X, y)
    assert_array_equal(model.predict(X), fresh)
    assert model.best_epoch_ > model.n_iter_ - 10


def test_a_product_without_sales_so_far_is_learnt_beside_another():
    """Its last prediction is 0, where an order has no slope."""
    X, y = rows(0)
    rng = np.random.default_rng(2)
    Y = np.column_stack([y, rng.exponential(5, len(y)) * (1 + X[:, 0])])
    problem = NewsvendorProblem([9, 3], 1)

    def cost_of(model):
        return problem.cost(model.decide(X), Y).mean()

    model = DFLRegressor(problem, hidden_layer_sizes=(8,), random_state=0)
    fresh = cost_of(clone(model).fit(X, Y))
    by_parts = clone(model).partial_fit(X, Y * [1, 0])
    model.set_params(warm_start=True).fit(X, Y * [1, 0])
    assert_array_equal(model.predict(X)[:, 1], 0)
    assert cost_of(model.fit(X, Y)) < 1.1 * fresh
    for _ in range(20):
        by_parts.partial_fit(X, Y)
    assert cost_of(by_parts) < 1.2 * fresh
    few = clone(model).set_params(learning_rate_init=0.02, warm_start=False)
    few.partial_fit(X, Y * [1, 0])
    for i in range(40):
        few.partial_fit(X[3 * i : 3 * i + 3], Y[3 * i : 3 * i + 3])
    assert cost_of(few) < 2 * fresh


@pytest.mark.filterwarnings("ignore:The predictions of the last fit")
def test_rows_without_variation_are_learnt_and_leave_the_scale_usable():
    (X, y), model = rows(0), regressor((16,), warm_start=True)
    model.fit(X, y).fit(X, np.full(120, 50.0))
    assert np.abs(model.predict(X) - 50).mean() < 0.3  # some of them not seen in training
    assert (model.y_scale_.scale > 0).all()
    fresh = cost(regressor((16,)).fit(X, y), X, y)
    assert cost(model.fit(X, y), X, y) < 1.2 * fresh
    nothing = regressor(warm_start=True).fit(X, 0 * y).fit(X, 0 * y)
    assert_array_equal(nothing.predict(X), 0)
    nothing.fit(X, 0 * y + 2)
    assert_allclose(nothing.predict(X), 2, atol=0.1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("predictor", [None, MLPPredictor(()), MLPPredictor((8, 4)), nn.Linear])
def test_predictions_do_not_jump_at_the_start(predictor, dtype):
    """A learning rate of almost nothing shows where training starts."""
    X, y = rows(0)
    X, Y = X.astype(dtype), np.column_stack([y, 3 * y + X[:, 0]])
    quick = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}
    problem = NewsvendorProblem([9, 3], 1)
    model = DFLRegressor(problem, predictor=predictor, warm_start=True, **quick).fit(X, Y)
    before, scale = model.predict(X), model.y_scale_
    new_X, new_Y = (X[:90] * [1.3, 1, 0.8] + 0.1).astype(dtype), 1.2 * Y[:90] + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter(
            "ignore", category=__import__("sklearn").exceptions.ConvergenceWarning
        )
        model.set_params(learning_rate_init=1e-12, max_iter=1).fit(new_X, new_Y)
    assert not np.allclose(model.y_scale_.scale, scale.scale, rtol=0.05)
    assert_allclose(model.predict(X), before, rtol=1e-9 if dtype == np.float64 else 1e-5)
    before = model.predict(X)
    model.partial_fit(new_X[:60], new_Y[:60])
    assert_allclose(model.predict(X), before, rtol=1e-9 if dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_re_expressed_weights_predict_the_same(hidden):
    rng = np.random.default_rng(0)
    net = MLPPredictor(hidden, "tanh").build(3, 2, torch.Generator().manual_seed(0))

    def scale(n):
        return Scale(rng.normal(size=n) * 10, rng.uniform(0.01, 100, n))

    old, new = (scale(3), scale(2)), (scale(3), scale(2))
    new[1].scale[1] = 0.0  # a column that nothing is learnt of: any weights will do
    other = MLPPredictor(hidden, "tanh").build(3, 2, torch.Generator().manual_seed(1))
    other.load_state_dict(re_expressed(LastFit(net, *old), *new))
    X = rng.normal(size=(50, 3)) * 10

    def predicted(net, scales):
        output = net(torch.as_tensor(scales[0].apply(X))).detach().numpy()
        return output * scales[1].scale + scales[1].mean

    assert_allclose(predicted(other, new)[:, 0], predicted(net, old)[:, 0], rtol=1e-8, atol=1e-8)
    assert np.isfinite(predicted(other, new)).all()


class Deep(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 4), nn.Tanh(), nn.Linear(4, n_out))

    def forward(self, x):
        return self.body(x)


def without_bias(n_in, n_out):
    return nn.Linear(n_in, n_out, bias=False)


def weight_normed(n_in, n_out):
    return nn.utils.parametrizations.weight_norm(nn.Linear(n_in, n_out))


OTHERS = [
    Deep,
    without_bias,
    weight_normed,
    LSTMPredictor(3),
    ItemwisePredictor(1, (3,)),
    ScaleEquivariantPredictor(),
]


@pytest.mark.parametrize("predictor", OTHERS, ids=lambda each: getattr(each, "__name__", None))
def test_other_modules_are_standardised_afresh_and_say_so(predictor):
    X, y = rows(0)
    model = regressor(predictor=predictor, warm_start=True, max_iter=3).fit(X, y)
    before = model.predict(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Training stopped")
        clone(model).fit(X, y).fit(X, y)  # the same rows: nothing to say
        unscaled = clone(model).set_params(standardize=False).fit(X, y).fit(X, 5 * y)
    assert_array_equal(unscaled.y_scale_.scale, 1)
    model.set_params(learning_rate_init=1e-12, max_iter=1)
    with pytest.warns(UserWarning, match="standardised afresh"):
        model.fit(X, 10 * y + 3)
    assert_allclose(model.predict(X), 10 * before + 3, rtol=1e-6)


def test_without_standardisation_nothing_changes():
    X, y = rows(0)
    model = regressor((4,), warm_start=True, standardize=False, max_iter=5).fit(X, y)
    before = model.predict(X)
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(X, 3 * y)
    assert_allclose(model.predict(X), before, rtol=1e-9)


def test_the_first_partial_fit_is_a_fit_and_the_next_an_epoch():
    X, y = rows(0)
    model = regressor((8,), max_iter=5).partial_fit(X, y)
    assert_array_equal(model.predict(X), regressor((8,), max_iter=5).fit(X, y).predict(X))
    assert_array_equal(model.partial_fit(X, y).history_["epoch"], np.arange(1, 7))
    assert model.n_iter_ == model.best_epoch_ == 6
    other = regressor((8,), max_iter=5).partial_fit(X, y).partial_fit(X, y)
    assert_array_equal(other.predict(X), model.predict(X))
    weight = np.arange(120) % 3
    weighted = clone(model).partial_fit(X, y).partial_fit(X, y, sample_weight=weight)
    twice = clone(model).partial_fit(X, y)
    twice.partial_fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_array_equal(weighted.predict(X), twice.predict(X))


def test_a_few_rows_do_not_change_the_units():
    X, y = rows(0)
    model = regressor(max_iter=30).partial_fit(X, y)
    scales, before = (model.x_scale_, model.y_scale_), model.predict(X)
    for i in range(5):
        model.partial_fit(X[i : i + 1], y[i : i + 1] + 3)
    for old, new in zip(scales, (model.x_scale_, model.y_scale_), strict=True):
        assert_array_equal(new, old)
    moved = model.predict(X) - before
    assert moved[:5].min() > 0  # towards the rows, by steps of the learning rate
    model.partial_fit(X[:1], [1e6])  # an outlier does no more
    assert np.abs(model.predict(X) - before).max() < 0.5 * y.std()


def test_few_rows_at_a_time_get_there_as_well():
    X, y = rows(0)
    new = 1000 + 100 * y
    for first in (0 * y, 1e-3 * y + 1000):
        model = regressor(learning_rate_init=0.1).partial_fit(X, first)
        before = cost(model, X, new)
        for i in range(60):
            part = slice(2 * i % 120, 2 * i % 120 + 2)
            model.partial_fit(X[part], new[part])
        assert cost(model, X, new) < 0.1 * before


def test_partial_fit_is_not_there_for_the_worst_case():
    assert hasattr(regressor(), "partial_fit")
    robust = DFLRegressor(PROBLEM, ambiguity_set=KLBall())
    for model in (robust, DiffusionDRODFLRegressor(PROBLEM)):
        assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        robust.partial_fit([[1.0]], [1.0])
    assert "worst distribution near a few new rows" in str(caught.value.__cause__)


def test_partial_fit_refuses_other_widths():
    X, y = rows(0)
    model = regressor(max_iter=2).partial_fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but DFLRegressor is expecting 3"):
        model.partial_fit(X[:, :2], y)
    with pytest.raises(ValueError, match="y has 2 columns, but the model that partial_fit goes"):
        model.partial_fit(X, np.column_stack([y, y]))
