"""Batches, threads and seeds: the parts below the estimators."""

import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from dfl_sklearn import DFLRegressor
from dfl_sklearn._utils.seeds import named_rng, named_seed, root_seed
from dfl_sklearn._utils.threads import pinned_threads
from dfl_sklearn.learners.adam import Adam, can_be_fused
from dfl_sklearn.learners.batches import Batches
from dfl_sklearn.learners.construct import (
    build_module,
    forked_generator,
    n_threads,
    resolve_device,
)
from dfl_sklearn.learners.trainer import AveragedNet, BatchCriterion
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import KLBall
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


def test_a_long_epoch_is_another_random_part_each_time():
    batches = Batches(rows(50), 7, torch.Generator().manual_seed(0), longest=20)
    first, second = ([x for X, _ in batches for x in X[:, 0].tolist()] for _ in range(2))
    assert len(set(first)) == len(first) == len(second) == 20
    assert set(first) != set(second)


class CountsRows(nn.Linear):
    """Counts the rows that it is trained on."""

    seen = 0

    def forward(self, X):
        type(self).seen += len(X) if self.training else 0
        return super().forward(X)


def test_only_partial_fit_passes_over_all_of_many_rows(monkeypatch):
    monkeypatch.setattr("dfl_sklearn.training.sources.LONGEST_EPOCH", 40)
    monkeypatch.setattr(CountsRows, "seen", 0)
    X = np.random.default_rng(0).uniform(size=(100, 2))
    params = {"predictor": CountsRows, "max_iter": 3, "early_stopping": False, "random_state": 0}
    robust = DFLRegressor(NewsvendorProblem(9, 1), ambiguity_set=KLBall(), **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = DFLRegressor(NewsvendorProblem(9, 1), **params).fit(X, X[:, 0])
        assert CountsRows.seen == 3 * 40
        robust.fit(X, X[:, 0])
        assert CountsRows.seen == 9 * 40
    model.partial_fit(X, X[:, 0])
    assert CountsRows.seen == 9 * 40 + 100


def test_an_averaged_net_ends_at_the_average_of_its_steps():
    """Against the recursion by hand, over two epochs with other weights put back in between."""
    net = AveragedNet(
        nn.Linear(1, 1),
        criterion=BatchCriterion(lambda output, rows: (output * rows).mean()),
        optimizer=torch.optim.SGD,
        lr=0.1,
        train_split=None,
    ).initialize()
    net.notify("on_train_begin", X=None, y=None)
    batches = [(torch.full((2, 1), x), torch.full((2, 1), 0.5)) for x in (1.0, -2.0, 3.0)]
    weight = average = net.module_.weight.item()
    n_steps = 0
    for epoch in range(2):
        net.notify("on_epoch_begin", dataset_train=batches, dataset_valid=None)
        net.run_single_epoch(batches, training=True, prefix="train", step_fn=net.train_step)
        for X, _ in batches:
            n_steps += 1
            weight -= 0.1 * 0.5 * X[0].item()
            kept = min(0.99, (1 + n_steps) / (10 + n_steps))
            average = kept * average + (1 - kept) * weight
        assert net.module_.weight.item() == pytest.approx(average, abs=1e-6)
        if epoch == 0:
            average = 7.0
            nn.init.constant_(net.module_.weight, average)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_of_adam_are_those_of_torch(fused):
    nets = [nn.Linear(3, 1, dtype=torch.float64) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    X = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for net, kind in zip(nets, (Adam, torch.optim.Adam), strict=True):
        optimizer = kind(net.parameters(), lr=0.1, weight_decay=0.01, fused=fused)
        for _ in range(5):
            optimizer.zero_grad()
            net(X).square().mean().backward()
            optimizer.step()
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(one, other)


def test_weights_with_gaps_in_memory_are_not_moved_in_one_step():
    """torch's fused step takes them for others."""
    assert can_be_fused([torch.zeros(2, 3)], torch.device("cpu"))
    assert not can_be_fused([torch.zeros(2, 3).T], torch.device("cpu"))
    assert not can_be_fused([torch.zeros(2)], torch.device("meta"))


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
