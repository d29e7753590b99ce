"""The nearest decision where numbers are read from a context, and where there is none."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn.layers._projection import nearest_with_total
from dfl_sklearn.problems import (
    ConvexProgram,
    CvxpyProgram,
    FromContext,
    FunctionProblem,
    LinearProgram,
    MatchingProblem,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    PortfolioProblem,
    Predicted,
    ProvisioningProblem,
    RecourseLinearProgram,
    StorageProblem,
)
from dfl_sklearn.problems._context import at

ROOM = FromContext(0)


def nearest(z, constraints_of):
    """Return the nearest point that cvxpy finds."""
    point = cp.Variable(len(z))
    problem = cp.Problem(cp.Minimize(cp.sum_squares(point - z)), constraints_of(point))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return point.value


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("at_most", [True, False])
def test_the_nearest_decision_with_a_given_sum(nonnegative, at_most):
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        usage = rng.uniform(0, 2, n) * rng.choice([1.0, 1.0, 0.0], n)
        usage[0] = 1.0
        for z in 3 * rng.standard_normal((4, n)):
            total = rng.uniform(0, 3)

            def limits(point, usage=usage, total=total):
                used = usage @ point
                found = [used <= total if at_most else used == total]
                return [*found, point >= 0] if nonnegative else found

            row, *numbers = (torch.as_tensor(np.atleast_2d(each)) for each in (z, usage, total))
            found = nearest_with_total(row, *numbers, nonnegative=nonnegative, at_most=at_most)
            assert_allclose(found.numpy()[0], nearest(z, limits), atol=1e-6)


def test_no_room_leaves_nothing():
    z = torch.tensor([[3.0, -1.0], [-1.0, -2.0], [1e9, 1.0]])
    one, nothing = torch.ones((1, 1)), torch.zeros((1, 1))
    found = nearest_with_total(z, one, nothing, nonnegative=True, at_most=True)
    assert_allclose(found, torch.zeros_like(z))


def test_orders_far_beyond_the_capacity_keep_it():
    problem = MultiProductNewsvendorProblem(9, 1, usage=[1.0, 3.0, 0.7], capacity=1.0)
    z = np.random.default_rng(0).uniform(0, 1e12, (50, 3))
    orders = problem.decision_projection(3)(torch.as_tensor(z)).numpy()
    assert problem.is_feasible(orders).all()


def allocation():
    shares, weight = cp.Variable((2, 2), nonneg=True), cp.Parameter(2)
    room, unused = cp.Parameter(2, nonneg=True), cp.Parameter()
    cost = cp.sum(shares @ weight) + unused * cp.sum(shares)
    limits = [cp.sum(shares, axis=1) <= room]
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), limits), weight, shares, [room, unused])


WITH_CONTEXT = {
    "newsvendor": (NewsvendorProblem(ROOM, 1.0), 2, 2),
    "provisioning": (ProvisioningProblem(0.5, ROOM), 2, 2),
    "provisioning, other": (ProvisioningProblem(0.5, 2.0, a=ROOM), 2, 2),
    "capacity": (MultiProductNewsvendorProblem(9, 1, usage=[1, 2, 0], capacity=ROOM), 3, 3),
    "usage": (MultiProductNewsvendorProblem(9, 1, usage=[ROOM, 2, 1], capacity=2.0), 3, 3),
    "costs": (MultiProductNewsvendorProblem(ROOM, 1, capacity=2.0, nonnegative=False), 3, 3),
    "portfolio": (PortfolioProblem(np.eye(3), ROOM), 3, 3),
    "right-hand side": (LinearProgram([[1.0, 2, 1]], [ROOM], bounds=(0, FromContext(1))), 3, 3),
    "matrix": (LinearProgram([[1.0, ROOM, 1]], [1.0], bounds=(-1, 2)), 3, 3),
    "known cost": (LinearProgram([[1.0, 2, 1]], [1.0], known_cost=[ROOM, 0, 0]), 3, 3),
    "limit on plans": (
        RecourseLinearProgram(
            *([1.0, 2.0], [5.0], [[1.0, 1.0]], [[1.0]], [Predicted(0)]),
            A_ub=[[1.0, 2.0]],
            b_ub=[ROOM],
        ),
        *(1, 2),
    ),
    "need": (
        RecourseLinearProgram(
            *([1.0, 2.0], [5.0], [[1.0, 1.0]], [[1.0]], [Predicted(0)]),
            A_ub=[[ROOM.column + 1.0, 2.0]],
            b_ub=[1.0],
        ).set_params(q=[ROOM]),
        *(1, 2),
    ),
    "store": (StorageProblem(ROOM, initial_state=0.3), 4, 8),
    "efficiency": (StorageProblem(2.0, efficiency=FromContext(2)), 4, 8),
    "program": (ConvexProgram(allocation), 2, 4),
}


@pytest.mark.parametrize("name", WITH_CONTEXT)
def test_numbers_of_a_row_are_those_of_its_context(name):
    problem, n_parameters, n_decisions = WITH_CONTEXT[name]
    rng = np.random.default_rng(0)
    context = rng.uniform(0.6, 1.0, (6, 3)) * [1.5, 1.0, 1.0]
    context[3] = context[0]
    z = 1.5 * rng.standard_normal((6, n_decisions)) + 0.5
    found = problem.decision_projection(n_parameters)(*map(torch.as_tensor, (z, context))).numpy()
    y = np.ones((6, n_parameters))
    assert problem.is_feasible(found, y, context=context).all()
    assert not problem.is_feasible(z, y, context=context).all()
    if name == "program":
        room = context[:, :2]

        def limits(point):
            return [point >= 0, cp.sum(cp.reshape(point, (2, 2), order="C"), axis=1) <= room[i]]

        for i in range(6):
            assert_allclose(found[i], nearest(z[i], limits), atol=1e-6)
        return
    for i, row in enumerate(context):
        alone = at(problem, row).decision_projection(n_parameters)(torch.as_tensor(z[i : i + 1]))
        assert_allclose(found[i], alone.numpy()[0], rtol=1e-12, atol=1e-12)


def test_a_schedule_keeps_the_battery_within_its_limits():
    battery = StorageProblem(1.0, 0.5, 0.2, efficiency=0.9, initial_state=0.4)
    z = np.random.default_rng(0).standard_normal((3, 8))
    found = battery.decision_projection(4)(torch.as_tensor(z)).numpy()

    def limits(point):
        charge, discharge = point[:4], point[4:]
        state = 0.4 + cp.cumsum(0.9 * charge - discharge)
        return [point >= 0, charge <= 0.5, discharge <= 0.2, state >= 0, state <= 1.0]

    for one, expected in zip(found, z, strict=True):
        assert_allclose(one, nearest(expected, limits), atol=1e-6)


def test_cones_and_other_variables_are_kept():
    def build():
        z, price, room = cp.Variable(2), cp.Parameter(2), cp.Variable()
        limits = [cp.norm(z) <= room, room <= 1]
        return cp.Problem(cp.Minimize(price @ z), limits), price, z

    pytest.importorskip("cvxpylayers")
    z = np.array([[3.0, 4.0], [0.1, -0.2]])
    found = ConvexProgram(build).decision_projection(2)(torch.as_tensor(z)).numpy()
    assert_allclose(found, [[0.6, 0.8], [0.1, -0.2]], atol=1e-5)


def test_what_is_allowed_must_not_depend_on_what_is_predicted():
    def supply():
        bought, need = cp.Variable(2, nonneg=True), cp.Parameter()
        limits = [cp.sum(bought) >= need, bought <= 10]
        return cp.Problem(cp.Minimize(bought @ [1, 2]), limits), need, bought

    with pytest.raises(ValueError, match="No decision is sure to keep"):
        ConvexProgram(supply).decision_projection(1)
    z = torch.tensor([[-1.0, 12.0]])
    priced = ConvexProgram(supply, penalty=9.0).decision_projection(1)
    assert_allclose(priced(z.double()), [[0.0, 10.0]], atol=1e-9)
    plan = RecourseLinearProgram(
        *([1.0], [5.0], [[1.0]], [[1.0]], [2.0]), A_ub=[[1.0]], b_ub=[Predicted(0)]
    )
    with pytest.raises(ValueError, match="no plan is certain to satisfy them"):
        plan.decision_projection(1)


def test_whole_numbers_are_refused_for_each_kind_of_constraints():
    def build():
        z, price = cp.Variable(2, integer=True), cp.Parameter(2)
        return cp.Problem(cp.Minimize(price @ z), [z >= 0, z <= 3]), price, z

    whole = {"bounds": (0, 2), "integrality": [1, 0]}
    z, context = torch.ones((1, 2), dtype=torch.float64), torch.ones((1, 1), dtype=torch.float64)
    plan = RecourseLinearProgram(
        *([1.0], [5.0], [[1.0]], [[1.0]], [Predicted(0)]), integrality=1, bounds=(0, 9)
    )
    for problem, arguments in (
        (LinearProgram(**whole), (z,)),
        (LinearProgram([[1.0, 1.0]], [ROOM], **whole), (z, context)),
        (LinearProgram([[1.0, ROOM]], [1.0], **whole), (z, context)),
        (MatchingProblem(1, 2, present_left=[ROOM]), (z, context)),
        (ConvexProgram(build), (z,)),
        (plan, (z,)),
    ):
        with pytest.raises(ValueError, match="decides whole numbers"):
            problem.decision_projection(2)(*arguments)


def test_bounds_of_a_function():
    problem = FunctionProblem(lambda z, y: (z[:, 0] - y) ** 2, [(0, 1), (-2, 3)])
    z = torch.tensor([[2.0, -3.0], [0.5, 1.0]])
    assert_allclose(problem.decision_projection(1)(z), [[1.0, -2.0], [0.5, 1.0]])
    with pytest.raises(ValueError, match=r"shape \(B, 2\)"):
        problem.decision_projection(1)(z[:, :1])
