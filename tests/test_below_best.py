"""A decision that costs less than the best one means that ``solve_rows`` does not minimise."""

import warnings

import numpy as np
import pytest
from array_api_compat import array_namespace
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.metrics import d2_regret_score, normalized_regret, regret
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import (
    ConvexProgram,
    DecisionProblem,
    KnapsackProblem,
    PortfolioProblem,
    ProvisioningProblem,
    StorageProblem,
)

Y = np.linspace(1.0, 9.0, 12)
X = np.arange(12.0)[:, None]
COSTS = "costs 0, less than the best one, "


class Shifted(DecisionProblem):
    """Squares of errors; the decision of rows above `above` is wrong by `error`."""

    def __init__(self, error=3.0, above=0.0, exact=True):
        self.error = error
        self.above = above
        self.exact = exact

    def solve_rows(self, y, context=None):
        return y + self.error * (y > self.above)

    def cost_rows(self, decisions, y, context=None):
        xp = array_namespace(decisions, y)
        return xp.sum((decisions - y) ** 2, axis=1)


class Bounded(Shifted):
    """With decisions of at most 5, and a solution that is right."""

    def solve_rows(self, y, context=None):
        return np.minimum(y, 5.0)

    def is_feasible(self, decisions, y=None, *, context=None, tol=1e-6):
        return np.asarray(decisions).reshape(len(decisions)) <= 5.0 + tol


def said(ask):
    """Return a result and the warnings on the way to it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return ask(), [each for each in found if "less than the best one" in str(each.message)]


@pytest.mark.parametrize("metric", [regret, normalized_regret])
def test_a_metric_warns_once_and_names_the_row(metric):
    problem = Shifted(above=8.5)  # of the last row alone
    (value, found) = said(lambda: metric(Y, problem=problem, decisions=Y))
    assert value < 0
    (warning,) = found
    assert f"The decision for row 11 {COSTS}9." in str(warning.message)
    assert "solve_rows of Shifted does not return the best decision" in str(warning.message)
    assert warning.filename == __file__
    assert said(lambda: metric(Y, problem=Shifted(above=8.5, exact=False), decisions=Y))[1] == []


def test_a_score_of_rows_some_of_which_are_solved_wrongly():
    problem = Shifted(above=8.5)
    decided = Y + np.where(Y > 8.5, 0.0, 2.0)
    score, found = said(lambda: d2_regret_score(Y, problem=problem, decisions=decided))
    assert score < 1
    assert len(found) == 1
    assert f"row 11 {COSTS}9." in str(found[0].message)
    model = TwoStageRegressor(LinearRegression(), Shifted(above=-9.0)).fit(X, Y - 3.0)
    score, found = said(lambda: model.score(X, Y))  # decides for Y
    assert score > 1
    assert [each.category for each in found] == [UndefinedMetricWarning]
    assert "score is above 1" in str(found[0].message)


def test_a_comparison_warns_once():
    models = {"line": LinearRegression(), "other": LinearRegression()}
    _, found = said(
        lambda: compare_decisions(models, X, Y, cv=3, problem=Shifted(above=8.5), incumbent=Y)
    )
    (warning,) = found
    assert f"The decision of the incumbent for row 11 of split 3 of 3 {COSTS}9" in str(
        warning.message
    )
    assert said(lambda: compare_decisions(models, X, Y, cv=3, problem=Bounded()))[1] == []


def test_a_decision_that_is_not_allowed_may_be_cheaper():
    value, found = said(lambda: regret(Y, problem=Bounded(), decisions=Y))
    assert value < 0
    assert found == []


def quadratic():
    import cvxpy as cp

    z, y = cp.Variable(2), cp.Parameter(2)
    return cp.Problem(cp.Minimize(cp.sum_squares(z) - y @ z), [cp.sum(z) == 1, z >= 0]), y, z


PROBLEMS = {
    "provisioning": (ProvisioningProblem(), 1),
    "portfolio": (PortfolioProblem(np.diag([0.04, 0.09, 0.01])), 3),
    "storage": (StorageProblem(), 24),
    "knapsack": (KnapsackProblem([3, 4, 5, 9], 11), 4),
    "convex": (ConvexProgram(quadratic), 2),
}


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_errors_of_solvers_say_nothing_at_any_scale(name, scale):
    problem, d = PROBLEMS[name]
    rng = np.random.default_rng(0)
    y = scale * rng.uniform(1.0, 5.0, (8, d))
    noisy = y * (1 + 1e-5 * rng.normal(size=y.shape))
    for near in (y * (1 + 1e-9), y * (1 - 1e-7), noisy, y[::-1]):
        value, found = said(lambda near=near: regret(y, near, problem=problem))
        assert found == []
        assert value >= -1e-9 * np.abs(problem.optimal_cost(y)).mean()
