"""RecourseLinearProgram against SciPy, cutting planes, enumeration and differences."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.datasets import flexible_capacity_numbers, make_flexible_capacity
from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.problems import FromContext, NewsvendorProblem, Predicted, RecourseLinearProgram

from .recourse import N_PREDICTED, at, by_cuts, draw, joint, second_stage

KINDS = [{}, {"in_T": True}, {"in_W": True}, {"in_costs": True}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_plans_and_costs_of_scipy(kind):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        arguments, numbers, slopes = draw(rng, **kind)
        problem = RecourseLinearProgram(**arguments)
        y = rng.uniform(0.5, 3, (4, N_PREDICTED))
        plans = problem.solve(y)
        others = rng.uniform(0, 1, plans.shape)
        costs = problem.cost(others, y)
        assert problem.is_feasible(plans).all()
        assert problem.has_complete_recourse == (not kind.get("in_W", False))
        for i, row in enumerate(y):
            part = at(numbers, slopes, row)
            _, least = joint(part)
            assert_allclose(problem.cost(plans[i : i + 1], row[None])[0], least, rtol=1e-7)
            later, _ = second_stage(part, others[i])
            assert_allclose(costs[i], part["c"] @ others[i] + later, rtol=1e-7)
        assert_array_equal(problem.solve(y[2:3])[0], plans[2])
        assert_array_equal(problem.cost(others[1:2], y[1:2])[0], costs[1])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_slopes_of_the_cost_are_those_of_differences(kind):
    step, n_checked = 1e-6, 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        problem = RecourseLinearProgram(**draw(rng, **kind)[0])
        y = rng.uniform(0.5, 3, (3, N_PREDICTED))
        z = rng.uniform(0, 1, problem.solve(y).shape)
        leaves = torch.tensor(z, requires_grad=True), torch.tensor(y, requires_grad=True)
        slopes = torch.autograd.grad(problem.cost(*leaves).sum(), leaves)
        for which, values in enumerate((z, y)):
            for j in range(values.shape[1]):
                move = np.zeros_like(values)
                move[:, j] = step
                ends = [
                    problem.cost(*((z + s * move, y) if which == 0 else (z, y + s * move)))
                    for s in (1, 0, -1)
                ]
                smooth = np.abs(ends[0] - 2 * ends[1] + ends[2]) < 1e-4 * step
                n_checked += smooth.sum()
                difference = (ends[0] - ends[2]) / (2 * step)
                assert_allclose(slopes[which][smooth, j], difference[smooth], rtol=1e-4, atol=1e-4)
    assert n_checked > 50


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_scenarios_in_one_program_and_by_cuts(kind):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        arguments, numbers, slopes = draw(rng, **kind)
        problem = RecourseLinearProgram(**arguments)
        y, weight = rng.uniform(0.5, 3, (1, 5, N_PREDICTED)), rng.dirichlet(np.ones(5))
        plan = problem.solve(y, scenario_weight=weight)
        mean = weight @ problem.cost(np.repeat(plan, 5, axis=0), y[0])
        parts = [at(numbers, slopes, row) for row in y[0]]
        assert_allclose(mean, by_cuts(parts, weight), rtol=1e-6)
        certain = problem.solve(y[:, :1], scenario_weight=[1.0])
        assert_allclose(problem.cost(certain, y[0, :1]), problem.optimal_cost(y[0, :1]), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_whole_plans_by_enumeration(kind):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        problem = RecourseLinearProgram(**draw(rng, whole=True, **kind)[0])
        y = rng.uniform(0.5, 3, (3, N_PREDICTED))
        plans = problem.solve(y)
        n = plans.shape[1]
        every = np.array(list(np.ndindex(*[5] * n)), dtype=float)
        every = every[every.sum(axis=1) <= 6]
        costs = problem.cost(np.repeat(every, 3, axis=0), np.tile(y, (len(every), 1)))
        costs = costs.reshape(-1, 3)
        assert_array_equal(plans, np.rint(plans))
        assert_allclose(problem.cost(plans, y), costs.min(axis=0), rtol=1e-7)
        mean = problem.cost(np.repeat(problem.solve(y[None]), 3, axis=0), y).mean()
        assert_allclose(mean, costs.mean(axis=1).min(), rtol=1e-7)


def test_one_product_is_a_newsvendor():
    """Bought at 2 and at 5 later: 3 for each unit missing, 2 for each left over."""
    problem = RecourseLinearProgram([2.0], [5.0], [[1.0]], [[1.0]], [Predicted(0)])
    newsvendor = NewsvendorProblem(3.0, 2.0)
    rng = np.random.default_rng(0)
    y, z = rng.uniform(1, 9, 6), rng.uniform(1, 9, 6)
    assert_allclose(problem.cost(z, y) - 2 * y, newsvendor.cost(z, y))
    scenarios = rng.uniform(1, 9, (3, 7, 1))
    assert_allclose(problem.solve(scenarios), newsvendor.solve(scenarios))


def test_the_layer_follows_predicted_needs():
    rng = np.random.default_rng(0)
    for smoothing in (None, 0.2):
        problem = RecourseLinearProgram(**draw(rng)[0])
        layer = problem.decision_layer(smoothing)
        y = torch.tensor(rng.uniform(0.5, 3, (6, N_PREDICTED)), requires_grad=True)
        z = layer(y)
        if smoothing is None:
            assert_allclose(z.detach(), problem.solve(y.detach().numpy()), atol=1e-9)
        slope = torch.autograd.grad((z * z).sum(), y)[0]
        step = 1e-6
        for j in range(N_PREDICTED):
            move = step * torch.eye(N_PREDICTED, dtype=torch.float64)[j]
            ends = [(layer(y.detach() + s * move) ** 2).sum(dim=1) for s in (1, -1)]
            assert_allclose(slope[:, j], (ends[0] - ends[1]) / (2 * step), atol=1e-5)
        assert torch.isnan(layer(torch.full((1, N_PREDICTED), torch.nan))).all()


def test_known_numbers_of_each_row():
    """Every place takes them, by name or by position."""
    names = ["price", "late", "yield", "need", "room"]
    marks = [FromContext(name) for name in names]

    def problem(price, late, share, need, room):
        return RecourseLinearProgram(
            [price], [late, 9.0], [[share], [1.0]], np.eye(2), [need, Predicted(0)],
            A_ub=[[1.0]], b_ub=[room],
        )  # fmt: skip

    context = pd.DataFrame([[1.0, 3.0, 0.5, 4.0, 9.0], [2.0, 1.0, 1.0, 2.0, 3.0]], columns=names)
    y = np.array([[5.0], [8.0]])
    marked = problem(*marks)
    assert set(marked.context_columns()) == set(names)
    plans = marked.solve(y, context=context)
    costs = marked.cost([[1.0], [2.0]], y, context=context)
    positions = problem(*(FromContext(j) for j in range(5)))
    assert_array_equal(positions.solve(y, context=context.to_numpy()), plans)
    scenarios = np.array([[[5.0], [6.0]], [[8.0], [1.0]]])
    over = marked.solve(scenarios, context=context)
    for i, row in enumerate(context.to_numpy()):
        there = problem(*row)
        assert_allclose(there.solve(y[i : i + 1])[0], plans[i])
        assert_allclose(there.cost([[1.0 + i]], y[i : i + 1])[0], costs[i])
        assert_allclose(there.solve(scenarios[i : i + 1])[0], over[i])
    with pytest.raises(ValueError, match="row 1 misses row 0 of A_ub by 1"):
        marked.cost([[4.0], [4.0]], y, context=context)
    assert_array_equal(marked.violation([[4.0], [4.0]], context=context), [[0, 0], [1, 0]])


def test_predicted_limits_of_the_plan():
    problem = RecourseLinearProgram(
        [-1.0, -2.0], [1.0], [[0.0, 0.0]], [[1.0]], [0.0],
        A_ub=[[1.0, 1.0]], b_ub=[Predicted(0)], A_eq=[[1.0, -1.0]], b_eq=[Predicted(1)],
    )  # fmt: skip
    y = np.array([[5.0, 1.0]])
    plan = problem.solve(y)
    assert_allclose(plan, [[3.0, 2.0]])
    assert_array_equal(problem.violation(plan, [[4.0, 1.5]]), [[1.0, 0.5, 0, 0]])
    assert problem.violation(plan).shape == (1, 2)
    assert problem.is_feasible(plan).all()
    assert not problem.is_feasible(plan, [[4.0, 1.0]]).any()
    excess, size = problem.uncertain_constraints(plan, np.array([[4.0, 1.5]]))
    assert_allclose(excess, [[1.0, -0.5, 0.5]])
    assert_allclose(size, [[4.0, 1.5, 1.5]])
    with pytest.raises(ValueError, match="row 0 misses row 0 of A_ub by 1"):
        problem.cost(plan, [[4.0, 1.0]])
    with pytest.raises(ValueError, match="b_eq differs"):
        problem.solve([[[5.0, 1.0], [5.0, 2.0]]])


def simple(**changes):
    """Two products, one need."""
    return RecourseLinearProgram(
        **{"c": [1.0, 2.0], "q": [5.0], "T": [[1.0, 1.0]], "W": [[1.0]], "h": [Predicted(0)]}
        | changes
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"T": [[1.0]]}, r"T must have a row .* shape \(1, 2\), got \(1, 1\)"),
        ({"W": [[1.0], [1.0]]}, r"W must have a row .* shape \(1, 1\), got \(2, 1\)"),
        ({"h": [3.0]}, "Nothing is predicted"),
        ({"h": [Predicted(1)]}, "Column 0 of y is not read, but column 1 is"),
        ({"q": ["a"]}, r"q\[0\] must be a number, Predicted or FromContext, got 'a'"),
        ({"q": [np.nan]}, r"q\[0\] must be finite, got nan"),
        ({"c": []}, "c must be a vector"),
        ({"A_ub": [[Predicted(0), 1.0]], "b_ub": [1.0]}, "A_ub must be numbers: .* rows of T"),
        ({"A_ub": [[1.0]], "b_ub": [1.0]}, r"A_ub must have a row .* got \(1, 1\)"),
        ({"b_eq": [1.0]}, "b_eq was given without A_eq"),
        ({"b_ub": [1.0]}, "b_ub was given without A_ub"),
        ({"A_ub": [[1.0, 1.0]]}, "A_ub was given without b_ub"),
        ({"A_eq": [[1.0, 1.0]]}, "A_eq was given without b_eq"),
        ({"T": None}, "T is missing: RecourseLinearProgram needs c, q, T, W and h"),
        ({"W": None}, "W is missing"),
        ({"h": None}, "h is missing"),
        ({"q": 5.0}, r"q must be a vector, such as \[1, 2\]"),
        ({"integrality": [1, 0, 1]}, "integrality must be a number or have one entry per decision"),
        ({"bounds": (3, 1)}, "hold no number"),
    ],
)
def test_numbers_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        simple(**changes).solve([3.0])


def test_rows_without_a_plan_or_a_cost_are_named():
    y = np.array([[3.0], [-1.0], [3.0]])
    with pytest.raises(ValueError, match=r"has no minimum for row 0"):
        simple(q=[-5.0]).solve(y)
    with pytest.raises(ValueError, match=r"recourse of row 0 has no least cost: with q = \[-5.0\]"):
        simple(q=[-5.0]).cost(np.ones((3, 2)), y)
    match = r"Bound them: recourse variable 1 has no bound"
    round_trip = {"q": [5.0, -1.0], "W": [[1.0, 0.0]]}
    with pytest.raises(ValueError, match=match):
        simple(**round_trip).solve(y)
    with pytest.raises(ValueError, match=r"one of recourse variable 1 in scenario 0, .*scenario 2"):
        simple(**round_trip).solve(y[None])
    helpless = simple(W=[[-1.0]])
    assert not helpless.has_complete_recourse
    with pytest.raises(ValueError, match="Nothing makes up for the plan of row 2"):
        helpless.cost([[3.0, 0.0], [0.0, 0.0], [1.0, 1.0]], y)
    bounded = simple(W=[[-1.0]], bounds=(0, 2))
    with pytest.raises(ValueError, match=r"^At row 1: No decision .*row 0 of W, the bounds of"):
        bounded.solve([[3.0], [5.0]])
    scenarios = np.array([[[1.0], [2.0]], [[1.0], [6.0]]])
    with pytest.raises(ValueError, match="scenario 1 of row 1"):
        bounded.solve(scenarios)
    with pytest.raises(ValueError, match="row 0 misses bounds"):
        simple().cost([[-1.0, 0.0]], [[3.0]])


def test_what_has_no_slope_says_what_to_do():
    with pytest.raises(ValueError, match=r"whole numbers has no slope.*ScoreFunctionLoss"):
        simple(integrality=1).decision_layer()
    with pytest.raises(ValueError, match="T or W that differ has no slope"):
        simple(T=[[1.0, Predicted(1)]]).decision_layer()
    with pytest.raises(ValueError, match=r"RegretLoss\(smoothing=0.1\)"):
        simple(c=[Predicted(1), 1.0]).decision_layer()


def test_predicted_numbers_have_factors():
    assert -2 * Predicted(1) == Predicted(1, -2.0)
    assert -Predicted(0) * 0.5 == Predicted(0, -0.5)
    for bad in ("a", -1, True, 0.5):
        with pytest.raises(ValueError, match="position of a column"):
            Predicted(bad)
    sold = simple(c=[1.0, 1.0], q=[-Predicted(1)], T=[[-1.0, 0]], W=[[-1.0]], h=[Predicted(0)])
    assert_allclose(sold.cost([[2.0, 0.0]], [[-3.0, 4.0]]), [2 - 4 * 1])


def test_a_recourse_that_can_be_had_in_two_ways_leaves_the_plan_its_slope():
    """With little room in the store, what is missing is planned for, at either of two prices."""
    problem = RecourseLinearProgram(
        [1.0], [3.0, 3.0], [[1.0]], [[1.0, 1.0]], [Predicted(0)], A_ub=[[1.0]], b_ub=[Predicted(1)]
    )
    y = torch.tensor([[5.0, 3.0], [5.0, 9.0]], dtype=torch.float64, requires_grad=True)
    answer = problem._program().plan.solve(y)
    assert answer.is_unique.all()
    z = problem.decision_layer()(y)
    assert_allclose(z.detach(), [[3.0], [5.0]], atol=1e-9)
    assert_allclose(torch.autograd.grad(z.sum(), y)[0], [[0.0, 1.0], [1.0, 0.0]], atol=1e-9)


@pytest.mark.parametrize("change", [{}, {"b_ub": [Predicted(1)]}, {"b_ub": [FromContext(0)]}])
def test_constraints_on_whole_numbers_alone(change):
    """Few of them are all tried: those that are not allowed must not be."""
    arguments = {"A_ub": [[1, 1, 1]], "b_ub": [1], "bounds": (0, 1), "integrality": 1} | change
    T = [[2.0, 1.0, 3.0]]
    problem = RecourseLinearProgram([3, 2, 4], [9.0], T, [[1.0]], [Predicted(0)], **arguments)
    y, context = np.array([[3.0], [5.0]]), None
    if "b_ub" in change and isinstance(change["b_ub"][0], Predicted):
        y = np.column_stack([y, [1.0, 1.0]])
    elif change:
        context = np.array([[1.0], [1.0]])
    assert_array_equal(problem.solve(y, context=context), [[0, 0, 1], [0, 0, 1]])
    assert np.isfinite(problem.optimal_cost(y, context=context)).all()
    if not change:
        for limits in ({"b_ub": [-1.0]}, {"A_ub": None, "b_ub": None, "bounds": (0.2, 0.8)}):
            with pytest.raises(ValueError, match="No decision satisfies"):
                problem.set_params(**limits).solve(y)
    with pytest.raises(ValueError, match="is no whole number"):
        simple(integrality=1).cost([[0.5, 1.0]], [3.0])


def test_a_need_that_only_whole_numbers_meet():
    arguments = {"bounds": (0, 1), "integrality": 1}
    problem = RecourseLinearProgram([1, 2], [5.0], [[1, 1]], [[0.0]], [Predicted(0)], **arguments)
    assert_array_equal(problem.solve([1.0, 2.0]), [[1, 0], [1, 1]])
    with pytest.raises(ValueError, match="No decision satisfies"):
        problem.solve([5.0])


def test_batches_of_another_width_are_refused():
    layer = simple(h=[FromContext(0)], q=[5.0], A_ub=[[1, 0]], b_ub=[Predicted(0)]).decision_layer()
    y, context = torch.ones((2, 1)).double(), torch.ones((2, 1)).double()
    assert layer(y, context).shape == (2, 2)
    with pytest.raises(ValueError, match=r"shape \(B, 1\)"):
        layer(torch.ones((2, 3)), context)
    for bad in (None, context[:1]):
        with pytest.raises(ValueError, match="The layer takes a context of shape"):
            layer(y, bad)


def test_plans_are_averaged_unless_they_are_whole():
    arguments = {"q": [5.0], "T": [[1.0]], "W": [[1.0]], "h": [Predicted(0)]}
    assert RecourseLinearProgram([2.0], **arguments).decision_average == "decisions"
    whole = RecourseLinearProgram([2.0], **arguments, integrality=1)
    assert whole.decision_average == "predictions"


@pytest.mark.parametrize("n_scenarios", [1, 3, 7])
@pytest.mark.parametrize(("c", "q", "T"), [(0.3, 0.1, 3.0), (0.7, 0.1, 7.0), (0.1 + 0.2, 0.3, 1.0)])
def test_a_free_plan_that_its_recourse_balances(n_scenarios, c, q, T):
    """Plan and recourse cost the same but for the last digit: any plan below all needs is best."""
    problem = RecourseLinearProgram(
        [c], [q, 0.2], [[T], [-T]], [[1, -1], [-1, 1]], [Predicted(0), -Predicted(0)],
        bounds=(None, None),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for weight in (None, rng.dirichlet(np.ones(n_scenarios), 4)):
        y = rng.uniform(1, 5, (4, n_scenarios, 1))
        plans = problem.solve(y, scenario_weight=weight)
        share = np.full((4, n_scenarios), 1 / n_scenarios) if weight is None else weight
        paid = [problem.cost(plans[[i]], y[i]) @ share[i] for i in range(4)]
        assert_allclose(paid, q * (share * y[:, :, 0]).sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("share", [1e-9, -1e-2])
def test_a_free_plan_that_is_dearer_or_cheaper_has_no_end(share):
    problem = RecourseLinearProgram(
        [0.3 * (1 + share)], [0.1, -0.0999], [[3.0], [-3.0]], [[1, -1], [-1, 1]],
        [Predicted(0), -Predicted(0)], bounds=(None, None),
    )  # fmt: skip
    with pytest.raises(ValueError, match="has no minimum for row 0"):
        problem.solve([[[1.0], [2.0], [4.0]]])


def test_what_rounding_leaves_needs_no_recourse():
    problem = RecourseLinearProgram([1.0], [5.0], [[1.0]], [[-1.0]], [Predicted(0)])
    y = np.random.default_rng(0).uniform(1, 20, 60)
    assert_allclose(problem.cost(problem.solve(y), y), y, rtol=1e-9)
    with pytest.raises(ValueError, match="Nothing makes up for the plan of row 59"):
        problem.cost(y * np.where(np.arange(60) == 59, 1 - 1e-5, 1.0), y)


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1e3, 1e9, 1e12])
def test_plans_follow_needs_of_any_size(size):
    """The regret of a newsvendor: 2 for each unit too many, 3 for each that is short."""
    problem = RecourseLinearProgram([2.0], [5.0], [[1.0]], [[1.0]], [Predicted(0)])
    rng = np.random.default_rng(0)
    y, predicted = 10 + rng.normal(size=(2, 50, 1))
    leaf = torch.tensor(size * predicted, requires_grad=True)
    regret = RegretLoss()(problem, leaf, torch.tensor(size * y))
    slope = torch.autograd.grad(regret.sum(), leaf)[0]
    assert_array_equal(slope, np.where(predicted > y, 2.0, -3.0))
    over = predicted - y
    assert_allclose(regret.detach() / size, np.maximum(2 * over, -3 * over)[:, 0], atol=1e-12)


def test_scenarios_without_a_plan_are_named_with_what_contradicts():
    y = [[[1.0], [5.0]]]
    one = {"c": [1.0], "q": [5.0], "T": [[1.0]], "W": [[1.0]], "h": [Predicted(0)]}
    helpless = RecourseLinearProgram(**one | {"W": [[-1.0]]}, bounds=(0, 2))
    said = r"in scenario 1 of row 0, y = \[5.0\]: these contradict one another: row 0 of W, the "
    with pytest.raises(ValueError, match=said + "bounds of decision 0, the bounds of reco"):
        helpless.solve(y)
    forbidden = RecourseLinearProgram(
        **one, A_ub=[[-1.0]], b_ub=[-Predicted(0)], A_eq=[[1.0]], b_eq=[4.0]
    )
    with pytest.raises(ValueError, match=r"row 0, y = \[5.0\]: .*: row 0 of A_ub, row 0 of A_eq"):
        forbidden.solve(y)
    rigid = RecourseLinearProgram(
        [1.0], [5.0], [[1.0], [-1.0]], [[0.0], [0.0]], [Predicted(0), -Predicted(0)]
    )
    with pytest.raises(ValueError, match="in all scenarios of row 0, though each has one by"):
        rigid.solve(y)


def test_a_number_that_is_too_large_is_named():
    with pytest.raises(ValueError, match=r"h\[1\] must be a number"):
        simple(h=[Predicted(0), 10**400]).solve([3.0])


def test_a_plan_over_scenarios_that_highs_leaves_open_without_its_presolve():
    problem = RecourseLinearProgram(**flexible_capacity_numbers())
    draw = {"n_scenarios": 400, "shift": "level_down", "random_state": 10_000}
    scenarios = make_flexible_capacity(200, **draw)[2][49:50]
    plan = problem.solve(scenarios)
    best = problem.cost(np.repeat(plan, 400, axis=0), scenarios[0]).mean()
    for step in 0.01 * np.vstack([np.eye(5), -np.eye(5)]):
        other = np.repeat(plan + step, 400, axis=0)
        assert problem.cost(other, scenarios[0]).mean() >= best - 1e-9
