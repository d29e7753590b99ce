import pickle

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import null_space

from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.layers.quadratic_program import Minimiser
from dfl_sklearn.solvers import quadratic_programs

from ..solvers.quadratic import draw, optimality


def random_program(seed, n, n_equal, n_rows, full, is_bounded=True):
    """A feasible program, as keyword arguments of the layer."""
    rng = np.random.default_rng(seed)
    inside = rng.uniform(0.2, 0.8, n)
    A, G = rng.standard_normal((n_equal, n)), rng.standard_normal((n_rows, n))
    factor = rng.standard_normal((n, n))
    lower = np.zeros(n) if is_bounded else np.where(rng.uniform(size=n) < 0.5, -np.inf, 0.0)
    upper = np.ones(n) if is_bounded else np.where(rng.uniform(size=n) < 0.5, np.inf, 1.0)
    return {
        "quadratic": factor @ factor.T / n + 0.1 * np.eye(n) if full else rng.uniform(0.1, 1, n),
        "A_eq": A,
        "b_eq": A @ inside,
        "A_ub": G,
        "b_ub": G @ inside + rng.uniform(0, 0.5, n_rows),
        "lower": lower,
        "upper": upper,
    }


def by_cvxpy(program, costs):
    """Return the minimiser for each row of costs."""
    c = cp.Parameter(costs.shape[1])
    z = cp.Variable(costs.shape[1])
    Q = program["quadratic"]
    square = cp.quad_form(z, cp.psd_wrap(Q)) if Q.ndim == 2 else Q @ cp.square(z)
    low, high = np.isfinite(program["lower"]), np.isfinite(program["upper"])
    constraints = [z[low] >= program["lower"][low], z[high] <= program["upper"][high]]
    if len(program["A_eq"]):
        constraints.append(program["A_eq"] @ z == program["b_eq"])
    if len(program["A_ub"]):
        constraints.append(program["A_ub"] @ z <= program["b_ub"])
    problem = cp.Problem(cp.Minimize(square / 2 + c @ z), constraints)
    found = []
    for c.value in costs:
        problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
        found.append(z.value)
    return np.array(found)


PROGRAMS = {
    "bounds": (4, 0, 0, False),
    "one of everything": (3, 1, 1, False),
    "equations, full": (12, 4, 0, True),
    "rows": (12, 0, 9, False),
    "all": (20, 6, 12, False),
    "all, full": (20, 6, 12, True),
    "larger": (60, 20, 30, False),
}


