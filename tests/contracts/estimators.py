"""Quick instances of every estimator and transformer, for the contract tests."""

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge
from sklearn.tree import DecisionTreeRegressor

from dfl_sklearn import (
    ConformalDecisions,
    DFFRegressor,
    DFLRegressor,
    DiffusionDRODFLRegressor,
    ExpertMixture,
    PolicyRegressor,
    TwoStageRegressor,
)
from dfl_sklearn.compose import DecisionTransformer, PredictionTransformer, ProvisioningOptimizer
from dfl_sklearn.learners import LSTMPredictor
from dfl_sklearn.losses import (
    FeasibilityLoss,
    PerturbedFenchelYoungLoss,
    RegretLoss,
    ScoreFunctionLoss,
)
from dfl_sklearn.problems import (
    DecisionProblem,
    FromContext,
    LinearProgram,
    NewsvendorProblem,
    SquaredErrorProblem,
    UncertainKnapsackProblem,
)
from dfl_sklearn.robust import (
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
from dfl_sklearn.scenarios import (
    DiffusionScenarios,
    DistributionScenarios,
    GaussianScenarios,
    LocalScenarios,
    MixtureScenarios,
    ResidualScenarios,
)


class Shifted(DecisionProblem):
    """Squared error of a decision that adds a known number to its prediction.

    Like the squared-error problem it takes any numbers, as the checks draw them.
    """

    exact_scenarios = True  # the mean is the best decision

    def __init__(self, shift=0.0):
        self.shift = shift

    def solve_rows(self, y, context=None):
        return y + self._known(self.shift, context)

    def cost_rows(self, decisions, y, context=None):
        shift = self._known(self.shift, context)
        if isinstance(y, torch.Tensor):
            shift = torch.as_tensor(shift).to(y)
        return ((decisions - y - shift) ** 2).sum(1)

    def decision_layer(self, smoothing=None):
        return ShiftLayer()

    def decision_projection(self, n_parameters):
        return AsItIs()


class AsItIs(torch.nn.Module):
    """Every decision is allowed, in any context."""

    def forward(self, z, context):
        return z


class ShiftLayer(torch.nn.Module):
    """The prediction plus the first column of the context."""

    def forward(self, y, context):
        return y + context[:, :1].to(y)


class AnyKnapsack(UncertainKnapsackProblem):
    """One of unknown weights, for targets of any sign: the weights are their softplus."""

    nonnegative = False

    def __init__(self, values=1.0, capacity=0.6, *, penalty=10.0):
        super().__init__(values, capacity, penalty=penalty)

    def solve_rows(self, y, context=None):
        return super().solve_rows(weights_of(y), context)

    def cost_rows(self, decisions, y, context=None):
        return super().cost_rows(decisions, weights_of(y), context)

    def uncertain_constraints(self, decisions, y, context=None):
        return super().uncertain_constraints(decisions, weights_of(y), context)

    def check_parameters(self, y):
        DecisionProblem.check_parameters(self, y)

    def project_parameters(self, y):
        return DecisionProblem.project_parameters(self, y)


def weights_of(y):
    """Return the softplus of an array or a tensor."""
    if isinstance(y, torch.Tensor):
        return torch.nn.functional.softplus(y)
    return np.logaddexp(0.0, y)


def likelier_at_first(X):
    """Shift weights between 1 and 2."""
    return 1.0 + (np.asarray(X)[:, 0] > 0)


def first_is_positive(X):
    """Return the group of each row."""
    return np.asarray(X)[:, 0] > 0


# Small enough for a hundred fits, with mini-batches on the checks' data of 20 to 200 rows.
QUICK = {
    "max_iter": 7,
    "hidden_layer_sizes": (8,),
    "batch_size": 32,
    "learning_rate_init": 0.05,
    "random_state": 0,
}


def net_position():
    """Return a newsvendor whose y may be negative, as the checks' targets are."""
    return NewsvendorProblem(9, 1, nonnegative=False)


def generator():
    """Return a diffusion model that is fitted in a moment."""
    return DiffusionGenerator(hidden_layer_sizes=(8,), n_steps=3, max_iter=1, random_state=0)


def robust(problem, search):
    """Return a quick flagship."""
    return DiffusionDRODFLRegressor(
        problem, radius=0.01, nominal_weight=0.8, search=search, generator=generator(), **QUICK
    )


def over_scenarios(problem, **params):
    """Return a quick flagship that decides over scenarios."""
    found = robust(problem, None)
    params = {"n_scenarios": 2, "n_estimators": 2, **params}
    return found.set_params(decision="scenarios", **params)


def in_set(problem, ambiguity_set, **params):
    """Return a quick net trained for an ambiguity set."""
    return DFLRegressor(problem, ambiguity_set=ambiguity_set, **{**QUICK, **params})


# A linear problem of any width, decided by the sign of each parameter. It is solved row by row.
SIGNS = LinearProgram(bounds=(-1, 1))
SHIFTED = Shifted(FromContext(0))
FEW_STEPS = {**QUICK, "max_iter": 6}
# Least squares orders the mean. With costs of 9 to 1 it scores 0.13 on data on which the
# checks ask for 0.5, as it should: there the two-stage model has to predict the quantile.
EVEN = NewsvendorProblem(1, 1, nonnegative=False)
# The checks' targets are around 0, where a factor moves little.
FINE_TUNING = {**QUICK, "max_iter": 12, "cv": 3}


def code_paths():
    """Return fresh instances by name, one for each way through the code around a fit.

    All of scikit-learn's checks walk through these: what is validated, stored, named and refused.
    """
    return {
        # The default problem; a hold-out only where there are many rows.
        "net": DFLRegressor(SquaredErrorProblem(), **QUICK),
        # A class of its own, with a generator inside.
        "diffusion-dro": robust(net_position(), TiltedSearch(60)),
        # The same, over scenarios of its generator.
        "diffusion-dro-scenarios": over_scenarios(net_position(), n_estimators=1, n_scenarios=5),
        # Not a regressor.
        "generator": generator(),
        # A net whose output is the decision; as an ordinary regressor.
        "policy": PolicyRegressor(**QUICK),
        # Meta-estimators leave validation to what they wrap; the last adds a net of their own.
        "two-stage": TwoStageRegressor(LinearRegression(), EVEN),
        "prediction-transformer": PredictionTransformer(LinearRegression()),
        "fine-tuning": DFFRegressor(LinearRegression(), EVEN, epsilon=0.2, **FINE_TUNING),
        # Columns of X that the problem reads, seen by the predictor or not.
        "net-with-context": DFLRegressor(SHIFTED, context=[0], **QUICK),
        # Scenario models, and decisions over what they predict.
        "residual-scenarios": ResidualScenarios(LinearRegression(), scale="ridge"),
        "local-scenarios": LocalScenarios(DecisionTreeRegressor(max_depth=3, random_state=0)),
        "distribution-scenarios": DistributionScenarios(
            QuantileRegressor(alpha=0), n_scenarios=3, random_state=0
        ),
        "mixture-scenarios": MixtureScenarios(2, n_scenarios=20, **QUICK),
        "diffusion-scenarios": DiffusionScenarios(generator(), n_scenarios=9, random_state=0),
        "two-stage-scenarios": TwoStageRegressor(
            LocalScenarios(DecisionTreeRegressor(max_depth=6, random_state=0)),
            net_position(),
            risk=CVaR(0.9),
        ),
        "two-stage-with-context": TwoStageRegressor(LinearRegression(), SHIFTED, context=[0]),
        "expert-mixture": ExpertMixture(
            [("line", LinearRegression()), ("tree", DecisionTreeRegressor(random_state=0))], EVEN
        ),
        # Promises calibrated on held-out rows, for which the checks have few; and on folds.
        "conformal": ConformalDecisions(LinearRegression(), EVEN, confidence_level=0.5),
        # Without state, and with state but no target.
        "decision-transformer": DecisionTransformer(net_position()),
        "provisioning": ProvisioningOptimizer(),
    }


def variants():
    """Return fresh instances by name that differ from a code path in loss, set or predictor.

    They meet the checks in `DEPEND_ON_TRAINING`: what comes before and after training is the same
    code as in a path above.
    """
    small_policy = PolicyGradientSearch(
        n_steps=6, n_tail=3, n_trajectories=30, n_warm_up=1, n_rounds=1, n_epochs=1
    )
    found = {
        # A loss on best decisions (SPO+), which are solved for before training.
        "linear-problem": DFLRegressor(SIGNS, **FEW_STEPS),
        # A module that draws from torch's global generator, and a net without hidden layers.
        "torch-class": DFLRegressor(net_position(), predictor=torch.nn.Linear, **QUICK),
        # Rows held out whatever their number.
        "held-out-rows": DFLRegressor(net_position(), early_stopping=True, **QUICK),
        "squared-held-out": DFLRegressor(early_stopping=True, **QUICK),
        "newsvendor-auto": DFLRegressor(net_position(), **QUICK),
        # Nets side by side, each with its own stop.
        "ensemble": DFLRegressor(net_position(), n_estimators=3, early_stopping=True, **QUICK),
        "linear-net": DFLRegressor(**{**QUICK, "hidden_layer_sizes": ()}),
        # The checks' ten columns are no window, and a small LSTM takes more steps to fit them.
        "lstm": DFLRegressor(
            predictor=LSTMPredictor(16),
            early_stopping=False,
            **{**QUICK, "max_iter": 12, "batch_size": 16},
        ),
        "regret-loss": DFLRegressor(SIGNS, loss=RegretLoss(smoothing=30.0), **FEW_STEPS),
        "fenchel-young": DFLRegressor(SIGNS, loss=PerturbedFenchelYoungLoss(), **FEW_STEPS),
        "score-function": DFLRegressor(SIGNS, loss=ScoreFunctionLoss(), **FEW_STEPS),
        "score-function-knapsack": DFLRegressor(
            AnyKnapsack(), loss=ScoreFunctionLoss(sigma=0.3), early_stopping=False, **FEW_STEPS
        ),
        "feasibility": DFLRegressor(
            AnyKnapsack(), loss=FeasibilityLoss(), early_stopping=False, **FEW_STEPS
        ),
        "two-stage-squared": TwoStageRegressor(LinearRegression()),
        "two-stage-quantile": TwoStageRegressor(
            QuantileRegressor(quantile=0.9, alpha=0.0), net_position()
        ),
        "two-stage-one-output": TwoStageRegressor(
            HistGradientBoostingRegressor(max_iter=30, random_state=0)
        ),
        # A scenario model that is fitted by likelihood, and then trained for the decision.
        "trained-scenarios": DFLRegressor(
            EVEN,
            predictor=GaussianScenarios(n_scenarios=20, **{**QUICK, "max_iter": 4}),
            **{**QUICK, "max_iter": 4},
        ),
        "trained-diffusion": DFLRegressor(
            EVEN,
            predictor=DiffusionScenarios(generator(), n_scenarios=9),
            **{**QUICK, "max_iter": 1},
        ),
        "residual-scenarios-plain": ResidualScenarios(Ridge(), cv=3),
        "gaussian-scenarios": GaussianScenarios(n_scenarios=20, early_stopping=True, **QUICK),
        "fine-tuning-squared": DFFRegressor(LinearRegression(), **FINE_TUNING),
        "fine-tuning-linear": DFFRegressor(
            LinearRegression(),
            SIGNS,
            trust_region="absolute",
            epsilon=1.0,
            **{**FINE_TUNING, "max_iter": 8},
        ),
        "fine-tuning-predictions": DFFRegressor(Ridge(), inputs="predictions", **FINE_TUNING),
        "conformal-squared": ConformalDecisions(Ridge(), confidence_level=0.5, scale=None, cv=3),
        "conformal-with-context": ConformalDecisions(
            LinearRegression(), SHIFTED, confidence_level=0.5, scale="ridge", context=[0]
        ),
        "conformal-box": ConformalDecisions(
            LinearRegression(), SIGNS, confidence_level=0.5, method="box"
        ),
        "conformal-with-shift": ConformalDecisions(
            LinearRegression(), EVEN, confidence_level=0.5, shift_weight=likelier_at_first
        ),
        "conformal-of-decisions": ConformalDecisions(
            TwoStageRegressor(Ridge(), EVEN), confidence_level=0.5, tail=0
        ),
        "transformer-one-output": PredictionTransformer(
            HistGradientBoostingRegressor(max_iter=5, random_state=0)
        ),
        "decision-transformer-squared": DecisionTransformer(),
    }
    found |= {
        # The second stage of training: rows that are weighted, rows that are moved. The first
        # holds rows out whatever their number, for a problem whose decision is no prediction.
        "weighted-rows": in_set(net_position(), ChiSquareBall(0.1), early_stopping=True),
        "moved-rows": in_set(SquaredErrorProblem(), WassersteinBall(0.05), early_stopping=False),
        "kl-newsvendor": in_set(net_position(), KLBall(0.05), early_stopping=False),
        "cvar-squared": in_set(SquaredErrorProblem(), CVaR(0.8), early_stopping=False),
        "groups-squared": in_set(SquaredErrorProblem(), GroupDRO(first_is_positive)),
        "hard-rows-newsvendor": in_set(net_position(), JustTrainTwice(0.2, 2.0)),
        "sinkhorn-squared": in_set(
            SquaredErrorProblem(), SinkhornBall(0.02, 0.001, 2), early_stopping=True
        ),
        "noise-newsvendor": in_set(net_position(), GaussianNoise(0.05), nominal_weight=0.5),
        "samples-squared": in_set(
            SquaredErrorProblem(), NominalSamples(200, generator=generator()), nominal_weight=0.8
        ),
        "policy-gradient-newsvendor": robust(net_position(), small_policy),
    }
    found["fine-tuning-with-context"] = DFFRegressor(
        LinearRegression(), SHIFTED, context=[0], **FINE_TUNING
    )
    found["wasserstein-with-context"] = in_set(
        SHIFTED, WassersteinBall(0.05), context=[0], early_stopping=False
    )
    found["diffusion-dro-with-context"] = robust(SHIFTED, TiltedSearch(150)).set_params(context=[0])
    found["diffusion-dro-scenarios-with-context"] = over_scenarios(SHIFTED, context=[0], radius=0.0)
    found["policy-newsvendor"] = PolicyRegressor(
        net_position(), early_stopping=True, **{**QUICK, "max_iter": 20}
    )
    found["policy-linear"] = PolicyRegressor(SIGNS, early_stopping=False, **FEW_STEPS)
    found["policy-weighted-rows"] = PolicyRegressor(
        net_position(), ambiguity_set=ChiSquareBall(0.1), early_stopping=False, **QUICK
    )
    found["policy-with-context"] = PolicyRegressor(SHIFTED, context=[0], **QUICK)
    found["chi-square-squared"] = in_set(
        SquaredErrorProblem(), ChiSquareBall(0.1), early_stopping=True
    )
    found["wasserstein-newsvendor"] = in_set(
        net_position(), WassersteinBall(0.05), early_stopping=False
    )
    found["diffusion-dro-squared"] = robust(SquaredErrorProblem(), TiltedSearch(150))
    return found


# scikit-learn's checks whose outcome can depend on the loss, the set or the predictor.
DEPEND_ON_TRAINING = {
    "check_fit_idempotent",  # state of an earlier fit
    "check_dict_unchanged",  # state that predicting leaves
    "check_sample_weight_equivalence_on_dense_data",  # weights, in the loss and in the worst case
    "check_regressors_train",  # it learns
    "check_transformer_general",
    "check_estimators_dtypes",  # float32 and whole numbers, down to the problem
    "check_regressor_multioutput",  # several parameters per row
    "check_fit2d_1sample",  # one row: no spread, nothing to hold out
    "check_methods_subset_invariance",  # rows of one batch that know of one another
}
