"""What every decision problem has to keep."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from dfl_sklearn._utils.members import member_mean


def rows_of(case, n=12, seed=0):
    rng = np.random.default_rng(seed)
    return case.make(), case.sample_y(rng, n), case.sample_decision(rng, n)


def slack(case, cost):
    return case.tol * (1.0 + np.abs(cost))


def test_shapes(case):
    problem, y, z = rows_of(case)
    decisions = problem.solve(y)
    assert decisions.shape == z.shape
    assert problem.solve(y[:, None, :]).shape == z.shape
    assert problem.cost(z, y).shape == (len(y),)
    assert problem.optimal_cost(y).shape == (len(y),)
    feasible = problem.is_feasible(z, y)
    assert feasible.shape == (len(y),)
    assert feasible.dtype == bool


def test_one_dimensional_rows_are_one_column(case):
    problem, y, _ = rows_of(case)
    if y.shape[1] > 1:
        y = y[:, :1]
        if problem._n_parameters() is not None:
            with pytest.raises(ValueError, match="parameters per row"):
                problem.solve(y[:, 0])
            return
    decisions = problem.solve(y)
    expected = decisions[:, 0] if decisions.shape[1] == 1 else decisions
    assert_array_equal(problem.solve(y[:, 0]), expected)
    assert_array_equal(problem.cost(decisions, y[:, 0]), problem.cost(decisions, y))


def test_no_rows_give_no_decisions(case):
    problem, y, z = rows_of(case)
    assert problem.solve(y[:0]).shape == z[:0].shape
    assert problem.optimal_cost(y[:0]).shape == (0,)


def test_everything_is_decided_and_paid_in_float64(case):
    problem, y, z = rows_of(case, case.rows(50))
    narrow_y, narrow_z = y.astype(np.float32), z.astype(np.float32)
    wide_y, wide_z = narrow_y.astype(np.float64), narrow_z.astype(np.float64)
    for found, expected in (
        (problem.solve(narrow_y), problem.solve(wide_y)),
        (problem.solve(narrow_y[:, None]), problem.solve(wide_y[:, None])),
        (problem.cost(narrow_z, narrow_y), problem.cost(wide_z, wide_y)),
    ):
        assert found.dtype == np.float64
        assert_array_equal(found, expected)
    tensors = torch.as_tensor(narrow_z), torch.as_tensor(narrow_y)
    assert problem.cost(*tensors).dtype == torch.float32
    if problem.exact:
        paid = problem.cost(problem.solve(wide_y[::-1]), narrow_y)
        assert (paid - problem.optimal_cost(narrow_y) >= -1e-9 * np.abs(paid) - 1e-12).all()


def test_integers_are_numbers(case):
    problem, y, _ = rows_of(case)
    y = np.rint(y)
    assert_array_equal(problem.solve(y.astype(int)), problem.solve(y))


def test_optimal_cost_is_the_cost_of_solve(case):
    problem, y, _ = rows_of(case, case.rows(200))
    best = problem.optimum(y)
    assert_array_equal(best.decisions, problem.solve(y))
    assert_array_equal(problem.optimal_cost(y), problem.cost(problem.solve(y), y))
    assert_array_equal(best.cost, problem.optimal_cost(y))


@pytest.mark.cases(lambda case: case.make().exact)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_feasible_decision_beats_solve(case, seed):
    problem, y, z = rows_of(case, case.rows(30), seed)
    found = problem.optimum(y)
    z, y = np.concatenate([z, found.decisions]), np.concatenate([y, y])
    best, decisions = np.tile(found.cost, 2), np.tile(found.decisions, (2, 1))
    assert problem.is_feasible(z, y).all()
    assert (problem.cost(z, y) >= best - slack(case, best)).all()
    # Nearby decisions too: a draw from the whole set rarely comes close to the best one.
    rng = np.random.default_rng(seed)
    near = decisions + 1e-3 * np.ptp(z, axis=0) * rng.standard_normal(z.shape)
    allowed = problem.is_feasible(near, y, tol=0.0)
    paid = problem.cost(near[allowed], y[allowed])
    assert (paid >= (best - slack(case, best))[allowed]).all()


def test_solve_works_row_by_row(case):
    problem, y, _ = rows_of(case)
    alone = np.concatenate([problem.solve(each[None]) for each in y])
    assert_allclose(problem.cost(alone, y), problem.optimal_cost(y), rtol=1e-9, atol=1e-12)


def test_one_decision_for_all_rows(case):
    problem, y, z = rows_of(case)
    assert_array_equal(problem.cost(z[:1], y), problem.cost(np.repeat(z[:1], len(y), axis=0), y))
    with pytest.raises(ValueError, match="decisions have 2 rows and y has 12"):
        problem.cost(z[:2], y)


def test_numpy_and_torch_costs_agree(case):
    problem, y, z = rows_of(case, 50)
    cost = problem.cost(torch.as_tensor(z), torch.as_tensor(y))
    assert isinstance(cost, torch.Tensor)
    assert cost.dtype == torch.float64
    assert_allclose(cost.numpy(), problem.cost(z, y), rtol=1e-12, atol=1e-12)


def test_cost_gradient_agrees_with_finite_differences(case):
    problem, y, z = rows_of(case, 20)
    tensor = torch.as_tensor(z).requires_grad_()
    problem.cost(tensor, torch.as_tensor(y)).sum().backward()
    step = 1e-6 * np.ptp(z, axis=0)
    for j in range(z.shape[1]):
        move = np.zeros_like(z)
        move[:, j] = step[j]
        difference = problem.cost_rows(z + move, y) - problem.cost_rows(z - move, y)
        numeric = difference / (2 * step[j])
        assert_allclose(tensor.grad[:, j], numeric, rtol=1e-4, atol=1e-4 * np.abs(numeric).mean())


def test_cost_and_its_gradient_are_finite_at_zero(case):
    problem, y, z = rows_of(case, 4)
    y = torch.zeros(y.shape, dtype=torch.float64, requires_grad=True)
    for decisions in (problem.solve(np.zeros(y.shape)), z):
        tensor = torch.as_tensor(decisions).requires_grad_()
        cost = problem.cost(tensor, y)
        gradients = torch.autograd.grad(cost.sum(), [tensor, y])
        assert torch.isfinite(cost).all()
        assert all(torch.isfinite(each).all() for each in gradients)


def test_zero_is_legal_where_it_says_so(case):
    problem, y, _ = rows_of(case)
    if case.zero_is_legal:
        problem.check_parameters(np.zeros_like(y))
    assert problem.is_feasible(problem.solve(np.zeros_like(y))).all()


def test_projected_parameters_are_legal(case):
    problem, y, _ = rows_of(case, 40)
    wild = np.concatenate([y, -np.abs(y)])
    projected, share = problem.project_parameters(wild)
    problem.check_parameters(projected)
    assert projected.shape == wild.shape
    assert share == pytest.approx((projected != wild).any(axis=1).mean())
    assert_array_equal(problem.project_parameters(projected)[0], projected)


def test_clone_and_set_params(case):
    problem, y, _ = rows_of(case)
    twin = clone(problem)
    assert twin is not problem
    assert repr(twin) == repr(problem)
    assert_array_equal(twin.solve(y), problem.solve(y))
    names = set(problem.get_params(deep=False))
    assert vars(problem).keys() == names  # nothing but parameters, no state from use
    changed = clone(problem).set_params(**case.other)
    for name, value in case.other.items():
        assert changed.get_params()[name] == value
    if case.other:
        fresh = type(problem)(**{**problem.get_params(deep=False), **case.other})
        assert_array_equal(changed.solve(y), fresh.solve(y))
        z = changed.solve(y)
        assert_array_equal(changed.cost(z, y), fresh.cost(z, y))


def test_pickle(case):
    problem, y, _ = rows_of(case)
    again = pickle.loads(pickle.dumps(problem))
    assert_array_equal(again.solve(y), problem.solve(y))


def test_input_is_not_written_to(case):
    problem, y, z = rows_of(case)
    y[0], before_y, before_z = 0.0, y.copy(), z.copy()
    y[0], before_y[0] = -0.0, -0.0
    y.flags.writeable = z.flags.writeable = False
    problem.cost(z, y)
    problem.optimal_cost(y)
    problem.solve(y[None], scenario_weight=np.ones(len(y)))
    problem.project_parameters(y)
    problem.is_feasible(z, y)
    decisions = problem.solve(y)
    decisions += 1.0  # nor is the result a view of the input
    assert_array_equal(y, before_y)
    assert_array_equal(z, before_z)


def test_pandas_and_lists(case):
    problem, y, z = rows_of(case)
    expected = problem.solve(y), problem.cost(z, y)
    for convert in (pd.DataFrame, np.ndarray.tolist):
        assert_array_equal(problem.solve(convert(y)), expected[0])
        assert_array_equal(problem.cost(convert(z), convert(y)), expected[1])
    if y.shape[1] == 1 and z.shape[1] == 1:
        index = np.arange(len(y))[::-1]  # labels must not realign rows
        series = pd.Series(y[:, 0], index=index)
        assert_array_equal(problem.solve(series), expected[0][:, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_cell_that_is_not_finite_is_named(case, value):
    problem, y, _ = rows_of(case)
    y[3, -1] = value
    where = f"y is not finite at row 3, column {y.shape[1] - 1}"
    for method in (problem.solve, problem.check_parameters, problem.optimal_cost):
        with pytest.raises(ValueError, match=where):
            method(y)
    with pytest.raises(ValueError, match="row 0, scenario 3, column"):
        problem.solve(y[None])


def test_wrong_shapes_and_types(case):
    problem, y, z = rows_of(case)
    with pytest.raises(ValueError, match=r"y must .*shape"):
        problem.solve(np.zeros((2, 2, 2, 2)))
    with pytest.raises(ValueError, match=r"y must .*shape"):
        problem.solve(3.0)
    with pytest.raises(ValueError, match="y must hold numbers"):
        problem.solve([["much"]])
    with pytest.raises(ValueError, match=r"decisions must .*shape"):
        problem.cost(z[None], y)


def test_context_is_used_or_refused(case):
    problem, y, _ = rows_of(case)
    if not problem.takes_context:
        with pytest.raises(ValueError, match="takes no context"):
            problem.solve(y, context=np.zeros(len(y)))
    else:
        with pytest.raises(ValueError, match="context has 3 rows, but y has 12"):
            problem.solve(y, context=np.zeros(3))


@pytest.mark.cases(lambda case: case.make().decision_average == "decisions")
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_mean_of_decisions_costs_at_most_the_mean_of_their_costs(case, seed):
    """Whose problem lets an ensemble average decisions: the set and the cost are convex."""
    problem, y, z = rows_of(case, case.rows(24), seed)
    assert problem.convex_decisions
    rng = np.random.default_rng(seed)
    others = case.sample_decision(rng, len(y)), problem.solve(case.predictions(rng, len(y)))
    for other in (*others, problem.solve(y)):
        together = member_mean(np.stack([z, other, z]))  # two thirds and one third
        assert problem.is_feasible(together, y).all()
        paid = (2 * problem.cost(z, y) + problem.cost(other, y)) / 3
        assert (problem.cost(together, y) <= paid + slack(case, paid)).all()


def test_cost_slopes_are_those_of_an_affine_cost(case):
    problem, y, z = rows_of(case, 6)
    slopes = problem.cost_slopes(z, y.shape[1])
    if slopes is None:  # unknown; a linear objective is never that
        assert problem.linear_objective() is None
        return
    assert slopes.shape == y.shape
    other = case.sample_y(np.random.default_rng(1), 6)
    costs = problem.cost_rows(z, y, None), problem.cost_rows(z, other, None)
    rise = (slopes * (other - y)).sum(axis=1)
    assert_allclose(costs[1] - costs[0], rise, atol=1e-9 * (1 + np.abs(costs).max()))
