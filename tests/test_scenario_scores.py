"""CRPS and energy score of weighted scenarios, against double sums, integrals and a normal law."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from dfl_sklearn.metrics import (
    _scenarios,
    crps,
    d2_regret_score,
    decision_cost,
    energy_score,
    infeasible_share,
    normalized_regret,
    regret,
)
from dfl_sklearn.problems import MultiProductNewsvendorProblem, ShortestPathProblem
from dfl_sklearn.scenarios import Scenarios


def drawn(n=5, S=8, d=3, seed=0):
    rng = np.random.default_rng(seed)
    scenarios = rng.standard_normal((n, S, d)).round(1)  # with ties
    return rng.standard_normal((n, d)), scenarios, rng.uniform(size=(n, S)), rng.uniform(size=n)


def by_double_sum(y, scenarios, share, power_of):
    """Return ``E d(Y, y) - E d(Y, Y') / 2`` for each row, term by term."""
    scores = []
    for one, rows, weight in zip(y, scenarios, share / share.sum(1, keepdims=True), strict=True):
        near = sum(w * power_of(row - one) for w, row in zip(weight, rows, strict=True))
        among = sum(
            v * w * power_of(row - other)
            for v, row in zip(weight, rows, strict=True)
            for w, other in zip(weight, rows, strict=True)
        )
        scores.append(near - among / 2)
    return np.array(scores)


def test_against_double_sums():
    y, scenarios, share, weight = drawn()
    arguments = {"scenario_weight": share, "sample_weight": weight}
    expected = by_double_sum(y, scenarios, share, lambda each: np.abs(each).mean())
    found = crps(y, scenarios, **arguments)
    assert found == pytest.approx(np.average(expected, weights=weight), rel=1e-12)
    expected = by_double_sum(y, scenarios, share, np.linalg.norm)
    found = energy_score(y, scenarios, **arguments)
    assert found == pytest.approx(np.average(expected, weights=weight), rel=1e-12)


def test_crps_is_the_integral_of_the_squared_distance_of_distribution_functions():
    y, scenarios, share, _ = drawn(n=1, d=1)
    grid = np.linspace(-6, 6, 120_001)
    distribution = (share[0] / share.sum()) @ (scenarios[0] <= grid)
    expected = ((distribution - (grid >= y[0])) ** 2).mean() * 12
    assert crps(y, scenarios, scenario_weight=share) == pytest.approx(expected, abs=1e-3)


def test_many_scenarios_of_a_normal_law():
    """In closed form, Gneiting and Raftery (2007), equation 21."""
    y = np.array([-1.0, 0.3, 2.5])
    quantiles = norm.ppf((np.arange(4000) + 0.5) / 4000)
    expected = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    for metric in (crps, energy_score):
        found = metric(y, np.broadcast_to(quantiles, (3, 4000)))
        assert found == pytest.approx(expected.mean(), abs=1e-3)


@pytest.mark.parametrize("metric", [crps, energy_score])
def test_what_both_have_in_common(metric, monkeypatch):
    y, scenarios, _, _ = drawn()
    expected = metric(y, scenarios)
    # Of one scenario it is the distance.
    distance = {"crps": np.abs(y - 1).mean(), "energy_score": np.linalg.norm(y - 1, axis=1).mean()}
    assert metric(y, np.ones((5, 1, 3))) == pytest.approx(distance[metric.__name__])
    # A scenario of weight 2 is that scenario twice, one of weight 0 none; rows likewise.
    share = [2, 1, 0, 1, 1, 3, 0, 1]
    found = metric(y, scenarios, scenario_weight=share)
    assert found == pytest.approx(metric(y, np.repeat(scenarios, share, axis=1)), rel=1e-12)
    rows = [0, 0, 2, 3, 3, 3]
    found = metric(y, scenarios, sample_weight=[2, 0, 1, 3, 0])
    assert found == pytest.approx(metric(y[rows], scenarios[rows]), rel=1e-12)
    # One column: the same number, and y may be 1-d.
    assert crps(y[:, 0], scenarios[:, :, 0]) == pytest.approx(
        energy_score(y[:, 0], scenarios[:, :, :1]), rel=1e-12
    )
    monkeypatch.setattr(_scenarios, "_CHUNK", 17)
    assert metric(y, scenarios) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("metric", [crps, energy_score])
def test_the_law_itself_scores_best(metric):
    rng = np.random.default_rng(0)
    y, law = rng.standard_normal((4000, 1)), norm.ppf((np.arange(50) + 0.5) / 50)
    scores = [
        metric(y, np.broadcast_to((law * scale + shift)[:, None], (4000, 50, 1)))
        for scale, shift in [(1, 0), (0.6, 0), (1.6, 0), (1, 0.5), (0, 0)]
    ]
    assert int(np.argmin(scores)) == 0
    assert_allclose(scores[0], 1 / np.sqrt(np.pi), atol=0.02)


@pytest.mark.parametrize("metric", [crps, energy_score])
def test_what_makes_no_sense_is_named(metric):
    y, scenarios, share, _ = drawn()
    for y_pred in (scenarios[:, :, :2], scenarios[:4], y):
        with pytest.raises(ValueError, match="y_pred must hold scenarios for each row"):
            metric(y, y_pred)
    with pytest.raises(ValueError, match="y_true is not finite at row 0"):
        metric(np.full_like(y, np.nan), scenarios)
    with pytest.raises(ValueError, match="y_pred is not finite at row 0, scenario 0"):
        metric(y, np.full_like(scenarios, np.inf))
    with pytest.raises(ValueError, match="scenario_weight must be non-negative"):
        metric(y, scenarios, scenario_weight=-share)
    with pytest.raises(ValueError, match="scenario_weight must have shape"):
        metric(y, scenarios, scenario_weight=share[:, :3])
    with pytest.raises(ValueError, match="y_true has no rows"):
        metric(y[:0], scenarios[:0])


@pytest.mark.parametrize(
    "metric",
    [crps, energy_score, decision_cost, regret, normalized_regret, d2_regret_score,
     infeasible_share],
)  # fmt: skip
def test_scenarios_are_their_values_and_weights(metric):
    y, values, share, weight = drawn(d=2)
    y, values = np.abs(y), np.abs(values)
    share[0, 2:] = 0  # a row with fewer scenarios
    share /= share.sum(axis=1, keepdims=True)
    others = {"sample_weight": weight}
    if metric not in (crps, energy_score):
        others["problem"] = ShortestPathProblem([(0, 1), (0, 1)], source=0, target=1)
        if metric is not normalized_regret:
            others["problem"] = MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=1.5)
    by_hand = metric(y, values, scenario_weight=share, **others)
    assert metric(y, Scenarios(values, share), **others) == by_hand
    if metric is not infeasible_share:  # which is 0
        assert metric(y, values, **others) != by_hand
    with pytest.raises(ValueError, match="leave scenario_weight= out"):
        metric(y, Scenarios(values, share), scenario_weight=share, **others)


