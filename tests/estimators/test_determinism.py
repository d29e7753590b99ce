"""The same seed gives the same bits, wherever it is fitted, and nothing global moves."""

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.base import clone

from dfl_sklearn import DFLRegressor
from dfl_sklearn.learners import LSTMPredictor
from dfl_sklearn.problems import NewsvendorProblem

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 10, "batch_size": 16, "hidden_layer_sizes": (8,)}


class WithDropout(torch.nn.Sequential):
    def __init__(self, n_in, n_out):
        super().__init__(
            torch.nn.Linear(n_in, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, n_out)
        )


PREDICTORS = {"mlp": None, "lstm": LSTMPredictor(4), "linear": torch.nn.Linear, "drop": WithDropout}


@pytest.fixture(params=PREDICTORS)
def model(request):
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    return DFLRegressor(
        problem, predictor=PREDICTORS[request.param], early_stopping=True, random_state=0, **QUICK
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    return X, X @ [1.0, -1.0, 2.0] + rng.standard_normal(80)


def fit_predict(model, X, y):
    return clone(model).fit(X, y).predict(X)


def test_in_this_process(model, data):
    X, y = data
    first = fit_predict(model, X, y)
    torch.rand(7)  # the state of the global generators plays no part
    assert_array_equal(fit_predict(model, X, y), first)
    other = clone(model).set_params(random_state=1)
    assert not np.array_equal(fit_predict(other, X, y), first)


def test_in_threads(model, data):
    alone = fit_predict(model, *data)
    together = Parallel(n_jobs=2, backend="threading")(
        delayed(fit_predict)(model, *data) for _ in range(6)
    )
    for each in together:
        assert_array_equal(each, alone)


def test_global_generators_are_untouched(model, data):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model.set_params(random_state=None)
    model.fit(*data).predict(data[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_threads_are_restored(model, data):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model.fit(*data).predict(data[0])
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="negative demand"):
            clone(model).set_params(problem=NewsvendorProblem(9, 1)).fit(*data)
        with pytest.raises(ValueError, match="n_iter"):
            clone(model).set_params(predictor=failing).fit(*data)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def failing(n_in, n_out):
    raise ValueError("n_iter")


def test_predict_repeats_itself_and_leaves_dropout_off(data):
    X, y = data
    model = DFLRegressor(predictor=WithDropout, random_state=0, **QUICK).fit(X, y)
    assert_array_equal(model.predict(X), model.predict(X))


def test_a_random_state_instance_moves_on(data):
    X, y = data
    state = np.random.RandomState(0)
    model = DFLRegressor(random_state=state, **QUICK)
    first, second = model.fit(X, y).predict(X), model.fit(X, y).predict(X)
    assert not np.array_equal(first, second)
    again = DFLRegressor(random_state=np.random.RandomState(0), **QUICK).fit(X, y)
    assert_array_equal(again.predict(X), first)
