"""The nearest decision of every problem: allowed, nearest, differentiable, or refused."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn import PolicyRegressor

WHOLE = {
    *("whole_numbers", "shortest_path", "two_way_road", "matching", "assignment", "knapsack"),
    *("top_k", "coverage", "knapsack_of_unknown_weights", "knapsack_of_unknown_capacity"),
    "set_multicover",
}
projected = pytest.mark.cases(lambda case: case.name not in WHOLE)


def drawn(case, n=20):
    """Return a projection, allowed decisions, and others around and far from them."""
    rng = np.random.default_rng(0)
    y, allowed = case.sample_y(rng, n), case.sample_decision(rng, n)
    projection = case.make().decision_projection(y.shape[1])
    step = np.ptp(allowed, axis=0) * rng.standard_normal(allowed.shape)
    others = allowed + step * rng.choice([0.1, 1.0, 30.0], (n, 1))
    return projection, y, allowed, others


@projected
def test_projected_decisions_are_allowed(case):
    projection, y, _, others = drawn(case)
    z = projection(torch.as_tensor(others)).numpy()
    assert z.shape == others.shape
    assert case.make().is_feasible(z, y).all()
    case.make().cost(z, y)


@projected
def test_allowed_decisions_stay_as_they_are(case):
    projection, _, allowed, others = drawn(case)
    size = np.abs(allowed).max()
    for z in (allowed, projection(torch.as_tensor(others)).numpy()):
        assert_allclose(projection(torch.as_tensor(z)).numpy(), z, rtol=0, atol=1e-9 * size)


@projected
def test_no_allowed_decision_is_nearer(case):
    """The way to any allowed decision leads away from where the projection came from."""
    projection, _, allowed, others = drawn(case, 60)
    z = projection(torch.as_tensor(others)).numpy()
    back, ways = others - z, allowed[None] - z[:, None]
    lengths = np.linalg.norm(back, axis=1)[:, None] * np.linalg.norm(ways, axis=2)
    assert (np.einsum("bk,bsk->bs", back, ways) <= 1e-8 * (lengths + lengths.max())).all()


@projected
def test_slopes_agree_with_finite_differences(case):
    projection, _, _, others = drawn(case, 8)
    z = torch.as_tensor(others).requires_grad_()
    weight = torch.as_tensor(np.random.default_rng(1).standard_normal(others.shape))
    (weight * projection(z)).sum().backward()
    rng = np.random.default_rng(2)
    for _ in range(3):
        way = torch.as_tensor(rng.standard_normal(others.shape))
        step = 1e-6 * max(1.0, np.abs(others).max())
        ends = [(weight * projection(z.detach() + s * step * way)).sum(dim=1) for s in (1, -1)]
        numeric = ((ends[0] - ends[1]) / (2 * step)).numpy()
        assert_allclose((z.grad * way).sum(dim=1).numpy(), numeric, rtol=1e-4, atol=1e-4)


@projected
def test_rows_do_not_know_of_one_another(case):
    projection, _, _, others = drawn(case, 7)
    together = projection(torch.as_tensor(others)).numpy()
    alone = [projection(torch.as_tensor(row[None])).numpy()[0] for row in others]
    assert_array_equal(together, alone)


@projected
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_policy_is_trained(case):
    rng = np.random.default_rng(0)
    problem, y = case.make(), case.sample_y(rng, 12)
    X = np.concatenate([y[:, :1], rng.standard_normal((12, 1))], axis=1)
    model = PolicyRegressor(
        problem, hidden_layer_sizes=(), learning_rate_init=0.05, max_iter=2, random_state=0
    ).fit(X, y)
    weights = model.predictor_.module_.state_dict()
    assert all(torch.isfinite(each).all() for each in weights.values())
    decisions = model.decide(X)
    assert problem.is_feasible(decisions, y).all()
    constant = problem.cost(problem.solve(y[None]), y).mean()
    assert problem.cost(decisions, y).mean() < constant + 0.5 * abs(
        constant - problem.optimal_cost(y).mean()
    )


@pytest.mark.cases(lambda case: case.name in WHOLE)
def test_whole_decisions_are_refused(case):
    rng = np.random.default_rng(0)
    y, z = case.sample_y(rng, 2), case.sample_decision(rng, 2)
    with pytest.raises(ValueError, match=r"decides whole numbers.* Use DFLRegressor"):
        case.make().decision_projection(y.shape[1])(torch.as_tensor(z))
