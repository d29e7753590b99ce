"""Sample weights and row order: equal data in other clothes give equal models, to the bit."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone

from dfl_sklearn import DFLRegressor
from dfl_sklearn.learners import LSTMPredictor
from dfl_sklearn.losses import ScoreFunctionLoss
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem, SquaredErrorProblem
from dfl_sklearn.rows import Rows
from dfl_sklearn.training.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 12, "batch_size": 8, "hidden_layer_sizes": (6,), "random_state": 3}


def with_dropout(n_in, n_out):
    return torch.nn.Sequential(
        torch.nn.Linear(n_in, 8), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(8, n_out)
    )


MODELS = {
    "squared_error": DFLRegressor(**QUICK),
    "newsvendor": DFLRegressor(NewsvendorProblem(9, 1), **QUICK),
    "early_stopping": DFLRegressor(NewsvendorProblem(9, 1), early_stopping=True, **QUICK),
    "provisioning": DFLRegressor(ProvisioningProblem(0.0, 9.0), early_stopping=True, **QUICK),
    "score_function": DFLRegressor(
        NewsvendorProblem(9, 1), loss=ScoreFunctionLoss(n_samples=4), early_stopping=True, **QUICK
    ),
    "lstm": DFLRegressor(predictor=LSTMPredictor(4), early_stopping=True, **QUICK),
    "dropout": DFLRegressor(predictor=with_dropout, early_stopping=True, **QUICK),
    "constant_rate": DFLRegressor(learning_rate="constant", early_stopping=True, **QUICK),
}


@pytest.fixture(params=MODELS)
def model(request):
    return clone(MODELS[request.param])


@pytest.fixture
def data():
    """Rows with repeated ones among them, as small integers have."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (70, 2)).astype(float)
    return X, 1.0 + X.sum(axis=1) + rng.integers(0, 3, 70)


def assert_same(model, other, X):
    """Compare bits, history included."""
    assert_array_equal(model.predict(X), other.predict(X))
    drop = ["duration"]
    assert model.history_.drop(columns=drop).equals(other.history_.drop(columns=drop))


def test_integer_weights_are_repeated_rows(model, data):
    X, y = data
    weight = np.random.default_rng(1).integers(0, 4, len(y))
    weighted = clone(model).fit(X, y, sample_weight=weight)
    written = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_same(weighted, written, X)
    assert not np.array_equal(weighted.predict(X), clone(model).fit(X, y).predict(X))


def test_fractions_that_add_up(model, data):
    X, y = data
    whole = clone(model).fit(X, y)
    halves = clone(model).fit(
        np.concatenate([X, X]), np.concatenate([y, y]), sample_weight=np.full(2 * len(y), 0.5)
    )
    assert_same(whole, halves, X)


def test_a_row_of_weight_zero_is_absent(model, data):
    X, y = data
    strange = np.array([[1e9, -1e9]])
    weight = np.append(np.ones(len(y)), 0.0)
    weighted = clone(model).fit(np.vstack([X, strange]), np.append(y, 1e9), sample_weight=weight)
    assert_same(weighted, clone(model).fit(X, y), X)


def test_the_order_of_rows_does_not_matter(model, data):
    X, y = data
    weight = np.random.default_rng(2).uniform(0, 2, len(y))  # sums that rounding could change
    order = np.random.default_rng(3).permutation(len(y))
    straight = clone(model).fit(X, y, sample_weight=weight)
    shuffled = clone(model).fit(X[order], y[order], sample_weight=weight[order])
    assert_same(straight, shuffled, X)


def test_the_sign_of_zero_does_not_matter(model, data):
    X, y = data
    signed = np.where((X == 0) & (np.arange(len(X)) % 2 == 0)[:, None], -0.0, X)
    assert np.signbit(signed).any()
    assert_same(clone(model).fit(X, y), clone(model).fit(signed, y), X)


def test_weights_of_held_out_rows(data):
    X, y = data
    model = DFLRegressor(NewsvendorProblem(9, 1), **QUICK)
    weight = np.random.default_rng(4).integers(0, 3, 20)
    weighted = clone(model).fit(X, y, X_val=X[:20], y_val=y[:20], sample_weight_val=weight)
    written = clone(model).fit(
        X, y, X_val=np.repeat(X[:20], weight, axis=0), y_val=np.repeat(y[:20], weight)
    )
    assert_same(weighted, written, X)


def test_the_unit_of_the_loss_is_a_weighted_mean(data):
    X, y = data
    weight = np.random.default_rng(1).uniform(0.5, 3.0, len(y))
    rows = Rows(X, y[:, None], weight).canonical()
    objective = Objective(SquaredErrorProblem())
    objective.measure(objective.solved(rows), 0)
    # The best constant is the mean, and its regret the variance.
    mean = np.average(y, weights=weight)
    variance = np.average((y - mean) ** 2, weights=weight)
    assert objective.unit == pytest.approx(variance, rel=1e-12)


def test_canonical_rows_are_the_sorted_distinct_ones():
    X = np.array([[1.0, 2.0], [0.0, 5.0], [1.0, 2.0], [-0.0, 5.0], [1.0, 2.0], [9.0, 9.0]])
    y = np.array([[1.0], [1.0], [1.0], [1.0], [0.0], [1.0]])
    before = X.copy()
    rows = Rows(X, y, np.array([1.0, 2.0, 0.25, 0.5, 1.0, 0.0])).canonical()
    assert_array_equal(rows.X, [[0.0, 5.0], [1.0, 2.0], [1.0, 2.0]])
    assert_array_equal(rows.y, [[1.0], [0.0], [1.0]])
    assert_array_equal(rows.weight, [2.5, 1.0, 1.25])
    assert not np.signbit(rows.X).any()
    assert_array_equal(X, before)
