"""Just train twice against least squares fitted twice."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.problems import NewsvendorProblem, SquaredErrorProblem
from dfl_sklearn.robust import JustTrainTwice
from dfl_sklearn.rows import Rows
from dfl_sklearn.scenarios import ResidualScenarios

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
Y = X @ [1.0, -1.0] + np.where(np.arange(80) % 8, 0.3, 4.0) * RNG.normal(size=80)


def test_a_line_is_least_squares_fitted_twice():
    model = DFLRegressor(
        ambiguity_set=JustTrainTwice(0.1, 5.0),
        hidden_layer_sizes=(),
        alpha=0.0,
        batch_size=80,
        learning_rate_init=0.05,
        n_iter_no_change=40,
        random_state=0,
    ).fit(X, Y)
    first = LinearRegression().fit(X, Y)
    error = (first.predict(X) - Y) ** 2
    weight = np.where(error >= np.sort(error)[-8], 5.0, 1.0)
    second = LinearRegression().fit(X, Y, sample_weight=weight)
    assert_allclose(model.predict(X), second.predict(X), atol=0.01)
    assert np.abs(model.predict(X) - first.predict(X)).max() > 0.1
    assert sorted(model.ambiguity_set_.hard_share_) == [0.0] * 72 + [1.0] * 8


def test_weights_stay_and_the_boundary_takes_its_part():
    rows = Rows(X[:4], Y[:4, None], np.array([1.0, 2.0, 3.0, 4.0]))
    jtt = JustTrainTwice(0.5, 3.0)
    jtt.set_nominal(rows, SquaredErrorProblem(), 0, rows.take([1, 2]))
    worst, divergence = jtt.worst_case(lambda rows: -rows.weight)  # the lightest are the hardest
    assert_allclose(jtt.hard_share_, [1, 1, 2 / 3, 0])
    expected = np.array([3.0, 6.0, 7.0, 4.0]) / 20
    assert_allclose(worst.weight, expected)
    assert divergence == pytest.approx(np.sum(expected * np.log(expected / (rows.weight / 10))))
    again, _ = jtt.worst_case(lambda rows: rows.weight)
    assert_array_equal(again.weight, worst.weight)
    # Of those held out, weights 2 and 3: the first, and a sixth of the other.
    assert_allclose(
        jtt.held_out_regret(lambda rows: np.array([1.0, 0.0])), 6 / (6 + 3 + 1), rtol=1e-12
    )
    jtt.set_nominal(rows, SquaredErrorProblem(), 0)  # another fit begins anew
    assert_allclose(jtt.worst_case(lambda rows: rows.weight)[0].weight[0], 1 / 20)
    assert jtt.held_out_regret(lambda rows: rows.weight) is None


def test_equal_regrets_share_and_a_factor_of_one_is_no_set():
    rows = Rows(X[:4], Y[:4, None], np.ones(4))
    jtt = JustTrainTwice(0.3, 3.0)
    jtt.set_nominal(rows, SquaredErrorProblem(), 0)
    assert_allclose(jtt.worst_case(lambda rows: np.ones(4))[0].weight, 0.25)
    assert_allclose(jtt.hard_share_, 0.3)
    assert JustTrainTwice(factor=1).is_nominal


@pytest.mark.parametrize(
    ("jtt", "message"),
    [
        (JustTrainTwice(0.0), r"share must be in \(0, 1\), got 0.0"),
        (JustTrainTwice(1.0), r"share must be in \(0, 1\), got 1.0"),
        (JustTrainTwice(0.1, 0.5), "factor must be at least 1, got 0.5"),
    ],
)
def test_parameters_out_of_range(jtt, message):
    with pytest.raises(ValueError, match=message):
        DFLRegressor(ambiguity_set=jtt, random_state=0, max_iter=2).fit(X, Y)


def test_it_weighs_no_scenarios():
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    with pytest.raises(TypeError, match="JustTrainTwice weighs rows once in a fit"):
        TwoStageRegressor(
            ResidualScenarios(LinearRegression()), problem, risk=JustTrainTwice()
        ).fit(X, Y)
