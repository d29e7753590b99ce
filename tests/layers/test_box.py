"""The affine layer of the closed forms."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.layers import AffineBoxLayer
from dfl_sklearn.problems import FromContext

Y = torch.linspace(-5, 5, 101, dtype=torch.float64)[:, None]


def test_it_is_a_clip_of_an_affine_map():
    layer = AffineBoxLayer(2.0, 0.5, -3.0, 4.0)
    assert_allclose(layer(Y), np.clip(2 * Y.numpy() + 0.5, -3, 4))
    assert_array_equal(AffineBoxLayer()(Y), Y)


@pytest.mark.parametrize(("lower", "upper"), [(0.0, math.inf), (-math.inf, 1.0), (0.0, 1.0)])
def test_rounded_corners(lower, upper):
    """Inside the box, with a positive slope everywhere, and off by at most s log 2."""
    s = 0.3
    y = Y.clone().requires_grad_()
    z = AffineBoxLayer(1.0, 0.0, lower, upper, smoothing=s)(y)
    exact = Y.clamp(lower, upper)
    assert (z > lower).all()
    assert (z < upper).all()
    assert (z - exact).abs().max() <= s * math.log(2) + 1e-12
    (slope,) = torch.autograd.grad(z.sum(), y)
    assert (slope > 0).all()
    assert (slope < 1).all()


CONTEXT = torch.linspace(-4.0, 4.0, 101, dtype=torch.float64)[:, None]


def shifted(context):
    return context[:, :1] + 1.0


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(
    "numbers",
    [
        {"upper": shifted},
        {"offset": shifted, "lower": -1.0},
        {"slope": shifted, "lower": lambda context: context[:, :1], "upper": shifted},
        {"offset": lambda context: np.float64(0.5), "upper": shifted},
    ],
)
def test_numbers_of_each_row_are_those_of_a_layer_of_its_own(numbers, smoothing):
    y = Y.clone().requires_grad_()
    z = AffineBoxLayer(**numbers, smoothing=smoothing)(y, CONTEXT)
    (slope,) = torch.autograd.grad(z.sum(), y)
    for i in range(0, 101, 7):
        at = {
            name: float(value(CONTEXT[i : i + 1])) if callable(value) else value
            for name, value in numbers.items()
        }
        alone = Y[i : i + 1].clone().requires_grad_()
        expected = AffineBoxLayer(**at, smoothing=smoothing)(alone)
        assert_allclose(z[i : i + 1].detach(), expected.detach(), rtol=1e-14, atol=1e-14)
        assert_allclose(slope[i], torch.autograd.grad(expected.sum(), alone)[0][0], atol=1e-12)


def test_a_context_that_no_number_is_read_from_changes_nothing():
    layer = AffineBoxLayer(2.0, 0.5, -3.0, 4.0, smoothing=0.1)
    assert_array_equal(layer(Y, CONTEXT), layer(Y))
    with pytest.raises(ValueError, match="takes 101 rows of context, got 5"):
        layer(Y, CONTEXT[:5])


def test_numbers_that_are_none_are_named():
    with pytest.raises(ValueError, match=r"upper must be a number, or a function of the context"):
        AffineBoxLayer(upper=FromContext("cap"))
    with pytest.raises(ValueError, match=r"lower must return one .* \(101, 1\), got \(101,\)"):
        AffineBoxLayer(lower=lambda context: context[:, 0])(Y, CONTEXT)
    two_for_three = AffineBoxLayer(lower=lambda context: context[:, :1].expand(-1, 2))
    with pytest.raises(ValueError, match=r"lower must return one .* \(101, 1\), got \(101, 2\)"):
        two_for_three(torch.ones(101, 3), CONTEXT)


def test_smoothing_fades_out():
    sharp = AffineBoxLayer(lower=0.0, upper=1.0)(Y)
    gaps = [
        (AffineBoxLayer(lower=0.0, upper=1.0, smoothing=s)(Y) - sharp).abs().max().item()
        for s in (0.1, 0.01, 0.001)
    ]
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]


def test_the_box_holds_far_out_in_single_precision():
    layer = AffineBoxLayer(0.315, 137.0, 200.0, 400_000.0, smoothing=1_000.0)
    y = torch.tensor([[-3e38], [-1e9], [0.0], [1e9], [3e38]])
    z = layer(y)
    assert torch.isfinite(z).all()
    assert ((z >= 200) & (z <= 400_000)).all()
