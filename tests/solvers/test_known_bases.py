"""Bases shared among rows: the same decisions, to the last bit, as row by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.problems import CVaRPortfolioProblem
from dfl_sklearn.solvers.linear import LinearSolver
from dfl_sklearn.solvers.polytope import Polytope
from dfl_sklearn.solvers.tail_losses import tail_losses


def polytopes():
    rng = np.random.default_rng(0)
    yield tail_losses(rng.normal(size=(12, 3)))
    A = rng.uniform(size=(4, 6))
    yield Polytope.of(6, ub=(A, A.sum(axis=1) / 2), upper=1.0)
    yield Polytope.of(4, ub=(np.ones((1, 4)), [2.0]), upper=1.0)  # vertices with many bases
    yield Polytope.of(3, eq=(np.ones((1, 3)), [1e6]), upper=[9e5, 5e5, np.inf])


@pytest.mark.parametrize("polytope", list(polytopes()))
def test_shared_bases_change_no_decision(polytope):
    rng = np.random.default_rng(1)
    n = len(polytope.lower)
    costs = np.concatenate([np.abs(rng.normal(size=(70, n))), np.ones((5, n)), np.zeros((2, n))])
    alone = [LinearSolver(polytope, "x", shares_bases=True).solve(cost[None])[0] for cost in costs]
    together = LinearSolver(polytope, "x", shares_bases=True).solve(costs)
    assert_array_equal(together, alone)
    order = rng.permutation(len(costs))
    assert_array_equal(
        LinearSolver(polytope, "x", shares_bases=True).solve(costs[order]), together[order]
    )
    without, dual = LinearSolver(polytope, "x").solve_with_duals(costs)
    assert_allclose((costs * together).sum(axis=1), (costs * without).sum(axis=1), rtol=1e-12)
    # Dual values prove the same cost: b'y and what reduced costs spend at the bounds.
    shared, shared_dual = LinearSolver(polytope, "x", shares_bases=True).solve_with_duals(costs)
    for z, y in ((without, dual), (shared, shared_dual)):
        reduced = costs - y @ polytope.matrix
        spent = y @ polytope.row_upper + (reduced * z).sum(axis=1)
        assert_allclose(spent, (costs * z).sum(axis=1), rtol=1e-9, atol=1e-9)


def test_many_scenarios_by_parts_are_the_whole_program(monkeypatch):
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(2, 600, 4)) * [1.0, 0.5, 2.0, 1.5] + [0.1, 0.05, 0.2, 0.1]
    problem = CVaRPortfolioProblem(level=0.9, risk_aversion=0.5)
    whole = problem.solve(returns)
    monkeypatch.setattr("dfl_sklearn.solvers.tail_program._MOST_SCENARIOS", 60)
    assert_allclose(problem.solve(returns), whole, rtol=1e-6, atol=1e-9)
