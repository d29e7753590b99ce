"""Weights, capacities and demand: shapes, pairing, and moments that the formulas imply."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.datasets import (
    make_set_multicover,
    make_uncertain_knapsack,
    set_multicover_numbers,
    uncertain_knapsack_numbers,
)
from dfl_sklearn.problems import SetMultiCoverProblem, UncertainKnapsackProblem


def rates(X, slopes, degree=5):
    return np.maximum(1.0 + (X @ slopes.T / np.sqrt(X.shape[1]) + 3.0) ** degree, 0.0)


def slopes_of(X, y):
    """The rows of zeros and ones with which the formula comes closest to the counts."""
    p = X.shape[1]
    choices = (np.arange(2**p)[:, None] >> np.arange(p) & 1).astype(float)
    rate = rates(X, choices)
    off = ((y[:, :, None] - rate[:, None, :]) ** 2).mean(axis=0)
    return choices[off.argmin(axis=1)]


@pytest.mark.parametrize("make", [make_uncertain_knapsack, make_set_multicover])
def test_counts_are_poisson_around_a_polynomial(make):
    X, y = make(20_000, 3, 4, shift={"noise": 0.0}, random_state=0)
    slopes = slopes_of(X, y)
    rate = rates(X, slopes)
    standard = (y - rate) / np.sqrt(np.maximum(rate, 1.0))
    assert_allclose(standard.mean(axis=0), 0.0, atol=0.03)
    assert_allclose(standard[rate.min(axis=1) > 30].var(axis=0), 1.0, atol=0.05)
    assert_array_equal(y, np.rint(y))
    # Another seed has the same slopes, and noise of a tenth widens what the rate says.
    X, y = make(20_000, 3, 4, random_state=1)
    assert_array_equal(slopes_of(X, y), slopes)
    rate = rates(X, slopes)
    dense = (rate > 100).all(axis=1)
    ratio = (y / rate)[dense]
    expected = 0.1**2 / 3 + (1 / rate[dense]).mean(axis=0)
    assert_allclose(ratio.var(axis=0), expected, rtol=0.06)


def test_shapes_and_determinism():
    for unknown, shape in (("weights", (7, 4)), ("capacity", (7,))):
        X, y = make_uncertain_knapsack(7, 3, 4, unknown=unknown, random_state=0)
        assert (X.shape, y.shape) == ((7, 3), shape)
        again = make_uncertain_knapsack(7, 3, 4, unknown=unknown, random_state=0)
        assert_array_equal(again[0], X)
        assert_array_equal(again[1], y)
        assert (make_uncertain_knapsack(7, 3, 4, unknown=unknown, random_state=1)[1] != y).any()
    assert make_set_multicover(7, 3, 4)[1].shape == (7, 4)


@pytest.mark.parametrize("unknown", ["weights", "capacity"])
def test_shifts_are_paired_and_act_as_they_say(unknown):
    def make(shift):
        return make_uncertain_knapsack(400, n_items=6, unknown=unknown, shift=shift, random_state=0)

    X, y = make(None)
    for name, factor in (("level_up", 1.2), ("level_down", 0.8)):
        assert_array_equal(make(name)[0], X)
        moved = make(name)[1]
        assert_allclose(moved.sum() / y.sum(), factor, rtol=0.01)
        assert ((moved >= y) if factor > 1 else (moved <= y)).all()  # the same draws
    assert_allclose(make("mean_up")[0] - X, 0.3)
    assert (make("noise")[1] != y).any()
    rush = make({"rush": 1.0})[1]
    some = make("rush")[1]
    hit = (some != y).reshape(400, -1).any(axis=1)
    assert hit.mean() == pytest.approx(0.2, abs=0.06)
    assert_array_equal(some[hit], rush[hit])
    if unknown == "weights":
        assert_allclose(rush[:, ::2].sum() / y[:, ::2].sum(), 2.0, rtol=0.01)
        assert_array_equal(rush[:, 1::2], y[:, 1::2])
    else:
        assert_allclose(rush, y / 2, atol=0.75)  # both are rounded


def test_capacities_are_shares_of_the_weight_of_all_items():
    numbers = uncertain_knapsack_numbers(6, unknown="capacity")
    X, y = make_uncertain_knapsack(5000, n_items=6, unknown="capacity", random_state=0)
    share = y / numbers["weights"].sum()
    assert share.min() == pytest.approx(0.1, abs=0.005)
    assert share.max() <= 1.0
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    # The larger the features, the nearer to a half.
    size = np.abs(X).sum(axis=1)
    assert share[size > 5].std() < share[size < 2].std() / 3


def test_the_numbers_that_go_with_them():
    _, y = make_uncertain_knapsack(4000, n_items=8, random_state=3)
    few, many = (uncertain_knapsack_numbers(8, penalty_ratio=ratio) for ratio in (5, 10))
    assert many["penalty"] == pytest.approx(2 * few["penalty"])
    assert_array_equal(few["values"], many["values"])
    assert few["capacity"] == pytest.approx(0.2 * y.sum(axis=1).mean(), rel=0.06)
    worth = few["values"].sum() / y.mean(axis=0).sum()
    assert few["penalty"] == pytest.approx(5 * worth, rel=0.06)
    assert UncertainKnapsackProblem(**few).solve(y[:2]).shape == (2, 8)
    known = uncertain_knapsack_numbers(8, unknown="capacity")
    assert UncertainKnapsackProblem(**known).solve([50.0]).shape == (1, 8)
    assert_array_equal(known["weights"], np.rint(known["weights"]))


@pytest.mark.parametrize(("n_items", "n_sets"), [(5, 25), (10, 50), (4, 2)])
def test_every_item_is_in_two_sets_and_no_set_is_empty(n_items, n_sets):
    numbers = set_multicover_numbers(n_items, n_sets, penalty_ratio=3.0)
    incidence, cost = numbers["incidence"], numbers["set_cost"]
    assert incidence.shape == (n_items, n_sets)
    assert (incidence.sum(axis=1) >= 2).all()
    assert (incidence.sum(axis=0) >= 1).all()
    dearest = [cost[row > 0].max() for row in incidence]
    assert_allclose(numbers["penalty"], 3.0 * np.array(dearest))
    assert_array_equal(cost, np.rint(cost))
    assert SetMultiCoverProblem(**numbers).cost(np.zeros((1, n_sets)), np.zeros((1, n_items))) == 0
    assert set_multicover_numbers(n_items, n_sets, density=0.9)["incidence"].mean() > 0.8


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"unknown": "values"}, ValueError, "unknown must be one of 'weights', 'capacity'"),
        ({"n_items": 0}, ValueError, "n_items must be at least 1"),
        ({"degree": 2.5}, TypeError, "degree must be an integer"),
        ({"shift": "rain"}, ValueError, "Unknown shift 'rain'"),
        ({"shift": {"level": -1}}, ValueError, "level"),
        ({"degree": 40}, ValueError, "cannot be drawn"),
    ],
)
def test_bad_arguments(params, error, message):
    with pytest.raises(error, match=message):
        make_uncertain_knapsack(10, **params)


def test_bad_numbers():
    with pytest.raises(ValueError, match="penalty_ratio must be a number above 0"):
        uncertain_knapsack_numbers(5, penalty_ratio=0)
    with pytest.raises(ValueError, match=r"density must be in \[0, 1\]"):
        set_multicover_numbers(5, 25, density=2)
    with pytest.raises(ValueError, match="n_sets must be at least 2"):
        set_multicover_numbers(5, 1)
