"""The lean step of Adam against torch's own."""

import pytest
import torch

from dfl_sklearn.learners.adam import Adam


def layers(dtypes=(torch.float32, torch.float32)):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(5, 3, generator=generator).to(dtype).requires_grad_() for dtype in dtypes]


def moved(kind, weights, n_steps=5, **options):
    groups = [{"params": weights[:1]}, {"params": weights[1:], "weight_decay": 0.3}]
    optimizer = kind(groups, lr=0.05, **options)
    target = torch.arange(15.0).reshape(5, 3)
    for _ in range(n_steps):
        optimizer.zero_grad()
        sum(((each - target) ** 2).sum() for each in weights).backward()
        optimizer.step()
    return weights, optimizer


@pytest.mark.parametrize(
    "options",
    [{"fused": True}, {"fused": True, "amsgrad": True}, {"fused": True, "maximize": True}, {}],
)
@pytest.mark.parametrize("second", [torch.float32, torch.float64])
def test_weights_and_state_are_those_of_torch_to_the_bit(options, second):
    (ours, mine), (its, torchs) = (
        moved(kind, layers((torch.float32, second)), **options) for kind in (Adam, torch.optim.Adam)
    )
    for a, b in zip(ours, its, strict=True):
        assert torch.equal(a, b)
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(mine.state[a][name], torchs.state[b][name])


def test_hooks_and_closures_are_called_once():
    weights, optimizer = moved(Adam, layers(), fused=True)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure():
        optimizer.zero_grad()
        loss = (weights[0] ** 2).sum()
        loss.backward()
        seen.append("closure")
        return loss

    assert optimizer.step(closure).requires_grad
    assert seen == ["before", "closure", "after"]


def test_weights_without_slopes_stay():
    weights = layers()
    optimizer = Adam(weights, lr=0.1, fused=True)
    before = weights[1].clone()
    (weights[0] ** 2).sum().backward()
    optimizer.step()
    assert torch.equal(weights[1], before)
    optimizer.zero_grad()
    optimizer.step()  # nothing to move


def test_sparse_slopes_are_refused_as_torch_does():
    table = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = Adam(table.parameters(), fused=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse gradients"):
        optimizer.step()
