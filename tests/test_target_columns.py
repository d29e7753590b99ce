"""Columns of y in another order than in fit, or than in the table beside it, are refused."""

import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    ShiftMonitor,
    TwoStageRegressor,
)
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import decision_cost, make_regret_scorer, regret
from dfl_sklearn.model_selection import compare_decisions, stress_test
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios

X, Y = make_newsvendor(120, n_products=2, random_state=0)
TABLE = pd.DataFrame(Y * [1.0, 3.0], columns=["soup", "salad"])
TURNED = TABLE[["salad", "soup"]]
PROBLEM = NewsvendorProblem([9, 2], 1)
LINE = LinearRegression()
NET = {"hidden_layer_sizes": (), "max_iter": 1, "random_state": 0}
TWO_STAGE = TwoStageRegressor(LINE, PROBLEM)
MODELS = {
    "two-stage": TWO_STAGE,
    "scenarios": TwoStageRegressor(ResidualScenarios(LINE), PROBLEM),
    "dfl": DFLRegressor(PROBLEM, **NET),
    "dff": DFFRegressor(LINE, PROBLEM, max_iter=1, random_state=0),
    "policy": PolicyRegressor(PROBLEM, **NET),
    "mixture": ExpertMixture([("line", LINE), ("two", LINE)], PROBLEM),
    "conformal": ConformalDecisions(TWO_STAGE),
}
OTHER_ORDER = r"in another order than in .*'salad', 'soup'\] instead of \['soup', 'salad'\]"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_scores_of_another_order_are_refused(name):
    model = make_pipeline(StandardScaler(), MODELS[name]).fit(X, TABLE)
    for score in (model.score, lambda *rows: make_regret_scorer(PROBLEM)(model, *rows)):
        assert score(X, TABLE) == score(X, TABLE.to_numpy())
        renamed = TABLE.rename(columns={"soup": "broth"})  # only a contradiction is refused
        assert score(X, renamed) == score(X, TABLE)
        with pytest.raises(ValueError, match=OTHER_ORDER):
            score(X, TURNED)
    model[-1].fit(X, TABLE.to_numpy())
    model.score(X, TURNED)  # whose order nobody knows


def test_further_rows_of_another_order_are_refused():
    def refused(name="y"):
        return pytest.raises(ValueError, match=rf"The columns of {name} are {OTHER_ORDER}")

    dfl = DFLRegressor(PROBLEM, **NET)
    with pytest.warns(Warning, match="max_iter=1|did not converge"):
        dfl.fit(X, TABLE)
    for model in (dfl, MODELS["mixture"].fit(X, TABLE)):
        with refused():
            model.partial_fit(X, TURNED)
    for model in (DFLRegressor(PROBLEM, **NET), MODELS["dff"]):
        with refused("y_val"):
            model.fit(X, TABLE, X_val=X, y_val=TURNED)
    promise = ConformalDecisions(TWO_STAGE)
    with refused("y_cal"):
        promise.fit(X[:60], TABLE[:60], X_cal=X[60:], y_cal=TURNED[60:])
    with refused():
        promise.fit(X, TABLE).certificate(X, TURNED)
    fitted = TWO_STAGE.fit(X, TABLE)
    with refused():
        stress_test(fitted, X, TURNED, radius=0.1)
    with refused():
        ShiftMonitor(fitted, window=None).fit(X, TURNED)
    with refused("y of the shift 'late'") as caught:
        compare_decisions({"a": TWO_STAGE}, X, TABLE, problem=PROBLEM, shifts={"late": (X, TURNED)})
    assert str(caught.value).endswith("instead of ['soup', 'salad'].")


def test_tables_that_contradict_each_other_are_refused():
    for name in ("y_pred", "decisions"):
        given = {name: TURNED}
        for metric in (decision_cost, regret):
            with pytest.raises(ValueError, match=f"The columns of {name} are {OTHER_ORDER}"):
                metric(TABLE, **given, problem=PROBLEM)
    with pytest.raises(ValueError, match=OTHER_ORDER):
        PROBLEM.cost(TURNED, TABLE)
    orders = TURNED.rename(columns=lambda name: f"order of {name}")
    assert PROBLEM.cost(orders, TABLE).shape == (120,)


def test_a_context_found_by_name_is_not_looked_for_by_position():
    problem = MultiProductNewsvendorProblem(5, 1, capacity=FromContext("capacity"))
    table = pd.DataFrame(X, columns=list("abcde")).assign(capacity=5.0, budget=50.0)
    params = {"context": "capacity", "context_is_feature": False}
    model = TwoStageRegressor(LINE, problem, **params).fit(table, Y)
    promise = ConformalDecisions(model).fit(table, Y)
    moved = table[["budget", "capacity", *"abcde"]].to_numpy()
    for each in (model, promise):
        assert (each.decide(table).sum(axis=1) <= 5 + 1e-9).all()
        with pytest.raises(ValueError, match="'capacity', found by name, and X has no column nam"):
            each.decide(moved)
    positions = MultiProductNewsvendorProblem(5, 1, capacity=FromContext(0))
    by_position = TwoStageRegressor(LINE, positions, **(params | {"context": 5})).fit(table, Y)
    assert_array_equal(by_position.decide(table.to_numpy()), by_position.decide(table))
