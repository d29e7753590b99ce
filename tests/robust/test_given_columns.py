"""One diffusion model of whole rows and of the rest of a row given some of its columns."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_2samp, multivariate_normal, norm

from dfl_sklearn.robust import ConvDenoiser, DiffusionGenerator, MLPDenoiser
from dfl_sklearn.robust._quasi_random import quasi_normal

QUICK = {"hidden_layer_sizes": (8,), "n_steps": 10, "max_iter": 3, "random_state": 0}
UNTRAINED = {**QUICK, "max_iter": 1, "learning_rate_init": 1e-12}
SLOPE = np.array([[1.0, 0.5], [-0.3, 1.0]])
X_COVARIANCE = np.array([[1.0, 0.7], [0.7, 1.49]])
Y_COVARIANCE = np.array([[1.0, 0.5], [0.5, 1.25]])
JOINT = np.block(
    [
        [X_COVARIANCE, X_COVARIANCE @ SLOPE],
        [SLOPE.T @ X_COVARIANCE, SLOPE.T @ X_COVARIANCE @ SLOPE + Y_COVARIANCE],
    ]
)
MEAN = np.array([0.0, 0.0, 3.0, 3.0])
N = 6000  # rows drawn from a model


def gaussian_rows(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal(MEAN, JOINT, size=n)


def assert_gaussian(made, mean, covariance, n_fit, n_errors=5.0):
    """Compare moments and quantiles, within the errors of sampling: of the fit and of the draws."""
    n = 1 / (1 / len(made) + 1 / n_fit)
    deviation = np.sqrt(np.diag(covariance))
    assert (np.abs(made.mean(axis=0) - mean) < n_errors * deviation / np.sqrt(n)).all()
    spread = np.sqrt((np.outer(deviation, deviation) ** 2 + covariance**2) / n)
    assert (np.abs(np.cov(made.T) - covariance) < n_errors * spread).all()
    for level in (0.01, 0.1, 0.9, 0.99):
        at = norm.ppf(level)
        error = np.sqrt(level * (1 - level) / n) / norm.pdf(at)
        found = (np.quantile(made, level, axis=0) - mean) / deviation
        assert (np.abs(found - at) < n_errors * error).all()


@pytest.fixture(scope="module")
def gaussian():
    return DiffusionGenerator(random_state=0, max_iter=4).fit(
        gaussian_rows(2000), given_columns=slice(0, 2)
    )


@pytest.mark.parametrize(
    "params",
    [{}, {"sampler": "ddpm", "sampling_steps": 10}, {"sampler": "ddim", "sampling_steps": 40}],
)
def test_rows_and_their_rest_are_gaussian_where_the_rows_are(gaussian, params):
    model = pickle.loads(pickle.dumps(gaussian)).set_params(**params)
    assert_gaussian(model.sample(N, random_state=0), MEAN, JOINT, 2000)
    for x in ([0.0, 0.0], [-2.0, 1.0]):
        made = model.sample(N, random_state=1, given=np.tile(x, (N, 1)))
        assert_array_equal(made[:, :2], np.tile(x, (N, 1)))
        # The error of the regression grows with the distance of x from its mean.
        n_fit = 2000 / (1 + x @ np.linalg.inv(X_COVARIANCE) @ x)
        assert_gaussian(made[:, 2:], 3.0 + np.array(x) @ SLOPE, Y_COVARIANCE, n_fit)


def test_an_untrained_net_is_the_gaussian_of_the_rows():
    Z = np.random.default_rng(0).standard_gamma(2.0, (400, 4)) @ np.linalg.cholesky(JOINT).T
    model = DiffusionGenerator(**UNTRAINED).fit(Z, given_columns=[0, 1])
    made = model.sample(20_000, random_state=0)
    # The shrinkage and the ridge are small with 400 rows.
    assert_gaussian(made, Z.mean(axis=0), np.cov(Z.T), n_fit=4000)
    design = np.c_[np.ones(400), Z[:, :2]]
    slope, *_ = np.linalg.lstsq(design, Z[:, 2:], rcond=None)
    residual = Z[:, 2:] - design @ slope
    x = Z[7, :2]
    made = model.sample(20_000, random_state=0, given=np.tile(x, (20_000, 1)))
    assert_gaussian(made[:, 2:], np.r_[1.0, x] @ slope, residual.T @ residual / 397, n_fit=4000)


def test_densities_of_rows_and_of_their_rest(gaussian):
    Z = gaussian_rows(120, seed=1)
    joint = multivariate_normal(MEAN, JOINT).logpdf(Z)
    of_x = multivariate_normal(MEAN[:2], X_COVARIANCE).logpdf(Z[:, :2])
    found, rest = gaussian.score_samples(Z), gaussian.score_samples(Z, conditional=True)
    assert abs(found.mean() - joint.mean()) < 0.03
    assert abs(rest.mean() - (joint - of_x).mean()) < 0.03
    assert np.corrcoef(rest, joint - of_x)[0, 1] > 0.98
    # The best denoiser of a standard normal leaves an error of abar per coordinate.
    expected = 4 * gaussian._noise.abar.mean()
    assert gaussian.denoising_loss(Z) == pytest.approx(expected, rel=0.05)


def two_modes(n, seed):
    """Return x, and y near x or near -x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2.0, n)
    y = np.where(rng.random(n) < 0.7, x, -x) + 0.1 * rng.standard_normal(n)
    return np.column_stack([x, y])


