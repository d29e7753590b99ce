"""Linear programs with numbers that differ by row, against SciPy at each row."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn.problems import (
    FromContext,
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    TopKProblem,
)
from dfl_sklearn.problems._context import at, layer_by_context

from ..contracts.context_contract import check_context_contract, table

RNG = np.random.default_rng(0)
N, M, B = 4, 3, 8
A_UB = RNG.uniform(0.2, 1, (M, N))
A_EQ = np.array([[1.0, -1.0, 0.5, 0.3]])


def column(name):
    return FromContext(name)


def context_of(problem, seed=0, n_distinct=B, **ranges):
    """Random columns, of which some rows are equal; `ranges` by name, else [0.5, 1.5]."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in problem.context_columns():
        low, high = ranges.get(name, (0.5, 1.5))
        found[name] = rng.uniform(low, high, B)
    context = pd.DataFrame(found)
    context.iloc[6] = context.iloc[2]
    return context.iloc[np.arange(B) % n_distinct].reset_index(drop=True)


def draw(n=N, seed=1):
    return np.random.default_rng(seed).normal(size=(B, n))


OBJECTS = A_UB.astype(object)
OBJECTS[1, 2] = column("a")
LINEAR = {
    "b_ub": {"b_ub": [column("x"), 1.0, column("y")]},
    "b_eq": {"b_eq": [column("x")], "A_eq": A_EQ},
    "upper": {"bounds": (0, column("x"))},
    "bounds": {"bounds": [(column("x"), column("y")), (-1, 1), *[(0, 1)] * 2]},
    "A_ub": {"A_ub": [[column("a"), *A_UB[0, 1:]], *A_UB[1:].tolist()]},
    "A_ub of objects": {"A_ub": OBJECTS},
    "A_eq": {"A_eq": [[column("a"), 1.0, 1.0, 0.0]], "b_eq": [1.0]},
    "known_cost": {"known_cost": [column("x"), 0.3, column("y"), -1.0]},
    "all sides": {
        "b_ub": [column("x"), 1.0, 1.2],
        "b_eq": [column("y")],
        "A_eq": A_EQ,
        "bounds": [(0, column("u")), (column("l"), 1), (-1, 1), (0, None)],
        "known_cost": [0.1, column("k"), 0.0, column("k")],
    },
    "all": {
        "A_ub": OBJECTS,
        "b_ub": [column("x"), 1.0, 1.2],
        "bounds": [(0, column("u")), (column("l"), 1), (-1, 1), (0, 2)],
        "known_cost": [0.1, column("k"), 0.0, 0.0],
    },
}
RANGES = {
    "b_eq": {"x": (-0.3, 0.3)},
    "bounds": {"x": (-1.0, 0.0), "y": (0.2, 1.0)},
    "all sides": {"y": (-0.3, 0.3), "l": (-1.0, 0.5)},
    "all": {"l": (-1.0, 0.5)},
    "known_cost": {"x": (-1.0, 1.0)},
}


WITH_LAYER = [("all sides", "max"), ("bounds", "min"), ("known_cost", "max"), ("all", "max")]


def linear(name, sense="min", **more):
    given = {"A_ub": A_UB, "b_ub": [1.0, 1.1, 1.2], "bounds": (0, 1)}
    return LinearProgram(**(given | LINEAR[name] | more), sense=sense)


# What is read from the context does not depend on the sense, and SciPy is asked for both below.
ONCE = [(name, "min") for name in LINEAR if name not in dict(WITH_LAYER)]


@pytest.mark.parametrize(("name", "sense"), [*WITH_LAYER, *ONCE])
def test_contract_of_linear_programs(name, sense):
    problem = linear(name, sense)
    # A layer for each context takes its time.
    few = 3 if problem._has_own_constraints and not problem._shares_matrix else B
    context = context_of(problem, n_distinct=few, **RANGES.get(name, {}))
    smoothing = (0.4,) if (name, sense) in WITH_LAYER else ()
    check_context_contract(problem, draw(), context, smoothing=smoothing, atol=1e-8)


@pytest.mark.parametrize("name", ["b_ub", "bounds", "A_ub", "all"])
def test_contract_of_integer_programs(name):
    problem = linear(name, "max", integrality=1, bounds=LINEAR[name].get("bounds", (0, 2)))
    check_context_contract(problem, draw(), context_of(problem, **RANGES.get(name, {})), atol=1e-8)


def numbers(value, row):
    """A parameter with the numbers of a row of a data frame in the place of what is marked."""
    if isinstance(value, FromContext):
        return row[value.column]
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [numbers(each, row) for each in value]
    return value


