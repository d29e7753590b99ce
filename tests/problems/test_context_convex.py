"""Programs in cvxpy with parts of any shape, some of them read from the context."""

import pickle
from functools import partial

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog
from sklearn.base import clone

from dfl_sklearn._utils.digest import digest
from dfl_sklearn.problems import ConvexProgram, CvxpyProgram

from ..contracts import context_contract
from ..contracts.context_contract import table


def charging(limit=None, need=None):
    """Charge three batteries; the limits and the need are known, here as constants if given."""
    power, price = cp.Variable(3), cp.Parameter(3)
    context = []
    if limit is None:
        limit = cp.Parameter(3, name="limit", nonneg=True)
        context.append(limit)
    if need is None:
        need = cp.Parameter(name="need")
        context.append(need)
    cost = price @ power + 0.5 * cp.sum_squares(power)
    limits = [cp.sum(power) == need, power >= 0, power <= limit]
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), limits), price, power, context)


def test_it_is_the_program_with_constants_at_each_row(monkeypatch):
    rng = np.random.default_rng(0)
    y, group = rng.normal(size=(8, 3)), [0, 1, 2, 0, 1, 2, 3, 3]
    limits = rng.uniform(0.5, 1.5, (4, 3))[group]
    context = pd.DataFrame(limits, columns=["limit_0", "limit_1", "limit_2"])
    context["need"] = np.array([1.0, 0.7, 1.4, 0.0])[group]
    monkeypatch.setattr(
        context_contract, "at", lambda _, row: ConvexProgram(partial(charging, row[:3], row[3]))
    )
    problem = ConvexProgram(charging)
    assert problem.context_columns() == ["limit_0", "limit_1", "limit_2", "need"]
    context_contract.check_context_contract(problem, y, context, rtol=1e-7, atol=1e-7)


# -- shapes ----------------------------------------------------------------------------------


def deliver():
    """Deliver from two plants to three shops, or fall short."""
    x, short = cp.Variable((2, 3), nonneg=True), cp.Variable(3, nonneg=True)
    price, demand = cp.Parameter((2, 3)), cp.Parameter(3, nonneg=True)
    capacity = cp.Parameter(2, nonneg=True, name="capacity")
    penalty = cp.Parameter(nonneg=True, name="penalty")
    wear = cp.Parameter((2, 3), nonneg=True, name="wear")
    cost = cp.sum(cp.multiply(price, x)) + penalty * cp.sum(short) + cp.sum_squares(short)
    cost += cp.sum(cp.multiply(wear, cp.square(x)))
    limits = [cp.sum(x, axis=1) <= capacity, cp.sum(x, axis=0) + short == demand]
    parts = [price, demand], [x, short], [capacity, penalty, wear]
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), limits), *parts)


def deliver_as_lists(price, demand, capacity, penalty, wear):
    """Return the same decisions (9,), written down entry by entry and solved by SCS."""
    x = [[cp.Variable() for _ in range(3)] for _ in range(2)]
    short = [cp.Variable() for _ in range(3)]
    cells = [(i, j) for i in range(2) for j in range(3)]
    cost = sum(price[i][j] * x[i][j] + wear[i][j] * x[i][j] ** 2 for i, j in cells)
    cost += sum(penalty * each + each**2 for each in short)
    limits = [each >= 0 for each in [*x[0], *x[1], *short]]
    limits += [sum(x[i]) <= capacity[i] for i in range(2)]
    limits += [x[0][j] + x[1][j] + short[j] == demand[j] for j in range(3)]
    problem = cp.Problem(cp.Minimize(cost), limits)
    problem.solve(solver=cp.SCS, eps_abs=1e-9, eps_rel=1e-9)
    return np.array([float(each.value) for each in [*x[0], *x[1], *short]]), problem.value


