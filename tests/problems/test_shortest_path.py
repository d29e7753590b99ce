"""Shortest paths on graphs of any names; on deep and wide ones set-up must stay linear."""

import enum
import pickle
import time

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.csgraph import bellman_ford
from sklearn.base import clone

from dfl_sklearn.problems import FromContext, ShortestPathProblem
from dfl_sklearn.solvers.acyclic_paths import _MOST_PATHS


class Color(enum.Enum):
    """Names of nodes that are not numbers."""

    RED, GREEN, BLUE, BLACK = range(4)


def chain(n_edges):
    return np.stack([np.arange(n_edges), np.arange(1, n_edges + 1)], axis=1)


def random_graph(rng, n_nodes, n_edges):
    """Edges without repeats from smaller to larger nodes, under names in any order."""
    pairs = rng.choice(n_nodes * n_nodes, size=4 * n_edges, replace=False)
    start, end = pairs // n_nodes, pairs % n_nodes
    found = np.stack([start, end], axis=1)[start < end][:n_edges]
    edges = np.concatenate([found, chain(n_nodes - 1)])
    edges = np.unique(edges, axis=0)
    names = rng.permutation(3 * n_nodes)[:n_nodes]
    order = rng.permutation(len(edges))
    return edges[order], names


@pytest.mark.parametrize(("n_nodes", "n_edges"), [(6, 8), (12, 30), (300, 400)])
def test_agrees_with_bellman_and_ford(n_nodes, n_edges):
    rng = np.random.default_rng(n_nodes)
    edges, names = random_graph(rng, n_nodes, n_edges)
    problem = ShortestPathProblem(names[edges], source=int(names[0]), target=int(names[-1]))
    y = rng.normal(size=(20, len(edges)))
    z = problem.solve(y)
    assert problem.is_feasible(z).all()
    for row, cost in zip(y, problem.cost(z, y), strict=True):
        graph = sparse.csr_array((row, tuple(edges.T)), shape=(n_nodes, n_nodes))
        assert_allclose(cost, bellman_ford(graph, indices=0)[n_nodes - 1], rtol=1e-9)


@pytest.mark.parametrize("shift", [0, 1])
def test_listed_paths_and_dynamic_programming_agree(shift):
    """A ladder of pairs of edges has 2^m paths, on both sides of the number that is listed."""
    n_steps = int(np.log2(_MOST_PATHS)) + shift
    edges = np.repeat(chain(n_steps), 2, axis=0)
    problem = ShortestPathProblem(edges)
    assert (problem._graph().paths is None) == bool(shift)
    y = np.random.default_rng(0).normal(size=(30, len(edges)))
    pairs = y.reshape(30, n_steps, 2)
    assert_array_equal(
        problem.solve(y).reshape(pairs.shape), np.eye(2)[pairs.argmin(axis=2)]
    )  # the cheaper of each pair


@pytest.mark.parametrize("copies", [1, 2])
def test_setting_up_a_deep_graph_is_quick(copies):
    edges = np.repeat(chain(5_000), copies, axis=0)
    y = np.random.default_rng(0).uniform(1, 2, (2, len(edges)))
    start = time.process_time()
    z = ShortestPathProblem(edges).solve(y)
    assert time.process_time() - start < 6  # 17 s where the time grew with the square of the depth
    cheapest = y.reshape(2, -1, copies).min(axis=2).sum(axis=1)
    assert_allclose((z * y).sum(axis=1), cheapest)


def test_setting_up_a_wide_graph_takes_little_memory():
    """One node with 20,000 edges into it, among as many of the same depth that have one."""
    n = 20_000
    middle = np.arange(1, n + 1)
    leaves = np.arange(n + 2, 2 * n + 2)
    hub, last = n + 1, 2 * n + 2
    parts = [(0 * middle, middle), (middle, 0 * middle + hub), (middle, leaves)]
    parts += [(leaves, 0 * leaves + last), (np.array([hub]), np.array([last]))]
    edges = np.concatenate([np.stack(part, axis=1) for part in parts])
    problem = ShortestPathProblem(edges)
    entries = sum(level.edges.size for level in problem._graph().levels.groups)
    assert entries < 4 * len(edges)
    y = np.random.default_rng(0).uniform(1, 2, (1, len(edges)))
    through_hub = (y[0, :n] + y[0, n : 2 * n]).min() + y[0, -1]
    through_leaf = (y[0, :n] + y[0, 2 * n : 3 * n] + y[0, 3 * n : 4 * n]).min()
    assert problem.optimal_cost(y)[0] == pytest.approx(min(through_hub, through_leaf))


