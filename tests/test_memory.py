"""Sizes that no memory holds are refused by name; what fits is not."""

import numpy as np
import pytest
import torch

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn._utils import memory
from dfl_sklearn.datasets import (
    make_budget_allocation,
    make_knapsack,
    make_llm_trace,
    make_newsvendor,
    make_portfolio,
    make_recommendation,
    make_shortest_path,
)
from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.losses import PerturbedFenchelYoungLoss
from dfl_sklearn.problems import FunctionProblem, MatchingProblem, NewsvendorProblem, TopKProblem
from dfl_sklearn.robust import (
    DiffusionGenerator,
    NominalSamples,
    PolicyGradientSearch,
    TiltedSearch,
)

HUGE = 10**12
X, Y = make_newsvendor(40, random_state=0)
QUICK = {"hidden_layer_sizes": (), "max_iter": 2, "random_state": 0}
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=4, max_iter=1)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def staff(decision, load):
    return (decision - load) ** 2


def flagship(search):
    DiffusionDRODFLRegressor(
        NewsvendorProblem(9, 1), search=search, generator=GENERATOR, **QUICK
    ).fit(X, Y)


def net(problem, y, **params):
    DFLRegressor(problem, **{**QUICK, **params}).fit(X, y)


TOO_LARGE = {
    "n_samples of sample": (
        "n_samples=1000000000000.*TiB",
        lambda: GENERATOR.fit(X).sample(HUGE),
    ),
    "n_pool": ("n_pool=1000000000000.*TiB", lambda: flagship(TiltedSearch(HUGE))),
    "n_trajectories": (
        "n_trajectories=1000000000000.*PiB",
        lambda: flagship(PolicyGradientSearch(n_trajectories=HUGE)),
    ),
    "n_samples of a set": (
        "n_samples=1000000000000.*TiB",
        lambda: net(
            NewsvendorProblem(9, 1), Y, ambiguity_set=NominalSamples(HUGE, generator=GENERATOR)
        ),
    ),
    "n_samples of a loss": (
        "n_samples=1000000000000.*PiB",
        lambda: net(TopKProblem(1), np.c_[Y, -Y], loss=PerturbedFenchelYoungLoss(n_samples=HUGE)),
    ),
    "n_starts": (
        "n_starts=1000000000.*GiB",
        lambda: FunctionProblem(staff, (0, 9), n_starts=10**9).solve([[1.0]]),
    ),
    "rows of n_starts": (
        "n_starts=100000000 for 100000 rows.*TiB",
        lambda: FunctionProblem(staff, (0, 9), n_starts=10**8).solve(np.ones((10**5, 1))),
    ),
    "newsvendor": ("n_samples=10", lambda: make_newsvendor(HUGE)),
    "newsvendor products": (
        "n_samples=5, with 3000000000005 numbers for each",
        lambda: make_newsvendor(5, n_products=HUGE),
    ),
    "portfolio": ("n_samples=10", lambda: make_portfolio(HUGE)),
    "shortest path": ("n_samples=10", lambda: make_shortest_path(HUGE)),
    "knapsack": ("n_samples=10", lambda: make_knapsack(HUGE)),
    "budget allocation": ("n_samples=10", lambda: make_budget_allocation(HUGE)),
    "recommendation": ("n_samples=10", lambda: make_recommendation(HUGE)),
    "trace": ("n_bins=10", lambda: make_llm_trace(HUGE)),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_it_is_refused_by_name(name):
    message, call = TOO_LARGE[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_layer_with_too_many_constraints(monkeypatch):
    layer = MatchingProblem(30, 30).decision_layer()
    assert layer(torch.ones((2, 900))).shape == (2, 900)
    monkeypatch.setattr(memory, "_installed", lambda: 2.0**19)
    with pytest.raises(ValueError, match=r"table of 60 constraints on 900 decisions .*SPOPlusLoss"):
        MatchingProblem(30, 30).decision_layer()(torch.ones((2, 900)))
    with pytest.raises(ValueError, match="batch of 200 quadratic programs with 60 constraints"):
        layer(torch.ones((200, 900)))
    dense = QuadraticProgramLayer(np.eye(9) + 0.1, lower=0.0)
    assert dense(torch.ones((2, 9))).shape == (2, 9)


def test_only_what_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "_installed", lambda: 8.0 * 800)
    memory.check_rows("n", 100, 8)
    with pytest.raises(ValueError, match=r"n=101, with 8 numbers for each, would take 6.31 KiB"):
        memory.check_rows("n", 101, 8)
    assert make_newsvendor(100)[0].shape == (100, 5)
    with pytest.raises(ValueError, match=r"n_samples=101.*Lower n_samples"):
        make_newsvendor(101)


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [(0, "0 bytes"), (1023, "1.02e+03 bytes"), (1024, "1 KiB"), (3 * 2.0**40, "3 TiB")],
)
def test_sizes_in_words(n_bytes, words):
    assert memory.in_words(n_bytes) == words


def test_a_system_that_does_not_say(monkeypatch):
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory._installed() == 2.0**40
