"""Coverage against brute force, its extension, and cvxpy."""

import itertools

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn import DFLRegressor
from dfl_sklearn.learners import ItemwisePredictor
from dfl_sklearn.problems import CoverageProblem

seeds = st.integers(0, 2**32 - 1)


def draw(seed, n_rows=5):
    """A problem, probabilities of which many are 0 or 1, and its weights."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 7)), int(rng.integers(1, 6))
    weights = rng.uniform(0.1, 3, m)
    y = rng.uniform(0, 1, (n_rows, n * m))
    y[rng.random(y.shape) < 0.3] = 0.0
    y[rng.random(y.shape) < 0.1] = 1.0
    return CoverageProblem(int(rng.integers(1, n + 1)), n, weights), y, rng


def value_by_hand(chosen, probabilities, weights):
    """Each target by itself: one minus the chance that all chosen items miss it."""
    total = 0.0
    for j, weight in enumerate(weights):
        missed = 1.0
        for i in chosen:
            missed *= 1.0 - probabilities[i, j]
        total += weight * (1.0 - missed)
    return total


@settings(max_examples=150, deadline=None)
@given(seed=seeds)
def test_greedy_keeps_its_promise(seed):
    problem, y, _ = draw(seed)
    found = problem.solve(y)
    assert problem.is_feasible(found).all()
    for row, decision in zip(y, found, strict=True):
        probabilities = row.reshape(problem.n_items, -1)
        best = max(
            value_by_hand(chosen, probabilities, problem.weights)
            for chosen in itertools.combinations(range(problem.n_items), problem.k)
        )
        value = value_by_hand(np.flatnonzero(decision), probabilities, problem.weights)
        assert value >= (1 - 1 / np.e) * best - 1e-12
        assert -problem.cost(decision[None], row[None])[0] == pytest.approx(value)


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_between_zero_and_one_it_is_the_mean_over_random_choices(seed):
    problem, y, rng = draw(seed, 1)
    z = rng.uniform(0, 1, problem.n_items)
    z *= min(1.0, problem.k / z.sum())
    probabilities, mean = y[0].reshape(problem.n_items, -1), 0.0
    for chosen in itertools.product([0, 1], repeat=problem.n_items):
        chance = np.prod(np.where(chosen, z, 1 - z))
        mean += chance * value_by_hand(np.flatnonzero(chosen), probabilities, problem.weights)
    assert -problem.cost(z[None], y)[0] == pytest.approx(mean)


@settings(max_examples=150, deadline=None)
@given(seed=seeds)
def test_rounding_loses_nothing(seed):
    problem, y, rng = draw(seed)
    z = rng.dirichlet(np.ones(problem.n_items), len(y)) * problem.k * rng.uniform(0.3, 1)
    z = np.minimum(z, 1.0)
    rounded = problem.round_decisions(z, y)
    assert problem.is_feasible(rounded).all()
    assert (problem.cost(rounded, y) <= problem.cost(z, y) + 1e-9).all()


def test_shares_in_single_precision_are_rounded_to_at_most_k_items():
    y = np.random.default_rng(0).uniform(0, 0.6, (60, 24)).astype(np.float32)
    problem = CoverageProblem(2, 6)
    shares = problem.decision_layer()(torch.tensor(y)).numpy()
    assert problem.is_feasible(problem.round_decisions(shares, y)).all()
    z = CoverageProblem(1, 2).round_decisions([[0.5, 0.5000005]], [[0.5, 0.5]])
    assert z.sum() == 1


def test_whole_decisions_are_not_rounded():
    problem, y, _ = draw(3)
    z = problem.solve(y)
    assert_array_equal(problem.round_decisions(z, y), z)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_greedy_over_scenarios_keeps_its_promise_for_the_mean(seed):
    problem, y, rng = draw(seed, 4)
    weight = rng.dirichlet(np.ones(4))
    decision = problem.solve(y[None], scenario_weight=weight)

    def mean(z):
        return -(weight * problem.cost(z, y)).sum()

    choices = itertools.combinations(range(problem.n_items), problem.k)
    every = np.array([np.isin(np.arange(problem.n_items), each) for each in choices], dtype=float)
    assert mean(decision) >= (1 - 1 / np.e) * max(mean(z[None]) for z in every) - 1e-12


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("smoothing", [0.05, 1.0])
def test_the_layer_agrees_with_cvxpy(seed, smoothing):
    problem, y, _ = draw(seed, 3)
    y = np.clip(y, 0.0, 0.95)
    found = problem.decision_layer(smoothing)(torch.as_tensor(y)).numpy()
    for row, shares in zip(y, found, strict=True):
        logs = -np.log1p(-row.reshape(problem.n_items, -1))
        z = cp.Variable(problem.n_items)
        missed = problem.weights @ cp.exp(-(logs.T @ z))
        cost = missed + smoothing * cp.sum_squares(z)
        limits = [z >= 0, z <= 1, cp.sum(z) <= problem.k]
        least = cp.Problem(cp.Minimize(cost), limits).solve(solver="CLARABEL")
        ours = problem.weights @ np.exp(-(shares @ logs)) + smoothing * (shares**2).sum()
        # The interior point method stops at 1e-8 of the cost, and shares follow its root.
        assert ours <= least + 1e-9
        assert_allclose(shares, z.value, atol=1e-3)


@pytest.mark.parametrize("smoothing", [0.3, 1.0])
def test_the_layers_slope_in_every_chance(smoothing):
    rng = np.random.default_rng(0)
    problem = CoverageProblem(2, 5)
    y = rng.uniform(0.02, 0.9, (6, 20))
    layer = problem.decision_layer(smoothing)
    tensor = torch.tensor(y, requires_grad=True)
    upstream = torch.as_tensor(rng.normal(size=(6, 5)))
    (gradient,) = torch.autograd.grad((layer(tensor) * upstream).sum(), tensor)
    moves = 1e-4 * np.eye(20)[:, None]
    ends = [
        layer(torch.tensor((y + sign * moves).reshape(-1, 20))).reshape(20, 6, 5)
        for sign in (1, -1)
    ]
    numeric = ((ends[0] - ends[1]) * upstream).sum(dim=2) / 2e-4
    assert_allclose(gradient, numeric.T, atol=1e-4)


def test_it_trains_an_itemwise_net():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(50, 6, 3))
    slopes = np.random.default_rng(1).normal(size=(3, 5))
    probabilities = 0.6 / (1 + np.exp(-(items @ slopes - 1)))
    X, y = items.reshape(50, 18), probabilities.reshape(50, 30)
    problem = CoverageProblem(2, 6)
    model = DFLRegressor(
        problem,
        predictor=ItemwisePredictor(6, (), output="logistic"),
        standardize=False,
        max_iter=20,
        tol=0.01,
        learning_rate_init=0.2,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X[:30], y[:30])
    assert model.score(X[30:], y[30:]) > 0.85
    assert problem.is_feasible(model.decide(X)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CoverageProblem(3, 2).solve([[0.1, 0.2]]), "k=3 items cannot be chosen from"),
        (lambda: CoverageProblem(0, 2).solve([[0.1, 0.2]]), "k must be a whole number"),
        (lambda: CoverageProblem(1, 2).solve([[0.1, 0.2, 0.3]]), "not a multiple of n_items=2"),
        (lambda: CoverageProblem(1, 2, [1.0, -1.0]).solve([[0.1] * 4]), r"weights\[1\] must be"),
        (
            lambda: CoverageProblem(1, 2, [1.0]).solve([[0.1] * 4]),
            "2 parameters per row, but y has",
        ),
        (
            lambda: CoverageProblem(1, 2).check_parameters([[0.1, 0.2], [0.1, 1.2]]),
            "y is not a chance between 0 and 1 at row 1, column 1: 1.2",
        ),
        (
            lambda: CoverageProblem(1, 2).cost([[1.0, 1.5]], [[0.1, 0.2]]),
            "decisions is not between 0 and 1 at row 0, column 1",
        ),
        (
            lambda: CoverageProblem(1, 2).round_decisions([[0.8, 0.9]], [[0.1, 0.2]]),
            r"decisions choose 1\.7.* items in row 0; k=1",
        ),
        (lambda: CoverageProblem(1, 2).cost([[1.0, 0.0]], [[5.0, 0.5]]), "y is not a chance"),
        (lambda: CoverageProblem(1, 2).is_feasible([[1.0, 0.0, 0.0]]), "decisions have 3 columns"),
        (lambda: CoverageProblem(1, 2).decision_layer(0.0), "smoothing must be a finite number"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
