"""Batches, threads and seeds: the parts below the estimators."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from dfl_sklearn._utils.seeds import named_rng, named_seed, root_seed
from dfl_sklearn._utils.threads import pinned_threads
from dfl_sklearn.learners.batches import Batches
from dfl_sklearn.learners.construct import (
    build_module,
    forked_generator,
    n_threads,
    resolve_device,
)
from dfl_sklearn.rows import Optimum, Rows


def rows(n):
    index = torch.arange(n, dtype=torch.float64)[:, None]
    return Rows(index, 2 * index, index[:, 0], None, Optimum(3 * index, 4 * index[:, 0]))


@pytest.mark.parametrize(("n", "size"), [(10, 3), (10, 10), (10, 50), (1, 4), (9, 3)])
def test_an_epoch_sees_every_row_once_and_whole(n, size):
    batches = Batches(rows(n), size, torch.Generator().manual_seed(0))
    seen = []
    for X, rest in batches:
        # A last row that is left alone joins the batch before it.
        assert len(X) <= size or (n % size == 1 and len(X) == size + 1)
        assert torch.equal(rest["y"], 2 * X)
        assert torch.equal(rest["weight"], X[:, 0])
        assert torch.equal(rest["best_decision"], 3 * X)
        assert torch.equal(rest["best_cost"], 4 * X[:, 0])
        seen += X[:, 0].tolist()
    assert sorted(seen) == list(range(n))


def test_epochs_differ_and_seeds_decide():
    def order(seed, epochs=2):
        batches = Batches(rows(30), 7, torch.Generator().manual_seed(seed))
        return [[x for X, _ in batches for x in X[:, 0].tolist()] for _ in range(epochs)]

    assert order(0) == order(0)
    assert order(0)[0] != order(0)[1]
    assert order(0) != order(1)


def test_named_seeds():
    assert named_seed(1, "net") == named_seed(1, "net")
    assert len({named_seed(s, name) for s in range(50) for name in ("net", "batches")}) == 100
    assert 0 <= named_seed(2**31, "net") < 2**63
    first, second = (named_rng(0, name).random(4) for name in ("a", "b"))
    assert not np.array_equal(first, second)
    assert root_seed(7) == 7
    assert root_seed(None) != root_seed(None)
    state = np.random.RandomState(0)
    assert root_seed(state) != root_seed(state)


def test_threads_are_pinned_and_restored_after_an_error():
    before = torch.get_num_threads()

    @pinned_threads(before + 1)
    def stops():
        raise RuntimeError(f"{torch.get_num_threads()} threads")

    with pytest.raises(RuntimeError, match=f"{before + 1} threads"):
        stops()
    assert torch.get_num_threads() == before
    assert n_threads(None) == 1
    assert n_threads(3) == 3
    assert n_threads(-1) >= 1


def test_modules_built_in_threads_are_those_built_alone():
    def build(seed):
        with forked_generator(seed, torch.device("cpu")):
            net = build_module(nn.Linear, 5, 3, 0)
        return net.weight.detach().clone()

    alone, together = [build(s) for s in range(40)], [None] * 40
    state = torch.get_rng_state()

    def work(part):
        for s in range(part, 40, 4):
            together[s] = build(s)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ValueError, match="device='abacus' is not a torch device"):
        resolve_device("abacus")
