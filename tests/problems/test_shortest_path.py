"""Shortest paths on deep and wide graphs, whose set-up must stay linear."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.csgraph import bellman_ford

from dfl_sklearn.problems import ShortestPathProblem
from dfl_sklearn.problems.shortest_path import _MOST_PATHS


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
    entries = sum(level.edges.size for level in problem._graph().levels)
    assert entries < 4 * len(edges)
    y = np.random.default_rng(0).uniform(1, 2, (1, len(edges)))
    through_hub = (y[0, :n] + y[0, n : 2 * n]).min() + y[0, -1]
    through_leaf = (y[0, :n] + y[0, 2 * n : 3 * n] + y[0, 3 * n : 4 * n]).min()
    assert problem.optimal_cost(y)[0] == pytest.approx(min(through_hub, through_leaf))


def test_a_node_on_the_cycle_is_named():
    edges = [[0, 1], [1, 2], [2, 3], [3, 1], [3, 4], [4, 5]]  # 4 and 5 only come after it
    with pytest.raises(ValueError, match=r"a cycle that leads to node [123];"):
        ShortestPathProblem(edges).solve(np.ones((1, 6)))
    with pytest.raises(ValueError, match=r"a cycle that leads to node 7;"):
        ShortestPathProblem([[0, 7], [7, 7], [7, 9]]).solve(np.ones((1, 3)))
