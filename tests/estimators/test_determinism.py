"""The same seed gives the same bits, wherever it is fitted, and nothing global moves."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from sklearn.base import clone

from dfl_sklearn import DFLRegressor
from dfl_sklearn.nets import LSTMPredictor
from dfl_sklearn.problems import NewsvendorProblem

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
REPOSITORY = Path(__file__).resolve().parents[2]
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


SCRIPT = """
import sys, warnings, numpy as np, torch
warnings.simplefilter("ignore")
from joblib import Parallel, delayed
from sklearn.base import clone
from dfl_sklearn import DFLRegressor
from dfl_sklearn.problems import NewsvendorProblem
rng = np.random.default_rng(0)
X = rng.standard_normal((80, 3))
y = X @ [1.0, -1.0, 2.0] + rng.standard_normal(80)
models = [
    DFLRegressor(NewsvendorProblem(9, 1, nonnegative=False), predictor=p, early_stopping=True,
                 random_state=0, max_iter=10, batch_size=16, hidden_layer_sizes=(8,))
    for p in (None, torch.nn.Linear)
]
def work(model):
    return clone(model).fit(X, y).predict(X)
n_jobs = int(sys.argv[1])
out = [work(m) for m in models] if n_jobs == 1 else Parallel(n_jobs)(map(delayed(work), models))
print(*(each.tobytes().hex() for each in out))
"""


@pytest.mark.parametrize("n_jobs", [1, 2], ids=["fresh process", "loky workers"])
def test_in_other_processes(n_jobs, data):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(n_jobs)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    for predictor, there in zip((None, torch.nn.Linear), run.stdout.split(), strict=True):
        model = DFLRegressor(
            problem, predictor=predictor, early_stopping=True, random_state=0, **QUICK
        )
        assert fit_predict(model, *data).tobytes().hex() == there


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