@pytest.mark.parametrize("shape", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("is_bounded", [True, False])
def test_agrees_with_cvxpy(shape, is_bounded):
    program = random_program(0, *shape, is_bounded)
    c = 3 * np.random.default_rng(1).standard_normal((6, shape[0]))
    z = QuadraticProgramLayer(**program)(torch.as_tensor(c)).numpy()
    assert_allclose(z, by_cvxpy(program, c), atol=1e-6)
    assert_allclose(z @ program["A_eq"].T, np.tile(program["b_eq"], (6, 1)), atol=1e-9)
    assert (z @ program["A_ub"].T <= program["b_ub"] + 1e-9).all()
    assert (z >= program["lower"]).all()
    assert (z <= program["upper"]).all()


@pytest.mark.parametrize("shape", PROGRAMS.values(), ids=PROGRAMS)
def test_gradient_agrees_with_the_conditions_of_the_active_set(shape):
    program = random_program(2, *shape)
    layer = QuadraticProgramLayer(**program)
    rng = np.random.default_rng(3)
    c = torch.as_tensor(3 * rng.standard_normal((40, shape[0]))).requires_grad_()
    upstream = rng.standard_normal(c.shape)
    z = layer(c)
    (gradient,) = torch.autograd.grad(z, c, torch.as_tensor(upstream))
    n, Q = shape[0], program["quadratic"]
    Q = np.diag(Q) if Q.ndim == 1 else Q
    bounds = np.concatenate([program["A_ub"], -np.eye(n), np.eye(n)])
    limits = np.concatenate([program["b_ub"], -program["lower"], program["upper"]])
    n_compared = 0
    for row, found in enumerate(z.detach().numpy()):
        slack = limits - bounds @ found
        if ((slack > 1e-8) & (slack < 1e-3)).any():
            continue  # next to a row in which another constraint becomes active
        ways = null_space(np.concatenate([program["A_eq"], bounds[slack <= 1e-8]]))
        expected = -ways @ np.linalg.solve(ways.T @ Q @ ways, ways.T @ upstream[row])
        assert_allclose(gradient[row], expected, rtol=1e-5, atol=1e-5)
        n_compared += 1
    assert n_compared >= 20


def test_equality_programs_in_closed_form():
    # min |z|^2 / 2 + c z over sum z = 1: z = (1 - c + mean c - ...) / n.
    c = np.random.default_rng(0).standard_normal((5, 4))
    layer = QuadraticProgramLayer(np.ones(4), np.ones((1, 4)), [1.0])
    expected = -c + c.mean(axis=1, keepdims=True) + 0.25
    tensor = torch.as_tensor(c).requires_grad_()
    z = layer(tensor)
    assert_allclose(z.detach(), expected, atol=1e-12)
    (gradient,) = torch.autograd.grad(z[:, 0].sum(), tensor)
    assert_allclose(gradient, np.tile([-0.75, 0.25, 0.25, 0.25], (5, 1)), atol=1e-12)


def test_autograd_in_both_kinds_of_matrix():
    for full in (False, True):
        layer = QuadraticProgramLayer(**random_program(5, 5, 1, 2, full))
        c = torch.as_tensor(np.random.default_rng(6).standard_normal((2, 5))).requires_grad_()
        assert torch.autograd.gradcheck(layer, (c,), eps=1e-4, atol=1e-3, rtol=1e-3)


def test_diagonal_and_full_matrix_agree_and_so_do_sparse_constraints():
    # A matching of 6 x 6: sparse rows take the short way, a full matrix the long one.
    n = 6
    rows = np.concatenate([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    c = torch.as_tensor(np.random.default_rng(0).standard_normal((3, n * n)))
    bounds = {"A_ub": rows, "b_ub": np.ones(2 * n), "lower": 0.0}
    sparse = QuadraticProgramLayer(np.full(n * n, 0.1), **bounds)
    assert sparse.program.matrices.pairs is not None
    full = QuadraticProgramLayer(0.1 * np.eye(n * n), **bounds)
    tensors = [c.clone().requires_grad_() for _ in range(2)]
    found = [layer(each) for layer, each in zip((sparse, full), tensors, strict=True)]
    assert_allclose(found[0].detach(), found[1].detach(), atol=1e-7)
    slopes = [
        torch.autograd.grad((z**2).sum(), each)[0] for z, each in zip(found, tensors, strict=True)
    ]
    assert_allclose(slopes[0], slopes[1], atol=1e-5)


def test_fixed_variables_and_redundant_equations():
    program = random_program(7, 8, 2, 3, True)
    program["lower"][2] = program["upper"][2] = 0.4
    twice = {
        **program,
        "A_eq": np.concatenate([program["A_eq"], program["A_eq"].sum(axis=0, keepdims=True)]),
        "b_eq": np.append(program["b_eq"], program["b_eq"].sum()),
    }
    c = np.random.default_rng(8).standard_normal((4, 8))
    tensor = torch.as_tensor(c).requires_grad_()
    z = QuadraticProgramLayer(**twice)(tensor)
    assert_allclose(z.detach(), by_cvxpy(program, c), atol=1e-6)
    (gradient,) = torch.autograd.grad(z.sum(), tensor)
    assert (gradient[:, 2] == 0).all()


def test_scale_dtype_and_the_size_of_the_parameters():
    program = random_program(9, 6, 1, 2, False)
    c = torch.as_tensor(np.random.default_rng(10).standard_normal((4, 6)))
    layer, turned = QuadraticProgramLayer(**program), QuadraticProgramLayer(**program, scale=-1.0)
    assert_allclose(layer(c), turned(-c), atol=1e-12)
    assert layer(c.float()).dtype == torch.float32
    assert_allclose(layer(c.float()), layer(c), atol=1e-5)
    for size in (1e-6, 1e6):  # down to a plain projection, up to a vertex
        huge = (c * size).numpy()
        assert_allclose(layer(c * size), by_cvxpy(program, huge), atol=2e-5)
    assert layer(c[:0]).shape == (0, 6)
    assert_allclose(pickle.loads(pickle.dumps(layer))(c), layer(c))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quadratic": np.zeros(6)}, "positive definite; its least eigenvalue is 0"),
        ({"quadratic": np.ones((6, 5))}, r"shape \(n,\) or \(n, n\), got \(6, 5\)"),
        ({"quadratic": 2.0}, r"shape \(n,\) or \(n, n\), got \(\)"),
        ({"quadratic": np.full(6, np.nan)}, "quadratic must be finite"),
        ({"quadratic": np.tri(6) + 5 * np.eye(6)}, "quadratic must be symmetric"),
        ({"lower": [np.nan] + [0.0] * 5}, r"lower\[0\] is nan, which is no bound"),
        ({"lower": np.inf}, r"lower\[0\] is inf, which is no bound"),
        ({"b_eq": [np.inf]}, "Row 0 of A_eq and b_eq is not finite"),
        ({"b_ub": [0.0, np.nan]}, "Row 1 of A_ub and b_ub is not finite"),
        (
            {"A_eq": [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]], "b_eq": [1.0, 2.0]},
            "equations contradict one another",
        ),
        ({"A_eq": None}, "A_eq and b_eq must be given together"),
        ({"b_ub": np.zeros(3)}, r"A_ub and b_ub must have shapes \(m, 6\) and \(m,\)"),
        ({"lower": np.full(6, 2.0)}, r"lower\[0\] = 2.0 is above upper\[0\] = 1.0"),
        (
            {"A_eq": np.ones((2, 6)), "b_eq": [1.0, 2.0]},
            "equations contradict one another: row [01] does not hold",
        ),
    ],
)
def test_what_makes_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        QuadraticProgramLayer(**{**random_program(0, 6, 1, 2, False), **change})