@pytest.fixture(scope="module")
def modes():
    net = DiffusionGenerator(hidden_layer_sizes=(64, 64), random_state=0, max_iter=60)
    return net.fit(two_modes(1000, 0), given_columns=0)


def crps(draws, y):
    """Return the mean continuous ranked probability score of draws (n, S) for y (n,)."""
    ranked = np.sort(draws, axis=1)
    n = draws.shape[1]
    pairs = (ranked * (2 * np.arange(n) - n + 1)).sum(axis=1) / n**2
    return (np.abs(draws - y[:, None]).mean(axis=1) - pairs).mean()


def test_modes_that_depend_on_what_is_given_are_learnt(modes):
    fresh = two_modes(300, 1)
    given = np.repeat(fresh[:, :1], 100, axis=0)
    rng = np.random.default_rng(3)
    exact = np.where(rng.random(len(given)) < 0.7, 1, -1) * given[:, 0]
    exact = exact + 0.1 * rng.standard_normal(len(given))
    gaussian = DiffusionGenerator(**UNTRAINED).fit(two_modes(1000, 0), given_columns=0)
    found, plain = (
        crps(model.sample(len(given), random_state=0, given=given)[:, 1].reshape(300, 100), y)
        for model, y in ((modes, fresh[:, 1]), (gaussian, fresh[:, 1]))
    )
    best = crps(exact.reshape(300, 100), fresh[:, 1])
    assert found - best < 0.3 * (plain - best)
    at = modes.sample(3000, random_state=0, given=np.full((3000, 1), 1.5))[:, 1]
    assert np.mean(np.abs(np.abs(at) - 1.5) < 0.4) > 0.9
    assert np.mean(at > 0) == pytest.approx(0.7, abs=0.08)
    assert modes.score_samples(fresh, conditional=True).mean() > 0.3 + (
        gaussian.score_samples(fresh, conditional=True).mean()
    )


def test_a_spread_that_depends_on_what_is_given_is_learnt_from_few_rows():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 300)
    Z = np.column_stack([x, 5 + x + np.exp(x) * rng.standard_normal(300)])
    model = DiffusionGenerator(hidden_layer_sizes=(32,), random_state=0, max_iter=30)
    model.fit(Z, given_columns=0)
    for at in (-0.8, 0.0, 0.8):
        made = model.sample(4000, random_state=0, given=np.full((4000, 1), at))[:, 1]
        assert made.mean() == pytest.approx(5 + at, abs=0.3)
        assert made.std() == pytest.approx(np.exp(at), rel=0.25)


def test_a_gain_multiplies_the_noisy_row():
    net = MLPDenoiser((4,), gain=True).build(2, torch.Generator().manual_seed(0))
    z, time = torch.randn(5, 2, dtype=torch.float64), torch.full((5,), 0.5, dtype=torch.float64)
    assert_array_equal(net(z, time).detach(), np.zeros((5, 2)))  # as the net without
    with torch.no_grad():
        net.layers[-1].bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    expected = np.array([1.0, 2.0]) + np.array([3.0, 4.0]) * z.numpy()
    assert_allclose(net(z, time).detach(), expected)


