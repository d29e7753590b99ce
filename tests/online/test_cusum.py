"""Cumulative sums of costs: Siegmund's approximation, false alarms without normality, edges."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

from dfl_sklearn._utils.autoregression import best_order, burg, inflation
from dfl_sklearn.online import Cusum

H = 200


def autoregressive(n, coefficient, rng):
    found = np.zeros(n + 100)
    for t, error in enumerate(rng.normal(size=n + 99), start=1):
        found[t] = coefficient * found[t - 1] + error
    return found[100:]


def watched(cusum, costs):
    return np.array([cusum.update(cost) for cost in costs.tolist()])


def siegmund(threshold, drift):
    """Return the average run length of a normal sum whose steps have this mean (1985, 2.5)."""
    b = threshold + 1.166
    return (np.exp(-2 * drift * b) + 2 * drift * b - 1) / (2 * drift**2)


def test_the_threshold_is_that_of_the_normal_sum_by_siegmund():
    reference = np.random.default_rng(0).normal(5.0, 2.0, 4000)
    for alpha, horizon, shift_size in ((0.05, 300, 1.0), (0.2, 500, 0.6), (0.002, 100, 1.0)):
        cusum = Cusum(reference, alpha=alpha, horizon=horizon, shift_size=shift_size)
        run_length = siegmund(cusum.threshold, -shift_size / 2)
        # Run lengths without a shift are geometric, but for the first rows.
        assert 1 - np.exp(-horizon / run_length) == pytest.approx(alpha, rel=0.3)
        assert cusum.order == 0


def test_the_delay_is_that_of_the_normal_sum_by_siegmund():
    rng = np.random.default_rng(1)
    cusum = Cusum(rng.normal(size=4000), horizon=300)
    stored, found = pickle.dumps(cusum), []
    for _ in range(200):
        again = pickle.loads(stored)
        while again.alarm_at is None and again.n_rows < 1000:
            again.update(rng.normal(1.0))
        found.append(again.alarm_at + 1)
    # Rows to the alarm vary by about sqrt(h) / drift ** 1.5.
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - siegmund(cusum.threshold, 0.5)) < 4 * error + 0.5


KINDS = {
    "exponential": lambda n, rng: rng.exponential(size=n),
    "lognormal": lambda n, rng: np.exp(rng.normal(size=n)),
    "autoregressive": lambda n, rng: autoregressive(n, 0.5, rng),
}


@pytest.mark.parametrize("kind", KINDS)
def test_false_alarms_are_as_many_as_asked_for(kind, monkeypatch):
    monkeypatch.setattr("dfl_sklearn.online.cusum._N_STREAMS", 300)
    n_alarms, n_streams, alpha = 0, 120, 0.1
    for seed in range(n_streams):
        rng = np.random.default_rng(seed)
        costs = KINDS[kind](300, rng)
        cusum = Cusum(costs[:200], alpha=alpha, horizon=100)
        watched(cusum, costs[200:])
        n_alarms += cusum.alarm_at is not None
    # Each stream has a reference of its own: what that does not know is in the threshold.
    low, high = binom.ppf([1e-3, 1 - 1e-3], n_streams, alpha)
    assert low <= n_alarms <= high


def test_dependence_raises_the_threshold():
    rng = np.random.default_rng(0)
    costs = autoregressive(400, 0.7, rng)
    alike = Cusum(costs, horizon=H)
    mixed = Cusum(rng.permutation(costs), horizon=H)
    assert alike.order >= 1
    assert mixed.order == 0
    assert alike.threshold > 2 * mixed.threshold
    assert alike.worth < 0.4 * mixed.worth


def test_the_sum_is_its_formula():
    rng = np.random.default_rng(0)
    reference, costs = rng.exponential(size=100), 2 * rng.exponential(size=60)
    cusum = Cusum(reference, horizon=H)
    path = watched(cusum, costs)
    steps = (np.minimum(costs, reference.max()) - reference.mean()) / reference.std() - 0.5
    expected = [max(steps[s : t + 1].sum() for s in range(t + 2)) for t in range(60)]
    assert_allclose(path, np.maximum(expected, 0), atol=1e-9)
    first = int(np.flatnonzero(path > cusum.threshold)[0])
    assert cusum.alarm_at == first
    assert cusum.risen_since == np.flatnonzero(path[:first] == 0).max(initial=-1) + 1


def test_one_outlier_is_no_shift_and_infinity_is():
    cusum = Cusum(np.random.default_rng(0).normal(size=200), horizon=H)
    cusum.update(1e300)
    assert cusum.alarm_at is None
    assert cusum.update(np.inf) == np.inf
    assert cusum.alarm_at == 1
    assert cusum.update(-5.0) == np.inf
    with pytest.raises(ValueError, match="must be a number or infinity, got nan"):
        cusum.update(np.nan)


@pytest.mark.parametrize("unit", [1e-300, 1e150, 2.0**-40])
def test_the_unit_of_costs_does_not_matter(unit):
    rng = np.random.default_rng(0)
    reference, costs = rng.exponential(size=80), rng.exponential(size=50)
    plain, other = Cusum(reference, horizon=50), Cusum(unit * reference, horizon=50)
    assert other.threshold == pytest.approx(plain.threshold, rel=1e-9)
    assert_allclose(watched(other, unit * costs), watched(plain, costs), rtol=1e-9, atol=1e-9)


def test_too_short_a_reference_says_how_long_it_must_be():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 30 reference costs, got 12"):
        Cusum(rng.normal(size=12))
    costs = autoregressive(100, 0.9, rng)
    with pytest.raises(ValueError, match=r"only \d+ independent ones.*about \d{3,} reference"):
        Cusum(costs)
    with pytest.raises(ValueError, match="All 50 reference costs are 2:"):
        Cusum(np.full(50, 2.0))
    with pytest.raises(ValueError, match="is not finite at row 3"):
        Cusum([1.0, 2.0, 3.0, np.inf] * 20)
    for alpha in (1.0, 1e-5):
        with pytest.raises(ValueError, match="alpha must be in"):
            Cusum(costs, alpha=alpha)
    with pytest.raises(ValueError, match="200 reference costs are too few"):
        Cusum(np.arange(200.0))


def test_burg_finds_the_coefficients_and_the_variance_of_the_mean():
    rng = np.random.default_rng(0)
    for coefficient in (0.0, 0.5, 0.8, -0.4):
        costs = autoregressive(4000, coefficient, rng)
        order = best_order(costs)
        assert order == (coefficient != 0)
        found, errors, variances = burg(costs[None], 1)
        assert found[0, 0] == pytest.approx(coefficient, abs=0.05)
        assert errors.var() == pytest.approx(1.0, abs=0.1)
        assert variances[0, -1] == pytest.approx(1.0, abs=0.1)
        expected = (1 + coefficient) / (1 - coefficient)
        assert inflation(costs[None], order)[0] == pytest.approx(expected, rel=0.15)


def test_burg_is_stationary_and_its_errors_are_those_of_its_coefficients():
    rng = np.random.default_rng(0)
    series = np.cumsum(rng.normal(size=(3, 60)), axis=1)
    coefficients, errors, _ = burg(series, 3)
    apart = series - series.mean(axis=1, keepdims=True)
    for row, phi, left in zip(apart, coefficients, errors, strict=True):
        assert (np.abs(np.roots([1, *-phi])) < 1).all()
        expected = [row[t] - phi @ row[t - 3 : t][::-1] for t in range(3, 60)]
        assert_allclose(left, expected, atol=1e-9)


@pytest.mark.parametrize("base", [0.0, 0.1, 1.0, 7.3])
@pytest.mark.parametrize("n_events", [2, 3])
def test_costs_that_hardly_ever_differ_give_no_threshold(base, n_events):
    """As regrets that are mostly 0: whether a rise is one cannot be told."""
    reference = np.full(300, base)
    reference[np.arange(n_events) * 90 + 10] += 1
    with pytest.raises(ValueError, match=rf"{300 - n_events} of the 300 reference costs are equal"):
        Cusum(reference)


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_the_order_does_not_depend_on_the_unit(unit):
    noise, rows = np.random.default_rng(0).normal(size=400), np.zeros(400)
    for t in range(1, 400):
        rows[t] = 0.6 * rows[t - 1] + noise[t]
    plain, scaled = Cusum(rows, horizon=50), Cusum(unit * rows, horizon=50)
    assert scaled.order == plain.order > 0
    assert scaled.threshold == pytest.approx(plain.threshold, rel=1e-6)
