"""What cannot be compared is refused by name, before it is fitted where that can be known."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import RepeatedKFold, ShuffleSplit, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.model_selection import CostTailSplit, compare_decisions
from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    NewsvendorProblem,
    SquaredErrorProblem,
)
from dfl_sklearn.problems._no_cost import NoCostError

PROBLEM = NewsvendorProblem(3, 1)
X = pd.DataFrame({"a": np.arange(20.0) % 7, "b": np.arange(20.0) % 3})
Y = 10 + X["a"].to_numpy()


class NeverFitted(RegressorMixin, BaseEstimator):
    """An estimator that must not be reached."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("It was fitted before the input was checked.")

    def predict(self, X):
        raise AssertionError


ONE = {"one": NeverFitted()}
TWO = {"mean": DummyRegressor(), "line": LinearRegression()}
TAIL = CostTailSplit(
    PROBLEM,
    tail_fraction=0.3,
    tail_share=0.8,
    test_size=0.4,
    estimator=DummyRegressor(),
    random_state=0,
)
FITTED = FrozenEstimator(LinearRegression().fit(X, Y))


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        ({}, "at least one, got {}"),
        ([], r"at least one, got \[\]"),
        (LinearRegression(), r"at least one, got LinearRegression\(\)"),
        ([("a", DummyRegressor()), ("a", Ridge())], "Two of the estimators are called 'a'"),
        ([DummyRegressor(), Ridge()], r"\(name, estimator\), got DummyRegressor\(\) in it"),
        ({1: Ridge()}, r"got \(1, Ridge\(\)\) in it"),
        ({"a": "ridge"}, "'a' is 'ridge', which is not an estimator"),
        ({"a": Ridge}, "which is not an estimator"),
        ({"a": FITTED, "b": NeverFitted()}, "'a' holds a frozen model and 'b' is fitted anew"),
        (
            {"a": NeverFitted(), "b": TwoStageRegressor(FITTED, PROBLEM)},
            "'b' holds a frozen model and 'a' is fitted anew",
        ),
        ({"incumbent": NeverFitted()}, "An estimator is called 'incumbent'"),
    ],
)
def test_estimators_that_cannot_be_compared(estimators, message):
    with pytest.raises(ValueError, match=message):
        compare_decisions(estimators, X, Y, problem=PROBLEM, incumbent=Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problem": None}, "None of the estimators has a decision problem"),
        ({"reference": "two"}, r"reference='two' is none of \['one'\]"),
        ({"reference": "incumbent"}, "reference='incumbent' is none of"),
        ({"confidence_level": 1.0}, r"confidence_level must be in \(0, 1\)"),
        ({"confidence_level": 95}, r"confidence_level must be in \(0, 1\)"),
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"verbose": 2}, "verbose must be True or False"),
        ({"context": "a"}, "NewsvendorProblem takes no context"),
        ({"sample_weight": np.ones(3)}, "sample_weight.shape"),
        ({"sample_weight": -np.ones(20)}, "Negative values"),
        ({"sample_weight": np.zeros(20)}, "at least one non-zero"),
        (
            {"sample_weight": np.arange(20) < 3, "cv": TimeSeriesSplit()},
            "sample_weight of the rows held out must have a positive, finite sum",
        ),
        # Splits.
        ({"cv": ShuffleSplit(3, random_state=0)}, r"cv holds out row \d+ in [23] test sets and"),
        ({"cv": TAIL}, r"Split 0 of cv has row \d+ \d+ times in its test set"),
        ({"cv": [([0, 1, 2], [2, 3])]}, "Split 0 of cv fits on row 2 and holds it out"),
        ({"cv": [([0, 1, 2], [])]}, "Split 0 of cv holds out no rows"),
        ({"cv": [([], [0])]}, "Split 0 of cv trains on no rows"),
        ({"cv": [([0], [1, 2]), ([0], [2, 3])]}, "row 2 in 2 test sets and row 1 in 1"),
        ({"cv": []}, "cv has no splits"),
        # Blocks.
        ({"blocks": 1}, "blocks=1 must be at least 2, and at most the 20 rows"),
        ({"blocks": 21}, "at most the 20 rows"),
        ({"blocks": True}, "blocks must be the number of blocks"),
        ({"blocks": "day"}, "blocks must be the number of blocks"),
        ({"blocks": np.ones((20, 2))}, "blocks must be the number of blocks"),
        ({"blocks": np.ones(19)}, "blocks has 19 labels and X has 20 rows"),
        ({"blocks": ["a"] * 20}, "All rows held out are in one block"),
        ({"blocks": ["a"] * 19 + [None]}, "blocks has no label for row 19"),
        # What was decided.
        ({"incumbent": Y[:19]}, "incumbent has 19 rows and X has 20"),
        ({"incumbent": Y[:1]}, "incumbent has 1 rows and X has 20"),
        ({"incumbent": np.ones((20, 2))}, "decisions have 2 columns, but NewsvendorProblem"),
        ({"incumbent": np.where(Y > 15, np.nan, Y)}, "incumbent is not finite at row 6"),
        # Shifts.
        ({"shifts": {}}, "shifts must be a dict"),
        ({"shifts": [(X, Y)]}, "shifts must be a dict"),
        ({"shifts": {"late": X}}, "shifts must be a dict of names to"),
        ({"shifts": {"late": (X, Y[:3])}}, "X of the shift 'late' has 20 rows and y has 3"),
        ({"shifts": {"late": (X, [*Y[:19], np.nan])}}, "y of the shift 'late' is not finite at"),
        ({"shifts": {"late": (X, -Y)}}, "negative demand at row 0.*\nIn y of the shift 'late'"),
        ({"shifts": {"late": (X, np.ones((20, 2)))}}, "2 columns and y has 1"),
        ({"shifts": {"late": (X[["a"]], Y)}}, r"'late' has other columns than X: it lacks \['b'\]"),
        ({"shifts": {"late": (X.rename(columns={"b": "c"}), Y)}}, r"and has \['c'\] in addition"),
        ({"shifts": {"late": (X[["b", "a"]], Y)}}, "they are in another order"),
        ({"shifts": {"late": (X.to_numpy()[:, :1], Y)}}, r"rows of shape \(1,\), and X of shape"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_fit(options, message):
    with pytest.raises(ValueError, match=message):
        compare_decisions(ONE, X, Y, **{"problem": PROBLEM, **options})


def test_rows_that_make_no_sense():
    with pytest.raises(ValueError, match="X has 20 rows and y has 19"):
        compare_decisions(ONE, X, Y[:19], problem=PROBLEM)
    with pytest.raises(ValueError, match="y is not finite at row 0"):
        compare_decisions(ONE, X, [np.nan, *Y[1:]], problem=PROBLEM)
    with pytest.raises(ValueError, match="y has no rows"):
        compare_decisions(ONE, X[:0], Y[:0], problem=PROBLEM)
    with pytest.raises(TypeError, match="problem must be a DecisionProblem instance"):
        compare_decisions(ONE, X, Y, problem="newsvendor")


def test_weights_that_a_model_does_not_take():
    models = {"mean": NeverFitted(), "near": KNeighborsRegressor()}
    with pytest.raises(ValueError, match="'near', KNeighborsRegressor, does not take it in fit"):
        compare_decisions(models, X, Y, problem=PROBLEM, sample_weight=np.ones(20))
    pipe = make_pipeline(StandardScaler(), LinearRegression())
    with pytest.raises(ValueError, match="'pipe', Pipeline, does not take it in fit"):
        compare_decisions({"pipe": pipe}, X, Y, problem=PROBLEM, sample_weight=np.ones(20))
    with config_context(enable_metadata_routing=True):
        for step in pipe:
            step.set_fit_request(sample_weight=True)
        weight = np.arange(20.0)
        routed = compare_decisions({"pipe": pipe}, X, Y, problem=PROBLEM, sample_weight=weight)
    plain = compare_decisions(
        {"pipe": LinearRegression()}, X, Y, problem=PROBLEM, sample_weight=weight
    )
    np.testing.assert_allclose(routed.costs, plain.costs, atol=1e-9)


def test_weights_go_to_the_models_that_request_them():
    weight = 1.0 + np.arange(20.0) % 4
    line = {"line": Ridge()}
    with config_context(enable_metadata_routing=True):
        asked, refused = (Ridge().set_fit_request(sample_weight=each) for each in (True, False))
        models = {"asked": asked, "refused": refused}
        found = compare_decisions(models, X, Y, problem=PROBLEM, sample_weight=weight)
        with pytest.raises(
            UnsetMetadataPassedError, match=r"for Ridge.* used within compare_decisions"
        ):
            compare_decisions(line, X, Y, problem=PROBLEM, sample_weight=weight)
    for name, given in (("asked", weight), ("refused", None)):
        plain = compare_decisions(line, X, Y, problem=PROBLEM, sample_weight=given)
        np.testing.assert_array_equal(found.costs[name], plain.costs["line"])
    np.testing.assert_array_equal(found.weight, weight)


def test_estimators_with_several_problems_need_one_ruler():
    one, other = (TwoStageRegressor(Ridge(), NewsvendorProblem(c, 1)) for c in (3, 9))
    with pytest.raises(ValueError, match="'one' and 'other' have different problems, Newsvendor"):
        compare_decisions({"one": one, "other": other}, X, Y)
    compare_decisions({"one": one, "other": other}, X, Y, problem=PROBLEM)
    vectors = [
        TwoStageRegressor(
            Ridge(), NewsvendorProblem(FromContext("a"), np.array([1.0])), context="a"
        )
        for _ in range(2)
    ]
    X_paid = X + 1
    compare_decisions(dict(zip("ab", vectors, strict=True)), X_paid, Y)
    default = TwoStageRegressor(Ridge())  # the squared error
    found = compare_decisions({"own": default, "asked": Ridge()}, X, Y)
    np.testing.assert_array_equal(found.costs["own"], found.costs["asked"])
    with pytest.raises(ValueError, match="have different problems"):
        compare_decisions({"own": default, "one": one}, X, Y)


class Covering(SquaredErrorProblem):
    """Nothing makes up for a decision below y."""

    def cost_rows(self, decisions, y, context=None):
        below = np.flatnonzero(decisions[:, 0] < y[:, 0])
        if len(below):
            raise NoCostError.at(int(below[0]), "misses y", "Decide for more.")
        return super().cost_rows(decisions, y, context)


def test_a_decision_without_a_cost_is_named():
    taken = Y + 1
    taken[13] = Y[13] - 1
    with pytest.raises(NoCostError, match="The decision of row 13 misses y") as caught:
        compare_decisions(ONE, X, Y, problem=Covering(), incumbent=taken)
    assert caught.value.__notes__ == ["In incumbent, the decisions taken."]
    y = np.where(np.arange(20) == 17, 2.0, 1.0)
    y[0] = 5.0
    enough = {"constant": DummyRegressor(strategy="constant", constant=1.5)}
    order = [(np.delete(np.arange(20), test), test) for test in (range(16, 20), range(16))]
    with pytest.raises(NoCostError, match="The decision of row 17 misses y") as caught:
        compare_decisions(enough, X, y, problem=Covering(), cv=order)
    assert caught.value.row_number == 17
    assert caught.value.__notes__ == ["In what 'constant' decides for split 1 of 2."]


class Endless(SquaredErrorProblem):
    def cost_rows(self, decisions, y, context=None):
        costs = super().cost_rows(decisions, y, context)
        return np.where((y[:, 0] > 15) & (decisions[:, 0] < 14), np.inf, costs)


def test_a_cost_that_is_not_finite_is_named():
    y = np.where(np.arange(20) == 17, 16.0, 13.0)
    with pytest.raises(ValueError, match="gave a cost of inf for row 17") as caught:
        compare_decisions(TWO, X, y, problem=Endless())
    assert caught.value.__notes__[-1] == "In what 'mean' decides for split 5 of 5."


def test_an_error_of_a_fit_says_of_which():
    with pytest.raises(AssertionError) as caught:
        compare_decisions(TWO | ONE, X, Y, problem=PROBLEM)
    assert caught.value.__notes__ == ["In the fit of 'one' for split 1 of 5."]


def test_a_missing_context_is_an_error():
    problem = NewsvendorProblem(FromContext("a"), 1)
    with pytest.raises(ValueError, match="reads 'a' from the context"):
        compare_decisions(TWO, X + 1, Y, problem=problem)


def test_a_reference_and_a_power_that_make_no_sense():
    found = compare_decisions(TWO, X, Y, problem=PROBLEM, cv=RepeatedKFold(n_repeats=2))
    with pytest.raises(ValueError, match=r"reference='x' is none of \['mean', 'line'\]"):
        found.differences("x")
    with pytest.raises(ValueError, match="power must be in"):
        found.differences(power=0.2)


def test_estimators_given_stay_unfitted():
    models = {name: clone(each) for name, each in TWO.items()}
    compare_decisions(models, X, Y, problem=PROBLEM)
    assert not any(hasattr(each, "n_features_in_") for each in models.values())
    assert issubclass(Endless, DecisionProblem)


@pytest.mark.parametrize("name", ["y", "incumbent", "blocks", "groups", "sample_weight"])
def test_labels_in_another_order_are_refused(name):
    """Rows are matched by position, and results would carry the labels of X."""
    by_row = {"y": pd.Series(Y), "incumbent": pd.Series(Y), "blocks": pd.Series([0, 1] * 10)}
    by_row |= {"groups": pd.Series(range(20)), "sample_weight": pd.Series(np.ones(20))}
    other = by_row | {name: by_row[name].iloc[::-1]}
    message = rf"^{name} has the index of X in another order.* Give {name}\.loc\[X\.index\]"
    with pytest.raises(ValueError, match=message):
        compare_decisions(ONE, X, **other, problem=PROBLEM)


@pytest.mark.filterwarnings("ignore:Intervals over")
def test_other_labels_are_those_of_other_tables():
    """Positions count then, as they do in scikit-learn."""
    found = [
        compare_decisions(TWO, X, y, problem=PROBLEM, cv=2).costs["line"].to_numpy()
        for y in (Y, pd.Series(Y, index=range(100, 120)), pd.Series(Y, index=[0] * 20))
    ]
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_one_block_that_counts_gives_no_interval():
    weight, blocks = np.tile([1.0, 0.0], 10), np.tile([0, 1], 10)
    with pytest.warns(UserWarning, match="in one block, and intervals need several"):
        found = compare_decisions(
            TWO, X, Y, problem=PROBLEM, cv=2, blocks=blocks, sample_weight=weight
        )
    assert found.to_frame()["low"].isna().all()
