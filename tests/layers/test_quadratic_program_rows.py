"""A batch of quadratic programs with right-hand sides of their own against cvxpy, and alone."""

import pickle

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.layers.quadratic_program_rows import QuadraticProgramRowsLayer
from dfl_sklearn.layers.regularized_linear_rows import PlusKnownLayer, RegularizedLinearRowsLayer
from dfl_sklearn.problems import FromContext, KnapsackProblem, LinearProgram, TopKProblem
from dfl_sklearn.solvers.polytope import Polytope

from ..contracts.other_device import OTHER, OtherDevice, back, to_other

B, N = 6, 5


def sets(seed=0, n_ub=3, n_eq=2, share=0.0):
    """Sets of which some, by the share of sides that are tight, have no interior."""
    rng = np.random.default_rng(seed)
    G, A = rng.normal(size=(n_ub, N)), rng.normal(size=(n_eq, N))
    inside = rng.uniform(0.2, 0.8, (B, N))
    low, high = np.zeros((B, N)), np.where(rng.random((B, N)) < share, inside, 1.0)
    low = np.where((rng.random((B, N)) < share) & (high == inside), inside, low)
    part = Polytope.of(N, ub=(G, np.zeros(n_ub)), eq=(A, np.zeros(n_eq)))
    b_ub = inside @ G.T + np.where(rng.random((B, n_ub)) < share, 0.0, 0.3)
    return part.replace(b_ub=b_ub, b_eq=inside @ A.T, lower=low, upper=high), rng


def by_cvxpy(part, quadratic, c, i):
    z = cp.Variable(N)
    constraints = [
        part.A_ub.toarray() @ z <= part.b_ub[i],
        part.A_eq.toarray() @ z == part.b_eq[i],
        z >= part.lower[i],
        z <= part.upper[i],
    ]
    problem = cp.Problem(cp.Minimize(quadratic @ cp.square(z) / 2 + c[i] @ z), constraints)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return z.value


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_agrees_with_cvxpy(share):
    part, rng = sets(1, share=share)
    quadratic, c = rng.uniform(0.5, 1, N), rng.normal(size=(B, N))
    z = QuadraticProgramRowsLayer(quadratic, part)(torch.as_tensor(c), part).numpy()
    assert_allclose(z, [by_cvxpy(part, quadratic, c, i) for i in range(B)], atol=2e-6)
    assert part.contains(z, 1e-8).all()


def gradients(layers, c):
    found = []
    for layer in layers:
        tensor = c.clone().requires_grad_()
        z = layer(tensor)
        (slope,) = torch.autograd.grad((z * torch.arange(1.0, 1.0 + N)).sum(), tensor)
        found.append((z.detach().numpy(), slope.numpy()))
    return found


