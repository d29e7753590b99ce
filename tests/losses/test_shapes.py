"""Losses, layers and hooks of the wrong shape are named rather than broadcast."""

import numpy as np
import pytest
from array_api_compat import array_namespace

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.layers import AffineBoxLayer
from dfl_sklearn.losses import DecisionLoss, RegretLoss
from dfl_sklearn.problems import DecisionProblem, NewsvendorProblem


class ColumnLoss(DecisionLoss):
    def bind(self, problem):
        regret = RegretLoss().bind(problem)
        return lambda y_hat, y, optimum: regret(y_hat, y, optimum)[:, None]


class SumOfTwo(DecisionProblem):
    """One decision for the sum of two parameters."""

    def solve_rows(self, y, context=None):
        return y.sum(axis=1, keepdims=True)

    def cost_rows(self, decisions, y, context=None):
        xp = array_namespace(decisions, y)
        return (decisions[:, 0] - xp.sum(y, axis=1)) ** 2

    def decision_layer(self, smoothing=None):
        return AffineBoxLayer()  # two columns where there is one decision


class ScalarCost(SumOfTwo):
    def cost_rows(self, decisions, y, context=None):
        xp = array_namespace(decisions, y)
        return xp.sum((decisions - y) ** 2)


class FlatSolve(SumOfTwo):
    def solve_rows(self, y, context=None):
        return y.sum(axis=1)


def test_a_loss_with_a_column_is_named():
    X, y = make_newsvendor(60, random_state=0)
    with pytest.raises(ValueError, match=r"ColumnLoss must return one number per row"):
        DFLRegressor(NewsvendorProblem(9, 1), loss=ColumnLoss()).fit(X, y)


def test_a_layer_of_another_width_is_named():
    X, y = make_newsvendor(60, n_products=2, random_state=0)
    with pytest.raises(ValueError, match="decision layer of SumOfTwo returned shape"):
        DFLRegressor(SumOfTwo()).fit(X, y)


def test_a_cost_that_is_not_one_per_row_is_named():
    with pytest.raises(ValueError, match=r"ScalarCost.cost_rows must return one cost per row"):
        ScalarCost().cost(np.ones((4, 1)), np.ones((4, 2)))


def test_a_flat_solve_is_named():
    with pytest.raises(ValueError, match=r"FlatSolve.solve_rows must return one row of decisions"):
        FlatSolve().solve(np.ones((4, 2)))
