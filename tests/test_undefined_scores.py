"""Scores where regrets are 0, rounding errors, or negative because `solve` is not exact."""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.compose import keep_context
from dfl_sklearn.metrics import d2_regret_score, normalized_regret
from dfl_sklearn.problems import (
    CoverageProblem,
    FromContext,
    FunctionProblem,
    LinearProgram,
    MultiProductNewsvendorProblem,
    NewsvendorProblem,
    SquaredErrorProblem,
)

# Greedy takes the last item first, which covers most, and then misses the best pair.
TRAP = np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
TRAP = np.concatenate([TRAP, [[0.9, 0.9, 0.0, 0.9, 0.9, 0.0]]]).ravel()
COVERAGE = CoverageProblem(2, 3)


def test_greedy_misses_the_best_pair():
    pairs = [np.bincount(pair, minlength=3).astype(float) for pair in combinations(range(3), 2)]
    best = min(COVERAGE.cost([pair], [TRAP])[0] for pair in pairs)
    assert best == -6.0
    assert COVERAGE.optimal_cost([TRAP])[0] > -6.0


def test_a_constant_better_than_the_best_decisions_leaves_the_score_undefined():
    rng = np.random.default_rng(0)
    y = np.concatenate([np.tile(TRAP, (3, 1)), rng.uniform(0, 0.2, (3, 18))])
    y[3:, :6] = rng.uniform(0.8, 1.0, (3, 6))
    constant = COVERAGE.solve(y[None])
    assert COVERAGE.cost(constant, y).mean() < COVERAGE.optimal_cost(y).mean()
    for predicted in (y, np.zeros_like(y)):  # whose decisions cost more than the constant one
        with pytest.warns(UndefinedMetricWarning, match="constant decision costs less.*not exact"):
            assert np.isnan(d2_regret_score(y, predicted, problem=COVERAGE))


def test_a_score_above_1_is_not_silent():
    # Three groups of items, each of use in one row: no constant decision is good.
    problem = CoverageProblem(2, 9)
    y, predicted = np.zeros((3, 9, 6)), np.zeros((3, 9, 6))
    for row in range(3):
        y[row, 3 * row : 3 * row + 3] = TRAP.reshape(3, 6)
        predicted[row, 3 * row : 3 * row + 2] = 0.5  # the pair that greedy misses
    y, predicted = y.reshape(3, 54), predicted.reshape(3, 54)
    with pytest.warns(UndefinedMetricWarning, match="score is above 1"):
        assert d2_regret_score(y, predicted, problem=problem) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert d2_regret_score(y, y, problem=problem) == 1.0


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_a_constant_regret_of_rounding_errors_is_none(size):
    # Both rows have the same best decision; its cost is the same number but for rounding.
    costs = size * (np.array([[0.1, 0.7, 0.9]]) + [[0.0, 0.0, 0.0], [0.3, 0.4, 0.5]])
    simplex = LinearProgram(A_eq=[[1.0] * 3], b_eq=[1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert d2_regret_score(costs, costs, problem=simplex) == 1.0
        assert d2_regret_score(costs, costs[:, ::-1], problem=simplex) == 0.0

    class Rounds(LinearProgram):
        def cost_rows(self, decisions, y, context=None):
            noise = 4e-16 if len(decisions) == 1 else 0.0
            return super().cost_rows(decisions, y, context) * (1.0 + noise)

    rounds = Rounds(A_eq=[[1.0] * 3], b_eq=[1.0])
    assert d2_regret_score(costs, costs[:, ::-1], problem=rounds) == 0.0
    assert d2_regret_score(costs, costs, problem=rounds) == 1.0


def test_a_model_worse_than_the_constant_scores_below_0_as_in_r2():
    y, y_hat = np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 0.0])
    score = d2_regret_score(y, y_hat, problem=SquaredErrorProblem())
    assert score == pytest.approx(r2_score(y, y_hat))
    assert score < 0


@pytest.mark.parametrize("y_hat", [[5.0, 5.0], [5.0, 6.0]])
def test_constant_observations_score_as_in_r2(y_hat):
    score = d2_regret_score([5.0, 5.0], y_hat, problem=SquaredErrorProblem())
    assert score == r2_score([5.0, 5.0], y_hat)


@pytest.mark.parametrize("problem", [SquaredErrorProblem(), NewsvendorProblem(1, 1)])
def test_weights_that_say_nothing_are_refused(problem):
    for weight in ([0.0, 0.0], [1e308, 1e308]):
        with pytest.raises(ValueError, match=r"(?i)sample.weight"):
            d2_regret_score([1.0, 2.0], [1.0, 2.0], problem=problem, sample_weight=weight)


def noisy_zero(z, y):
    return np.abs(z - y) + 1e-15


def test_a_regret_is_no_share_of_rounding_errors():
    problem = FunctionProblem(noisy_zero, (0.0, 10.0), tol=1e-15)
    with pytest.raises(ValueError, match="normalized_regret is undefined"):
        normalized_regret([2.5, 5.0], [7.0, 9.0], problem=problem)


def test_a_limit_that_binds_in_every_row_is_not_a_perfect_model():
    problem = MultiProductNewsvendorProblem(5, 1, capacity=FromContext("capacity"))
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"lag": rng.uniform(60, 90, 30), "capacity": rng.uniform(50, 100, 30)})
    y = X["lag"] + rng.uniform(0, 9, 30)
    step = MinMaxScaler().set_output(transform="pandas")
    for each, binds in ((step, True), (keep_context(step, "capacity"), False)):
        two_stage = TwoStageRegressor(LinearRegression(), problem, context="capacity")
        model = make_pipeline(each, two_stage).fit(X, y)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            score = model.score(X, y)
        assert (score == 1.0) == binds
        messages = [str(each.message) for each in caught if "says nothing" in str(each.message)]
        assert len(messages) == binds
