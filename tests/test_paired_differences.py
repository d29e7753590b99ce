"""Intervals of paired differences over blocks, and the rows it takes to tell two apart."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.model_selection._paired import (
    PairedMean,
    neighbour_correlation,
    paired_mean,
    rows_to_tell_apart,
)
from dfl_sklearn.problems import NewsvendorProblem

SIZES = np.array([1, 2, 3, 5, 8, 13, 21, 4, 4, 9, 30, 6, 10, 2, 7])


def test_single_rows_give_the_interval_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 25))
    found = paired_mean(one - other, np.ones(25), np.arange(25), 0.9)
    expected = stats.ttest_rel(one, other).confidence_interval(0.9)
    assert_allclose((found.low, found.high), expected, rtol=1e-12)
    assert found.degrees_of_freedom == pytest.approx(24)
    assert found.design_effect == pytest.approx(1)


def test_blocks_of_one_size_give_the_interval_of_their_means():
    rng = np.random.default_rng(1)
    means = rng.normal(size=12)
    rows = np.repeat(means, 5) + rng.normal(size=60)
    found = paired_mean(rows, np.ones(60), np.repeat(np.arange(12), 5), 0.95)
    of_block = rows.reshape(12, 5).mean(axis=1)
    expected = stats.ttest_1samp(of_block, 0).confidence_interval(0.95)
    assert_allclose((found.low, found.high), expected, rtol=1e-12)
    assert found.design_effect == pytest.approx(of_block.var(ddof=1) / 12 / (rows.var(ddof=1) / 60))


@pytest.mark.parametrize("power", [-900, 900])
def test_the_unit_of_costs_does_not_matter(power):
    rng = np.random.default_rng(2)
    rows, block = rng.normal(0.3, size=60), np.repeat(np.arange(12), 5)
    weight = rng.uniform(size=60)
    found = paired_mean(rows, weight, block, 0.95)
    far = paired_mean(np.ldexp(rows, power), weight, block, 0.95)
    for name in ("mean", "standard_error", "low", "high"):
        assert getattr(far, name) == np.ldexp(getattr(found, name), power)
    assert far.design_effect == found.design_effect
    alike = [neighbour_correlation(each, weight, block) for each in (rows, np.ldexp(rows, power))]
    assert alike[0] == alike[1]
    one = paired_mean(np.ldexp(rows, power), weight, np.zeros(60, dtype=int), 0.95)
    assert one.mean == far.mean


def test_blocks_of_unequal_weight_match_matrices():
    """CR2 and its degrees of freedom by the textbook's matrices, for a mean by weight."""
    rng = np.random.default_rng(2)
    block = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    d, weight = rng.normal(size=21), rng.uniform(0.5, 2, 21)
    found = paired_mean(d, weight, block, 0.95)
    share = weight / weight.sum()
    mean = share @ d
    assert found.mean == pytest.approx(mean)
    # The mean of rows with variance 1 / weight: the residual maker, block by block.
    law = np.diag(1 / weight)
    maker = np.eye(21) - np.ones((21, 1)) @ share[None]
    rows = []
    for b in range(6):
        picks = np.where(block == b, share, 0.0) @ maker  # the part of block b in what is left
        spread = picks @ law @ picks
        wanted = np.where(block == b, share, 0.0) @ law @ np.where(block == b, share, 0.0)
        rows.append(picks * np.sqrt(wanted / spread))
    parts = np.array(rows)
    assert found.standard_error == pytest.approx(np.sqrt(((parts @ d) ** 2).sum()))
    gram = parts @ law @ parts.T
    assert found.degrees_of_freedom == pytest.approx(np.trace(gram) ** 2 / (gram**2).sum())
    reach = stats.t.ppf(0.975, found.degrees_of_freedom) * found.standard_error
    assert_allclose((found.low, found.high), (mean - reach, mean + reach))


