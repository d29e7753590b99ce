"""A capacity for each day, end to end on the demand of a restaurant."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dfl_sklearn import DFLRegressor, decide
from dfl_sklearn.compose import keep_context
from dfl_sklearn.datasets import fetch_yaz
from dfl_sklearn.metrics import d2_regret_score, make_regret_scorer
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem

from .conftest import home_with

WEATHER = ["wind", "clouds", "rain", "sunshine", "temperature"]


@pytest.fixture(scope="module")
def restaurant():
    """The table with a capacity and with gaps, and the demand for seven ingredients."""
    home = home_with("yaz", "yaz_data.csv", "yaz_target.csv")
    table, demand = fetch_yaz(data_home=home, return_X_y=True)
    open_days = (table["is_closed"] == 0).to_numpy()
    table, demand = table[open_days].reset_index(drop=True), demand.to_numpy()[open_days]
    rng = np.random.default_rng(0)
    table["capacity"] = rng.choice([90.0, 120.0, 400.0], len(table))
    for column in WEATHER:
        table.loc[rng.random(len(table)) < 0.05, column] = np.nan
    return table[["weekday", "month", "is_holiday", *WEATHER, "capacity"]], demand


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_table_with_gaps_and_categories_to_orders_within_each_days_capacity(restaurant, tmp_path):
    table, demand = restaurant
    underage = [6.0, 6.0, 5.0, 3.0, 3.0, 4.0, 8.0]
    problem = MultiProductNewsvendorProblem(underage, 1.0, capacity=FromContext("capacity"))
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["weekday", "month"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), WEATHER),
        remainder="passthrough",
    )
    model = DFLRegressor(
        problem, context="capacity", hidden_layer_sizes=(), max_iter=15, random_state=0
    )
    search = GridSearchCV(
        make_pipeline(keep_context(columns, "capacity"), model),
        {"dflregressor__alpha": [1e-4, 1.0]},
        cv=TimeSeriesSplit(2),
    ).fit(table[:350], demand[:350])
    orders = decide(search, table[350:])
    limit = table["capacity"][350:].to_numpy()
    assert (orders.sum(axis=1) <= limit + 1e-9).all()
    assert 0.2 < (orders.sum(axis=1) > limit - 1e-6).mean() < 0.9  # it binds on some of the days
    joblib.dump(search, tmp_path / "orders.joblib")
    assert_array_equal(decide(joblib.load(tmp_path / "orders.joblib"), table[350:]), orders)
    # The default score is that of these decisions.
    score = search.score(table[350:], demand[350:])
    assert score == pytest.approx(
        d2_regret_score(
            demand[350:], search.predict(table[350:]), problem=problem, context=table[350:]
        )
    )
    paid = problem.cost(orders, demand[350:], context=table[350:])
    regret = paid - problem.optimal_cost(demand[350:], context=table[350:])
    scorer = make_regret_scorer(problem)
    assert scorer(search, table[350:], demand[350:]) == pytest.approx(-regret.mean())