def alone(quadratic, part, scale=1.0):
    """A layer of one program for each row."""
    A, G = part.A_eq.toarray(), part.A_ub.toarray()
    layers = [
        QuadraticProgramLayer(
            quadratic, A, part.b_eq[i], G, part.b_ub[i], part.lower[i], part.upper[i], scale=scale
        )
        for i in range(B)
    ]
    return lambda c: torch.cat([layer(c[[i]]) for i, layer in enumerate(layers)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_agrees_with_one_program_for_each_row(seed, share):
    part, rng = sets(seed, share=share)
    quadratic, c = rng.uniform(0.5, 1, N), torch.as_tensor(rng.normal(size=(B, N)))
    layer = QuadraticProgramRowsLayer(quadratic, part, scale=-1.0)
    (z, slope), (expected, expected_slope) = gradients(
        [lambda c: layer(c, part), alone(quadratic, part, -1.0)], c
    )
    assert_allclose(z, expected, atol=1e-7)
    assert_allclose(slope, expected_slope, atol=1e-5)


def test_sets_with_other_finite_bounds_or_equations_that_follow():
    part, rng = sets(3)
    c = torch.as_tensor(rng.normal(size=(B, N)))
    upper = part.upper.copy()
    upper[2, 1] = np.inf
    b_ub = part.b_ub.copy()
    b_ub[3, 1] = np.inf
    twice = Polytope.of(N, eq=(np.repeat(part.A_eq.toarray(), 2, axis=0), np.zeros(4)))
    other = part.replace(
        A_eq=twice.A_eq, b_eq=np.repeat(part.b_eq, 2, axis=1), upper=upper, b_ub=b_ub
    )
    layer = QuadraticProgramRowsLayer(np.ones(N), part.replace(A_eq=twice.A_eq, b_eq=other.b_eq))
    assert_allclose(layer(c, other), alone(np.ones(N), other)(c), atol=1e-7)
    b_eq = other.b_eq.copy()
    b_eq[4, 0] += 0.1
    with pytest.raises(ValueError, match="At row 4 of the context: The equations contradict"):
        layer(c, other.replace(b_eq=b_eq))


def test_one_variable_and_no_constraints():
    part = Polytope.of(1).replace(
        b_ub=np.zeros((3, 0)),
        b_eq=np.zeros((3, 0)),
        lower=np.array([[0.0], [1.0], [2.0]]),
        upper=np.array([[4.0], [1.0], [3.0]]),
    )
    c = torch.tensor([[-1.0], [-1.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    z = QuadraticProgramRowsLayer(np.ones(1), part)(c, part)
    assert_allclose(z.detach(), [[1.0], [1.0], [2.0]], atol=1e-8)
    z.sum().backward()
    assert_allclose(c.grad, [[-1.0], [0.0], [0.0]], atol=1e-6)


def pieces(n, context):
    """Shares that sum to what the context says."""
    part = Polytope.of(n, eq=(np.ones((1, n)), [0.0]))
    return part.replace(
        b_ub=np.zeros((len(context), 0)),
        b_eq=context[:, :1],
        lower=np.zeros((len(context), n)),
        upper=np.full((len(context), n), np.inf),
    )


def plus_context(y, context):
    return y + context


def test_known_parts_and_pickles():
    rng = np.random.default_rng(0)
    y = torch.as_tensor(rng.normal(size=(B, N)))
    context = torch.as_tensor(rng.uniform(1, 2, (B, 1)))
    inner = RegularizedLinearRowsLayer(pieces, 0.5)
    layer = PlusKnownLayer(inner, plus_context, takes_context=True)
    found = layer(y, context)
    assert_array_equal(found, inner(y + context, context))
    assert_allclose(found.sum(dim=1), context[:, 0], atol=1e-8)
    assert_array_equal(pickle.loads(pickle.dumps(layer))(y, context), found)
    with pytest.raises(ValueError, match="takes 6 rows of context, got 2"):
        layer(y, context[:2])


X, K = FromContext(0), FromContext(1)


@pytest.mark.parametrize(
    "problem",
    [
        LinearProgram([[1.0, 2, 1, 1, 1]], [X], bounds=(0, K), known_cost=[1, X, 0, 0, 0]),
        LinearProgram([[1.0, 2, 1, 1, X]], [2.0], bounds=(0, K)),
        LinearProgram([[1.0, 2, 1, 1, 1]], [2.0], bounds=(0, 1), known_cost=[1, X, 0, 0, 0]),
        KnapsackProblem([1, 2, 1, 1, 1], X),
        TopKProblem(K),
    ],
)
def test_decisions_are_where_their_input_lives(problem):
    rng = np.random.default_rng(0)
    y = torch.as_tensor(rng.normal(size=(B, N)))
    context = torch.as_tensor(np.stack([rng.uniform(1, 2, B), rng.integers(1, 3, B)], axis=1))
    layer = problem.decision_layer(0.5)
    expected = layer(y, context)
    with OtherDevice():
        found = layer(to_other(y), to_other(context))
        assert found.device == OTHER
    assert_array_equal(back(found), expected)
    assert_array_equal(layer(y, context), expected)
