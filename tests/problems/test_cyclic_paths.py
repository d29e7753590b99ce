"""Shortest paths on graphs with cycles, against networkx, SciPy and enumeration."""

import itertools
import time
from fractions import Fraction

import cvxpy as cp
import networkx as nx
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor
from dfl_sklearn.losses import SPOPlusLoss, default_loss
from dfl_sklearn.metrics import normalized_regret, regret
from dfl_sklearn.problems import ShortestPathProblem
from dfl_sklearn.solvers import unit_flows


def multigraph(rng, n_nodes=6, n_edges=14):
    """Edges of a graph from node 0 to the last, with cycles, parallel edges and loops."""
    while True:
        edges = rng.integers(n_nodes, size=(n_edges, 2))
        edges = np.concatenate([edges, edges[:3], edges[:3, ::-1], [[1, 1]]])
        edges = edges[rng.permutation(len(edges))]
        graph = nx.MultiDiGraph()
        graph.add_nodes_from(range(n_nodes))
        graph.add_edges_from(edges.tolist())
        if nx.has_path(graph, 0, n_nodes - 1) and len(np.unique(edges)) == n_nodes:
            return edges


def as_networkx(edges, lengths, is_open=None):
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(np.unique(edges).tolist())
    for i, (start, end) in enumerate(edges.tolist()):
        if is_open is None or is_open[i]:
            graph.add_edge(start, end, key=i, weight=lengths[i])
    return graph


def simple_paths(edges, source, target, is_open=None):
    """All paths that pass no node twice, as 0-1 rows."""
    graph = as_networkx(edges, np.ones(len(edges)), is_open)
    paths = list(nx.all_simple_edge_paths(graph, source, target))
    z = np.zeros((len(paths), len(edges)))
    for row, path in zip(z, paths, strict=True):
        row[[key for _, _, key in path]] = 1.0
    return z


def flow_program(edges, source, target, is_open=None):
    """The balance of one unit of flow, and which edges may carry it, by networkx."""
    graph = as_networkx(edges, np.ones(len(edges)), is_open)
    graph.remove_edges_from(list(graph.in_edges(source, keys=True)))
    graph.remove_edges_from(list(graph.out_edges(target, keys=True)))
    graph.remove_edges_from(list(nx.selfloop_edges(graph, keys=True)))
    after = {source, *nx.descendants(graph, source)}
    before = {target, *nx.ancestors(graph, target)}
    usable = {k for u, v, k in graph.edges(keys=True) if u in after and v in before}
    n_nodes = edges.max() + 1
    balance = np.zeros((n_nodes, len(edges)))
    for i, (start, end) in enumerate(edges.tolist()):
        balance[start, i] += 1.0
        balance[end, i] -= 1.0
    right = np.zeros(n_nodes)
    right[source], right[target] = 1.0, -1.0
    return balance, right, [(0, float(i in usable)) for i in range(len(edges))]


def drawn_lengths(rng, kind, shape):
    if kind == "continuous":
        return rng.uniform(0, 5, shape)
    return rng.integers(0, 3, shape).astype(float)  # ties, and cycles of length 0


@pytest.mark.parametrize("kind", ["continuous", "ties"])
def test_paths_are_as_short_as_those_of_networkx(kind):
    rng = np.random.default_rng(0)
    for _ in range(25):
        n_nodes = int(rng.integers(3, 9))
        edges = multigraph(rng, n_nodes, 3 * n_nodes)
        problem = ShortestPathProblem(edges)
        y = drawn_lengths(rng, kind, (5, len(edges)))
        z = problem.solve(y)
        paths = simple_paths(edges, 0, n_nodes - 1)
        assert (z[:, None] == paths).all(axis=2).any(axis=1).all()
        expected = [nx.dijkstra_path_length(as_networkx(edges, row), 0, n_nodes - 1) for row in y]
        assert_allclose(problem.cost(z, y), expected, rtol=1e-12, atol=1e-12)
        assert_array_equal(problem.solve_rows(y), z)
        assert not problem.violation(z).any()


def test_exactly_the_paths_that_pass_no_node_twice_are_feasible():
    rng = np.random.default_rng(1)
    for _ in range(6):
        edges = multigraph(rng, 4, 5)[:11]
        if not nx.has_path(as_networkx(edges, np.ones(len(edges))), 0, 3):
            continue
        problem = ShortestPathProblem(edges, 0, 3)
        z = np.array(list(itertools.product([0.0, 1.0], repeat=len(edges))))
        listed = {row.tobytes() for row in simple_paths(edges, 0, 3)}
        expected = np.array([row.tobytes() in listed for row in z])
        assert_array_equal(problem.is_feasible(z), expected)
        assert_array_equal((problem.violation(z) == 0).all(axis=1), expected)


