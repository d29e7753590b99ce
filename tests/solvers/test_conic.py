"""What counts as a proof that a point of a conic program is best."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import softmax

from dfl_sklearn.solvers.conic import ConicProgram, _is_proven, _is_proven_for_user, _Point
from dfl_sklearn.solvers.cvxpy_programs import solve_canonical
from dfl_sklearn.solvers.linear import NoDecisionError


@pytest.mark.parametrize(("x", "is_best"), [(0.0, False), (0.5, True), (0.4, False)])
def test_a_slope_at_zero_is_no_proof(x, is_best):
    # x^2 - x without constraints: at 0 neither cost nor gap has a term, and yet 1/2 is best.
    nothing = np.zeros(0)
    program = ConicProgram(
        P=sparse.csc_array([[2.0]]),
        c=np.array([-1.0]),
        A=sparse.csc_array((0, 1)),
        b=nothing,
        n_zero=0,
        n_nonnegative=0,
        cones=[],
    )
    proven = _is_proven(program, np.array([x]), nothing, nothing, nothing, np.ones(1), 1.0)
    assert proven is is_best


def test_what_only_says_how_much_it_costs_may_be_off_if_the_user_sees_no_difference():
    # min t + x with |x - 3| <= t / 2, whose optimum is x = 3; t is off, as Clarabel leaves it.
    program = ConicProgram(
        P=sparse.csc_array((2, 2)),
        c=np.array([1.0, 1.0]),
        A=sparse.csc_array([[-0.5, 0.0], [0.0, -1.0]]),
        b=np.array([0.0, -3.0]),
        n_zero=0,
        n_nonnegative=0,
        cones=[],
        sizes=(2,),
    )
    off = -1e-5
    x, slack, dual = np.array([off, 3.0]), np.zeros(2), np.array([2.0, 1.0])
    point = _Point(x, slack, dual, np.ones(2), np.ones(2), 1.0)
    assert not _is_proven(program, *point)
    assert _is_proven_for_user(program, point, lambda found: 3.0 - found.obj_val)
    assert not _is_proven_for_user(program, point, lambda found: 0.0)
    assert not _is_proven_for_user(program, point, lambda found: np.nan)
    elsewhere = point._replace(x=np.array([off, 2.0]))
    assert not _is_proven_for_user(program, elsewhere, lambda found: 4.0 - found.obj_val)


def value(problem):
    solve_canonical(problem)
    return problem.objective.value


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_robust_portfolios_are_proven():
    # Clarabel misses the epigraph of the norm by up to 1e-5 for one in ten of these.
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 12))
        returns, root = rng.normal(size=n), rng.normal(size=(n, n)) / np.sqrt(n)
        w = cp.Variable(n)
        worth = returns @ w - rng.uniform(0.1, 2.0) * cp.norm(root @ w)
        problem = cp.Problem(cp.Maximize(worth), [w >= 0, cp.sum(w) == 1])
        found = value(problem)
        assert abs(w.value.sum() - 1) <= 1e-8
        assert w.value.min() >= -1e-10
        problem.solve(solver=cp.CLARABEL, tol_gap_rel=1e-10, tol_feas=1e-10)
        assert_allclose(found, problem.objective.value, rtol=1e-6, atol=1e-7)


def test_a_cone_has_one_size_for_slopes():
    # Prices of 0 leave slopes that are nothing but rounding errors of the cone's dual values.
    for seed in range(100, 130):
        rng = np.random.default_rng(seed)
        center = rng.normal(size=10)
        price = rng.normal(size=10) * (rng.random(10) < 0.6) * 10.0 ** rng.uniform(-3, 0)
        A = rng.normal(size=(2, 10))
        x = cp.Variable(10)
        ball, far = cp.norm(x - center) <= 1.5, A @ x <= A @ center + 5
        solve_canonical(cp.Problem(cp.Minimize(price @ x), [ball, far]))
        best = center - 1.5 * price / np.linalg.norm(price)
        if (A @ (best - center) <= 5).all():
            assert_allclose(price @ x.value, price @ best, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12, 1e16, 1e20, 1e60, 1e200, 1e300])
def test_bounds_far_beyond_the_decision_do_not_set_the_scale(far):
    x = cp.Variable(2)
    limits = [x >= 0, x <= [far, far]]
    # A bound that is far may stand beside one that holds.
    for bound, best in ((far, 4.5), (1.0, 1.0)):
        cost = cp.sum_squares(x) - np.array([5.0, 9.0]) @ x
        solve_canonical(cp.Problem(cp.Minimize(cost), [x >= 0, x <= [far, bound]]))
        assert_allclose(x.value, [2.5, best], atol=1e-7)
    solve_canonical(cp.Problem(cp.Minimize([-1.0, 1.0] @ x + 10 * cp.norm(x - 3)), limits))
    assert_allclose(x.value, [3.0, 3.0], atol=1e-6)
    solve_canonical(cp.Problem(cp.Maximize(cp.sum(cp.entr(x)) - cp.sum(x)), limits))
    assert_allclose(x.value, np.exp(-2.0), atol=1e-5)
    solve_canonical(cp.Problem(cp.Minimize(cp.sum(cp.logistic(x)) - 0.75 * cp.sum(x)), limits))
    assert_allclose(x.value, np.log(3.0), atol=1e-4)


def test_bounds_far_beyond_make_no_difference_to_a_lasso():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A, b = rng.normal(size=(8, 6)), rng.normal(size=8) * 10.0 ** rng.uniform(-2, 2)
        x = cp.Variable(6)
        cost = cp.sum_squares(A @ x - b) + np.abs(b).max() * (cp.norm(x[:3]) + cp.norm(x[3:]))
        best = value(cp.Problem(cp.Minimize(cost)))
        for far in 10.0 ** rng.uniform(5, 22, 4):
            found = value(cp.Problem(cp.Minimize(cost), [x <= far, x >= -far]))
            assert_allclose(found, best, rtol=1e-7)


def test_a_cost_of_nothing_is_proven():
    # Neither cost nor slopes have a term at the optimum.
    x, off = cp.Variable(2), cp.Variable(2)
    for size in (1e-4, 1.0, 1e4):
        best = np.array([3.0, -2.0]) * size
        for cost in (6 * cp.sum_squares(x - best), cp.norm(x - best), 2 * cp.sum_squares(off)):
            solve_canonical(cp.Problem(cp.Minimize(cost), [off == x - best]))
            assert_allclose(x.value, best, rtol=1e-6)


@pytest.mark.parametrize("far", [1e4, 1e9, 1e15, 1e25])
def test_bounds_far_beyond_do_not_make_feasible_what_is_not(far):
    x = cp.Variable(3)
    limits = [cp.norm(x) <= 1, cp.sum(x) >= 1.01 * np.sqrt(3.0), x <= far, x >= -far]
    for cost in (cp.sum(x), cp.sum_squares(x), cp.sum(cp.exp(x))):
        with pytest.raises(NoDecisionError):
            solve_canonical(cp.Problem(cp.Minimize(cost), limits))


def test_a_share_below_the_rounding_errors_is_zero_and_not_less():
    # The entropy of less than nothing has no value.
    price = np.array([0.0, 40.0, 90.0, 300.0, 35.0, 1000.0])
    x = cp.Variable(6)
    found = value(cp.Problem(cp.Minimize(price @ x - cp.sum(cp.entr(x))), [cp.sum(x) == 1]))
    assert_allclose(x.value, softmax(-price), atol=1e-10)
    assert x.value.min() >= 0
    assert_allclose(found, -np.log(np.exp(-price).sum()), atol=1e-9)
