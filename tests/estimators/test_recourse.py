"""Estimators on problems with recourse: sets on top, forests, whole numbers, weights."""

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV

from dfl_sklearn import DFFRegressor, DFLRegressor, TwoStageRegressor
from dfl_sklearn.losses import ScoreFunctionLoss
from dfl_sklearn.problems import ConvexProgram, Predicted, RecourseLinearProgram
from dfl_sklearn.robust import KLBall, WassersteinBall

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = np.column_stack([6 + 2 * X[:, 0], 5 - X[:, 1]]) + RNG.normal(size=(60, 2))
QUICK = {"hidden_layer_sizes": (), "max_iter": 3, "learning_rate_init": 0.05, "random_state": 0}


def supply(**changes):
    """Two goods from one store; what is missing is dear."""
    return RecourseLinearProgram(
        [1.0, 1.5], [7.0, 6.0], np.eye(2), np.eye(2), [Predicted(0), Predicted(1)],
        A_ub=[[1.0, 1.0]], b_ub=[14.0], **changes,
    )  # fmt: skip


def in_cvxpy():
    stock, short, need = cp.Variable(2, nonneg=True), cp.Variable(2, nonneg=True), cp.Parameter(2)
    cost = stock @ [1.0, 1.5] + short @ [7.0, 6.0]
    return cp.Problem(cp.Minimize(cost), [cp.sum(stock) <= 14, stock + short >= need]), need, stock


def test_training_keeps_a_reserve_and_two_ways_to_write_it_agree():
    params = QUICK | {"max_iter": 15, "learning_rate_init": 0.05}
    squared = TwoStageRegressor(LinearRegression(), supply()).fit(X, Y)
    model = DFLRegressor(supply(), **params).fit(X, Y)
    assert model.score(X, Y) > squared.score(X, Y) + 0.05
    assert (model.predict(X) > squared.predict(X)).mean() > 0.7
    other = DFLRegressor(ConvexProgram(in_cvxpy), **params).fit(X, Y)
    np.testing.assert_allclose(other.predict(X), model.predict(X), atol=1e-4)


@pytest.mark.parametrize("ambiguity_set", [KLBall(0.1), WassersteinBall(0.1)])
@pytest.mark.parametrize("make", [supply, lambda: ConvexProgram(in_cvxpy)])
def test_worst_rows(make, ambiguity_set):
    plain = DFLRegressor(make(), **QUICK).fit(X[:30], Y[:30])
    model = DFLRegressor(make(), ambiguity_set=clone(ambiguity_set), **QUICK)
    model.fit(X[:30], Y[:30])
    worst = model.history_["worst_regret"].dropna()  # after the stage on the rows as they are
    assert len(worst) == QUICK["max_iter"]
    assert (worst > 0).all()
    assert (model.predict(X) != plain.predict(X)).any()


def test_forests_and_whole_plans_by_the_score_function():
    forest = RandomForestRegressor(10, random_state=0)
    problem = supply(bounds=(0, 3), integrality=1)
    loss = ScoreFunctionLoss(n_samples=4)
    model = DFFRegressor(forest, problem, loss=loss, max_iter=3, random_state=0).fit(X, Y)
    decisions = model.decide(X)
    assert_array_equal(decisions, np.rint(decisions))
    assert problem.is_feasible(decisions, Y).all()
    with pytest.raises(ValueError, match="Train with ScoreFunctionLoss"):
        DFLRegressor(problem, **QUICK).fit(X, Y)


def test_weights_shuffles_and_searches():
    loss = ScoreFunctionLoss(n_samples=4)
    model = DFLRegressor(supply(), loss=loss, **QUICK)
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    order = np.random.default_rng(1).permutation(80)
    one = clone(model).fit(X, Y, sample_weight=weight).predict(X)
    two = clone(model).fit(X[twice][order], Y[twice][order]).predict(X)
    assert_array_equal(one, two)
    search = GridSearchCV(model, {"loss__sigma": [0.1, 0.3]}, cv=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
