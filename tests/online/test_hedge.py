"""Weights of experts: bounds on adversarial losses, formulas, delays, and changing experts."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.online import AdaHedge, TrackingHedge, least_switching_cost, play


def sequences(n_sequences):
    """Yield losses (T, N): random ones of several scales, and such as hurt the heaviest expert."""
    rng = np.random.default_rng(0)
    for k in range(n_sequences):
        n_experts, n_rows = int(rng.integers(2, 9)), int(rng.integers(20, 300))
        if k % 4 == 0:
            yield rng.uniform(size=(n_rows, n_experts))
        elif k % 4 == 1:
            yield rng.integers(0, 2, (n_rows, n_experts)).astype(float)
        elif k % 4 == 2:
            yield 10 ** rng.uniform(-6, 6) * rng.normal(size=(n_rows, n_experts)) - 1e3
        else:
            hedge, losses = AdaHedge(n_experts), np.zeros((n_rows, n_experts))
            for loss in losses:
                loss[hedge.weight.argmax()] = 1.0
                hedge.update(loss)
            yield losses


def excess(weights, losses):
    return (weights * losses).sum() - losses.sum(axis=0).min()


def test_adahedge_keeps_its_bound_on_random_and_adversarial_losses():
    for losses in sequences(200):
        hedge = AdaHedge(losses.shape[1])
        assert excess(play(hedge, losses), losses) <= hedge.bound() * (1 + 1e-9)


def test_tracking_keeps_the_sum_of_both_bounds():
    for losses in sequences(60):
        hedge = TrackingHedge(losses.shape[1])
        bound = hedge.over_copies.bound, hedge.plain.bound
        assert excess(play(hedge, losses), losses) <= sum(each() for each in bound) * (1 + 1e-9)


def test_adahedge_is_its_formula():
    losses = np.random.default_rng(1).uniform(size=(50, 3))
    weights, gap = play(AdaHedge(3), losses), 0.0
    for t, loss in enumerate(losses):
        total = losses[:t].sum(axis=0)
        if gap > 0:
            rate = np.log(3) / gap
            expected = np.exp(-rate * (total - total.min()))
            expected /= expected.sum()
            mixed = -np.log(expected @ np.exp(-rate * loss)) / rate
        else:
            expected = np.full(3, 1 / 3)
            mixed = (total + loss).min() - total.min()
        assert_allclose(weights[t], expected, atol=1e-12)
        gap += expected @ loss - mixed


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_neither_the_unit_nor_the_level_of_losses_matters(kind):
    losses = np.random.default_rng(2).integers(0, 8, (80, 4)).astype(float)
    plain = play(kind(4), losses)
    level = np.arange(80.0)[:, None]
    assert_allclose(play(kind(4), 1024 * losses + 512 * level), plain, atol=1e-9)


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_equal_losses_leave_equal_weights(kind):
    hedge = kind(3)
    play(hedge, np.full((20, 3), 7.0))
    assert_allclose(hedge.weight, 1 / 3, atol=1e-15)
    one = kind(1)
    play(one, np.random.default_rng(0).uniform(size=(5, 1)))
    assert_array_equal(one.weight, [1.0])


def test_with_one_best_expert_tracking_pays_little():
    losses = np.random.default_rng(3).exponential(size=(50_000, 3))
    losses[:, 2] *= 0.9
    weights = play(TrackingHedge(3), losses)
    assert (weights * losses).sum() < 1.01 * losses[:, 2].sum()


def test_tracking_follows_the_best_expert_where_adahedge_does_not():
    losses = np.random.default_rng(4).uniform(size=(4000, 4))
    for k in range(4):
        losses[1000 * k : 1000 * k + 1000, k] -= 0.4
    best = least_switching_cost(losses, 3)
    tracked, plain = ((play(kind(4), losses) * losses).sum() for kind in (TrackingHedge, AdaHedge))
    assert tracked - best[3] < 0.12 * (best[0] - best[3])
    assert plain - best[3] > 0.9 * (best[0] - best[3])


def test_a_delayed_play_is_within_the_bound_of_copies_that_take_turns():
    for losses in sequences(40):
        for delay in (2, 5):
            copies = [AdaHedge(losses.shape[1]) for _ in range(delay)]
            turns = [
                excess(play(copy, losses[k::delay]), losses[k::delay])
                for k, copy in enumerate(copies)
            ]
            bound = sum(copy.bound() for copy in copies)
            assert sum(turns) <= bound * (1 + 1e-9)
            late = play(AdaHedge(losses.shape[1]), losses, delay)
            assert excess(late, losses) <= bound * (1 + 1e-9)
            assert_array_equal(late[:delay], np.full((delay, losses.shape[1]), late[0, 0]))


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_a_delay_shifts_what_is_known(kind):
    losses = np.random.default_rng(5).uniform(size=(30, 3))
    prompt, late = kind(3), kind(3)
    weights = play(prompt, losses)
    assert_array_equal(play(late, losses, delay=4)[3:], weights[:-3])
    assert_array_equal(late.weight, prompt.weight)


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_a_stream_may_be_cut_anywhere(kind):
    losses = np.random.default_rng(6).normal(size=(40, 3))
    whole, parts = kind(3), kind(3)
    weights = play(whole, losses)
    found = [play(parts, each) for each in np.split(losses, [1, 7, 8, 30])]
    assert_array_equal(np.concatenate(found), weights)
    assert_array_equal(parts.weight, whole.weight)


def test_the_best_sequence_is_that_of_all_sequences():
    losses = np.random.default_rng(7).normal(size=(6, 3))
    found = least_switching_cost(losses, 4)
    for k in range(5):
        every = (
            sum(losses[t, i] for t, i in enumerate(path))
            for path in product(range(3), repeat=6)
            if np.count_nonzero(np.diff(path)) <= k
        )
        assert found[k] == pytest.approx(min(every))


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_an_expert_of_no_weight_comes_back_within_the_bound(kind):
    # After 2000 rows the weight of the second expert is 0 in floats. Rows that hurt who leads
    # follow, larger ones than before.
    hedge = kind(2)
    play(hedge, np.tile([0.0, 1.0], (2000, 1)))
    losses = []
    for _ in range(300):
        losses.append(1e5 * (hedge.weight == hedge.weight.max()))
        hedge.update(losses[-1])
    losses = np.array([[0.0, 1.0]] * 2000 + losses)
    hedge = kind(2)
    parts = (hedge,) if kind is AdaHedge else (hedge.plain, hedge.over_copies)
    assert excess(play(hedge, losses), losses) <= sum(each.bound() for each in parts)


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_weights_and_bounds_have_no_unit(kind, unit):
    losses = np.random.default_rng(0).uniform(size=(60, 3))
    plain, scaled = kind(3), kind(3)
    assert_allclose(play(scaled, unit * losses), play(plain, losses), rtol=1e-9)
    of = (lambda hedge: hedge) if kind is AdaHedge else (lambda hedge: hedge.over_copies)
    assert of(scaled).bound() == pytest.approx(unit * of(plain).bound(), rel=1e-12)


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_losses_near_the_least_float_lead_to_weights(kind):
    weights = play(kind(2), np.array([[0.0, 5e-324]] * 9 + [[1.0, 0.0]] * 9))
    assert_allclose(weights.sum(axis=1), 1.0)
    assert weights[5, 0] > 0.6
    assert weights[-1, 1] > 0.6


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
@pytest.mark.parametrize("loss", [[0.0, np.nan], [0.0, np.inf], [1.0], [[0.0, 1.0]]])
def test_losses_that_are_no_numbers_are_refused(kind, loss):
    hedge = kind(2)
    with pytest.raises(ValueError, match="must be 2 finite numbers, one per expert"):
        hedge.update(np.array(loss))
    assert_array_equal(hedge.weight, [0.5, 0.5])


def test_parameters_out_of_range_are_named():
    with pytest.raises(ValueError, match="n_experts must be a whole number of at least 1, got 0"):
        AdaHedge(0)
    with pytest.raises(ValueError, match=r"shares must be in \[0, 1\), got 1.0"):
        TrackingHedge(2, shares=[0.0, 1.0])
    with pytest.raises(ValueError, match="rates must be a number above 0, got 0"):
        TrackingHedge(2, rates=[0])


def test_a_table_that_is_none_is_refused_before_anything_is_learnt():
    hedge = AdaHedge(2)
    table = [[0.0, 1.0], [1.0, np.nan]]
    with pytest.raises(ValueError, match="losses is not finite at row 1, column 1"):
        play(hedge, table)
    for delay in (0, -1, 2.5):
        with pytest.raises(ValueError, match="delay must be a whole number of at least 1"):
            play(hedge, table[:1], delay)
    with pytest.raises(ValueError, match=r"losses must have shape \(n_rows, 2\), .* got \(1, 3\)"):
        play(hedge, [[0.0, 1.0, 2.0]])
    assert_array_equal(hedge.weight, [0.5, 0.5])
    assert_array_equal(play(hedge, table[:1]), [[0.5, 0.5]])
    assert least_switching_cost([[0, 1], [1, 0]], 1).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="max_switches must be a whole number of at least 0"):
        least_switching_cost(np.zeros((2, 2)), -1)
    with pytest.raises(ValueError, match="losses is not finite at row 1"):
        least_switching_cost(table, 1)
    with pytest.raises(ValueError, match=r"losses must have shape \(n_rows, n_experts\)"):
        least_switching_cost(np.zeros(3), 1)


@pytest.mark.parametrize("kind", [AdaHedge, TrackingHedge])
def test_losses_too_far_apart_are_refused_by_row(kind):
    with pytest.raises(ValueError, match=r"losses in row 1 differ by more than 1e\+300"):
        play(kind(2), [[0.0, 1.0], [1e308, -1e308]])
    with pytest.raises(ValueError, match=r"losses of a row differ by more than 1e\+300"):
        kind(2).update([1e308, -1e308])
    half = play(kind(2), [[4e299, -4e299]] * 20)
    assert np.isfinite(half).all()