@pytest.mark.parametrize("gain", [False, True])
def test_known_columns_are_seen_and_have_no_velocity(gain):
    net = MLPDenoiser((4,), gain=gain).build(5, torch.Generator().manual_seed(0), n_known=3)
    z, time = torch.randn(6, 5, dtype=torch.float64), torch.full((6,), 0.5, dtype=torch.float64)
    with torch.no_grad():
        for each in net.parameters():
            each += 0.1
        found, moved = net(z, time), net(z + torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]), time)
    assert found.shape == (6, 2)
    assert (found != moved).all()


def test_whole_rows_are_as_the_rest_given_their_columns(modes):
    rows = modes.sample(4000, random_state=0)
    rest = modes.sample(4000, random_state=1, given=rows[:, :1])
    real = two_modes(4000, 5)
    for statistic in (lambda Z: Z[:, 1], lambda Z: Z[:, 1] / Z[:, 0], lambda Z: Z[:, 0]):
        assert ks_2samp(statistic(rows), statistic(rest)).statistic < 0.1
        assert ks_2samp(statistic(rows), statistic(real)).statistic < 0.1


def test_columns_of_all_kinds():
    """Counts and a coin are given; counts, functions of both, heavy tails and a constant follow."""
    rng = np.random.default_rng(0)
    count, coin = rng.poisson(20, 600), rng.integers(0, 2, 600)
    Z = np.column_stack(
        [
            rng.poisson(count),
            count,
            3 * count - coin,
            np.exp(1.5 * rng.standard_normal(600)) * count,
            coin,
            np.full(600, 7.0),
        ]
    ).astype(float)
    model = DiffusionGenerator(**QUICK).fit(Z, given_columns=[4, 1])
    given = np.column_stack([coin, count])[:200]
    rest, rows = model.sample(200, random_state=0, given=given), model.sample(500, random_state=0)
    assert_array_equal(rest[:, [4, 1]], given)
    for made in (rest, rows):
        assert_array_equal(made[:, 0], np.round(made[:, 0]))
        assert_array_equal(made[:, 2], 3 * made[:, 1] - made[:, 4])
        assert_array_equal(made[:, 5], 7.0)
    assert set(rows[:, 4]) == {0.0, 1.0}
    assert np.corrcoef(rest[:, 0], given[:, 1])[0, 1] > 0.4
    assert np.isfinite(model.score_samples(Z, conditional=True)).all()


@pytest.mark.parametrize("rest", ["nothing varies", "nothing is open", "nothing given varies"])
def test_where_there_is_nothing_to_generate(rest):
    x = np.random.default_rng(0).standard_normal((60, 1))
    y = {"nothing varies": 0 * x + 2.0, "nothing is open": 2 * x + 1}.get(rest, x)
    given = 0 * x + 4.0 if rest == "nothing given varies" else x
    model = DiffusionGenerator(**QUICK).fit(np.hstack([given, y]), given_columns=[0])
    made = model.sample(60, random_state=0, given=given)
    assert_array_equal(made[:, :1], given)
    if rest == "nothing given varies":
        assert np.std(made[:, 1]) > 0.5
    else:
        assert_allclose(made[:, 1:], y, atol=1e-9)
    assert np.isfinite(model.sample(9, random_state=0)).all()


class OwnNet(torch.nn.Module):
    """Starts from other numbers than 0."""

    def __init__(self, n_columns):
        super().__init__()
        self.linear = torch.nn.Linear(n_columns + 1, n_columns)

    def forward(self, z, time):
        return self.linear(torch.cat([z, time[:, None]], dim=1))


@pytest.mark.parametrize("denoiser", [ConvDenoiser(4, 1), OwnNet])
def test_every_denoiser_is_told_what_is_given(denoiser):
    Z, widths = gaussian_rows(100), []

    def own(n_columns):
        widths.append(n_columns)
        return OwnNet(n_columns)

    recipe = own if denoiser is OwnNet else denoiser
    model = DiffusionGenerator(denoiser=recipe, **QUICK).fit(Z, given_columns=[0, 1])
    assert set(widths) <= {5}
    assert model.sample(7, random_state=0, given=Z[:7, :2]).shape == (7, 4)
    few = DiffusionGenerator(denoiser=recipe, **QUICK).fit(Z[:20], given_columns=[0, 1])
    made = few.sample(2000, random_state=0, given=np.tile(Z[0, :2], (2000, 1)))[:, 2:]
    assert len(few.history_) == 0
    assert (
        abs(
            ks_2samp(
                made[:, 0],
                made[:, 0].mean() + made[:, 0].std() * norm.rvs(size=2000, random_state=0),
            ).statistic
        )
        < 0.05
    )  # a Gaussian, whatever net there is


