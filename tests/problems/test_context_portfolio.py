"""Portfolios with a cost of trading or numbers that differ by row, against cvxpy."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import CVaRPortfolioProblem, FromContext, PortfolioProblem

from ..contracts.context_contract import at_each_row, check_context_contract, table
from ..solvers.portfolios import KINDS, random_covariance, random_holdings


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_cvxpy(kind):
    rng = np.random.default_rng(7)
    for n in (2, 4, 9):
        covariance, aversion = random_covariance(rng, n), rng.uniform(0.3, 3)
        y = rng.standard_normal(n)
        holdings = random_holdings(rng, 1, n, kind)[0]
        rate = rng.uniform(0, 1, n) if n > 2 else 0.3
        problem = PortfolioProblem(covariance, aversion, holdings, rate)
        z = cp.Variable(n)
        cost = aversion / 2 * cp.quad_form(z, cp.psd_wrap(covariance)) - y @ z
        cost += cp.sum(cp.multiply(rate, cp.abs(z - holdings)))
        oracle = cp.Problem(cp.Minimize(cost), [z >= 0, cp.sum(z) == 1])
        oracle.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        found = problem.optimum(y[None])
        assert found.cost[0] == pytest.approx(oracle.value, abs=1e-8)
        assert_allclose(found.decisions[0], z.value, atol=1e-5)
        assert problem.cost(z.value[None], y[None])[0] == pytest.approx(oracle.value, abs=1e-8)


def test_returns_within_the_cost_of_trading_change_nothing():
    """Two assets: with the better one at most 2t ahead nothing is traded."""
    problem = PortfolioProblem(np.eye(2), 1.0, [0.5, 0.5], 0.2)
    ahead = np.array([-0.41, -0.4, -0.1, 0.0, 0.39, 0.4, 0.5, 0.8, 5.0])
    z = problem.solve(np.column_stack([ahead, np.zeros(9)]))
    # Beyond, slopes z_1 - y + t and z_2 - t are equal.
    expected = np.where(np.abs(ahead) > 0.4, 0.5 + (ahead - 0.4 * np.sign(ahead)) / 2, 0.5)
    assert_allclose(z[:, 0], expected.clip(0, 1), atol=1e-14)
    assert_array_equal(z[2:5], 0.5)
    assert_array_equal(problem.cost(z[2:5], np.zeros((3, 2))), 0.25)


def test_without_a_cost_of_trading_holdings_change_nothing():
    rng = np.random.default_rng(0)
    for n in (4, 10):
        covariance, y = random_covariance(rng, n), rng.standard_normal((20, n))
        plain = PortfolioProblem(covariance, 0.7)
        free = PortfolioProblem(covariance, 0.7, np.full(n, 1 / n), np.zeros(n))
        z = plain.solve(y)
        assert_array_equal(free.solve(y), z)
        assert_array_equal(free.cost(z, y), plain.cost(z, y))
        layers = [each.decision_layer()(torch.as_tensor(y)) for each in (plain, free)]
        assert_array_equal(*layers)
        # Rates of 0 in some rows give what there is without any.
        columns = [FromContext(i) for i in range(n)]
        marked = PortfolioProblem(covariance, 0.7, columns, FromContext(n))
        context = np.column_stack([rng.dirichlet(np.ones(n), 20), np.zeros(20)])
        assert_allclose(marked.solve(y, context=context), z, atol=1e-6)
        assert_allclose(marked.optimal_cost(y, context=context), plain.optimal_cost(y), atol=1e-9)


HOLDINGS = [FromContext("a"), FromContext("b"), FromContext("c")]
COVARIANCE = np.array([[1.0, 0.4, -0.2], [0.4, 2.0, 0.1], [-0.2, 0.1, 1.5]])
PORTFOLIOS = {
    "holdings": PortfolioProblem(COVARIANCE, 2.0, HOLDINGS, 0.3),
    "rates": PortfolioProblem(COVARIANCE, 2.0, [0.5, 0.2, 0.3], [0.1, FromContext("rate"), 0.2]),
    "one rate": PortfolioProblem(COVARIANCE, 2.0, [0.1, 0.0, 0.3], FromContext("rate")),
    "aversion": PortfolioProblem(COVARIANCE, FromContext("aversion")),
    "all": PortfolioProblem(COVARIANCE, FromContext("aversion"), HOLDINGS, FromContext("rate")),
}


def context_of(n=8):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), n)
    context = table(a=shares[:, 0], b=shares[:, 1], c=shares[:, 2] * 0.9)
    context = context.assign(rate=rng.uniform(0, 0.5, n), aversion=rng.uniform(0.5, 4, n))
    context.iloc[1] = context.iloc[0]
    context.loc[3, "rate"] = 0.0
    return context


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_portfolio_contract(name):
    problem = PORTFOLIOS[name]
    y = 0.7 * np.random.default_rng(1).standard_normal((8, 3))
    check_context_contract(problem, y, context_of(), smoothing=(0.0, None, 0.2))


def test_many_assets_with_a_risk_aversion_of_each_row():
    problem, context = PortfolioProblem(np.eye(9) + 0.3, FromContext("aversion")), context_of()
    y = np.random.default_rng(1).standard_normal((8, 9))
    layer = problem.decision_layer(0.2)
    z, smoothed = problem.solve(y, context=context), layer(*rows_of(problem, y, context))
    for i, alone in enumerate(at_each_row(problem, context)):
        assert_allclose(alone.solve(y[i : i + 1])[0], z[i], atol=1e-7)
        expected = alone.decision_layer(0.2)(torch.as_tensor(y[i : i + 1]))[0]
        assert_allclose(smoothed[i], expected, atol=1e-7)


def rows_of(problem, y, context):
    return torch.as_tensor(y), torch.as_tensor(problem.context_rows(context, len(y)))


def test_the_layer_of_a_rounded_cost_agrees_with_cvxpy():
    rng = np.random.default_rng(6)
    problem = PortfolioProblem(COVARIANCE, 1.5, [0.2, 0.3, 0.4], [0.3, 0.1, 0.6])
    y = rng.standard_normal((6, 3))
    found = problem.decision_layer(0.5)(torch.as_tensor(y)).numpy()
    variance = np.trace(COVARIANCE) / 3
    kink = 8.0 * 1.5 * variance / 0.5
    for row, shares in zip(y, found, strict=True):
        z = cp.Variable(3)
        risk = cp.quad_form(z, COVARIANCE + 0.5 * variance * np.eye(3))
        cost = 0.75 * risk - row @ z
        for j, (held, rate) in enumerate(
            zip(*(problem.holdings, problem.transaction_cost), strict=True)
        ):
            # Half the Huber function of cvxpy is that of a curvature of 1 up to a trade of M.
            cost += kink / 2 * cp.huber(z[j] - held, rate / kink)
        oracle = cp.Problem(cp.Minimize(cost), [z >= 0, cp.sum(z) == 1])
        oracle.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
        assert_allclose(shares, z.value, atol=1e-5)


def test_the_rounded_layer_follows_returns_where_nothing_is_traded():
    problem = PortfolioProblem(COVARIANCE, 1.0, [0.3, 0.3, 0.4], 2.0)
    y = torch.tensor([[0.1, 0.2, 0.1], [0.3, -0.1, 0.0]], dtype=torch.float64, requires_grad=True)
    for smoothing, follows in ((0.0, False), (None, True)):
        z = problem.decision_layer(smoothing)(y)
        (slope,) = torch.autograd.grad(z[:, 0].sum(), y)
        assert bool((slope != 0).any()) == follows
    assert_array_equal(problem.solve(y.detach()), np.tile(problem.holdings, (2, 1)))


def test_layers_pass_on_what_is_not_finite():
    layer = PORTFOLIOS["holdings"].decision_layer()
    y = torch.tensor([[0.1, 0.2, 0.3], [np.nan, 0.0, 0.0], [0.3, 0.2, 0.1]])
    y, context = rows_of(PORTFOLIOS["holdings"], y, context_of().head(3))
    z = layer(y, context)
    assert z.dtype == torch.float32
    assert_array_equal(torch.isnan(z).all(dim=1), [False, True, False])
    assert_array_equal(z[[0, 2]], layer(y[[0, 2]], context[[0, 2]]))


CVARS = {
    "level": CVaRPortfolioProblem(FromContext("level"), 0.5, np.eye(3)),
    "aversion": CVaRPortfolioProblem(0.7, FromContext("aversion"), np.eye(3)),
    "both": CVaRPortfolioProblem(FromContext("level"), FromContext("aversion")),
}


@pytest.mark.parametrize("name", CVARS)
def test_cvar_contract(name):
    rng = np.random.default_rng(2)
    context = table(level=[0.5, 0.5, 0.9, 0.7], aversion=[0.3, 0.3, 2.0, 0.5])
    y = rng.standard_normal((4, 3))
    smoothing = (0.5,) if name == "level" else ()
    check_context_contract(CVARS[name], y, context, atol=1e-8, smoothing=smoothing)


def test_cvar_of_each_row_agrees_with_cvxpy():
    rng = np.random.default_rng(8)
    returns, weight = rng.standard_normal((4, 12, 3)), rng.dirichlet(np.ones(12), 4)
    context = table(level=rng.uniform(0.4, 0.95, 4), aversion=rng.uniform(0.1, 3, 4))
    decisions = CVARS["both"].solve(returns, context=context, scenario_weight=weight)
    for i, row in context.iterrows():
        z, reserve = cp.Variable(3), cp.Variable()
        losses = -returns[i] @ z
        tail = reserve + weight[i] @ cp.pos(losses - reserve) / (1 - row["level"])
        cost = weight[i] @ losses + row["aversion"] * tail
        least = cp.Problem(cp.Minimize(cost), [z >= 0, cp.sum(z) == 1]).solve(solver="CLARABEL")
        each = np.tile(decisions[i], (12, 1))
        paid = CVARS["both"].cost(each, returns[i], context=context.iloc[[i] * 12])
        assert weight[i] @ paid == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": -0.1}, "holdings, read from column 'a' of the context, must be at least 0, but is"),
        ({"a": 40.0}, r"holdings must sum to at most 1, but they sum to 40\.\d* at row 2"),
        ({"rate": -0.1}, r"transaction_cost, read .* must be at least 0, but is -0\.1 at row 2"),
        ({"aversion": 0.0}, r"risk_aversion, read .* must be positive, .* but is 0\.0 at row 2"),
        ({"aversion": 1e308}, "risk_aversion, read .* too large for the covariance"),
    ],
)
def test_rows_that_make_no_sense_are_named(change, message):
    context = context_of()
    context.loc[2, list(change)] = list(change.values())
    with pytest.raises(ValueError, match=message):
        PORTFOLIOS["all"].solve(np.zeros((8, 3)), context=context)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"transaction_cost": 0.1}, "transaction_cost needs holdings"),
        ({"transaction_cost": FromContext(0)}, "transaction_cost needs holdings"),
        ({"holdings": 0.3}, r"holdings must have one share per asset, shape \(3,\), got \(\)"),
        ({"holdings": [0.5, 0.5]}, r"holdings must have one share .* got \(2,\)"),
        ({"holdings": FromContext(0)}, r"holdings must have one share per asset"),
        ({"holdings": [0.5, 0.6, 0.0]}, "holdings must sum to at most 1, got 1.1"),
        ({"holdings": [0.5, -0.1, 0.0]}, r"holdings\[1\] must be non-negative"),
        ({"holdings": [FromContext(0), 0.9, 0.9]}, "holdings must sum to at most 1"),
        ({"holdings": HOLDINGS, "transaction_cost": [1, 2]}, r"transaction_cost must be a number"),
        ({"holdings": HOLDINGS, "transaction_cost": -1}, "transaction_cost must be non-negative"),
        ({"covariance": FromContext(0)}, "cannot read covariance from the context"),
        ({"covariance": [[FromContext(0)]]}, "cannot read covariance from the context"),
    ],
)
def test_constants_that_make_no_sense_are_named(params, message):
    problem = PortfolioProblem(**{"covariance": COVARIANCE} | params)
    for use in (problem.solve, lambda y: problem.decision_layer()):
        with pytest.raises(ValueError, match=message):
            use(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("y", "rate", "name"), [(1e300, 0.1, "y"), (1.0, 1e300, "transaction_cost")]
)
def test_risk_aversions_that_are_too_small_are_named(y, rate, name):
    problem = PortfolioProblem(np.eye(2), FromContext(0), [0.5, 0.5], rate)
    with pytest.raises(ValueError, match=f"{name} is too large for a risk_aversion .* at row 1"):
        problem.solve([[y, 0.0], [y, 0.0]], context=[1.0, 1e-100])


def test_cvar_refuses_what_it_cannot_read():
    y = np.zeros((2, 3))
    with pytest.raises(ValueError, match="cannot read residuals from the context"):
        CVaRPortfolioProblem(residuals=[[FromContext(0), 1.0, 2.0]]).solve(y)
    with pytest.raises(ValueError, match=r"level, read from column 0 .* at row 1"):
        CVaRPortfolioProblem(FromContext(0)).solve(y, context=[0.5, 1.0])
    with pytest.raises(ValueError, match=r"risk_aversion, read from column 0 .* at row 0"):
        CVaRPortfolioProblem(0.5, FromContext(0)).solve(y, context=[0.0, 1.0])


def test_holdings_of_each_row_are_those_of_its_problem():
    context = context_of()
    y = np.random.default_rng(9).standard_normal((8, 3))
    z = PORTFOLIOS["all"].solve(y, context=context)
    for i, alone in enumerate(at_each_row(PORTFOLIOS["all"], context)):
        assert alone.holdings == context.iloc[i][["a", "b", "c"]].tolist()
        assert_allclose(alone.solve(y[i : i + 1])[0], z[i], atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_risk_aversion_of_each_row_on_a_small_covariance():
    problem = PortfolioProblem(np.eye(2) * 1e-4, risk_aversion=FromContext(0))
    assert_allclose(problem.solve([[0.1, 0.2]], context=[2.0]), [[0.0, 1.0]], atol=1e-9)
