"""Tables and columns of polars give what those of pandas give."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfl_sklearn import (
    ConformalDecisions,
    DFLRegressor,
    ExpertMixture,
    ShiftMonitor,
    TwoStageRegressor,
    decide,
)
from dfl_sklearn.compose import DecisionTransformer, keep_context
from dfl_sklearn.metrics import regret
from dfl_sklearn.model_selection import compare_decisions, stress_test
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.robust import CovariateShiftWeight, DiffusionGenerator
from dfl_sklearn.scenarios import ResidualScenarios

pl = pytest.importorskip("polars")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
N = 120
TABLE = pd.DataFrame(rng.standard_normal((N, 3)), columns=["a", "b", "c"])
KNOWN = TABLE.assign(capacity=rng.uniform(3.0, 8.0, N))
WORDS = TABLE.assign(place=np.where(TABLE["a"] > 0, "north", "south"))
Y = np.abs(TABLE["a"] + 2 * TABLE["b"] + 5 + rng.standard_normal(N)).to_numpy()
Y2 = np.column_stack([Y, np.abs(Y - TABLE["c"])])
NEWSVENDOR = NewsvendorProblem(9, 1)
SHARED = MultiProductNewsvendorProblem(9, 1, capacity=FromContext("capacity"))
QUICK = {"max_iter": 3, "hidden_layer_sizes": (4,), "random_state": 0}


def as_polars(table):
    """Return what pandas or NumPy hold as polars holds it."""
    if isinstance(table, pd.DataFrame):
        return pl.DataFrame({name: table[name].to_list() for name in table})
    return pl.Series("y", table) if table.ndim == 1 else pl.DataFrame(table, schema=["y1", "y2"])


def encoded():
    return make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["place"]), remainder=StandardScaler()
    )


def trained(of):
    model = DFLRegressor(NEWSVENDOR, **QUICK).fit(of(TABLE), of(Y), sample_weight=of(Y + 1))
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    return model.decide(of(TABLE)), model.score(of(TABLE), of(Y))


def trained_in_context(of):
    model = DFLRegressor(SHARED, context="capacity", **QUICK).fit(of(KNOWN), of(Y2))
    less = of(KNOWN[["capacity"]] / 2)
    return model.decide(of(KNOWN)), model.decide(of(KNOWN), context=less)


def in_two_stages(of):
    params = {"context": ["capacity"], "context_is_feature": False}
    model = TwoStageRegressor(LinearRegression(), SHARED, **params).fit(of(KNOWN), of(Y2))
    paid = regret(of(Y2), model.predict(of(KNOWN)), problem=SHARED, context=of(KNOWN))
    return model.decide(of(KNOWN)), paid


def over_scenarios(of):
    scenarios = ResidualScenarios(LinearRegression())
    return TwoStageRegressor(scenarios, NEWSVENDOR).fit(of(TABLE), of(Y)).decide(of(TABLE))


def in_a_pipeline(of):
    pipe = make_pipeline(encoded(), DFLRegressor(NEWSVENDOR, **QUICK))
    return decide(pipe.fit(of(WORDS), of(Y)), of(WORDS))


def with_context_kept(of):
    scaler = keep_context(StandardScaler(), ["capacity"])
    pipe = make_pipeline(scaler, DFLRegressor(SHARED, context=["capacity"], **QUICK))
    pipe.set_output(transform="polars" if of is as_polars else "pandas")
    return decide(pipe.fit(of(KNOWN), of(Y2)), of(KNOWN))


def mixed(of):
    experts = [(str(q), QuantileRegressor(quantile=q, alpha=0.0)) for q in (0.5, 0.9)]
    experts = [(name, TwoStageRegressor(each, NEWSVENDOR)) for name, each in experts]
    model = ExpertMixture(experts, NEWSVENDOR).fit(of(TABLE), of(Y))
    return model.partial_fit(of(TABLE), of(Y)).decide(of(TABLE))


def monitored(of):
    classifier = make_pipeline(encoded(), LogisticRegression())
    params = {"horizon": 200, "window": 30, "classifier": classifier}
    monitor = ShiftMonitor(**params).fit(of(WORDS))
    monitor.update(of(WORDS.assign(a=WORDS["a"] + 3)))
    assert "shift" in str(monitor.report())
    return np.array([len(str(monitor.report()))])


def weighted(of):
    later = WORDS.iloc[40:].assign(a=lambda table: table["a"] + 0.3)
    classifier = make_pipeline(encoded(), LogisticRegression())
    words = CovariateShiftWeight(classifier).fit(of(WORDS), of(later))
    plain = CovariateShiftWeight().fit(of(TABLE), of(TABLE + 0.3))
    return words.weight(of(WORDS)), plain.weight(of(TABLE))


def promised(of):
    model = ConformalDecisions(
        make_pipeline(encoded(), LinearRegression()),
        NEWSVENDOR,
        groups="place",
        confidence_level=0.8,
    )
    model.fit(of(WORDS), of(Y))
    return model.promised_cost(of(WORDS)), model.certificate(of(WORDS), of(Y)).coverage


def compared(of):
    models = {"line": LinearRegression()}
    found = compare_decisions(models, of(TABLE), of(Y), problem=NEWSVENDOR).to_frame()
    return found[["mean_cost", "mean_regret"]].to_numpy()


def generated(of):
    generator = DiffusionGenerator(max_iter=2, random_state=0).fit(of(TABLE), context=of(Y))
    return generator.sample(3, context=of(Y[:3]), random_state=0)


@pytest.mark.parametrize(
    "how",
    [
        trained,
        trained_in_context,
        in_two_stages,
        over_scenarios,
        in_a_pipeline,
        with_context_kept,
        mixed,
        monitored,
        weighted,
        promised,
        compared,
        generated,
    ],
)
def test_the_same_as_with_pandas(how):
    expected, found = how(lambda table: table), how(as_polars)
    if not isinstance(expected, tuple):
        expected, found = (expected,), (found,)
    for one, other in zip(expected, found, strict=True):
        assert_allclose(other, one, rtol=1e-9, atol=1e-12)


def test_decisions_as_columns():
    step = DecisionTransformer(SHARED, context=["capacity"]).set_output(transform="polars")
    table = pd.DataFrame(Y2, columns=["y1", "y2"]).assign(capacity=KNOWN["capacity"])
    found = step.fit(as_polars(table)).transform(as_polars(table))
    assert found.columns == ["decision_y1", "decision_y2"]
    assert_allclose(found.to_numpy(), SHARED.solve(Y2, context=KNOWN[["capacity"]]))


def test_samples_of_other_types_are_joined():
    whole = TABLE.round().astype(int)
    model = CovariateShiftWeight().fit(as_polars(TABLE), as_polars(whole))
    expected = CovariateShiftWeight().fit(TABLE, whole)
    assert_allclose(model.weight(as_polars(whole)), expected.weight(whole), rtol=1e-9)
    assert_allclose(CovariateShiftWeight().fit(as_polars(TABLE), whole).weight_, expected.weight_)


@pytest.mark.parametrize("kind", ["Date", "Datetime", "Duration", "Time"])
def test_dates_are_no_numbers(kind):
    column = pl.Series("c", np.arange(N)).cast(getattr(pl, kind))
    table = as_polars(TABLE).with_columns(column)
    with pytest.raises(ValueError, match="X must hold numbers, but column 'c' is"):
        DFLRegressor(NEWSVENDOR, **QUICK).fit(table, Y)
    with pytest.raises(ValueError, match="X must hold numbers, but column 'c' is"):
        CovariateShiftWeight().fit(table, table)
    with pytest.raises(ValueError, match="X must hold numbers, but column 'c' is"):
        ShiftMonitor(horizon=200, window=30).fit(table)
    # What a classifier makes of them is its own affair.
    blind = make_pipeline(make_column_transformer(("passthrough", ["a"])), LogisticRegression())
    found = CovariateShiftWeight(blind).fit(table, as_polars(TABLE + 0.3).with_columns(column))
    assert np.isfinite(found.weight_).all()


def test_what_is_not_computed_yet():
    lazy = as_polars(TABLE).lazy()
    monitor = ShiftMonitor(horizon=200, window=30)
    for fit in (DFLRegressor(NEWSVENDOR).fit, CovariateShiftWeight().fit, monitor.fit):
        with pytest.raises(TypeError, match=r"X is a LazyFrame.*collect\(\) it"):
            fit(lazy, Y)


def test_what_does_not_take_polars_says_so():
    model = TwoStageRegressor(LinearRegression(), NEWSVENDOR).fit(as_polars(TABLE), Y)
    with pytest.raises(ValueError, match="a pandas DataFrame, got one of polars"):
        stress_test({"line": model}, as_polars(TABLE), Y, radius=0.1)


def test_missing_numbers_are_named():
    y = pl.Series("y", [None, *Y[1:]])
    with pytest.raises(ValueError, match="Input y contains NaN at row 0"):
        DFLRegressor(NEWSVENDOR, **QUICK).fit(as_polars(TABLE), y)
