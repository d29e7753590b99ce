"""With every classical set: exact weights, any order of rows."""

import numpy as np
import pytest
from sklearn.base import clone

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    DiffusionGenerator,
    GaussianNoise,
    GroupDRO,
    JustTrainTwice,
    KLBall,
    NominalSamples,
    SinkhornBall,
    TotalVariationBall,
    WassersteinBall,
)
from dfl_sklearn.rows import Rows

pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=4)
SETS = {
    "KL": KLBall(0.2),
    "chi-square": ChiSquareBall(0.4),
    "CVaR": CVaR(0.4),
    "total variation": TotalVariationBall(0.2),
    "groups": GroupDRO(lambda X: X[:, 0] > 1),
    "hard rows": JustTrainTwice(0.2),
    "Wasserstein": WassersteinBall(0.3),
    "Sinkhorn": SinkhornBall(0.3, 0.05, 4),
    "Gaussian noise": GaussianNoise(0.3),
    "nominal samples": NominalSamples(300, generator=GENERATOR),
}
# Whose rows are others, or weighted where no row is worse.
DIFFERENT = ("nominal samples", "groups", "Sinkhorn")


def model(name, **params):
    quick = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, "early_stopping": False}
    return DFLRegressor(
        NewsvendorProblem(9, 1), ambiguity_set=clone(SETS[name]), **{**quick, **params}
    )


@pytest.fixture(scope="module")
def data():
    return make_newsvendor(120, random_state=0)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_weight_2_is_the_row_twice_and_weight_0_no_row(name, early_stopping, data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    robust = model(name, early_stopping=early_stopping)
    weighted = robust.fit(X, y, sample_weight=weight).predict(X)
    repeated = robust.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight)).predict(X)
    np.testing.assert_array_equal(weighted, repeated)
    assert not np.array_equal(weighted, robust.fit(X, y).predict(X))


@pytest.mark.parametrize("name", SETS)
def test_the_order_of_rows_does_not_matter_and_the_set_does(name, data):
    X, y = data
    order = np.random.default_rng(1).permutation(len(y))
    found = model(name).fit(X, y).predict(X)
    np.testing.assert_array_equal(model(name).fit(X[order], y[order]).predict(X), found)
    plain = model(name).set_params(ambiguity_set=None).fit(X, y).predict(X)
    assert np.abs(found - plain).max() > 1e-3


class EvenLoss:
    """A regret that is the same everywhere, so that no row is worse than another."""

    def __call__(self, rows):
        return np.ones(len(rows.X))

    def gradient(self, rows):
        return np.zeros(rows.X.shape), np.zeros(rows.y.shape)


class FirstFeature(EvenLoss):
    """A regret of which the mean tells how rows were weighted."""

    def __call__(self, rows):
        return rows.X[:, 0]


@pytest.mark.parametrize("name", [name for name in SETS if name not in DIFFERENT])
def test_the_weights_of_the_rows_are_the_nominal_ones(name, data):
    rng = np.random.default_rng(0)
    rows = Rows(data[0], data[1][:, None], rng.uniform(0.5, 2.0, len(data[1]))).canonical()
    held_out = Rows(data[0][:40], data[1][:40, None], rng.uniform(0.5, 2.0, 40)).canonical()
    ambiguity_set = clone(SETS[name])
    ambiguity_set.set_nominal(rows, NewsvendorProblem(9, 1), 0, held_out)
    share = rows.weight / rows.weight.sum()
    np.testing.assert_allclose(ambiguity_set.worst_case(EvenLoss())[0].weight, share)
    if name == "Wasserstein":  # nothing moves where the slope is 0
        mean = np.average(held_out.X[:, 0], weights=held_out.weight)
        assert ambiguity_set.held_out_regret(FirstFeature()) == pytest.approx(mean)
    elif hasattr(ambiguity_set, "worst_mean"):
        worst = ambiguity_set.worst_mean(held_out.X[:, 0], held_out.weight)
        assert ambiguity_set.held_out_regret(FirstFeature()) == pytest.approx(worst)
