"""Three families of scenario decisions: the law of y given x, and the problems they are for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.datasets import (
    flexible_capacity_numbers,
    loss_portfolio_numbers,
    make_capacity_newsvendor,
    make_flexible_capacity,
    make_loss_portfolio,
)
from dfl_sklearn.datasets._scenario_law import signal_and_spread
from dfl_sklearn.problems import RecourseLinearProgram

# The name of the rare event, its probability, and mean, factor and noise in the formulas.
FAMILIES = [
    (make_capacity_newsvendor, "regime", 0.05, 50.0, 1.0, 10.0, 6),
    (make_flexible_capacity, "surge", 0.05, 50.0, 1.0, 10.0, 4),
    (make_loss_portfolio, "crisis", 0.04, 1.5, 0.1, 2.0, 5),
]
EVENTS = {
    "regime": [[30, 0, 30, 0, 0, 30]],
    "surge": (40 * np.eye(4)).tolist(),
    "crisis": [[-10] * 5],
}
each_family = pytest.mark.parametrize(
    ("make", "event", "chance", "base", "factor", "noise", "width"), FAMILIES
)


@each_family
def test_the_mean_is_the_formula(make, event, chance, base, factor, noise, width):
    calm = {"noise": 0.0, event: 0.0}
    slopes = []
    for seed in (0, 1):
        X, y = make(50, 7, shift={**calm, "level": 0.25}, random_state=seed)
        assert X.shape == (50, 7)
        rest = (y - base - 0.25) / factor - 5 * np.tanh(X[:, :1] * X[:, 1:2])
        A, off, _, _ = np.linalg.lstsq(X, rest, rcond=None)
        assert_allclose(off, 0.0, atol=1e-12)
        assert_allclose(np.linalg.norm(A, axis=0), 8.0)
        slopes.append(A)
    assert_allclose(*slopes)
    # Rare events come on top, on no features.
    X, y = make(4000, shift=calm, random_state=0)
    added = make(4000, shift={"noise": 0.0}, random_state=0)[1] - y
    happens = added.any(axis=1)
    assert happens.mean() == pytest.approx(chance, abs=4 * np.sqrt(chance / 4000))
    kinds = np.unique(added[happens].round(9), axis=0)
    assert_allclose(kinds, np.unique(np.array(EVENTS[event]), axis=0))


@each_family
def test_the_noise_is_the_formula(make, event, chance, base, factor, noise, width):
    n = 40_000
    shift = {event: 0.0, "level": 1000.0}  # far from 0, where demand ends
    X, y = make(n, shift=shift, random_state=0)
    off = y - make(n, shift={**shift, "noise": 0.0}, random_state=0)[1]
    # By Stein's lemma the slope of clip(b.x) is b P(|b.x| < 1), and b.x has a deviation of 1/2.
    found = np.linalg.lstsq(np.column_stack([X, np.ones(n)]), np.log(np.abs(off)), rcond=None)[0][
        :-1
    ]
    B = found / 0.954500
    assert_allclose(np.linalg.norm(B, axis=0), 0.5, atol=0.03)
    standard = off / (noise * np.exp(np.clip(X @ B, -1, 1)))
    assert_allclose(np.cov(standard.T), 0.5 + 0.5 * np.eye(width), atol=0.03)
    assert_allclose(standard.mean(axis=0), 0.0, atol=0.02)


@each_family
def test_scenarios_have_the_law_of_y_given_x(make, event, chance, base, factor, noise, width):
    def draw(n_scenarios=20_000, **shift):
        return make(3, n_scenarios=n_scenarios, shift=shift, random_state=0)

    X, y, scenarios = draw()
    assert scenarios.shape == (3, 20_000, width)
    assert_array_equal(make(3, random_state=0)[0], X)
    assert_array_equal(make(3, random_state=0)[1], y)
    assert (scenarios != y[:, None]).all()
    # Without noise and events all draws are the mean; the events alone come as often as they do.
    mean = draw(noise=0.0, **{event: 0.0})[1]
    assert_array_equal(draw(2, noise=0.0, **{event: 0.0})[2], np.repeat(mean[:, None], 2, axis=1))
    added = draw(noise=0.0)[2] - mean[:, None]
    assert_allclose(added.any(axis=2).mean(axis=1), chance, atol=0.007)
    assert_allclose(added.mean(axis=(0, 1)), chance * np.mean(EVENTS[event], axis=0), atol=0.15)
    # The noise alone has the covariance of y, far from 0, where demand ends.
    off = draw(level=1000.0, **{event: 0.0})[2] - mean[:, None] - 1000.0
    _, spread = signal_and_spread(X, width)
    for row in range(3):
        standard = off[row] / (noise * spread[row])
        assert_allclose(np.cov(standard.T), 0.5 + 0.5 * np.eye(width), atol=0.03)


@each_family
def test_shifts_are_paired_and_act_as_they_say(make, event, chance, base, factor, noise, width):
    X, y, scenarios = make(400, n_scenarios=2, random_state=0)
    calm = make(400, n_scenarios=2, shift={"noise": 0.0}, random_state=0)
    loud = make(400, n_scenarios=2, shift="noise", random_state=0)
    assert_array_equal(loud[0], X)
    for nominal, silent, moved in zip((y, scenarios), calm[1:], loud[1:], strict=True):
        free = moved > 0 if event != "crisis" else np.ones(moved.shape, dtype=bool)
        assert_allclose((moved - silent)[free], 1.5 * (nominal - silent)[free], atol=1e-9)
    step = 0.5 if event == "crisis" else 5.0
    for name, sign in (("level_up", 1), ("level_down", -1)):
        X_moved, moved = make(400, shift=name, random_state=0)
        assert_array_equal(X_moved, X)
        expected = y + sign * step
        if event != "crisis":
            assert_allclose(moved[y > 0], np.maximum(expected, 0)[y > 0])
        else:
            assert_allclose(moved, expected)
    # Six times as often, and where it was before.
    more = make(4000, shift={event: 6 * chance, "noise": 0.0}, random_state=0)[1]
    assert_array_equal(
        make(4000, shift={event: 6 * chance}, random_state=0)[1],
        make(4000, shift=event, random_state=0)[1],
    )
    few = make(4000, shift={"noise": 0.0}, random_state=0)[1]
    none = make(4000, shift={"noise": 0.0, event: 0.0}, random_state=0)[1]
    often, rare = (more != none).any(axis=1), (few != none).any(axis=1)
    assert often[rare].all()
    assert often.mean() == pytest.approx(6 * chance, abs=0.03)


@each_family
def test_bad_arguments(make, event, chance, base, factor, noise, width):
    for params, error, message in (
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1"),
        ({"n_features": 1}, ValueError, "n_features must be at least 2"),
        ({"n_scenarios": 0}, ValueError, "n_scenarios must be at least 1"),
        ({"n_scenarios": 2.0}, TypeError, "n_scenarios must be an integer"),
        ({"shift": "rain"}, ValueError, "Unknown shift 'rain'"),
        ({"shift": {event: 2}}, ValueError, event),
        ({"n_scenarios": 10**12}, ValueError, "memory"),
    ):
        with pytest.raises(error, match=message):
            make(**params)


def test_demand_is_cut_at_zero():
    for make in (make_capacity_newsvendor, make_flexible_capacity):
        low, base = (
            make(500, shift={"level": level}, random_state=0)[1] for level in (-40.0, 1000.0)
        )
        assert_allclose(low, np.maximum(base - 1040, 0), atol=1e-9)
        assert (low == 0).any()


def test_the_cost_of_flexible_capacity():
    problem = RecourseLinearProgram(**flexible_capacity_numbers())
    rng = np.random.default_rng(0)
    plan, demand = rng.uniform(0, 80, (30, 5)), rng.uniform(0, 100, (30, 4))
    z, f = plan[:, :4], plan[:, 4]
    short = np.maximum(demand - z, 0).sum(axis=1)
    expected = z.sum(axis=1) + 1.3 * f + 4 * np.maximum(short - f, 0)
    assert_allclose(problem.cost(plan, demand), expected)
    assert_allclose(problem.solve(demand), np.column_stack([demand, np.zeros(30)]), atol=1e-9)


def test_the_cost_of_losses():
    problem = RecourseLinearProgram(**loss_portfolio_numbers())
    rng = np.random.default_rng(0)
    shares, y = rng.dirichlet(np.ones(6), 30)[:, :5], rng.normal(0, 3, (30, 5))
    r = (shares * y).sum(axis=1)
    assert (r < 0).any()
    assert_allclose(problem.cost(shares, y), -r + 2 * np.maximum(-r, 0), atol=1e-12)
    # Known returns: all on the best asset, or cash.
    best = np.where(y.max(axis=1, keepdims=True) > 0, y == y.max(axis=1, keepdims=True), 0.0)
    assert_allclose(problem.solve(y), best, atol=1e-9)


def test_portfolios_of_few_scenarios_by_trying_all():
    problem = RecourseLinearProgram(**loss_portfolio_numbers())
    scenarios = make_loss_portfolio(3, n_scenarios=6, shift={"level": -1.0}, random_state=0)[2]
    steps = np.array([s for s in np.ndindex(*(9,) * 5) if sum(s) <= 8]) / 8
    r = scenarios @ steps.T
    tried = (-r + 2 * np.maximum(-r, 0)).mean(axis=1)
    z = problem.solve(scenarios)
    mine = np.mean([problem.cost(z, scenarios[:, s]) for s in range(6)], axis=0)
    assert (mine <= tried.min(axis=1) + 1e-9).all()
    assert (mine >= tried.min(axis=1) - 0.1 * np.abs(scenarios).max()).all()
