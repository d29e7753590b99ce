import pickle

import numpy as np
import pytest
from sklearn.linear_model import QuantileRegressor
from sklearn.model_selection import GridSearchCV

from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import make_decision_cost_scorer
from dfl_sklearn.model_selection import WithinPrice
from dfl_sklearn.problems import NewsvendorProblem


def results(values, scores, **more):
    return {"param_radius": np.ma.array(values), "mean_test_score": np.array(scores), **more}


def test_the_largest_value_within_the_price():
    found = results([0.0, 0.1, 0.2, 0.3], [-100.0, -101.0, -105.0, -105.1])
    assert WithinPrice("radius")(found) == 2
    assert WithinPrice("radius", price=0.01)(found) == 1
    assert WithinPrice("radius", price=0.0)(found) == 0
    assert WithinPrice("radius", price=1.0)(found) == 3


def test_the_order_of_candidates_does_not_matter_and_luck_beyond_is_not_believed():
    found = results([0.3, 0.0, 0.2, 0.1], [-104.0, -100.0, -110.0, -101.0])
    assert WithinPrice("radius")(found) == 3  # 0.3 is within the price, but 0.2 was not
    assert WithinPrice("radius", price=0.2)(found) == 0
    assert WithinPrice("radius", price=0.001)(found) == 1


def test_negative_costs_and_ties():
    # A cost of -10 may rise to -9.5; of two candidates there the cheaper one is taken.
    found = results([0.0, 0.0, 1.0, 1.0, 2.0], [9.9, 10.0, 9.5, 9.6, 9.4])
    assert WithinPrice("radius")(found) == 3


def test_in_a_search():
    X, y = make_newsvendor(300, random_state=0)
    rule = WithinPrice("quantile", price=0.05)
    search = GridSearchCV(
        QuantileRegressor(alpha=0),
        {"quantile": [0.9, 0.92, 0.94, 0.99]},
        scoring=make_decision_cost_scorer(NewsvendorProblem(9, 1)),
        cv=3,
        refit=pickle.loads(pickle.dumps(rule)),
    ).fit(X, y)
    cost = -search.cv_results_["mean_test_score"]
    price = cost / cost[0] - 1
    assert price[search.best_index_] <= 0.05 < price[search.best_index_ + 1]
    assert search.best_estimator_.quantile == search.best_params_["quantile"]
    assert repr(rule) == "WithinPrice('quantile', price=0.05)"


@pytest.mark.parametrize(
    ("rule", "found", "message"),
    [
        (WithinPrice("alpha"), results([0.0], [-1.0]), r"'alpha' is not searched over; it has"),
        (WithinPrice("radius", -0.1), results([0.0], [-1.0]), "price must be at least 0"),
        (WithinPrice("radius"), results(["a"], [-1.0]), "radius must take numbers"),
        (
            WithinPrice("radius"),
            {
                "param_radius": np.ma.array([0.0, 1.0], mask=[False, True]),
                "mean_test_score": [-1.0, -1.0],
            },
            "Candidate 1 of the search has no radius",
        ),
        (WithinPrice("radius"), results([np.nan], [-1.0]), "radius must take finite numbers"),
        (WithinPrice("radius"), results([0.0, 1.0], [-1.0, np.nan]), "Candidate 1 has a mean"),
        (WithinPrice("radius"), results([0.0, 1.0], [0.0, -1.0]), "is 0, so no price"),
        (WithinPrice("radius"), {"param_radius": [0.0]}, "needs a search with a single scorer"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(rule, found, message):
    with pytest.raises(ValueError, match=message):
        rule(found)


def test_a_price_that_is_exactly_the_limit_is_within_it():
    for unit in (1.0, 100.0, 1e-7):
        found = results([0.0, 1.0, 2.0], [-unit, -1.05 * unit, -1.2 * unit])
        assert WithinPrice("radius", price=0.05)(found) == 1
