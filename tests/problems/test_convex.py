"""Programs written in cvxpy: solved, priced, differentiated, refused."""

import pickle
import sys

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.problems import ConvexProgram, LinearProgram, PortfolioProblem

COVARIANCE = np.array([[1.0, 0.4, -0.2], [0.4, 2.0, 0.1], [-0.2, 0.1, 1.5]])


def portfolio():
    shares, returns = cp.Variable(3), cp.Parameter(3)
    value = returns @ shares - cp.quad_form(shares, COVARIANCE)
    return cp.Problem(cp.Maximize(value), [shares >= 0, cp.sum(shares) == 1]), returns, shares


def two_stages():
    """Order now; what demand is beyond the order is bought dearly."""
    order, late, demand = cp.Variable(2), cp.Variable(2), cp.Parameter(2)
    cost = cp.sum(order) + 3 * cp.sum(late)
    limits = [order >= 0, late >= 0, order + late >= demand, order <= 4]
    return cp.Problem(cp.Minimize(cost), limits), demand, order


def box():
    z, c = cp.Variable(2), cp.Parameter(2)
    return cp.Problem(cp.Minimize(c @ z), [z >= -1, z <= 2]), c, z


def whole_numbers():
    z, c = cp.Variable(2, integer=True), cp.Parameter(2)
    return cp.Problem(cp.Minimize(c @ z), [z >= -1.5, z <= 2.5]), c, z


def not_dpp():
    z, c = cp.Variable(2), cp.Parameter(2)
    cost = cp.sum_squares(z) + cp.sum(cp.multiply(cp.square(c), z))
    return cp.Problem(cp.Minimize(cost), [z >= 0]), c, z


def sometimes_infeasible():
    z, c = cp.Variable(), cp.Parameter(1)
    return cp.Problem(cp.Minimize(cp.square(z)), [z >= c[0], z <= 1]), c, z


def sometimes_unbounded():
    z, c = cp.Variable(1), cp.Parameter(1)
    return cp.Problem(cp.Minimize(c @ z), [z >= 0]), c, z


def test_it_is_the_portfolio_problem():
    ours = ConvexProgram(portfolio, solver="CLARABEL")
    theirs = PortfolioProblem(COVARIANCE, 2.0)
    rng = np.random.default_rng(0)
    y = rng.normal(size=(10, 3))
    assert_allclose(ours.solve(y), theirs.solve(y), atol=1e-5)
    z = rng.dirichlet(np.ones(3), 10)
    assert_allclose(ours.cost(z, y), theirs.cost(z, y))
    assert_allclose(ours.optimal_cost(y), theirs.optimal_cost(y), atol=1e-8)
    assert ours.is_feasible(ours.solve(y)).all()
    assert not ours.is_feasible(z + 0.1).any()
    # A mean over scenarios is that of the mean here: the objective is linear in the parameter.
    assert_allclose(ours.solve(y[None]), theirs.solve(y[None]), atol=1e-5)


def test_slopes_of_the_layer_and_of_the_cost():
    ours, theirs = ConvexProgram(portfolio), PortfolioProblem(COVARIANCE, 2.0)
    rng = np.random.default_rng(1)
    y = torch.as_tensor(rng.normal(size=(6, 3)) * 0.5)
    upstream = torch.as_tensor(rng.normal(size=(6, 3)))
    found = []
    for layer in (ours.decision_layer(), theirs.decision_layer(0.0)):
        tensor = y.clone().requires_grad_()
        z = layer(tensor)
        found.append((z.detach(), *torch.autograd.grad((z * upstream).sum(), tensor)))
    # cvxpylayers solves to about 1e-4; entries near 0 are then smeared.
    assert_allclose(found[0][0], found[1][0], atol=2e-3)
    assert_allclose(found[0][1], found[1][1], atol=2e-2)
    slopes = []
    for problem in (ours, theirs):
        z = torch.full((6, 3), 1 / 3, dtype=torch.float64, requires_grad=True)
        tensor = y.clone().requires_grad_()
        slopes.append(torch.autograd.grad(problem.cost(z, tensor).sum(), [z, tensor]))
    for one, other in zip(*slopes, strict=True):
        assert_allclose(one, other, atol=1e-6)