@pytest.fixture(scope="module")
def deliveries():
    rng = np.random.default_rng(1)
    n = 5
    y = np.hstack([rng.uniform(0.5, 2, (n, 6)), rng.uniform(0.5, 2, (n, 3))])
    context = pd.DataFrame(rng.uniform(0.3, 1, (n, 6)), columns=WEAR)
    context["capacity_1"], context["capacity_0"] = rng.uniform(0.3, 2.5, (2, n))
    context["penalty"] = rng.uniform(2, 4, n)
    return ConvexProgram(deliver), y, context


WEAR = [f"wear_{i}_{j}" for i in range(2) for j in range(3)]


def test_matrices_and_several_of_each(deliveries):
    problem, y, context = deliveries
    assert problem.context_columns() == ["capacity_0", "capacity_1", "penalty", *WEAR]
    z = problem.solve(y, context=context)
    costs = problem.cost(z, y, context=context)
    used = z[:, :6].reshape(-1, 2, 3).sum(axis=2) / context[["capacity_0", "capacity_1"]]
    assert (used > 1 - 1e-6).any(axis=None)  # some capacities bind, others do not
    assert (used < 0.99).any(axis=None)
    for i, (_, row) in enumerate(context.iterrows()):
        expected, cost = deliver_as_lists(
            y[i, :6].reshape(2, 3),
            y[i, 6:],
            [row.capacity_0, row.capacity_1],
            row.penalty,
            row[WEAR].to_numpy().reshape(2, 3),
        )
        assert_allclose(z[i], expected, atol=1e-6)
        assert_allclose(costs[i], cost, rtol=1e-7)
    assert problem.is_feasible(z, y, context=context).all()
    # Another day's plan keeps to this day's capacity or not, but meets another demand.
    moved = np.roll(z, 1, axis=0)
    assert not problem.is_feasible(moved, y, context=context).any()
    within = (
        moved[:, :6].reshape(-1, 2, 3).sum(axis=2)
        <= context[["capacity_0", "capacity_1"]].to_numpy() + 1e-6
    ).all(axis=1)
    assert within.any()
    assert_array_equal(problem.is_feasible(moved, context=context), within)


def differences(function, y, step=1e-5):
    """Return the slopes (B, d) of a function of rows, by central differences."""
    slopes = torch.zeros_like(y)
    with torch.no_grad():
        for j in range(y.shape[1]):
            move = torch.zeros_like(y)
            move[:, j] = step
            slopes[:, j] = (function(y + move) - function(y - move)) / (2 * step)
    return slopes


def test_the_layer_and_the_cost_have_the_slopes_of_differences(deliveries):
    problem, y, context = deliveries
    known = torch.tensor(problem.context_rows(context, len(y)))
    y = torch.as_tensor(y).requires_grad_()
    upstream = torch.as_tensor(np.random.default_rng(0).normal(size=(len(y), 9)))
    layer = pickle.loads(pickle.dumps(problem.decision_layer()))
    z = layer(y, known)
    assert_allclose(z.detach(), problem.solve(y.detach(), context=context), atol=1e-4)
    (slope,) = torch.autograd.grad((z * upstream).sum(), y)
    expected = differences(lambda rows: (layer(rows, known) * upstream).sum(dim=1), y.detach())
    assert_allclose(slope, expected, atol=1e-2)  # cvxpylayers solves to about 1e-4
    # The cost in the decision and in y; there is none in the context.
    z, known = z.detach().requires_grad_(), known.requires_grad_()
    costs = problem.cost_rows(z, y, known)
    in_z, in_y, in_context = torch.autograd.grad(costs.sum(), [z, y, known], allow_unused=True)
    assert in_context is None
    held = z.detach()
    assert_allclose(costs.detach(), problem.cost(held, y.detach(), context=context))
    wear, penalty = known[:, 3:].detach(), known[:, 2:3].detach()
    assert_allclose(in_z[:, :6], y[:, :6].detach() + 2 * wear * held[:, :6], atol=1e-9)
    assert_allclose(in_z[:, 6:], penalty + 2 * held[:, 6:], atol=1e-9)
    assert_allclose(in_y[:, :6], held[:, :6], atol=1e-6)


