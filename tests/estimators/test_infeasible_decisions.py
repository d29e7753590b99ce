"""Decisions that can have no cost: training refuses them before it starts, scorers say so."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV, KFold
from torch import nn

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.losses import FeasibilityLoss, RegretLoss, ScoreFunctionLoss, SquaredErrorLoss
from dfl_sklearn.metrics import (
    d2_regret_score,
    make_decision_cost_scorer,
    make_infeasible_share_scorer,
)
from dfl_sklearn.problems import (
    ConvexProgram,
    FromContext,
    Predicted,
    RecourseLinearProgram,
    UncertainKnapsackProblem,
)
from dfl_sklearn.robust import CVaR, WassersteinBall

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = 10 + X @ [1.0, 2.0] + RNG.normal(size=60)
QUICK = {"hidden_layer_sizes": (), "max_iter": 2, "random_state": 0}


def supply():
    bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    limits = [cp.sum(bought) >= demand, bought <= 30]
    return cp.Problem(cp.Minimize(bought @ [1, 2]), limits), demand, bought


def exact_supply():
    bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    return cp.Problem(cp.Minimize(bought @ [1, 2]), [cp.sum(bought) == demand]), demand, bought


def made_up_for_in_part():
    bought, late, demand = cp.Variable(), cp.Variable(bounds=[0, 1]), cp.Parameter()
    cost = bought + 3 * late
    return cp.Problem(cp.Minimize(cost), [bought >= 0, bought + late >= demand]), demand, bought


def planned(**changes):
    numbers = {"c": [1.0], "q": [5.0], "T": [[1.0]], "W": [[1.0]], "h": [Predicted(0)]}
    return RecourseLinearProgram(**(numbers | changes))


LIMITED = planned(h=[2.0], A_ub=[[-1.0]], b_ub=[-Predicted(0)])
HELPLESS = planned(W=[[-1.0]])


def unbuilt(n_in, n_out):
    raise AssertionError("Training has begun.")


@pytest.mark.parametrize("loss", [SquaredErrorLoss(), FeasibilityLoss(), ScoreFunctionLoss(), None])
@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        (ConvexProgram(supply), "penalty="),
        (ConvexProgram(made_up_for_in_part), "variables that make up for any decision"),
        (LIMITED, "write it with T, W and h"),
        (HELPLESS, "Add recourse"),
    ],
)
def test_training_does_not_begin(problem, remedy, loss):
    has_limits = problem._why_all_is_certain() is None
    if isinstance(loss, FeasibilityLoss) and not has_limits:
        remedy = "has none"
    elif loss is not None:
        remedy = f"the one for y = .* where y = .* comes true.*{remedy}.*TwoStageRegressor"
    model = DFLRegressor(problem, loss=loss, predictor=unbuilt, max_iter=2, random_state=0)
    with pytest.raises(ValueError, match=remedy):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "problem",
    [
        ConvexProgram(supply, penalty=3.0),
        planned(),
        planned(W=[[-1.0]], T=[[0.0]], h=[-Predicted(0)]),  # not complete, and never in need
    ],
)
def test_where_every_decision_has_a_cost_it_does(problem):
    model = DFLRegressor(problem, loss=SquaredErrorLoss(), **QUICK).fit(X, Y)
    assert np.isfinite(model.history_["train_regret"]).all()


def test_a_cautious_model_goes_on():
    """Its decisions have a cost, though those for other rows of y would have none."""

    def cautious(n_in, n_out):
        net = nn.Linear(n_in, n_out)
        nn.init.zeros_(net.weight)
        nn.init.constant_(net.bias, 20.0)
        return net

    model = DFLRegressor(
        planned(), loss=SquaredErrorLoss(), predictor=cautious, learning_rate_init=1e-9,
        standardize=False, max_iter=1, random_state=0, warm_start=True,
    ).fit(X, Y)  # fmt: skip
    model.set_params(problem=LIMITED).fit(X, Y)
    assert model.predict(X).min() > Y.max()
    model.set_params(loss=FeasibilityLoss()).fit(X, Y)


def test_in_a_context():
    """Known capacities differ: decisions are compared within their own."""
    known = planned(A_ub=[[1.0]], b_ub=[FromContext(0)])
    capacity = np.where(np.arange(60) % 2, 30.0, 3.0)
    there = np.column_stack([X, capacity])
    DFLRegressor(known, context=[2], **QUICK).fit(there, Y)
    both = planned(A_ub=[[1.0], [-1.0]], b_ub=[FromContext(0), -Predicted(0)])
    there[:, 2] += 30
    with pytest.raises(ValueError, match="the one for y = "):
        DFLRegressor(both, context=[2], loss=SquaredErrorLoss(), **QUICK).fit(there, Y)


@pytest.mark.parametrize("loss", [SquaredErrorLoss(), FeasibilityLoss()])
def test_rows_that_other_predictions_leave_without_a_decision_hide_no_other(loss):
    """Known capacities are little above demand: some predictions ask for more than they allow."""
    both = planned(A_ub=[[1.0], [-1.0]], b_ub=[FromContext(0), -Predicted(0)])
    there = np.column_stack([X, Y + 0.1])
    with pytest.raises(ValueError, match="No decision"):
        both.solve(np.roll(Y, 1)[:, None], context=there[:, 2:])
    model = DFLRegressor(both, context=[2], loss=loss, predictor=unbuilt, max_iter=2)
    with pytest.raises(ValueError, match=r"the one for y = .* comes true.*TwoStageRegressor"):
        model.fit(there[:30], Y[:30])


def margins(problem=None):
    """Predict a constant, which is the one thing searched for."""
    search = GridSearchCV(
        TwoStageRegressor(DummyRegressor(strategy="constant"), problem or ConvexProgram(supply)),
        {"estimator__constant": [5.0, 18.0, 25.0]},
        cv=KFold(3),
        scoring=make_decision_cost_scorer(ConvexProgram(supply)),
    )
    assert Y.max() < 18
    return search


def test_a_candidate_whose_decisions_have_no_cost_is_not_chosen():
    with pytest.warns(UserWarning, match="Scoring failed|non-finite") as caught:
        search = margins().fit(X, Y)
    said = "\n".join(str(each.message) for each in caught)
    assert "The decision of row" in said
    assert "There is no cost of these 20 rows, of which row" in said
    assert "make_infeasible_share_scorer" in said
    assert search.best_params_ == {"estimator__constant": 18.0}
    assert_allclose(search.cv_results_["mean_test_score"], [np.nan, -18.0, -25.0])
    with pytest.raises(ValueError, match="misses"):
        margins().set_params(error_score="raise").fit(X, Y)
    penalised = margins().set_params(error_score=-1e3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert penalised.fit(X, Y).cv_results_["mean_test_score"][0] < -1e2


def test_the_share_of_such_rows_can_be_scored_beside():
    problem = ConvexProgram(supply)
    search = margins().set_params(
        scoring={"cost": make_decision_cost_scorer(problem),
                 "infeasible": make_infeasible_share_scorer(problem)},
        refit="cost",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        search.fit(X, Y)
    assert_allclose(search.cv_results_["mean_test_infeasible"], [-1.0, 0.0, 0.0])


def test_a_constant_decision_without_a_cost_leaves_d2_undefined():
    model = TwoStageRegressor(DummyRegressor(strategy="constant", constant=20.0), LIMITED)
    assert model.fit(X, Y).score(X, Y) < 0  # one plan is allowed in all rows
    model.set_params(problem=ConvexProgram(supply))
    assert model.fit(X, Y).score(X, Y) < 0  # one order too
    message = "d2_regret_score is undefined.* cannot satisfy the constraints of all rows"
    with pytest.raises(ValueError, match=message):
        d2_regret_score(Y, Y, problem=ConvexProgram(exact_supply))


@pytest.mark.parametrize("loss", [ScoreFunctionLoss(), FeasibilityLoss()])
def test_balls_that_need_slopes_are_refused_before_training(loss):
    knapsack = UncertainKnapsackProblem([4.0, 5.0], 7.0, penalty=3.0)
    model = DFLRegressor(
        knapsack, loss=loss, predictor=unbuilt, ambiguity_set=WassersteinBall(0.1), max_iter=2
    )
    with pytest.raises(ValueError, match=r"WassersteinBall .* UncertainKnapsackProblem .*KLBall"):
        model.fit(X, np.abs(np.column_stack([Y, Y])))


def test_the_smoothing_of_the_loss_gives_the_ball_its_slopes():
    problem = planned(c=[Predicted(1)])
    y = np.column_stack([Y, 1 + 0.1 * np.abs(Y)])[:12]
    x, ball = X[:12], WassersteinBall(0.1)
    model = DFLRegressor(problem, loss=RegretLoss(0.1), ambiguity_set=ball, **QUICK).fit(x, y)
    assert model.worst_case_.worst_regret > model.worst_case_.train_regret
    with pytest.raises(ValueError, match=r"WassersteinBall .*RegretLoss\(smoothing=0.1\)"):
        DFLRegressor(problem, loss=ScoreFunctionLoss(), ambiguity_set=ball, **QUICK).fit(x, y)
    DFLRegressor(problem, loss=ScoreFunctionLoss(), ambiguity_set=CVaR(0.5), **QUICK).fit(x, y)