def test_other_variables_take_their_best_values():
    problem = ConvexProgram(two_stages)
    y = np.array([[1.0, 3.0], [5.0, 0.0]])
    assert_allclose(problem.solve(y), [[1.0, 3.0], [4.0, 0.0]], atol=1e-6)
    z = np.array([[0.0, 4.0], [1.0, 1.0]])
    assert_allclose(problem.cost(z, y), [4 + 3 * 1.0, 2 + 3 * 4.0], rtol=1e-6)
    assert problem.is_feasible(z).all()
    assert not problem.is_feasible([[5.0, 0.0]]).any()


def test_a_linear_program_in_cvxpy_is_the_one_on_highs():
    y = np.random.default_rng(0).normal(size=(8, 2))
    expected = LinearProgram(bounds=(-1, 2)).solve(y)
    assert_allclose(ConvexProgram(box).solve(y), expected, atol=1e-6)
    assert_allclose(ConvexProgram(whole_numbers).solve(y), expected, atol=1e-6)


def test_it_trains_a_model():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    y = X @ rng.normal(size=(2, 3))
    model = DFLRegressor(
        ConvexProgram(portfolio), hidden_layer_sizes=(), max_iter=15, batch_size=15, random_state=0
    )
    with pytest.warns(match="max_iter"):
        model.fit(X, y)
    assert model.score(X, y) > 0.5
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.decide(X[:3]), model.decide(X[:3]))


def test_float32_and_rows_that_are_not_finite():
    layer = ConvexProgram(portfolio).decision_layer()
    y = torch.tensor([[0.1, 0.2, 0.3], [np.nan, 0.0, 0.0]], requires_grad=True)
    z = layer(y)
    assert z.dtype == torch.float32
    assert torch.isfinite(z).all(dim=1).tolist() == [True, False]
    assert ConvexProgram(portfolio).solve(np.ones((2, 3), dtype=np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (3, "builder must be a function"),
        (lambda: cp.Variable(2), r"builder must return \(problem, parameter, variable\)"),
        (
            lambda: (cp.Problem(cp.Minimize(0)), cp.Parameter(2), cp.Variable(2)),
            "must have the returned parameter and no other",
        ),
        (
            lambda: (lambda z, c: (cp.Problem(cp.Minimize(cp.sum(cp.square(c) - z**2))), c, z))(
                cp.Variable(2), cp.Parameter(2)
            ),
            "not convex by cvxpy's rules",
        ),
        (
            lambda: (lambda z, c: (cp.Problem(cp.Minimize(cp.sum(c @ z))), c, z))(
                cp.Variable((2, 2)), cp.Parameter(2)
            ),
            r"The variable must be a vector, got shape \(2, 2\)",
        ),
        (
            lambda: (lambda z, c: (cp.Problem(cp.Minimize(c @ z)), c, cp.Variable(2)))(
                cp.Variable(2), cp.Parameter(2)
            ),
            "The returned variable does not occur",
        ),
    ],
)
def test_builders_that_build_something_else(builder, message):
    with pytest.raises(ValueError, match=message):
        ConvexProgram(builder).solve([[1.0, 2.0]])


def test_rows_without_a_best_decision_are_named():
    with pytest.raises(ValueError, match="No decision satisfies the constraints for row 1 of y"):
        ConvexProgram(sometimes_infeasible).solve([[0.5], [2.0]])
    with pytest.raises(ValueError, match="The objective has no best value for row 1 of y"):
        ConvexProgram(sometimes_unbounded).solve([[0.5], [-2.0]])


def test_what_cannot_be_differentiated():
    with pytest.raises(ValueError, match="whole-number variables, so its decision has no slope"):
        ConvexProgram(whole_numbers).decision_layer()
    with pytest.raises(ValueError, match="does not follow cvxpy's rules for parameters"):
        ConvexProgram(not_dpp).decision_layer()
    with pytest.raises(ValueError, match="smoothing must be a finite number only for"):
        ConvexProgram(box).decision_layer(1.0)
    # Two stages need no slope.
    from sklearn.linear_model import LinearRegression

    X = np.arange(12.0).reshape(6, 2)
    TwoStageRegressor(LinearRegression(), ConvexProgram(whole_numbers)).fit(X, X).decide(X)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpylayers.torch", None)
    with pytest.raises(ImportError, match=r'pip install "dfl-sklearn\[cvxpy\]"'):
        ConvexProgram(portfolio).decision_layer()
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"ConvexProgram needs the package 'cvxpy'"):
        ConvexProgram(lambda: None).solve([[1.0]])
