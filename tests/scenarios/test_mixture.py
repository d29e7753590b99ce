"""Learnt distributions against closed forms, and likelihoods and densities of SciPy."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.stats import lognorm, multivariate_normal, norm
from sklearn.base import clone

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.rows import Rows
from dfl_sklearn.scenarios import GaussianScenarios, MixtureScenarios
from dfl_sklearn.scenarios._components import Gaussians, ZeroInflatedLognormals

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# All rows in a batch and no penalty: the maximum of the likelihood, to some digits.
TO_THE_END = {
    "hidden_layer_sizes": (),
    "alpha": 0.0,
    "batch_size": 10_000,
    "tol": 1e-9,
    "max_iter": 700,
    "learning_rate_init": 0.05,
    "n_iter_no_change": 30,
    "random_state": 0,
}
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 5, "n_scenarios": 12, "random_state": 0}


def line(n=80, d=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    noise = rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.normal(size=(d, d)))
    return X, 5.0 + X @ rng.normal(size=(2, d)) + noise


def claims(n=120, d=2, seed=0):
    """Return numbers of 0 or more, with zeros in all columns but the last."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = np.exp(1.0 + X[:, :1] + 0.5 * rng.normal(size=(n, d)))
    y[:, :-1] *= rng.random((n, d - 1)) < 0.7
    return X, y


# -- densities ---------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1, 2, "full"])
def test_normal_densities_are_those_of_scipy(rank):
    _, y = line(30, 3)
    components = Gaussians(Rows(y, y, np.ones(30)), rank)
    parameters = torch.tensor(np.random.default_rng(1).normal(size=(4, 2, components.n_parameters)))
    mean, spread, others = components._parts(parameters)
    found = components.log_density(parameters, torch.tensor(y[:20].reshape(4, 5, 3)))
    scale = np.diag(components.scale)
    for i in range(4):
        for k in range(2):
            factor = torch.diag(spread[i, k]).numpy()
            if rank == "full":
                factor = factor + components._lower(others)[i, k].numpy()
            elif rank:
                factor = np.column_stack([factor, components._factor(others)[i, k].numpy()])
            factor = scale @ factor
            expected = multivariate_normal(
                components.mean + scale @ mean[i, k].numpy(), factor @ factor.T
            ).logpdf(y[5 * i : 5 * i + 5])
            assert_allclose(found[i, :, k], expected, rtol=1e-9)


@pytest.mark.parametrize("rank", [0, 2, "full"])
def test_draws_have_the_mean_and_the_covariance_of_the_density(rank):
    _, y = line(30, 3)
    components = Gaussians(Rows(y, y, np.ones(30)), rank)
    rng = np.random.default_rng(1)
    parameters = torch.tensor(rng.normal(size=(1, 1, components.n_parameters)))
    uniform = torch.tensor(rng.random((200_000, components.n_uniform)))
    drawn = components.values(parameters.expand(1, 200_000, -1), uniform)[0].numpy()
    mean, covariance = drawn.mean(axis=0), np.cov(drawn.T)
    log_density = components.log_density(parameters, torch.tensor(drawn[None, :50]))[0, :, 0]
    assert_allclose(
        log_density, multivariate_normal(mean, covariance).logpdf(drawn[:50]), atol=0.05
    )