@pytest.mark.parametrize("effect", [0.0, 0.6])
def test_intervals_cover_the_true_difference(effect):
    """Costs of two models, drawn, in blocks of unequal sizes that share an effect."""
    rng = np.random.default_rng(3)
    block = np.repeat(np.arange(len(SIZES)), SIZES)
    weight, covered = np.ones(len(block)), 0
    for _ in range(500):
        hard = rng.gamma(2.0, size=len(block))  # shared by both, so that pairs cancel it
        one = hard + 0.5 * rng.normal(size=len(block)) + effect * rng.normal(size=len(SIZES))[block]
        other = hard + 0.3 + 0.5 * rng.normal(size=len(block))
        found = paired_mean(other - one, weight, block, 0.95)
        covered += found.low <= 0.3 <= found.high
    assert 0.93 <= covered / 500 <= 0.97


def test_rows_taken_for_independent_do_not_cover():
    """What blocks are for: single rows give intervals that are too narrow."""
    rng = np.random.default_rng(4)
    block = np.repeat(np.arange(30), 10)
    rows, covered = np.arange(300), np.zeros(2)
    for _ in range(200):
        d = rng.normal(size=300) + rng.normal(size=30)[block]
        for j, each in enumerate((rows, block)):
            found = paired_mean(d, np.ones(300), each, 0.95)
            covered[j] += found.low <= 0 <= found.high
    assert covered[0] / 200 < 0.8
    assert covered[1] / 200 > 0.9


def test_weight_counts_as_rows_do_within_a_block():
    rng = np.random.default_rng(5)
    d, block = rng.normal(size=30), np.repeat(np.arange(10), 3)
    twice = rng.integers(0, 3, 30)
    weighted = paired_mean(d, twice.astype(float), block, 0.95)
    repeated = paired_mean(np.repeat(d, twice), np.ones(twice.sum()), np.repeat(block, twice), 0.95)
    for name in ("mean", "standard_error", "degrees_of_freedom", "low", "high"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-12)


def test_differences_that_are_alike_have_no_error():
    same = paired_mean(np.full(9, 0.1), np.ones(9), np.arange(9), 0.95)
    assert same.standard_error < 1e-15
    assert rows_to_tell_apart(same, 9, 0.95, 0.8) == 0
    none = paired_mean(np.zeros(9), np.ones(9), np.arange(9), 0.95)
    assert rows_to_tell_apart(none, 9, 0.95, 0.8) == np.inf
    lone = paired_mean(np.arange(3.0), np.ones(3), np.zeros(3, int), 0.95)
    assert lone.mean == 1
    assert np.isnan([lone.low, lone.high, rows_to_tell_apart(lone, 3, 0.95, 0.8)]).all()


def test_rows_needed_solve_their_equation():
    found = PairedMean(0.1, 0.08, 11.0, -0.08, 0.28, 1.0)
    more = rows_to_tell_apart(found, 60, 0.95, 0.8)
    for rows, enough in ((60 + more, True), (60 + more - 1, False)):
        times = rows / 60
        wanted = stats.t.ppf(0.975, 11 * times) + stats.t.ppf(0.8, 11 * times)
        assert (0.1 * np.sqrt(times) >= wanted * 0.08) == enough
    # At a power of one half the interval just excludes 0 where nothing changes.
    half = PairedMean(0.1, 0.1 / stats.t.ppf(0.975, 11) * (1 + 1e-9), 11.0, -1e-9, 0.2, 1.0)
    assert rows_to_tell_apart(half, 60, 0.95, 0.5) == 1
    tiny = PairedMean(1e-300, 1.0, 11.0, -2.0, 2.0, 1.0)
    assert rows_to_tell_apart(tiny, 60, 0.95, 0.8) == np.inf


