"""Sales that a stock has cut short: the product-limit estimator against SciPy and the truth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import CensoredData, ecdf
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, QuantileTransformer

from dfl_sklearn import TwoStageRegressor, decide
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.inspection import ScenarioDisplay
from dfl_sklearn.metrics import make_regret_scorer
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.scenarios import ResidualScenarios
from dfl_sklearn.scenarios._kaplan_meier import kaplan_meier_weights


def test_weights_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 15))
        values, mask = rng.integers(0, 6, n).astype(float), rng.random(n) < 0.5
        found = kaplan_meier_weights(values[None], np.full((1, n), 1 / n), mask[None])[0]
        assert found.sum() == pytest.approx(1)
        survival = ecdf(CensoredData.right_censored(values, mask)).sf
        at = np.unique(values)
        above = np.array([found[values > t].sum() for t in at])
        expected = survival.evaluate(at)
        expected[-1] = 0  # what is left lies on the largest value
        assert_allclose(above, expected, atol=1e-12)


def test_weights_count_as_copies():
    values, mask = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True])
    times = np.array([2, 1, 3, 0])
    copies = np.repeat(np.arange(4), times)
    weighted = kaplan_meier_weights(values[None], times[None] / 6, mask[None])[0]
    repeated = kaplan_meier_weights(
        values[copies][None], np.full((1, 6), 1 / 6), mask[copies][None]
    )
    assert_allclose(weighted, np.bincount(copies, repeated[0], minlength=4), atol=1e-12)


def test_nothing_censored_changes_nothing():
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=(5, 9)), rng.dirichlet(np.ones(9), 5)
    weight[:, -1] += weight[:, 0]
    weight[:, 0] = 0
    found = kaplan_meier_weights(values, weight, np.zeros((5, 9), bool))
    assert_allclose(found, weight, atol=1e-14)


def test_orders_from_sales_are_those_from_demand():
    problem = NewsvendorProblem(4, 1)
    X, demand = make_newsvendor(1000, random_state=0)
    _, sales, stock = make_newsvendor(1000, censored=0.4, random_state=0)
    X_new, y_new = make_newsvendor(1000, random_state=1)
    for scale in (None, "ridge"):
        maker = ResidualScenarios(LinearRegression(), scale=scale)
        model = TwoStageRegressor(maker, problem)
        best = problem.cost(model.fit(X, demand).decide(X_new), y_new).mean()
        naive = problem.cost(model.fit(X, sales).decide(X_new), y_new).mean()
        model.fit(X, sales, censored=sales == stock)
        known = problem.cost(model.decide(X_new), y_new).mean()
        assert naive > 1.1 * best
        assert known < 1.04 * best


def test_a_mean_without_features_is_that_of_kaplan_and_meier():
    rng = np.random.default_rng(0)
    demand, stock = rng.exponential(10, 400), rng.exponential(12, 400)
    sales, mask = np.minimum(demand, stock), stock < demand
    weight = kaplan_meier_weights(sales[None], np.full((1, 400), 1 / 400), mask[None])[0]
    fitted = FrozenEstimator(
        DummyRegressor(strategy="constant", constant=0.0).fit(sales[:, None], sales)
    )
    model = ResidualScenarios(fitted).fit(sales[:, None], sales, censored=mask)
    assert_allclose(model.predict([[0.0]]), weight @ sales)
    assert abs(weight @ sales - 10) < 1.5 < abs(sales.mean() - 10)


def test_the_mask_is_routed_through_cross_validation():
    X, sales, stock = make_newsvendor(60, censored=0.4, random_state=0)
    model = ResidualScenarios(Ridge())
    scorer = make_regret_scorer(NewsvendorProblem(4, 1))
    plain = cross_val_score(model, X, sales, scoring=scorer, params={"censored": sales == stock})
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(censored=True)
        routed = cross_val_score(
            model, X, sales, scoring=scorer, params={"censored": sales == stock}
        )
    assert_allclose(plain, routed)


def test_errors_say_what_is_wrong():
    X, y = np.zeros((4, 1)), np.arange(4.0)
    model = ResidualScenarios(Ridge(), cv=2)
    with pytest.raises(ValueError, match="True or False for each of the 4 rows"):
        model.fit(X, y, censored=[True, False])
    with pytest.raises(ValueError, match="True or False for each of the 4 rows"):
        model.fit(X, y, censored=[1, 0, 0, 1])
    with pytest.raises(ValueError, match="censored is for one output"):
        model.fit(X, np.column_stack([y, y]), censored=[True] * 4)
    with pytest.raises(ValueError, match="All 4 rows with a known error are censored"):
        model.fit(X, y, censored=[True] * 4)
    with pytest.raises(ValueError, match="no row of positive weight in a fold"):
        ResidualScenarios(Ridge(), cv=[]).fit(X, y, censored=[True, False] * 2)


def test_rows_without_weight_change_nothing():
    X, sales, stock = make_newsvendor(60, censored=0.6, random_state=0)
    splits = [(np.arange(30, 60), np.arange(30)), (np.arange(30), np.arange(30, 60))]
    weight = np.r_[np.ones(60), np.zeros(400)]
    few, many = (
        ResidualScenarios(LinearRegression(), cv=splits).fit(
            *(np.r_[X, np.tile(X[:1], (n, 1))], np.r_[sales, np.full(n, 1e3)]),
            sample_weight=weight[: 60 + n],
            censored=np.r_[sales == stock, np.ones(n, bool)],
        )
        for n in (0, 400)
    )
    assert_allclose(few.predict(X), many.predict(X), rtol=1e-9)


def transformed(transformer, **kw):
    return TransformedTargetRegressor(ResidualScenarios(Ridge()), transformer=transformer, **kw)


UNCHECKED = {"check_inverse": False}
FALLING = [
    FunctionTransformer(np.negative, np.negative),
    FunctionTransformer(np.reciprocal, np.reciprocal),
    FunctionTransformer(lambda y: (y - 30) ** 2, lambda t: 30 - np.sqrt(np.abs(t)), **UNCHECKED),
]


@pytest.mark.parametrize("transformer", FALLING)
def test_lower_bounds_stay_lower_bounds(transformer):
    X, sales, stock = make_newsvendor(60, censored=0.4, random_state=0)
    problem, known = NewsvendorProblem(4, 1), {"censored": sales == stock}
    maker = TransformedTargetRegressor(
        make_pipeline(FunctionTransformer(), ResidualScenarios(Ridge())), transformer=transformer,
        check_inverse=False,
    )  # fmt: skip
    message = "transform around ResidualScenarios is not increasing: it takes y = "
    with pytest.raises(ValueError, match=message):
        TwoStageRegressor(maker, problem).fit(X, sales, residualscenarios__censored=sales == stock)
    alone = transformed(transformer, check_inverse=False).fit(X, sales, **known)
    with pytest.raises(ValueError, match=message):
        decide(alone, X, problem)
    with pytest.raises(ValueError, match=message):
        ScenarioDisplay.from_estimator(alone, X)
    around = TransformedTargetRegressor(
        TwoStageRegressor(ResidualScenarios(Ridge())), transformer=transformer,
        check_inverse=False,
    ).fit(X, sales, **known)  # fmt: skip
    with pytest.raises(ValueError, match=message):
        decide(around, X, problem)
    # Without bounds any transform will do.
    for none in ({}, {"censored": np.zeros(60, bool)}):
        alone.fit(X, sales, **none)
        assert np.isfinite(decide(alone, X, problem)).all()


def test_increasing_transforms_keep_them():
    X, sales, stock = make_newsvendor(60, censored=0.4, random_state=0)
    problem, mask = NewsvendorProblem(4, 1), sales == stock
    maker = ResidualScenarios(Ridge())
    inside = maker.fit(X, np.log(sales), censored=mask).predict_scenarios(X)
    expected = problem.solve(np.exp(inside.values), scenario_weight=inside.weight)
    logs = transformed(FunctionTransformer(np.log, np.exp))
    model = TwoStageRegressor(logs, problem).fit(X, sales, censored=mask)
    assert_allclose(model.decide(X), expected[:, 0])
    for each in (PowerTransformer(), QuantileTransformer(n_quantiles=20)):
        model = TwoStageRegressor(transformed(each, check_inverse=False), problem)
        assert np.isfinite(model.fit(X, sales, censored=mask).decide(X)).all()
    # One transform within another.
    around = TransformedTargetRegressor(
        transformed(FunctionTransformer(np.exp, np.log)), func=np.log, inverse_func=np.exp
    )
    model = TwoStageRegressor(around, problem).fit(X, sales, censored=mask)
    plain = TwoStageRegressor(ResidualScenarios(Ridge()), problem).fit(X, sales, censored=mask)
    assert_allclose(model.decide(X), plain.decide(X))