def test_lognormal_densities_and_draws():
    _, y = claims()
    components = ZeroInflatedLognormals(Rows(y, y, np.ones(len(y))))
    rng = np.random.default_rng(1)
    parameters = torch.tensor(rng.normal(size=(1, 1, components.n_parameters)))
    mean, spread, logit = (each[0, 0].numpy() for each in components._parts(parameters))
    share = 1 / (1 + np.exp(-logit))
    laws = [
        lognorm(components.scale[j] * spread[j], scale=np.exp(np.log(components.level[j])
                + components.scale[j] * mean[j])) for j in range(2)
    ]  # fmt: skip
    expected = sum(
        np.where(
            y[:, j] > 0,
            np.log(share[j]) + laws[j].logpdf(np.where(y[:, j] > 0, y[:, j], 1.0)),
            np.log1p(-share[j]) if share[j] < 1 else -np.inf,
        )
        for j in range(2)
    )
    assert_allclose(components.log_density(parameters, torch.tensor(y[None]))[0, :, 0], expected)
    uniform = torch.tensor(np.linspace(0.0005, 0.9995, 1000))[:, None].expand(-1, 2)
    drawn = components.values(parameters.expand(1, 1000, -1), uniform)[0].numpy()
    assert (drawn == 0).mean(axis=0) == pytest.approx(1 - share, abs=1e-3)
    assert share[1] == 1  # the column without zeros
    for j in range(2):
        level = (uniform[:, j].numpy() - 1 + share[j]) / share[j]
        assert_allclose(drawn[level > 0, j], laws[j].ppf(level[level > 0]), rtol=1e-9)


def test_slopes_of_lognormal_draws_are_those_of_their_mean():
    # In the share of zeros as well, of which a draw is a function without a jump.
    _, y = claims(d=2)
    components = ZeroInflatedLognormals(Rows(y, y, np.ones(len(y))))
    parameters = torch.zeros((1, 1, 6), dtype=torch.float64, requires_grad=True)
    uniform = torch.tensor((np.arange(200_000) + 0.5) / 200_000)[:, None].expand(-1, 2)
    drawn = components.values(parameters.expand(1, len(uniform), -1), uniform)
    slopes = torch.autograd.grad(drawn[..., 0].mean(), parameters)[0][0, 0, ::2]
    share = 1 / (1 + np.exp(-components.logit[0]))
    s, level = components.scale[0], components.level[0]
    mean = level * np.exp(s**2 / 2)
    of_spread = 1 - np.exp(-0.01 - 0.99 + 0.01)  # softplus' where the scale is 1, nearly
    assert_allclose(slopes[0], share * s * mean, rtol=1e-3)
    assert_allclose(slopes[2], share * (1 - share) * mean, rtol=1e-2)
    assert slopes[1] / (share * s**2 * mean) == pytest.approx(of_spread, rel=0.02)


# -- maximum likelihood ------------------------------------------------------------------


def test_one_normal_distribution_without_features_is_the_mean_and_the_standard_deviation():
    _, y = line(60)
    model = GaussianScenarios(**TO_THE_END).fit(np.zeros((60, 1)), y[:, 0])
    assert_allclose(
        model.log_likelihood(np.zeros((60, 1)), y[:, 0]).mean(),
        norm(y.mean(), y.std()).logpdf(y).mean(),
        atol=1e-6,
    )
    drawn = model.sample(np.zeros((1, 1)), 100_000, random_state=0)
    assert drawn.mean() == pytest.approx(y.mean(), abs=0.02)
    assert drawn.std() == pytest.approx(y.std(), rel=0.01)


def test_a_covariance_without_features_is_that_of_the_sample():
    _, y = line(60, 3)
    model = GaussianScenarios(**TO_THE_END).fit(np.zeros((60, 1)), y)
    expected = multivariate_normal(y.mean(axis=0), np.cov(y.T, bias=True)).logpdf(y).mean()
    assert_allclose(model.log_likelihood(np.zeros((60, 1)), y).mean(), expected, atol=1e-5)


def test_a_linear_net_maximises_the_likelihood_as_scipy_does():
    X, y = line(80)
    y = y[:, 0] * np.exp(0.3 * X[:, 1])
    model = GaussianScenarios(**TO_THE_END).fit(X, y)
    standard, unit = (X - X.mean(0)) / X.std(0), y.std()
    design = np.column_stack([np.ones(80), standard])

    def nll(w):
        raw = design @ w[3:] + np.log(np.expm1(0.99))
        return -norm(design @ w[:3], 0.01 + np.logaddexp(0, raw)).logpdf((y - y.mean()) / unit)

    found = minimize(lambda w: nll(w).mean(), np.zeros(6), tol=1e-10)
    assert_allclose(-model.log_likelihood(X, y).mean(), found.fun + np.log(unit), atol=2e-5)


