"""Nets that share their weights among items and pairs."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn import DFLRegressor
from dfl_sklearn.learners import ItemwisePredictor, PairwisePredictor
from dfl_sklearn.problems import MatchingProblem, TopKProblem


def built(factory, n_in, n_out):
    return factory.build(n_in, n_out, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("output", ["identity", "logistic"])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_every_item_goes_through_the_same_net(hidden, output):
    net = built(ItemwisePredictor(4, hidden, output=output), 12, 8)
    x = torch.randn(5, 12, dtype=torch.float64)
    squash = torch.sigmoid if output == "logistic" else torch.nn.Identity()
    by_hand = [squash(net.net(x[:, 3 * i : 3 * i + 3])) for i in range(4)]
    assert_allclose(net(x).detach(), torch.cat(by_hand, dim=1).detach(), rtol=1e-12)


@pytest.mark.parametrize("output", ["identity", "logistic"])
@pytest.mark.parametrize("hidden", [(7,), (7, 5)])
def test_every_pair_goes_through_the_same_net(hidden, output):
    net = built(PairwisePredictor(2, 3, hidden, output=output), 20, 6)
    x = torch.randn(5, 20, dtype=torch.float64)
    items = x.reshape(5, 5, 4)
    squash = torch.sigmoid if output == "logistic" else torch.nn.Identity()
    by_hand = [
        squash(net.net(torch.cat([items[:, i], items[:, 2 + j]], dim=1)))
        for i in range(2)
        for j in range(3)
    ]
    assert_allclose(net(x).detach(), torch.cat(by_hand, dim=1).detach(), rtol=1e-12)


def test_a_symmetric_pair_has_no_left_and_right():
    net = built(PairwisePredictor(2, 3, (7,), output="logistic", symmetric=True), 20, 6)
    x = torch.randn(5, 20, dtype=torch.float64)
    items = x.reshape(5, 5, 4)
    left, right = items[:, :2], items[:, 2:]
    for i in range(2):
        for j in range(3):
            orders = [(left[:, i], right[:, j]), (right[:, j], left[:, i])]
            both = [net.net(torch.cat(order, dim=1))[:, 0] for order in orders]
            expected = torch.sigmoid((both[0] + both[1]) / 2)
            assert_allclose(net(x)[:, 3 * i + j].detach(), expected.detach(), rtol=1e-12)


def test_items_share_what_is_learnt():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(80, 5, 3))
    values = np.sin(items[:, :, 0]) + items[:, :, 1]
    X = items.reshape(80, 15)
    settings = {"standardize": False, "random_state": 0}
    shared = DFLRegressor(TopKProblem(2), predictor=ItemwisePredictor(5), **settings)
    apart = DFLRegressor(TopKProblem(2), **settings)
    fresh = rng.normal(size=(400, 5, 3))
    fresh_values = np.sin(fresh[:, :, 0]) + fresh[:, :, 1]
    scores = [
        model.fit(X, values).score(fresh.reshape(400, 15), fresh_values)
        for model in (shared, apart)
    ]
    assert scores[0] > 0.93
    assert scores[0] > scores[1] + 0.05


def test_pairs_that_must_be_told_apart():
    """A pair is worth something where its members are of the same kind."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, (120, 6)) * 2.0 - 1.0
    y = (kinds[:, :3, None] * kinds[:, None, 3:]).reshape(120, 9)
    model = DFLRegressor(
        MatchingProblem(3, 3),
        predictor=PairwisePredictor(3, 3, (16,)),
        standardize=False,
        random_state=0,
    ).fit(kinds[:80], y[:80])
    assert model.score(kinds[80:], y[80:]) > 0.99


@pytest.mark.parametrize(
    ("factory", "shape", "message"),
    [
        (ItemwisePredictor(3), (10, 3), "10 features per row, which is not a multiple of n_items"),
        (ItemwisePredictor(3), (9, 4), "4 parameters per row, which is not a multiple of n_items"),
        (ItemwisePredictor(0), (9, 4), "n_items must be a whole number of at least 1"),
        (ItemwisePredictor(3, output="relu"), (9, 3), "output must be one of"),
        (PairwisePredictor(2, 3), (9, 6), "not a multiple of the 5 items"),
        (PairwisePredictor(2, 3), (10, 5), "y has 5 columns, but there are 2 x 3 pairs"),
        (PairwisePredictor(2, 3, ()), (10, 6), "must have at least one layer"),
        (PairwisePredictor(2, 0), (10, 6), "n_right must be a whole number"),
    ],
)
def test_bad_widths(factory, shape, message):
    with pytest.raises(ValueError, match=message):
        built(factory, *shape)
