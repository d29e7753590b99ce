"""The regret as a loss."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone

from dfl_sklearn.losses import DecisionLoss, RegretLoss
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem, SquaredErrorProblem
from dfl_sklearn.rows import Optimum


def draw(n=20, d=1, scale=1.0):
    rng = np.random.default_rng(0)
    return (torch.as_tensor(scale * rng.uniform(0, 10, (n, d))) for _ in range(2))


def test_squared_error():
    y, y_hat = draw(d=3)
    loss = RegretLoss()(SquaredErrorProblem(), y_hat, y)
    assert_allclose(loss, ((y_hat - y) ** 2).sum(dim=1))


def test_newsvendor_gradient_is_the_costs():
    y, y_hat = draw()
    y_hat.requires_grad_()
    RegretLoss()(NewsvendorProblem(9, 1), y_hat, y).sum().backward()
    assert_allclose(y_hat.grad, torch.where(y_hat > y, 1.0, -9.0))


def test_smoothing_reaches_the_layer():
    problem = NewsvendorProblem(9, 1)
    y = torch.ones(1, 1, dtype=torch.float64)
    y_hat = -torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    for smoothing, slope in ((None, 0.0), (0.5, -9 / (1 + np.exp(2.0)))):
        (found,) = torch.autograd.grad(RegretLoss(smoothing)(problem, y_hat, y).sum(), y_hat)
        assert found.item() == pytest.approx(slope)


def test_a_given_optimum_is_used():
    problem = ProvisioningProblem()
    y, y_hat = draw(scale=4e4)
    solution = problem.optimum(y.numpy())
    given = Optimum(torch.as_tensor(solution.decisions), torch.as_tensor(solution.cost))
    assert_allclose(RegretLoss()(problem, y_hat, y, optimal=given), RegretLoss()(problem, y_hat, y))
    assert (RegretLoss()(problem, y_hat, y) >= -1e-12).all()
    assert_allclose(RegretLoss()(problem, y, y), np.zeros(20), atol=1e-12)


def test_it_is_a_parameter_object():
    loss = RegretLoss(smoothing=0.3)
    assert clone(loss).get_params() == {"smoothing": 0.3}
    assert isinstance(loss, DecisionLoss)
    loss.bind(NewsvendorProblem())
    assert vars(loss) == {"smoothing": 0.3}