def test_one_lognormal_component_without_features_is_shares_and_logarithms():
    _, y = claims()
    model = MixtureScenarios(1, "lognormal", **TO_THE_END).fit(np.zeros((len(y), 1)), y)
    expected = 0.0
    for column in y.T:
        logs = np.log(column[column > 0])
        share = (column > 0).mean()
        density = lognorm(logs.std(), scale=np.exp(logs.mean())).logpdf(column[column > 0])
        expected += density.sum() / len(y) + share * np.log(share)
        expected += (1 - share) * np.log(1 - share) if share < 1 else 0.0
    assert_allclose(model.log_likelihood(np.zeros((len(y), 1)), y).mean(), expected, atol=1e-5)


def test_a_mixture_is_likelier_than_one_component_where_there_are_two():
    rng = np.random.default_rng(0)
    which = rng.random(300) < 0.4
    X = rng.normal(size=(300, 1))
    y = np.where(which[:, None], [3.0, -2.0], [-3.0, 2.0]) + rng.normal(size=(300, 2))
    settings = {**TO_THE_END, "max_iter": 200}
    one, two = (MixtureScenarios(K, **settings).fit(X, y) for K in (1, 2))
    true = norm.logpdf(y[:, None] - np.array([[3.0, -2.0], [-3.0, 2.0]])).sum(axis=2)
    true = np.log(np.exp(true) @ [0.4, 0.6]).mean()
    found = [model.log_likelihood(X, y).mean() for model in (one, two)]
    assert found[0] < true - 0.5
    assert found[1] > true - 0.01
    # The component is shared: outputs are independent within it, and correlated together.
    scenarios = two.predict_scenarios(X[:1])
    assert np.cov(scenarios.values[0].T, aweights=scenarios.weight[0])[0, 1] < -4
    drawn = two.sample(X[:1], 5000, random_state=0)[0]
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(np.corrcoef(y.T)[0, 1], abs=0.05)


def test_alignment_keeps_the_selector_with_the_likeliest_components():
    X, y = line(60, 1)
    free, aligned = (
        MixtureScenarios(2, alignment=a, **{**TO_THE_END, "max_iter": 100}).fit(X, y)
        for a in (0.0, 10.0)
    )
    apart = []
    for model, strength in ((free, 0.0), (aligned, 10.0)):
        conditions, target = (torch.tensor(each) for each in (model._conditions(X)[0], y))
        selector, parameters = model.net_._parts(conditions)
        label = torch.softmax(model.net_.components.log_density(parameters, target[:, None]), 2)
        apart.append((label[:, 0] * (label[:, 0].log() - selector)).sum(dim=1))
        expected = strength * apart[-1] - torch.tensor(model.log_likelihood(X, y))
        assert_allclose(model.net_.fit_loss(conditions, target), expected)
    assert apart[1].mean() < 0.7 * apart[0].mean()


# -- scenarios ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [MixtureScenarios(5, **QUICK), GaussianScenarios(rank=1, **QUICK)], ids=str
)
def test_scenarios_are_weighted_and_the_same_for_equal_rows(model):
    X, y = line(70, 2)
    model = clone(model).fit(X, y)
    scenarios = model.predict_scenarios(X[[3, 5, 3]])
    assert scenarios.values.shape == (3, 12, 2)
    assert_allclose(scenarios.weight.sum(axis=1), 1.0)
    assert_allclose(scenarios.values[0], scenarios.values[2], rtol=1e-12)
    assert_allclose(model.predict(X[:3]), model.predict_scenarios(X[:3]).mean)
    assert_array_equal(model.sample(X[:2], 3, 0), model.sample(X[:2], 3, 0))
    assert not np.array_equal(model.sample(X[:2], 3, 0), model.sample(X[:2], 3, 1))


