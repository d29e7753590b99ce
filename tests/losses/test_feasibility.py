"""What predicted constraints get wrong: the formula by hand, slopes, what is refused."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from dfl_sklearn.losses import FeasibilityLoss
from dfl_sklearn.problems import (
    ConvexProgram,
    FromContext,
    NewsvendorProblem,
    Predicted,
    RecourseLinearProgram,
    SetMultiCoverProblem,
    UncertainKnapsackProblem,
)
from dfl_sklearn.rows import Optimum


def softplus(excess, beta):
    return np.log1p(np.exp(beta * excess)) / beta


def by_hand(problem, y_hat, y, alpha, margin, beta):
    """The loss of each row, constraint by constraint, where sizes depend on y alone."""
    best, chosen = problem.solve(y), problem.solve(y_hat)
    found = []
    for i in range(len(y)):

        def excess(z, parameters, i=i):
            over, _ = problem.uncertain_constraints(z[i : i + 1], parameters[i : i + 1])
            size = np.abs(problem.uncertain_constraints(z[i : i + 1], y[i : i + 1])[1])
            return over[0] / np.where(size[0] > 0, size[0], 1.0)

        optimal = softplus(excess(best, y_hat) + margin, beta).mean()
        violated = excess(chosen, y) > 1e-9
        terms = softplus(margin - excess(chosen, y_hat), beta)[violated]
        infeasible = terms.mean() if violated.any() else 0.0
        found.append((1 - alpha) * optimal + alpha * infeasible)
    return np.array(found)


def loss_and_slope(loss, problem, y_hat, y, context=None):
    y_hat = torch.tensor(y_hat, requires_grad=True)
    best = Optimum(*map(torch.as_tensor, problem.optimum(y, context=context)))
    known = () if context is None else (torch.as_tensor(context, dtype=torch.float64),)
    value = loss.bind(problem)(y_hat, torch.as_tensor(y), best, *known)
    return value.detach().numpy(), torch.autograd.grad(value.sum(), y_hat)[0].numpy()


PROBLEMS = {
    "weights": (UncertainKnapsackProblem([4.0, 1.0, 3.0], 6.0, penalty=5.0), 3),
    "capacity": (UncertainKnapsackProblem([4.0, 1.0, 3.0], weights=[3, 1, 2], penalty=5.0), 1),
    "both": (UncertainKnapsackProblem([4.0, 1.0, 3.0], penalty=5.0), 4),
    "cover": (SetMultiCoverProblem([[1, 0, 1], [0, 1, 1]], [3, 2, 4], 9), 2),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_formula(name, alpha):
    problem, d = PROBLEMS[name]
    rng = np.random.default_rng(0)
    n = 6 if name == "cover" else 30
    y_hat, y = rng.uniform(0.1, 5, (2, n, d))
    y[0] = 0.0  # a size of 0 counts as 1
    loss = FeasibilityLoss(alpha, margin=0.1, sharpness=5.0)
    value, slope = loss_and_slope(loss, problem, y_hat, y)
    expected = by_hand(problem, y_hat, y, alpha, 0.1, 5.0)
    assert_allclose(value, expected, rtol=1e-9)
    if alpha == 1.0:  # rows without a violation count, with 0
        kept = problem.is_feasible(problem.solve(y_hat), y)
        assert kept.any()
        assert_allclose(value[kept], 0.0, atol=1e-15)
        assert (value[~kept] > 0).all()
    if name == "cover":
        return
    for j in range(d):  # the decisions do not change by so little
        step = 1e-6 * np.eye(d)[j]
        up, down = (by_hand(problem, y_hat + s * step, y, alpha, 0.1, 5.0) for s in (1, -1))
        assert_allclose(slope[:, j], (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


def test_it_falls_where_the_prediction_tells_both_apart():
    """True weights leave the smallest loss that a margin allows; light ones raise it."""
    problem = UncertainKnapsackProblem([4.0, 5.0], 10.0, penalty=9.0)
    y = np.array([[6.0, 7.0]])
    loss = FeasibilityLoss()
    right, _ = loss_and_slope(loss, problem, y, y)
    light, slope = loss_and_slope(loss, problem, y / 2, y)
    heavy, other = loss_and_slope(loss, problem, 2 * y, y)
    assert right < 1e-2 < min(light, heavy)
    assert (slope < 0).all()
    assert other[0, 1] > 0  # the best item should fit
    assert other[0, 0] == 0


def test_the_unit_of_weights_does_not_matter():
    rng = np.random.default_rng(0)
    y_hat, y = rng.uniform(1, 5, (2, 20, 3))
    values = [4.0, 1.0, 3.0]
    small = UncertainKnapsackProblem(values, 6.0, penalty=5.0)
    large = UncertainKnapsackProblem(values, 6000.0, penalty=5e-3)
    value, slope = loss_and_slope(FeasibilityLoss(), small, y_hat, y)
    same, flat = loss_and_slope(FeasibilityLoss(), large, 1000 * y_hat, 1000 * y)
    assert_allclose(value, same)
    assert_allclose(slope, 1000 * flat)


def test_a_capacity_of_each_row():
    rng = np.random.default_rng(0)
    y_hat, y = rng.uniform(1, 5, (2, 8, 3))
    context = rng.uniform(3, 9, (8, 1))
    problem = UncertainKnapsackProblem([4.0, 1.0, 3.0], FromContext(0), penalty=5.0)
    value, _ = loss_and_slope(FeasibilityLoss(), problem, y_hat, y, context)
    for i, C in enumerate(context[:, 0]):
        alone = UncertainKnapsackProblem([4.0, 1.0, 3.0], C, penalty=5.0)
        single, _ = loss_and_slope(FeasibilityLoss(), alone, y_hat[i : i + 1], y[i : i + 1])
        assert_allclose(value[i], single[0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"infeasibility_weight": 1.5}, r"infeasibility_weight must be in \[0, 1\]"),
        ({"margin": -0.1}, "margin must be at least 0"),
        ({"sharpness": 0.0}, "sharpness must be a number above 0"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        FeasibilityLoss(**params).bind(PROBLEMS["weights"][0])


def test_a_problem_without_such_constraints_is_refused():
    with pytest.raises(ValueError, match="NewsvendorProblem has none"):
        FeasibilityLoss().bind(NewsvendorProblem(9, 1))


def free():
    made, price = cp.Variable(2), cp.Parameter(2)
    return cp.Problem(cp.Minimize(price @ made), [made >= 0, cp.sum(made) == 1]), price, made


def with_recourse():
    made, late, need = cp.Variable(), cp.Variable(nonneg=True), cp.Parameter()
    return cp.Problem(cp.Minimize(made + 3 * late), [made >= 0, made + late >= need]), need, made


def in_a_cone():
    made, need = cp.Variable(2), cp.Parameter()
    return cp.Problem(cp.Minimize(cp.norm(made)), [cp.sum(made) >= need]), need, made


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (RecourseLinearProgram([1], [5], [[1]], [[1]], [Predicted(0)]), "none on its plans: no"),
        (ConvexProgram(free), "none on decisions alone"),
        (ConvexProgram(with_recourse), "none on decisions alone"),
        (ConvexProgram(in_a_cone), "knows them of linear and quadratic programs alone"),
    ],
)
def test_programs_without_such_constraints_are_refused_before_training(problem, why):
    with pytest.raises(ValueError, match=f"{type(problem).__name__} (has )?{why}"):
        FeasibilityLoss().bind(problem)


def test_programs_with_such_constraints_are_taken():
    bounded = RecourseLinearProgram([1], [5], [[1]], [[1]], [1.0], A_ub=[[1]], b_ub=[Predicted(0)])
    for problem in (bounded, ConvexProgram(supply, penalty=3.0), ConvexProgram(supply)):
        y = np.array([[2.0], [3.0]])
        value, _ = loss_and_slope(FeasibilityLoss(), problem, y + 0.5, y)
        assert np.isfinite(value).all()


def supply():
    bought, demand = cp.Variable(2, nonneg=True), cp.Parameter()
    limits = [cp.sum(bought) >= demand, bought <= 10]
    return cp.Problem(cp.Minimize(bought @ [1, 2]), limits), demand, bought
