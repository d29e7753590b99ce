"""A need that is beyond any plan, beside one that is not."""

import re

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn.problems import (
    ConvexProgram,
    MultiProductNewsvendorProblem,
    Predicted,
    RecourseLinearProgram,
)

SIZES = [1e9, 1e12, 1e15, 1e18, 1e100]


def two_needs(quadratic):
    """Buy up to 6 of each for 1 and 2 now; what is missing costs 5."""

    def build():
        x, late = cp.Variable(2, nonneg=True), cp.Variable(2, nonneg=True)
        need = cp.Parameter(2)
        cost = x @ [1, 2] + 5 * cp.sum(late) + quadratic * cp.sum_squares(x)
        return cp.Problem(cp.Minimize(cost), [x + late >= need, x <= 6]), need, x

    return ConvexProgram(build)


def one_need(quadratic):
    def build():
        x, need = cp.Variable(2, nonneg=True), cp.Parameter()
        cost = x @ [1, 2] + quadratic * cp.sum_squares(x)
        return cp.Problem(cp.Minimize(cost), [cp.sum(x) >= need, x <= 6]), need, x

    return ConvexProgram(build, penalty=5.0)


def in_numbers():
    return RecourseLinearProgram(
        [1.0, 2.0], [5.0, 5.0], np.eye(2), np.eye(2), [Predicted(0), Predicted(1)], bounds=(0, 6)
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_small_need_is_planned_for(size):
    for problem in (two_needs(0), in_numbers()):
        assert_allclose(problem.solve([[size, 4.0]]), [[6.0, 4.0]], rtol=1e-9)
        if size <= 1e15 or isinstance(problem, RecourseLinearProgram):  # cvxpylayers refuses
            y = torch.tensor([[size, 4.0]], dtype=torch.float64, requires_grad=True)
            assert_allclose(problem.decision_layer()(y).detach(), [[6.0, 4.0]], rtol=1e-6)
        scenarios = [[[size, 4.0], [1.0, 5.0], [1.0, 5.0]]]
        assert_allclose(problem.solve(scenarios), [[6.0, 5.0]], rtol=1e-9)
    assert_allclose(one_need(0).solve([[size]]), [[6.0, 6.0]], rtol=1e-9)
    orders = MultiProductNewsvendorProblem([9, 3], 1, capacity=12).solve([[size, 4.0]])
    assert_allclose(orders, [[12.0, 0.0]], rtol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_quadratic_programs_are_solved_or_refused_by_the_number(size):
    for problem, y, best, refused in (
        (two_needs(0.01), [size, 4.0], [6.0, 4.0], 1e12),
        (one_need(0.01), [size], [6.0, 6.0], 1e15),
    ):
        if size < refused:
            assert_allclose(problem.solve([y]), [best], rtol=1e-6)
            continue
        with pytest.raises(RuntimeError, match=re.escape(f"{size:.6g} may be too large")):
            problem.solve([y])


def test_programs_in_large_units_are_as_any_others():
    unit = 1e15
    plans = in_numbers().set_params(bounds=(0, 6 * unit)).solve([[9 * unit, 4 * unit]])
    assert_allclose(plans, [[6 * unit, 4 * unit]], rtol=1e-12)