def test_a_cycle_beside_the_path_is_counted():
    problem = ShortestPathProblem([[0, 1], [1, 4], [2, 3], [3, 2], [1, 2], [3, 4]])
    z = np.array([[1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    assert_array_equal(problem.is_feasible(z), [True, False])
    missed = problem.violation(z)
    assert missed.shape == (2, 5 + 6 + 1)
    assert_array_equal(missed.sum(axis=1), [0, 2])
    assert_array_equal(missed[:, -1], [0, 2])
    assert not problem.is_feasible([[0.5, 0.5, 0, 0, 0.5, 0.5]])[0]


@pytest.mark.parametrize("kind", ["normal", "integers", "magnitudes"])
def test_rows_with_negative_lengths_are_flows_of_least_cost(kind):
    rng = np.random.default_rng(2)
    for _ in range(20):
        edges = multigraph(rng, int(rng.integers(3, 8)), 14)
        problem = ShortestPathProblem(edges)
        shape = (4, len(edges))
        y = {
            "normal": lambda s=shape: rng.normal(size=s),
            "integers": lambda s=shape: rng.integers(-2, 3, s).astype(float),
            "magnitudes": lambda s=shape: rng.normal(size=s) * 10.0 ** rng.integers(-3, 4, s),
        }[kind]()
        z = problem.solve_rows(y)
        assert set(np.unique(z)) <= {0.0, 1.0}
        balance, right, bounds = flow_program(edges, 0, edges.max())
        assert_array_equal(z @ balance.T, np.tile(right, (4, 1)))
        assert (z <= [high for _, high in bounds]).all()
        expected = [linprog(row, A_eq=balance, b_eq=right, bounds=bounds).fun for row in y]
        size = 1e-9 * np.abs(y).sum(axis=1)
        assert (np.abs((y * z).sum(axis=1) - expected) <= size).all()
        program = problem.as_linear_program()
        assert_array_equal(program.bounds[:, 1], [high for _, high in bounds])
        assert_allclose(program.optimal_cost(y), expected, rtol=1e-7, atol=1e-6)


def exact_least_cost(edges, y, usable):
    """The least cost as a fraction, by network simplex on integers."""
    graph, n_nodes = nx.DiGraph(), int(edges.max()) + 1
    graph.add_nodes_from(range(n_nodes), demand=0)
    graph.nodes[0]["demand"], graph.nodes[n_nodes - 1]["demand"] = -1, 1
    unit = 2**200
    for i in np.flatnonzero(usable):
        start, end = edges[i].tolist()
        graph.add_edge(start, n_nodes + i, capacity=1, weight=int(Fraction(y[i]) * unit))
        graph.add_edge(n_nodes + i, end, capacity=1, weight=0)
    return Fraction(nx.network_simplex(graph)[0], unit)


def test_lengths_that_differ_much_in_size_leave_no_doubt():
    rng = np.random.default_rng(3)
    for i in range(40):
        edges = multigraph(rng, 5, 10)
        problem = ShortestPathProblem(edges)
        usable = np.array([high for _, high in flow_program(edges, 0, 4)[2]]) > 0
        y = rng.choice([-1, 1], len(edges)) * 10.0 ** rng.uniform(-12, 12, len(edges))
        if i % 2:
            y = rng.normal(size=len(edges))
            y[rng.integers(len(edges), size=3)] = 1e17 * rng.choice([-1, 1], 3)
        z = problem.solve_rows(y[None])[0]
        paid = sum(Fraction(each) for each in y[z > 0])
        size = sum(abs(Fraction(each)) for each in y[z > 0])
        assert 0 <= paid - exact_least_cost(edges, y, usable) <= size * Fraction(1, 10**15)


def test_lengths_near_the_largest_float():
    edges = [[0, 1], [1, 0], [1, 2], [2, 1], [0, 2], [2, 3], [3, 2], [1, 3]]
    y = np.random.default_rng(0).normal(size=(20, 8))
    problem = ShortestPathProblem(edges)
    assert_array_equal(problem.solve_rows(y * 2.0**1018), problem.solve_rows(y))
    assert_array_equal(problem.solve(abs(y) * 2.0**1018), problem.solve(abs(y)))
    assert_array_equal(problem.solve_rows(y * 2.0**-1000), problem.solve_rows(y))


def test_what_is_not_proven_goes_to_the_linear_program(monkeypatch):
    rng = np.random.default_rng(4)
    edges = multigraph(rng, 7, 20)
    problem = ShortestPathProblem(edges)
    y = rng.normal(size=(10, len(edges)))
    expected = problem.solve_rows(y)
    asked = []
    usual = unit_flows.solve_linear_rows
    monkeypatch.setattr(unit_flows, "_TOLERANCE", -1.0)
    monkeypatch.setattr(
        unit_flows, "solve_linear_rows", lambda *a, **k: asked.append(1) or usual(*a, **k)
    )
    assert_array_equal(problem.solve_rows(y), expected)
    assert len(asked) == 10


def test_lengths_that_are_no_numbers_end_in_an_error_even_unchecked():
    problem = ShortestPathProblem.grid(3, 3, two_way=True)
    y = np.ones((2, 24))
    y[1] = np.nan
    with pytest.raises(RuntimeError, match="costs are NaN"):
        problem.solve_rows(y)
    y[1, :12] = -1.0
    with pytest.raises(RuntimeError, match="costs are NaN"):
        problem.solve_rows(y)


@pytest.mark.parametrize("kind", ["continuous", "ties", "negative"])
def test_a_row_gets_the_same_path_whatever_is_beside_it(kind, monkeypatch):
    problem = ShortestPathProblem.grid(4, 4, two_way=True)
    rng = np.random.default_rng(5)
    y = drawn_lengths(rng, "ties" if kind == "negative" else kind, (60, 48))
    y -= 1.0 if kind == "negative" else 0.0
    z = problem.solve_rows(y)
    order = rng.permutation(60)
    assert_array_equal(problem.solve_rows(y[order]), z[order])
    assert_array_equal(np.concatenate([problem.solve_rows(row[None]) for row in y]), z)
    monkeypatch.setattr(unit_flows, "_CHUNK", 100)
    assert_array_equal(problem.solve_rows(y), z)


def test_decisions_take_negative_lengths_for_0():
    problem = ShortestPathProblem.grid(3, 3, two_way=True)
    rng = np.random.default_rng(6)
    y = rng.normal(0.5, 1.0, (40, 24))
    z = problem.solve(y)
    assert problem.is_feasible(z).all()
    assert_array_equal(z, problem.solve(np.maximum(y, 0.0)))
    assert_array_equal(problem.solve(y.astype(np.float32).tolist()).shape, z.shape)
    assert not problem.is_feasible(problem.solve_rows(y)).all()  # what losses get
    # Of scenarios the mean counts.
    scenarios = y.reshape(10, 4, 24)
    assert_array_equal(problem.solve(scenarios), problem.solve(scenarios.mean(axis=1)))
    projected, share = problem.project_parameters(y)
    assert_array_equal(projected, np.maximum(y, 0.0))
    assert share == pytest.approx((y < 0).any(axis=1).mean())


def test_observed_lengths_are_not_negative():
    cyclic, acyclic = ShortestPathProblem.grid(2, 2, two_way=True), ShortestPathProblem.grid(2, 2)
    assert cyclic.nonnegative
    assert not acyclic.nonnegative
    assert ShortestPathProblem([[0, 1], [0, 0]]).nonnegative
    assert ShortestPathProblem([[0, 1], [1, 0]], closed=[False, True]).nonnegative
    y = np.ones((3, 8))
    cyclic.check_parameters(y)
    y[1, 4] = -0.25
    message = r"y is a negative length at row 1, column 4: -0.25\. In a graph with cycles"
    for method in (cyclic.check_parameters, cyclic.optimal_cost, cyclic.optimum):
        with pytest.raises(ValueError, match=message):
            method(y)
    with pytest.raises(ValueError, match=message):
        regret(y, abs(y), problem=cyclic)
    with pytest.raises(ValueError, match=message):
        DFLRegressor(cyclic).fit(np.ones((3, 1)), y)
    for method in (cyclic.check_parameters, cyclic.optimal_cost, cyclic.solve):
        with pytest.raises(ValueError, match="y is not finite at row 0, column 0"):
            method(np.full((1, 8), -np.inf))
    acyclic.check_parameters(-np.ones((3, 4)))
    assert regret(abs(y), y, problem=cyclic) >= 0


def test_no_predictions_do_better_than_the_observed_lengths():
    problem = ShortestPathProblem.grid(3, 3, two_way=True)
    rng = np.random.default_rng(7)
    y, y_hat = rng.uniform(0, 2, (200, 24)), rng.normal(1, 1, (200, 24))
    best = problem.optimal_cost(y)
    for decisions in (problem.solve(y_hat), problem.solve_rows(y_hat)):
        assert (problem.cost_rows(decisions, y) >= best - 1e-12).all()
    # And SPO+ bounds the regret of what it solves for.
    row_regret = problem.cost_rows(problem.solve_rows(y_hat), y) - best
    bound = SPOPlusLoss()(problem, torch.as_tensor(y_hat), torch.as_tensor(y)).numpy()
    assert (bound >= row_regret - 1e-9).all()
    at_truth = SPOPlusLoss()(problem, torch.as_tensor(y), torch.as_tensor(y)).numpy()
    assert_allclose(at_truth, 0.0, atol=1e-9)


@pytest.mark.parametrize("smoothing", [None, 0.3])
def test_the_layer_is_the_quadratic_program_of_flows(smoothing):
    rng = np.random.default_rng(8)
    edges = multigraph(rng, 5, 9)
    problem = ShortestPathProblem(edges)
    y = np.concatenate([rng.uniform(0, 3, (3, len(edges))), rng.normal(size=(3, len(edges)))])
    z = problem.decision_layer(smoothing)(torch.as_tensor(y)).numpy()
    balance, right, bounds = flow_program(edges, 0, 4)
    for row, found in zip(y, z, strict=True):
        gamma = np.sqrt((row**2).mean()) if smoothing is None else smoothing
        variable = cp.Variable(len(edges))
        cost = row @ variable + gamma * cp.sum_squares(variable)
        limits = [balance @ variable == right, variable >= 0]
        limits.append(variable <= [high for _, high in bounds])
        cp.Problem(cp.Minimize(cost), limits).solve(solver="CLARABEL")
        assert_allclose(found, variable.value, atol=1e-5)


def test_two_way_grids():
    problem = ShortestPathProblem.grid(2, 2, two_way=True)
    assert problem.edges.tolist() == [
        *([0, 1], [0, 2], [1, 3], [2, 3]),
        *([1, 0], [2, 0], [3, 1], [3, 2]),
    ]
    with pytest.raises(ValueError, match="two_way must be"):
        ShortestPathProblem.grid(2, 2, two_way="yes")
    # A detour against the usual direction: right, right, down, left, left, down, right, right.
    snake = ShortestPathProblem.grid(3, 3, two_way=True)
    y = np.full((1, 24), 10.0)
    step = {tuple(edge): i for i, edge in enumerate(snake.edges.tolist())}
    for start, end in itertools.pairwise([0, 1, 2, 5, 4, 3, 6, 7, 8]):
        y[0, step[start, end]] = 1.0
    assert snake.optimal_cost(y) == pytest.approx(8.0)


def test_rows_on_a_two_way_grid_take_microseconds():
    problem = ShortestPathProblem.grid(5, 5, two_way=True)
    rng = np.random.default_rng(9)
    y = rng.uniform(1, 2, (1000, 80))
    seconds = {}
    for name, rows, most in (("paths", y, 100e-6), ("flows", y - 1.2, 1e-3)):
        for _ in range(3):
            start = time.process_time()
            problem.solve_rows(rows)
            seconds[name] = min(seconds.get(name, np.inf), time.process_time() - start)
        assert seconds[name] / len(y) < most  # measured: 5 and 50 microseconds


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
def test_training_for_the_path_beats_least_squares():
    """A line for times that are no line, on a road network in which most roads go both ways."""
    problem = ShortestPathProblem.grid(3, 3, two_way=True)
    assert isinstance(default_loss(problem), SPOPlusLoss)
    rng = np.random.default_rng(10)
    X = rng.standard_normal((1300, 3))
    weights = rng.integers(0, 2, (3, 24))
    y = (0.15 * X @ weights + 1.0) ** 6 * rng.uniform(0.8, 1.2, (1300, 24))
    train, test = slice(0, 300), slice(300, None)
    model = DFLRegressor(problem, hidden_layer_sizes=(), max_iter=20, random_state=0)
    model.fit(X[train], y[train])
    line = LinearRegression().fit(X[train], y[train])
    found, plain = (
        normalized_regret(y[test], each.predict(X[test]), problem=problem) for each in (model, line)
    )
    assert found < 0.9 * plain
    assert problem.is_feasible(model.decide(X[test])).all()


def test_names_that_are_too_large_for_a_whole_number_with_a_sign():
    far = 2**63
    problem = ShortestPathProblem(
        np.array([[1, far + 5], [far + 5, far + 9], [1, far + 9]], dtype=np.uint64), 1, far + 9
    )
    assert problem.nodes == [1, far + 5, far + 9]
    assert problem.solve([[1.0, 1.0, 3.0]]).tolist() == [[1, 1, 0]]
