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
    ours = ConvexProgram(portfolio)
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


def non_negative():
    z, c = cp.Variable(3, nonneg=True), cp.Parameter(3)
    return cp.Problem(cp.Minimize(c @ z + 0.5 * cp.sum_squares(z)), [cp.sum(z) == 2]), c, z


def one_number():
    z, c = cp.Variable(), cp.Parameter()
    return cp.Problem(cp.Minimize(c * z + z**2)), c, z


def earn():
    """Sell now or later; the parameter is what is earned later."""
    now, later, price = cp.Variable(2), cp.Variable(2), cp.Parameter(2)
    value = cp.sum(cp.sqrt(1 + now)) + price @ later - cp.sum_squares(later)
    return cp.Problem(cp.Maximize(value), [now + later <= 3, now >= 0, later >= 0]), price, now


def weighted():
    z, c = cp.Variable(2), cp.Parameter(2, nonneg=True)
    return cp.Problem(cp.Minimize(c @ cp.square(z)), [cp.sum(z) == 1]), c, z


def test_attributes_of_the_variable_count_as_constraints():
    problem = ConvexProgram(non_negative)
    assert problem.is_feasible([[0.0, 0.0, 2.0], [-1.0, 1.0, 2.0]]).tolist() == [True, False]
    y = torch.tensor([[1.0, 2.0, 9.0]], dtype=torch.float64, requires_grad=True)
    cost = problem.cost(problem.decision_layer()(y), y.detach())
    (slope,) = torch.autograd.grad(cost.sum(), y)
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("builder", [two_stages, earn, portfolio])
def test_slopes_of_the_cost_in_the_decision(builder):
    problem = ConvexProgram(builder)
    rng = np.random.default_rng(0)
    n = 3 if builder is portfolio else 2
    y = torch.as_tensor(rng.uniform(0.5, 2, (4, n)))
    z = torch.as_tensor(rng.uniform(0.1, 0.4, (4, n))).requires_grad_()
    if builder is portfolio:  # shares, which only trade places
        z = (z / z.sum(dim=1, keepdim=True)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(problem.cost(z, y).sum(), z)
    for j in range(n):
        move = np.zeros(n)
        move[j] = 1e-3
        if builder is portfolio:
            move[j - 1] = -1e-3
        ends = [problem.cost(z.detach().numpy() + s * move, y.numpy()) for s in (1, -1)]
        assert_allclose(slope @ move / 1e-3, (ends[0] - ends[1]) / 2e-3, atol=1e-4)


def test_slopes_at_the_edge_of_what_is_allowed():
    problem = ConvexProgram(two_stages)
    z = torch.zeros((1, 2), dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    (slope,) = torch.autograd.grad(problem.cost(z, y).sum(), z)
    # One now for one late at three is -2; on the other side nothing is allowed, and any slope below
    # is one as well.
    assert (slope <= -2.0 + 1e-5).all()
    assert (slope > -10.0).all()


def test_a_parameter_that_is_one_number():
    problem = ConvexProgram(one_number)
    assert_allclose(problem.solve([[-1.0], [4.0]]), [[0.5], [-2.0]], atol=1e-6)
    y = torch.tensor([[-1.0]], dtype=torch.float64, requires_grad=True)
    z = problem.decision_layer()(y)
    (slope,) = torch.autograd.grad(z.sum(), y)
    assert_allclose(slope, [[-0.5]], atol=1e-3)


def test_an_observed_row_outside_the_parameters_domain_is_named():
    problem = ConvexProgram(weighted)
    y = [[1.0, 1.0], [1.0, -1.0]]
    for check in (problem.check_parameters, lambda y: problem.cost(problem.solve(y), y)):
        with pytest.raises(ValueError, match=r"Row 1 of y, \[1.0, -1.0\], cannot be the program's"):
            check(y)


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
    with pytest.raises(ValueError, match="The objective is unbounded for row 1 of y"):
        ConvexProgram(sometimes_unbounded).solve([[0.5], [-2.0]])


def test_what_cannot_be_differentiated():
    with pytest.raises(ValueError, match="whole-number variables, so its decision has no slope"):
        ConvexProgram(whole_numbers).decision_layer()
    with pytest.raises(ValueError, match=r"cvxpy's rules for parameters.* sum_squares"):
        ConvexProgram(not_dpp).decision_layer()
    with pytest.raises(ValueError, match="smoothing must be None"):
        ConvexProgram(box).decision_layer(1.0)
    # Two stages need no slope.
    from sklearn.linear_model import LinearRegression

    X = np.arange(12.0).reshape(6, 2)
    TwoStageRegressor(LinearRegression(), ConvexProgram(whole_numbers)).fit(X, X).decide(X)


def test_missing_packages_are_named(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    with monkeypatch.context() as patched:
        patched.setattr("dfl_sklearn._utils.optional.importlib.import_module", absent)
        with pytest.raises(ImportError, match=r'pip install "dfl-sklearn\[cvxpy\]"'):
            ConvexProgram(portfolio).decision_layer()
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"ConvexProgram needs the package 'cvxpy'"):
        ConvexProgram(lambda: None).solve([[1.0]])


@pytest.mark.parametrize(
    ("builder", "average"),
    [
        (portfolio, "decisions"),
        (two_stages, "decisions"),  # kinked by its other variables
        (box, "predictions"),
        (whole_numbers, "predictions"),
    ],
)
def test_decisions_are_averaged_where_the_cost_is_not_linear(builder, average):
    assert ConvexProgram(builder).decision_average == average
