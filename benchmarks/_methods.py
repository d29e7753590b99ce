"""The methods of the suite: each with one knob, from no caution to much."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.multioutput import MultiOutputRegressor

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.metrics import make_decision_cost_scorer
from dfl_sklearn.model_selection import CostTailSplit
from dfl_sklearn.problems import DecisionProblem
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    GaussianNoise,
    KLBall,
    NominalSamples,
    PolicyGradientSearch,
    WassersteinBall,
)

RADII = (0.005, 0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.2, 0.3, 0.5, 1.0)
PATH_RADII = (0.03, 0.08, 0.2, 0.6)  # a path divergence is larger than that of the rows
N_AVERAGED = 5  # fits, in the methods that average
HIDDEN = {"linear": (), "MLP": (32, 32)}


class Padded(RegressorMixin, BaseEstimator):
    """Two-stage prediction with a safety margin of so many standard deviations of its residuals."""

    def __init__(self, estimator, knob, sign):
        self.estimator = estimator
        self.knob = knob
        self.sign = sign

    def fit(self, X, y):
        """Fit, and measure the residuals of rows that were not fitted on."""
        residuals = y - cross_val_predict(self.estimator, X, y, cv=5)
        self.pad_ = self.sign * self.knob * np.std(residuals, axis=0)
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    def predict(self, X):
        """Predict, with the margin."""
        return self.estimator_.predict(X) + self.pad_


class Fit(NamedTuple):
    """An estimator to fit, and the problem that turns its predictions into decisions."""

    estimator: Any
    problem: DecisionProblem


class Method(NamedTuple):
    """Knobs, upwards, and what each stands for: ``make(knob, seed, cache) -> Fit``.

    Where `is_tuned` is False the method chooses by itself and is not held to the price.
    """

    knobs: tuple
    make: Callable
    is_tuned: bool = True


def several(estimator, seed, **params):
    """Return the mean of several fits of an estimator."""
    return BaggingRegressor(estimator, N_AVERAGED, random_state=seed, **params)


def per_output(estimator, n_outputs):
    """Return the estimator, once per output where there are several."""
    return estimator if n_outputs == 1 else MultiOutputRegressor(estimator)


def methods(family, predictor):
    """Return {name: Method} of a family, with nets of a class: "linear" or "MLP"."""
    problem, hidden = family.problem, HIDDEN[predictor]
    n_outputs = np.atleast_2d(family.train(0)[1].T).shape[0]

    def plain(problem, seed, **params):
        return DFLRegressor(problem, hidden_layer_sizes=hidden, random_state=seed, **params)

    def padded(make_estimator):
        return Method(
            family.pad_knobs,
            lambda knob, seed, cache: Fit(
                Padded(make_estimator(seed), knob, family.pad_sign), problem
            ),
        )

    def quantile(knob, seed, cache):
        level = family.quantile_of(knob)
        return Fit(per_output(QuantileRegressor(quantile=level, alpha=0), n_outputs), problem)

    def margin(knob, seed, cache):
        return Fit(plain(family.careful(knob), seed), family.careful(knob))

    def bagged(knob, seed, cache, **params):
        fit = margin(knob, seed, cache)
        return Fit(several(fit.estimator, seed, **params), fit.problem)

    def averaged(knob, seed, cache):
        return bagged(knob, seed, cache, bootstrap=False)

    def within(make_set):
        def make(knob, seed, cache):
            return Fit(plain(problem, seed, ambiguity_set=make_set(knob)), problem)

        return make

    def mean_of_several(make):
        def make_several(knob, seed, cache):
            return Fit(several(make(knob, seed, cache).estimator, seed, bootstrap=False), problem)

        return make_several

    def samples(knob, seed, cache):
        ambiguity_set = NominalSamples(memory=cache)
        # The knob is caution, as for the plain net: sampling alone has none.
        fit = plain(family.careful(knob), seed, ambiguity_set=ambiguity_set)
        return Fit(fit, family.careful(knob))

    def diffusion(search=None):
        def make(knob, seed, cache):
            estimator = DiffusionDRODFLRegressor(
                problem,
                radius=knob,
                search=search,
                hidden_layer_sizes=hidden,
                memory=cache,
                random_state=seed,
            )
            return Fit(estimator, problem)

        return make

    def chosen(knob, seed, cache):
        estimator = diffusion()(RADII[0], seed, cache).estimator
        search = GridSearchCV(
            estimator,
            {"radius": [0.0, *RADII]},
            scoring=make_decision_cost_scorer(problem),
            cv=CostTailSplit(problem, random_state=seed),
        )
        return Fit(search, problem)

    careful = family.careful_knobs
    classical = {
        "KL": Method((0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4), within(KLBall)),
        "chi-square": Method((0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8), within(ChiSquareBall)),
        # The knob is 1 - alpha, so that more is more caution.
        "CVaR": Method(
            (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8),
            within(lambda knob: CVaR(alpha=round(1 - knob, 6))),
        ),
        "Wasserstein": Method((0.05, 0.1, 0.2, 0.4, 0.6, 1.0), within(WassersteinBall)),
    }
    table = {
        "least squares, padded": padded(lambda seed: LinearRegression()),
        "boosting, padded": padded(
            lambda seed: per_output(HistGradientBoostingRegressor(random_state=seed), n_outputs)
        ),
        "quantile regression": Method(family.quantile_knobs, quantile),
        "margin": Method(careful, margin),
        "margin, bagged": Method(careful, bagged),
        "margin, averaged": Method(careful, averaged),
        "Gaussian noise": Method((0.1, 0.2, 0.3, 0.4, 0.6, 0.9), within(GaussianNoise)),
        **classical,
        **{
            f"{name}, averaged": Method(each.knobs, mean_of_several(each.make))
            for name, each in classical.items()
        },
        "nominal samples, margin": Method(careful, samples),
        "diffusion, tilted": Method(RADII, diffusion()),
        "diffusion, tilted, averaged": Method(RADII, mean_of_several(diffusion())),
        "diffusion, policy gradient": Method(PATH_RADII, diffusion(PolicyGradientSearch())),
        "diffusion, radius chosen": Method((0.0,), chosen, is_tuned=False),
    }
    if predictor == "linear":  # nothing is held out, and every seed gives the same net
        del table["margin, averaged"]
    return table