def nearest_semidefinite():
    X, S = cp.Variable((3, 3), PSD=True), cp.Parameter((3, 3), symmetric=True)
    return CvxpyProgram(cp.Problem(cp.Minimize(cp.sum_squares(X - S))), S, X)


def test_a_semidefinite_matrix_is_decided():
    rng = np.random.default_rng(0)
    S = rng.normal(size=(4, 3, 3))
    S = (S + S.transpose(0, 2, 1)) / 2
    values, vectors = np.linalg.eigh(S)
    best = (vectors * np.maximum(values, 0)[:, None]) @ vectors.transpose(0, 2, 1)
    problem = ConvexProgram(nearest_semidefinite)
    found = problem.solve(S.reshape(4, 9))
    assert_allclose(found, best.reshape(4, 9), atol=1e-6)
    assert problem.is_feasible(found).all()
    assert not problem.is_feasible(S.reshape(4, 9)).any()
    # The slope in a symmetric pair of entries, which move together.
    layer, y = problem.decision_layer(), torch.as_tensor(S.reshape(4, 9)).requires_grad_()
    upstream = torch.as_tensor(rng.normal(size=(4, 9)))
    (slope,) = torch.autograd.grad((layer(y) * upstream).sum(), y)
    with torch.no_grad():
        for pair in ([0], [1, 3], [2, 6], [4], [5, 7], [8]):
            move = torch.zeros_like(y)
            move[:, pair] = 1e-5
            change = ((layer(y + move) - layer(y - move)) * upstream).sum(dim=1) / 2e-5
            assert_allclose(slope[:, pair].sum(dim=1), change, atol=1e-3)
    with pytest.raises(ValueError, match=r"Row 0 of y, .* cannot be .* must be symmetric"):
        problem.solve([[1.0, 2, 0, 0, 1, 0, 0, 0, 1]])


def blend():
    """A linear program: buy at predicted prices what a matrix of known contents requires."""
    z, price = cp.Variable(4), cp.Parameter(4)
    contents, need = cp.Parameter((2, 4)), cp.Parameter(2)
    limits = [contents @ z >= need, z >= 0, z <= 5]
    return CvxpyProgram(cp.Problem(cp.Minimize(price @ z), limits), price, z, (contents, need))


def test_known_matrices_of_a_linear_program_against_scipy():
    rng = np.random.default_rng(0)
    y, contents = rng.uniform(1, 3, (6, 4)), rng.uniform(0, 2, (6, 2, 4))
    need = rng.uniform(1, 3, (6, 2))
    context = np.hstack([contents.reshape(6, 8), need])
    problem = ConvexProgram(blend)
    assert problem.context_columns() == list(range(10))
    z = problem.solve(y, context=context)
    for i in range(6):
        expected = linprog(y[i], A_ub=-contents[i], b_ub=-need[i], bounds=(0, 5))
        assert_allclose(z[i], expected.x, atol=1e-8)
    with pytest.raises(ValueError, match="reads 10 columns of the context, which has 11: give the"):
        problem.solve(y, context=np.hstack([context, need[:, :1]]))


# -- what is multiplied ----------------------------------------------------------------------


def order():
    """Order for a predicted demand; what a unit short costs is known, and multiplies it."""
    z, demand = cp.Variable(2), cp.Parameter(2)
    under, over = cp.Parameter(2, nonneg=True, name="under"), cp.Parameter(nonneg=True, name="over")
    cost = under @ cp.square(cp.pos(demand - z)) + over * cp.sum_squares(z)
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), [z >= 0]), demand, z, [under, over])


