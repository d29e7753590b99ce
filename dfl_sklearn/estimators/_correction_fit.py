"""How a correction of predictions is trained, and whether it is of use."""

import warnings
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._utils.seeds import named_seed
from ..learners.correction import BiasCorrection
from ..learners.scaling import Scale
from ..losses import LogLoss
from ..problems._average import averaged_decisions
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._correction import CorrectionInputs
from .dfl import DFLRegressor

# Parameters of a DFFRegressor that the net of the correction is trained with.
_SHARED = (
    *("loss", "ambiguity_set", "nominal_weight", "alpha", "batch_size", "learning_rate"),
    *("learning_rate_init", "max_iter", "tol", "n_iter_no_change", "device", "n_jobs"),
    *("callbacks", "verbose", "n_estimators"),
)


def refuse_log_loss(loss: Any) -> None:
    """Raise a ValueError if a correction cannot be trained on a loss."""
    if isinstance(loss, LogLoss):
        raise ValueError(
            "loss=LogLoss() needs predictions between 0 and 1, which corrected ones may leave. "
            "Use a loss of the decision, or let the backbone learn by the log loss."
        )


def warn_of_zeros(predictions: np.ndarray, stacklevel: int) -> None:
    """Warn if a factor cannot move some predictions (n, d) of the backbone."""
    is_zero = predictions == 0
    if is_zero.any():
        warnings.warn(
            f"{is_zero.mean():.0%} of the backbone's predictions are exactly 0, which no "
            'factor can move. Use trust_region="absolute" to correct these too.',
            UserWarning,
            stacklevel=stacklevel + 1,
        )


class Correction(DFLRegressor):
    """The net that corrects; its ambiguity set finds the columns of X as DFFRegressor got them."""

    _inputs: CorrectionInputs | None = None  # a clone corrects nothing

    def _names_as_given(self) -> Any:
        return super()._names_as_given() if self._inputs is None else self._inputs.names

    def _as_given(self, rows: Rows) -> np.ndarray:
        stacked = super()._as_given(rows)
        return stacked if self._inputs is None else self._inputs.features(stacked)


def unfitted_correction(owner: Any, train: Rows, seed: int) -> DFLRegressor:
    """Return the net that corrects predictions, for rows to train on; it is not trained.

    Parameters
    ----------
    owner : DFFRegressor
        With its `residual_scale_`.
    train : Rows
        With the inputs of the correction as X.
    seed : int
    """
    inputs = owner._inputs
    scale = Scale.of(inputs.seen(train.X), train.weight)
    net = BiasCorrection(
        owner.epsilon,
        size=None if owner.trust_region == "relative" else owner.residual_scale_,
        mean=scale.mean,
        scale=scale.scale,
        sees_predictions=owner.inputs != "X",
        hidden_layer_sizes=owner.hidden_layer_sizes,
        activation=owner.activation,
    )
    found = Correction(
        owner._resolve_problem()._by_position(),
        predictor=net,
        context=inputs.context,
        context_is_feature=inputs.sees_context or inputs.context is None,
        standardize=False,
        random_state=named_seed(seed, "correction") % 2**32,
        **{name: getattr(owner, name) for name in _SHARED},
    )
    found._inputs = inputs
    return found


def held_out_gain(
    inputs: CorrectionInputs, problem: DecisionProblem, rows: Rows, corrected: np.ndarray
) -> Bunch:
    """Return the mean regret before and after a correction, and the standard error of the gain.

    Parameters
    ----------
    inputs : CorrectionInputs
    problem : DecisionProblem
    rows : Rows
        Held-out rows, with the inputs as X.
    corrected : ndarray of shape (K, n, d)
        Corrected predictions, of each of K corrections.
    """
    problem = problem._by_position()
    context = None if inputs.context is None else rows.X[:, inputs.context]
    before, after = (
        problem.cost(averaged_decisions(problem, each, context), rows.y, context=context)
        for each in (inputs.predictions(rows.X)[None], corrected)
    )
    regret = before - problem.optimal_cost(rows.y, context=context)
    gain = before - after
    share = rows.weight / rows.weight.sum()
    mean = float(share @ gain)
    # The standard error of a weighted mean, with the effective sample size (Kish).
    n_effective = 1.0 / float((share**2).sum())
    error = np.inf  # a single row has no standard error
    if n_effective > 1.0 + 1e-9:
        error = float(np.sqrt(share @ (gain - mean) ** 2 / (n_effective - 1.0)))
    return Bunch(
        backbone=float(share @ regret),
        corrected=float(share @ regret) - mean,
        standard_error=error,
        gain=mean,
    )
