"""The closed form of the k best against the quadratic program of the same constraints."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn.layers.regularized_linear import RegularizedLinearLayer
from dfl_sklearn.problems import TopKProblem


def slope(layer, y, upstream):
    tensor = torch.as_tensor(y).requires_grad_()
    z = layer(tensor)
    (gradient,) = torch.autograd.grad(z, tensor, torch.as_tensor(upstream), allow_unused=True)
    return z.detach().numpy(), np.zeros_like(y) if gradient is None else gradient.numpy()


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("smoothing", [None, 0.3, 4.0])
@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 2), (8, 7), (4, 4), (1, 1)])
def test_agrees_with_the_quadratic_program(n, k, smoothing, sense):
    rng = np.random.default_rng(n)
    problem = TopKProblem(k, sense=sense)
    y, upstream = 3.0 * rng.standard_normal((2, 40, n))
    program = RegularizedLinearLayer(problem._polytope, smoothing, scale=problem._sign)
    expected, expected_slope = slope(program, y, upstream) if k < n else (np.ones((40, n)), 0.0)
    found, found_slope = slope(problem.decision_layer(smoothing), y, upstream)
    assert_allclose(found, expected, atol=2e-8)  # the program's own tolerance
    assert_allclose(found_slope, expected_slope, atol=1e-8)


def test_agrees_with_a_convex_solver():
    rng = np.random.default_rng(0)
    for y in rng.standard_normal((10, 6)):
        z = cp.Variable(6)
        least = cp.Problem(
            cp.Minimize(-y @ z + 0.7 * cp.sum_squares(z)), [z >= 0, z <= 1, cp.sum(z) == 2]
        )
        least.solve(solver="CLARABEL")
        found = TopKProblem(2).decision_layer(0.7)(torch.as_tensor(y[None]))
        assert_allclose(found[0], z.value, atol=1e-6)


def test_ties_and_whole_shares():
    layer = TopKProblem(2).decision_layer(0.5)
    y = torch.tensor([[3.0, 3.0, 3.0, 3.0], [9.0, 9.0, 0.0, 0.0], [9.0, 5.0, 5.0, 0.0]])
    assert_allclose(layer(y), [[0.5] * 4, [1, 1, 0, 0], [1, 0.5, 0.5, 0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_no_unit_matters(size, dtype):
    y = torch.as_tensor(np.random.default_rng(0).standard_normal((20, 7)), dtype=dtype)
    layer = TopKProblem(3).decision_layer()
    assert_allclose(layer(size * y), layer(y), rtol=1e-5)


def test_twenty_thousand_items():
    y = torch.as_tensor(np.random.default_rng(0).standard_normal((4, 20_000))).requires_grad_()
    z = TopKProblem(50).decision_layer()(y)
    assert_allclose(z.sum(dim=1).detach(), 50.0, rtol=1e-12)
    (gradient,) = torch.autograd.grad((z * z).sum(), y)
    assert torch.isfinite(gradient).all()
    # The optimality conditions: shares between 0 and 1 differ from their goals by one number.
    goal = 0.5 * y / y.square().mean(dim=1, keepdim=True).sqrt()
    for row, shares in zip(goal.detach(), z.detach(), strict=True):
        inside = (shares > 0) & (shares < 1)
        level = (row - shares)[inside]
        assert level.max() - level.min() < 1e-12
        assert (row[shares == 0] <= level.max() + 1e-12).all()
        assert (row[shares == 1] >= level.min() + 1 - 1e-12).all()


def test_rows_that_are_no_numbers_and_batches_without_rows():
    layer = TopKProblem(1).decision_layer()
    y = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [torch.inf, 0.0]], requires_grad=True)
    z = layer(y)
    assert torch.isnan(z[1:]).all()
    assert torch.isfinite(z[0]).all()
    assert layer(torch.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(ValueError, match="one row per decision"):
        layer(torch.zeros(3))
    with pytest.raises(ValueError, match=r"at least k=4 items, got shape \(2, 3\)"):
        TopKProblem(4).decision_layer()(torch.zeros((2, 3)))
    with pytest.raises(TypeError, match="floating-point"):
        layer(torch.ones((2, 3), dtype=torch.int64))
