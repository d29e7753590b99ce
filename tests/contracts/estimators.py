"""One entry per estimator or transformer setting that scikit-learn's checks walk through."""

import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge

from dfl_sklearn import (
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    TwoStageRegressor,
)
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer, ProvisioningOptimizer
from dfl_sklearn.losses import PerturbedFenchelYoungLoss, RegretLoss
from dfl_sklearn.nets import LSTMPredictor
from dfl_sklearn.problems import LinearProgram, NewsvendorProblem, SquaredErrorProblem
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

# Small enough for a hundred fits, with mini-batches on the checks' data of 20 to 200 rows.
QUICK = {"max_iter": 15, "hidden_layer_sizes": (8,), "batch_size": 16, "random_state": 0}


def net_position():
    """Return a newsvendor whose y may be negative, as the checks' targets are."""
    return NewsvendorProblem(9, 1, nonnegative=False)


def instances():
    """Return fresh instances."""
    problems = [SquaredErrorProblem, net_position]
    nets = [
        DFLRegressor(make(), early_stopping=early_stopping, **QUICK)
        for make in problems
        for early_stopping in (False, True, "auto")
    ]
    # A linear problem of any width, decided by the sign of each parameter.
    signs = LinearProgram(bounds=(-1, 1))
    linear = [
        DFLRegressor(signs, loss=loss, **{**QUICK, "max_iter": 30})
        for loss in (None, RegretLoss(smoothing=30.0), PerturbedFenchelYoungLoss())
    ]
    # The checks' ten columns are no window, and a small LSTM takes longer steps to fit them.
    longer = {**QUICK, "max_iter": 30, "batch_size": 8, "early_stopping": False}
    predictors = [
        DFLRegressor(predictor=LSTMPredictor(16), learning_rate_init=0.02, **longer),
        DFLRegressor(net_position(), predictor=torch.nn.Linear, **QUICK),
    ]
    # Least squares orders the mean. With costs of 9 to 1 it scores 0.13 on data on which the
    # checks ask for 0.5, as it should: there the two-stage model has to predict the quantile.
    two_stage = [
        TwoStageRegressor(LinearRegression()),
        TwoStageRegressor(LinearRegression(), NewsvendorProblem(1, 1, nonnegative=False)),
        TwoStageRegressor(QuantileRegressor(quantile=0.9, alpha=0.0), net_position()),
        TwoStageRegressor(HistGradientBoostingRegressor(max_iter=30, random_state=0)),
    ]
    # The checks' targets are around 0, where a factor moves little.
    quick = {**QUICK, "max_iter": 30, "cv": 3}
    fine_tuned = [
        DFFRegressor(LinearRegression(), **quick),
        DFFRegressor(
            LinearRegression(), NewsvendorProblem(1, 1, nonnegative=False), epsilon=0.2, **quick
        ),
        DFFRegressor(LinearRegression(), signs, trust_region="absolute", epsilon=1.0, **quick),
        DFFRegressor(Ridge(), inputs="predictions", **quick),
    ]
    generator = DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=10, max_iter=3, random_state=0)
    policy_gradient = PolicyGradientSearch(
        n_steps=8, n_tail=4, n_trajectories=40, n_warm_up=1, n_rounds=1, n_epochs=1
    )
    robust = [
        DiffusionDRODFLRegressor(
            make(),
            radius=0.01,
            nominal_weight=0.8,
            search=search,
            generator=generator,
            **{**QUICK, "max_iter": 30},
        )
        for make in problems
        for search in (TiltedSearch(500), policy_gradient)
    ]
    classical = [
        DFLRegressor(
            make(), ambiguity_set=each, early_stopping=stopping, **{**QUICK, "max_iter": 30}
        )
        for make in problems
        for each, stopping in (
            (KLBall(0.05), False),
            (ChiSquareBall(0.1), True),
            (CVaR(0.8), False),
            (WassersteinBall(0.05), False),
        )
    ]
    augmented = [
        DFLRegressor(make(), ambiguity_set=each, nominal_weight=0.5, **{**QUICK, "max_iter": 30})
        for make in problems
        for each in (GaussianNoise(0.05), NominalSamples(300, generator=generator))
    ]
    return [
        *nets,
        *linear,
        *classical,
        *augmented,
        *robust,
        generator,
        DFLRegressor(**{**QUICK, "hidden_layer_sizes": ()}),
        *predictors,
        *two_stage,
        *fine_tuned,
        PredictionTransformer(LinearRegression()),
        PredictionTransformer(HistGradientBoostingRegressor(max_iter=5, random_state=0)),
        DecisionTransformer(),
        DecisionTransformer(net_position()),
        ProvisioningOptimizer(),
    ]
