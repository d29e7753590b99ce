"""Losses of rows with a context against the same loss of each row's own problem."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.losses import (
    BlackboxLoss,
    DecisionLoss,
    IdentityLoss,
    LogLoss,
    PerturbedFenchelYoungLoss,
    RegretLoss,
    ScoreFunctionLoss,
    SPOPlusLoss,
    SquaredErrorLoss,
    default_loss,
)
from dfl_sklearn.problems import (
    FromContext,
    KnapsackProblem,
    LinearProgram,
    MatchingProblem,
    ShortestPathProblem,
    TopKProblem,
)
from dfl_sklearn.problems._context import at

B, N = 7, 4
A, B_COLUMN, K_COLUMN = FromContext("a"), FromContext("b"), FromContext("k")
PROBLEMS = {
    "right-hand sides": LinearProgram([[1, 2, 1, 1]], [A], bounds=[(0, B_COLUMN)] * 4, sense="max"),
    "matrix": LinearProgram([[1, A, 1, 1]], [B_COLUMN], bounds=(0, 1)),
    "known costs": LinearProgram(
        [[1, 2, 1, 1]], [2.0], bounds=(0, 1), sense="max", known_cost=[A, 0.5, B_COLUMN, -1.0]
    ),
    "both": LinearProgram([[1, 2, 1, 1]], [A], bounds=(-1, 1), known_cost=[A, B_COLUMN, 0.5, -1.0]),
    "knapsack": KnapsackProblem([1, 2, 1, 1], A),
    "matching": MatchingProblem(2, 2, present_left=[True, K_COLUMN], sense="min"),
    "top k": TopKProblem(K_COLUMN),
}
LOSSES = {
    "SPO+": SPOPlusLoss(),
    "blackbox": BlackboxLoss(0.7),
    "identity": IdentityLoss(),
    "regret": RegretLoss(0.4),
    "relative regret": RegretLoss(),
    "squared error": SquaredErrorLoss(),
    "log loss": LogLoss(),
}
by_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def draw(seed=0):
    rng = np.random.default_rng(seed)
    context = pd.DataFrame(
        {
            "unread": np.nan,
            "b": rng.uniform(0.5, 1.5, B),
            "k": rng.integers(0, 2, B),
            "a": rng.uniform(0.5, 3.0, B),
        }
    )
    context.loc[3] = context.loc[1]
    return (*(torch.as_tensor(rng.uniform(0, 1, (B, N))) for _ in range(2)), context)


def context_for(problem, context):
    """Everybody chooses at least one item."""
    return context.assign(k=context["k"] + 1) if isinstance(problem, TopKProblem) else context


def with_gradient(loss, problem, y_hat, y, **context):
    y_hat = y_hat.clone().requires_grad_()
    values = loss(problem, y_hat, y, **context)
    (gradient,) = torch.autograd.grad(values.sum(), y_hat)
    return values.detach().numpy(), gradient.numpy()


def alone(problem, context):
    return [at(problem, row) for row in problem.context_rows(context, B)]


@by_problem
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_each_row_has_the_loss_of_its_own_problem(problem, loss):
    y_hat, y, context = draw()
    context = context_for(problem, context)
    values, gradient = with_gradient(loss, problem, y_hat, y, context=context)
    for i, there in enumerate(alone(problem, context)):
        value, slope = with_gradient(loss, there, y_hat[[i]], y[[i]])
        assert_allclose(values[[i]], value, atol=1e-7)
        assert_allclose(gradient[[i]], slope, atol=1e-6)


@by_problem
def test_fenchel_young_solves_every_noisy_row_with_its_own_context(problem):
    y_hat, y, context = draw()
    context = context_for(problem, context)
    loss = PerturbedFenchelYoungLoss(sigma=0.8, n_samples=3, random_state=5)
    values, gradient = with_gradient(loss, problem, y_hat, y, context=context)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn((3, B, N), generator=generator, dtype=torch.float64).numpy()
    size = np.sqrt((y.numpy() ** 2).mean(axis=1))
    for i, there in enumerate(alone(problem, context)):
        noisy = y_hat[i].numpy() + 0.8 * size[i] * noise[:, i]
        best = there.solve(y[[i]].numpy())
        least = there.optimal_cost(noisy).mean()
        assert_allclose(values[i], there.cost(best, y_hat[[i]].numpy())[0] - least, atol=1e-8)
        sign = -1.0 if there.sense == "max" else 1.0
        slope = sign * (best[0] - there.solve(noisy).mean(axis=0))
        assert_allclose(gradient[i], slope, atol=1e-8)


@by_problem
@pytest.mark.parametrize("antithetic", [True, False])
def test_score_function_pays_for_every_noisy_row_in_its_own_context(problem, antithetic):
    y_hat, y, context = draw()
    context = context_for(problem, context)
    loss = ScoreFunctionLoss(sigma=0.8, n_samples=4, antithetic=antithetic, random_state=5)
    values, gradient = with_gradient(loss, problem, y_hat, y, context=context)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn((2 if antithetic else 4, B, N), generator=generator, dtype=torch.float64)
    noise = (torch.cat([noise, -noise]) if antithetic else noise).numpy()
    unit = 0.8 * y.numpy().std(axis=0)
    for i, there in enumerate(alone(problem, context)):
        observed = np.repeat(y[[i]].numpy(), 4, axis=0)
        decisions = there.solve(y_hat[i].numpy() + unit * noise[:, i])
        regret = there.cost(decisions, observed) - there.optimal_cost(observed)
        assert_allclose(values[i], regret.mean(), atol=1e-8)
        slope = regret if antithetic else (regret - regret.mean()) * 4 / 3
        assert_allclose(gradient[i], (slope[:, None] * noise[:, i]).mean(axis=0) / unit, atol=1e-8)


@pytest.mark.parametrize("name", ["known costs", "both"])
@pytest.mark.parametrize("loss", [*LOSSES.values()][:5], ids=[*LOSSES][:5])
def test_known_costs_are_costs_like_any_other(name, loss):
    """Adding them to predictions and observations gives the same loss and the same slope."""
    problem = PROBLEMS[name]
    y_hat, y, context = draw(1)
    known = torch.tensor(
        [
            [
                row[each.column] if isinstance(each, FromContext) else each
                for each in problem.known_cost
            ]
            for _, row in context.iterrows()
        ]
    )
    plain = LinearProgram(**{**problem.get_params(), "known_cost": None})
    values, gradient = with_gradient(loss, problem, y_hat, y, context=context)
    more = {"context": context} if plain.takes_context else {}
    expected, slope = with_gradient(loss, plain, y_hat + known, y + known, **more)
    assert_allclose(values, expected, atol=1e-10)
    assert_allclose(gradient, slope, atol=1e-9)
    # Where they are the same for all rows no context is needed.
    constant = LinearProgram(**{**problem.get_params(), "known_cost": known[0]})
    values, gradient = with_gradient(loss, constant, y_hat, y, **more)
    expected, slope = with_gradient(loss, plain, y_hat + known[0], y + known[0], **more)
    assert_allclose(values, expected, atol=1e-10)
    assert_allclose(gradient, slope, atol=1e-9)


@by_problem
def test_spo_plus_bounds_the_regret_and_is_convex(problem):
    y_hat, y, context = draw(2)
    context = context_for(problem, context)
    cost = problem.cost(problem.solve(y_hat.numpy(), context=context), y.numpy(), context=context)
    regret = cost - problem.optimal_cost(y.numpy(), context=context)

    def loss(y_hat):
        return SPOPlusLoss()(problem, y_hat, y, context=context).numpy()

    assert (loss(y_hat) >= regret - 1e-9).all()
    assert_allclose(loss(y), 0.0, atol=1e-9)
    other = y_hat.flip(0)
    assert (loss(0.3 * y_hat + 0.7 * other) <= 0.3 * loss(y_hat) + 0.7 * loss(other) + 1e-9).all()


@by_problem
@pytest.mark.parametrize(
    "loss", [*LOSSES.values(), PerturbedFenchelYoungLoss(), ScoreFunctionLoss()]
)
def test_rows_that_are_not_finite_and_single_precision(problem, loss):
    y_hat, y, context = draw()
    context = context_for(problem, context)
    y_hat[2, 1] = torch.nan
    if isinstance(loss, LogLoss):
        return  # which explains it itself
    values = loss(problem, y_hat, y, context=context)
    assert torch.isfinite(values).tolist() == [i != 2 for i in range(B)]
    single = loss(problem, y_hat.float(), y.float(), context=context)
    assert single.dtype == torch.float32
    if not isinstance(loss, PerturbedFenchelYoungLoss | ScoreFunctionLoss):
        assert_allclose(single, values, atol=1e-3)
    nowhere = loss(problem, torch.full_like(y_hat, torch.nan), y, context=context)
    assert torch.isnan(nowhere).all()


def test_context_is_what_solve_takes():
    problem, (y_hat, y, context) = PROBLEMS["both"], draw()
    loss = SPOPlusLoss()
    expected = loss(problem, y_hat, y, context=context)
    solution = problem.optimum(y.numpy(), context=context)
    optimal = type(solution)(*(torch.as_tensor(each) for each in solution))
    assert_array_equal(loss(problem, y_hat, y, optimal=optimal, context=context), expected)
    with pytest.raises(ValueError, match="from the context, but none was given"):
        loss(problem, y_hat, y, optimal=optimal)
    with pytest.raises(ValueError, match="takes no context"):
        loss(TopKProblem(1), y_hat, y, context=context)
    assert isinstance(default_loss(problem), SPOPlusLoss)


def test_a_loss_that_knows_no_context_is_called_without_one():
    class Plain(DecisionLoss):
        def bind(self, problem):
            return lambda y_hat, y, optimum: optimum.cost

    y = torch.as_tensor([[3.0, 1.0]])
    assert Plain()(TopKProblem(1), y, y).tolist() == [-3.0]


def test_costs_of_a_problem_of_ones_own_may_be_a_function_of_y_alone():
    class Doubled(TopKProblem):
        def linear_objective(self):
            return lambda y: -y

    y_hat, y, _ = draw()
    assert_array_equal(SPOPlusLoss()(Doubled(2), y_hat, y), SPOPlusLoss()(TopKProblem(2), y_hat, y))


def test_a_context_is_not_rounded_to_single_precision():
    """0.7 in float32 is below 0.7, and node 2^25 + 1 would be node 2^25."""
    knapsack = KnapsackProblem([0.3, 0.4, 0.5], FromContext("room"))
    near = 2**25
    edges = [(0, near), (0, near + 1), (near, 7), (near + 1, 7), (near + 1, near)]
    paths = ShortestPathProblem(edges, source=FromContext("from"), target=7)
    for problem, y, context in (
        (knapsack, [[3.0, 4.0, 5.0]], {"room": [0.7]}),
        (paths, [[1.0, 1.0, 1.0, 5.0, 1.0]], {"from": [near + 1]}),
    ):
        y = torch.tensor(y, dtype=torch.float32)
        for loss in (BlackboxLoss(), SPOPlusLoss()):
            found = loss(problem, y, y, context=pd.DataFrame(context))
            assert found.dtype == torch.float32
            assert found.tolist() == [0.0]
