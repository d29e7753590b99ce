"""Tables that hold more than numbers, or a single row: errors name the column and the remedy."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    TwoStageRegressor,
    decide,
)
from dfl_sklearn.model_selection import ClusterSplit, CostTailSplit
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = pd.DataFrame({"lag": RNG.uniform(1, 9, 40), "capacity": RNG.uniform(3, 9, 40)})
Y = X["lag"].to_numpy() + RNG.uniform(0, 1, 40)
WORDS = X.assign(weekday="Sun")
DAYS = X.assign(date=pd.date_range("2026-01-01", periods=40))
PROBLEM = NewsvendorProblem(5, 1)
LIMITED = MultiProductNewsvendorProblem(5, 1, capacity=FromContext("capacity"))
NET = {"max_iter": 2, "hidden_layer_sizes": (), "random_state": 0}
FITS = {
    "net": lambda X: DFLRegressor(PROBLEM, **NET).fit(X, Y),
    "policy": lambda X: PolicyRegressor(PROBLEM, **NET).fit(X, Y),
    "correction": lambda X: DFFRegressor(LinearRegression(), PROBLEM, **NET).fit(X, Y),
    "clusters": lambda X: list(ClusterSplit(2).split(X)),
    "tail": lambda X: list(CostTailSplit(PROBLEM).split(X, Y)),
}
WRAPPED = {
    "two stages": TwoStageRegressor(LinearRegression(), PROBLEM),
    "scenarios": ResidualScenarios(LinearRegression(), cv=2),
    "decided scenarios": TwoStageRegressor(ResidualScenarios(LinearRegression(), cv=2), PROBLEM),
    "experts": ExpertMixture([("line", LinearRegression())], PROBLEM),
    "promises": ConformalDecisions(LinearRegression(), PROBLEM),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_columns_of_text_and_dates_are_named(fit):
    with pytest.raises(ValueError, match=r"column 'weekday' holds text such as 'Sun': turn it in"):
        fit(WORDS)
    with pytest.raises(ValueError, match=r"column 'date' is datetime64.*turn dates"):
        fit(DAYS)


@pytest.mark.parametrize("model", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize(("table", "note"), [(WORDS, "'weekday' holds text"), (DAYS, "'date' is")])
def test_errors_of_the_wrapped_regressor_get_a_note_with_the_columns(model, table, note):
    with pytest.raises((ValueError, TypeError)) as caught:
        model.fit(table, Y)
    assert sum(note in each for each in getattr(caught.value, "__notes__", [])) == 1


def test_other_errors_of_the_wrapped_regressor_get_no_note():
    with pytest.raises(ValueError) as caught:
        TwoStageRegressor(RandomForestRegressor(criterion="no"), PROBLEM).fit(WORDS, Y)
    assert not hasattr(caught.value, "__notes__")


def test_text_that_is_numbers_is_taken():
    as_text = X.astype(str).astype({"capacity": "category"})
    expected = DFLRegressor(PROBLEM, **NET).fit(X, Y).decide(X)
    np.testing.assert_array_equal(DFLRegressor(PROBLEM, **NET).fit(as_text, Y).decide(X), expected)


def test_a_limit_with_its_unit_is_named():
    model = DFLRegressor(LIMITED, context="capacity", **NET).fit(X, Y)
    with pytest.raises(
        ValueError, match="The context, 'capacity' of X, must hold numbers, got '90 pcs'"
    ):
        model.decide(X.assign(capacity="90 pcs"))


def test_double_columns_are_named():
    double = X.assign(b=1.0, c=2.0).set_axis(["lag", "capacity", "lag", "c"], axis=1)
    with pytest.raises(ValueError, match=r"have the same name: \['lag'\]"):
        TwoStageRegressor(LinearRegression(), LIMITED, context="capacity").fit(double, Y)


WITH_LIMITS = {
    "two stages": TwoStageRegressor(LinearRegression(), LIMITED, context="capacity"),
    "scenarios": TwoStageRegressor(
        ResidualScenarios(LinearRegression(), cv=2), LIMITED, context="capacity"
    ),
    "net": DFLRegressor(LIMITED, context="capacity", **NET),
    "nets": DFLRegressor(LIMITED, context="capacity", n_estimators=2, **NET),
    "policy": PolicyRegressor(LIMITED, context="capacity", **NET),
    "correction": DFFRegressor(LinearRegression(), LIMITED, context="capacity", **NET),
    "experts": ExpertMixture([("line", LinearRegression())], LIMITED, context="capacity"),
}


@pytest.mark.parametrize("model", WITH_LIMITS.values(), ids=WITH_LIMITS)
def test_a_missing_limit_is_not_called_a_missing_feature(model):
    spoiled = X.copy()
    spoiled.loc[0, "capacity"] = np.nan
    with pytest.raises(
        ValueError, match=r"^The context, 'capacity' of X, is NaN or infinite at ro"
    ):
        model.fit(spoiled, Y)
    model.fit(X, Y)
    for ask in (model.decide, lambda rows: model.score(rows, Y), lambda rows: decide(model, rows)):
        with pytest.raises(ValueError, match=r"^The context, 'capacity' of X, is NaN or infinite"):
            ask(spoiled)


@pytest.mark.parametrize("model", [*WRAPPED.values(), DFLRegressor(PROBLEM, **NET)], ids=str)
def test_a_row_as_a_series_is_told_from_a_table(model):
    message = r"must be a table of rows and columns, got a Series of shape \(2,\).*X.iloc\[\[i\]\]"
    with pytest.raises(ValueError, match=message):
        model.fit(X.iloc[0], Y[:1])
    model.fit(X, Y)
    for ask in (model.predict, model.decide) if hasattr(model, "decide") else ():
        with pytest.raises(ValueError, match=message):
            ask(X.iloc[0])


VECTORIZED = {
    "texts": (TfidfVectorizer(), ["fair", "rain", "fair rain", "storm"] * 10),
    "dictionaries": (DictVectorizer(), [{"wet": float(i % 3)} for i in range(40)]),
}


@pytest.mark.parametrize(("vectorizer", "rows"), VECTORIZED.values(), ids=VECTORIZED)
def test_a_series_with_a_row_in_each_entry_is_taken_as_a_list_is(vectorizer, rows):
    inner = make_pipeline(vectorizer, Ridge())
    series = pd.Series(rows)
    for model in (
        TwoStageRegressor(inner, PROBLEM),
        TwoStageRegressor(ResidualScenarios(inner, cv=2), PROBLEM),
        ExpertMixture([("line", inner)], PROBLEM),
        ConformalDecisions(inner, PROBLEM),
    ):
        expected = model.fit(rows, Y).decide(rows)
        np.testing.assert_array_equal(model.fit(series, Y).decide(series), expected)
    fitted = inner.fit(rows, Y)
    np.testing.assert_array_equal(decide(fitted, series, PROBLEM), decide(fitted, rows, PROBLEM))


def test_a_pipeline_and_a_stream_are_told_as_well():
    message = r"X.iloc\[\[i\]\]"
    pipe = make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        decide(pipe, X.iloc[0], PROBLEM)
    mixture = ExpertMixture([("pipe", pipe)], PROBLEM).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        mixture.partial_fit(X.iloc[0], Y[:1])
