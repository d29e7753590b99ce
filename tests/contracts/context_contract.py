"""What every problem has to keep whose numbers are read from the context.

The oracle is the problem at one row of the context: an ordinary problem, tested as such.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from dfl_sklearn.problems._context import at


def at_each_row(problem, context):
    """Return the problem at each row of a context with the columns that it reads."""
    arranged = problem.context_rows(context, len(context))
    return [at(problem, row) for row in arranged]


def check_context_contract(problem, y, context, *, rtol=1e-9, atol=1e-9, smoothing=()):
    """Compare a problem with context to what it is at each row.

    Parameters
    ----------
    problem : DecisionProblem
        With named columns, ``FromContext("name")``.
    y : ndarray of shape (n, d)
        Legal parameters; some rows should share their context, others not.
    context : DataFrame of n rows
        With the columns that the problem reads.
    rtol, atol : float
        By how much costs and decisions may differ.
    smoothing : tuple
        Values at which the layer is compared; none where there is no layer. They should be such
        that no prediction is within 1e-5 of a kink.
    """
    y, n = np.asarray(y, dtype=float), len(y)
    alone = at_each_row(problem, context)
    assert problem.takes_context
    assert set(problem.context_columns()) <= set(context.columns)

    # Decisions and costs.
    z = problem.solve(y, context=context)
    each = np.concatenate([p.solve(y[i : i + 1]) for i, p in enumerate(alone)])
    costs = np.concatenate([p.cost(z[i : i + 1], y[i : i + 1]) for i, p in enumerate(alone)])
    best = np.concatenate([p.cost(each[i : i + 1], y[i : i + 1]) for i, p in enumerate(alone)])
    assert_allclose(problem.cost(z, y, context=context), costs, rtol=rtol, atol=atol)
    assert_allclose(costs, best, rtol=rtol, atol=atol)
    assert problem.is_feasible(z, context=context).all()
    for i, p in enumerate(alone):
        assert p.is_feasible(z[i : i + 1]).all()
    # What is allowed under one context may not be under another.
    turned = np.roll(z, 1, axis=0)
    allowed = [bool(p.is_feasible(turned[i : i + 1])[0]) for i, p in enumerate(alone)]
    assert_array_equal(problem.is_feasible(turned, context=context), allowed)
    missed = [p.violation(turned[i : i + 1]) for i, p in enumerate(alone)]
    assert_array_equal(problem.violation(turned, context=context), np.concatenate(missed))

    # The order of columns and rows, and columns that nobody reads, make no difference.
    order = np.random.default_rng(0).permutation(n)
    shuffled = context.assign(unread=0.0).iloc[order, ::-1]
    assert_array_equal(problem.solve(y[order], context=shuffled), z[order])

    # Scenarios.
    few = np.random.default_rng(1).integers(n, size=(n, 4))
    scenarios, weight = y[few], np.array([0.1, 0.2, 0.3, 0.4])
    found = problem.solve(scenarios, context=context, scenario_weight=weight)
    for i, p in enumerate(alone):
        expected = p.solve(scenarios[i : i + 1], scenario_weight=weight)
        means = [
            weight @ p.cost(np.repeat(one, 4, axis=0), scenarios[i])
            for one in (found[i : i + 1], expected)
        ]
        assert_allclose(means[0], means[1], rtol=rtol, atol=atol)

    # Torch: the cost, the layer and its slopes.
    arranged = torch.as_tensor(problem.context_rows(context, n))
    zt, yt = torch.as_tensor(z), torch.as_tensor(y)
    assert_allclose(problem.cost_rows(zt, yt, arranged).numpy(), costs, rtol=rtol, atol=atol)
    for each_smoothing in smoothing:
        layer = problem.decision_layer(each_smoothing)
        single = [p.decision_layer(each_smoothing) for p in alone]
        tensor = yt.clone().requires_grad_()
        relaxed = layer(tensor, arranged)
        expected = torch.cat([one(yt[i : i + 1]) for i, one in enumerate(single)])
        assert_allclose(relaxed.detach().numpy(), expected.numpy(), rtol=1e-6, atol=1e-7)
        upstream = torch.as_tensor(np.random.default_rng(2).standard_normal(relaxed.shape))
        (slope,) = torch.autograd.grad(relaxed, tensor, upstream)
        # All columns are moved at once, each in rows of its own.
        d = y.shape[1]
        steps = torch.as_tensor(1e-6 * (1.0 + np.abs(y).max(axis=0)))
        moves = torch.diag(steps)[:, None]
        there = arranged.repeat(d, 1)
        with torch.no_grad():
            ends = [
                layer((yt + sign * moves).reshape(d * n, d), there).reshape(d, n, -1)
                for sign in (1, -1)
            ]
        differences = ((ends[0] - ends[1]) * upstream).sum(dim=2) / (2 * steps[:, None])
        assert_allclose(slope.numpy(), differences.numpy().T, rtol=2e-4, atol=2e-5)

    # As a parameter object, and without a context.
    for copied in (clone(problem), pickle.loads(pickle.dumps(problem))):
        assert_array_equal(copied.solve(y, context=context), z)
    with pytest.raises(ValueError, match="from the context, but none was given"):
        problem.solve(y)
    with pytest.raises(ValueError, match="no column names"):
        problem.solve(y, context=context.to_numpy())
    with pytest.raises(ValueError, match="The context lacks"):
        problem.solve(y, context=context.drop(columns=problem.context_columns()[0]))
    bad = context.astype(float).copy()
    bad.loc[bad.index[2], problem.context_columns()[0]] = np.nan
    with pytest.raises(ValueError, match=r"context.*is not finite at row 2"):
        problem.solve(y, context=bad)


def table(**columns):
    """Return a context as a data frame."""
    return pd.DataFrame(columns)
