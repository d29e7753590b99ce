"""Costs of one's own that take a context."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import FromContext, FunctionProblem, SquaredErrorProblem


def priced(z, y, price):
    return price * z + 0.5 * (y - z) ** 2


def priced_and_limited(z, y, context):
    """The vertex of a parabola, with a penalty beyond a limit that is steeper than its slope."""
    price, limit = context[:, 0], context[:, 1]
    return priced(z, y, price) + 100.0 * np.maximum(z - limit, 0.0)


def plain(z, y):
    return (z - y) ** 2


def optional(z, y, context=None):
    return plain(z, y) if context is None else priced(z, y, context)


def anything(*rows):
    return plain(*rows[:2])


class Tariff:
    def __call__(self, z, y, price):
        return priced(z, y, price)


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (priced, True),
        (optional, True),
        (anything, True),
        (Tariff(), True),
        (partial(priced, price=2.0), False),
        (plain, False),
        (lambda z, y, *, price=1.0: priced(z, y, price), False),
        (np.subtract, True),  # takes two or three, the last to write to; it says not which
        (3, False),
    ],
)
def test_the_signature_decides(function, takes):
    assert FunctionProblem(function, (0, 1)).takes_context == takes


def rows(n=12, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(2, 9, n)
    return y, pd.DataFrame({"price": rng.uniform(0, 2, n), "limit": rng.uniform(1, 9, n)})


def expected(y, context):
    return np.minimum(y - context["price"], context["limit"])


def test_a_table_is_handed_on_in_the_order_of_its_columns():
    problem = FunctionProblem(priced_and_limited, (0, 20))
    y, context = rows()
    z = problem.solve(y, context=context)
    assert_allclose(z, expected(y, context), atol=1e-6)
    assert_array_equal(problem.solve(y, context=context.to_numpy()), z)
    assert_array_equal(
        problem.cost(z, y, context=context), priced_and_limited(z, y, context.values)
    )
    swapped = problem.solve(y, context=context[["limit", "price"]])
    wrong = context.rename(columns={"price": "limit", "limit": "price"})
    assert_allclose(swapped, np.maximum(expected(y, wrong), 0), atol=1e-6)
    assert problem.context_columns() == []
    assert problem.is_feasible(z, context=context).all()


def test_scenarios_and_rows_with_a_context():
    y, context = rows()
    scenarios = np.column_stack([y - 1, y + 1])[:, :, None]
    one_by_one = FunctionProblem(priced, (0, 20), vectorized=False)
    for problem in (FunctionProblem(priced, (0, 20)), one_by_one):
        z = problem.solve(scenarios, context=context["price"])
        assert_allclose(z[:, 0], y - context["price"], atol=1e-5)


@pytest.mark.parametrize("smoothing", [None, 0.05])
def test_the_layer_holds_the_context_still(smoothing):
    problem = FunctionProblem(priced_and_limited, (0, 20))
    y, context = rows()
    known = torch.as_tensor(problem.context_rows(context, len(y)))
    tensor = torch.tensor(y[:, None], requires_grad=True)
    layer = problem.decision_layer(smoothing)
    for each in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        z = each(tensor, known)
        assert_allclose(z[:, 0].detach(), expected(y, context), atol=1e-6)
        (slope,) = torch.autograd.grad(z.sum(), tensor)
        at_limit = y - context["price"] > context["limit"]
        clear = np.abs(y - context["price"] - context["limit"]) > 0.1
        assert_allclose(slope[clear, 0], ~at_limit[clear], atol=1e-4)
    still = known.clone().requires_grad_()
    z = layer(tensor, still)
    assert torch.autograd.grad(z.sum(), still, allow_unused=True) == (None,)


def test_the_cost_follows_decisions_with_a_context():
    problem, (y, context) = FunctionProblem(priced, (0, 20)), rows()
    z = torch.full((len(y), 1), 3.0, dtype=torch.float64, requires_grad=True)
    known = torch.as_tensor(context[["price"]].to_numpy(copy=True))
    problem.cost_rows(z, torch.as_tensor(y[:, None]), known).sum().backward()
    assert_allclose(z.grad[:, 0], context["price"] - (y - 3.0), atol=1e-6)


def test_a_context_that_is_missing_or_in_vain_is_named():
    y, context = rows()
    takes, does_not = FunctionProblem(priced, (0, 20)), FunctionProblem(plain, (0, 20))
    optionally = FunctionProblem(optional, (0, 20))
    message = (
        r"priced\(z, y, price\) cannot be called as priced\(decisions, y\): .*give context=\.$"
    )
    tensor = torch.as_tensor(y[:, None])
    for use in (
        lambda: takes.solve(y),
        lambda: takes.cost(y, y),
        lambda: takes.decision_layer()(tensor),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    for use in (
        lambda: does_not.solve(y, context=context),
        lambda: does_not.cost(y, y, context=context),
        lambda: does_not.decision_layer()(tensor, tensor),
    ):
        with pytest.raises(ValueError, match="FunctionProblem takes no context"):
            use()
    with pytest.raises(ValueError, match=r"plain\(z, y\) .*y, context\): it takes no context\.$"):
        does_not.cost_rows(y[:, None], y[:, None], context.to_numpy())
    assert_allclose(optionally.solve(y), y, atol=1e-6)
    assert_allclose(optionally.solve(y, context=context["price"]), y - context["price"], atol=1e-6)
    with pytest.raises(ValueError, match="context column 'price' is not finite at row 1"):
        takes.solve(y[:2], context=pd.DataFrame({"price": [1.0, np.nan]}))
    table = pd.DataFrame({"price": [1.0, 2.0], "weekday": ["Mon", "Sat"]})
    with pytest.raises(ValueError, match=r"'weekday' must hold numbers.* give only those"):
        takes.solve(y[:2], context=table)
    assert_array_equal(
        takes.solve(y[:2], context=table[["price"]]), takes.solve(y[:2], context=[1.0, 2.0])
    )


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"bounds": (0, FromContext("limit"))}, "bounds"),
        ({"bounds": [(0, 1), (0, FromContext("limit"))]}, "bounds"),
        ({"tol": FromContext("tol")}, "tol"),
        ({"n_starts": FromContext("n")}, "n_starts"),
        ({"vectorized": FromContext(0)}, "vectorized"),
        ({"cost_function": FromContext(0)}, "cost_function"),
    ],
)
def test_no_parameter_can_be_read_from_the_context(params, name):
    problem = FunctionProblem(**{"cost_function": priced, "bounds": (0, 20)} | params)
    y, context = rows()
    for use in (
        lambda: problem.solve(y, context=context),
        lambda: problem.cost(y, y, context=context),
        lambda: problem.is_feasible(y, context=context),
        lambda: problem.check_parameters(y),
        problem.decision_layer,
    ):
        with pytest.raises(ValueError, match=f"cannot read {name} from the context"):
            use()


def test_the_squared_error_takes_none():
    assert not SquaredErrorProblem().takes_context
    with pytest.raises(ValueError, match="SquaredErrorProblem takes no context"):
        SquaredErrorProblem().solve([1.0], context=[1.0])
