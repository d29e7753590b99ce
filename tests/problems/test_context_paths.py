"""Shortest paths whose ends and closed edges are read from the context."""

import time

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from dfl_sklearn.metrics import regret
from dfl_sklearn.problems import FromContext, LinearProgram, ShortestPathProblem

from ..contracts.context_contract import check_context_contract, table
from .test_cyclic_paths import as_networkx, flow_program, multigraph, simple_paths

ROADS = ShortestPathProblem.grid(3, 3, two_way=True).edges
ONE_WAY = ShortestPathProblem.grid(3, 3).edges
FEW = {"cyclic": ShortestPathProblem.grid(2, 3, two_way=True).edges}
FEW["acyclic"] = ShortestPathProblem.grid(2, 3).edges


def closed_at(*edges, n_edges):
    """Return edges that are closed where the columns "closed 0", "closed 1", ... say so."""
    found = [False] * n_edges
    for i, edge in enumerate(edges):
        found[edge] = FromContext(f"closed {i}")
    return found


def drawn(rng, n):
    """A context with equal rows among others."""
    pick = rng.integers(4, size=n)
    return table(
        source=np.array([0, 1, 3, 0])[pick],
        target=np.array([8, 7, 8, 5])[pick],
        **{"closed 0": np.array([0, 1, 0, -2])[pick], "closed 1": np.array([0, 0, 3, 1])[pick]},
    )


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("marked", ["source", "target", "closed", "source, target, closed"])
def test_contract(kind, marked):
    edges, rng = FEW[kind], np.random.default_rng(0)
    marks = {
        "source": FromContext("source"),
        "target": FromContext("target"),
        "closed": closed_at(2, 4, n_edges=len(edges)),
    }
    problem = ShortestPathProblem(edges, **{name: marks[name] for name in marked.split(", ")})
    pick = rng.integers(4, size=8)
    context = table(
        source=np.array([0, 1, 0, 0])[pick],
        target=np.array([5, 4, 5, 4])[pick],
        **{"closed 0": np.array([0, 1, 0, -2])[pick], "closed 1": np.array([0, 0, 3, 0])[pick]},
    )
    y = rng.uniform(0.5, 3.0, (8, len(edges)))
    check_context_contract(problem, y, context, smoothing=(1.0,) if "," in marked else ())
    if kind == "acyclic":
        check_context_contract(problem, y - 1.5, context)


def test_random_contexts_against_networkx():
    rng = np.random.default_rng(1)
    for _ in range(12):
        n_nodes = int(rng.integers(4, 8))
        edges = multigraph(rng, n_nodes, 4 * n_nodes)
        m = len(edges)
        problem = ShortestPathProblem(
            edges, FromContext(m), FromContext(m + 1), closed=[FromContext(i) for i in range(m)]
        )
        rows = []
        while len(rows) < 8:
            closed = rng.random(m) < 0.2
            ends = rng.choice(n_nodes, 2, replace=False)
            if nx.has_path(as_networkx(edges, np.ones(m), ~closed), *ends):
                rows.append([*closed, *ends])
        context = np.array(rows, dtype=float)
        y = rng.integers(0, 4, (8, m)).astype(float)
        z = problem.solve(y, context=context)
        flows = problem.solve_rows(y - 1.0, problem.context_rows(context, 8))
        for row, path, flow, place in zip(y, z, flows, context, strict=True):
            is_open, (source, target) = place[:m] == 0, place[m:].astype(int)
            listed = simple_paths(edges, source, target, is_open)
            assert (path == listed).all(axis=1).any()
            graph = as_networkx(edges, row, is_open)
            assert row @ path == nx.dijkstra_path_length(graph, source, target)
            balance, right, bounds = flow_program(edges, source, target, is_open)
            assert_array_equal(balance @ flow, right)
            assert (flow <= [high for _, high in bounds]).all()
            least = linprog(row - 1.0, A_eq=balance, b_eq=right, bounds=bounds).fun
            assert_allclose((row - 1.0) @ flow, least, atol=1e-9)