@pytest.mark.parametrize("integrality", [None, [0, 1, 1, 0]])
@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_programs_against_scipy(name, sense, integrality):
    if integrality is not None and "eq" in name + str(list(LINEAR[name])):
        return  # integers need not meet an equation
    problem = linear(name, sense, integrality=integrality)
    context = context_of(problem, seed=2, **RANGES.get(name, {}))
    if integrality is not None and "bounds" in LINEAR[name]:
        context = context.round()  # SciPy is not right with other bounds of integers
    y, sign = draw(), -1.0 if sense == "max" else 1.0
    z = problem.solve(y, context=context)
    for i, (_, row) in enumerate(context.iterrows()):
        parts = {
            each: numbers(getattr(problem, each), row)
            for each in ("A_ub", "b_ub", "A_eq", "b_eq", "bounds")
        }
        known = problem.known_cost
        cost = sign * (y[i] + (0.0 if known is None else np.array(numbers(known, row))))
        best = linprog(cost, **parts, integrality=integrality)
        assert best.status == 0
        assert_allclose(cost @ z[i], best.fun, atol=1e-7)


def test_one_column_in_many_places_and_columns_by_position():
    x = FromContext(1)
    problem = LinearProgram([[1, 2], [2, 1]], [x, x], bounds=[(0, x), (0, None)], sense="max")
    context = np.array([[9.0, 1.0], [9.0, 3.0]])
    y = np.array([[1.0, 1.0], [1.0, 5.0]])
    for each, found in zip(context[:, 1], problem.solve(y, context=context), strict=True):
        row = y[0] if each == 1.0 else y[1]
        best = linprog(-row, [[1, 2], [2, 1]], [each, each], bounds=[(0, each), (0, None)])
        assert_allclose(row @ found, -best.fun)


def test_rows_are_solved_as_by_themselves_to_the_bit():
    # Ties are many with integral numbers: what is found depends on where one starts.
    rng = np.random.default_rng(0)
    A = rng.integers(0, 5, (8, 12))
    context = pd.DataFrame({str(i): rng.integers(6, 9, 10).astype(float) for i in range(8)})
    problem = LinearProgram(A, [column(str(i)) for i in range(8)], bounds=(0, 3), sense="max")
    y = rng.integers(0, 3, (10, 12)).astype(float)
    for integrality in (None, [1] * 6 + [0] * 6):
        problem.set_params(integrality=integrality)
        found = problem.solve(y, context=context)
        alone = [at(problem, row).solve(y[[i]]) for i, row in enumerate(context.to_numpy())]
        assert_array_equal(found, np.concatenate(alone))
        assert_array_equal(clone(problem).set_params(n_jobs=2).solve(y, context=context), found)


def test_a_constant_known_cost_needs_no_context():
    y, known = draw(), np.linspace(-1, 1, N)
    for sense in ("min", "max"):
        problem = LinearProgram(A_UB, np.ones(M), bounds=(0, 1), sense=sense)
        plus = clone(problem).set_params(known_cost=known)
        assert_array_equal(plus.solve(y), problem.solve(y + known))
        z = problem.solve(draw(seed=3))
        sign = -1.0 if sense == "max" else 1.0
        assert_allclose(plus.cost(z, y), sign * ((y + known) * z).sum(axis=1))
        for smoothing in (None, 0.3):
            layers = [each.decision_layer(smoothing) for each in (plus, problem)]
            found, expected = (
                layer(torch.as_tensor(each))
                for layer, each in zip(layers, (y, y + known), strict=True)
            )
            assert_array_equal(found, expected)
        assert_array_equal(plus.as_linear_program().solve(y), plus.solve(y))
        single = torch.as_tensor(y, dtype=torch.float32)
        assert plus.cost_rows(torch.as_tensor(z).float(), single).dtype == torch.float32
    alone = LinearProgram(bounds=(0, 1), known_cost=known)
    assert_array_equal(alone.solve(y), (y + known < 0).astype(float))
    assert_array_equal(alone.linear_objective()(y), y + known)


# -- the layer -------------------------------------------------------------------------


def both_layers(problem, y, context, smoothing=0.4):
    """Decisions and gradients of the layer of all rows, and of one layer for each context."""
    arranged = torch.tensor(problem.context_rows(context, len(y)))
    found = []
    for layer in (problem.decision_layer(smoothing), layer_by_context(problem, smoothing)):
        tensor = torch.tensor(y, requires_grad=True)
        z = layer(tensor, arranged)
        (z * torch.arange(1.0, 1.0 + z.shape[1])).sum().backward()
        found.append((z.detach().numpy(), tensor.grad.numpy()))
    return found


