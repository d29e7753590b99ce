"""Newsvendor, provisioning and coverage with numbers that differ by row."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import (
    CoverageProblem,
    FromContext,
    NewsvendorProblem,
    ProvisioningProblem,
)

from ..contracts.context_contract import check_context_contract, table


def drawn(n=8, seed=0):
    """A context of which rows 0 and 1, and no others, are equal."""
    rng = np.random.default_rng(seed)
    columns = {
        "under": rng.uniform(0.5, 9, n),
        "over": rng.uniform(0.5, 9, n),
        "low": rng.uniform(0, 2, n),
        "high": rng.uniform(4, 12, n),
        "eta": rng.uniform(0.3, 0.9, n),
        "a": rng.uniform(2, 30, n),
        "b": rng.uniform(0.5, 2, n),
        "active": rng.uniform(0.2, 2, n),
        "idle": rng.uniform(0.2, 1, n),
        "k": rng.integers(1, 5, n),
        "worth": rng.uniform(0.1, 3, n),
    }
    context = pd.DataFrame(columns)
    context.iloc[1] = context.iloc[0]
    return context


NEWSVENDORS = {
    "shortage": (NewsvendorProblem(FromContext("under"), 2.0), 2),
    "left over": (NewsvendorProblem([1.0, 3.0], FromContext("over")), 2),
    "one product": (NewsvendorProblem([FromContext("under"), 4.0], [FromContext("over"), 1.0]), 2),
    "both": (NewsvendorProblem(FromContext("under"), FromContext("over")), 1),
    "array": (NewsvendorProblem(np.array([3.0, FromContext("over")], dtype=object), 1), 2),
    "net position": (NewsvendorProblem(FromContext("under"), 1.0, nonnegative=False), 2),
}


@pytest.mark.parametrize("name", NEWSVENDORS)
def test_newsvendor_contract(name):
    problem, n_products = NEWSVENDORS[name]
    y = np.random.default_rng(1).uniform(0.5, 10, (8, n_products))
    check_context_contract(problem, y, drawn(), smoothing=(None, 0.0, 0.4))


def test_newsvendor_orders_the_quantile_of_each_row():
    context, rng = drawn(200), np.random.default_rng(2)
    problem = NewsvendorProblem(FromContext("under"), [1.0, FromContext("over")])
    y, weight = rng.uniform(0, 10, (200, 15, 2)), rng.dirichlet(np.ones(15), 200)
    orders = problem.solve(y, context=context, scenario_weight=weight)
    for i, row in context.iterrows():
        for j, over in enumerate((1.0, row["over"])):
            level = row["under"] / (row["under"] + over)
            expected = np.quantile(y[i, :, j], level, method="inverted_cdf", weights=weight[i])
            assert orders[i, j] == expected
    z = rng.uniform(0, 10, (200, 2))
    short, left = np.maximum(y[:, 0] - z, 0), np.maximum(z - y[:, 0], 0)
    over = np.column_stack([np.ones(200), context["over"]])
    expected = (context[["under"]].to_numpy() * short + over * left).sum(axis=1)
    assert_allclose(problem.cost(z, y[:, 0], context=context), expected, rtol=1e-13)


def test_newsvendor_with_large_and_small_costs():
    problem = NewsvendorProblem(FromContext("under"), FromContext("over"))
    context = table(under=[1e308, 1e-300, 1e308], over=[1e308, 3e-300, 1.0])
    y = np.tile(np.arange(1.0, 11.0)[:, None], (3, 1, 1))
    assert_array_equal(problem.solve(y, context=context)[:, 0], [5.0, 3.0, 10.0])


def by_hand(row, u, y):
    """The cost of provisioning as it stands in the docstring, for one service."""
    u, v = ((each - row["low"]) / (row["high"] - row["low"]) for each in (u, y))
    v = max(v, 0.0)
    energy = row["active"] * np.minimum(u, v) + row["idle"] * np.maximum(u - v, 0)
    served = np.minimum(1.0, u / v) if v > 0 else 0.0
    value = v * np.log1p(row["a"] * served) / (row["b"] * np.log1p(row["a"]))
    return (1 - row["eta"]) * energy - row["eta"] * value


FIXED = {
    "c_min": 1.0,
    "c_max": 9.0,
    "eta": 0.8,
    "a": 20.0,
    "b": 1.2,
    "e_active": 1.4,
    "e_idle": 0.5,
}
COLUMNS = {"c_min": "low", "c_max": "high", "eta": "eta", "a": "a", "b": "b"} | {
    "e_active": "active",
    "e_idle": "idle",
}


@pytest.mark.parametrize("names", [*[[name] for name in COLUMNS], list(COLUMNS)])
def test_provisioning_contract(names):
    marked = {name: FromContext(COLUMNS[name]) for name in names}
    y = np.random.default_rng(1).uniform(0, 20, (8, 2))
    check_context_contract(ProvisioningProblem(**FIXED | marked), y, drawn(), smoothing=(None, 0.4))


@pytest.mark.parametrize("n_scenarios", [1, 6])
def test_provisioning_against_a_fine_grid(n_scenarios):
    context, rng = drawn(12), np.random.default_rng(3)
    problem = ProvisioningProblem(**{name: FromContext(each) for name, each in COLUMNS.items()})
    y, weight = rng.uniform(0, 14, (12, n_scenarios, 1)), rng.dirichlet(np.ones(n_scenarios), 12)
    y[3] = 0.0
    z = problem.solve(y, context=context, scenario_weight=weight)
    if n_scenarios == 1:
        assert_allclose(problem.solve(y[:, 0], context=context), z, atol=1e-6)
    for i, row in context.iterrows():
        grid = np.linspace(row["low"], row["high"], 20_001)
        mean, found = (
            sum(w * by_hand(row, u, each) for w, each in zip(weight[i], y[i, :, 0], strict=True))
            for u in (grid, z[i, 0])
        )
        assert mean.min() - 1e-4 < found <= mean.min() + 1e-9
    paid = problem.cost(z, y[:, 0], context=context)
    expected = [by_hand(row, z[i, 0], y[i, 0, 0]) for i, row in context.iterrows()]
    assert_allclose(paid, expected, rtol=1e-12)


def test_a_capacity_is_checked_against_the_limits_of_its_row():
    problem = ProvisioningProblem(1.0, FromContext("high"))
    context = table(high=[5.0, 3.0])
    assert_array_equal(problem.is_feasible([4.0, 4.0], context=context), [True, False])
    message = r"not a capacity between c_min=1.0 and c_max=3.0 at row 1, column 0: 4.0"
    for decisions in ([4.0, 4.0], [4.0]):  # one for all rows, too
        with pytest.raises(ValueError, match=message):
            problem.cost(decisions, [1.0, 1.0], context=context)
    with pytest.raises(ValueError, match="decisions is not finite"):
        problem.cost([4.0, np.nan], [1.0, 1.0], context=context)
    with pytest.raises(ValueError, match="decisions have 3 rows and y has 2"):
        problem.cost([2.0, 2.0, 2.0], [1.0, 1.0], context=context)


def test_many_rows_with_numbers_of_their_own_are_quick():
    n = 100_000
    context, y = drawn(n), np.random.default_rng(4).uniform(0, 20, (n, 1))
    for problem in (
        NewsvendorProblem(FromContext("under"), FromContext("over")),
        ProvisioningProblem(**{name: FromContext(each) for name, each in COLUMNS.items()}),
    ):
        begin = time.process_time()
        problem.optimum(y, context=context)
        assert time.process_time() - begin < 1.0  # about 0.05 s; a loop over rows takes a minute


def value_by_hand(chosen, probabilities, weights):
    missed = np.prod(1.0 - probabilities[list(chosen)], axis=0)
    return weights @ (1.0 - missed)


COVERAGES = {
    "budget": CoverageProblem(FromContext("k"), 4),
    "a weight": CoverageProblem(2, 4, [1.0, FromContext("worth"), 0.5]),
    "both": CoverageProblem(FromContext("k"), 4, [FromContext("worth"), 0.5, FromContext("under")]),
}


@pytest.mark.parametrize("name", COVERAGES)
def test_coverage_contract(name):
    y = np.random.default_rng(0).uniform(0.1, 0.5, (5, 12))
    check_context_contract(COVERAGES[name], y, drawn(5), smoothing=(None, 0.3))


def test_coverage_against_all_subsets():
    rng, context = np.random.default_rng(5), drawn(60)
    problem = COVERAGES["both"]
    y = rng.uniform(0, 1, (60, 12)) * (rng.random((60, 12)) < 0.7)
    scenarios = np.stack([y, rng.permutation(y)], axis=1)
    for given in (y[:, None], scenarios):
        z = problem.solve(given, context=context)
        for i, row in context.iterrows():
            weights = np.array([row["worth"], 0.5, row["under"]])

            def mean(chosen, i=i, weights=weights, given=given):
                each = [value_by_hand(chosen, p.reshape(4, 3), weights) for p in given[i]]
                return np.mean(each)

            k = int(row["k"])
            best = max(mean(chosen) for chosen in itertools.combinations(range(4), k))
            chosen = np.flatnonzero(z[i])
            assert len(chosen) <= k
            assert (1 - 1 / np.e) * best - 1e-12 <= mean(chosen) <= best + 1e-12
            if k == 1:
                assert mean(chosen) == pytest.approx(best)


def test_coverage_rounds_to_the_budget_of_each_row():
    rng, context = np.random.default_rng(6), drawn(20)
    problem, y = COVERAGES["both"], np.random.default_rng(7).uniform(0, 1, (20, 12))
    z = np.minimum(rng.dirichlet(np.ones(4), 20) * context[["k"]].to_numpy(), 1.0)
    rounded = problem.round_decisions(z, y, context=context)
    assert problem.is_feasible(rounded, context=context).all()
    paid = [problem.cost(each, y, context=context) for each in (rounded, z)]
    assert (paid[0] <= paid[1] + 1e-9).all()
    row = int((context["k"] == 1).to_numpy().argmax())
    z[row] = 0.5
    with pytest.raises(ValueError, match=rf"decisions choose 2.0 items in row {row}; k=1"):
        problem.round_decisions(z, y, context=context)
    with pytest.raises(ValueError, match="reads 'k', 'worth', 'under' from the context, but none"):
        problem.round_decisions(z, y)


@pytest.mark.parametrize(
    ("problem", "context", "message"),
    [
        (
            NewsvendorProblem(FromContext("p")),
            {"p": [1.0, 0.0, -2.0]},
            r"underage_cost, read from column 'p' of the context, must be positive, but is 0.0 at "
            r"row 1 \(2 such rows in all\)",
        ),
        (NewsvendorProblem(1, [1, FromContext("p")]), {"p": [1, 1, -1]}, "overage_cost.*at row 2"),
        (ProvisioningProblem(c_max=FromContext("p")), {"p": [300, 200, 300]}, "200.0 at row 1 of"),
        (ProvisioningProblem(FromContext("p"), 9), {"p": [0, -1, 3]}, "c_min.*at least 0.*row 1"),
        (ProvisioningProblem(eta=FromContext("p")), {"p": [0.5, 0.5, 1]}, "eta.*0 and 1.*row 2"),
        (ProvisioningProblem(a=FromContext("p")), {"p": [1, 1, 0]}, "a, read from.*positive"),
        (ProvisioningProblem(e_idle=FromContext("p")), {"p": [0, 1, 1]}, "e_idle, read.*row 0"),
        (
            CoverageProblem(FromContext("p"), 2),
            {"p": [1, 2, 3]},
            "k, read from column 'p'.*a whole number from 1 to n_items=2, but is 3.0 at row 2",
        ),
        (CoverageProblem(FromContext("p"), 2), {"p": [1, 0, 1]}, "whole number.*0.0 at row 1"),
        (CoverageProblem(FromContext("p"), 2), {"p": [1, 1.5, 1]}, "whole number.*1.5 at row 1"),
        (CoverageProblem(1, 2, [FromContext("p")]), {"p": [1, 0, 1]}, "weights, read.*positive"),
    ],
)
def test_rows_that_make_no_sense_are_named(problem, context, message):
    y = np.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=message):
        problem.solve(y, context=table(**context))
    with pytest.raises(ValueError, match=message):
        problem.context_rows(table(**context), 3)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (NewsvendorProblem(nonnegative=FromContext(0)), "cannot read nonnegative from the context"),
        (NewsvendorProblem(FromContext(0), [1.0, -1.0]), r"overage_cost\[1\] must be positive"),
        (NewsvendorProblem([1, FromContext(0), 0], 1), r"underage_cost\[2\] must be positive"),
        (NewsvendorProblem([[FromContext(0)]]), "underage_cost must be a number or a 1-d sequence"),
        (NewsvendorProblem([FromContext(0), 1], [1] * 3), "has 2 entries and overage_cost 3"),
        (ProvisioningProblem(c_max=[FromContext(0)]), "c_max must be a number"),
        (ProvisioningProblem(c_max=FromContext(0), eta=2), "eta must lie strictly between"),
        (ProvisioningProblem(c_max=FromContext(0), c_min=-1), "c_min must be at least 0"),
        (CoverageProblem(1, FromContext(0)), "cannot read n_items from the context"),
        (CoverageProblem([FromContext(0)], 3), "k must be a whole number"),
        (CoverageProblem(FromContext(0), 2, [1.0, -1.0]), r"weights\[1\] must be positive"),
    ],
)
def test_constants_that_make_no_sense_are_named(problem, message):
    for use in (problem.solve, problem.check_parameters, lambda y: problem.decision_layer()):
        with pytest.raises(ValueError, match=message):
            use(np.full((2, 2), 0.5))


def test_a_context_may_be_a_tensor():
    problem = ProvisioningProblem(1.0, FromContext(0))
    y = torch.tensor([[2.0], [50.0]])
    z = problem.solve(y.numpy(), context=torch.tensor([[9.0], [7.0]]))
    assert_array_equal(z, problem.solve(y.numpy(), context=[9.0, 7.0]))
    with pytest.raises(ValueError, match=r"c_min must be below c_max.* at row 1"):
        problem.solve(y.numpy(), context=torch.tensor([[9.0], [1.0]]))
    with pytest.raises(ValueError, match="context is not finite at row 0"):
        problem.solve(y.numpy(), context=torch.tensor([[np.nan], [1.0]]))
    paid = problem.cost(torch.as_tensor(z, dtype=torch.float32), y, context=[9.0, 7.0])
    assert paid.dtype == torch.float32
    layer = problem.decision_layer()
    assert layer(y, torch.tensor([[9.0], [7.0]], dtype=torch.float64)).dtype == torch.float32
    with pytest.raises(ValueError, match="The layer takes 2 rows of context, got 1"):
        layer(y, torch.tensor([[9.0]]))
