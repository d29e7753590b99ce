"""ConvexProgram: linear and quadratic programs, all rows at once instead of one by one."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import ConvexProgram, CvxpyProgram
from dfl_sklearn.problems._cvxpy_parts import parts_of
from dfl_sklearn.problems._cvxpy_program import BuiltProgram

PRICE = np.random.default_rng(7).uniform(1, 3, (3, 2))


def transport():
    """Linear, with a matrix decided and a shortfall that follows."""
    ship, short = cp.Variable((3, 2), nonneg=True), cp.Variable(2, nonneg=True)
    demand, capacity = cp.Parameter(2), cp.Parameter(3, nonneg=True)
    cost = cp.sum(cp.multiply(PRICE, ship)) + 5 * cp.sum(short)
    limits = [cp.sum(ship, axis=1) <= capacity, cp.sum(ship, axis=0) + short >= demand]
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), limits), demand, ship, capacity)


def smooth():
    """Quadratic and maximised, with a constant in the objective that is predicted."""
    x, worth, gift = cp.Variable(3), cp.Parameter((1, 3)), cp.Parameter()
    gain = worth[0] @ x - cp.sum_squares(x[:2]) - 0.5 * cp.square(x[2] - 1) + 2 * gift
    problem = cp.Problem(cp.Maximize(gain), [cp.sum(x) == 2, x >= -1])
    return problem, [worth, gift], x


def bent():
    """With variables that cvxpy makes for absolute values and the largest of several."""
    x, wish = cp.Variable(3), cp.Parameter(3)
    cost = cp.norm1(x - wish) + 0.1 * cp.sum_squares(x) + cp.max(x)
    return cp.Problem(cp.Minimize(cost), [x >= 0, cp.sum(x) <= 2]), wish, x


def rows_of(build):
    rng = np.random.default_rng(0)
    if build is transport:
        return rng.uniform(10, 80, (12, 2)), rng.uniform(10, 60, (12, 3))
    return rng.normal(size=(12, 4 if build is smooth else 3)), None


def one_by_one(monkeypatch, problem):
    """Let cvxpy solve the rows of a problem, as it does those of other programs."""
    monkeypatch.setitem(problem._program().__dict__, "parametric", None)
    assert problem.minimisers(torch.zeros((1, problem._n_parameters())), None) is None


@pytest.mark.parametrize("build", [transport, smooth, bent])
def test_the_same_as_one_by_one(build, monkeypatch):
    problem, (y, context) = ConvexProgram(build), rows_of(build)
    assert problem._program().parametric is not None
    decisions = problem.solve(y, context=context)
    found = problem.minimisers(torch.as_tensor(y), context)
    assert found.is_right.double().mean() > 0.9
    others = np.roll(decisions, 1, axis=0)  # feasible, but for another row
    if build is not smooth:  # feasible for all rows, and away from kinks
        others = 0.2 * others + np.random.default_rng(1).uniform(0.01, 0.1, others.shape)
    z, rows = (torch.tensor(each, requires_grad=True) for each in (others, y))
    known = None if context is None else torch.as_tensor(context)
    costs = problem.cost(z, rows, context=known)
    slopes = torch.autograd.grad(costs.sum(), [z, rows])
    for i in range(3):  # a row alone, to the bit
        part = None if context is None else context[i : i + 1]
        assert_array_equal(problem.solve(y[i : i + 1], context=part)[0], decisions[i])
        alone = problem.cost(others[i : i + 1], y[i : i + 1], context=part)
        assert_array_equal(alone[0], costs[i].detach())

    one_by_one(monkeypatch, problem)
    best, theirs = problem.solve(y, context=context), problem.cost(others, y, context=context)
    assert_allclose(decisions, best, atol=1e-6)
    assert_allclose(costs.detach(), theirs, rtol=1e-7, atol=1e-7)
    z, rows = (each.detach().clone().requires_grad_() for each in (z, rows))
    expected = torch.autograd.grad(problem.cost(z, rows, context=known).sum(), [z, rows])
    for one, other in zip(slopes, expected, strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("build", [transport, smooth])
def test_the_layer_has_the_slopes_of_differences(build):
    problem, (y, context) = ConvexProgram(build), rows_of(build)
    layer = problem.decision_layer()
    known = None if context is None else torch.as_tensor(context)
    rows = torch.tensor(y, requires_grad=True)
    weight = torch.as_tensor(
        np.random.default_rng(1).normal(size=problem.solve(y, context=context).shape)
    )

    def of(values):
        return (layer(values) if known is None else layer(values, known)) * weight

    slope = torch.autograd.grad(of(rows).sum(), rows)[0]
    step = 1e-6
    for j in range(y.shape[1]):
        move = torch.zeros_like(rows)
        move[:, j] = step
        right, left = (of(rows.detach() + s * move).sum(dim=1) for s in (1, -1))
        assert_allclose(slope[:, j], (right - left) / (2 * step), atol=1e-5)


def priced():
    """Its matrix depends on the parameter."""
    x, size = cp.Variable(2), cp.Parameter(2, nonneg=True)
    return cp.Problem(cp.Maximize(cp.sum(x)), [size @ x <= 1, x >= 0, x <= 2]), size, x


def curved():
    """A cone."""
    x, p = cp.Variable(2), cp.Parameter(2)
    return cp.Problem(cp.Minimize(p @ x + cp.norm2(x)), [x >= -1, x <= 1]), p, x


def definite():
    """Predicted is a matrix of which cvxpy keeps half."""
    x, p = cp.Variable((2, 2)), cp.Parameter((2, 2), PSD=True)
    return cp.Problem(cp.Minimize(cp.sum_squares(x - p))), p, x


def whole():
    x, p = cp.Variable(2, integer=True), cp.Parameter(2)
    return cp.Problem(cp.Minimize(p @ x), [x >= 0, x <= 3]), p, x


@pytest.mark.parametrize("build", [priced, curved, definite, whole])
def test_others_are_left_to_their_solver(build):
    built = BuiltProgram.from_parts(parts_of(build))
    assert built.parametric is None


def test_a_row_without_a_solution_is_named():
    problem = ConvexProgram(smooth)
    y, capacity = rows_of(transport)
    capacity[4] = [5.0, 5.0, 5.0]
    decisions = ConvexProgram(transport).solve(y, context=np.full((12, 3), 60.0))
    with pytest.raises(ValueError, match=r"The decision of row 4 misses .* by 60"):
        ConvexProgram(transport).cost(decisions, y, context=np.where(capacity < 6, 0.0, 90.0))
    y = rows_of(smooth)[0]
    y[3, 0] = 1e200
    with pytest.raises((ValueError, RuntimeError), match="row 3 of y"):
        problem.solve(y)


def produce():
    """Overtime costs 3 more for two of the products: where hours are short, plans tie."""
    use, hours = np.array([[1.0, 2, 1, 1], [2, 1, 1, 3]]), np.array([110.0, 150])
    make, demand = cp.Variable(4, nonneg=True), cp.Parameter(4)
    over, lost, left = (cp.Variable(4, nonneg=True) for _ in range(3))
    cost = [3, 4, 2, 5] @ make + [6, 7, 5, 9] @ over + [14, 12, 9, 20] @ lost + cp.sum(left)
    limits = [use @ make <= hours, use @ over <= hours / 10, make + over + lost - left == demand]
    return cp.Problem(cp.Minimize(cost), limits), demand, make


def test_the_layer_decides_exactly_where_several_decisions_are_best():
    problem = ConvexProgram(produce)
    y = torch.tensor([[25.142, 31.011, 33.289, 26.056]], dtype=torch.float64, requires_grad=True)
    assert not problem.minimisers(y, None).is_right.any()
    z = problem.decision_layer()(y)
    assert_allclose(z.detach(), problem.solve(y.detach().numpy()), atol=1e-9)
    cost = problem.cost_rows(z, y.detach())  # a decision that misses the hours would have none
    assert_allclose(cost.detach(), problem.optimal_cost(y.detach().numpy()), rtol=1e-9)
    assert torch.isfinite(torch.autograd.grad(z.sum(), y)[0]).all()


def one_number(write):
    """Return a program that decides one number between 0 and 2 and predicts one."""

    def build():
        x, p = cp.Variable(1), cp.Parameter(1)
        return cp.Problem(cp.Minimize(write(x, p)[()]), [x >= 0, x <= 2]), p, x

    return ConvexProgram(build)


@pytest.mark.parametrize(
    ("write", "cost"),
    [
        (lambda x, p: p @ x + cp.sum_squares(x - 1), lambda x, p: p * x + (x - 1) ** 2),
        (lambda x, p: p @ x + cp.norm1(x - 3) + 7, lambda x, p: p * x + abs(x - 3) + 7),
        (lambda x, p: x[0] + 2 * cp.pos(p - x)[0], lambda x, p: x + 2 * np.maximum(p - x, 0)),
        (lambda x, p: cp.sum_squares(x - p) + 3 * p[0], lambda x, p: (x - p) ** 2 + 3 * p),
    ],
)
def test_constants_within_squares_and_norms(write, cost):
    problem = one_number(write)
    assert problem._program().parametric is not None
    x, p = np.array([0.5, 1.5, 2.0]), np.array([-1.0, 1.0, 3.0])
    assert_allclose(problem.cost(x, p), cost(x, p), atol=1e-9)
    grid = np.linspace(0, 2, 2001)
    best = cost(grid[:, None], p).min(axis=0)
    assert_allclose(problem.optimal_cost(p), best, atol=1e-5)


def test_small_slopes_beside_large_constants():
    def build():
        x, p = cp.Variable(1), cp.Parameter(1)
        limits = [x >= 1e6 - 1e-6 * p, x >= -1e9]
        return cp.Problem(cp.Minimize(x[0]), limits), p, x

    y = np.array([9e11, 1e12, 1.1e12])
    assert_allclose(ConvexProgram(build).solve(y), [1e5, 0.0, -1e5], rtol=1e-9, atol=1e-9)


def test_nothing_is_a_decision_too():
    """Where all of it is 0, there is no size to compare with but that of the limits."""
    problem = one_number(lambda x, p: p @ x + 0.5 * cp.sum_squares(x))
    y = torch.tensor([[1.0], [0.7], [-0.5]], dtype=torch.float64, requires_grad=True)
    assert problem.minimisers(y, None).is_right.all()
    z = problem.decision_layer()(y)
    assert_allclose(z.detach(), [[0.0], [0.0], [0.5]], atol=1e-12)
    assert_allclose(torch.autograd.grad(z.sum(), y)[0], [[0.0], [0.0], [-1.0]], atol=1e-12)


def test_rows_that_are_no_numbers():
    problem = one_number(lambda x, p: p @ x + 0.5 * cp.sum_squares(x))
    z = torch.tensor([[1.0], [torch.nan], [2.0]], dtype=torch.float64)
    y = torch.tensor([[1.0], [1.0], [torch.nan]], dtype=torch.float64)
    assert_array_equal(problem.cost_rows(z, y), [1.5, np.nan, np.nan])
    assert problem.violation(np.zeros((0, 1))).shape == (0, 3)