def test_a_product_of_the_known_and_the_predicted_has_a_layer_for_each_context():
    problem = ConvexProgram(order)
    context = table(under_0=[4.0, 1, 4, 2], under_1=[1.0, 1, 1, 9], over=[1.0, 3, 1, 1])
    y = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.5, 4.0], [2.0, 2.0]], dtype=torch.float64)
    known = torch.tensor(problem.context_rows(context, 4))
    under, over = known[:, :2], known[:, 2:]
    share = under / (under + over)
    assert_allclose(problem.solve(y, context=context), share * y, atol=1e-6)
    layer = problem.decision_layer()
    z = layer(y.requires_grad_(), known)
    assert_allclose(z.detach(), share * y.detach(), atol=1e-3)
    (slope,) = torch.autograd.grad(z.sum(), y)
    assert_allclose(slope, share, atol=2e-2)  # cvxpylayers solves to about 1e-4


def risk():
    """A covariance that is known, in a quadratic form."""
    w, returns = cp.Variable(2), cp.Parameter(2)
    covariance = cp.Parameter((2, 2), PSD=True, name="covariance")
    worth = returns @ w - 0.5 * cp.quad_form(w, covariance)
    return CvxpyProgram(cp.Problem(cp.Maximize(worth), [w >= -9, w <= 9]), returns, w, covariance)


def test_a_known_covariance():
    problem = ConvexProgram(risk)
    matrices = np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 3.0]]])
    columns = [f"covariance_{i}_{j}" for i in range(2) for j in range(2)]
    context = pd.DataFrame(matrices.reshape(2, 4), columns=columns)
    y = np.array([[1.0, 2.0], [0.5, -1.0]])
    best = np.linalg.solve(matrices, y[:, :, None])[:, :, 0]
    assert_allclose(problem.solve(y, context=context), best, atol=1e-8)
    assert_allclose(
        problem.cost(best, y, context=context),
        np.einsum("ni,nij,nj->n", best, matrices, best) / 2 - (y * best).sum(axis=1),
    )
    layer, tensor = problem.decision_layer(), torch.as_tensor(y).requires_grad_()
    z = layer(tensor, torch.tensor(context.to_numpy()))
    (slope,) = torch.autograd.grad(z.sum(), tensor)
    assert_allclose(slope, np.linalg.inv(matrices).sum(axis=1), atol=1e-3)
    context.loc[1, "covariance_1_1"] = -3.0
    with pytest.raises(
        ValueError,
        match=r"^Row 1 of the context .*'covariance': columns 'covariance_0_0' to 'covariance_1_1' "
        r"are \[\[1.0, -0.3\], \[-0.3, -3.0\]\]. Parameter value must be positive semidefinite",
    ):
        problem.solve(y, context=context)


def product_of_what_is_predicted():
    z, a, b = cp.Variable(), cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
    known = cp.Parameter(name="known")
    return CvxpyProgram(cp.Problem(cp.Minimize(cp.square(z - known) * (a * b))), [a, b], z, known)


def test_a_product_of_what_is_predicted_has_no_layer():
    problem = ConvexProgram(product_of_what_is_predicted)
    assert_allclose(problem.solve([[1.0, 2.0]], context=table(known=[3.0])), [[3.0]], atol=1e-6)
    with pytest.raises(ValueError, match="does not follow cvxpy's rules for parameters"):
        problem.decision_layer()


# -- other variables -------------------------------------------------------------------------


def two_stages():
    """Order now at a known price; demand beyond the order is bought later."""
    now, late, demand = cp.Variable(2), cp.Variable(2), cp.Parameter(2)
    price, most = cp.Parameter(name="price"), cp.Parameter(2, name="most", nonneg=True)
    cost = price * cp.sum(now) + 3 * cp.sum(late)
    limits = [now >= 0, late >= 0, now + late >= demand, now <= most]
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), limits), demand, now, [price, most])


