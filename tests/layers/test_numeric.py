"""Differences in place of derivatives, against derivatives."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn.layers import SolveLayer, differentiate_rows
from dfl_sklearn.problems import DecisionProblem, FromContext, ProvisioningProblem


def smooth(a, b):
    return np.stack([np.sin(a[:, 0]) * b[:, 0], a[:, 0] * a[:, 1] + b[:, 1] ** 2], axis=1)


def smooth_torch(a, b):
    return torch.stack([torch.sin(a[:, 0]) * b[:, 0], a[:, 0] * a[:, 1] + b[:, 1] ** 2], dim=1)


def inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, 2, generator=generator, dtype=dtype).requires_grad_() for _ in "ab"]


def test_gradient_of_a_smooth_function():
    a, b = inputs()
    upstream = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    value = differentiate_rows(smooth, [a, b], steps=[])
    assert_allclose(value.detach(), smooth_torch(a, b).detach())
    found = torch.autograd.grad(value, [a, b], upstream)
    expected = torch.autograd.grad(smooth_torch(a, b), [a, b], upstream)
    for each, other in zip(found, expected, strict=True):
        assert_allclose(each, other, rtol=1e-7, atol=1e-8)


def test_single_precision_is_differenced_in_double():
    a, b = inputs(torch.float32)
    (found,) = torch.autograd.grad(differentiate_rows(smooth, [a, b], steps=[]).sum(), a)
    (expected,) = torch.autograd.grad(smooth_torch(a, b).sum(), a)
    assert found.dtype == torch.float32
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_needs_no_gradient_is_not_evaluated():
    a, b = inputs()
    calls = []

    def counted(*arrays):
        calls.append(1)
        return smooth(*arrays)

    differentiate_rows(counted, [a, b.detach()], steps=[]).sum().backward()
    assert len(calls) == 1 + 2 * a.shape[1]
    assert b.grad is None


def test_the_box_is_not_left():
    def root(z):
        assert (z >= 0).all()
        return np.sqrt(z)

    z = torch.tensor([[0.0], [1.0]], dtype=torch.float64, requires_grad=True)
    box = (np.zeros(1), np.full(1, 1.0))
    differentiate_rows(root, [z], steps=[np.array([1e-4])], bounds=[box]).sum().backward()
    assert_allclose(z.grad[:, 0], [np.sqrt(1e-4) / 1e-4, 0.5], rtol=1e-4)


def test_solve_layer_agrees_with_the_exact_layer():
    problem = ProvisioningProblem()
    y = torch.linspace(1e4, 1.2e6, 9, dtype=torch.float64)[:, None].requires_grad_()
    for smoothing in (None, 50.0):
        found, exact = SolveLayer(problem.solve, smoothing)(y), problem.decision_layer()(y)
        assert_allclose(found.detach(), exact.detach())
        slopes = [torch.autograd.grad(z.sum(), y, retain_graph=True)[0] for z in (found, exact)]
        assert_allclose(*slopes, rtol=1e-6, atol=1e-8)


class Capped(DecisionProblem):
    def __init__(self, cap=30.0):
        self.cap = cap

    def solve_rows(self, y, context=None):
        return np.clip(y, 0.0, self._known(self.cap, context))

    def cost_rows(self, decisions, y, context=None):
        return ((decisions - y) ** 2).sum(axis=1)


def test_solve_rows_is_differentiated_where_a_context_has_names():
    y = torch.tensor([[5.0], [15.0], [25.0]], dtype=torch.float64).requires_grad_()
    cap = torch.tensor([[10.0], [10.0], [30.0]], dtype=torch.float64)
    problem = Capped(FromContext("cap"))
    z = SolveLayer(problem.solve_rows, 1.0)(y, cap)
    assert_allclose(z.detach()[:, 0], [5.0, 10.0, 25.0])
    assert_allclose(torch.autograd.grad(z.sum(), y)[0][:, 0], [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="has no column names") as error:
        SolveLayer(problem.solve, 1.0)(y, cap)
    assert "SolveLayer(self.solve_rows, smoothing)" in error.value.__notes__[0]
