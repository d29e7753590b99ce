"""Warm starts: the weights of the last fit, in the units of the new rows."""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ..learners.ensemble import Ensemble, StackedLinear, StackedMLP
from ..learners.modules import MLP
from ..learners.net import NetLearner
from ..learners.scaling import FAR, Scale
from ..rows import Rows
from .sources import Watched


class LastFit(NamedTuple):
    """A trained net, and the scales of features and parameters that it was trained with.

    `may_jump` says whether there are enough new rows to judge that the last fit is of no use.
    """

    module: nn.Module
    x_scale: Scale
    y_scale: Scale
    may_jump: bool = True

    def scales_for(self, rows: Rows) -> tuple[Scale, Scale]:
        """Return the scales of features and parameters to go on with."""
        if not self.may_jump:
            return self.x_scale.stretched(rows.X), self.y_scale.stretched(rows.y)
        return (
            self.x_scale.renewed(rows.X, rows.weight),
            self.y_scale.renewed(rows.y, rows.weight),
        )


def take_up(
    learner: NetLearner,
    last: LastFit,
    rows: Rows,
    train: Rows,
    watched: Watched,
    remarks: list[str],
) -> float:
    """Give a learner the weights to go on from, and return their regret on the watched rows.

    Its scales are those of the new rows, which are `rows` as the learner takes them and `train` in
    their own units, with the targets as their y. Warnings for the user are added to `remarks`.
    Where the first and last layer can be re-expressed in the new scales, predictions in the
    problem's units do not change. These predictions may be far away from the new rows, for example
    after a change of unit, or a first batch without sales. Then the weights are kept instead, and
    predictions move with the level of the rows, as they do for any other module.

    If the parameters did not vary in the last rows, nothing was learnt from them, and only weight
    decay has changed the weights. Training then starts from the learner's new initial weights.
    """
    if not last.y_scale.scale.any():
        return np.inf
    as_they_are, scales = last.module.state_dict(), learner.units.scales
    if all(
        np.array_equal(old, new)
        for scales in zip((last.x_scale, last.y_scale), scales, strict=True)
        for old, new in zip(*scales, strict=True)
    ):
        return _loaded(learner, watched, as_they_are)
    moved = re_expressed(last, *scales)
    if moved is None:
        remarks.append(
            f"Training goes on from the last weights of {type(last.module).__name__}, standardised "
            "afresh: its predictions move with the mean and the spread of the new rows. Only "
            "linear nets and perceptrons keep their predictions; standardize=False keeps those of "
            "any net."
        )
        return _loaded(learner, watched, as_they_are)
    regret = _loaded(learner, watched, moved)
    distance = _distance(learner, rows, train) if last.may_jump else 0.0
    if distance <= FAR:
        return regret
    afresh = _loaded(learner, watched, as_they_are)
    if afresh < regret:
        remarks.append(
            f"The predictions of the last fit are {distance:.3g} standard deviations away from the "
            "new rows, as where their level or unit has changed. Training goes on from the last "
            "weights, standardised afresh, and predictions jump."
        )
        return afresh
    return _loaded(learner, watched, moved)


def _distance(learner: NetLearner, rows: Rows, train: Rows) -> float:
    """Return the root mean square of prediction errors, in the scale of the worst column."""
    scale = learner.units.scales[1].scale
    with np.errstate(over="ignore", invalid="ignore"):
        errors = (learner.predict(rows) - train.y) / np.where(scale > 0, scale, np.inf)
        square = np.average(errors**2, axis=0, weights=train.weight)
    worst = float(np.sqrt(square.max()))
    return worst if np.isfinite(worst) else np.inf


def re_expressed(last: LastFit, x_scale: Scale, y_scale: Scale) -> dict[str, torch.Tensor] | None:
    """Return the weights that make the same predictions with the new scales.

    None for a module that is neither linear nor one of the package's perceptrons. A column of the
    parameters with a new scale of 0 is predicted by its mean, whatever the weights. Nothing was
    learnt about a column that had not varied before, and its predictions start at the new mean: at
    the old mean, such as 0, a decision may have no slope.
    """
    module = deepcopy(last.module).to("cpu")  # other devices may lack float64
    layers, own = _layers(module), {"weight", "bias"}
    if not layers or any({n for n, _ in layers[i].named_parameters()} != own for i in (0, -1)):
        return None
    _follow_by(layers[0], x_scale.scale / last.x_scale.scale, _shift(last.x_scale, x_scale))
    varies = y_scale.scale > 0
    unit = np.where(varies, y_scale.scale, 1.0)
    gain = np.where(varies, last.y_scale.scale / unit, 1.0)
    known = varies & (last.y_scale.scale > 0)
    offset = np.where(known, (last.y_scale.mean - y_scale.mean) / unit, 0.0)
    with torch.no_grad():
        weight, bias = _in_float64(layers[-1])
        layers[-1].weight.copy_(weight * weight.new_tensor(gain)[:, None])
        layers[-1].bias.copy_(bias * bias.new_tensor(gain) + bias.new_tensor(offset))
    return module.state_dict()


def _layers(module: nn.Module) -> list[Any]:
    """Return the layers of a linear net or a perceptron, and of an ensemble of these."""
    net: Any = module.stack if isinstance(module, Ensemble) else module
    if type(net) in (nn.Linear, StackedLinear):
        return [net]
    return list(net.children()) if type(net) in (MLP, StackedMLP) else []


def _shift(old: Scale, new: Scale) -> np.ndarray:
    return (new.mean - old.mean) / old.scale


def _follow_by(layer: nn.Linear, ratio: np.ndarray, shift: np.ndarray) -> None:
    """Change a layer of inputs ``ratio * x + shift`` to one of inputs x."""
    with torch.no_grad():
        weight, bias = _in_float64(layer)
        layer.bias.copy_(bias + weight @ weight.new_tensor(shift))
        layer.weight.copy_(weight * weight.new_tensor(ratio))


def _in_float64(layer: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.weight.to(torch.float64), layer.bias.to(torch.float64)


def _loaded(learner: NetLearner, watched: Watched, state: dict[str, torch.Tensor]) -> float:
    try:
        learner.load(state)
    except RuntimeError as error:
        raise ValueError(
            "warm_start goes on from the weights of the last fit, but the net has another shape "
            f"now: {error}"
        ) from error
    regret = watched.regret(learner)
    return regret if np.isfinite(regret) else np.inf
