"""The diffusion model against densities and distributions that are known."""

from copy import copy
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, multivariate_normal, norm
from sklearn.base import clone

from dfl_sklearn.robust import ConvDenoiser, DiffusionGenerator
from dfl_sklearn.robust._reverse import ReverseChain, VelocityNet
from dfl_sklearn.robust._schedule import NoiseSchedule

COVARIANCE = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 2.0]])
MEAN = np.array([1.0, 2.0, 3.0])


@pytest.fixture(scope="module")
def gaussian():
    rng = np.random.default_rng(0)
    Z = rng.multivariate_normal(MEAN, COVARIANCE, size=2000)
    return DiffusionGenerator(random_state=0, max_iter=5).fit(Z), Z


def mixed_table(n, seed):
    """Return two bumps, a lognormal, counts, a coin, a constant and a copy."""
    rng = np.random.default_rng(seed)
    high = rng.random(n) < 0.2
    bumps = np.where(high, 4.0, -1.0) + 0.5 * rng.normal(size=n)
    skew = np.exp(rng.normal(size=n) + 0.5 * high)
    coin = (rng.random(n) < 0.3) * 1.0
    return np.c_[bumps, skew, rng.poisson(3, n), coin, np.full(n, 7.0), 2 * bumps + 1]


@pytest.fixture(scope="module")
def mixed():
    return DiffusionGenerator(random_state=0, max_iter=40).fit(mixed_table(1500, 0))


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("n_steps", [10, 100, 500])
def test_schedules_end_in_noise_and_reverse_a_standard_normal_exactly(kind, n_steps):
    schedule = NoiseSchedule.make(kind, n_steps)
    assert (np.diff(schedule.abar) < 0).all()
    assert schedule.abar[-1] < 2e-3
    # Until the denoiser is measured, it is that of a standard normal, whose best reverse
    # variance is beta.
    np.testing.assert_allclose(schedule.reverse_variance[1:], schedule.beta[1:], rtol=1e-9)
    assert (schedule.posterior_variance <= schedule.reverse_variance + 1e-15).all()


def test_gaussian_bound_is_nearly_the_log_density(gaussian):
    model, _ = gaussian
    Z = np.random.default_rng(1).multivariate_normal(MEAN, COVARIANCE, size=200)
    exact = multivariate_normal(MEAN, COVARIANCE).logpdf(Z)
    bound = model.score_samples(Z)
    assert abs(bound.mean() - exact.mean()) < 0.03
    assert np.corrcoef(bound, exact)[0, 1] > 0.99
    np.testing.assert_array_equal(bound[:5], model.score_samples(Z[:5]))
    assert model.score(Z) == pytest.approx(bound.mean())


def test_gaussian_samples_have_the_rows_moments(gaussian):
    model, Z = gaussian
    sample = model.sample(8000, random_state=0)
    scale = np.sqrt(np.diag(COVARIANCE))
    assert np.abs((sample.mean(axis=0) - Z.mean(axis=0)) / scale).max() < 0.05
    assert np.abs(np.cov(sample.T) - np.cov(Z.T)).max() < 0.12


def test_gaussian_denoising_loss_is_the_closed_form(gaussian):
    model, _ = gaussian
    Z = np.random.default_rng(2).multivariate_normal(MEAN, COVARIANCE, size=500)
    # The best denoiser of a standard normal leaves an error of abar per coordinate.
    expected = 3 * NoiseSchedule.make("cosine", 100).abar.mean()
    assert model.denoising_loss(Z) == pytest.approx(expected, rel=0.03)


def test_mixed_columns_keep_their_laws(mixed):
    sample, fresh = mixed.sample(4000, random_state=0), mixed_table(4000, 1)
    for column in (0, 1, 2):
        assert ks_2samp(sample[:, column], fresh[:, column]).statistic < 0.12
    assert abs((sample[:, 0] > 2).mean() - 0.2) < 0.04
    assert set(np.unique(sample[:, 3])) <= {0.0, 1.0}
    assert (sample[:, 2] == np.round(sample[:, 2])).all()
    np.testing.assert_array_equal(sample[:, 4], 7.0)
    np.testing.assert_allclose(sample[:, 5], 2 * sample[:, 0] + 1, atol=1e-9)


def test_rows_as_many_as_columns_give_a_shrunk_gaussian():
    Z = np.random.default_rng(0).normal(size=(40, 50))
    model = DiffusionGenerator(random_state=0, max_iter=2).fit(Z)
    sample = model.sample(300, random_state=0)
    assert model.shrinkage_ > 0.9
    assert 0.8 < sample.std(axis=0).mean() < 1.2
    # Not the training rows over again: the nearest one is as far as rows are from each other.
    nearest = np.sqrt(((sample[:200, None] - Z[None]) ** 2).sum(axis=2)).min(axis=1)
    assert np.median(nearest) > 5.0


@cache
def of_few_steps(schedule):
    """Return a model, for any sampler, and what it was fitted to."""
    Z = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, size=500)
    return DiffusionGenerator(random_state=0, max_iter=5, schedule=schedule).fit(Z), Z


