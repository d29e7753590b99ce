"""Errors of fits and scores call rows as the caller does."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV

from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    PolicyRegressor,
    TwoStageRegressor,
)
from dfl_sklearn.losses import SquaredErrorLoss
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import (
    ConvexProgram,
    FromContext,
    LinearProgram,
    Predicted,
    RecourseLinearProgram,
    SquaredErrorProblem,
)
from dfl_sklearn.rows import Rows
from dfl_sklearn.training.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).normal(size=(40, 3))
QUICK = {"max_iter": 1, "hidden_layer_sizes": (2,), "random_state": 0}


def at_least():
    x, a = cp.Variable(2, name="x"), cp.Parameter(name="a")
    return cp.Problem(cp.Minimize(cp.sum_squares(x)), [x <= 3, cp.sum(x) >= a]), a, x


RECOURSE = RecourseLinearProgram(
    [1.0], [3.0], [[1.0], [0]], [[1.0], [-1]], [Predicted(0), -2], bounds=(0, 3)
)
PROBLEMS = [
    (ConvexProgram(at_least), np.ones(40), 7.0, "for row {} of y"),
    (RECOURSE, np.ones(40), 7.0, "At row {}: No decision"),
    (LinearProgram(bounds=(None, 3)), -np.ones((40, 2)), [1.0, 1.0], "for row {} of y"),
]


def models(problem):
    yield DFLRegressor(problem, **QUICK)
    yield DFLRegressor(problem, early_stopping=False, **QUICK)
    yield DFFRegressor(LinearRegression(), problem, **QUICK)


@pytest.mark.parametrize(("problem", "y", "bad", "said"), PROBLEMS, ids=["convex", "two", "linear"])
@pytest.mark.parametrize("row", [3, 17, 39])
def test_a_fit_names_the_row_of_its_caller(problem, y, bad, said, row):
    y = y.copy()
    y[row] = bad
    weight = np.where(np.arange(40) < 2, 0.0, 1.0)  # rows that are left out are counted
    for model in models(problem):
        with pytest.raises(ValueError, match=said.format(row)) as error:
            model.fit(X, y, weight)
        assert not getattr(error.value, "__notes__", [])


def test_a_bad_context_has_its_row():
    problem = LinearProgram(bounds=(0, FromContext(0)))
    table, y = np.column_stack([X, np.ones(40)]), np.ones((40, 2))
    table[27, 3] = -1.0
    for model in models(problem):
        with pytest.raises(ValueError, match="at row 27 of the context"):
            model.set_params(context=[3]).fit(table, y)


def test_what_a_parameter_cannot_be_has_its_row():
    def priced():
        x, a = cp.Variable(2), cp.Parameter(nonneg=True)
        return cp.Problem(cp.Minimize(cp.sum_squares(x)), [cp.sum(x) >= a]), a, x

    y = np.ones(40)
    y[33] = -1.0
    for model in models(ConvexProgram(priced)):
        with pytest.raises(ValueError, match="Row 33 of y"):
            model.fit(X, y)


def test_of_equal_rows_the_first_one_is_named():
    y = np.ones(40)
    y[[5, 9]] = 7.0
    same = X.copy()
    same[9] = same[5]
    with pytest.raises(ValueError, match="At row 5: "):
        DFLRegressor(RECOURSE, **QUICK).fit(same, y)


def test_rows_that_are_held_out_by_the_caller_are_counted_among_these():
    y_val = np.array([1.0, 1.0, 7.0, 1.0])
    for model in models(RECOURSE):
        with pytest.raises(ValueError, match="At row 2: ") as error:
            model.fit(X, np.ones(40), X_val=X[:4], y_val=y_val)
        assert error.value.__notes__ == ["Rows are counted among those of X_val and y_val."]


def test_scores_say_among_which_rows_they_count():
    y = np.ones(40)
    y[23] = 7.0
    fitted = DFLRegressor(RECOURSE, **QUICK).fit(X, np.linspace(0.5, 1, 40))
    with pytest.raises(ValueError, match="At row 3: ") as error:
        fitted.score(X[20:], y[20:])
    assert error.value.__notes__ == ["Rows are counted among the rows scored."]
    folds = [(np.r_[:20, 30:40], np.arange(20, 30))]
    search = GridSearchCV(
        DFLRegressor(RECOURSE, **QUICK), {"alpha": [0.0]}, cv=folds, error_score="raise"
    )
    with pytest.raises(ValueError, match="At row 3: ") as error:
        search.fit(X, y)
    assert error.value.__notes__ == ["Rows are counted among the rows scored."]


def test_rows_without_numbers_are_known_by_their_values():
    objective = Objective(RECOURSE, SquaredErrorLoss())
    rows = Rows(X[:3], np.array([[1.0], [7.0], [1.0]]), np.ones(3))
    with pytest.raises(ValueError, match=r"^At the row with y = \[7.0\]: No decision"):
        objective.solved(rows)


def test_numbers_of_rows_of_something_else_stay():
    class WithTable(SquaredErrorProblem):
        def solve_rows(self, y, context=None):
            raise ValueError("Table row 999 is missing, and row 1 needs it.")

    rows = Rows(X[:3], np.array([[1.0], [7.0], [1.0]]), np.ones(3))
    with pytest.raises(ValueError, match=r"^Table row 999 is missing, and the row with y = \[7.0"):
        Objective(WithTable(), SquaredErrorLoss()).solved(rows)


LIMITED = LinearProgram([[1.0, 1.0]], [FromContext(0)], sense="max")


def limited_rows(bad):
    """Return rows of which one has a context without any decision."""
    table = np.column_stack([X, np.ones(40)])
    table[bad, 3] = -1.0
    return table, np.abs(X[:, :2])


def test_a_policy_names_the_row_that_has_no_decision():
    with pytest.raises(ValueError, match="At row 17: "):
        PolicyRegressor(LIMITED, context=[3], **QUICK).fit(*limited_rows(17))


@pytest.mark.parametrize("wrapped", ["two stages", "net"])
@pytest.mark.parametrize(
    ("bad", "other"), [(17, {}), (36, {}), (36, {"scale": None}), (9, {"cv": 3})]
)
def test_calibration_names_the_row_of_its_caller(wrapped, bad, other):
    if wrapped == "net":
        model = DFLRegressor(LIMITED, context=[3], **QUICK)
    else:
        model = TwoStageRegressor(LinearRegression(), LIMITED, context=[3])
    promises = ConformalDecisions(model, LIMITED, confidence_level=0.5, **other)
    with pytest.raises(ValueError, match=f"At row {bad}: ") as error:
        promises.fit(*limited_rows(bad))
    assert not getattr(error.value, "__notes__", [])


def test_calibration_rows_of_the_caller_are_counted_among_these():
    model = TwoStageRegressor(LinearRegression(), LIMITED, context=[3])
    promises = ConformalDecisions(model, LIMITED, confidence_level=0.5)
    X_cal, y_cal = limited_rows(5)
    X_cal[:, 0] += 0.5  # not the training rows
    weight = np.where(np.arange(40) < 2, 0.0, 1.0)
    with pytest.raises(ValueError, match="At row 5: ") as error:
        promises.fit(*limited_rows([]), X_cal=X_cal, y_cal=y_cal, sample_weight_cal=weight)
    assert error.value.__notes__ == ["Rows are counted among those of X_cal and y_cal."]


def test_a_comparison_names_the_row_of_its_caller():
    models = {"net": DFLRegressor(LIMITED, context=[3], **QUICK)}
    with pytest.raises(ValueError, match="At row 17: ") as error:
        compare_decisions(models, *limited_rows(17), problem=LIMITED, context=[3], cv=4)
    assert error.value.__notes__ == ["In the fit of 'net' for split 1 of 4."]


def test_numbers_of_rows_do_not_reach_the_model():
    order = np.random.default_rng(1).permutation(40)
    y = X[:, 0] + 1
    first = DFLRegressor(SquaredErrorProblem(), **QUICK).fit(X, y)
    again = DFLRegressor(SquaredErrorProblem(), **QUICK).fit(X[order], y[order])
    for one, other in zip(
        first.predictor_.module_.parameters(), again.predictor_.module_.parameters(), strict=True
    ):
        assert torch.equal(one, other)
