"""Group DRO against convex solvers, and how it finds the groups of rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFFRegressor, DFLRegressor, PolicyRegressor, TwoStageRegressor
from dfl_sklearn.problems import FromContext, NewsvendorProblem, SquaredErrorProblem
from dfl_sklearn.robust import GroupDRO
from dfl_sklearn.rows import Rows
from dfl_sklearn.scenarios import ResidualScenarios

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1, nonnegative=False)
QUICK = {"hidden_layer_sizes": (), "max_iter": 4, "random_state": 0}


def two_groups(n=60, seed=0):
    """Return features, targets and groups, the second of a tenth of the rows."""
    rng = np.random.default_rng(seed)
    group = (np.arange(n) % 10 == 0).astype(float)
    x = rng.normal(size=n) + group
    y = 1 + x + group * (3 - 2 * x) + rng.normal(size=n) * (0.5 + group)
    return x[:, None], y, group


def above(X):
    return np.where(np.asarray(X)[:, 0] > 1.2, "above", "below")


def minimax(X, y, group, problem):
    """Return the least worst-group mean regret of a line, by a convex solver."""
    cvxpy = pytest.importorskip("cvxpy")
    slope, constant, most = (cvxpy.Variable() for _ in range(3))
    left = y - slope * X[:, 0] - constant
    loss = cvxpy.square(left) if problem == "squared" else 9 * cvxpy.pos(left) + cvxpy.pos(-left)
    means = [cvxpy.mean(loss[np.flatnonzero(group == k)]) for k in np.unique(group)]
    return cvxpy.Problem(cvxpy.Minimize(most), [m <= most for m in means]).solve(solver="CLARABEL")


@pytest.mark.parametrize("problem", ["squared", "newsvendor"])
def test_a_line_trained_to_the_end_is_near_the_minimax(problem):
    X, y, _ = two_groups()
    group = above(X)
    model = DFLRegressor(
        SquaredErrorProblem() if problem == "squared" else PROBLEM,
        ambiguity_set=GroupDRO(above),
        hidden_layer_sizes=(),
        alpha=0.0,
        learning_rate_init=0.05,
        max_iter=120,
        batch_size=60,
        random_state=0,
    ).fit(X, y)
    best = minimax(X, y, group, problem)
    assert model.worst_case_.worst_regret == pytest.approx(best, rel=0.01)
    assert model.worst_case_.worst_regret >= best * (1 - 1e-6)
    plain = model.set_params(ambiguity_set=None).fit(X, y)
    cost = model.problem.cost(plain.decide(X), y) - model.problem.optimal_cost(y)
    assert max(cost[group == each].mean() for each in np.unique(group)) > 1.01 * best


def test_against_exact_answers_the_weights_reach_the_equilibrium():
    # Groups with mean losses (w - m)^2 + v, answered by the best w for the present weights.
    centre, level = np.array([0.0, 2.0, 1.0]), np.array([1.0, 0.5, 0.1])
    rows = Rows(np.arange(3.0)[:, None], np.zeros((3, 1)), np.array([8.0, 1.0, 1.0]))
    group_dro = GroupDRO(0)
    group_dro.set_nominal(rows, SquaredErrorProblem(), 0)
    assert_allclose(group_dro.group_weight_, 1 / 3)
    for _ in range(300):
        w = group_dro.group_weight_ @ centre
        worst, divergence = group_dro.worst_case(lambda rows, w=w: (w - centre) ** 2 + level)
    # Where two lines of the upper envelope meet: w^2 + 1 = (w - 2)^2 + .5.
    assert w == pytest.approx(0.875, abs=0.01)
    assert group_dro.group_weight_ == pytest.approx([0.5625, 0.4375, 0.0], abs=0.02)
    assert_allclose(worst.weight, group_dro.group_weight_)
    nominal, kept = np.array([0.8, 0.1, 0.1]), worst.weight > 0
    expected = np.sum(worst.weight[kept] * np.log(worst.weight[kept] / nominal[kept]))
    assert divergence == pytest.approx(expected)


def test_neither_the_unit_of_losses_nor_the_size_of_groups_matters():
    rng = np.random.default_rng(0)
    X = np.repeat([[0.0], [1.0], [2.0]], [30, 5, 1], axis=0)
    rows, found = Rows(X, rng.normal(size=(36, 1)), rng.uniform(1, 2, 36)), []
    for unit in (1.0, 1e-9, 1e9):
        group_dro = GroupDRO(0)
        group_dro.set_nominal(rows, PROBLEM, 0)
        draws = np.random.default_rng(1)
        for _ in range(5):
            loss = draws.uniform(size=36)
            worst, _ = group_dro.worst_case(lambda rows, loss=unit * loss: loss)
        found.append(worst.weight)
        means = [np.average(loss[X[:, 0] == g], weights=rows.weight[X[:, 0] == g]) for g in (0, 1)]
        highest = max(*means, loss[35])
        assert group_dro.worst_regret(worst, loss) == pytest.approx(highest)
        by_group = [worst.weight[X[:, 0] == g].sum() for g in range(3)]
        assert_allclose(by_group, group_dro.group_weight_)
        # Within a group rows count as they do by themselves.
        ratio = worst.weight[:30] / rows.weight[:30]
        assert_allclose(ratio, ratio[0])
    for each in found[1:]:
        assert_allclose(each, found[0])


def labels_of_name(table):
    return table["place"].to_numpy()


def test_groups_by_name_position_callable_and_context_are_one():
    X, y, group = two_groups()
    table = pd.DataFrame({"x": X[:, 0], "place": group})
    fits = [
        DFLRegressor(PROBLEM, ambiguity_set=GroupDRO(groups), **QUICK).fit(table, y)
        for groups in ("place", 1, -1, labels_of_name)
    ]
    assert_array_equal(fits[0].ambiguity_set_.groups_, [0.0, 1.0])
    for each in fits[1:]:
        assert_array_equal(each.predict(table), fits[0].predict(table))
    costly = NewsvendorProblem(FromContext("price"), 1, nonnegative=False)
    table = pd.DataFrame({"price": 1.0 + group, "x": X[:, 0]})
    for groups in ("price", 0):
        model = DFLRegressor(
            costly, ambiguity_set=GroupDRO(groups), context="price", context_is_feature=False
        ).set_params(**QUICK)
        assert_array_equal(model.fit(table, y).ambiguity_set_.groups_, [1.0, 2.0])
    policy = PolicyRegressor(PROBLEM, ambiguity_set=GroupDRO("x"), **QUICK).fit(table, y)
    assert len(policy.ambiguity_set_.groups_) == 60  # of one row each


@pytest.mark.parametrize("is_context", [False, True])
def test_a_correction_finds_groups_among_the_columns_of_x(is_context):
    X, y, group = two_groups()
    table = pd.DataFrame({"x": X[:, 0], "place": 1.0 + group})
    costly = NewsvendorProblem(FromContext("place"), 1, nonnegative=False)
    context = {"context": "place", "context_is_feature": False} if is_context else {}

    def corrected(groups, inputs):
        model = DFFRegressor(
            LinearRegression(),
            costly if is_context else PROBLEM,
            ambiguity_set=GroupDRO(groups),
            inputs=inputs,
            cv=2,
            **context,
            **{**QUICK, "max_iter": 1},
        )
        return model.fit(table, y).corrector_.ambiguity_set_

    found = [corrected(groups, "both") for groups in ("place", 1, -1, labels_of_name)]
    for each in found:
        assert_array_equal(each.groups_, [1.0, 2.0])
        assert_array_equal(each.group_regret_, found[0].group_regret_)
    with pytest.raises(ValueError, match='inputs="predictions" keeps no columns of X'):
        corrected("place", "predictions")


def test_held_out_rows_of_other_groups_are_not_watched():
    X, y, group = two_groups()
    table = np.column_stack([X, group])
    X_val = np.array([[0.0, 0.0], [0.0, 7.0]])
    group_dro = GroupDRO(1)
    rows = Rows(table, y[:, None], np.ones(60))
    held_out = Rows(X_val, np.zeros((2, 1)), np.ones(2))
    group_dro.set_nominal(rows, PROBLEM, 0, held_out)
    assert group_dro.held_out_regret(lambda rows: rows.X[:, 1] + 2) == 2.0
    group_dro.set_nominal(rows, PROBLEM, 0, held_out.take([1]))
    assert group_dro.held_out_regret(lambda rows: rows.X[:, 1]) is None
    both = Rows(table[:20], y[:20, None], np.arange(1.0, 21.0))
    group_dro.set_nominal(rows, PROBLEM, 0, both)
    loss = np.arange(20.0)
    means = [
        np.average(loss[group[:20] == k], weights=both.weight[group[:20] == k]) for k in (0, 1)
    ]
    assert group_dro.held_out_regret(lambda rows: loss) == pytest.approx(max(means))


def test_a_fitted_set_is_stored_without_rows_and_estimator():
    X, y, _ = two_groups()
    model = DFLRegressor(PROBLEM, ambiguity_set=GroupDRO(above), **QUICK).fit(X, y)
    again = pickle.loads(pickle.dumps(model)).ambiguity_set_
    assert_array_equal(again.group_weight_, model.ambiguity_set_.group_weight_)
    for name in ("rows_", "weight_", "_as_given"):
        with pytest.raises(AttributeError, match="it belongs to the training rows"):
            getattr(again, name)
    assert not hasattr(model.ambiguity_set_, "_as_given")


def mixed(X):
    return np.array([1 if x > 0 else "low" for x in X[:, 0]], dtype=object)


def missing(X):
    return np.where(np.asarray(X)[:, 0] > 0, 1.0, np.nan)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ("place", ValueError, "groups='place' names a column, but X is an array without names"),
        (3, ValueError, "groups=3 is not among the 1 columns of X"),
        (1.5, TypeError, "groups must be the name or the position"),
        (True, TypeError, "groups must be the name or the position"),
        (np.shape, ValueError, r"one label for each row, shape \(60,\), got \(2,\)"),
        (missing, ValueError, "groups returns nan for a row with X"),
        (mixed, ValueError, "groups must return labels of one type, got int, str"),
    ],
)
def test_errors_say_what_is_wrong(groups, error, message):
    X, y, _ = two_groups()
    with pytest.raises(error, match=message):
        DFLRegressor(PROBLEM, ambiguity_set=GroupDRO(groups), **QUICK).fit(X, y)


def test_more_errors():
    X, y, _ = two_groups()
    with pytest.raises(ValueError, match=r"'place' is not among the columns \['x'\] of X"):
        DFLRegressor(PROBLEM, ambiguity_set=GroupDRO("place"), **QUICK).fit(
            pd.DataFrame(X, columns=["x"]), y
        )
    with pytest.raises(ValueError, match=r"learning_rate must be in \[0, 1\], got 2"):
        DFLRegressor(PROBLEM, ambiguity_set=GroupDRO(0, learning_rate=2), **QUICK).fit(X, y)
    with pytest.raises(TypeError, match="GroupDRO weighs groups of rows, which scenarios do not"):
        TwoStageRegressor(ResidualScenarios(LinearRegression()), PROBLEM, risk=GroupDRO(0)).fit(
            X, y
        )
