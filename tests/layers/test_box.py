"""The affine layer of the closed forms."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.layers import AffineBoxLayer

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
