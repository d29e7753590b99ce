"""The stress test as a scorer."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.model_selection import make_stress_scorer, stress_test
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PROBLEM = NewsvendorProblem(9, 1)
QUICK = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=8, max_iter=2)
X, Y = make_newsvendor(200, random_state=0)


@pytest.fixture(autouse=True)
def _short(short_epochs):
    pass


def scorer(problem=PROBLEM, **params):
    return make_stress_scorer(problem, generator=QUICK, n_samples=1000, **params)


def test_the_score_is_minus_the_worst_regret():
    model = LinearRegression().fit(X[:100], Y[:100])
    weight = np.random.default_rng(0).uniform(0.5, 2, 100)
    for params in ({}, {"sample_weight": weight}):
        result = stress_test(
            *(model, X[100:], Y[100:]),
            problem=PROBLEM,
            generator=QUICK,
            n_samples=1000,
            radius=0.2,
            random_state=0,
            **params,
        )
        score = scorer(radius=0.2)(model, X[100:], Y[100:], **params)
        assert score == -result.to_frame()["worst"][0]
    own = TwoStageRegressor(LinearRegression(), PROBLEM).fit(X[:100], Y[:100])
    assert scorer(None)(own, X[100:], Y[100:]) == scorer()(own, X[100:], Y[100:])


def test_a_search_fits_one_generator_for_each_fold(tmp_path, monkeypatch):
    fits = []
    fit = DiffusionGenerator.fit

    def counted(self, *args, **params):
        fits.append(len(args[0]))
        return fit(self, *args, **params)

    monkeypatch.setattr(DiffusionGenerator, "fit", counted)
    model = QuantileRegressor(alpha=0)
    grid = {"quantile": [0.5, 0.7, 0.9]}
    search = GridSearchCV(model, grid, scoring=scorer(memory=str(tmp_path)), cv=2).fit(X, Y)
    assert fits == [100, 100]
    assert search.best_params_ == {"quantile": 0.9}
    again = GridSearchCV(model, grid, scoring=scorer(), cv=2).fit(X, Y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], again.cv_results_["mean_test_score"]
    )


def test_a_fitted_generator_is_that_of_all_folds(monkeypatch):
    generator = clone(QUICK).set_params(random_state=0).fit(np.column_stack([X, Y]))
    monkeypatch.setattr(DiffusionGenerator, "fit", None)
    fixed = make_stress_scorer(PROBLEM, generator=generator, n_samples=1000)
    scores = cross_val_score(LinearRegression(), X, Y, scoring=fixed, cv=2)
    assert (scores < 0).all()


def test_scorers_are_copied_with_searches():
    made = scorer(radius=0.05)
    assert repr(made).startswith("make_stress_scorer(problem=NewsvendorProblem(")
    model = LinearRegression().fit(X, Y)
    expected = made(model, X, Y)
    assert pickle.loads(pickle.dumps(made))(model, X, Y) == expected
    search = GridSearchCV(LinearRegression(), {"fit_intercept": [True]}, scoring=made)
    assert clone(search).scoring(model, X, Y) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"problem": 3}, "problem must be a DecisionProblem or None"),
        ({"radius": -1}, "radius must be at least 0"),
        ({"radius": [0.1]}, "radius must be a number"),
        ({"n_samples": 10}, "n_samples must be a whole number of at least 50"),
        ({"random_state": None}, "random_state must be a whole number"),
        ({"generator": 1}, "generator must be a DiffusionGenerator"),
    ],
)
def test_errors_name_the_argument(params, message):
    with pytest.raises(ValueError, match=message):
        make_stress_scorer(**params)
