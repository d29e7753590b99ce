"""Numbers that are read from the context: markers, columns, and what goes wrong with them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    LinearProgram,
    NewsvendorProblem,
    ShortestPathProblem,
    StorageProblem,
)
from dfl_sklearn.problems._context import at, each_context, filled, markers


class Capped(DecisionProblem):
    """Buy at most a cap at a price; every unit short costs 1."""

    def __init__(self, cap, price=0.5):
        self.cap = cap
        self.price = price

    def solve_rows(self, y, context=None):
        if context is not None:
            return each_context(self, context, lambda problem, y: problem.solve_rows(y), y)
        if (y > 1e6).any():
            raise ValueError(f"row {int(np.argmax((y > 1e6).any(axis=1)))} of y is too large")
        return np.minimum(y, self.cap) if self.price < 1 else np.zeros_like(y)

    def cost_rows(self, decisions, y, context=None):
        price = self._known(self.price, context)
        return (price * decisions + abs(y - decisions))[:, 0]


def test_rows_of_one_context_are_solved_together_and_put_back_in_order():
    problem = Capped(FromContext("cap"), FromContext("price"))
    y = np.arange(6.0)[:, None]
    context = pd.DataFrame({"price": [0.5, 2, 0.5, 2, 0.5, 0.5], "cap": [1, 1, 9, 9, 1, 3]})
    z = problem.solve(y, context=context)
    np.testing.assert_array_equal(z[:, 0], [0, 0, 2, 0, 1, 3])
    np.testing.assert_array_equal(problem.cost(z, y, context=context), [0, 1, 1, 3, 3.5, 3.5])
    by_position = Capped(FromContext(1), FromContext(0))
    np.testing.assert_array_equal(by_position.solve(y, context=context), z)
    np.testing.assert_array_equal(by_position.solve(y, context=context.to_numpy()), z)


def test_an_error_names_the_row_among_all_rows():
    problem = Capped(FromContext("cap"))
    y = np.array([[1.0], [2.0], [1e7], [3.0]])
    with pytest.raises(ValueError, match=r"^row 2 of y"):
        problem.solve(y, context=pd.Series([1, 2, 1, 2], name="cap"))


def test_columns_of_the_same_name_are_refused():
    problem = Capped(FromContext("cap"), FromContext("price"))
    twice = pd.DataFrame([[1.0, 7.0, 0.5]] * 2, columns=["cap", "cap", "price"])
    with pytest.raises(ValueError, match=r"reads 'cap' .* which has several columns of that name"):
        problem.solve([[1.0], [2.0]], context=twice)
    levels = twice.set_axis(
        pd.MultiIndex.from_tuples([("cap", 1), ("cap", 2), ("price", 1)]), axis=1
    )
    with pytest.raises(ValueError, match="several columns of that name"):
        problem.solve([[1.0], [2.0]], context=levels)


def test_a_missing_entry_of_any_type_is_named():
    problem = Capped(FromContext("cap"))
    for dtype in ("Int64", "Float64", "boolean"):
        context = pd.DataFrame({"cap": pd.array([1, pd.NA], dtype=dtype)})
        with pytest.raises(ValueError, match=r"context column 'cap' .*(row 1|\[1\])"):
            problem.solve([[1.0], [2.0]], context=context)


def test_a_row_that_could_not_be_solved_is_named_among_all_rows():
    context = np.array([[1.0], [2.0], [1.0], [2.0]])

    def fails(problem, y):
        raise RuntimeError(f"row 1 of y, where y is {y[1, 0]}")

    with pytest.raises(RuntimeError, match=r"^row 2 of y, where y is 7\.0$"):
        each_context(Capped(FromContext(0)), context, fails, np.array([[5.0], [6.0], [7.0], [8.0]]))


def test_marked_entries_of_sequences():
    value = [1.0, FromContext("b"), [FromContext("a")]]
    assert [each.column for each in markers(value)] == ["b", "a"]
    context = np.array([[1.0, 2.0], [3.0, 4.0]])
    columns = ["b", "a"]
    np.testing.assert_array_equal(filled(FromContext("a"), context, columns), [[2.0], [4.0]])
    np.testing.assert_array_equal(
        filled([7.0, FromContext("b")], context, columns), [[7.0, 1.0], [7.0, 3.0]]
    )
    np.testing.assert_array_equal(filled([7.0, 8.0], None, columns), [7.0, 8.0])
    there = at(Capped([1.0, FromContext("cap")]), np.array([5.0]))
    assert there.cap == [1.0, 5.0]
    assert there.context_columns() == []


@pytest.mark.parametrize("column", [-1, 1.0, True, None, ["a"]])
def test_a_marker_takes_a_name_or_a_position(column):
    with pytest.raises(ValueError, match="name of a column of the context, or its position"):
        FromContext(column)


@pytest.mark.parametrize("number", [3.0, np.float32(3), np.array(3), torch.tensor(3.0)])
def test_a_single_number_is_no_context(number):
    y = np.ones((2, 1))
    for column, given in (
        ("cap", r"give pandas.DataFrame\({'cap': np.full\(2, 3\)}\)"),
        (0, r"give np.full\(2, 3\)"),
    ):
        problem = Capped(FromContext(column))
        for ask in (problem.solve, partial(problem.cost, y), partial(problem.violation, y)):
            with pytest.raises(ValueError, match=r"row for each decision, .* number 3.*" + given):
                ask(y, context=number)
    with pytest.raises(ValueError, match=r"y must have shape .* Give \[3\] for one row"):
        problem.solve(number, context=[1.0])
    with pytest.raises(ValueError, match=r"context has 1 rows, but y has 2\. Repeat"):
        problem.solve(y, context=[3.0])


def test_what_is_wrong_with_a_context_is_said():
    problem, y = Capped(FromContext("cap")), np.ones((2, 1))
    with pytest.raises(ValueError, match=r"reads 'cap' from the context, but none was given"):
        problem.solve(y)
    with pytest.raises(ValueError, match=r"no column names. Give a pandas DataFrame"):
        problem.solve(y, context=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"lacks 'cap', .*; it has \['limit'\]"):
        problem.solve(y, context=pd.DataFrame({"limit": [1, 2]}))
    with pytest.raises(ValueError, match=r"context column 'cap' is not finite at row 1"):
        problem.solve(y, context=pd.DataFrame({"cap": [1, np.inf]}))
    with pytest.raises(ValueError, match=r"context column 'cap' must hold numbers"):
        problem.solve(y, context=pd.DataFrame({"cap": ["one", "two"]}))
    with pytest.raises(ValueError, match=r"context has 3 rows, but y has 2"):
        problem.solve(y, context=pd.DataFrame({"cap": [1, 2, 3]}))
    with pytest.raises(ValueError, match=r"reads column 1 of the context, which has 1 column"):
        Capped(FromContext(1)).solve(y, context=[1.0, 2.0])
    with pytest.raises(ValueError, match="must name all columns"):
        Capped(FromContext(1), FromContext("price")).solve(y, context=np.ones((2, 2)))
    with pytest.raises(ValueError, match="takes no context"):
        Capped(1.0).solve(y, context=[1.0, 2.0])


def test_markers_are_found_in_whatever_holds_numbers():
    y, context = np.array([[3.0, 3.0, 1.0]] * 2), [0.0, 1.0]
    edges, closed = [(0, 1), (1, 2), (0, 2)], [False, False, FromContext(0)]
    for each in (closed, tuple(closed), pd.Series(closed), np.array(closed, dtype=object)):
        paths = ShortestPathProblem(edges, closed=each)
        assert paths.takes_context
        np.testing.assert_array_equal(paths.solve(y, context=context), [[0, 0, 1], [1, 1, 0]])
    rows = pd.DataFrame([[1.0, FromContext(0)]])
    program = LinearProgram(rows, pd.Series([1.0]), bounds=(0, 1), sense="max")
    np.testing.assert_array_equal(
        program.solve([[1.0, 2.0]] * 2, context=[1.0, 4.0]), [[0, 1], [1, 0]]
    )
    single = NewsvendorProblem(np.array(FromContext(0), dtype=object), 1)
    np.testing.assert_array_equal(single.cost([0.0], [1.0, 2.0], context=[3.0, 4.0]), [3.0, 8.0])
    assert FromContext(np.int64(3)) == FromContext(3)
    assert type(FromContext(np.int64(3)).column) is int


def test_a_layer_for_each_context_names_the_row():
    square = [(0, 1), (0, 2), (1, 3), (2, 3)]
    paths = ShortestPathProblem(square, closed=[FromContext(0), FromContext(1), False, False])
    context = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match=r"^At row 2 of the context: No path leads from node 0"):
        paths.decision_layer(0.1)(torch.rand(3, 4), context)
    program = LinearProgram([[FromContext(0), 1.0]], [FromContext(1)], sense="max")
    context = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match=r"^At row 1 of the context: The constraints contradict"):
        program.decision_layer(1.0)(torch.ones(3, 2).double(), context.double())


def test_decisions_and_context_of_different_lengths():
    with pytest.raises(ValueError, match="context has 2 rows, but decisions have 1"):
        StorageProblem(FromContext(0)).is_feasible([[0.0, 0.0]], context=[1.0, 2.0])


def test_a_number_that_is_not_marked_goes_with_arrays_and_tensors():
    price = Capped(cap=3.0)._known(2.0, None)
    slopes = torch.ones((2, 1), requires_grad=True)
    cost = price * slopes
    assert torch.autograd.grad(cost.sum(), slopes)[0].ravel().tolist() == [2.0, 2.0]
    np.testing.assert_array_equal(price * np.ones((2, 1)), [[2.0], [2.0]])
    assert (price.shape, price.dtype) == ((), np.float64)
