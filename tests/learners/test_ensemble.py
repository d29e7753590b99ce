"""Nets side by side: each learns as if it were alone."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from dfl_sklearn._utils.members import member_mean
from dfl_sklearn.learners import (
    BiasCorrection,
    ItemwisePredictor,
    LSTMPredictor,
    MLPPredictor,
    PairwisePredictor,
    ScaleEquivariantPredictor,
)
from dfl_sklearn.learners.batches import Batches, MemberBatches
from dfl_sklearn.learners.construct import build_ensemble, build_module, member_seeds
from dfl_sklearn.learners.ensemble import StackedLinear, stacked
from dfl_sklearn.rows import Optimum, Rows

STACKED = {
    "linear": MLPPredictor(()),
    "mlp": MLPPredictor((5, 4), "tanh"),
    "torch linear": nn.Linear,
    "scale": ScaleEquivariantPredictor((3,)),
    "items": ItemwisePredictor(2, (3,), output="logistic"),
    "correction": BiasCorrection(0.5, size=[1.0, 3.0], mean=[1.0] * 4, scale=[2.0] * 4),
}
ONE_BY_ONE = {
    "lstm": LSTMPredictor(3),
    "pairs": PairwisePredictor(1, 2, (4,)),
    "module": lambda n_in, n_out: nn.Sequential(nn.Linear(n_in, 3), nn.Linear(3, n_out)),
}


@pytest.mark.parametrize("name", [*STACKED, *ONE_BY_ONE])
def test_outputs_are_those_of_the_members(name):
    predictor = (STACKED | ONE_BY_ONE)[name]
    n_in, seeds = (3 if name == "pairs" else 4), [3, 1, 4]
    with torch.random.fork_rng():
        module = build_ensemble(predictor, n_in, 2, seeds).double()
        members = []
        for seed in seeds:
            torch.manual_seed(seed)
            members.append(build_module(predictor, n_in, 2, seed).double())
    assert (module.stack is not None) == (name in STACKED)
    generator = torch.Generator().manual_seed(0)
    if name == "correction":  # whose last layer starts at 0
        for k, member in enumerate(members):
            for i, parameter in enumerate(member.parameters()):
                with torch.no_grad():
                    parameter.normal_(generator=generator)
                    list(module.parameters())[i][k] = parameter
    x = torch.randn(7, n_in, dtype=torch.float64, generator=generator)
    own = torch.randn(3, 7, n_in, dtype=torch.float64, generator=generator)
    found = module(x)
    assert found.shape == (3, 7, 2)
    for k, member in enumerate(members):
        assert_allclose(found[k].detach(), member(x).detach(), rtol=1e-12, atol=1e-14)
        assert_allclose(module(own)[k].detach(), member(own[k]).detach(), rtol=1e-12, atol=1e-14)
    assert torch.equal(module.first(x), found[0])
    assert len({float(each.sum()) for each in found.detach()}) == 3


def test_layers_without_bias_and_layers_that_are_not_known():
    layers = [nn.Linear(2, 3, bias=False) for _ in range(2)]
    x = torch.randn(2, 5, 2)
    found = StackedLinear(layers)(x)
    for k, layer in enumerate(layers):
        assert_allclose(found[k].detach(), layer(x[k]).detach(), rtol=1e-5)
    assert stacked([nn.LSTM(1, 1)] * 2) is None


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_weights_of_some_members_are_copied(name):
    predictor = (STACKED | ONE_BY_ONE)[name]
    module = build_ensemble(predictor, 4, 2, [0, 1, 2])
    other = build_ensemble(predictor, 4, 2, [3, 4, 5])
    x = torch.randn(6, 4, dtype=torch.float64)
    before, others = module(x), other(x)
    module.copy_members(other.state_dict(), module.state_dict(), np.array([False, True, False]))
    found = module(x)
    assert torch.equal(found[[0, 2]], before[[0, 2]])
    assert torch.equal(found[1], others[1])
    rates = module.by_member(np.array([1.0, 2.0, 3.0]))
    for rate, parameter in zip(rates, module.parameters(), strict=True):
        assert (parameter * rate).shape == parameter.shape
    assert sorted({float(each.max()) for each in rates}) == (
        [3.0] if name == "mlp" else [1.0, 2.0, 3.0]
    )


def rows(n):
    index = torch.arange(n, dtype=torch.float64)[:, None]
    return Rows(index, 2 * index, index[:, 0], None, Optimum(3 * index, 4 * index[:, 0]))


def generators():
    return [torch.Generator().manual_seed(seed) for seed in (5, 6)]


@pytest.mark.parametrize(("n", "size"), [(10, 3), (10, 10), (9, 3), (1, 4)])
@pytest.mark.parametrize("longest_part", [4, 1000])
def test_each_member_sees_every_row_once_in_its_order(n, size, longest_part, monkeypatch):
    monkeypatch.setattr("dfl_sklearn.learners.batches.LONGEST_EPOCH", longest_part)
    together = MemberBatches(rows(n), size, generators(), longest=None)
    alone = [Batches(rows(n), size, each, longest=None) for each in generators()]
    for _ in range(2):
        for (X, rest), *parts in zip(together, *alone, strict=True):
            assert torch.equal(X, torch.cat([part for part, _ in parts]))
            for name, values in rest.items():
                assert torch.equal(values, torch.cat([others[name] for _, others in parts]))


def test_seeds_of_members():
    assert member_seeds(7, 1) == [7]
    assert member_seeds(7, 3)[:2] == member_seeds(7, 2)
    assert len({*member_seeds(7, 9), *member_seeds(8, 9)}) == 18


def test_a_mean_of_members():
    values = np.random.default_rng(0).normal(size=(5, 20, 3))
    assert_allclose(member_mean(values), values.mean(axis=0), rtol=0, atol=1e-14)
    assert_array_equal(member_mean(values[:, :1])[0], member_mean(values)[0])
    # Where all agree or are at a bound, rounding does not lead away from it.
    for third in np.random.default_rng(1).uniform(size=(200, 1, 1)):
        assert_array_equal(member_mean(np.repeat(third[None], 3, axis=0)), third)
        values = third * np.array([1.0, 1.0, 1 - 2**-52, 1.0, 0.7])[:, None, None]
        assert (member_mean(values) <= third).all()
        assert (member_mean(values[:2]) == third).all()
