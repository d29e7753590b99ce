"""Programs written in cvxpy for several scenarios, against the same written by hand."""

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import ConvexProgram, CvxpyProgram

RNG = np.random.default_rng(0)
DEMANDS, WEIGHT = RNG.uniform(0, 6, (3, 5, 2)), RNG.dirichlet(np.ones(5), 3)


def stages(of_late, of_order=lambda order: cp.sum(order), **attributes):
    """Order now; what demand is beyond the order is bought late."""

    def build():
        order, late = cp.Variable(2, nonneg=True, **attributes), cp.Variable(2, nonneg=True)
        demand = cp.Parameter(2)
        limits = [order + late >= demand, order <= 4]
        cost = of_order(order) + of_late(late)
        return cp.Problem(cp.Minimize(cost), limits), demand, order

    def by_hand(y, weight):
        order, late = cp.Variable(2, nonneg=True, **attributes), cp.Variable((len(y), 2))
        costs = [share * of_late(late[s]) for s, share in enumerate(weight)]
        problem = cp.Problem(
            cp.Minimize(of_order(order) + cp.sum(costs)),
            [late >= 0, order <= 4, *(order + late[s] >= each for s, each in enumerate(y))],
        )
        return problem.solve(cp.HIGHS if attributes else cp.CLARABEL)

    return build, by_hand


def squares(late):
    return 3 * cp.sum_squares(late) + cp.sum(late)


PROGRAMS = {
    "linear": stages(lambda late: late @ [3.0, 2.5]),
    "quadratic": stages(squares, lambda order: order @ [1, 2] + 0.1 * cp.sum_squares(order)),
    "quadratic later alone": stages(squares),
    "cone": stages(lambda late: 3 * cp.norm(late)),
    "whole numbers": stages(lambda late: late @ [3.0, 2.5], integer=True),
}


