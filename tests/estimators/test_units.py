"""The unit of the loss, and how often the best decisions of rows are solved for."""

import numpy as np
import pytest
import torch

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import DecisionProblem, NewsvendorProblem, SquaredErrorProblem
from dfl_sklearn.problems.closed_form import weighted_quantile
from dfl_sklearn.robust import GaussianNoise, WassersteinBall
from dfl_sklearn.rows import Rows
from dfl_sklearn.training.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def unit(problem, y, weight=None):
    y = np.asarray(y, dtype=float).reshape(len(y), -1)
    weight = np.ones(len(y)) if weight is None else weight
    rows = Rows(np.arange(len(y), dtype=float)[:, None], y, weight).canonical()
    objective = Objective(problem)
    objective.measure(objective.solved(rows), 0)
    return objective.unit


class FixedCost(NewsvendorProblem):
    """A newsvendor with a cost of a million that no decision changes."""

    def cost_rows(self, decisions, y, context=None):
        return super().cost_rows(decisions, y, context) + 1e6


def test_the_unit_is_the_regret_of_the_best_constant():
    y = np.random.default_rng(0).exponential(1.0, (40, 1))
    order = weighted_quantile(y[None], np.full((1, 40), 1 / 40), np.asarray(0.9))
    expected = NewsvendorProblem(9, 1).cost(order, y).mean()
    assert unit(NewsvendorProblem(9, 1), y) == pytest.approx(expected, rel=1e-14)


def test_a_unit_of_rounding_errors_is_none():
    y = [1.0, 1.0 + 2e-16, 1.0 + 4e-16]  # parameters that differ by a bit
    for problem in (SquaredErrorProblem(), NewsvendorProblem(9, 1)):
        assert unit(problem, y) == 1.0
    # Costs that differ by a bit: their rounding errors are 1e-10.
    assert unit(FixedCost(9, 1), [1.0, 1.0 + 1e-9]) == pytest.approx(1e6)
    assert unit(FixedCost(9, 1), [1.0, 2.0]) == pytest.approx(0.5, rel=1e-6)


class Counted(NewsvendorProblem):
    """A newsvendor that counts the rows whose best decisions are asked for."""

    solved = []

    def optimum(self, y, *, context=None):
        Counted.solved.append(np.array(y))
        return super().optimum(y, context=context)


@pytest.mark.parametrize("set_of", [GaussianNoise, WassersteinBall])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_whose_features_alone_move_are_solved_once(set_of, early_stopping):
    X, y = make_newsvendor(100, random_state=0)
    Counted.solved = []
    DFLRegressor(
        Counted(9, 1),
        ambiguity_set=set_of(0.3, columns="features"),
        hidden_layer_sizes=(8,),
        early_stopping=early_stopping,
        max_iter=10,
        random_state=0,
    ).fit(X, y)
    assert len(Counted.solved) == 1 + early_stopping


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_whose_targets_move_are_solved_where_they_have_come_to(early_stopping):
    X, y = make_newsvendor(100, random_state=0)
    Counted.solved = []
    DFLRegressor(
        Counted(9, 1),
        ambiguity_set=WassersteinBall(0.3, columns="target"),
        hidden_layer_sizes=(8,),
        early_stopping=early_stopping,
        max_iter=6,
        random_state=0,
    ).fit(X, y)
    keys = [each.tobytes() for each in Counted.solved]
    assert len(keys) == len(set(keys)) > 2  # each of them once


class OneDecision(DecisionProblem):
    """Nothing is decided: the cost is that of the only decision."""

    def solve_rows(self, y, context=None):
        return np.ones((len(y), 1))

    def cost_rows(self, decisions, y, context=None):
        return y[:, 0] * decisions[:, 0]

    def decision_layer(self, smoothing=None):
        return Ones()


class Ones(torch.nn.Module):
    def forward(self, y):
        return torch.ones_like(y[:, :1]) + 0.0 * y[:, :1]


def test_where_nothing_is_decided_the_unit_is_the_size_of_the_costs():
    assert unit(OneDecision(), [100.0, 300.0]) == 200.0