def test_negative_lengths_without_cycles():
    rng = np.random.default_rng(2)
    problem = ShortestPathProblem(
        ONE_WAY, FromContext("source"), 8, closed=closed_at(3, 7, n_edges=len(ONE_WAY))
    )
    context = drawn(rng, 40)
    y = rng.normal(size=(40, len(ONE_WAY)))
    z = problem.solve(y, context=context)
    for row, path, (_, place) in zip(y, z, context.iterrows(), strict=True):
        is_open = np.ones(len(ONE_WAY), dtype=bool)
        is_open[[3, 7]] = place[["closed 0", "closed 1"]] == 0
        listed = simple_paths(ONE_WAY, int(place["source"]), 8, is_open)
        assert_allclose(row @ path, (listed @ row).min())
    assert not problem.violation(z, context=context).any()
    turned = problem.violation(np.roll(z, 1, axis=0), context=context)
    allowed = problem.is_feasible(np.roll(z, 1, axis=0), context=context)
    assert_array_equal((turned == 0).all(axis=1), allowed)
    assert 0 < allowed.sum() < 40


def test_nodes_without_numbers_are_read_by_position():
    roads = [("home", "bridge"), ("bridge", "work"), ("home", "work"), ("work", "home")]
    problem = ShortestPathProblem(roads, FromContext("from"), FromContext("to"))
    assert problem.nodes == ["home", "bridge", "work"]
    trips = pd.DataFrame({"from": ["home", "bridge", "work"], "to": ["work", "home", "bridge"]})
    context = trips.map(problem.nodes.index)
    z = problem.solve(np.ones((3, 4)), context=context)
    assert_array_equal(z, [[0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]])
    assert problem.is_feasible(z, context=context).all()
    # Integers are names, in whatever order they come.
    problem = ShortestPathProblem([[70, 5], [5, 9], [9, 70]], FromContext(0), 5)
    assert_array_equal(problem.solve(np.ones((2, 3)), context=[70, 9]), [[1, 0, 0], [1, 0, 1]])


def test_scenarios_and_metrics():
    rng = np.random.default_rng(3)
    problem = ShortestPathProblem(ROADS, 0, FromContext("target"))
    context = drawn(rng, 20)
    y = rng.uniform(0, 2, (20, 24))
    assert regret(y, y, problem=problem, context=context) == 0
    worse = regret(y, rng.normal(size=y.shape), problem=problem, context=context)
    assert worse > 0
    scenarios = rng.normal(0.5, 1.0, (20, 3, 24))
    z = problem.solve(scenarios, context=context)
    assert problem.is_feasible(z, context=context).all()
    assert_array_equal(z, problem.solve(scenarios.mean(axis=1), context=context))


NAMED = [("a", "b"), ("b", "a"), ("b", "c")]


@pytest.mark.parametrize(
    ("problem", "context", "message"),
    [
        (
            ShortestPathProblem(ROADS, FromContext("from")),
            {"from": [0, 1, 9]},
            r"source in context column 'from' is not a node of edges at row 2: 9.0\. Give the name",
        ),
        (
            ShortestPathProblem(ROADS, 0, FromContext("to")),
            {"to": [8, 2.5, 3]},
            r"target in context column 'to' is not a node of edges at row 1: 2.5",
        ),
        (
            ShortestPathProblem(NAMED, "a", FromContext("to")),
            {"to": [1, -1, 3]},
            r"at row 1: -1.0 \(2 such entries in all\)\. Give positions in nodes, from 0 to 2",
        ),
        (
            ShortestPathProblem(NAMED, FromContext("from"), "c"),
            {"from": [0, 1, 2]},
            "source and target are the same node, 'c', at row 2 of the context",
        ),
        (
            ShortestPathProblem(NAMED, "a", "c", closed=[FromContext("works"), False, False]),
            {"works": [0, 0, 1]},
            "No path leads from node 'a' to node 'c' along open edges at row 2 of the context",
        ),
        (
            ShortestPathProblem(ONE_WAY, FromContext("from"), 4),
            {"from": [0, 5, 1]},
            "No path leads from node 5 to node 4 along open edges at row 1",
        ),
    ],
)
def test_contexts_that_make_no_sense(problem, context, message):
    y, context = np.ones((3, len(problem.edges))), pd.DataFrame(context)
    for method in (problem.solve, problem.optimal_cost, problem.is_feasible):
        with pytest.raises(ValueError, match=message):
            method(y, context=context)
    with pytest.raises(ValueError, match=message):  # training does not check, but finds no path
        problem.solve_rows(y, context.to_numpy(dtype=float))