def test_problems_take_scenarios_too():
    _, values, share, _ = drawn(d=2)
    for problem in (
        MultiProductNewsvendorProblem([9.0, 4.0], 1, capacity=1.5),
        ShortestPathProblem([(0, 1), (0, 1)], source=0, target=1),
    ):
        expected = problem.solve(np.abs(values), scenario_weight=share)
        share /= share.sum(axis=1, keepdims=True)
        assert_allclose(problem.solve(Scenarios(np.abs(values), share)), expected)


def test_distances_that_no_float_holds_are_said():
    far = 1.5e308 * np.array([[[1.0], [-1.0]]])
    with pytest.raises(ValueError, match="Divide both by a number of about their size"):
        crps([0.0], far)
    with pytest.raises(ValueError, match="Divide both by a number of about their size"):
        crps([1.5e308], -far)
    assert np.isfinite(crps([0.0], far / 1e200))
    with pytest.raises(ValueError, match="Divide both by a number of about their size"):
        energy_score([[1.5e308, 1.5e308]], [[[-1.5e308, -1.5e308]]])
    assert energy_score([1.5e308], far) == pytest.approx(0.75e308)


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_the_energy_score_has_the_unit_of_the_numbers(unit):
    scenarios = unit * np.array([[[3.0, 4.0], [0.0, 0.0]]])
    assert energy_score([[0.0, 0.0]], scenarios) == pytest.approx(1.25 * unit, rel=1e-12)
