"""Linear and quadratic programs whose costs and right-hand sides are affine in parameters."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linprog

from dfl_sklearn.solvers.parametric_program import ParametricProgram
from dfl_sklearn.solvers.standard_form import StandardForm

from .quadratic import optimality

N_PARAMETERS = 3


def draw(rng, kind):
    """Return a standard form that is feasible near p = 0: "linear", "diagonal" or "full"."""
    n = int(rng.integers(2, 8))
    p, m = int(rng.integers(0, min(3, n))), int(rng.integers(1, 8))
    A, inside = rng.normal(size=(p + m, n)), rng.uniform(0, 2, n)
    if rng.random() < 0.5:
        A = np.round(A)
    limits = np.concatenate([-np.eye(n), np.eye(n)])
    if rng.random() < 0.3:
        limits = np.concatenate([limits, 2 * limits[:1]])  # twice the same bound
    sides = np.concatenate([A @ inside, limits @ inside])
    sides[p:] += rng.uniform(0, 2, len(sides) - p)
    A = np.concatenate([A, limits])
    moves = 0.05 * rng.normal(size=(N_PARAMETERS, len(sides)))
    if p and rng.random() < 0.3:  # an equation that follows from the others
        A = np.concatenate([A[:p].sum(axis=0)[None], A])
        sides = np.concatenate([[sides[:p].sum()], sides])
        moves = np.concatenate([moves[:, :p].sum(axis=1)[:, None], moves], axis=1)
        p += 1
    P = np.zeros((n, n))
    if kind == "diagonal":
        P = np.diag(rng.uniform(0, 1, n) * (rng.random(n) < 0.5))
    elif kind == "full":
        root = rng.normal(size=(max(1, n // 2), n))
        P = root.T @ root
    return StandardForm(
        sparse.csc_array(P),
        sparse.csr_array(A),
        p,
        rng.normal(size=(N_PARAMETERS + 1, n)),
        np.concatenate([moves, sides[None]]),
        np.zeros(N_PARAMETERS + 1),
    )


def numbers(form, row):
    """Return c and b at a row of parameters."""
    row = np.append(row, 1.0)
    return row @ form.costs, row @ form.sides


def missed(form, c, b, x):
    """Return by how much x misses the conditions of optimality."""
    p, n = form.n_equations, len(c)
    A = form.A.toarray()
    arguments = {"quadratic": form.P.toarray(), "A_eq": A[:p], "b_eq": b[:p]}
    ends = {"A_ub": A[p:], "b_ub": b[p:], "lower": np.full(n, -np.inf), "upper": np.full(n, np.inf)}
    return max(optimality({**arguments, **ends}, c, x))


@pytest.mark.parametrize("kind", ["linear", "diagonal", "full"])
def test_what_is_found_is_best_and_has_the_slopes_of_differences(kind):
    n_solved, n_rows, step = 0, 0, 1e-6
    for seed in range(20):
        rng = np.random.default_rng(seed)
        form = draw(rng, kind)
        program = ParametricProgram(form)
        parameters = torch.tensor(rng.normal(size=(3, N_PARAMETERS)), requires_grad=True)
        found = program.solve(parameters)
        n_solved, n_rows = n_solved + int(found.is_solved.sum()), n_rows + 3
        assert not (found.is_unique & ~found.is_solved).any()
        weight = torch.as_tensor(rng.normal(size=found.x.shape[1]))
        sums = [(found.x * weight).sum(dim=1), found.value]
        slopes = [
            torch.autograd.grad(each[found.is_solved].sum(), parameters, retain_graph=True)[0]
            for each in sums
        ]
        for i in np.flatnonzero(found.is_solved):
            c, b = numbers(form, parameters[i].detach().numpy())
            x, value = found.x[i].detach().numpy(), float(found.value[i].detach())
            assert missed(form, c, b, x) < 1e-7
            assert_allclose(value, 0.5 * x @ (form.P @ x) + c @ x, rtol=1e-9, atol=1e-9)
        moves = step * torch.eye(N_PARAMETERS, dtype=torch.float64)
        for j, move in enumerate(moves):
            right, left = (program.solve(parameters.detach() + s * move) for s in (1, -1))
            smooth = found.is_unique & right.is_unique & left.is_unique
            for k, (one, middle, other) in enumerate(
                (
                    ((right.x * weight).sum(dim=1), sums[0], (left.x * weight).sum(dim=1)),
                    (right.value, sums[1], left.value),
                )
            ):
                bend = (one - 2 * middle.detach() + other).abs() / step
                here = smooth & (bend < 1e-4)
                difference = (one - other) / (2 * step)
                assert_allclose(slopes[k][here, j], difference[here], rtol=1e-4, atol=1e-4)
    assert n_solved > 0.9 * n_rows


def test_linear_programs_with_status_of_scipy():
    statuses = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        form = draw(rng, "linear")
        row = 8 * rng.normal(size=N_PARAMETERS)  # far enough out for some to be empty
        found = ParametricProgram(form).solve(torch.as_tensor(row[None]))
        (c, b), A, p = numbers(form, row), form.A.toarray(), form.n_equations
        equations = {"A_eq": A[:p], "b_eq": b[:p]} if p else {}
        theirs = linprog(c, A_ub=A[p:], b_ub=b[p:], bounds=(None, None), **equations)
        statuses.append(theirs.status)
        if found.is_solved[0]:
            assert theirs.status == 0
            assert_allclose(found.value[0], theirs.fun, rtol=1e-8, atol=1e-8)
        elif theirs.status != 0:
            assert torch.isnan(found.x).all()
            assert torch.isnan(found.value).all()
    assert {0, 2} <= set(statuses)


@pytest.mark.parametrize("kind", ["linear", "diagonal", "full"])
def test_a_row_does_not_depend_on_the_others(kind):
    rng = np.random.default_rng(1)
    program = ParametricProgram(draw(rng, kind))
    parameters = torch.as_tensor(rng.normal(size=(7, N_PARAMETERS)))
    together = program.solve(parameters)
    for i in range(7):
        for one, of_all in zip(program.solve(parameters[i : i + 1]), together, strict=True):
            assert_array_equal(one[0], of_all[i])
    program._at_a_time = 2
    for one, of_all in zip(program.solve(parameters), together, strict=True):
        assert_array_equal(one, of_all)


def test_several_minimisers_are_one_value():
    """Both variables cost the same."""
    form = StandardForm(
        sparse.csc_array((2, 2)),
        sparse.csr_array([[-1.0, -1.0], [-1.0, 0.0], [0.0, -1.0]]),
        0,
        np.array([[0.0, 0.0], [3.0, 3.0]]),
        np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        np.zeros(2),
    )
    need = torch.tensor([[2.0], [5.0]], dtype=torch.float64, requires_grad=True)
    found = ParametricProgram(form).solve(need)
    assert found.is_solved.all()
    assert not found.is_unique.any()
    assert_allclose(found.value.detach(), [6.0, 15.0])
    assert_allclose(torch.autograd.grad(found.value.sum(), need)[0], [[3.0], [3.0]])


def test_rows_that_have_no_numbers_or_no_solution():
    form = StandardForm(
        sparse.csc_array(np.eye(1)),
        sparse.csr_array([[1.0], [-1.0], [0.0]]),
        0,
        np.array([[0.0], [0.0], [-9.0]]),
        np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),  # 0 <= x <= p_0, 0 <= p_1
        np.zeros(3),
    )
    rows = [[2.0, 0.0], [-1.0, 0.0], [2.0, -1.0], [np.nan, 0.0], [3.0, 1.0]]
    parameters = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    found = ParametricProgram(form).solve(parameters)
    assert_array_equal(found.is_solved, [True, False, False, False, True])
    assert_array_equal(found.x[found.is_solved].detach(), [[2.0], [3.0]])
    assert torch.isnan(found.x[~found.is_solved]).all()
    slope = torch.autograd.grad(found.x[found.is_solved].sum(), parameters)[0]
    assert_allclose(slope, [[1, 0], [0, 0], [0, 0], [0, 0], [1, 0]])


def test_other_variables_with_the_decided_ones_as_parameters():
    form = draw(np.random.default_rng(3), "full")
    n = form.A.shape[1]
    decided = np.array([1, 0])
    rest = form.held(decided)
    best = ParametricProgram(form).solve(torch.zeros((1, N_PARAMETERS), dtype=torch.float64))
    z = best.x[:, decided]
    row = torch.cat([torch.zeros((1, N_PARAMETERS), dtype=torch.float64), z], dim=1)
    found = ParametricProgram(rest).solve(row)
    assert_allclose(found.x, best.x[:, 2:n], atol=1e-8)
    z, P = z[0].numpy(), form.P.toarray()[np.ix_(decided, decided)]
    own = form.costs[-1, decided] @ z + 0.5 * z @ P @ z
    assert_allclose(found.value[0] + own, best.value[0], atol=1e-8)


def test_limits_far_from_costs_and_from_0():
    """x is at least p; neither is that left out for being far, nor is it taken for no limit."""
    for quadratic in (0.0, 1.0):
        form = StandardForm(
            sparse.csc_array([[quadratic]]),
            sparse.csr_array([[-1.0]]),
            0,
            np.array([[0.0], [1e-6]]),
            np.array([[-1.0], [0.0]]),
            np.zeros(2),
        )
        p = torch.tensor([[1.8e8], [1.0], [3e12]], dtype=torch.float64)
        found = ParametricProgram(form).solve(p)
        for _ in range(3):
            assert_array_equal(ParametricProgram(form).solve(p).is_solved, found.is_solved)
        assert_array_equal(found.x[found.is_solved], p[found.is_solved])
        assert found.is_solved[:2].all()
