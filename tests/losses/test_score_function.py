"""The score function's gradient of the regret under noisy predictions."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from dfl_sklearn.losses import ScoreFunctionLoss
from dfl_sklearn.problems import (
    FromContext,
    FunctionProblem,
    KnapsackProblem,
    NewsvendorProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.rows import Optimum

MANY = 40_000


def of_rows(loss, problem, y_hat, y, scale=None, context=None):
    """Return value and slope of the loss, called as training calls it."""
    y_hat = torch.tensor(y_hat, dtype=torch.float64, requires_grad=True)
    y = torch.as_tensor(y, dtype=torch.float64)
    best = Optimum(*map(torch.as_tensor, problem.optimum(y.numpy(), context=context)))
    known = () if context is None else (torch.as_tensor(context, dtype=torch.float64),)
    value = loss.bind_scaled(problem, scale)(y_hat, y, best, *known)
    return value.detach().numpy(), torch.autograd.grad(value.sum(), y_hat)[0].numpy()


@pytest.mark.parametrize("antithetic", [True, False])
def test_its_mean_is_the_slope_of_the_smoothed_regret(antithetic):
    """Of the newsvendor in closed form: each unit missing costs 9, each left over 1."""
    loss = ScoreFunctionLoss(sigma=0.5, n_samples=MANY, antithetic=antithetic)
    problem, scale = NewsvendorProblem(9, 1, nonnegative=False), np.array([2.0])
    y_hat, y = np.array([[8.0], [10.5], [14.0]]), np.full((3, 1), 10.0)
    value, slope = of_rows(loss, problem, y_hat, y, scale)
    far = y - y_hat  # sigma is 0.5 * 2 = 1
    short = far * norm.cdf(far) + norm.pdf(far)
    assert_allclose(value, (9 * short + (short - far))[:, 0], rtol=0.03)
    assert_allclose(slope, norm.cdf(-far) - 9 * norm.cdf(far), atol=0.2)


@pytest.mark.parametrize("antithetic", [True, False])
def test_few_draws_are_right_on_average(antithetic):
    """Squared errors: the slope is 2 (y_hat - y), whatever the noise."""
    n, (y_hat, y) = MANY // 2, (3.0, 1.0)
    loss = ScoreFunctionLoss(sigma=1.0, n_samples=2, antithetic=antithetic, random_state=3)
    rows = np.full((n, 1), y_hat), np.full((n, 1), y)
    value, slope = of_rows(loss, SquaredErrorProblem(), *rows, np.array([0.7]))
    deviation = slope.std() / np.sqrt(n)
    assert abs(slope.mean() - 2 * (y_hat - y)) < 4 * deviation
    assert_allclose(value.mean(), (y_hat - y) ** 2 + 0.49, rtol=0.05)


def test_common_noise_finite_differences():
    """Both estimate the slope of the same smooth function, in every column."""
    problem = KnapsackProblem([[3.0, 4.0, 5.0, 2.0]], [8.0])
    y_hat, y = np.array([[4.0, 5.0, 6.0, 1.5]]), np.array([[5.0, 3.0, 6.5, 2.0]])
    scale = np.array([1.0, 2.0, 1.5, 0.5])
    loss = ScoreFunctionLoss(sigma=0.8, n_samples=MANY)
    _, slope = of_rows(loss, problem, y_hat, y, scale)
    step = 0.2
    for j in range(4):
        move = step * np.eye(4)[j]
        right, left = (of_rows(loss, problem, y_hat + s * move, y, scale)[0] for s in (1, -1))
        assert_allclose(slope[0, j], (right - left)[0] / (2 * step), atol=0.12)


def test_whole_decisions_with_a_capacity_of_each_row():
    problem = KnapsackProblem([3.0, 4.0, 5.0], FromContext(0))
    y_hat, y = np.tile([[4.0, 5.0, 6.0]], (2, 1)), np.tile([[4.0, 1.0, 6.0]], (2, 1))
    context = np.array([[5.0], [12.0]])
    loss = ScoreFunctionLoss(sigma=0.01, n_samples=4)
    value, _ = of_rows(loss, problem, y_hat, y, np.ones(3), context)
    assert_allclose(value, [0.0, 0.0], atol=1e-12)
    value, _ = of_rows(loss, problem, y_hat[:, ::-1].copy(), y, np.ones(3), context)
    assert_allclose(value, [2.0, 0.0], atol=1e-12)  # the first item in the place of the last
    value, _ = of_rows(
        loss, problem, y_hat, np.tile([[4.0, 9.0, 6.0]], (2, 1)), np.ones(3), context
    )
    assert_allclose(value, [3.0, 0.0], atol=1e-12)


def test_the_noise_is_in_units_of_the_columns():
    rng = np.random.default_rng(0)
    y_hat, y = rng.normal(size=(2, 5, 2))
    loss, problem = ScoreFunctionLoss(sigma=0.3), SquaredErrorProblem()
    value, slope = of_rows(loss, problem, y_hat, y, np.ones(2))
    larger, steeper = of_rows(loss, problem, y_hat * 4, y * 4, np.full(2, 4.0))
    assert_allclose(larger, 16 * value)
    assert_allclose(steeper, 4 * slope)
    # Without a scale it is that of the rows at hand, 1 where a column is constant.
    y = np.array([[1.0, 5.0], [3.0, 5.0]])
    expected, _ = of_rows(loss, problem, y, y, np.ones(2))
    assert_allclose(loss(problem, torch.as_tensor(y), torch.as_tensor(y)), expected)


def test_a_prediction_that_is_none_leaves_the_other_rows_alone():
    y = np.array([[1.0], [2.0], [-1.0]])
    y_hat = np.array([[1.5], [np.nan], [0.0]])
    problem = FunctionProblem(lambda z, y: (z - y) ** 2, (-3, 3))
    value, slope = of_rows(ScoreFunctionLoss(), problem, y_hat, y, np.ones(1))
    assert_array_equal(np.isnan(value), [False, True, False])
    assert np.isfinite(slope[[0, 2]]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sigma": 0.0}, "sigma must be a number above 0"),
        ({"n_samples": 1}, "n_samples must be a whole number of at least 2"),
        ({"n_samples": 3}, "n_samples must be even for pairs of noise, got 3"),
        ({"random_state": -1}, "random_state must be a whole number of at least 0"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        ScoreFunctionLoss(**params).bind(SquaredErrorProblem())
