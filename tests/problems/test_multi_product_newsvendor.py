"""Orders that share a capacity: linear programs, gradients, and what goes wrong."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linprog

from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.solvers import shared_capacity

from ..contracts.context_contract import at_each_row, check_context_contract, table


def least_mean_cost(y, weight, under, over, usage, capacity, nonnegative):
    """The optimum of the linear program for scenarios (S, d), with short and left-over units."""
    n_scenarios, d = y.shape
    unit, every = (
        sparse.eye_array(n_scenarios * d),
        sparse.vstack([sparse.eye_array(d)] * n_scenarios),
    )
    costs = [np.zeros(d), np.outer(weight, under).ravel(), np.outer(weight, over).ravel()]
    A = sparse.block_array(
        [[-every, -unit, None], [every, None, -unit], [usage[None], None, None]], format="csr"
    )
    result = linprog(
        np.concatenate(costs),
        A_ub=A,
        b_ub=np.concatenate([-y.ravel(), y.ravel(), [capacity]]),
        bounds=[(0 if nonnegative else None, None)] * d + [(0, None)] * (2 * n_scenarios * d),
    )
    assert result.status == 0
    return result.fun


def mean_cost(problem, z, y, weight):
    return weight @ problem.cost(np.repeat(z[None], len(y), axis=0), y)


def random_numbers(rng, d, nonnegative):
    """Costs, usage and a capacity, often with equal ratios and products that use nothing."""
    even = rng.random() < 0.5
    under = rng.choice([1.0, 2.0, 4.0], d) if even else rng.uniform(0.5, 9, d)
    over = rng.choice([0.5, 1.0, 3.0], d)
    usage = rng.choice([0.0, 1.0, 1.0, 2.0, 0.5], d) if even else rng.uniform(0.1, 3, d)
    capacity = rng.choice([0.0, 1.0, 4.0, 10.0, 30.0])
    if not nonnegative and usage.any():
        capacity -= 5.0
    return under, over, usage, capacity


@pytest.mark.parametrize("nonnegative", [True, False])
def test_no_linear_program_is_cheaper(nonnegative):
    rng = np.random.default_rng(int(nonnegative))
    for _ in range(60):
        d, n_scenarios = rng.integers(1, 6), rng.integers(1, 9)
        numbers = under, over, usage, capacity = random_numbers(rng, d, nonnegative)
        problem = MultiProductNewsvendorProblem(
            under, over, usage=usage, capacity=capacity, nonnegative=nonnegative
        )
        y = rng.normal(2, 3, (2, n_scenarios, d))
        y = np.round(y) if rng.random() < 0.4 else y
        weight = rng.dirichlet(np.ones(n_scenarios), 2)
        weight[:, 0] *= rng.integers(2) if n_scenarios > 1 else 1
        weight /= weight.sum(axis=1, keepdims=True)
        z = problem.solve(y, scenario_weight=weight)
        assert problem.is_feasible(z, tol=1e-13).all()
        for i in range(2):
            best = least_mean_cost(y[i], weight[i], *numbers, nonnegative)
            assert_allclose(mean_cost(problem, z[i], y[i], weight[i]), best, rtol=1e-9, atol=1e-9)
        # A single scenario is demand that is known.
        assert_array_equal(problem.solve(y[:, 0]), problem.solve(y[:, :1]))


def test_ties_go_to_the_first_columns_and_what_fits_is_ordered():
    problem = MultiProductNewsvendorProblem([2, 4, 1], 1, usage=[1, 2, 0.5], capacity=6)
    assert_array_equal(problem.solve([[4.0, 2.0, 8.0]]), [[4.0, 1.0, 0.0]])
    assert_array_equal(problem.solve([[9.0, 2.0, 8.0]]), [[6.0, 0.0, 0.0]])
    assert_array_equal(problem.solve([[1.1, 0.7, -3.0]]), [[1.1, 0.7, 0.0]])
    scenarios = [[[1.0, 1.0], [3.0, 3.0]]]
    problem = MultiProductNewsvendorProblem(3, 1, capacity=5)
    assert_array_equal(problem.solve(scenarios), [[3.0, 2.0]])
    assert_array_equal(problem.set_params(capacity=0).solve(scenarios), [[0.0, 0.0]])


def test_with_room_for_all_it_is_the_newsvendor():
    rng = np.random.default_rng(0)
    y, weight = rng.normal(3, 2, (50, 9, 4)), rng.dirichlet(np.ones(9), 50)
    costs = [9.0, 1.0, 4.0, 2.0], [1.0, 3.0, 0.5, 2.0]
    for nonnegative in (True, False):
        free = MultiProductNewsvendorProblem(*costs, capacity=1e9, nonnegative=nonnegative)
        plain = NewsvendorProblem(*costs, nonnegative=nonnegative)
        assert_array_equal(
            free.solve(y, scenario_weight=weight), plain.solve(y, scenario_weight=weight)
        )
        assert_array_equal(free.cost(y[:, 0] ** 2, y[:, 1]), plain.cost(y[:, 0] ** 2, y[:, 1]))


def test_rows_are_worked_on_in_parts_of_bounded_size(monkeypatch):
    rng = np.random.default_rng(0)
    problem = MultiProductNewsvendorProblem([9, 1, 4], 1, usage=FromContext("a"), capacity=5)
    y, context = rng.uniform(0, 5, (40, 7, 3)), table(a=rng.uniform(0.2, 2, 40))
    expected = problem.solve(y, context=context)
    monkeypatch.setattr(shared_capacity, "_MOST_NUMBERS", 50)
    assert_array_equal(problem.solve(y, context=context), expected)


@pytest.mark.parametrize("exponent", [-900, 900])
def test_units_of_costs_and_of_capacity_do_not_matter(exponent):
    rng = np.random.default_rng(0)
    y, under, usage = rng.uniform(0, 5, (20, 7, 3)), rng.uniform(1, 9, 3), rng.uniform(0.2, 2, 3)
    expected = MultiProductNewsvendorProblem(under, 1, usage=usage, capacity=6).solve(y)
    under, over, other, capacity = (np.ldexp(each, exponent) for each in (under, 1.0, usage, 6.0))
    priced = MultiProductNewsvendorProblem(under, over, usage=usage, capacity=6)
    assert_array_equal(priced.solve(y), expected)
    sized = MultiProductNewsvendorProblem(9.0, 1.0, usage=other, capacity=float(capacity))
    expected = MultiProductNewsvendorProblem(9.0, 1.0, usage=usage, capacity=6).solve(y)
    assert_array_equal(sized.solve(y), expected)


# -- the layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 1e-3, 0.4, 30.0])
def test_the_layer_uses_the_capacity_up_and_has_its_slopes(nonnegative, smoothing):
    rng = np.random.default_rng(0)
    for _ in range(12):
        d = int(rng.integers(1, 7))
        under, over, usage, capacity = random_numbers(rng, d, nonnegative)
        problem = MultiProductNewsvendorProblem(
            under, over, usage=usage, capacity=capacity, nonnegative=nonnegative
        )
        y = rng.normal(2, 3, (10, d))
        layer, tensor = problem.decision_layer(smoothing), torch.tensor(y, requires_grad=True)
        z = layer(tensor)
        found = z.detach().numpy()
        if smoothing == 0:
            assert_allclose(found, problem.solve(y), rtol=1e-12, atol=1e-12)
        demand = np.maximum(y, 0) if nonnegative else y
        fits = demand @ usage <= capacity
        assert_array_equal(found[fits], demand[fits])
        assert_allclose(found[~fits] @ usage, capacity, rtol=1e-12, atol=1e-12)
        assert problem.is_feasible(found, tol=1e-12).all()
        upstream = torch.as_tensor(rng.standard_normal(z.shape))
        (slope,) = torch.autograd.grad(z, tensor, upstream)
        for j, step in enumerate(1e-6 * np.eye(d)):
            with torch.no_grad():
                ends = [layer(torch.tensor(y + sign * step)) for sign in (1, -1)]
            difference = ((ends[0] - ends[1]) * upstream).sum(dim=1) / 2e-6
            assert_allclose(slope[:, j], difference, rtol=1e-5, atol=1e-5)


def test_shares_that_are_cut_are_those_of_the_formula():
    under, usage, y = (
        np.array([9.0, 4.0, 1.0, 2.0]),
        np.array([1.0, 2.0, 0.5, 1.0]),
        np.full(4, 3.0),
    )
    problem = MultiProductNewsvendorProblem(under, 1, usage=usage, capacity=7.0)
    z = problem.decision_layer(0.5)(torch.tensor(y[None])).numpy()[0]
    price = np.linspace(0, 9, 2_000_001)[:, None]
    cut = np.clip((price * usage / under - 1) / 0.5, 0, 1)
    nearest = np.abs((y * (1 - cut)) @ usage - 7.0).argmin()
    assert_allclose(z, y * (1 - cut[nearest]), atol=1e-4)


def test_the_regret_through_the_layer_has_the_slope_of_the_regret():
    rng = np.random.default_rng(0)
    problem = MultiProductNewsvendorProblem([9, 5, 2], 1, usage=[1, 2, 0.5], capacity=9)
    forecast, y = rng.uniform(0, 6, (30, 3)), rng.uniform(0, 6, (30, 3))
    tensor = torch.tensor(forecast, requires_grad=True)
    RegretLoss()(problem, tensor, torch.as_tensor(y)).sum().backward()
    for j, step in enumerate(1e-6 * np.eye(3)):
        ends = [problem.cost(problem.solve(forecast + sign * step), y) for sign in (1, -1)]
        assert_allclose(tensor.grad[:, j], (ends[0] - ends[1]) / 2e-6, atol=1e-5)


def test_the_layer_takes_as_many_products_as_the_problem_has():
    layer = MultiProductNewsvendorProblem([9], 1, capacity=5).decision_layer()
    with pytest.raises(ValueError, match=r"of shape \(B, 1\)"):
        layer(torch.ones((2, 3)))
    marked = MultiProductNewsvendorProblem([9, 1], 1, capacity=FromContext(0)).decision_layer()
    with pytest.raises(ValueError, match="takes 2 rows of context, got 3"):
        marked(torch.ones((2, 2)), torch.ones((3, 1)))


# -- numbers of the context ----------------------------------------------------------------

MARKED = [
    {"capacity": FromContext("capacity")},
    {"usage": FromContext("width")},
    {"usage": [FromContext("width"), 2.0, 0.5], "capacity": 9},
    {"underage_cost": FromContext("price")},
    {"underage_cost": [4.0, FromContext("price"), 1.0], "usage": [1.0, 1.0, 0.3]},
    {"overage_cost": [FromContext("waste"), 1.0, FromContext("price")]},
    {
        "underage_cost": [FromContext("price"), 4.0, 5.0],
        "overage_cost": FromContext("waste"),
        "usage": [1.0, FromContext("width"), 0.0],
        "capacity": FromContext("capacity"),
    },
]


def rows_of_context(n=14):
    rng = np.random.default_rng(0)
    numbers = {
        "capacity": np.where(np.arange(n) == 3, 0.0, rng.uniform(2, 20, n)),
        "width": np.where(np.arange(n) == 4, 0.0, rng.uniform(0.2, 3, n)),
        "price": rng.uniform(0.5, 9, n),
        "waste": rng.uniform(0.5, 3, n),
    }
    for each in numbers.values():
        each[8:11] = each[7]  # some share theirs
    return table(**numbers)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("marked", MARKED, ids=lambda each: "-".join(each))
def test_context(marked, nonnegative):
    numbers = {"underage_cost": [9, 1, 4], "overage_cost": 1.0, "usage": 1.0, "capacity": 8.0}
    problem = MultiProductNewsvendorProblem(**{**numbers, **marked}, nonnegative=nonnegative)
    y = np.random.default_rng(1).uniform(0, 9, (14, 3))
    check_context_contract(problem, y, rows_of_context(), smoothing=(None, 0.3))


def test_scenarios_with_context_against_linear_programs():
    rng = np.random.default_rng(0)
    problem = MultiProductNewsvendorProblem(**{"overage_cost": 1.0, **MARKED[-1]})
    context, y, weight = rows_of_context(), rng.uniform(0, 9, (14, 6, 3)), rng.dirichlet(np.ones(6))
    z = problem.solve(y, context=context, scenario_weight=weight)
    for i, alone in enumerate(at_each_row(problem, context)):
        numbers = [
            np.broadcast_to(getattr(alone, name), 3)
            for name in ("underage_cost", "overage_cost", "usage")
        ]
        best = least_mean_cost(y[i], weight, *numbers, alone.capacity, True)
        assert_allclose(mean_cost(alone, z[i], y[i], weight), best, rtol=1e-9)


def test_violation_is_in_the_unit_of_the_constraint():
    problem = MultiProductNewsvendorProblem(9, 1, usage=[1, 2], capacity=FromContext("c"))
    z, context = [[1.0, 3.0], [-2.0, 1.0]], table(c=[4.0, 4.0])
    assert_array_equal(problem.violation(z, context=context), [[3.0, 0, 0], [0, 2.0, 0]])
    assert_array_equal(problem.is_feasible(z, context=context), [False, False])
    free = problem.set_params(nonnegative=False)
    assert_array_equal(free.violation(z, context=context), [[3.0, 0, 0], [0, 0, 0]])
    assert_array_equal(free.is_feasible([[np.nan, 1.0]] * 2, context=context), [False, False])


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"underage_cost": 0.0}, "underage_cost must be positive"),
        ({"underage_cost": [1.0, FromContext("a"), -1.0]}, r"underage_cost\[2\] must be positive"),
        ({"overage_cost": "a"}, "overage_cost must be a number or a sequence"),
        ({"usage": [1.0, -1.0]}, r"usage\[1\] must be non-negative"),
        ({"capacity": -1.0}, "capacity must be at least 0"),
        ({"capacity": np.inf}, "capacity must be finite"),
        ({"capacity": [1.0]}, "capacity must be a number"),
        ({"nonnegative": 1}, "nonnegative must be True or False"),
        ({"nonnegative": FromContext("a")}, "cannot read nonnegative from the context"),
        ({"underage_cost": [1, 2], "usage": [1, 2, 3]}, "underage_cost 2 and usage 3 entries"),
        ({"underage_cost": [1, 1e120]}, "The costs of products differ by a factor"),
        ({"usage": [1e-120, 1]}, "The usage of products differ by a factor"),
        ({"usage": 0.0, "capacity": -1.0, "nonnegative": False}, "no product has a usage"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(numbers, message):
    numbers = {"underage_cost": 2.0, "overage_cost": 1.0, "capacity": 3.0, **numbers}
    with pytest.raises(ValueError, match=message):
        MultiProductNewsvendorProblem(**numbers).solve([[1.0, 1.0]], context=None)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("capacity", -1.0, "capacity, read from column 'capacity' .* is -1.0 at row 5"),
        ("width", -0.5, "usage, read from column 'width' .* is -0.5 at row 5"),
        ("price", 0.0, "underage_cost, read from column 'price' .* is 0.0 at row 5"),
        ("waste", -3.0, "overage_cost, read from column 'waste' .* is -3.0 at row 5"),
        ("price", 1e150, "The costs of products differ .* at row 5 of the context"),
        ("width", 1e-150, "The usage of products differ .* at row 5 of the context"),
    ],
)
def test_a_row_whose_numbers_make_no_sense_is_named(column, value, message):
    problem = MultiProductNewsvendorProblem(**MARKED[-1])
    context = rows_of_context()
    context.loc[5, column] = value
    with pytest.raises(ValueError, match=message):
        problem.solve(np.ones((14, 3)), context=context)


def test_no_order_is_allowed_at_a_row_of_the_context():
    problem = MultiProductNewsvendorProblem(
        2, 1, usage=FromContext("a"), capacity=FromContext("c"), nonnegative=False
    )
    with pytest.raises(ValueError, match="capacity is negative at row 1 of the context"):
        problem.solve(np.ones((2, 3)), context=table(a=[1.0, 0.0], c=[-1.0, -1.0]))


def test_orders_that_are_not_allowed_have_no_cost():
    problem = MultiProductNewsvendorProblem(9, 1, usage=[1, 2], capacity=FromContext("c"))
    context, y = table(c=[9.0, 4.0]), np.ones((2, 2))
    assert problem.cost([[1.0, 1.5]], y, context=context).shape == (2,)
    with pytest.raises(ValueError, match=r"exceed the capacity at row 1: 1\.0"):
        problem.cost([[1.0, 2.0]], y, context=context)
    with pytest.raises(ValueError, match="negative order at row 0, column 1"):
        problem.cost([[1.0, -2.0]], y, context=context)


def test_observed_demand_is_checked_and_generated_demand_is_projected():
    problem = MultiProductNewsvendorProblem(9, 1, capacity=5)
    with pytest.raises(ValueError, match="negative demand at row 1, column 0"):
        problem.check_parameters([[1.0, 2.0], [-1.0, 2.0]])
    projected, share = problem.project_parameters([[1.0, 2.0], [-1.0, 2.0]])
    assert_array_equal(projected, [[1.0, 2.0], [0.0, 2.0]])
    assert share == 0.5
    free = problem.set_params(nonnegative=False)
    free.check_parameters([[-1.0]])
    assert free.project_parameters([[-1.0]])[1] == 0.0