@pytest.mark.parametrize("smoothing", [None, 0.4])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_the_layer_where_capacities_and_bounds_are_zero(share, smoothing):
    rng = np.random.default_rng(0)
    n, m, B = 6, 3, 15
    problem = LinearProgram(
        rng.uniform(0, 1, (m, n)),
        [column(f"b{i}") for i in range(m)],
        A_eq=[[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, -1]],
        b_eq=[column("e"), 0.0],
        bounds=[(0, column(f"u{j}")) for j in range(n)],
    )
    context = pd.DataFrame(rng.uniform(0.5, 1.5, (B, m + n + 1)))
    context.columns = [*(f"b{i}" for i in range(m)), *(f"u{j}" for j in range(n)), "e"]
    context = context.mask(rng.random(context.shape) < share, 0.0)
    context["e"] = 0.0  # with no capacity there is nothing else
    together, alone = both_layers(problem, rng.normal(size=(B, n)), context, smoothing)
    assert_allclose(together[0], alone[0], atol=1e-7)
    assert_allclose(together[1], alone[1], atol=1e-5)


def test_the_layer_where_several_constraints_leave_no_room():
    # z1 + z2 <= x and z1 + z2 >= y, which is the same in every third row; z3 = 1 + x - y by three.
    problem = LinearProgram(
        [[1, 1, 0], [-1, -1, 0]],
        [column("x"), column("minus y")],
        A_eq=[[1, 1, 1]],
        b_eq=[2.0],
        bounds=(0, 3),
    )
    x = np.linspace(0.5, 1.5, B)
    context = table(x=x, **{"minus y": np.where(np.arange(B) % 3, 0.2 - x, -x)})
    together, alone = both_layers(problem, draw(3), context)
    assert_allclose(together[0], alone[0], atol=1e-7)
    assert_allclose(together[1], alone[1], atol=1e-6)
    assert_allclose(together[0][::3, 2], 2.0 - x[::3], atol=1e-8)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-9, 1e8, 1e14, 1e20, 1e308])
def test_the_layer_at_capacities_and_bounds_of_any_size(size):
    # Nearest to (1, 2) within z1 + z2 <= a, and z <= b.
    problem = LinearProgram([[1, 1]], [column("a")], bounds=(0, column("b")), sense="max")
    context = table(a=[3.5, size, 3.0, size], b=[4.0, 4.0, size, size])
    y = torch.tensor([[1.0, 2.0]] * 4, dtype=torch.float64, requires_grad=True)
    z = problem.decision_layer(0.5)(y, torch.tensor(context.to_numpy()))
    small = min(size, 1.0)
    tight = [max(0.0, small - 1) / 2, small]  # z1 + z2 <= size
    expected = [
        [1.0, 2.0],
        tight if size <= 1 else [1.0, 2.0],
        [min(size, 1.0), min(size, 2.0)],
        tight if size <= 1 else [1.0, 2.0],
    ]
    assert_allclose(z.detach(), expected, atol=2e-6)
    (slope,) = torch.autograd.grad(z[0].sum() + z[3].sum(), y)
    assert_allclose(slope[0], [1.0, 1.0], atol=1e-6)
    assert_allclose(slope[3], [0.0, 0.0] if size <= 1 else [1.0, 1.0], atol=1e-6)


def test_the_layer_where_limits_and_decisions_are_both_large():
    problem = LinearProgram([[1, 1]], [column("a")], bounds=(0, column("b")), sense="max")
    y = torch.tensor([[2e13, 1e13], [2e13, 1e13]], dtype=torch.float64)
    layer = problem.decision_layer(0.5)
    z = layer(y, torch.tensor([[3e13, 1e13], [2e13, 1e14]], dtype=torch.float64))
    assert_allclose(z / 1e13, [[1.0, 1.0], [1.5, 0.5]], atol=1e-6)
    z = layer(y, torch.tensor([[3e13, 1e13], [2e13, 1e30]], dtype=torch.float64))
    assert_allclose(z / 1e13, [[1.0, 1.0], [1.5, 0.5]], atol=1e-6)


