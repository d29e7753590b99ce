"""Training where constraints are predicted: what is learnt, with a forest, within a set."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor

from dfl_sklearn import DFFRegressor, DFLRegressor
from dfl_sklearn.losses import FeasibilityLoss, ScoreFunctionLoss, SquaredErrorLoss
from dfl_sklearn.problems import FromContext, UncertainKnapsackProblem
from dfl_sklearn.robust import CVaR, KLBall

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = UncertainKnapsackProblem([3.0, 4.0, 5.0], 3.0, penalty=5.0)
LINE = {"hidden_layer_sizes": (), "max_iter": 20, "batch_size": 64, "random_state": 0}

FEW = {**LINE, "max_iter": 6}


@pytest.fixture(scope="module")
def data():
    """Weights of which a line is wrong, the more so the heavier they are."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2))
    y = np.exp(X @ [[1.2, -0.6, 0.8], [0.5, 1.2, -0.9]] + 0.05 * rng.standard_normal((200, 3)))
    return X, y + 0.5


@pytest.fixture(scope="module")
def least_squares(data):
    return DFLRegressor(PROBLEM, loss=SquaredErrorLoss(), **LINE).fit(*data)


@pytest.mark.parametrize(
    ("loss", "share"), [(ScoreFunctionLoss(), 0.4), (FeasibilityLoss(0.7), 1.0)]
)
def test_a_line_that_goes_on_from_least_squares_decides_better(data, least_squares, loss, share):
    X, y = data
    model = clone(least_squares).fit(X, y)
    model.set_params(loss=loss, warm_start=True).fit(X, y)
    assert 1 - model.score(X, y) < share * (1 - least_squares.score(X, y))


def test_a_forest_is_corrected(data):
    X, y = data
    forest = RandomForestRegressor(10, min_samples_leaf=5, random_state=0)
    model = DFFRegressor(
        forest, PROBLEM, loss=ScoreFunctionLoss(), cv=3, max_iter=20, random_state=0
    ).fit(X, y)
    assert not model.fell_back_
    assert model.held_out_regret_.corrected < model.held_out_regret_.backbone
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("ambiguity_set", [KLBall(0.1), CVaR(0.5)])
@pytest.mark.parametrize("loss", [ScoreFunctionLoss(), FeasibilityLoss()])
def test_within_an_ambiguity_set(data, ambiguity_set, loss):
    model = DFLRegressor(PROBLEM, loss=loss, ambiguity_set=ambiguity_set, **FEW).fit(*data)
    worst = model.worst_case_
    assert worst.worst_regret > worst.train_regret > 0
    again = clone(model).fit(*(each[::-1] for each in data))
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))


def test_a_capacity_that_is_known_for_each_row(data):
    X, y = data
    capacity = np.random.default_rng(1).uniform(2.0, 4.0, len(X))
    problem = UncertainKnapsackProblem([3.0, 4.0, 5.0], FromContext(0), penalty=5.0)
    model = DFLRegressor(problem, loss=SquaredErrorLoss(), context=[2], **LINE)
    X = np.column_stack([X, capacity])
    before = model.fit(X, y).score(X, y)
    model.set_params(loss=ScoreFunctionLoss(), warm_start=True).fit(X, y)
    assert 1 - model.score(X, y) < 0.8 * (1 - before)