def test_other_variables_take_their_best_values_under_the_context():
    problem = ConvexProgram(two_stages)
    y = np.array([[1.0, 3.0], [5.0, 1.0], [2.0, 2.0]])
    context = table(price=[1.0, 1.0, 4.0], most_0=[4.0, 2.0, 4.0], most_1=[2.0, 4.0, 4.0])
    z = problem.solve(y, context=context)
    assert_allclose(z, [[1, 2], [2, 1], [0, 0]], atol=1e-8)
    assert_allclose(problem.cost(z, y, context=context), [6, 12, 12], rtol=1e-8)
    held = np.array([[0.5, 1.0]])
    expected = context.price * 1.5 + 3 * np.maximum(y - held, 0).sum(axis=1)
    assert_allclose(problem.cost(held, y, context=context), expected)
    assert problem.is_feasible([[3.0, 1.0]] * 3, context=context).tolist() == [True, False, True]
    tensor = torch.tensor([[0.5, 1.0]] * 3, dtype=torch.float64, requires_grad=True)
    problem.cost(tensor, torch.as_tensor(y), context=context).sum().backward()
    slope = context.price.to_numpy()[:, None] - 3.0 * (y > [0.5, 1.0])
    slope[1, 1] = tensor.grad[1, 1]  # at the kink
    assert_allclose(tensor.grad, slope, atol=1e-8)
    with pytest.raises(ValueError, match=r"The decision of row 1 misses .* <= most\) by 1"):
        problem.cost([[3.0, 1.0]] * 3, y, context=context)


# -- edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [1e9, 1e13, 1e30, 1e300])
def test_a_limit_that_stands_for_none(far):
    problem = ConvexProgram(charging)
    limit = {f"limit_{j}": [far, 1.0, 0.0] for j in range(3)}
    z = problem.solve([[-1.0, 1.0, 0.0]] * 3, context=table(**limit, need=[3.0, 2.0, 0.0]))
    assert_allclose(z, [[2, 0, 1], [1, 0, 1], [0, 0, 0]], atol=1e-7)


def test_a_row_without_a_decision_is_named():
    problem = ConvexProgram(charging)
    limit = {f"limit_{j}": [1.0] * 3 for j in range(3)}
    context = table(**limit, need=[1.0, 1.0, 4.0])
    y = torch.zeros((3, 3), dtype=torch.float64)
    y[0, 0] = torch.nan
    known = torch.tensor(problem.context_rows(context, 3))
    with pytest.raises(
        ValueError, match=r"^No decision .* for row 2 of y and the context\. .* missed: "
    ):
        problem.solve(np.zeros((3, 3)), context=context)
    layer = problem.decision_layer()
    for rows in (y, y.clone().requires_grad_()):
        with pytest.raises(
            ValueError, match=r"for row 2 of a .* context \[1.0, 1.0, 1.0, 4.0\]: No"
        ):
            layer(rows, known)
    known[2, 3] = 1.0
    known[1, 0] = torch.nan
    for rows in (y, y.clone().requires_grad_()):
        z = layer(rows, known)
        assert torch.isfinite(z).all(dim=1).tolist() == [False, False, True]
    with pytest.raises(ValueError, match=r"takes a context of shape \(3, 4\), got none"):
        layer(y)
    with pytest.raises(ValueError, match=r"takes a context of shape \(3, 4\), got \(2, 4\)"):
        layer(y, known[:2])


def test_numbers_in_float32_and_of_another_solver():
    context = table(limit_0=[1.0], limit_1=[1.0], limit_2=[1.0], need=[1.5])
    y = np.array([[-1.0, 0.5, 0.2]])
    best = ConvexProgram(charging).solve(y, context=context)
    other = ConvexProgram(charging, solver="CLARABEL")
    assert_allclose(other.solve(y, context=context), best, atol=1e-5)
    tensor = torch.as_tensor(y, dtype=torch.float32).requires_grad_()
    known = torch.tensor(other.context_rows(context, 1), dtype=torch.float32)
    z = other.decision_layer()(tensor, known)
    assert z.dtype == torch.float32
    cost = other.cost_rows(z, tensor, known)
    assert cost.dtype == torch.float32
    assert_allclose(cost.detach(), other.cost(best, y, context=context), atol=1e-3)


def test_it_is_a_parameter_object():
    problem = ConvexProgram(charging)
    assert problem.takes_context
    assert digest(problem) == digest(clone(problem)) == digest(ConvexProgram(charging))
    assert digest(problem) != digest(ConvexProgram(deliver))
