"""Draws as functions of the weights of a net, against samples and finite differences."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn.robust import DiffusionGenerator

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("short_epochs")


def table():
    """Return x of two columns, and a skewed column, one that depends on x, one it determines."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    skew = np.exp(1.5 * rng.standard_normal(200))
    return np.column_stack([x, skew, x[:, 0] + rng.standard_normal(200), 2 * x[:, 1] - 1])


@pytest.fixture
def model():
    quick = {"hidden_layer_sizes": (8,), "n_steps": 12, "sampling_steps": 6, "max_iter": 4}
    rows = table()
    return DiffusionGenerator(random_state=0, **quick).fit(rows[:, 2:], context=rows[:, :2])


def in_double(model):
    """Return the draws of a net in double precision, and the net, moved away from 0."""
    net = deepcopy(model.denoiser_).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in net.parameters():
            each += 0.05 * torch.randn(each.shape, generator=generator, dtype=each.dtype)
    return model._conditional_draws(net, CPU), net


def test_draws_are_those_of_the_model(model):
    x = table()[:5, :2]
    draws = model._conditional_draws(model.denoiser_, CPU)
    noise = torch.randn(5, 1, draws.width, dtype=torch.float64)
    with torch.no_grad():
        found = draws.draws(x, noise)[:, 0]
        z = draws.chain.flow(noise[:, 0], draws._known(x))
    expected = model._coordinates.inverse(z.numpy(), x)
    assert found.shape == (5, 3)
    assert_allclose(found, expected, rtol=1e-6)
    assert_allclose(found[:, 2], 2 * x[:, 1] - 1, atol=1e-9)


def slope_by_differences(value, net, step=1e-5):
    """Return the derivative of a function of the net's last bias."""
    bias, found = net.layers[-1].bias, []
    for j in range(len(bias)):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                bias[j] += sign * step
                ends.append(float(value()))
                bias[j] -= sign * step
        found.append((ends[0] - ends[1]) / (2 * step))
    return found


def test_draws_and_errors_have_slopes_in_the_weights(model):
    draws, net = in_double(model)
    rows = table()[:6]
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(6, 4, draws.width, generator=generator, dtype=torch.float64)
    steps = torch.tensor([0, 1, 2, 3, 4, 5])

    def of_draws():
        return (draws.draws(rows[:, :2], noise) ** 2).mean()

    def of_errors():
        return draws.noise_errors(rows[:, :2], rows[:, 2:], noise[:, 0], steps).mean()

    for value in (of_draws, of_errors):
        (slope,) = torch.autograd.grad(value(), [net.layers[-1].bias])
        assert slope.abs().max() > 1e-4
        assert_allclose(slope, slope_by_differences(value, net), rtol=1e-4, atol=1e-6)


def test_errors_of_a_net_that_starts_are_those_of_the_gaussian():
    rows = table()[:20]
    model = DiffusionGenerator(random_state=0).fit(rows[:, 2:], context=rows[:, :2])
    draws = model._conditional_draws(model.denoiser_, CPU)
    noise = torch.randn(20, draws.width, dtype=torch.float64)
    steps = torch.full((20,), 3)
    z = torch.as_tensor(model._coordinates.forward(rows[:, 2:], rows[:, :2]))
    abar = float(draws.chain.abar[3])
    noisy = np.sqrt(abar) * z + np.sqrt(1 - abar) * noise
    expected = ((noise - np.sqrt(1 - abar) * noisy) ** 2).sum(dim=1)
    with torch.no_grad():
        found = draws.noise_errors(rows[:, :2], rows[:, 2:], noise, steps)
    assert_allclose(found, expected, rtol=1e-6)