@pytest.mark.parametrize(
    ("params", "within"),
    [
        # The noisy chain and the flow of a Gaussian are exact however few their steps; DDIM is not.
        ({"sampling_steps": 2}, 0.1),
        ({}, 0.1),
        ({"schedule": "linear"}, 0.1),
        ({"sampling_steps": 10, "sampler": "ddpm"}, 0.2),
        ({"sampling_steps": 40, "sampler": "ddim"}, 0.2),
    ],
)
def test_every_sampler_draws_the_same_gaussian(params, within):
    fitted, Z = of_few_steps(params.get("schedule", "cosine"))
    sample = copy(fitted).set_params(**params).sample(10_000, random_state=1)
    assert np.abs(np.cov(sample.T) - np.cov(Z.T)).max() < within
    standard = (sample - sample.mean(axis=0)) / sample.std(axis=0)
    tails = np.quantile(standard, [0.001, 0.01, 0.99, 0.999], axis=0)
    np.testing.assert_allclose(
        tails.T, np.tile(norm.ppf([0.001, 0.01, 0.99, 0.999]), (3, 1)), atol=0.3
    )


def of_two_bumps(z, known, angle):
    """Return the best velocity for rows that are -1 or 1, plus noise of variance 0.1."""
    mean, variance = np.sqrt(0.9) * np.cos(angle), np.sin(angle) ** 2 + 0.1 * np.cos(angle) ** 2
    bump = np.sqrt(0.9) * torch.tanh(mean * z / variance)
    row = bump + 0.1 * np.cos(angle) / variance * (z - np.cos(angle) * bump)
    return (np.cos(angle) * z - row) / np.sin(angle)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_flow_is_of_second_order(kind):
    """With the best velocity known, the rows are those of very many steps, and have two bumps."""
    found = {}
    for n_steps in (7, 15, 1000):
        schedule = NoiseSchedule.make(kind, 1000).respaced(n_steps)
        chain = ReverseChain(VelocityNet(torch.nn.Identity()), schedule)
        chain.velocity = lambda z, k, known, angle=schedule.angle: of_two_bumps(z, known, angle[k])
        z = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        found[n_steps] = chain.flow(z).numpy()[:, 0]
    fine = np.abs(found[15] - found[1000])
    assert fine.mean() < (0.015 if kind == "cosine" else 0.05)
    assert np.abs(found[7] - found[1000]).mean() > 3 * fine.mean()  # first order: twice
    bump = np.abs(found[15])  # almost all of it at sqrt(0.9)
    assert bump.mean() == pytest.approx(np.sqrt(0.9), abs=0.03)
    assert (found[15] ** 2).mean() == pytest.approx(1.0, abs=0.03)


def test_heavy_tails_survive_few_noisy_steps():
    rng = np.random.default_rng(0)
    Z = rng.standard_t(3, size=(600, 3))
    model = DiffusionGenerator(random_state=0, max_iter=3, sampler="ddpm").fit(Z)
    # Hardly anything is left of the signal at the last level, where the noise is predicted exactly.
    np.testing.assert_allclose(model._noise.power[-3:], 1.0, atol=2e-3)
    spread = [
        np.ptp(np.quantile(each.sample(4000, random_state=0), [0.25, 0.75], axis=0), axis=0)
        for each in (model, clone(model).set_params(sampling_steps=10).fit(Z))
    ]
    np.testing.assert_allclose(*spread, rtol=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_of_a_gaussian_nothing_is_learnt(seed):
    """What held-out rows gain by chance does not count."""
    Z = np.random.default_rng(seed).standard_normal((300, 3))
    model = DiffusionGenerator(random_state=seed, hidden_layer_sizes=(32,)).fit(Z)
    before = 1.0  # mean square velocity of a standard normal
    assert model.history_["valid_loss"].min() > before - 0.05
    last = model.denoiser_.layers[-1].weight
    assert not last.any()


def test_few_rows_are_a_gaussian_without_a_net():
    Z = np.random.default_rng(0).normal(size=(20, 2)) * [1.0, 5.0]
    model = DiffusionGenerator(hidden_layer_sizes=(8,), random_state=0).fit(Z)
    assert len(model.history_) == 0
    np.testing.assert_allclose(
        model.sample(8000, random_state=0).std(axis=0), Z.std(axis=0), rtol=0.05
    )


def test_weights_are_exact_and_order_does_not_matter(short_epochs):
    rng = np.random.default_rng(0)
    Z, weight = rng.normal(size=(60, 2)), rng.integers(0, 3, size=60)
    params = {"random_state": 0, "max_iter": 5, "hidden_layer_sizes": (8,), "n_steps": 10}
    weighted = DiffusionGenerator(**params).fit(Z, sample_weight=weight)
    repeated = DiffusionGenerator(**params).fit(np.repeat(Z, weight, axis=0)[::-1])
    np.testing.assert_array_equal(
        weighted.sample(50, random_state=3), repeated.sample(50, random_state=3)
    )


def test_convolutional_denoiser_learns_a_window():
    rng = np.random.default_rng(0)
    windows = np.where(rng.random((400, 8)) < 0.5, -1.0, 1.0) + 0.2 * rng.normal(size=(400, 8))
    model = DiffusionGenerator(
        denoiser=ConvDenoiser(n_channels=16, n_layers=2), n_steps=25, random_state=0, max_iter=14
    ).fit(windows)
    sample = model.sample(1000, random_state=0)
    # Each step is near -1 or 1; a Gaussian with the same variance is near 0 a quarter of the time.
    assert (np.abs(sample) < 0.33).mean() < 0.12


def test_bad_input():
    with pytest.raises(ValueError, match="NaN"):
        DiffusionGenerator().fit([[1.0, np.nan]] * 5)
    with pytest.raises(ValueError, match="n_samples must be a whole number of at least 1"):
        DiffusionGenerator(max_iter=1).fit(np.eye(3)).sample(0)
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        DiffusionGenerator(denoiser=ConvDenoiser(kernel_size=2)).fit(np.eye(3))
