"""One stage of training: a learner on the rows of a source, until it stops."""

from typing import Any

import torch

from ..learners.batches import as_batch, repeated
from ..learners.net import NetLearner
from ..learners.patience import Stopping
from ..learners.trainer import NonFiniteLossError, Training, forward
from ..rows import Rows
from .objective import Objective
from .options import TrainingOptions
from .sources import RowSource


def run_stage(
    learner: NetLearner,
    objective: Objective,
    source: RowSource,
    stopping: Stopping,
    options: TrainingOptions,
    rows: Rows,
    start_value: Any,
) -> Training:
    """Train a learner in place and leave it with its best weights.

    Parameters
    ----------
    learner : NetLearner
    objective : Objective
    source : RowSource
        Source of the mini-batches, and of the number that is watched.
    stopping : Stopping
    options : TrainingOptions
    rows : Rows
        The training rows, to find the cause where the loss is not finite.
    start_value : float or ndarray of shape (K,)
        The watched number before the first epoch, or that of each member of an ensemble. The
        initial weights are kept if no epoch is better; infinity never keeps them.

    Raises
    ------
    FloatingPointError
        If the loss becomes NaN or infinite. The message names the row, or the learning rate.
    """
    try:
        return learner.train(
            objective.mean_loss,
            source,
            source.after_epoch,
            stopping,
            start_value,
        )
    except NonFiniteLossError as error:
        why = _explained(learner, objective, rows, options.learning_rate_init)
        raise FloatingPointError(f"{error} {why}") from error


def _explained(learner: NetLearner, objective: Objective, rows: Rows, learning_rate: float) -> str:
    """Return whether a row or the learning rate is the cause; the learner has its best weights."""
    outputs = forward(learner.net, rows.X)
    if outputs.ndim == 3:  # of the members of an ensemble, each of which knows all rows
        rows, outputs = repeated(rows, len(outputs)), outputs.flatten(0, 1)
    losses = objective.losses(learner.units.parameters(outputs), as_batch(rows)[1])
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad) == 0:
        return f"The weights of the net have diverged: lower learning_rate_init={learning_rate}."
    i = int(bad[0])
    return (
        f"{type(objective.problem).__name__} gave {float(losses[i])} for the row with "
        f"y = {rows.y[i].tolist()}; its standardised features are {rows.X[i].tolist()}."
    )
