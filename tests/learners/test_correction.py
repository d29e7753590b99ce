"""A net that moves predictions inside a trust region, whatever its weights are."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.learners import BiasCorrection


def inputs(n=200, p=3, d=2, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal((n, p + d)))


def built(*args, p=3, d=2, **params):
    return BiasCorrection(*args, **params).build(p + d, d, torch.Generator().manual_seed(0))


def shaken(net, size, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return net


def test_it_starts_with_the_predictions_to_the_last_bit():
    z = inputs()
    for params in ({}, {"size": [3.0, 0.1]}, {"sees_predictions": False}):
        assert_array_equal(built(0.7, **params)(z).detach(), z[:, 3:])


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("shake", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("size", [None, [3.0, 0.1]])
def test_it_stays_inside(epsilon, shake, size):
    z = inputs()
    moved = (shaken(built(epsilon, size=size), shake)(z).detach() - z[:, 3:]).abs()
    allowed = epsilon * (
        z[:, 3:].abs() if size is None else torch.tensor(size, dtype=torch.float64)
    )
    assert (moved <= allowed + 1e-12).all()
    assert (moved > 0).any()
    if shake == 100.0:  # saturated: the whole region can be reached
        assert_allclose((moved / allowed).max(), 1.0, rtol=1e-6)


def test_the_formula_of_the_paper():
    net, z = shaken(built(0.4, mean=np.arange(5.0), scale=np.arange(1.0, 6.0)), 0.5), inputs()
    g = net.net((z - torch.arange(5.0)) / torch.arange(1.0, 6.0))
    phi = 1 - 0.4 + 2 * 0.4 * torch.sigmoid(g)
    assert_allclose(net(z).detach(), (phi * z[:, 3:]).detach(), rtol=1e-12)


def test_what_it_sees():
    z, other = inputs(), inputs(seed=1)
    mixed = torch.cat([z[:, :3], other[:, 3:]], dim=1)
    for sees, same in ((False, True), (True, False)):
        net = shaken(built(0.5, sees_predictions=sees), 0.5)
        factors = [(net(each) / each[:, 3:]).detach() for each in (z, mixed)]
        assert np.allclose(*factors) is same


def test_its_gradient_agrees_with_finite_differences():
    net, z = shaken(built(0.5, size=[1.0, 2.0], activation="tanh"), 0.3), inputs(4)
    assert torch.autograd.gradcheck(net, z.requires_grad_())
