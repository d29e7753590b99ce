"""What the user's constraints and variables are called in messages and tables."""

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

from dfl_sklearn.problems import ConvexProgram, CvxpyProgram

HAS_LABELS = hasattr(cp.Variable() >= 0, "set_label")


def limited(labelled=False, with_context=False):
    x, a = cp.Variable(3, name="x"), cp.Parameter(3, name="a")
    cap = cp.Parameter(name="cap", nonneg=True)
    matrix = np.arange(60.0).reshape(20, 3)
    limits = [
        x >= 0,
        cp.sum(x) <= (cap if with_context else 3.0),
        matrix @ x <= 1e6,
        cp.norm(x) <= 1e6,
    ]
    if labelled:
        for limit, name in zip(limits, ("no return", "room", "machines", "length"), strict=True):
            limit.set_label(name)
    problem = cp.Problem(cp.Minimize(a @ x + cp.sum_squares(x)), limits)
    return CvxpyProgram(problem, a, x, cap) if with_context else (problem, a, x)


Y = np.array([[1.0, -1.0, -3.0]])


def test_a_missed_constraint_has_its_number_and_one_short_line():
    problem = ConvexProgram(limited)
    for z, name in (
        ([[2.0, 2.0, 1.0]], r"misses constraint 1 \(Sum\(x, None, False\) <= 3.0\) by 2, and has"),
        ([[-1.0, 0.0, 1.0]], r"misses constraint 0 \(0.0 <= x\) by 1"),
    ):
        with pytest.raises(ValueError, match=name):
            problem.cost(z, Y)
    with pytest.raises(ValueError, match=r"constraint 2 \(.*\.\.\.\) by") as error:
        ConvexProgram(lambda: bare(limited()[1:])).cost([[1e6, 0.0, 0.0]], Y)
    assert "\n" not in str(error.value)
    assert len(str(error.value).split("misses ")[1].split(" by ")[0]) < 80


def bare(parts):
    a, x = parts
    matrix = np.arange(60.0).reshape(20, 3)
    limits = [x >= 0, x <= 1e7, matrix @ x <= 1e6]
    return cp.Problem(cp.Minimize(a @ x + cp.sum_squares(x)), limits), a, x


def linear(labelled=False):
    problem, a, x = limited(labelled)
    return cp.Problem(problem.objective, problem.constraints[:3]), a, x


def test_explain_names_constraints_in_one_line():
    names = ConvexProgram(linear).explain([[0.0, 0.5, 1.5]], Y)["constraint"]
    assert list(names[:4]) == [
        *(f"constraint 0[{i}] (0.0 <= x)" for i in range(3)),
        "constraint 1 (Sum(x, None, False) <= 3.0)",
    ]
    assert names[4].startswith("constraint 2[0] (")
    assert not names.str.contains("\n").any()
    assert (names.str.len() < 90).all()


@pytest.mark.skipif(not HAS_LABELS, reason="this version of cvxpy has no labels")
def test_labels_are_used():
    with pytest.raises(ValueError, match="row 0 misses room by 2, and has no cost"):
        ConvexProgram(lambda: limited(labelled=True)).cost([[2.0, 2.0, 1.0]], Y)
    names = ConvexProgram(lambda: linear(labelled=True)).explain([[0.0, 0.5, 1.5]], Y)
    assert list(names["constraint"][:5]) == [
        *(f"no return[{i}]" for i in range(3)), "room", "machines[0]"
    ]  # fmt: skip
    known = ConvexProgram(lambda: limited(labelled=True, with_context=True))
    with pytest.raises(ValueError, match="row 0 misses room by 1, and has no cost"):
        known.cost([[2.0, 2.0, 1.0]], Y, context=pd.DataFrame({"cap": [4.0]}))


def contradictory(label=None):
    x, a = cp.Variable(2, name="x"), cp.Parameter(name="a")
    limits = [x <= 3, 0.5 * cp.sum(x) >= a]
    if label:
        limits[1].set_label(label)
    return cp.Problem(cp.Minimize(cp.sum_squares(x)), limits), a, x


def test_constraints_that_cannot_hold_are_called_as_in_other_messages():
    short = r"have to be missed: constraint 1 \(a <= 0\.5 .*\) \(by 1\)\. "
    with pytest.raises(ValueError, match=short):
        ConvexProgram(contradictory).solve([4.0])
    if HAS_LABELS:
        with pytest.raises(ValueError, match=r"have to be missed: need \(by 1\)\. "):
            ConvexProgram(lambda: contradictory("need")).solve([4.0])


def unbounded():
    x, y = cp.Variable(2, name="x"), cp.Variable(nonneg=True, name="power")
    a = cp.Parameter(2, name="a")
    return cp.Problem(cp.Minimize(a @ x - y), [x <= 3, y <= 2, x[0] >= 0]), a, [x, y]


def endless_cost():
    x, a = cp.Variable(name="x"), cp.Parameter(name="a")
    return cp.Problem(cp.Minimize(cp.exp(-3) * x + a), []), a, x


@pytest.mark.parametrize("solver", [None, "CLARABEL"])
def test_variables_without_a_bound_are_named(solver):
    problem = ConvexProgram(unbounded, solver=solver)
    said = r"unbounded for row 1 of y: x\[1\] has no bound on the side where it pays"
    with pytest.raises(ValueError, match=said):
        problem.solve([[1.0, -1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="unbounded for row 0 of y: x has no bound"):
        ConvexProgram(endless_cost, solver=solver).solve([1.0])
