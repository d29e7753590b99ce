"""A row's decision is the one it has by itself, whatever the other rows of its batch."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn.layers import QuadraticProgramLayer, coverage
from dfl_sklearn.layers.coverage import CoverageLayer
from dfl_sklearn.problems import FunctionProblem, LinearProgram, MatchingProblem, TopKProblem


def with_gradient(layer, y):
    """Return decisions and the gradient of a sum of them that tells entries apart."""
    y = torch.tensor(y, requires_grad=True)
    z = layer(y)
    (z * torch.arange(1.0, 1.0 + z.shape[1], dtype=z.dtype)).sum().backward()
    return z.detach().numpy(), y.grad.numpy()


def alone_and_together(layer, y):
    together = with_gradient(layer, y)
    alone = [with_gradient(layer, row[None]) for row in y]
    return together, tuple(np.concatenate(each) for each in zip(*alone, strict=True))


@pytest.mark.parametrize("smoothing", [None, 0.01])
def test_coverage(smoothing):
    rng = np.random.default_rng(0)
    # Rows that need few steps and many, in one batch.
    y = rng.uniform(0, 1, (12, 5 * 8)) * rng.choice([1e-3, 0.1, 0.999], (12, 1))
    y[3] = 0.0
    layer = CoverageLayer(2, 5, None, smoothing)
    together, alone = alone_and_together(layer, y)
    assert_allclose(together[0], alone[0], rtol=0, atol=1e-12)
    assert_allclose(together[1], alone[1], rtol=0, atol=1e-9 * np.abs(alone[1]).max())


def test_coverage_is_the_maximiser_in_every_row():
    rng = np.random.default_rng(1)
    y = rng.uniform(0, 1, (4, 12)) * np.array([[0.01], [0.5], [0.9], [0.99]])
    found = CoverageLayer(2, 4, None, 0.05)(torch.as_tensor(y)).numpy()
    for a, z in zip(-np.log1p(-y.reshape(4, 4, 3)), found, strict=True):

        def negated(shares, a=a):
            return -(1 - np.exp(-shares @ a)).sum() + 0.05 * shares @ shares

        best = minimize(
            negated,
            np.full(4, 0.5),
            bounds=[(0, 1)] * 4,
            constraints={"type": "ineq", "fun": lambda shares: 2 - shares.sum()},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        assert negated(z) <= best.fun + 1e-12


def test_coverage_says_where_it_stops_early(monkeypatch):
    y = torch.as_tensor(np.random.default_rng(0).uniform(0, 1, (3, 12)))
    layer = CoverageLayer(2, 4, None, 0.1)
    layer(y)
    monkeypatch.setattr(coverage, "_MAX_ITER", 2)
    with pytest.warns(ConvergenceWarning, match="not converged for 3 of 3 rows after 2 steps"):
        layer(y)


def degenerate_rows(n, rng):
    """Rows whose decisions lie at vertices, between them, and inside."""
    y = rng.standard_normal((30, n)) * rng.choice([1e-3, 1.0, 30.0], (30, 1))
    y[::5] = np.round(y[::5])  # ties
    y[3] = 0.0
    return y


@pytest.mark.parametrize(
    "layer",
    [
        MatchingProblem(3, 3, perfect=True).decision_layer(1.0),
        TopKProblem(2).decision_layer(0.5),
        LinearProgram([[1.0, 2, 1, 0, 1, 1, 3, 1, 1]], [4.0], bounds=(0, 3)).decision_layer(1.0),
        QuadraticProgramLayer(
            np.eye(9) + 0.3, A_ub=np.ones((2, 9)) + np.eye(2, 9), b_ub=[1.0, 2.0], lower=0.0
        ),
    ],
)
def test_quadratic_programs(layer):
    together, alone = alone_and_together(layer, degenerate_rows(9, np.random.default_rng(0)))
    assert_allclose(together[0], alone[0], rtol=0, atol=1e-12)


def ridge_cost(z, y):
    return np.abs(z[:, 0] - y) + 3.0 * np.abs(z[:, 0] + z[:, 1] - 1.7 * y) + 0.1 * z[:, 1] ** 2


def test_searches_for_a_function():
    problem = FunctionProblem(ridge_cost, [(-2.0, 9.0), (-3.0, 11.0)], n_starts=9)
    y = np.array([0.0, 0.3, 1.1, 2.0, 3.7, 4.9])
    alone = np.concatenate([problem.solve(each[None]) for each in y])
    np.testing.assert_array_equal(problem.solve(y), alone)
