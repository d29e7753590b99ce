"""Adam beside that of torch."""

from copy import deepcopy

import pytest
import torch

from dfl_sklearn.learners.adam import Adam


def trained(kind, n_steps, of_step):
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((4, 3), (4,), (2,))
    ]
    groups = [{"params": weights[1:], "weight_decay": 0.0, "lr": 0.3}, {"params": weights[:1]}]
    optimizer = kind(groups, lr=0.1, betas=(0.8, 0.99), weight_decay=0.2)

    def loss():
        optimizer.zero_grad()
        value = (weights[0].sum(dim=1) * weights[1]).square().sum()  # the last one has no slope
        value.backward()
        return value

    return [of_step(optimizer, loss) for _ in range(n_steps)], weights, optimizer


def with_closure(optimizer, loss):
    return optimizer.step(loss).item()


def after_loss(optimizer, loss):
    value = loss().item()
    optimizer.step()
    return value


def move(optimizer, loss):
    value = loss().item()
    optimizer.move()
    return value


@pytest.mark.parametrize("of_step", [with_closure, after_loss, move])
def test_steps_are_those_of_torch(of_step):
    losses, weights, _ = trained(Adam, 30, of_step)
    expected_losses, expected, _ = trained(torch.optim.Adam, 30, with_closure)
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    for one, other in zip(weights, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0.0)


def test_a_state_that_is_stored_goes_on():
    _, weights, optimizer = trained(Adam, 7, with_closure)
    copies = [each.detach().clone().requires_grad_() for each in weights]
    groups = [{"params": copies[1:]}, {"params": copies[:1]}]
    other = Adam(groups)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    for own, copy in zip(weights, copies, strict=True):
        own.grad, copy.grad = torch.ones_like(own), torch.ones_like(own)
    optimizer.step()
    other.step()
    for own, copy in zip(weights, copies, strict=True):
        assert torch.equal(own, copy)