def test_no_solution_names_the_row(monkeypatch):
    # Two inequalities that exclude one another.
    with pytest.raises(ValueError, match="The constraints contradict one another"):
        QuadraticProgramLayer(
            np.ones(2), A_ub=[[1.0, 1.0], [-1.0, -1.0]], b_ub=[1.0, -2.0], lower=0.0
        )
    layer = QuadraticProgramLayer([1.0, 1.0], lower=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(quadratic_programs, "_TOLERANCE", -1.0)  # nothing is exact enough
        patch.setattr(quadratic_programs, "_held_by", lambda *arguments: None)
        with pytest.raises(RuntimeError, match="quadratic program of row 1 could not be solved"):
            layer(torch.tensor([[np.nan, 0.0], [-5.0, 2.0]], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"shape \(B, 2\), got \(2, 3\)"):
        layer(torch.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(B, 2\), got \(2,\)"):
        layer(torch.zeros(2))
    with pytest.raises(TypeError, match=r"floating-point parameters, got torch\.int64"):
        layer(torch.zeros((1, 2), dtype=torch.int64))


def test_a_row_that_is_not_finite_is_nan_and_the_others_are_not():
    for quadratic in (np.ones(3), np.eye(3)):
        layer = QuadraticProgramLayer(quadratic, np.ones((1, 3)), [1.0], lower=0.0)
        c = torch.tensor([[0.0, 0.0, 0.0], [0.0, np.nan, 0.0], [0.0, np.inf, 0.0]]).requires_grad_()
        z = layer(c)
        assert_allclose(z[0].detach(), 1 / 3, atol=1e-6)
        assert z[1:].isnan().all()
        (gradient,) = torch.autograd.grad(z[0, 0], c)
        assert_allclose(gradient, [[-2 / 3, 1 / 3, 1 / 3], [0, 0, 0], [0, 0, 0]], atol=1e-6)


def test_the_unit_of_a_constraint_and_a_common_level_do_not_matter():
    c = torch.as_tensor(np.random.default_rng(0).standard_normal((5, 3)))
    rows = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    unit = np.array([1e6, 1e-5])
    plain = QuadraticProgramLayer(np.ones(3), rows, [1.0, 1.0], lower=0.0)
    scaled = QuadraticProgramLayer(np.ones(3), rows * unit[:, None], unit, lower=0.0)
    assert_allclose(scaled(c), plain(c), atol=1e-9)
    level = torch.tensor(rows.sum(axis=0))  # a direction that the equations fix
    assert_allclose(plain(c + 1e6 * level), plain(c), atol=1e-8)
    huge = QuadraticProgramLayer(np.ones(2), A_ub=[[1e12, 1e12]], b_ub=[1e12], lower=0.0)
    assert_allclose(huge(torch.full((1, 2), -1.0)), [[0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize(
    "constraints",
    [
        # A sum of non-negative numbers that must be 0.
        {"A_eq": [[1.0, 1.0, 0.0]], "b_eq": [0.0], "lower": 0.0, "upper": 2.0},
        # Two inequalities that leave an equation, and one that leaves a bound.
        {"A_ub": [[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]], "b_ub": [1.0, -1.0], "lower": -1.0},
        {"A_ub": [[0.0, 0.0, 1.0]], "b_ub": [-1.0], "lower": -1.0, "upper": 4.0},
        # A single point.
        {"A_ub": [[-1.0, -1.0, -1.0]], "b_ub": [-6.0], "lower": 0.0, "upper": 2.0},
    ],
)
def test_constraints_without_an_interior(constraints):
    rng = np.random.default_rng(0)
    c = rng.normal(size=(6, 3))
    layer = QuadraticProgramLayer([1.0, 2.0, 0.5], **constraints)
    found = layer(torch.tensor(c)).numpy()
    z, linear = cp.Variable(3), cp.Parameter(3)
    limits = []
    if "A_eq" in constraints:
        limits.append(np.array(constraints["A_eq"]) @ z == constraints["b_eq"])
    if "A_ub" in constraints:
        limits.append(np.array(constraints["A_ub"]) @ z <= constraints["b_ub"])
    limits += [z >= constraints["lower"], z <= constraints.get("upper", 1e3)]
    cost = 0.5 * cp.sum_squares(cp.multiply(np.sqrt([1.0, 2.0, 0.5]), z)) + linear @ z
    program = cp.Problem(cp.Minimize(cost), limits)
    for row, decision in zip(c, found, strict=True):
        linear.value = row
        program.solve(solver="CLARABEL")
        assert_allclose(decision, z.value, atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "capacity", "row"),
    [
        # A correction that overshoots goes round in circles on these.
        ([3.0, 4.0, 5.0, 1.0], 7.0, [-0.79557301, 0.84422572, 0.03373818, 1.91307518]),
        ([2.0, 3.0, 4.0, 5.0], 7.0, [0.3, 1.0, 2.0, 2.5]),
    ],
)
def test_degenerate_vertices(weights, capacity, row):
    for size in (1e-3, 0.1, 1.0):
        layer = QuadraticProgramLayer(
            np.full(4, size), A_ub=[weights], b_ub=[capacity], lower=0.0, upper=1.0, scale=-1.0
        )
        c = torch.tensor([row], dtype=torch.float64)
        decisions = layer(c).numpy()[0]
        z = cp.Variable(4)
        cost = 0.5 * size * cp.sum_squares(z) - np.array(row) @ z
        limits = [np.array(weights) @ z <= capacity, z >= 0, z <= 1]
        cp.Problem(cp.Minimize(cost), limits).solve(solver="CLARABEL")
        assert_allclose(decisions, z.value, atol=1e-5)


def test_nothing_to_constrain_and_nothing_free():
    c = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    free = QuadraticProgramLayer([1.0, 2.0], A_ub=[[1.0, 1.0]], b_ub=[np.inf])
    assert_allclose(free(c), [[-1.0, 1.0]], atol=1e-12)
    fixed = QuadraticProgramLayer([1.0, 2.0], lower=[0.5, 1.0], upper=[0.5, 1.0])
    assert_allclose(fixed(c), [[0.5, 1.0]])
    with pytest.raises(ValueError, match="contradict"):
        QuadraticProgramLayer([1.0, 2.0], [[1.0, 1.0]], [3.0], lower=1.0, upper=1.0)


@pytest.mark.parametrize("shape", PROGRAMS.values(), ids=PROGRAMS)
def test_it_does_not_matter_where_the_interior_point_method_stops(shape):
    program = random_program(4, *shape)
    c = torch.as_tensor(3 * np.random.default_rng(5).standard_normal((20, shape[0])))
    exact = QuadraticProgramLayer(**program)(c)
    for max_iter in (11, 14):
        assert_array_equal(QuadraticProgramLayer(**program, max_iter=max_iter)(c), exact)


@pytest.mark.parametrize("shape", PROGRAMS.values(), ids=PROGRAMS)
def test_a_row_has_the_same_bits_whatever_is_beside_it(shape):
    layer, rng = QuadraticProgramLayer(**random_program(4, *shape)), np.random.default_rng(6)
    c, upstream = (torch.as_tensor(rng.standard_normal((23, shape[0]))) for _ in range(2))

    def both(index):
        linear = c[index].clone().requires_grad_()
        z = layer(linear)
        return z.detach(), torch.autograd.grad(z, linear, upstream[index])[0]

    expected = both(torch.arange(23))
    for index in (torch.as_tensor(rng.permutation(23)), torch.tensor([4]), torch.arange(5, 12)):
        for found, right in zip(both(index), expected, strict=True):
            assert_array_equal(found, right[index])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        for found, right in zip(both(torch.arange(23)), expected, strict=True):
            assert_array_equal(found, right)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("full", [False, True])
def test_slopes_in_right_hand_sides_and_bounds_against_differences(full):
    program = random_program(1, 8, 2, 3, full)
    layer = QuadraticProgramLayer(**program)
    rng = np.random.default_rng(2)
    c = torch.as_tensor(2 * rng.standard_normal((5, 8)))
    sides = [each.expand(5, -1).clone().requires_grad_() for each in layer.sides]
    upstream = torch.as_tensor(rng.standard_normal((5, 8)))

    def value(*sides):
        return (Minimiser.apply(c, *sides, layer.program) * upstream).sum(dim=1)

    slopes = torch.autograd.grad(value(*sides).sum(), sides)
    for k, slope in enumerate(slopes):
        assert (slope != 0).any()
        for j in range(slope.shape[1]):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [each.detach().clone() for each in sides]
                moved[k][:, j] += step
                ends.append(value(*moved))
            assert_allclose(slope[:, j], (ends[0] - ends[1]) / 2e-6, atol=1e-6)
    shared = [each.clone().requires_grad_() for each in layer.sides]
    of_all = torch.autograd.grad(value(*shared).sum(), shared)
    for one, each in zip(of_all, slopes, strict=True):
        assert_allclose(one[0], each.sum(dim=0), atol=1e-9)


@pytest.mark.parametrize("seed", range(200))
def test_programs_of_all_kinds_meet_the_optimality_conditions(seed):
    """Degenerate vertices, redundant rows, fixed variables, units from 1e-6 to 1e6."""
    arguments, c = draw(np.random.default_rng(seed))
    z = QuadraticProgramLayer(**arguments)(torch.as_tensor(c)).numpy()
    for row, decision in zip(c, z, strict=True):
        missed, left = optimality(arguments, row, decision)
        assert missed <= 1e-9
        assert left <= 1e-9


@pytest.mark.parametrize("large", [1e3, 1e9, 1e15, 1e150])
def test_small_costs_count_beside_large_ones(large):
    layer = QuadraticProgramLayer(np.ones(4), [[1.0, 1, 0, 0]], [1.0], lower=0.0, upper=1.0)
    c = np.array([[-large, 0.7 * large, -0.5, 0.25], [large, -0.3 * large, -0.5, -0.25]])
    z = layer(torch.as_tensor(c))
    assert_allclose(z, [[1, 0, 0.5, 0], [0, 1, 0.5, 0.25]], atol=1e-12)


def test_small_decisions_keep_their_limits_beside_large_ones():
    """A share of 1 beside a sum of millions."""
    layer = QuadraticProgramLayer(
        np.ones(3), [[1.0, 1.0, 0.0]], [1.0], [[1.0, 0.0, -1e-6]], [0.0], lower=[0.0, 0.0, -np.inf]
    )
    z = layer(torch.tensor([[-3.0, 0.0, -4e5], [0.0, -3.0, -1e6]], dtype=torch.float64)).numpy()
    assert_allclose(z[:, :2], [[0.4, 0.6], [0.0, 1.0]], atol=1e-6)
    assert_allclose(z[:, :2].sum(axis=1), 1.0, atol=1e-9)
    assert (z[:, :2] >= 0).all()
    assert (z[:, 0] <= 1e-6 * z[:, 2] + 1e-9).all()
