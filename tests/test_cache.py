"""What is computed once: the key, the lock, and the same bits from a warm cache as a cold one."""

import functools
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from joblib import Memory
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

import dfl_sklearn
from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn._utils import once
from dfl_sklearn._utils.digest import OpaqueError, digest
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.learners import MLPPredictor
from dfl_sklearn.losses import PerturbedFenchelYoungLoss, RegretLoss, ScoreFunctionLoss
from dfl_sklearn.problems import LinearProgram, NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def notebook(code, **names):
    """Return what a notebook's cell has defined: its functions belong to no file."""
    module = types.ModuleType("__main__")
    vars(module).update(nn=nn, np=np, torch=torch, functools=functools, **names)
    exec(code, vars(module))
    return types.SimpleNamespace(**vars(module))


DEFINITIONS = {
    "body": "def f(n, m): return nn.Linear(n, m, bias={})",
    "global": "width = {}\ndef f(n, m): return nn.Linear(n, width)",
    "closure": "def make(w):\n return lambda n, m: nn.Linear(n, w)\nf = make({})",
    "default": "def f(n, m, w={}): return nn.Linear(n, w)",
    "keyword default": "def f(n, m, *, w={}): return nn.Linear(n, w)",
    "helper": "def g(n): return n + {}\ndef f(n, m): return nn.Linear(n, g(m))",
    "helper in a nested function": "def g(): return {}\ndef f(n, m): return (lambda: g())()",
    "partial": "def g(n, m, w): return w\nf = functools.partial(g, w={})",
    "method": "class A:\n def g(self, n, m): return {}\nf = A().g",
    "state": "class A:\n def __call__(self, n, m): return self.w\nf = A()\nf.w = {}",
    "class": "class f(nn.Linear):\n def forward(self, x): return x + {}",
    "base class": "class A(nn.Module):\n w = {}\nclass f(A): pass",
    "property": "class f(nn.Module):\n @property\n def w(self): return {}",
    "wrapped": "@functools.lru_cache\ndef f(n, m): return {}",
    "array": "w = np.array([{}])\ndef f(n, m): return w",
    "tensor": "w = torch.tensor([{}])\ndef f(n, m): return w",
    "recursion": "def f(n, m): return f(n - 1, m) if n else {}",
    "module": "w = nn.PReLU(init={})\nf = lambda n, m: w",
    "constant of a module": "w = nn.Dropout({} / 10)\nf = lambda n, m: w",
}


@pytest.mark.parametrize("code", DEFINITIONS.values(), ids=DEFINITIONS)
def test_a_function_defined_anew_is_another_one(code):
    first, again, other = (notebook(code.format(value)).f for value in (1, 1, 2))
    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_a_module_under_development_counts_by_what_is_used_of_it():
    helpers = types.ModuleType("helpers_of_mine")
    sys.modules["helpers_of_mine"] = helpers
    try:
        keys = []
        for body in ("n + 1", "n + 2", "n + 1"):
            exec(f"def g(n): return {body}\ndef unused(n): return {body} * 7", vars(helpers))
            keys.append(digest(notebook("def f(n, m): return h.g(n)", h=helpers).f))
            code = "def f(n, m):\n import helpers_of_mine\n return helpers_of_mine.g(n)"
            keys.append(digest(notebook(code).f))
    finally:
        del sys.modules["helpers_of_mine"]
    assert keys[0] != keys[2]
    assert keys[1] != keys[3]
    assert keys[:2] == keys[4:]


@pytest.mark.parametrize(
    "part",
    [
        np.random.default_rng(0),
        np.random.RandomState(0),
        torch.Generator(),
        threading.Lock(),
        iter([1]),
        MLPPredictor(np.random.default_rng(0)),
        PerturbedFenchelYoungLoss(random_state=None),
        notebook("f = lambda n, m: g.random()", g=np.random.default_rng(0)).f,
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_has_no_value_is_opaque(part):
    with pytest.raises(OpaqueError):
        digest("predictor", part)


def test_values_that_differ_have_other_keys_and_equal_ones_the_same():
    different = [
        0, 0.0, False, None, "0", b"0", (), [], {}, (0,), [0], {0: 0}, {0}, frozenset({0}), 0j, ...,
        ("a", "b"), ("ab",), ["a", "b"], np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32),
        np.zeros(2, int), np.array(["a"]), np.array([None, 1], object), torch.zeros(2),
        NewsvendorProblem(9, 1), NewsvendorProblem(9, 2), nn.Linear, nn.ReLU, np.add, np.exp, len,
        torch.float32, torch.device("cpu"), Path("a"), slice(1), RegretLoss(), MLPPredictor((4,)),
        NeuralNet(nn.Linear, nn.MSELoss), NeuralNet(nn.Linear, nn.MSELoss, module__in_features=3),
    ]  # fmt: skip
    keys = [digest(each) for each in different]
    assert len(set(keys)) == len(keys)
    assert keys == [digest(each) for each in different]
    assert digest(np.array([0.0])) == digest(np.array([-0.0]))
    shared = np.ones(2)
    assert digest([shared, shared]) == digest([shared, shared.copy()])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_the_version_of_the_package_counts(monkeypatch):
    before = digest(1)
    monkeypatch.setattr(dfl_sklearn, "__version__", "999")
    assert digest(1) != before


def two_layers(n, m):
    return nn.Sequential(nn.Linear(n, 4), nn.ReLU(), nn.Linear(4, m))


def keys():
    """Return keys that have to be the same in every process."""
    parts = MLPPredictor((4,)), NewsvendorProblem(9, 1), {"a", "b", "c"}, two_layers
    return [digest(notebook(code.format(1)).f) for code in DEFINITIONS.values()] + [digest(*parts)]


# -- fits ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(80, random_state=0)


def flagship(problem=None, **params):
    quick = {
        "generator": DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=5, max_iter=2),
        "search": TiltedSearch(60),
        "hidden_layer_sizes": (4,),
        "max_iter": 4,
        "random_state": 0,
    }
    return DiffusionDRODFLRegressor(problem or NewsvendorProblem(9, 1), **{**quick, **params})