def mean_cost(problem, z, y, weight, **context):
    return sum(weight[:, s] * problem.cost(z, y[:, s], **context) for s in range(y.shape[1]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_least_mean_cost_is_that_of_the_program_by_hand(name):
    build, by_hand = PROGRAMS[name]
    problem = ConvexProgram(build)
    z = problem.solve(DEMANDS, scenario_weight=WEIGHT)
    paid = mean_cost(problem, z, DEMANDS, WEIGHT)
    assert_allclose(paid, [by_hand(*each) for each in zip(DEMANDS, WEIGHT, strict=True)], rtol=1e-6)
    assert problem.is_feasible(z).all()
    assert_array_equal(problem.solve(DEMANDS[1:2], scenario_weight=WEIGHT[1:2]), z[1:2])


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_scenario_is_a_plain_solve_to_the_bit(name):
    problem = ConvexProgram(PROGRAMS[name][0])
    expected = problem.solve(DEMANDS[:, 2])
    assert_array_equal(problem.solve(DEMANDS[:, 2:3]), expected)
    alone = np.broadcast_to([0.0, 0.0, 2.0, 0.0, 0.0], (3, 5))
    assert_array_equal(problem.solve(DEMANDS, scenario_weight=alone), expected)


def test_the_named_solver_is_asked():
    build, by_hand = PROGRAMS["linear"]
    problem = ConvexProgram(build, solver="CLARABEL")
    z = problem.solve(DEMANDS, scenario_weight=WEIGHT)
    best = [by_hand(*each) for each in zip(DEMANDS, WEIGHT, strict=True)]
    assert_allclose(mean_cost(ConvexProgram(build), z, DEMANDS, WEIGHT), best, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_cvxpy_does_not_complain_of_many_scenarios(monkeypatch):
    monkeypatch.setattr("cvxpy.utilities.debug_tools.MAX_NODES", 30)
    ConvexProgram(PROGRAMS["cone"][0]).solve(DEMANDS[:1])


def supply():
    bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    limits = [cp.sum(bought) >= demand, bought <= 10]
    return cp.Problem(cp.Maximize(-bought @ [1, 2]), limits), demand, bought


def test_a_penalty_makes_a_newsvendor():
    """Buying at 1 what is missing at 9 orders the quantile of 8 / 9."""
    y = RNG.uniform(0, 9, (4, 9, 1))
    bought = ConvexProgram(supply, penalty=9.0).solve(y)
    eighth = np.sort(y[:, :, 0], axis=1)[:, 7:9]
    assert_allclose(bought[:, 1], 0.0, atol=1e-9)
    assert (bought[:, 0] >= eighth[:, 0] - 1e-6).all()
    assert (bought[:, 0] <= eighth[:, 1] + 1e-6).all()
    hard = ConvexProgram(supply).solve(y)  # has to hold in all scenarios
    assert_allclose(hard[:, 0], y.max(axis=(1, 2)), atol=1e-9)


def with_equation():
    z, total = cp.Variable(2, nonneg=True), cp.Parameter()
    return cp.Problem(cp.Minimize(cp.sum_squares(z)), [cp.sum(z) == total]), total, z


def test_scenarios_that_contradict_one_another_are_an_error():
    problem = ConvexProgram(with_equation)
    with pytest.raises(ValueError, match="constraints for all scenarios of row 1"):
        problem.solve([[[1.0], [1.0]], [[1.0], [2.0]]])
    assert_allclose(problem.solve([[[1.0], [1.0]]]), 0.5, atol=1e-6)


def with_bounds():
    """The limit of what is charged is predicted, and stands in a bound."""
    limit, price = cp.Parameter(nonneg=True), cp.Parameter(2, name="price")
    charge = cp.Variable(2, bounds=[0, limit])
    spare = cp.Variable(2, bounds=[-limit, 3])
    cost = price @ charge + cp.norm(charge + spare - 5)
    return CvxpyProgram(cp.Problem(cp.Minimize(cost), []), limit, charge, price)


def test_bounds_that_are_predicted_and_prices_that_are_known():
    problem = ConvexProgram(with_bounds)
    limits, weight = np.array([[[1.0], [2.0], [4.0]]]), np.array([[0.5, 0.3, 0.2]])
    price = np.array([[0.1, 0.2]])
    context = {"price_0": price[:, 0], "price_1": price[:, 1]}
    z = problem.solve(limits, scenario_weight=weight, context=pd.DataFrame(context))
    charge, spare = cp.Variable(2, nonneg=True), cp.Variable((3, 2))
    far = [share * cp.norm(charge + spare[s] - 5) for s, share in enumerate(weight[0])]
    bounds = [spare[s] >= -limits[0, s] for s in range(3)]
    cost = price[0] @ charge + cp.sum(far)
    best = cp.Problem(cp.Minimize(cost), [*bounds, spare <= 3, charge <= 1]).solve(cp.CLARABEL)
    found = price[0] @ z[0] + np.linalg.norm(np.maximum(5 - z[0] - 3, 0))
    assert_allclose(found, best, rtol=1e-6)


def priced():
    z, price = cp.Variable(2, nonneg=True), cp.Parameter(2)
    return cp.Problem(cp.Minimize(price @ z + cp.sum_squares(z)), [cp.sum(z) == 1]), price, z


def test_where_prices_alone_are_predicted_it_is_the_mean():
    problem = ConvexProgram(priced)
    z = problem.solve(DEMANDS, scenario_weight=WEIGHT)
    mean = np.einsum("ns,nsd->nd", WEIGHT, DEMANDS)
    assert_allclose(z, problem.solve(mean), rtol=1e-12, atol=1e-12)


def test_what_cannot_be_solved_is_solved_for_the_mean_with_one_warning(monkeypatch):
    problem = ConvexProgram(PROGRAMS["linear"][0])

    def fails(self, y, weight, context, row, form):
        raise RuntimeError(f"No luck with row {row}.")

    monkeypatch.setattr(ConvexProgram, "_decide_over", fails)
    with pytest.warns(
        UserWarning, match="3 of 3 rows .* mean of their.*No luck with row 0"
    ) as seen:
        z = problem.solve(DEMANDS, scenario_weight=WEIGHT)
    assert len(seen) == 1
    mean = np.einsum("ns,nsd->nd", WEIGHT, DEMANDS)
    assert_allclose(z, problem.solve(mean), rtol=1e-12, atol=1e-12)
