"""Batteries against prices: cvxpy, exact arithmetic, context, and what goes wrong."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.problems import FromContext, StorageProblem
from dfl_sklearn.problems import storage as storage_module
from dfl_sklearn.solvers.storage import UnprovenScheduleError

from ..contracts.context_contract import at_each_row, check_context_contract, table

NAMES = (
    "capacity",
    "max_charge",
    "max_discharge",
    "efficiency",
    "initial_state",
    "state_penalty",
    "rate_penalty",
)


def random_store(rng):
    """A battery with an edge now and then."""
    capacity = rng.choice([0.0, 1.0, 1.0, rng.uniform(0.2, 5)])
    return StorageProblem(
        capacity=capacity,
        max_charge=rng.choice([0.0, 0.5, 7.0, 0.25]),
        max_discharge=rng.choice([0.0, 0.2, 3.0, 0.25]),
        efficiency=rng.choice([1.0, 0.9, 0.3]),
        initial_state=rng.choice([None, 0.0, capacity, 0.3 * capacity]),
        state_penalty=rng.choice([0.0, 0.1, 5.0]),
        rate_penalty=rng.choice([0.05, 1.0, 20.0]),
    )


def by_cvxpy(problem, y):
    """The same battery as Clarabel sees it: charge, discharge and the least cost."""
    n = len(y)
    charge, discharge, state = cp.Variable(n), cp.Variable(n), cp.Variable(n)
    initial = problem.capacity / 2 if problem.initial_state is None else problem.initial_state
    before = cp.hstack([initial, state[:-1]]) if n > 1 else np.array([initial])
    limits = [
        state == before + problem.efficiency * charge - discharge,
        *(each >= 0 for each in (charge, discharge, state)),
        charge <= problem.max_charge,
        discharge <= problem.max_discharge,
        state <= problem.capacity,
    ]
    cost = y @ (charge - discharge)
    cost += problem.state_penalty * cp.sum_squares(state - problem.capacity / 2)
    cost += problem.rate_penalty * (cp.sum_squares(charge) + cp.sum_squares(discharge))
    program = cp.Problem(cp.Minimize(cost), limits)
    program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return np.concatenate([charge.value, discharge.value]), program.value


def test_cvxpy_finds_the_same():
    rng = np.random.default_rng(0)
    for trial in range(60):
        problem, n = random_store(rng), int(rng.integers(1, 13))
        y = rng.standard_normal((1, n)) * rng.choice([0.3, 3.0, 40.0]) + rng.choice([0.0, 30.0])
        y = np.round(y) if trial % 3 == 0 else y
        z = problem.solve(y)
        assert problem.is_feasible(z, y, tol=1e-14).all()
        expected, cost = by_cvxpy(problem, y[0])
        assert_allclose(problem.cost(z, y), cost, rtol=1e-7, atol=1e-7)
        assert_allclose(z[0], expected, atol=1e-4)


def test_rows_are_solved_together_as_alone():
    rng = np.random.default_rng(0)
    y = rng.normal(30, 20, (40, 24)) * rng.choice([0.01, 1.0], (40, 1))
    problem = StorageProblem()
    alone = np.concatenate([problem.solve(each[None]) for each in y])
    assert_allclose(problem.solve(y), alone, rtol=0, atol=1e-13)


def test_charge_and_discharge_at_a_time_burn_energy_at_negative_prices():
    z = StorageProblem(initial_state=1.0, max_charge=0.2, state_penalty=0.0).solve([[-50.0]])
    assert_allclose(z, [[0.2, 0.18]], atol=1e-12)
    # Where wear counts it is done in part.
    worn = StorageProblem(initial_state=1.0, max_charge=0.2, state_penalty=0.0, rate_penalty=100.0)
    z = worn.solve([[-50.0]])
    assert_allclose(z[0, 0], 50 * 0.1 / (200 * (1 + 0.9**2)), atol=1e-12)
    assert_allclose(z[0, 1], 0.9 * z[0, 0], atol=1e-12)


def test_the_state_follows_from_the_decision():
    problem = StorageProblem(capacity=4.0, efficiency=0.5, max_charge=3.0)
    assert_array_equal(problem.states([[2.0, 0.0, 0.0, 0.2]]), [[3.0, 2.8]])
    problem = StorageProblem(initial_state=FromContext("s"))
    states = problem.states([[0.5, 0.0, 0.0, 0.2]], context=table(s=[0.1]))
    assert_allclose(states, [[0.55, 0.35]])


def test_scenarios_are_their_mean():
    rng = np.random.default_rng(0)
    problem, y = StorageProblem(), rng.normal(30, 20, (5, 3, 6))
    weight = [0.5, 0.3, 0.2]
    assert_allclose(
        problem.solve(y, scenario_weight=weight), problem.solve(np.einsum("s,nst->nt", weight, y))
    )


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_units_do_not_matter(size):
    y = np.random.default_rng(0).normal(30, 20, (10, 12))
    z = StorageProblem().solve(y)
    priced = StorageProblem(state_penalty=0.1 * size, rate_penalty=0.05 * size)
    assert_allclose(priced.solve(y * size), z, atol=1e-12)
    large = StorageProblem(
        capacity=1e3, max_charge=500.0, max_discharge=200.0, state_penalty=1e-4, rate_penalty=5e-5
    )
    assert_allclose(large.solve(y), 1e3 * z, atol=1e-9)


# -- the layer -------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.05, 1.0, 30.0])
def test_the_layer_is_that_of_the_quadratic_program(penalty):
    """Charge, discharge and state as variables, tied by equations."""
    rng, n = np.random.default_rng(0), 12
    y = torch.tensor(rng.normal(30, 20, (30, n)))
    unit = np.eye(n)
    A = np.hstack([-0.9 * unit, unit, unit - np.eye(n, k=-1)])
    layer = QuadraticProgramLayer(
        np.repeat([2 * penalty, 2 * penalty, 0.2], n),
        *(A, np.r_[0.5, np.zeros(n - 1)]),
        lower=0.0,
        upper=np.repeat([0.5, 0.2, 1.0], n),
    )
    first, second = y.clone().requires_grad_(), y.clone().requires_grad_()
    pull = torch.full_like(first, -0.1)
    expected = layer(torch.cat([first, -first, pull], dim=1))[:, : 2 * n]
    found = StorageProblem(rate_penalty=penalty).decision_layer(0.0)(second)
    assert_allclose(found.detach(), expected.detach(), atol=1e-7)
    upstream = torch.as_tensor(rng.standard_normal(found.shape))
    (found * upstream).sum().backward()
    (expected * upstream).sum().backward()
    assert_allclose(second.grad, first.grad, rtol=1e-6, atol=1e-7)


def test_smoothing_adds_its_multiple_of_the_deviation_to_the_penalty():
    y = np.random.default_rng(0).normal(30, 20, (6, 8))
    for smoothing in (None, 0.3):
        found = StorageProblem().decision_layer(smoothing)(torch.as_tensor(y)).numpy()
        for row, z in zip(y, found, strict=True):
            extra = (1.0 if smoothing is None else smoothing) * row.std()
            expected = StorageProblem(rate_penalty=0.05 + extra).solve(row[None])[0]
            assert_allclose(z, expected, atol=1e-12)


def test_a_row_that_is_not_finite_has_no_schedule_and_does_not_touch_the_others():
    y = torch.tensor([[1.0, np.nan], [1.0, 9.0]], requires_grad=True)
    layer = StorageProblem().decision_layer()
    z = layer(y)
    assert z[0].isnan().all()
    assert_array_equal(z[1].detach(), layer(y[1:].detach())[0])


# -- numbers of the context ------------------------------------------------------------------


def rows_of_context(n=12):
    rng = np.random.default_rng(0)
    numbers = {
        "capacity": rng.uniform(1.0, 2.0, n),
        "max_charge": np.where(np.arange(n) == 2, 0.0, rng.uniform(0.1, 1.0, n)),
        "max_discharge": rng.uniform(0.1, 1.0, n),
        "efficiency": np.where(np.arange(n) == 3, 1.0, rng.uniform(0.5, 1.0, n)),
        "initial_state": np.where(np.arange(n) == 4, 0.0, rng.uniform(0.0, 1.0, n)),
        "state_penalty": np.where(np.arange(n) == 5, 0.0, rng.uniform(0.0, 1.0, n)),
        "rate_penalty": rng.uniform(2.0, 9.0, n),
    }
    for each in numbers.values():
        each[8:11] = each[7]  # some share theirs
    return table(**numbers)


@pytest.mark.parametrize("names", [*((name,) for name in NAMES), NAMES], ids="-".join)
def test_context(names):
    problem = StorageProblem(rate_penalty=3.0).set_params(
        **{name: FromContext(name) for name in names}
    )
    y = np.random.default_rng(2).uniform(-5, 30, (12, 5))
    check_context_contract(problem, y, rows_of_context(), smoothing=(0.0, 0.4))


def test_context_against_cvxpy():
    problem = StorageProblem(**{name: FromContext(name) for name in NAMES})
    context, y = rows_of_context(), np.random.default_rng(0).uniform(-5, 30, (12, 6))
    z = problem.solve(y, context=context)
    for i, alone in enumerate(at_each_row(problem, context)):
        assert_allclose(z[i], by_cvxpy(alone, y[i])[0], atol=1e-5)


def test_half_of_a_capacity_of_the_context():
    problem, context = StorageProblem(capacity=FromContext("c")), table(c=[1.0, 3.0])
    assert_array_equal(problem.states(np.zeros((2, 2)), context=context), [[0.5], [1.5]])


def test_rows_whose_numbers_are_all_different_are_not_solved_one_by_one():
    problem = StorageProblem(initial_state=FromContext("s"))
    y, context = np.random.default_rng(0).normal(30, 20, (600, 24)), table(s=np.linspace(0, 1, 600))
    assert problem.is_feasible(problem.solve(y, context=context), context=context).all()


def test_violation_is_in_units_of_energy():
    problem = StorageProblem(initial_state=FromContext("s"))
    z, context = [[0.6, 0.0, -0.1, 0.3]], table(s=[0.6])
    # States 1.24 and 0.94.
    expected = [[0.1, 0.0, 0.1, 0.1, 0.24, 0.0]]
    assert_allclose(problem.violation(z, context=context), expected, atol=1e-15)
    assert not problem.is_feasible(z, context=context)[0]
    assert not problem.is_feasible([[np.inf, 0.0]], context=context)[0]


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"capacity": -1.0}, "capacity must be at least 0"),
        ({"capacity": [1.0]}, "capacity must be a number"),
        ({"max_charge": np.nan}, "max_charge must be at least 0"),
        ({"max_discharge": np.inf}, "max_discharge must be finite"),
        ({"efficiency": 0.0}, r"efficiency must be in \(0, 1"),
        ({"efficiency": 1.1}, r"efficiency must be in \(0, 1"),
        ({"initial_state": 1.5}, "initial_state must be at most the capacity, 1.0, got 1.5"),
        ({"initial_state": "a"}, "initial_state must be a number"),
        ({"state_penalty": -0.1}, "state_penalty must be at least 0"),
        ({"rate_penalty": 0.0}, "rate_penalty must be a number above 0"),
        ({"rate_penalty": [FromContext("a")]}, "rate_penalty must be a number"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(numbers, message):
    with pytest.raises(ValueError, match=message):
        StorageProblem(**numbers).solve([[1.0, 2.0]])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_whose_numbers_make_no_sense_is_named(name):
    problem = StorageProblem(**{each: FromContext(each) for each in NAMES})
    context = rows_of_context()
    context.loc[5, name] = -1.0
    with pytest.raises(ValueError, match=f"{name}, read from column '{name}' .* is -1.0 at row 5"):
        problem.solve(np.ones((12, 3)), context=context)


def test_an_initial_state_above_the_capacity_is_named():
    for numbers in ({"initial_state": FromContext("s")}, {"capacity": FromContext("c")}):
        problem = StorageProblem(**{"initial_state": 0.5, **numbers})
        context = table(s=[0.5, 0.2, 1.2], c=[1.0, 0.5, 0.4])
        with pytest.raises(ValueError, match="initial_state is above the capacity at row 2"):
            problem.solve(np.ones((3, 2)), context=context)


def test_a_schedule_that_cannot_be_kept_has_no_cost():
    problem = StorageProblem(capacity=FromContext("c"), initial_state=0.5)
    context, y = table(c=[1.0, 0.6]), np.ones((2, 2))
    assert problem.cost([[0.1, 0.0, 0.0, 0.0]], y, context=context).shape == (2,)
    for z, message in (
        ([[0.2, 0.0, 0.0, 0.0]], r"a state of 0.68 at row 1, period 0, outside of \[0, 0.6\]"),
        ([[0.0, 0.7, 0.0, 0.0]], r"a charge of 0.7 at row 0, period 1, outside of \[0, 0.5\]"),
        ([[0.0, 0.0, -0.1, 0.0]], "a discharge of -0.1 at row 0, period 0"),
    ):
        with pytest.raises(ValueError, match=message):
            problem.cost(z, y, context=context)


def test_decisions_of_a_wrong_width():
    problem = StorageProblem()
    with pytest.raises(ValueError, match="decides 4 numbers per row"):
        problem.cost([[0.0, 0.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="decisions have 3 columns; is_feasible takes"):
        problem.is_feasible([[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="y has no columns"):
        problem.solve(np.zeros((2, 0)))


def test_what_is_not_proven_is_refused(monkeypatch):
    y = np.ones((3, 4))
    y[1] = [1e307, -1e307, 1e307, 0.0]
    with pytest.raises(ValueError, match="no schedule for row 1 of y that is proven to be best"):
        StorageProblem(capacity=100.0, max_charge=50.0, max_discharge=50.0).solve(y)

    def unproven(price, store):
        raise UnprovenScheduleError(2)

    monkeypatch.setattr(storage_module, "best_schedule", unproven)
    with pytest.raises(ValueError, match="row 2 of y"):
        StorageProblem().solve(y)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12, 1e16, 1e100])
@pytest.mark.parametrize("names", ["max_discharge", "max_charge", "max_charge max_discharge"])
def test_a_limit_that_stands_for_none(names, far):
    names = names.split()
    y = 40 + 30 * np.random.default_rng(0).normal(size=(40, 12))
    y[:3] -= 60  # where prices are negative, energy is burnt
    unlimited = StorageProblem(**dict.fromkeys(names, far))
    enough = StorageProblem(**dict.fromkeys(names, 3e3))
    z = unlimited.solve(y)
    assert_allclose(z, enough.solve(y), atol=1e-9)
    assert_allclose(unlimited.cost(z, y), enough.cost(z, y), rtol=1e-12)
    marked = StorageProblem(**{name: FromContext(name) for name in names})
    assert_array_equal(marked.solve(y, context=table(**dict.fromkeys(names, [far] * 40))), z)


@pytest.mark.parametrize("far", [1e6, 1e10, 1e12, 1e16])
def test_a_capacity_that_stands_for_none(far):
    y = [[60.0, 10.0, 60.0]]
    z = StorageProblem(far, initial_state=0.5, state_penalty=0.0).solve(y)
    assert_allclose(z, StorageProblem(9.0, initial_state=0.5, state_penalty=0.0).solve(y))
    assert_allclose(z, [[0, 0, 0, 0.2, 0.1, 0.2]], atol=1e-12)
    steep = StorageProblem(0.5, 0.3, far, 1.0, 0.0, 0.1, 1000.0)
    assert_allclose(steep.solve([[-3.0]]), [[3.05 / 2000.2, 0.0]], rtol=1e-12)