def test_what_is_known_is_checked_without_a_context():
    to = FromContext("to")
    for problem, message in (
        (ShortestPathProblem([[0, 1]], 5, to), "source=5 is not a node of edges"),
        (ShortestPathProblem(NAMED, None, to), "source is needed"),
        (ShortestPathProblem([[0, 1]], 0, to, closed=[1, 0]), "closed must have one entry"),
        (ShortestPathProblem([[0, 2**53 + 2]], 0, to), r"nodes have names beyond 2\^53"),
    ):
        with pytest.raises(ValueError, match=message):
            problem.check_parameters(np.ones((1, 1)))
    layer = ShortestPathProblem([[0, 2**30]], 0, to).decision_layer()
    far = torch.tensor([[2.0**30]], dtype=torch.float64)
    assert layer(torch.ones_like(far), far).item() == pytest.approx(1.0)
    problem = ShortestPathProblem(ROADS, 0, to)
    with pytest.raises(ValueError, match="a different linear program in each row: it reads 'to'"):
        problem.as_linear_program()
    for method in (problem.solve, problem.is_feasible, problem.violation):
        with pytest.raises(ValueError, match="'to' from the context, but none was given"):
            method(np.ones((1, 24)))
    with pytest.raises(ValueError, match="y is a negative length"):
        problem.check_parameters(-np.ones((1, 24)))
    assert problem.nonnegative
    assert problem.project_parameters(-np.ones((1, 24)))[1] == 1.0


def test_the_linear_program_of_a_row():
    """What the context says, written into the problem, is the same problem."""
    rng = np.random.default_rng(4)
    problem = ShortestPathProblem(
        ROADS, FromContext(0), FromContext(1), closed=[FromContext(2)] + [False] * 23
    )
    context = np.array([[0, 8, 0], [0, 8, 1], [6, 2, 0]])
    y = rng.uniform(0, 1, (3, 24))
    best = problem.optimal_cost(y, context=context)
    for row, cost, (source, target, closed) in zip(y, best, context.tolist(), strict=True):
        fixed = ShortestPathProblem(ROADS, source, target, closed=[closed] + [0] * 23)
        program = fixed.as_linear_program()
        assert isinstance(program, LinearProgram)
        assert_allclose(program.optimal_cost(row[None]), cost)


def test_many_contexts_are_solved_together():
    """A thousand rows, each with ends and closed edges of its own, in one tenth of a second."""
    rng = np.random.default_rng(5)
    problem = ShortestPathProblem(
        ROADS, FromContext(0), FromContext(1), closed=[FromContext(2 + i) for i in range(24)]
    )
    context = np.column_stack(
        [rng.integers(0, 4, 1000), rng.integers(5, 9, 1000), rng.random((1000, 24)) < 0.02]
    ).astype(float)
    y = rng.uniform(1, 2, (1000, 24))
    start = time.process_time()
    z = problem.solve(y, context=context)
    assert time.process_time() - start < 0.5  # 0.03 s measured; a graph for each row takes 1 s
    layer = problem.decision_layer(0.5)
    relaxed = layer(torch.as_tensor(y[:5]), torch.as_tensor(context[:5])).numpy()
    assert (np.abs(relaxed[context[:5, 2:] > 0]) < 1e-9).all()
    assert not z[context[:, 2:] > 0].any()
