"""What every decision layer has to keep."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.problems import CoverageProblem, SetMultiCoverProblem


def predictions(case, n=15, seed=0):
    return case.predictions(np.random.default_rng(seed), n)


def is_feasible(problem, z):
    """Whether a layer may return z: whole numbers are relaxed."""
    if isinstance(problem, SetMultiCoverProblem):
        return (z >= 0).all(axis=1)
    if isinstance(problem, CoverageProblem):
        return (z >= 0).all(axis=1) & (z <= 1).all(axis=1) & (z.sum(axis=1) <= problem.k + 1e-6)
    if not hasattr(problem, "as_linear_program"):
        return problem.is_feasible(z)
    return problem.as_linear_program(z.shape[1]).set_params(integrality=None).is_feasible(z)


def test_shape_dtype_and_feasibility(layer_case, smoothing):
    problem = layer_case.make()
    layer = problem.decision_layer(smoothing)
    y = predictions(layer_case)
    wild = np.concatenate([y, -y, np.zeros_like(y), 100 * y])
    for dtype in (torch.float32, torch.float64):
        z = layer(torch.as_tensor(wild, dtype=dtype))
        assert z.dtype == dtype
        assert z.shape == problem.solve(wild).shape
        assert is_feasible(problem, z.numpy()).all()


@pytest.mark.cases(lambda case: case.is_linear)
def test_it_costs_at_most_smoothing_times_the_squared_diameter_more(layer_case, smoothing):
    problem = layer_case.make()
    y = predictions(layer_case)
    program = problem.as_linear_program(y.shape[1]).set_params(integrality=None)
    z = problem.decision_layer(smoothing)(torch.as_tensor(y)).numpy()
    gamma = np.sqrt((y**2).mean(axis=1)) if smoothing is None else smoothing
    units = np.eye(y.shape[1])  # each decision's range bounds the diameter from above
    reach = [program.cost(program.solve(sign * units), units) for sign in (1.0, -1.0)]
    excess = program.cost(z, y) - program.optimal_cost(y)
    assert (excess >= -1e-7).all()
    assert (excess <= gamma * ((reach[1] - reach[0]) ** 2).sum() + 1e-7).all()
    # And it is the minimiser of what it says: no point between it and a vertex is better.
    vertex = program.solve(y)
    for share in (1e-4, 0.1, 1.0):
        other = z + share * (vertex - z)
        ours, theirs = (
            program.cost(each, y) + gamma * (each**2).sum(axis=1) for each in (z, other)
        )
        assert (ours <= theirs + 1e-8 * (1 + np.abs(theirs))).all()


@pytest.mark.cases(lambda case: case.make().exact and not (case.is_linear or case.is_regularized))
def test_it_is_solve_up_to_rounded_corners(layer_case, smoothing):
    problem = layer_case.make()
    y = predictions(layer_case)
    z = problem.decision_layer(smoothing)(torch.as_tensor(y)).numpy()
    # A softplus of width s is off by at most s log 2, at its corner. The layers that
    # differentiate `solve` numerically don't change its value.
    off = 0.0 if layer_case.name.startswith("function") else (smoothing or 0.0) * np.log(2)
    assert_allclose(z, problem.solve(y), rtol=1e-12, atol=off * (1 + 1e-9) + 1e-12)


def test_gradient_agrees_with_finite_differences(layer_case, smoothing):
    layer = layer_case.make().decision_layer(smoothing)
    y = predictions(layer_case)
    rng = np.random.default_rng(1)
    tensor = torch.as_tensor(y).requires_grad_()
    z = layer(tensor)
    upstream = torch.as_tensor(rng.standard_normal(z.shape))
    (gradient,) = torch.autograd.grad(z, tensor, upstream)
    step = 1e-4 * np.abs(y).mean()
    moves = step * np.eye(y.shape[1])[:, None]
    ends = [
        layer(torch.as_tensor((y + sign * moves).reshape(-1, y.shape[1]))).reshape(
            y.shape[1], *z.shape
        )
        for sign in (1, -1)
    ]
    differences = ((ends[0] - ends[1]) * upstream).sum(dim=2).detach().numpy() / (2 * step)
    for j, numeric in enumerate(differences):
        scale = np.abs(numeric).max()
        atol = 1e-5 * scale + 1e-9  # the difference of two nearly equal decisions has noise
        assert_allclose(gradient[:, j], numeric, rtol=layer_case.layer_tol, atol=atol)


def test_finite_at_zero_and_far_out(layer_case, smoothing):
    layer = layer_case.make().decision_layer(smoothing)
    y = predictions(layer_case, 2)
    for value in (0.0 * y, 1e6 * y, -1e6 * y):
        tensor = torch.as_tensor(value).requires_grad_()
        z = layer(tensor)
        (gradient,) = torch.autograd.grad(z.sum(), tensor)
        assert torch.isfinite(z).all()
        assert torch.isfinite(gradient).all()


def test_the_regret_through_the_layer(layer_case, smoothing):
    problem = layer_case.make()
    rng = np.random.default_rng(2)
    y, y_hat = layer_case.sample_y(rng, 15), layer_case.predictions(rng, 15)
    loss = RegretLoss(smoothing)(problem, torch.as_tensor(y_hat), torch.as_tensor(y))
    decisions = problem.decision_layer(smoothing)(torch.as_tensor(y_hat))
    assert loss.shape == (15,)
    paid = problem.cost(decisions, torch.as_tensor(y)).numpy()  # of tensors, as layers may relax
    assert_allclose(loss.numpy(), paid - problem.optimal_cost(y), rtol=1e-9, atol=1e-9)


def test_layers_copy_and_pickle(layer_case, smoothing):
    layer = layer_case.make().decision_layer(smoothing)
    y = torch.as_tensor(predictions(layer_case))
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_array_equal(again(y), layer(y))


@pytest.mark.cases(lambda case: case.smooths and case.slopes)
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_bad_smoothing(case, value):
    with pytest.raises(ValueError, match="smoothing must be"):
        case.make().decision_layer(value)


@pytest.mark.cases(lambda case: case.slopes)
def test_batches_of_any_number_of_rows(case):
    layer = case.make().decision_layer()
    y = torch.as_tensor(case.predictions(np.random.default_rng(0), 3))
    full = layer(y)
    for requires_grad in (False, True):
        empty = y[:0].clone().requires_grad_(requires_grad)
        found = layer(empty)
        assert found.shape == (0, full.shape[1])
        assert found.dtype == y.dtype
        if requires_grad:
            found.sum().backward()
            assert empty.grad is None or empty.grad.shape == empty.shape


@pytest.mark.cases(lambda case: case.slopes)
def test_what_is_no_batch_is_refused(case):
    layer = case.make().decision_layer()
    y = torch.as_tensor(case.predictions(np.random.default_rng(0), 3))
    for bad in (y[0], y[None], y[0, 0]):
        with pytest.raises(ValueError, match=r"of shape \(B, .*got \("):
            layer(bad)
    with pytest.raises(TypeError, match="floating-point"):
        layer(y.to(torch.int64))
    with pytest.raises(TypeError, match="torch tensor"):
        layer(y.numpy())