@pytest.mark.parametrize("loss", [PerturbedFenchelYoungLoss(), ScoreFunctionLoss(n_samples=4)])
def test_a_warm_cache_gives_the_bits_of_a_cold_one_with_a_noisy_loss(loss, data, tmp_path):
    X, y = data
    signs = LinearProgram(bounds=(-1, 1))
    model = flagship(signs, loss=loss, memory=str(tmp_path))
    Y = np.column_stack([y - y.mean(), X[:, 0]])
    cold = model.fit(X, Y).predict(X)
    assert len(list(tmp_path.rglob("output.pkl"))) == 4  # two pools
    np.testing.assert_array_equal(model.fit(X, Y).predict(X), cold)
    np.testing.assert_array_equal(model.set_params(memory=None).fit(X, Y).predict(X), cold)


def test_a_redefined_net_is_not_recalled(data, tmp_path):
    X, y = data
    code = "def f(n, m): return nn.Sequential(nn.Linear(n, {}), nn.Tanh(), nn.Linear({}, m))"
    found = []
    for width in (3, 7):
        model = flagship(predictor=notebook(code.format(width, width)).f, memory=str(tmp_path))
        found.append(model.fit(X, y).predictor_.module_[0].out_features)
    assert found == [3, 7]


class Seen(Callback):
    epochs = 0

    def on_epoch_end(self, net, **kwargs):
        type(self).epochs += 1


def test_callbacks_hear_of_training_whether_or_not_there_is_a_cache(data, tmp_path):
    X, y = data
    counts = []
    for memory in (None, str(tmp_path), str(tmp_path)):
        Seen.epochs = 0
        model = flagship(callbacks=[Seen()], memory=memory).fit(X, y)
        counts.append(Seen.epochs)
        assert model.n_iter_ == Seen.epochs
    assert len(set(counts)) == 1


def test_what_is_not_cached_says_so_once(data, tmp_path):
    X, y = data
    rng = np.random.default_rng(0)
    opaque = notebook("def f(n, m): rng; return nn.Linear(n, m)", rng=rng).f
    ball = flagship(memory=str(tmp_path)).ambiguity_set
    for model, text in (
        (flagship(random_state=None, memory=str(tmp_path)), "because random_state is None"),
        (DFLRegressor(NewsvendorProblem(9, 1), ambiguity_set=ball, max_iter=2), "random_state is"),
        (flagship(predictor=opaque, memory=str(tmp_path / "o")), "not used for the predictor"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y)
        messages = [str(each.message) for each in caught if "memory" in str(each.message)]
        assert len(messages) == 1
        assert text in messages[0]
    assert not list(tmp_path.glob("*.lock"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Training|At radius")
        flagship(random_state=None, predictor=opaque).fit(X, y)  # nothing was asked for


# -- the lock --------------------------------------------------------------------------


def test_waiting_is_announced_and_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(once, "_PATIENCE", 0.05)
    monkeypatch.setattr(once, "_LONGEST_WAIT", 0.2)
    memory = Memory(tmp_path, verbose=0)
    (lock,) = _locks_of(memory, "slow thing")
    with FileLock(lock), pytest.warns(UserWarning, match=r"has held .*slow thing is computed"):
        assert once.compute_once(memory, ("slow thing",), lambda: 7) == 7
    assert str(lock) in capsys.readouterr().err
    assert not list(tmp_path.rglob("output.pkl"))
    assert once.compute_once(memory, ("slow thing",), lambda: 7) == 7
    assert capsys.readouterr().err == ""


def test_a_short_wait_is_silent_and_takes_what_the_other_has_computed(tmp_path, capsys):
    memory = Memory(tmp_path, verbose=0)
    results = []

    def compute():
        time.sleep(0.2)
        results.append(len(results))
        return results[-1]

    workers = [
        threading.Thread(target=lambda: once.compute_once(memory, ("thing",), compute))
        for _ in range(2)
    ]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert results == [0]
    assert capsys.readouterr().err == ""


def _locks_of(memory, *parts):
    once.compute_once(memory, parts, lambda: 7)
    locks = list(Path(memory.store_backend.location).glob("*.lock"))
    memory.clear(warn=False)
    return locks
