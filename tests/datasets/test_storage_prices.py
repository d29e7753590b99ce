"""The battery benchmark of Yeh et al. (arXiv:2409.20534) on its published prices."""

import numpy as np
import pytest

from dfl_sklearn.problems import StorageProblem

N_TEST = 438


@pytest.mark.parametrize(("split", "cost"), [("time", -32.50), ("shuffled", -45.50)])
def test_perfect_foresight_costs_what_is_published(storage_home, split, cost):
    with np.load(storage_home / "storage" / "features_101.npz", allow_pickle=True) as data:
        prices = data["Y"]
    assert prices.shape == (2189, 24)
    order = np.arange(len(prices))
    if split == "shuffled":
        order = np.random.default_rng(100).permutation(len(prices))
    problem, held_out = StorageProblem(), prices[order[-N_TEST:]]
    assert problem.optimal_cost(held_out).mean() == pytest.approx(cost, abs=0.01)