@pytest.mark.parametrize("power", [0.5, 0.8])
def test_that_many_rows_tell_two_apart_as_often_as_is_said(power):
    rng = np.random.default_rng(6)
    size, mean, shared = 5, 0.25, 0.5
    variance = (1 + shared**2 * size) / size  # of a block's mean
    error = np.sqrt(variance / 20)
    found = PairedMean(mean, error, 19.0, mean - 2.1 * error, mean + 2.1 * error, np.nan)
    assert found.low < 0
    rows = 20 * size + rows_to_tell_apart(found, 20 * size, 0.95, power)
    n_blocks = round(rows / size)
    block = np.repeat(np.arange(n_blocks), size)
    apart = 0
    for _ in range(600):
        d = mean + rng.normal(size=len(block)) + shared * rng.normal(size=n_blocks)[block]
        again = paired_mean(d, np.ones(len(block)), block, 0.95)
        apart += again.low > 0 or again.high < 0
    assert apart / 600 == pytest.approx(power, abs=0.05)


def test_blocks_that_depend_on_each_other_are_seen():
    rng = np.random.default_rng(7)
    noise = rng.normal(size=2000)
    walk = np.convolve(noise, np.ones(5), "valid")
    block = np.arange(len(walk))
    assert neighbour_correlation(walk, np.ones(len(walk)), block) == pytest.approx(0.8, abs=0.05)
    assert abs(neighbour_correlation(noise, np.ones(2000), np.arange(2000))) < 0.08
    assert abs(neighbour_correlation(walk, np.ones(len(walk)), block // 100)) < 0.5
    assert neighbour_correlation(np.ones(9), np.ones(9), np.arange(9)) == 0


def test_intervals_cover_the_difference_of_two_fitted_models():
    """Models fitted once, compared on new rows; the true difference is that of 400,000 rows."""
    problem, rng = NewsvendorProblem(4, 1), np.random.default_rng(0)
    law = rng.normal(size=3)

    def rows(n, rng):
        X = rng.normal(size=(n, 3))
        return X, 20 + X @ law + rng.gamma(2.0, size=n) * np.exp(0.3 * X[:, 0])

    X, y = rows(100, rng)
    models = {
        "line": FrozenEstimator(LinearRegression().fit(X, y)),
        "quantile": FrozenEstimator(QuantileRegressor(quantile=0.8, alpha=0).fit(X, y)),
    }
    X, y = rows(400_000, rng)
    paid = {name: problem.cost(each.predict(X), y).mean() for name, each in models.items()}
    truth, covered = paid["quantile"] - paid["line"], 0
    for k in range(500):
        new = rows(300, np.random.default_rng([1, k]))
        found = compare_decisions(models, *new, problem=problem, cv=2).to_frame()
        covered += found.loc["quantile", "low"] <= truth <= found.loc["quantile", "high"]
    assert 0.93 <= covered / 500 <= 0.97


def test_equal_models_cannot_be_told_apart():
    """Least squares twice, once on standardised columns: the costs differ by rounding errors."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(200, 3))
        y = 30 + X @ [1, 2, 3] + rng.normal(size=200)
        models = {
            "plain": LinearRegression(),
            "scaled": make_pipeline(StandardScaler(), LinearRegression()),
        }
        found = compare_decisions(models, X, y, problem=NewsvendorProblem(9, 1)).to_frame()
        assert found.loc["scaled", "more_rows"] == np.inf
        assert found.loc["scaled", ["low", "high"]].tolist() == [0, 0]


def test_equal_differences_have_an_error_of_zero():
    weight = np.random.default_rng(0).uniform(size=100)
    found = paired_mean(np.full(100, 0.3), weight, np.arange(100), 0.95)
    assert (found.mean, found.standard_error) == (0.3, 0.0)
    assert np.isnan(found.design_effect)


def test_one_row_with_nearly_all_of_the_weight_has_no_interval():
    difference = np.random.default_rng(0).normal(size=200)
    for heavy in (1e6, 1e10, 1e20):
        weight = np.r_[heavy, np.ones(199)]
        assert np.isnan(paired_mean(difference, weight, np.arange(200), 0.95).low)
    assert np.isfinite(paired_mean(difference, np.r_[1e3, np.ones(199)], np.arange(200), 0.95).low)
