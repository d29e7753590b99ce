"""The policy-gradient search against the Gaussian, where everything is known."""

import numpy as np
import pytest

from dfl_sklearn.robust import DiffusionGenerator, PolicyGradientSearch, TiltedSearch
from dfl_sklearn.rows import Rows

SLOPE = np.array([1.0, -1.0, 2.0])


def linear_loss(rows):
    return (rows.X if isinstance(rows, Rows) else rows) @ SLOPE


@pytest.fixture(scope="module")
def nominal():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(1000, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1.0]])
    return DiffusionGenerator(random_state=0, max_iter=20, hidden_layer_sizes=(32,)).fit(Z), Z


def started(search, nominal):
    generator, Z = nominal
    search.set_nominal(generator, Rows.of_table(Z, np.full(len(Z), 1 / len(Z))), 0)
    return search


def test_moves_towards_the_worst_mean_and_stays_within_the_radius(nominal):
    radius = 0.2
    pg = started(PolicyGradientSearch(), nominal)
    divergences = [pg.search(linear_loss, radius)[1] for _ in range(3)]
    assert max(divergences) <= 1.1 * radius
    fresh = pg.sample(4000, np.random.default_rng(0))
    reference = linear_loss(pg.nominal())
    shift = (linear_loss(fresh).mean() - reference.mean()) / reference.std()
    # No distribution within the radius moves the mean further than sqrt(2 radius), and the path
    # divergence is at least that of the rows: the search must get a good part of the way.
    assert 0.5 * np.sqrt(2 * radius) < shift < 1.1 * np.sqrt(2 * radius)
    # The divergence of the rows is below that of the paths and above what the shift needs.
    assert 0.5 * shift**2 - 0.05 < pg.row_divergence() < divergences[-1] + 0.05


def test_the_dual_variable_is_never_negative(nominal):
    pg = started(PolicyGradientSearch(dual_step=50.0, n_warm_up=2, n_trajectories=64), nominal)
    for _ in range(5):
        pg.search(linear_loss, 0.1)
        assert pg.dual_ >= 0


def test_score_matching_divergence_is_held_too(nominal):
    pg = started(PolicyGradientSearch("score_matching", n_trajectories=256), nominal)
    result, divergence = pg.search(linear_loss, 0.05)
    assert divergence <= 1.1 * 0.05
    assert linear_loss(result).mean() > 0.1


def test_the_generator_is_left_as_it_was(nominal):
    generator, _ = nominal
    before = generator.sample(20, random_state=0)
    started(PolicyGradientSearch(n_warm_up=1), nominal).search(linear_loss, 0.5)
    np.testing.assert_array_equal(generator.sample(20, random_state=0), before)


def test_same_seed_same_search(nominal):
    tables = [
        started(PolicyGradientSearch(n_warm_up=1, n_trajectories=64), nominal)
        .search(linear_loss, 0.1)[0]
        .X
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*tables)


def test_unknown_divergence(nominal):
    with pytest.raises(ValueError, match='"kl" or "score_matching"'):
        started(PolicyGradientSearch("wasserstein"), nominal)


def test_tilted_mean_is_the_closed_form(nominal):
    generator, _ = nominal
    tilted = started(TiltedSearch(20_000, real_share=0), nominal)
    reference = linear_loss(generator.sample(20_000, random_state=1))
    for radius in (0.05, 0.2, 0.5):
        result, divergence = tilted.search(linear_loss, radius)
        shift = (result.weight @ linear_loss(result) - reference.mean()) / reference.std()
        assert shift == pytest.approx(np.sqrt(2 * radius), abs=0.05)
        assert divergence == pytest.approx(radius, rel=0.05)
        resampled = tilted.sample(20_000, np.random.default_rng(0))
        drawn = (linear_loss(resampled).mean() - reference.mean()) / reference.std()
        assert drawn == pytest.approx(shift, abs=0.05)


def test_a_radius_too_large_for_the_pool_warns_with_the_number(nominal):
    tilted = started(TiltedSearch(200, real_share=0), nominal)
    with pytest.warns(match=r"effective sample size of only \d+\.\d of 200 rows"):
        tilted.search(linear_loss, 4.0)


def test_row_divergence_of_a_tilt_is_that_of_its_weights(nominal):
    tilted = started(TiltedSearch(500), nominal)
    _, divergence = tilted.search(linear_loss, 0.1)
    assert tilted.row_divergence() == divergence
    assert tilted.nominal().X is tilted.pool_


def test_the_pool_holds_the_real_rows_with_their_share_and_weights(nominal):
    generator, Z = nominal
    weight = np.random.default_rng(0).uniform(size=len(Z))
    search = TiltedSearch(1500, real_share=0.3)
    search.set_nominal(generator, Rows.of_table(Z, weight / weight.sum()), 0)
    nominal_rows = search.nominal()
    pool, share = nominal_rows.X, nominal_rows.weight
    np.testing.assert_array_equal(pool[1500:], Z)
    np.testing.assert_allclose(share[1500:], 0.3 * weight / weight.sum())
    np.testing.assert_allclose(share[:1500], 0.7 / 1500)
    assert search.search(linear_loss, 0.0)[0].weight @ linear_loss(pool) == pytest.approx(
        share @ linear_loss(pool)
    )


def test_of_many_real_rows_the_pool_holds_a_weighted_draw(nominal):
    generator, Z = nominal
    weight = np.where(Z[:, 0] > 0, 3.0, 1.0)
    search = TiltedSearch(400, real_share=0.5)
    search.set_nominal(generator, Rows.of_table(Z, weight / weight.sum()), 0)
    nominal_rows = search.nominal()
    pool, share = nominal_rows.X, nominal_rows.weight
    assert len(pool) == 800
    np.testing.assert_allclose(share, 1 / 800)
    drawn = {tuple(row) for row in pool[400:]}
    assert drawn <= {tuple(row) for row in Z}
    expected = weight[Z[:, 0] > 0].sum() / weight.sum()
    assert (pool[400:, 0] > 0).mean() == pytest.approx(expected, abs=0.07)


def test_held_out_regret_is_that_of_another_pool(nominal):
    generator, Z = nominal
    halves = [Rows.of_table(half, np.full(500, 1 / 500)) for half in (Z[:500], Z[500:])]
    search = TiltedSearch(5000)
    search.set_nominal(generator, halves[0], 0, halves[1])
    found, _ = search.search(linear_loss, 0.1)
    held_out = search.held_out_regret(linear_loss, 0.1)
    inside = found.weight @ linear_loss(found)
    assert held_out != inside
    spread = linear_loss(Z).std()
    assert held_out == pytest.approx(np.sqrt(0.2) * spread, abs=0.15 * spread)
    search.set_nominal(generator, halves[0], 0)
    assert search.held_out_regret(linear_loss, 0.1) == pytest.approx(inside)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_real_share_out_of_range(nominal, share):
    with pytest.raises(ValueError, match=r"real_share must be in \[0, 1\)"):
        started(TiltedSearch(50, real_share=share), nominal)
