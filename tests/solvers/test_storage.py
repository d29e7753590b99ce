"""Schedules of a store: the recursion in floats and in fractions, and the proof."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dfl_sklearn.solvers import storage
from dfl_sklearn.solvers.storage import (
    Schedule,
    Store,
    best_schedule,
    exact_schedule,
    is_proven,
    shares_missed,
)


def numbers(*values):
    return Store(*(np.array([each], dtype=float) for each in values))


BATTERY = numbers(1, 0.5, 0.2, 0.9, 0.5, 0.1, 0.05)


def random_stores(rng, n):
    capacity = rng.choice([0.0, 1.0, 1.0, 3.7], n)
    columns = (
        capacity,
        rng.choice([0.0, 0.5, 7.0, 0.25], n),
        rng.choice([0.0, 0.2, 3.0, 0.25], n),
        rng.choice([1.0, 0.9, 0.01], n),
        capacity * rng.choice([0.0, 0.5, 1.0, 0.3], n),
        rng.choice([0.0, 0.1, 1e-6, 10.0], n),
        rng.choice([0.05, 1e-6, 1.0, 1e3], n),
    )
    return Store(*columns)


def random_prices(rng, n, n_periods, kind):
    y = rng.standard_normal((n, n_periods)) * rng.choice([1e-3, 1.0, 50.0, 1e4], (n, 1))
    if kind == 1:
        return np.round(y)
    return y[:, :1] * np.ones(n_periods) if kind == 2 else y


def test_floats_and_fractions_agree_and_are_proven():
    rng = np.random.default_rng(0)
    n_again = 0
    for trial in range(24):
        n = 6
        store = random_stores(rng, n)
        price = random_prices(rng, n, int(rng.integers(1, 14)), trial % 3)
        found, exact = storage._schedule(price, store, storage._TIE), exact_schedule(price, store)
        proven = is_proven(price, store, found)
        assert is_proven(price, store, exact).all()
        n_again += int((~proven).sum())
        # Rounding errors in prices are divided by the penalty, those in states by the efficiency.
        size = 1.0 / store.efficiency + np.abs(price).max(axis=1) / store.rate_penalty
        for one, other in zip(found[:3], exact[:3], strict=True):
            assert (np.abs(one - other) <= 1e-12 * size[:, None])[proven].all()
    assert n_again <= 3


def test_a_row_that_fails_is_solved_in_fractions(monkeypatch):
    price = np.random.default_rng(0).normal(30, 20, (4, 6))
    expected = best_schedule(price, BATTERY)
    calls = []

    def fails_at_first(price, store, schedule):
        calls.append(len(price))
        return is_proven(price, store, schedule) & (np.arange(len(price)) != 2)

    monkeypatch.setattr(storage, "is_proven", fails_at_first)
    found = best_schedule(price, BATTERY)
    assert calls == [4, 1]
    assert_allclose(found.charge, expected.charge, atol=1e-14)


@pytest.mark.parametrize("step", [1, 7])
def test_rows_are_worked_on_in_parts(monkeypatch, step):
    rng = np.random.default_rng(0)
    store, price = random_stores(rng, 30), random_prices(rng, 30, 5, 0)
    expected = best_schedule(price, store)
    monkeypatch.setattr(storage, "_MOST_NUMBERS", step * 4 * storage._N_POINTS * 5)
    for one, other in zip(best_schedule(price, store)[:2], expected[:2], strict=True):
        assert_allclose(one, other, atol=1e-10)
    empty = best_schedule(price[:0], BATTERY)
    assert empty.charge.shape == (0, 5)


def test_points_that_are_out_of_reach_are_dropped():
    """So that a long horizon takes time in proportion to its length."""
    price = np.random.default_rng(0).normal(30, 20, (2, 400))
    slopes = storage._slopes(price, BATTERY.of(slice(None), 2))
    assert max(before.slope.shape[1] for before, _ in slopes) < 100
    assert is_proven(price, BATTERY, best_schedule(price, BATTERY)).all()


@dataclass(frozen=True)
class Change:
    """What is done to a schedule that is best."""

    field: str
    by: float


@pytest.mark.parametrize(
    "change", [Change("charge", 1e-4), Change("discharge", -1e-4), Change("worth", 1.0)], ids=str
)
def test_what_is_not_best_is_not_proven(change):
    price = np.array([[20.0, 30.0, 60.0, 40.0]])
    best = best_schedule(price, BATTERY)
    assert is_proven(price, BATTERY, best).all()
    values = getattr(best, change.field).copy()
    values[0, 0 if change.field == "charge" else 1] += change.by
    assert not is_proven(price, BATTERY, best._replace(**{change.field: values})).any()


def test_what_breaks_a_limit_is_not_proven():
    price = np.full((1, 3), 30.0)
    best = best_schedule(price, BATTERY)
    smaller = BATTERY._replace(max_discharge=np.array([0.1]))
    assert shares_missed(smaller, best.charge, best.discharge).max() > 0.1
    assert not is_proven(price, smaller, best).any()


def test_infinite_bounds_prove_nothing():
    price = np.array([[1e308, -1e308]])
    nothing = Schedule(*(np.zeros((1, 2)) for _ in range(4)))
    large = numbers(100, 50, 50, 0.9, 50, 0.1, 0.05)
    with np.errstate(over="ignore", invalid="ignore"):
        assert not is_proven(price, large, nothing).any()
