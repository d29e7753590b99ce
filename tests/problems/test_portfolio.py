import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_portfolio, portfolio_covariance
from dfl_sklearn.problems import PortfolioProblem


def random_problem(rng, n_assets):
    factors = rng.standard_normal((n_assets, n_assets + 2))
    return PortfolioProblem(factors @ factors.T / n_assets, risk_aversion=rng.uniform(0.2, 3))


@pytest.mark.parametrize("n_assets", [1, 2, 3, 6, 8, 9, 30])
def test_agrees_with_cvxpy(n_assets):
    rng = np.random.default_rng(n_assets)
    for _ in range(15):
        problem = random_problem(rng, n_assets)
        y = 2.0 * rng.standard_normal(n_assets)
        z = cp.Variable(n_assets)
        risk = cp.quad_form(z, cp.psd_wrap(problem.covariance))
        oracle = cp.Problem(
            cp.Minimize(problem.risk_aversion / 2 * risk - y @ z), [z >= 0, cp.sum(z) == 1]
        )
        oracle.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        assert problem.optimal_cost(y[None])[0] == pytest.approx(oracle.value, abs=1e-8)
        assert_allclose(problem.solve(y[None])[0], z.value, atol=1e-5)


def test_two_assets_in_closed_form():
    # The share of the second: (lambda (s11 - s12) + y2 - y1) / (lambda (s11 + s22 - 2 s12)).
    covariance, aversion = np.array([[1.0, 0.3], [0.3, 2.0]]), 1.7
    y = np.random.default_rng(0).standard_normal((50, 2))
    second = (aversion * 0.7 + y[:, 1] - y[:, 0]) / (aversion * 2.4)
    found = PortfolioProblem(covariance, aversion).solve(y)[:, 1]
    assert_allclose(found, second.clip(0, 1), atol=1e-12)
    assert 0 < (second < 0).sum() < 50


def test_an_added_constant_changes_nothing_and_ties_are_split():
    for n, tol in ((4, 1e-11), (12, 1e-7)):
        problem = PortfolioProblem(np.eye(n), 1.0)
        y = np.random.default_rng(0).standard_normal((20, n))
        assert_allclose(problem.solve(y + 100.0), problem.solve(y), atol=tol)
        assert_allclose(problem.solve(np.zeros((1, n))), 1 / n, atol=tol)


def test_the_smoothed_layer_is_the_problem_with_more_risk():
    rng = np.random.default_rng(3)
    problem = random_problem(rng, 5)
    y = rng.standard_normal((30, 5))
    mean_variance = np.trace(problem.covariance) / 5
    for smoothing, factor in ((None, 1.0), (0.5, 0.5), (0.0, 0.0)):
        riskier = problem.covariance + factor * mean_variance * np.eye(5)
        expected = PortfolioProblem(riskier, problem.risk_aversion).solve(y)
        layer = problem.decision_layer(smoothing)
        assert_allclose(layer(torch.as_tensor(y)).numpy(), expected, atol=1e-12)


def test_a_net_learns_a_portfolio():
    X, y = make_portfolio(600, random_state=0)
    X_test, y_test = make_portfolio(5_000, random_state=1)
    problem = PortfolioProblem(portfolio_covariance(5), 0.25)
    model = DFLRegressor(problem, hidden_layer_sizes=(), random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.1
    assert problem.is_feasible(model.decide(X_test)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"covariance": np.ones((2, 3))}, "square matrix, got shape"),
        ({"covariance": [[1.0, np.nan], [0.0, 1.0]]}, r"not finite at \[0, 1\]"),
        ({"covariance": [[1.0, 0.5], [0.0, 1.0]]}, "not symmetric: 0.5 at"),
        ({"covariance": np.ones((2, 2))}, "positive definite, but its least eigenvalue"),
        ({"covariance": np.eye(2), "risk_aversion": 0.0}, "risk_aversion must be positive"),
        ({"covariance": np.eye(2), "risk_aversion": "much"}, "risk_aversion must be a number"),
    ],
)
def test_constants_that_make_no_sense(params, message):
    with pytest.raises(ValueError, match=message):
        PortfolioProblem(**params).solve(np.zeros((1, 2)))


def test_decisions_that_are_none():
    problem = PortfolioProblem(np.eye(2))
    with pytest.raises(ValueError, match="decisions is a negative share at row 1, column 0"):
        problem.cost([[0.5, 0.5], [-0.5, 1.5]], np.zeros((2, 2)))
    with pytest.raises(ValueError, match="decisions do not sum to 1 at row 0"):
        problem.cost([[0.5, 0.6]], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="PortfolioProblem has 2 parameters per row, but y has 3"):
        problem.solve(np.zeros((1, 3)))


@pytest.mark.parametrize("n", [3, 9])
@pytest.mark.parametrize("size", [1e6, 1e150, 1e300])
def test_returns_beside_which_risk_is_nothing_decide_alone(n, size):
    y = size * np.random.default_rng(0).uniform(-1, 1, (20, n))
    best = np.eye(n)[y.argmax(axis=1)]
    np.testing.assert_allclose(PortfolioProblem(np.eye(n) + 0.3).solve(y), best, atol=1e-6)


@pytest.mark.parametrize(("scale", "risk_aversion"), [(1e200, 1e200), (1e-200, 1e-200)])
def test_a_charge_that_is_no_number_is_refused(scale, risk_aversion):
    with pytest.raises(ValueError, match="times the covariance"):
        PortfolioProblem(scale * np.eye(2), risk_aversion).solve([[1.0, 2.0]])
