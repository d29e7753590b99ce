"""A net that learns parameters: built, trained and used in the units of the problem."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks.scoring import ScoringBase
from torch import nn

from .._utils.context_columns import ContextColumns
from .._utils.members import member_mean
from ..rows import Rows
from .adam import adam
from .construct import (
    build_ensemble,
    build_module,
    check_monitors,
    check_output_width,
)
from .given_net import check_module_of, check_settings
from .patience import Stopping
from .scaling import Scale
from .trainer import (
    BatchCriterion,
    EnsembleNet,
    PredictorNet,
    Training,
    forward,
    train,
)

Loss = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]
"""Mean loss of a batch, given predictions (B, d) in the units of the problem."""


class NetUnits:
    """Conversion between the units of the data and those of a net: scales, dtype and device.

    Decisions, costs and regrets are float64; only what goes through the net has its dtype.

    Parameters
    ----------
    scales : pair of Scale
        Scales of the features and of the parameters.
    dtype : torch.dtype
        Dtype of the net.
    device : torch.device
    columns : ContextColumns or None
        The columns that are context, if the net sees them among its inputs.
    """

    def __init__(
        self,
        scales: tuple[Scale, Scale],
        dtype: torch.dtype,
        device: torch.device,
        columns: ContextColumns | None = None,
    ) -> None:
        self.scales, self.dtype, self.device = scales, dtype, device
        self.columns = columns
        self.y_mean, self.y_scale = (
            torch.as_tensor(each, dtype=torch.float64, device=device) for each in scales[1]
        )

    def rows(self, rows: Rows) -> Rows:
        """Return rows as the net takes them: tensors, standardised inputs, weights of mean 1."""
        inputs = rows.X if self.columns is None else self.columns.seen(rows.X, rows.context)
        scaled = rows.replace(
            X=self.scales[0].apply(inputs), weight=rows.weight / rows.weight.mean()
        )
        return scaled.to(self.device, self.dtype)

    def slopes_in_features(self, slopes: np.ndarray) -> np.ndarray:
        """Convert slopes in the net's inputs to slopes in the features (n, p), in their units."""
        slopes = slopes / self.scales[0].scale
        return slopes if self.columns is None else slopes[:, self.columns.features_among_inputs]

    def parameters(self, output: torch.Tensor) -> torch.Tensor:
        """Return the problem's parameters, float64, for the output of the net."""
        return output.to(torch.float64) * self.y_scale + self.y_mean


class NetLearner:
    """A net that predicts the parameters of a problem.

    Parameters
    ----------
    predictor : callable, NetFactory or NeuralNet
        A function ``(n_in, n_out) -> module``, or a skorch net, which is cloned.
    rows : Rows
        As :meth:`NetUnits.rows` returns them; the net must map their features to as many numbers
        as the second scale of `units` has.
    units : NetUnits
    seeds : sequence of int
        Seed of the initial weights of each net. Several nets are trained side by side, as an
        :class:`~.ensemble.Ensemble`.
    monitored : str
        The number that training watches, for callbacks.
    callbacks : iterable of skorch.callbacks.Callback
    **settings : dict
        `lr`, `batch_size` and `weight_decay`, unless the predictor is a skorch net.
    """

    def __init__(
        self,
        predictor: Any,
        rows: Rows,
        units: NetUnits,
        *,
        seeds: Sequence[int],
        monitored: str,
        callbacks: Iterable[Any],
        **settings: Any,
    ) -> None:
        self.units, self.n_members = units, len(seeds)
        self.loss: Loss | None = None
        callbacks = list(callbacks)
        if any(isinstance(each, ScoringBase) for each in callbacks):
            raise ValueError(
                "callbacks has one that computes scores (EpochScoring or BatchScoring), which "
                "cannot see the rows; history_ has the regret of each epoch."
            )
        own = predictor.callbacks if isinstance(predictor, NeuralNet) else None
        check_monitors([*callbacks, *(own or [])], monitored)
        # By class and argument: skorch refuses a finished module where there was a class.
        criterion = {"criterion": BatchCriterion, "criterion__function": self._batch_loss}
        device, n_out = str(units.device), len(units.scales[1].mean)
        if isinstance(predictor, NeuralNet):
            if self.n_members > 1:
                raise ValueError(
                    f"n_estimators={self.n_members} needs a predictor that can be built several "
                    "times and is trained by Adam: None, one of dfl_sklearn.learners, or a "
                    "function (n_in, n_out) -> torch.nn.Module. A skorch net has one module, and "
                    "an optimiser that may treat the members as one."
                )
            net = clone(predictor)
            check_settings(net, device)
            # Progress is reported by this package, not by the net.
            net.set_params(**criterion, train_split=None, device=device, verbose=0)
            if callbacks:
                own = [] if net.callbacks in (None, "disable") else net.callbacks
                net.callbacks = [*own, *callbacks]
        else:
            sizes = rows.X.shape[1], n_out
            module = (
                build_module(predictor, *sizes, seeds[0])
                if self.n_members == 1
                else build_ensemble(predictor, *sizes, seeds)
            )
            net = (PredictorNet if self.n_members == 1 else EnsembleNet)(
                module,
                **criterion,
                **adam(module, units.device),
                optimizer__weight_decay=settings["weight_decay"],
                optimizer__param_groups=[("*bias*", {"weight_decay": 0.0})],
                lr=settings["lr"],
                batch_size=settings["batch_size"],
                train_split=None,
                callbacks=callbacks,
                device=device,
                verbose=0,
            )
        net.initialize()
        if isinstance(predictor, NeuralNet):
            check_module_of(net)
        net.module_.to(units.dtype)
        check_output_width(net, rows.X, n_out)
        self.net = net

    def batch_size(self, n_rows: int) -> int:
        """Return the number of rows in a mini-batch, given `n_rows` rows in all."""
        return self.net.batch_size if self.net.batch_size > 0 else n_rows

    def train(
        self,
        loss: Loss,
        batches: Any,
        monitor: Callable[[], dict[str, Any]],
        stopping: Stopping,
        start_value: Any,
    ) -> Training:
        """Train on a loss in the units of the problem; see :func:`.trainer.train`."""
        self.loss = loss
        return train(self.net, batches, monitor, stopping, start_value=start_value)

    def predict(self, rows: Rows) -> np.ndarray:
        """Return predictions (n, d) for rows as :meth:`NetUnits.rows` returns them.

        For an ensemble these are the members' means.
        """
        found = self.predict_members(rows)
        return found if self.n_members == 1 else member_mean(found)

    def predict_members(self, rows: Rows) -> np.ndarray:
        """Return the predictions to decide from: (n, d), or (K, n, d) for an ensemble."""
        return self.units.parameters(forward(self.net, rows.X)).cpu().numpy()

    def predict_with_slopes(self, X: torch.Tensor) -> torch.Tensor:
        """Return differentiable predictions for inputs: (n, d), or (K, n, d) for an ensemble."""
        return self.units.parameters(self.net.module_(X))

    def state(self) -> dict[str, torch.Tensor]:
        """Return the weights, on the CPU."""
        return {name: value.cpu() for name, value in self.net.module_.state_dict().items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Set the weights."""
        self.net.module_.load_state_dict(state)

    def trimmed(self) -> NeuralNet:
        """Return the net without what only training needs."""
        net = self.net
        net.criterion = nn.Identity
        del net.criterion__function
        net.history = type(net.history)()
        net.trim_for_prediction()
        return net

    def _batch_loss(self, output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        assert self.loss is not None
        return self.loss(self.units.parameters(output), batch)