def test_nodes_have_names_of_any_kind():
    """The same graph under other names, in the order of the numbers 0 to 3."""
    edges = [(0, 1), (1, 3), (0, 2), (2, 3), (1, 2)]
    y = np.random.default_rng(0).normal(size=(30, 5))
    expected = ShortestPathProblem(edges).solve(y)
    for names in (
        ["a", "b", "c", "d"],
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        [frozenset("a"), "b", 3, (4, "d")],
        [2**70, 2**71, 2**72, 2**73],
        list(Color),
    ):
        named = [(names[i], names[j]) for i, j in edges]
        problem = ShortestPathProblem(named, source=names[0], target=names[3])
        assert problem.nodes == [names[i] for i in (0, 1, 3, 2)]
        for each in (problem, clone(problem), pickle.loads(pickle.dumps(problem))):
            assert_array_equal(each.solve(y), expected)
    table = pd.DataFrame({"start": list("aabcb"), "end": list("bcdda")})[:4]
    problem = ShortestPathProblem(table, "a", "d")
    assert_array_equal(
        problem.solve(y[:, :4]),
        ShortestPathProblem(edges[:1] + edges[2:3] + edges[1:2] + edges[3:4]).solve(y[:, :4]),
    )
    assert_array_equal(ShortestPathProblem(np.array(edges, dtype=object)).solve(y), expected)
    graph = nx.DiGraph(edges[:4])
    assert ShortestPathProblem(graph.edges).nodes == [0, 1, 2, 3]


def test_closed_edges_are_not_used():
    edges = [[0, 1], [1, 3], [0, 2], [2, 3]]
    y = np.random.default_rng(0).normal(size=(20, 4))
    for closed in ([False, True, False, False], np.array([0, 1, 0, 0]), (0.0, 2.0, 0.0, 0.0)):
        problem = ShortestPathProblem(edges, closed=closed)
        assert_array_equal(problem.solve(y), np.tile([0.0, 0.0, 1.0, 1.0], (20, 1)))
        assert_array_equal(problem.is_feasible([[1, 1, 0, 0], [0, 0, 1, 1]]), [False, True])
        assert problem.as_linear_program().solve(y)[:, :2].max() == 0
    all_open = ShortestPathProblem(edges, closed=[False] * 4)
    assert_array_equal(all_open.solve(y), ShortestPathProblem(edges).solve(y))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([("a", "b"), ("b",)], "a", "b"), r"edges must have shape \(n_edges, 2\), but edge 1 is"),
        (([("a", "b"), "bc"], "a", "b"), r"edge 1 is 'bc'"),
        (([[["a"], "b"]], "a", "b"), "by hashable objects"),
        (([("a", None)], "a", "b"), "edge 0 has None"),
        (([("a", 0.5)], "a", 0.5), "edge 0 has 0.5"),
        (([[True, False]],), "whole numbers or by other names, not by bool"),
        (([],), r"edges must have shape \(n_edges, 2\), got \(0,\)"),
        ((5,), r"edges must have shape \(n_edges, 2\), got \(\)"),
        (([("a", FromContext("b"))], "a", "b"), "edges are the same for all rows"),
        (([("a", "b")], "a"), "target is needed: only integers have a smallest and a largest"),
        (([("a", "b")], "a", "c"), "target='c' is not a node of edges"),
        (([("a", "b")], "a", ["b"]), r"target=\['b'\] is not a node of edges"),
        (([("a", "b")], "a", 7.0), r"target=7.0 is not a node of edges"),
        (([("a", "b")], "b", "a"), "No path leads from node 'b' to node 'a'"),
        (([("a", "b")], "a", "a"), "the same node, 'a'"),
        (([[0, 1]], True), "source must be a whole number that names a node, got True"),
    ],
)
def test_errors_say_what_is_wrong_with_a_graph(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShortestPathProblem(*arguments).solve(np.ones((1, 1)))


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        (True, "closed must have one entry per edge, 2 in all, got True"),
        ([True], "closed must have one entry per edge, 2 in all, not 1"),
        (FromContext("closed"), "closed must have one entry per edge, 2 in all, got FromContext"),
        ([True, "no"], "True, False or FromContext for each edge, got 'no' for edge 1"),
        ([True, np.nan], "got nan for edge 1"),
        ([0, 1], "No path leads from node 0 to node 2 along open edges"),
    ],
)
def test_errors_say_what_is_wrong_with_closed_edges(closed, message):
    with pytest.raises(ValueError, match=message):
        ShortestPathProblem([[0, 1], [1, 2]], closed=closed).solve(np.ones((1, 2)))
