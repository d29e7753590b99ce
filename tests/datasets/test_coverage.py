import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from dfl_sklearn.datasets import make_budget_allocation, make_recommendation
from dfl_sklearn.problems import CoverageProblem


def test_chances_are_uniform_where_channels_and_customers_are_connected():
    _, y = make_budget_allocation(1_000, 10, 40, reach=0.1, random_state=0)
    connected = y[y > 0]
    assert stats.kstest(connected[::10], stats.uniform(0, 0.2).cdf).pvalue > 0.01
    # P(U < r a b) with a and b log-normal, by another route: quadrature of the distribution.
    draws = np.exp(np.random.default_rng(0).standard_normal((1_000_000, 2)) - 0.5).prod(axis=1)
    assert (y > 0).mean() == pytest.approx(np.minimum(1, 0.1 * draws).mean(), rel=0.03)


def test_a_few_channels_reach_many():
    _, y = make_budget_allocation(50, 100, 500, reach=0.039, random_state=0)
    reached = np.sort(y.reshape(50, 100, 500).sum(axis=2), axis=1)
    assert reached.mean() == pytest.approx(0.039 * 500 * 0.1, rel=0.1)
    assert (reached[:, -5:].mean(axis=1) > 3 * reached.mean(axis=1)).all()


def test_features_are_a_function_of_the_chances_that_seeds_share():
    X, y = make_budget_allocation(30, 4, 12, 7, random_state=0)
    X_2, y_2 = make_budget_allocation(30, 4, 12, 7, random_state=1)
    features = np.concatenate([X, X_2]).reshape(-1, 7)
    probabilities = np.concatenate([y, y_2]).reshape(-1, 12)
    silent = features[(probabilities == 0).all(axis=1)]
    assert len(silent) > 5
    assert_allclose(silent, np.tile(silent[0], (len(silent), 1)))
    # What is a function of few changes little where few change: neighbours are alike.
    assert len(np.unique(features.round(12), axis=0)) > 0.5 * len(features)


def test_shifts_of_markets_are_paired():
    X, y = make_budget_allocation(100, random_state=0)
    up = make_budget_allocation(100, shift="chance_up", random_state=0)[1]
    down = make_budget_allocation(100, shift="chance_down", random_state=0)[1]
    assert_allclose(up, 2 * y)
    assert_allclose(down, y / 2)
    noisy, same = make_budget_allocation(100, shift="noise", random_state=0)
    assert_array_equal(same, y)
    assert stats.kstest((noisy - X).ravel() / 0.5, "norm").pvalue > 0.01
    out_X, out = make_budget_allocation(100, shift="outage", random_state=0)
    assert_array_equal(out_X, X)
    by_channel = (out != y).reshape(100, 20, 50)
    is_out = by_channel.any(axis=2)
    assert (out.reshape(100, 20, 50)[is_out] == 0).all()
    had_some = (y.reshape(100, 20, 50) > 0).any(axis=2)
    assert is_out[had_some].mean() == pytest.approx(0.2, abs=0.03)
    overlapping = make_budget_allocation(100, shift="overlap", random_state=0)[1]
    shares = [
        np.sort(each.reshape(100, 20, 50).sum(axis=1), axis=1)[:, -5:].sum() / each.sum()
        for each in (y, overlapping)
    ]
    assert shares[1] > shares[0] + 0.1  # the five most reached customers


def test_casts_have_the_size_asked_for_and_ratings_are_whole():
    X, y = make_recommendation(100, 20, 60, 30, cast=2.0, random_state=0)
    assert set(np.unique(y)) == {0.0, 1.0}
    assert set(np.unique(X)) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    assert y.reshape(100, 20, 60).sum(axis=2).mean() == pytest.approx(2.0, rel=0.15)
    seen = (X > 0).reshape(100, 20, 30).mean(axis=2)
    casts = y.reshape(100, 20, 60).sum(axis=2)
    assert np.corrcoef(seen.ravel(), casts.ravel())[0, 1] > 0.3


def test_ratings_tell_who_plays():
    X, y = make_recommendation(400, 5, 20, 40, cast=3.0, random_state=0)
    ratings, plays = X.reshape(-1, 40), y.reshape(-1, 20)
    slopes = np.linalg.lstsq(ratings[:1000], plays[:1000] - plays[:1000].mean(0), rcond=None)[0]
    foretold = ratings[1000:] @ slopes
    explained = [np.corrcoef(foretold[:, j], plays[1000:, j])[0, 1] for j in range(20)]
    assert np.mean(explained) > 0.1  # of chance: 0.00 +- 0.01


def test_shifts_of_films_are_paired():
    X, y = make_recommendation(100, random_state=0)
    up_X, up = make_recommendation(100, shift="cast_up", random_state=0)
    down_X, down = make_recommendation(100, shift="cast_down", random_state=0)
    assert_array_equal(up_X, X)
    assert_array_equal(down_X, X)
    assert (up >= y).all()
    assert (down <= y).all()
    assert up.sum() > 1.6 * y.sum()
    cold_X, same = make_recommendation(100, shift="cold", random_state=0)
    assert_array_equal(same, y)
    assert_array_equal(cold_X[cold_X > 0], X[cold_X > 0])
    assert (cold_X > 0).mean() < 0.4 * (X > 0).mean()
    drift_X, drifted = make_recommendation(100, shift={"drift": 0.5}, random_state=0)
    assert_array_equal(drift_X, X)
    by_actor = [each.reshape(-1, 50).mean(axis=0) for each in (y, drifted)]
    assert np.abs(by_actor[0] - by_actor[1]).max() > 0.01
    assert drifted.mean() == pytest.approx(y.mean(), rel=0.1)


@pytest.mark.parametrize("make", [make_budget_allocation, make_recommendation])
def test_they_fit_their_problem(make):
    X, y = make(12, 8, 15, 4, random_state=0)
    problem = CoverageProblem(k=3, n_items=8)
    problem.check_parameters(y)
    assert problem.is_feasible(problem.solve(y)).all()
    assert X.shape == (12, 8 * 4)
    again = make(12, 8, 15, 4, random_state=0)
    assert_array_equal(again[0], X)
    assert_array_equal(again[1], y)
    for name in ("n_samples", "n_films" if make is make_recommendation else "n_channels"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            make(**{name: 0})
    with pytest.raises(ValueError, match="Unknown shift"):
        make(shift="rain")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "much", True])
def test_bad_numbers(value):
    with pytest.raises(ValueError, match="reach must be a number in"):
        make_budget_allocation(reach=value)
    with pytest.raises(ValueError, match="cast must be a positive number"):
        make_recommendation(cast=value)