@pytest.mark.usefixtures("short_epochs")
def test_weights_are_exact_and_order_does_not_matter():
    Z = gaussian_rows(80)
    weight = np.random.default_rng(0).integers(0, 3, 80)
    model = DiffusionGenerator(**QUICK).fit(Z, sample_weight=weight, given_columns=[0, 1])
    repeated = np.repeat(Z, weight, axis=0)[::-1]
    again = DiffusionGenerator(**QUICK).fit(repeated, given_columns=[0, 1])
    for other in (again, pickle.loads(pickle.dumps(model))):
        for given in (None, Z[:40, :2]):
            assert_array_equal(
                model.sample(40, random_state=3, given=given),
                other.sample(40, random_state=3, given=given),
            )
        assert_array_equal(
            model.score_samples(Z, conditional=True), other.score_samples(Z, conditional=True)
        )


@pytest.mark.usefixtures("short_epochs")
def test_columns_are_found_by_name():
    Z = pd.DataFrame(gaussian_rows(60), columns=["price", "day", "sales", "waste"])
    model = DiffusionGenerator(**QUICK).fit(Z, given_columns=["day", "price"])
    given = Z[["day", "price"]][:5]
    made = model.sample(5, random_state=0, given=given)
    assert_array_equal(made[:, [1, 0]], given)
    assert_array_equal(model.sample(5, random_state=0, given=given.to_numpy()), made)
    with pytest.raises(ValueError, match="columns of the fit in their order"):
        model.sample(5, given=Z[["price", "day"]][:5])
    with pytest.raises(ValueError, match=r"given_columns=\['cost'\] are not columns of Z"):
        DiffusionGenerator(**QUICK).fit(Z, given_columns=["cost"])


@pytest.mark.usefixtures("short_epochs")
def test_what_is_refused():
    Z = gaussian_rows(40)
    plain = DiffusionGenerator(**QUICK).fit(Z)
    model = DiffusionGenerator(**QUICK).fit(Z, given_columns=[0, 1])
    for call in (
        lambda: plain.sample(40, given=Z[:, :2]),
        lambda: plain.score_samples(Z, conditional=True),
    ):
        with pytest.raises(ValueError, match="fit it with given_columns= first"):
            call()
    for bad, message in (
        (Z[:39, :2], r"shape \(40, 2\), .* got \(39, 2\)"),
        (Z[:, :3], r"shape \(40, 2\), .* got \(40, 3\)"),
        (np.full((40, 2), np.nan), "given is not finite at row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(40, given=bad)
    for bad in ([], [0, 0], slice(0, 4), [0, 1, 2, 3]):
        with pytest.raises(ValueError, match="some of the 4 columns of Z"):
            DiffusionGenerator(**QUICK).fit(Z, given_columns=bad)
    with pytest.raises(ValueError, match="are not columns of Z"):
        DiffusionGenerator(**QUICK).fit(Z, given_columns=[4])
    with pytest.raises(ValueError, match="context= or given_columns=, not both"):
        DiffusionGenerator(**QUICK).fit(Z, context=Z, given_columns=[0])
    expected = plain.sample(5, random_state=0)
    assert_array_equal(model.fit(Z).sample(5, random_state=0), expected)  # which forgets them


def test_quasi_random_noise_is_normal_and_even():
    noise = quasi_normal(256, 3, np.random.default_rng(0))
    assert np.isfinite(noise).all()
    for column in noise.T:
        # One point in each of 256 intervals of equal probability.
        assert_array_equal(np.sort((norm.cdf(column) * 256).astype(int)), np.arange(256))
    assert_array_equal(quasi_normal(100, 3, np.random.default_rng(0)).shape, (100, 3))
    assert quasi_normal(1, 2, np.random.default_rng(0)).shape == (1, 2)
    assert quasi_normal(4, 0, np.random.default_rng(0)).shape == (4, 0)
