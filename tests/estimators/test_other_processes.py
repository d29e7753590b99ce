"""The same bits and keys in a fresh process and in workers; importing and fitting stay light."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem

from .. import test_cache
from . import test_flagship_processes, test_sets

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ["cvxpy", "highspy", "matplotlib", "pooch", "dask", "distributed"]
X, Y = make_newsvendor(120, random_state=0)
NETS = {
    name: DFLRegressor(
        NewsvendorProblem(9, 1, nonnegative=False),
        predictor=predictor,
        early_stopping=True,
        random_state=0,
        max_iter=10,
        batch_size=16,
        hidden_layer_sizes=(8,),
    )
    for name, predictor in {"mlp": None, "torch class": torch.nn.Linear}.items()
}


def bits():
    """Return what each model predicts, and the worst case of the flagship, by name, as hex."""
    found = {}
    for name, model in NETS.items():
        found[name] = clone(model).fit(X, Y).predict(X)
    for name in test_sets.SETS:
        found[name] = test_sets.model(name).fit(X, Y).predict(X)
    for search in test_flagship_processes.SEARCHES:
        model = test_flagship_processes.flagship(search).fit(X, Y)
        found[search] = np.column_stack(
            [model.predict(X)[:20], *model.sample_worst_case(20, random_state=0)]
        )
    return {name: values.tobytes().hex() for name, values in found.items()}


SCRIPT = f"""
import sys, warnings
import dfl_sklearn
print([name for name in {HEAVY} if name in sys.modules])
warnings.simplefilter("ignore")
from dfl_sklearn.problems import NewsvendorProblem
net = dfl_sklearn.DFLRegressor(NewsvendorProblem(9, 1), max_iter=200, hidden_layer_sizes=())
net.fit([[float(i)] for i in range(20)], range(20))
print("torch._dynamo" in sys.modules)
from tests.estimators.test_other_processes import bits, test_cache
print(*test_cache.keys())
for name, found in bits().items():
    print(name, found, sep=": ")
"""


@pytest.fixture(scope="module")
def fresh_process():
    """One process for all that asks for a fresh one: most of its time goes into imports."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_importing_the_package_stays_light(fresh_process):
    assert fresh_process[0] == "[]"


def test_a_fit_does_not_import_the_compiler_of_torch(fresh_process):
    assert fresh_process[1] == "False"


def test_a_fresh_process_gives_the_same_keys(fresh_process):
    """Those of the cache, for what is defined in a notebook too."""
    assert fresh_process[2].split() == test_cache.keys()


def test_a_fresh_process_gives_the_same_bits(fresh_process):
    assert dict(line.split(": ") for line in fresh_process[3:]) == bits()


@pytest.mark.parametrize("name", NETS)
def test_workers_give_the_same_bits(name):
    alone = cross_val_predict(NETS[name], X, Y, cv=2)
    np.testing.assert_array_equal(cross_val_predict(NETS[name], X, Y, cv=2, n_jobs=2), alone)


def test_workers_with_one_cache_give_the_same_bits(tmp_path):
    """Two of them ask for the same generator at the same time."""
    flagship, scores = test_flagship_processes.flagship, test_flagship_processes.scores
    alone = scores(flagship("tilted"), X, Y)
    assert len(np.unique(alone)) == alone.size  # radii and folds do differ
    cached = flagship("tilted", memory=str(tmp_path))
    np.testing.assert_array_equal(scores(cached, X, Y, n_jobs=2), alone)
