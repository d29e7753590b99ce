"""What a stress test takes: models, their problem, generators, and what is wrong."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn import ExpertMixture, PolicyRegressor, TwoStageRegressor
from dfl_sklearn.model_selection import make_stress_scorer, stress_test
from dfl_sklearn.model_selection._stress_test import _missed
from dfl_sklearn.model_selection._worst_of_pool import largest_radius, worst_of_pool
from dfl_sklearn.problems import FromContext, MultiProductNewsvendorProblem, NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator
from dfl_sklearn.scenarios import ResidualScenarios

from .stressed import LINE, PROBLEM, QUANTILE, QUICK, X_FIT, X_NEW, Y_FIT, Y_NEW, X, Y, stressed

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LinearRegression()),
        TwoStageRegressor(ResidualScenarios(LinearRegression()), PROBLEM),
        ResidualScenarios(LinearRegression()),
        PolicyRegressor(PROBLEM, hidden_layer_sizes=(), max_iter=5, random_state=0),
        ExpertMixture([("line", LinearRegression())], PROBLEM),
    ],
    ids=lambda model: type(model).__name__,
)
def test_whatever_decides_can_be_tested(model):
    levels = stressed(model.fit(X_FIT, Y_FIT)).to_frame()
    assert (levels["worst"] > levels["nominal"]).all()
    assert (levels["nominal"] > 0).all()


def test_the_problem_is_that_of_the_models():
    two_stage = TwoStageRegressor(LinearRegression(), NewsvendorProblem(9, 1)).fit(X_FIT, Y_FIT)
    pd.testing.assert_frame_equal(
        stressed({"a": two_stage}, problem=None).to_frame(), stressed({"a": LINE}).to_frame()
    )
    other = TwoStageRegressor(LinearRegression(), NewsvendorProblem(8, 1)).fit(X_FIT, Y_FIT)
    with pytest.raises(ValueError, match="'a' and 'b' have different problems"):
        stressed({"a": two_stage, "b": other}, problem=None)
    stressed({"a": two_stage, "b": other})
    with pytest.raises(ValueError, match="LinearRegression has no decision problem"):
        stressed(problem=None)


def test_a_fitted_generator_is_used_as_it_is(tmp_path):
    result = stressed()
    again = stressed(generator=result.generator)
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame(), check_exact=True)
    assert again.generator is result.generator
    other = DiffusionGenerator(**QUICK.get_params()).fit(np.column_stack([X, Y + 50]))
    moved = stressed(generator=other, memory=str(tmp_path))
    assert moved.to_frame()["nominal"][0] > 100  # and not recalled for its parameters
    with pytest.raises(ValueError, match=r"fitted to 6 columns, and X .* and y have 4"):
        stressed(QUANTILE, X_NEW[:, :3], generator=result.generator)


def test_generators_are_recalled_from_memory(tmp_path, monkeypatch):
    first = stressed(memory=str(tmp_path))

    def fit(*args, **params):
        raise AssertionError("fitted anew")

    monkeypatch.setattr(DiffusionGenerator, "fit", fit)
    second = stressed(QUANTILE, memory=str(tmp_path))
    assert_array_equal(second.worst_rows(2000)["y"].sort_values(),
                       first.worst_rows(2000)["y"].sort_values())  # fmt: skip


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"radius": -0.1}, "radius must be at least 0"),
        ({"radius": ()}, "radius must be a number or a sequence of numbers"),
        ({"generator": LINE}, "generator must be a DiffusionGenerator or None"),
        ({"problem": "newsvendor"}, "problem must be a DecisionProblem or None"),
        ({"y": Y_NEW[:7]}, "X has 120 rows and y has 7"),
        ({"X": X_NEW[:0], "y": Y_NEW[:0]}, "X and y have no rows"),
        ({"y": -Y_NEW}, "negative"),
        ({"groups": [1, 2]}, r"groups must have shape \(120,\)"),
        ({"groups": "shop"}, "groups='shop' is not a column of X"),
        ({"groups": [None] + ["a"] * 119}, "groups has no label in row 0"),
        ({"estimator": {}}, "a dict of these by name"),
        ({"X": X_NEW[0]}, r"X must have shape \(n, p\)"),
    ],
)
def test_errors_name_the_argument(params, message):
    with pytest.raises(ValueError, match=message):
        stressed(**params)


def test_a_generator_that_misses_the_rows_is_warned_of_once():
    shifted = np.column_stack([X_NEW + 3, Y_NEW * 20])
    elsewhere = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=8, max_iter=2).fit(shifted)
    with pytest.warns(UserWarning, match="does not describe the rows") as caught:
        result = stressed({"line": LINE, "quantile": QUANTILE}, generator=elsewhere)
    (warned,) = [each for each in caught if "describe" in str(each.message)]
    assert warned.filename.endswith("stressed.py")  # of the caller
    for name, levels in result.to_frame().groupby("estimator"):
        real, nominal = levels[["real", "nominal"]].iloc[0]
        assert f"{name!r} {real:.4g} and {nominal:.4g}" in str(warned.message)
    scorer = make_stress_scorer(PROBLEM, generator=elsewhere, n_samples=2000)
    with pytest.warns(UserWarning, match="does not describe the rows of a fold"):
        scorer(LINE, X_NEW, Y_NEW)


def test_a_difference_must_be_large_and_beyond_errors_of_sampling():
    rng = np.random.default_rng(0)
    share = np.full(5000, 1 / 5000)
    pool = rng.exponential(size=5000)
    for scale, n, most in ((1, 30, 2), (1, 2000, 0), (1.15, 2000, 0)):
        rows = scale * rng.exponential(size=(200, n))
        found = [_missed(each, np.ones(n), pool, share) for each in rows]
        assert sum(map(bool, found)) <= most
    assert all(_missed(2 * each, np.ones(2000), pool, share) for each in rows)
    few = 1.5 * rows[0, :100]
    for factor in (1.0, 1.1, 1.2, 1.3, 1.4):
        each = factor * few
        twice = _missed(np.repeat(each, 2), np.ones(200), pool, share)
        assert twice == _missed(each, np.full(100, 2.0), pool, share)
    in_shares = _missed(2 * rows[0], np.full(2000, 1 / 2000), pool, share)
    assert in_shares == _missed(2 * rows[0], np.ones(2000), pool, share) != ""


def test_a_model_with_a_context_that_is_not_fitted_says_so():
    problem = MultiProductNewsvendorProblem(9, 1, capacity=FromContext("capacity"))
    names = ["capacity", *(f"x{j}" for j in range(1, X_NEW.shape[1]))]
    table = pd.DataFrame(X_NEW, columns=names)
    model = TwoStageRegressor(LINE, problem, context="capacity")
    for each in (model, make_pipeline(StandardScaler(), model)):
        with pytest.raises(NotFittedError):
            stressed(each, table, problem=None)


def test_labels_in_another_order_are_refused():
    table, y = pd.DataFrame(X_NEW), pd.Series(Y_NEW)
    with pytest.raises(ValueError, match="y has the index of X in another order"):
        stress_test(LINE, table, y.iloc[::-1], problem=PROBLEM)


def test_a_class_is_named():
    with pytest.raises(ValueError, match="'line' is the class LinearRegression, and not a model"):
        stress_test({"line": LinearRegression}, X_NEW, Y_NEW, problem=PROBLEM)


@pytest.mark.parametrize("regret", [np.zeros(50), np.arange(50.0), np.full(50, 0.1)])
def test_fifty_equal_rows_are_enough(regret):
    weight = np.full(50, 1 / 50)
    worst, divergence = worst_of_pool(regret, weight, 0.0, "model")
    assert_allclose(worst, weight)
    assert divergence == pytest.approx(0)
    assert largest_radius(np.repeat([1.0, 0.0], [50, 950]), np.full(1000, 1e-3)) == np.inf
    with pytest.raises(ValueError, match=r"effective sample size of 49\.0 rows"):
        worst_of_pool(regret[:49], np.full(49, 1 / 49), 0.0, "model")