def test_the_layer_beside_itself():
    problem = linear("all sides")
    y, context = draw(), context_of(problem, **RANGES["all sides"])
    arranged = torch.tensor(problem.context_rows(context, B))
    layer = problem.decision_layer(0.4)
    y[4, 2] = np.nan
    z = layer(torch.tensor(y), arranged)
    assert torch.isnan(z).all(dim=1).tolist() == [i == 4 for i in range(B)]
    each = torch.cat([layer(torch.tensor(y[[i]]), arranged[[i]]) for i in range(B)])
    assert_allclose(z, each, atol=1e-11)
    single = layer(torch.tensor(y).float(), arranged.float())
    assert single.dtype == torch.float32
    assert_allclose(single, z, atol=1e-5)
    assert layer(torch.zeros((0, N)), arranged[:0]).shape == (0, N)
    with pytest.raises(ValueError, match="The layer takes 8 rows of context, got 3"):
        layer(torch.tensor(y), arranged[:3])


# -- what goes wrong -------------------------------------------------------------------


def limited(**more):
    return LinearProgram(
        [[1, 1], [-1, 0]], [column("most"), column("least")], bounds=(0, 4), sense="max", **more
    )


@pytest.mark.parametrize("integrality", [None, 1])
def test_an_infeasible_row_is_named(integrality):
    context = table(most=[1.0, 2.0, 1.0], least=[0.0, 0.0, -3.0])
    match = r"At row 2: No decision satisfies .*: row 0 of A_ub, row 1 of A_ub"
    with pytest.raises(ValueError, match=match):
        limited(integrality=integrality).solve(np.ones((3, 2)), context=context)
    problem = LinearProgram([[column("a"), 1]], [-1.0], sense="max")
    with pytest.raises(ValueError, match=r"At row 1 of the context: No decision .* row 0 of A_ub"):
        problem.solve(np.full((2, 2), -1.0), context=table(a=[-1.0, 1.0]))
    arranged = torch.tensor(context[limited().context_columns()].to_numpy())
    layer = limited().decision_layer(0.5)
    with pytest.raises(ValueError, match="At row 2 of the context: The constraints contradict"):
        layer(torch.tensor([[1.0, 1], [torch.nan, 1], [1, 1]]), arranged)


def test_a_row_without_a_minimum_is_named():
    problem = LinearProgram([[1, -1]], [column("b")], sense="max")
    with pytest.raises(ValueError, match="no minimum for row 1 of y"):
        problem.solve([[-1.0, -1.0], [1.0, 1.0]], context=table(b=[1.0, 2.0]))
    problem = LinearProgram(bounds=[(0, column("b")), (0, None)], sense="max")
    with pytest.raises(ValueError, match="no minimum for row 1 of y"):
        problem.solve([[-1.0, -1.0], [1.0, 1.0]], context=table(b=[1.0, 2.0]))


def test_limits_of_a_search_count_all_rows():
    rng = np.random.default_rng(0)
    A = rng.uniform(1, 3, (3, 25))
    problem = LinearProgram(
        A, [column("b"), 12.0, 12.0], bounds=(0, 1), integrality=1, sense="max", mip_gap=0.5
    )
    with pytest.warns(ConvergenceWarning, match=r"of 3 rows of y were not solved to the end"):
        problem.solve(rng.uniform(1, 2, (3, 25)), context=table(b=[10.0, 11.0, 12.0]))


@pytest.mark.parametrize("size", [1e-200, 1e-12, 1e12, 1e30, 1e300])
def test_numbers_of_any_size_are_right_or_refused(size):
    problem = limited()
    context = table(most=[3.0, size, 3.0], least=[0.0, 0.0, 0.0])
    y = np.array([[1.0, 2.0]] * 3)
    try:
        z = problem.solve(y, context=context)
    except (ValueError, RuntimeError) as error:
        assert "row 1" in str(error)  # noqa: PT017
        return
    best = [6.0, 2 * min(size, 4.0) + max(0.0, min(size - 4.0, 4.0)), 6.0]
    assert_allclose((y * z).sum(axis=1), best, rtol=1e-9)


