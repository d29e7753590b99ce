"""Training for linear costs: every loss with weights and ambiguity sets, and what it learns."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor, TwoStageRegressor
from dfl_sklearn.losses import (
    BlackboxLoss,
    IdentityLoss,
    PerturbedFenchelYoungLoss,
    RegretLoss,
    ScoreFunctionLoss,
    SPOPlusLoss,
)
from dfl_sklearn.problems import KnapsackProblem, MatchingProblem, ShortestPathProblem, TopKProblem
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    DiffusionGenerator,
    GaussianNoise,
    KLBall,
    NominalSamples,
    PolicyGradientSearch,
    TiltedSearch,
    WassersteinBall,
)

LOSSES = [
    None,
    SPOPlusLoss(),
    PerturbedFenchelYoungLoss(),
    RegretLoss(),
    BlackboxLoss(),
    IdentityLoss(),
    ScoreFunctionLoss(sigma=0.5),
]
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=3, random_state=0)
SETS = [
    KLBall(0.05),
    ChiSquareBall(0.1),
    CVaR(0.8),
    WassersteinBall(0.05),
    GaussianNoise(0.05),
    NominalSamples(200, generator=GENERATOR),
]
PROBLEM = TopKProblem(2)
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda each: type(each).__name__)
pytestmark = [
    pytest.mark.usefixtures("short_epochs"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def data():
    """Five items valued by a linear model with noise that features do not explain."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    return X, X @ rng.normal(size=(3, 5)) + 0.1 * rng.normal(size=(90, 5))


def quick(problem=PROBLEM, **params):
    params = {"hidden_layer_sizes": (), "max_iter": 40, "batch_size": 16, **params}
    return DFLRegressor(problem, random_state=0, **params)


LEARNABLE = [
    (loss, problem, n)
    for loss in LOSSES
    for problem, n in (
        (TopKProblem(2), 5),
        (ShortestPathProblem.grid(2, 2), 4),
        (MatchingProblem(2, 2), 4),
        (KnapsackProblem([2, 3, 4, 5], 7), 4),
    )
    # None is SPO+, as one problem shows. IdentityLoss projects the level of the values away, which
    # matters where items can be left out. Matchings are chosen as paths are: by a linear program.
    if isinstance(problem, TopKProblem)
    or not (
        loss is None
        or (isinstance(problem, MatchingProblem) and not isinstance(loss, SPOPlusLoss))
        or (isinstance(loss, IdentityLoss) and not isinstance(problem, ShortestPathProblem))
    )
]


@pytest.mark.parametrize(
    ("loss", "problem", "n"), LEARNABLE, ids=lambda each: type(each).__name__[:12]
)
def test_it_learns_what_can_be_learnt(loss, problem, n, data):
    X, y = data[0], data[1][:, :n]
    model = quick(problem, loss=loss, batch_size=45, learning_rate_init=0.1, max_iter=20).fit(X, y)
    assert model.score(X, y) > 0.8
    assert problem.is_feasible(model.decide(X)).all()


@by_loss
def test_a_weight_of_two_is_the_row_twice(loss, data):
    X, y = data
    weight = np.ones(len(X))
    weight[[3, 7, 20]] = 2.0, 2.0, 0.0
    rows = np.repeat(np.arange(len(X)), weight.astype(int))
    weighted = quick(loss=loss, max_iter=10).fit(X, y, sample_weight=weight)
    repeated = quick(loss=loss, max_iter=10).fit(X[rows], y[rows])
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=0, atol=1e-12)


# What a loss has to know of a set is whether its rows are weighted, moved or generated: every loss
# meets one set of each kind, and the default loss meets all of them.
@pytest.mark.parametrize(
    ("loss", "ambiguity_set"),
    [
        (loss, each)
        for loss in LOSSES
        for each in SETS
        if loss is None or isinstance(each, KLBall | WassersteinBall | NominalSamples)
    ],
    ids=lambda each: type(each).__name__,
)
def test_with_every_ambiguity_set(loss, ambiguity_set, data):
    X, y = data
    weight = np.linspace(0.5, 2.0, len(X))
    model = quick(loss=loss, max_iter=8, ambiguity_set=ambiguity_set)
    model.fit(X, y, sample_weight=weight)
    assert np.isfinite(model.worst_case_.worst_regret)
    assert model.score(X, y) > 0.5


POLICY_GRADIENT = PolicyGradientSearch(
    n_steps=6, n_tail=3, n_trajectories=40, n_warm_up=1, n_rounds=1, n_epochs=1
)


@pytest.mark.parametrize(
    ("search", "loss"),
    [
        *((TiltedSearch(200), loss) for loss in LOSSES),
        *((POLICY_GRADIENT, loss) for loss in (None, ScoreFunctionLoss(sigma=0.5))),
    ],
    ids=lambda each: type(each).__name__,
)
def test_inside_the_flagship(search, loss, data):
    X, y = data
    model = DiffusionDRODFLRegressor(
        PROBLEM,
        radius=0.05,
        search=search,
        generator=GENERATOR,
        loss=loss,
        hidden_layer_sizes=(),
        max_iter=20 if search is POLICY_GRADIENT else 8,
        random_state=0,
    ).fit(X, y)
    assert np.isfinite(model.worst_case_.worst_regret)
    assert model.score(X, y) > 0.5


def test_decisions_beat_squared_error_where_the_model_is_wrong():
    """A line cannot follow a cubic; SPO+ puts it where the best item changes."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (400, 1))
    y = np.column_stack([np.full(400, 0.2), 3 * x[:, 0] ** 3 + 0.05 * rng.normal(size=400)])
    problem = TopKProblem(1)
    from sklearn.linear_model import LinearRegression

    two_stage = TwoStageRegressor(LinearRegression(), problem).fit(x, y).score(x, y)
    focused = quick(problem, max_iter=200, tol=1e-6).fit(x, y).score(x, y)
    # The switch is at x = (0.2 / 3)^(1/3) = 0.405; least squares has it at 0.2 / 1.8 = 0.11.
    assert two_stage < 0.97
    assert focused > 0.99
