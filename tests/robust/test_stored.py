"""Fitted and stored ambiguity sets hold no rows that only training needs."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dfl_sklearn import DFFRegressor, DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import (
    AmbiguitySet,
    ChiSquareBall,
    CVaR,
    DiffusionGenerator,
    GaussianNoise,
    GroupDRO,
    JustTrainTwice,
    KLBall,
    NominalSamples,
    PolicyGradientSearch,
    SinkhornBall,
    TiltedSearch,
    WassersteinBall,
)
from dfl_sklearn.rows import Rows

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning"
)
GENERATOR = DiffusionGenerator(hidden_layer_sizes=(4,), n_steps=6, max_iter=2)
PROBLEM = NewsvendorProblem(9, 1)
QUICK = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}


class OwnSet(AmbiguitySet):
    """A set as users write them, with rows in any attributes."""

    radius = 1.0

    def set_nominal(self, rows, problem, seed, held_out=None):
        self.rows_, self.others_ = rows.as_shares(), held_out

    def worst_case(self, row_loss):
        return self.rows_, 0.0


def policy_gradient(divergence="kl"):
    return PolicyGradientSearch(
        divergence, n_steps=4, n_tail=2, n_trajectories=16, n_warm_up=1, n_rounds=1, n_epochs=1
    )


def is_high(X):
    return X[:, 0] > 1


SETS = {
    "KL": KLBall(),
    "chi-square": ChiSquareBall(),
    "CVaR": CVaR(),
    "Wasserstein": WassersteinBall(),
    "Sinkhorn": SinkhornBall(),
    "hard rows": JustTrainTwice(),
    "groups": GroupDRO(is_high),
    "noise": GaussianNoise(),
    "samples": NominalSamples(50, generator=GENERATOR),
    "own": OwnSet(),
}
MODELS = {
    **{name: DFLRegressor(PROBLEM, ambiguity_set=each, **QUICK) for name, each in SETS.items()},
    "plain": DFLRegressor(PROBLEM, **QUICK),
    "tilted": DiffusionDRODFLRegressor(
        PROBLEM, search=TiltedSearch(50, real_share=0.0), generator=GENERATOR, **QUICK
    ),
    "policy gradient": DiffusionDRODFLRegressor(
        PROBLEM, search=policy_gradient(), generator=GENERATOR, **QUICK
    ),
    "fine-tuned": DFFRegressor(
        DFLRegressor(PROBLEM, **QUICK), PROBLEM, ambiguity_set=KLBall(), cv=2, **QUICK
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model_does_not_grow_with_the_rows(name):
    sizes = []
    for n in (100, 2_000):
        X, y = make_newsvendor(n, random_state=0)
        model = MODELS[name].fit(X, y)
        stored = pickle.dumps(model)
        sizes.append(len(stored))
        assert_array_equal(pickle.loads(stored).predict(X), model.predict(X))
    # A row takes 48 bytes. History and states of generators differ by a few.
    assert sizes[1] - sizes[0] < 5_000


@pytest.mark.parametrize("name", ["KL", "Wasserstein", "own"])
def test_the_rows_are_there_after_a_fit_and_not_in_a_copy(name):
    X, y = make_newsvendor(100, random_state=0)
    model = MODELS[name].fit(X, y)
    assert len(model.ambiguity_set_.rows_.X) == 80
    for store in (copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        again = store(model).ambiguity_set_
        assert not any(isinstance(each, Rows) for each in vars(again).values())
        with pytest.raises(AttributeError, match=r"no attribute .rows_.: it belongs to the train"):
            again.rows_
    assert len(model.ambiguity_set_.rows_.X) == 80  # storing has changed nothing


@pytest.mark.parametrize("name", [each for each in MODELS if each not in ("own", "plain")])
def test_held_out_rows_are_gone_after_a_fit(name):
    X, y = make_newsvendor(100, random_state=0)
    model = MODELS[name].fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    ball = getattr(model, "corrector_", model).ambiguity_set_
    for part in (ball, getattr(ball, "search_", None)):
        assert getattr(part, "_held_out", None) is None


@pytest.mark.parametrize(
    "search", [TiltedSearch(50), policy_gradient()], ids=["tilted", "policy gradient"]
)
def test_an_unpickled_ball_gives_rows(search):
    X, y = make_newsvendor(100, random_state=0)
    model = DiffusionDRODFLRegressor(PROBLEM, search=search, generator=GENERATOR, **QUICK)
    ball = model.fit(X, y).ambiguity_set_
    again = pickle.loads(pickle.dumps(ball))

    def cost(rows):
        return PROBLEM.cost(model.decide(rows.X), rows.y)

    expected, found = ball.worst_case(cost), again.worst_case(cost)
    for name in ("X", "y", "weight"):
        assert_array_equal(getattr(expected[0], name), getattr(found[0], name))
    assert found[1] == expected[1]
    assert again.report(cost) == ball.report(cost)
    assert again.held_out_regret(cost) == ball.held_out_regret(cost)
    for draw in ("sample", "nominal"):
        drawn = [getattr(each, draw)(5, np.random.default_rng(0)).X for each in (ball, again)]
        assert_array_equal(*drawn)


def test_score_matching_says_that_its_rows_are_gone():
    X, y = make_newsvendor(100, random_state=0)
    search = policy_gradient("score_matching")
    model = DiffusionDRODFLRegressor(PROBLEM, search=search, generator=GENERATOR, **QUICK)
    ball = model.fit(X, y).ambiguity_set_
    with pytest.raises(RuntimeError, match="Fit again"):
        ball.worst_case(lambda rows: rows.y[:, 0])
    assert ball.sample(3, np.random.default_rng(0)).X.shape == (3, 5)