def test_means_of_scenarios_are_nearer_than_those_of_as_many_draws():
    X, y = line(200, 2)
    model = GaussianScenarios(n_scenarios=50, **{**TO_THE_END, "max_iter": 30}).fit(X, y)
    mean = model.sample(X[:5], 100_000, 0).mean(axis=1)
    of_draws = np.abs(model.sample(X[:5], 50, 1).mean(axis=1) - mean).mean()
    assert np.abs(model.predict(X[:5]) - mean).mean() < 0.3 * of_draws


def test_zeros_are_generated_with_their_share():
    X, y = claims(400)
    settings = {**TO_THE_END, "max_iter": 150}
    model = MixtureScenarios(1, "lognormal", **settings).fit(X, y)
    shares = (model.predict_scenarios(X).values == 0).mean(axis=(0, 1))
    assert_allclose(shares, (y == 0).mean(axis=0), atol=0.01)
    assert (model.predict_scenarios(X).values >= 0).all()


@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_constant_columns_are_generated_exactly(family):
    X, y = claims(60, 1)
    y = np.column_stack([y, np.full(60, 0.3), np.where(y[:, 0] > 2, 0.7, 0.0), np.zeros(60)])
    model = MixtureScenarios(2, family, **QUICK).fit(X, y)
    for drawn in (model.predict_scenarios(X).values, model.sample(X, 4, 0)):
        assert (drawn[..., 1] == 0.3).all()
        assert (drawn[..., 3] == 0).all()
        if family == "lognormal":  # of which one positive number is known
            assert set(np.unique(drawn[..., 2])) == {0.0, 0.7}
    alone = clone(model).fit(X, np.full(60, 0.3))
    assert (alone.predict_scenarios(X).values == 0.3).all()


@pytest.mark.parametrize(
    "model",
    [MixtureScenarios(2, **QUICK), GaussianScenarios(**QUICK),
     MixtureScenarios(2, "lognormal", **QUICK)],
    ids=str,
)  # fmt: skip
def test_weight_two_is_the_row_twice_and_the_order_does_not_matter(model):
    X, y = claims(80)
    weight = np.arange(80) % 3
    again = np.random.default_rng(0).permutation(np.repeat(np.arange(80), weight))
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(X[again], y[again])
    assert_array_equal(weighted.predict_scenarios(X).values, repeated.predict_scenarios(X).values)
    stored = pickle.loads(pickle.dumps(weighted))
    assert_array_equal(stored.predict(X), weighted.predict(X))


def test_decides_over_its_scenarios():
    X, y = line(200)
    problem = NewsvendorProblem(9, 1, nonnegative=False)
    model = TwoStageRegressor(GaussianScenarios(**{**TO_THE_END, "max_iter": 100}), problem)
    orders = model.fit(X, y[:, 0]).decide(X)
    assert (y[:, 0] <= orders).mean() == pytest.approx(0.9, abs=0.05)


def test_bad_input():
    X, y = claims(20)
    model = MixtureScenarios(2, "lognormal", **QUICK)
    bad = y.copy()
    bad[3, 1] = -1.0
    with pytest.raises(ValueError, match=r"y is negative at row 3, column 1: -1\.0"):
        model.fit(X, bad)
    model.fit(X, y)
    with pytest.raises(ValueError, match="y is negative at row 3"):
        model.log_likelihood(X, bad)
    with pytest.raises(ValueError, match=r"y must have shape \(20, 2\), got \(20, 1\)"):
        model.log_likelihood(X, y[:, 0])
    with pytest.raises(ValueError, match="y is not finite at row 3, column 1: nan"):
        model.log_likelihood(X, np.where(bad < 0, np.nan, y))
    with torch.no_grad():
        model.net_.net[0].weight.mul_(1e300)
        model.net_.net[2].weight.mul_(1e300)
    with pytest.raises(ValueError, match=r"no finite distribution for row 0 of X, \[1\.0, 2\.0\]"):
        model.predict(np.array([[1.0, 2.0]]))