@pytest.mark.parametrize(
    ("problem", "context", "message"),
    [
        (
            LinearProgram(bounds=[(column("l"), column("u")), (0, 1)]),
            {"l": [0.0, 2.0, 0.0], "u": [1.0, 1.0, 1.0]},
            r"bounds\[0\] = \(2.0, 1.0\) hold no number at row 1 of the context",
        ),
        (
            LinearProgram(bounds=(2, column("u"))),
            {"u": [2.0, 3.0, 1.0]},
            r"bounds = \(2.0, 1.0\) hold no number at row 2 of the context",
        ),
        (
            KnapsackProblem([1, 2], column("c")),
            {"c": [0.0, 1.0, -1.0]},
            "capacity is negative at row 2 of the context: -1.0. Give 0",
        ),
        (
            KnapsackProblem([[1, 2], [1, 1]], [1.0, column("c")]),
            {"c": [0.0, -2.0, -1.0]},
            r"capacity\[1\] is negative at row 1 of the context: -2.0",
        ),
        (
            TopKProblem(column("k")),
            {"k": [1, 0, 1]},
            "k must be an integer of at least 1, but is 0.0 at row 1 of the context",
        ),
        (TopKProblem(column("k")), {"k": [1, 1.5, 1]}, "but is 1.5 at row 1 of the context"),
        (
            TopKProblem(column("k")),
            {"k": [1, 2, 3]},
            "k=3 items cannot be chosen from 2, as row 2 of the context asks for",
        ),
        (
            MatchingProblem(2, 1, present_left=[True, column("b")]),
            {"b": [0, 1, 2]},
            r"present_left\[1\] must be 1 or 0, but is 2.0 at row 2 of the context",
        ),
    ],
)
def test_a_context_that_makes_no_sense_names_its_row(problem, context, message):
    with pytest.raises(ValueError, match=message):
        problem.solve(np.ones((3, 2)), context=table(**context))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (LinearProgram([[1, column("a")], [1, 2]], [1]), r"b_ub must have one entry per row"),
        (LinearProgram([[np.nan, column("a")]], [1]), "A_ub is not finite at row 0, column 0"),
        (LinearProgram([[1, 1]], [column("a"), np.nan]), "b_ub must have one entry"),
        (LinearProgram([[1, 1]] * 2, [column("a"), np.nan]), r"b_ub\[1\] is nan"),
        (LinearProgram(bounds=[(0, column("a")), (2, 1)]), r"bounds\[1\] = \(2.0, 1.0\)"),
        (LinearProgram(bounds=[(column("a"), "b"), (0, 1)]), "bounds must hold numbers and None"),
        (LinearProgram([[1, 1]], [1], known_cost=[1.0]), r"known_cost must .* \(2,\), got \(1,\)"),
        (LinearProgram([[1, 1]], [1], known_cost=1.0), r"known_cost must have one entry"),
        (LinearProgram([[1, 1]], [1], known_cost=[column("a"), np.inf]), "known_cost is not fin"),
        (LinearProgram([[1, 1]], [1], known_cost=["a", "b"]), "known_cost must hold numbers"),
        (LinearProgram([[1, 1]], [1], integrality=[column("a"), 1]), "integrality must hold 0"),
        (KnapsackProblem([1, column("w")], 1.0), "weights cannot be read from the context"),
        (KnapsackProblem([1, 2], [column("c"), 1.0]), "capacity must have one entry per resource"),
        (KnapsackProblem([[1, 2]] * 2, [column("c"), -1.0]), "capacity must be finite and at lea"),
        (MatchingProblem(2, 1, present_left=[True]), r"present_left must .* \(2,\), got \(1,\)"),
        (MatchingProblem(2, 1, present_left=[True, 2]), "present_left must hold True and False"),
        (MatchingProblem(2, 1, present_right=column("a")), "present_right must have one entry"),
        (TopKProblem(1.5), "k must be a whole number"),
    ],
)
def test_constants_are_still_checked(problem, message):
    with pytest.raises(ValueError, match=message):
        problem.check_parameters(np.ones((3, 2)))


def test_what_needs_the_context_says_so():
    problem = limited()
    z = np.ones((2, 2))
    missing = "reads 'least', 'most'|reads 'most', 'least'"
    for call in (
        lambda: problem.is_feasible(z),
        lambda: problem.violation(z),
        lambda: problem.cost(z, z),
        lambda: problem.optimal_cost(z),
    ):
        with pytest.raises(ValueError, match=missing):
            call()
    with pytest.raises(ValueError, match="context has 1 rows, but decisions have 2"):
        problem.violation(z, context=table(most=[1.0], least=[1.0]))
    perfect = MatchingProblem(2, 1, perfect=True, present_left=[True, column("a")])
    with pytest.raises(ValueError, match="MatchingProblem cannot be written as one linear program"):
        perfect.as_linear_program()
    assert problem.as_linear_program().context_columns() == problem.context_columns()
    problem.check_parameters(z)
    known = LinearProgram(bounds=(0, 1), known_cost=[1.7e308])
    with pytest.raises(ValueError, match="known_cost and y together are too large at row 1"):
        known.solve([1.0, 1.7e308])
