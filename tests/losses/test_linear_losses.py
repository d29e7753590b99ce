"""Losses for linear costs against their definitions, by brute force and in closed form."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn import metrics
from sklearn.base import clone

from dfl_sklearn.losses import (
    BlackboxLoss,
    IdentityLoss,
    LogLoss,
    PerturbedFenchelYoungLoss,
    RegretLoss,
    SPOPlusLoss,
    SquaredErrorLoss,
    default_loss,
)
from dfl_sklearn.problems import (
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    NewsvendorProblem,
    ShortestPathProblem,
    TopKProblem,
)

PROBLEMS = [
    (ShortestPathProblem.grid(3, 3), 12),
    (MatchingProblem(3, 2), 6),
    (KnapsackProblem([3, 4, 5, 1], 7), 4),
    (TopKProblem(2), 5),
    (TopKProblem(2, sense="min"), 5),
    (LinearProgram([[1.0, 2.0]], [3.0], bounds=(-1, 2)), 2),
]
LOSSES = [SPOPlusLoss(), PerturbedFenchelYoungLoss(), BlackboxLoss(), IdentityLoss()]
by_problem = pytest.mark.parametrize(("problem", "n"), PROBLEMS, ids=lambda each: str(each)[:12])
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


def draw(n, rows=10, seed=0):
    rng = np.random.default_rng(seed)
    return (torch.as_tensor(rng.normal(size=(rows, n))) for _ in range(2))


def sign_of(problem):
    return -1.0 if problem.sense == "max" else 1.0


def gradient_of(loss, problem, y_hat, y):
    y_hat = y_hat.clone().requires_grad_()
    values = loss(problem, y_hat, y)
    (gradient,) = torch.autograd.grad(values.sum(), y_hat)
    return values.detach().numpy(), gradient.numpy()


@by_problem
def test_spo_plus_is_its_definition(problem, n):
    y_hat, y = draw(n)
    values, gradient = gradient_of(SPOPlusLoss(), problem, y_hat, y)
    c_hat, c = (sign_of(problem) * each.numpy() for each in (y_hat, y))
    best = problem.solve(y.numpy())
    reflected = sign_of(problem) * (2 * c_hat - c)  # as parameters
    least = problem.optimal_cost(reflected)
    expected = -least + 2 * (c_hat * best).sum(axis=1) - (c * best).sum(axis=1)
    assert_allclose(values, expected, atol=1e-12)
    slope = 2 * (best - problem.solve(reflected)) * sign_of(problem)
    assert_allclose(gradient, slope, atol=1e-12)


@by_problem
def test_spo_plus_bounds_the_regret_and_is_convex(problem, n):
    y_hat, y = draw(n, 40)
    loss = SPOPlusLoss()
    regret = problem.cost(problem.solve(y_hat.numpy()), y.numpy()) - problem.optimal_cost(y.numpy())
    assert (loss(problem, y_hat, y).numpy() >= regret - 1e-9).all()
    assert_allclose(loss(problem, y, y), np.zeros(40), atol=1e-9)
    other = y_hat.flip(0)
    between = loss(problem, 0.3 * y_hat + 0.7 * other, y)
    ends = 0.3 * loss(problem, y_hat, y) + 0.7 * loss(problem, other, y)
    assert (between <= ends + 1e-9).all()


@by_problem
def test_spo_plus_and_fenchel_young_slopes_by_differences(problem, n):
    y_hat, y = draw(n, 5)
    for loss in (SPOPlusLoss(), PerturbedFenchelYoungLoss(n_samples=3)):
        _, gradient = gradient_of(loss, problem, y_hat, y)
        step = 1e-7
        for j in range(n):
            move = torch.zeros(n, dtype=torch.float64)
            move[j] = step
            ends = [loss(problem, y_hat + sign * move, y) for sign in (1, -1)]
            assert_allclose(gradient[:, j], (ends[0] - ends[1]) / (2 * step), atol=1e-6)


def test_fenchel_young_in_closed_form():
    # Over a box each decision is 1 where its noisy cost is negative.
    problem = LinearProgram(bounds=(0, 1))
    y_hat, y = draw(3, 4)
    loss = PerturbedFenchelYoungLoss(sigma=0.7, n_samples=40_000)
    values, gradient = gradient_of(loss, problem, y_hat, y)
    sigma = 0.7 * np.sqrt((y.numpy() ** 2).mean(axis=1, keepdims=True))
    mean = y_hat.numpy()
    chance = stats.norm.cdf(-mean / sigma)
    expected_least = mean * chance - sigma * stats.norm.pdf(mean / sigma)
    best = (y.numpy() < 0).astype(float)
    assert_allclose(values, (mean * best - expected_least).sum(axis=1), atol=0.02)
    assert_allclose(gradient, best - chance, atol=0.015)


@by_problem
def test_blackbox_is_the_regret_with_the_slope_of_its_interpolation(problem, n):
    y_hat, y = draw(n)
    for far in (0.5, 10.0):
        values, gradient = gradient_of(BlackboxLoss(far), problem, y_hat, y)
        here = problem.solve(y_hat.numpy())
        there = problem.solve((y_hat + far * y).numpy())
        regret = problem.cost(here, y.numpy()) - problem.optimal_cost(y.numpy())
        assert_allclose(values, regret, atol=1e-12)
        assert_allclose(gradient, sign_of(problem) * (there - here) / far, atol=1e-12)


@by_problem
def test_identity_is_the_regret_with_the_slope_of_a_correlation(problem, n):
    y_hat, y = draw(n)
    values, gradient = gradient_of(IdentityLoss(), problem, y_hat, y)
    here = problem.solve(y_hat.numpy())
    regret = problem.cost(here, y.numpy()) - problem.optimal_cost(y.numpy())
    assert_allclose(values, regret, atol=1e-12)
    variable = y_hat.clone().requires_grad_()
    centred = variable - variable.mean(dim=1, keepdim=True)
    correlation = (centred * y).sum(dim=1) / centred.norm(dim=1)
    (slope,) = torch.autograd.grad(-correlation.sum(), variable)
    assert_allclose(gradient, slope, atol=1e-12)


def test_all_predictions_alike_have_a_finite_slope():
    y_hat, y = torch.ones(2, 4, dtype=torch.float64), next(draw(4, 2))
    for loss in LOSSES:
        _, gradient = gradient_of(loss, TopKProblem(2), y_hat, y)
        assert np.isfinite(gradient).all()


@by_loss
def test_rows_that_are_not_finite_are_the_callers_to_explain(loss):
    y_hat, y = draw(4, 3)
    y_hat[1, 2] = torch.nan
    values = loss(TopKProblem(2), y_hat, y)
    assert torch.isfinite(values).tolist() == [True, False, True]


@by_loss
def test_problems_with_other_costs_are_refused(loss):
    with pytest.raises(ValueError, match=r"those of NewsvendorProblem are not\. .* LinearProgram"):
        loss.bind(NewsvendorProblem())


def test_the_default_depends_on_the_cost():
    assert isinstance(default_loss(TopKProblem(1)), SPOPlusLoss)
    assert isinstance(default_loss(NewsvendorProblem()), RegretLoss)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (BlackboxLoss(0.0), "interpolation must be a number above 0, got 0.0"),
        (PerturbedFenchelYoungLoss(sigma=-1.0), "sigma must be a number above 0"),
        (PerturbedFenchelYoungLoss(n_samples=0), "n_samples must be a whole number of at least 1"),
    ],
)
def test_bad_parameters(loss, message):
    with pytest.raises(ValueError, match=message):
        loss.bind(TopKProblem(1))


@by_loss
def test_float32_and_repeated_binding(loss):
    y_hat, y = (each.float() for each in draw(4))
    values = loss(TopKProblem(2), y_hat, y)
    assert values.dtype == torch.float32
    assert_array_equal(clone(loss)(TopKProblem(2), y_hat, y), values)


def test_losses_of_the_prediction_alone():
    rng = np.random.default_rng(0)
    y = torch.as_tensor(rng.integers(0, 2, (6, 4)).astype(float))
    y_hat = torch.as_tensor(rng.uniform(0, 1, (6, 4)))
    squared = SquaredErrorLoss()(TopKProblem(1), y_hat, y).numpy()
    assert_allclose(squared, ((y_hat - y) ** 2).sum(dim=1))
    log = LogLoss()(TopKProblem(1), y_hat, y).numpy()
    expected = [
        metrics.log_loss(a, b, normalize=False, labels=[0, 1])
        for a, b in zip(y, y_hat, strict=True)
    ]
    assert_allclose(log, expected)
    for values in ((y_hat - 1.0, y), (y_hat, y + 0.5)):
        with pytest.raises(ValueError, match="LogLoss needs probabilities, but"):
            LogLoss()(TopKProblem(1), *values)
