"""The training loop: skorch's methods, mini-batches by slicing, stopping by regret."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from .._utils.interrupts import interrupts_are_passed_on
from .._utils.progress import say_epoch
from .patience import Stopping, patience_of

BatchLoss = Callable[[torch.Tensor, Any], torch.Tensor]
Outcome = Literal["converged", "max_iter", "stopped", "interrupted"]


class NonFiniteLossError(FloatingPointError):
    """The loss or the watched number of an epoch was NaN or infinite."""

    def __init__(self, epoch: int, loss: float) -> None:
        super().__init__(f"The loss became {loss} in epoch {epoch}.")


class PredictorNet(NeuralNet):
    """A skorch net with little overhead, for small modules.

    It has none of skorch's default callbacks, because the training loop reports progress. Its step
    expects batches on the right device, and the module in training mode. Without callbacks, an
    epoch is a plain loop over the batches.
    """

    @property
    def _default_callbacks(self) -> list[Any]:
        return []

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Train on every batch; with callbacks as skorch does, otherwise in a plain loop."""
        if self.callbacks_:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        total, n, weights = 0.0, 0, list(self.module_.parameters())
        for batch in iterator:
            for each in weights:
                each.grad = None
            loss = self.train_step_single(batch, **fit_params)["loss"]
            self.optimizer_.step()
            total += loss.item() * len(batch[0])
            n += len(batch[0])
        self.history.new_batch()
        self.history.record_batch(f"{prefix}_loss", total / n)
        self.history.record_batch(f"{prefix}_batch_size", n)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch and its gradients."""
        X, rows = batch
        output = self.module_(X, **fit_params)
        loss = self.criterion_(output, rows)
        loss.backward()
        return {"loss": loss, "y_pred": output}


class EnsembleNet(PredictorNet):
    """A net of several members that learn independently, each from its own batches.

    A batch holds the rows of all members, one member after the other. Gradients are those of the
    sum of the members' mean losses. With an optimiser that treats every weight separately, such as
    Adam, members do not influence each other.
    """

    _rates: list[Any] | None = None
    _is_unmoved: torch.Tensor | None = None  # (K,); None once each has had a gradient
    _has_loss: torch.Tensor

    def watch_members(self) -> None:
        """Start to record which members have never had a loss with a non-zero gradient."""
        self._is_unmoved = torch.ones(self.module_.n_members, dtype=torch.bool)
        self._has_loss = torch.zeros(self.module_.n_members, dtype=torch.bool)

    def unmoved(self) -> list[int]:
        """Return the positions of the members with a non-zero loss, but never a gradient of it."""
        if self._is_unmoved is None:
            return []
        return torch.nonzero(self._is_unmoved & self._has_loss).flatten().tolist()

    def learn_at(self, rates: np.ndarray) -> None:
        """Set the share (K,) of the learning rate that each member uses; 0 stops it.

        Steps of Adam are proportional to the learning rate. A full step is therefore made, and then
        shortened.
        """
        if self._rates is None:
            self.optimizer_.register_step_pre_hook(self._remember)
            self.optimizer_.register_step_post_hook(self._shorten)
        self._rates = self.module_.by_member(rates)

    def _remember(self, *_: Any) -> None:
        self._before = [each.detach().clone() for each in self.module_.parameters()]

    def _shorten(self, *_: Any) -> None:
        weights = [each.detach() for each in self.module_.parameters()]
        for weight, before, rate in zip(weights, self._before, self._rates or [], strict=True):
            weight.sub_(before).mul_(rate).add_(before)
        del self._before

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch, which is the mean over members, and its gradients."""
        X, rows = batch
        n_members = self.module_.n_members
        by_member = self.module_(X.unflatten(0, (n_members, -1)), **fit_params)
        output = by_member.flatten(0, 1)
        loss = self.criterion_(output, rows)
        (n_members * loss).backward()
        if self._is_unmoved is not None:
            self._note_slopes(by_member, rows)
        return {"loss": loss, "y_pred": output}

    def _note_slopes(self, output: torch.Tensor, rows: dict[str, torch.Tensor]) -> None:
        """Record which members (K, B, d) have a gradient, and which of the others a non-zero loss.

        Usually every member has a gradient in the first step, and later steps are not checked.
        """
        assert self._is_unmoved is not None
        self._is_unmoved &= self.module_.without_slope()
        if not self._is_unmoved.any():
            self._is_unmoved = None
            return
        for i in torch.nonzero(self._is_unmoved & ~self._has_loss).flatten().tolist():
            own = {name: each.chunk(len(output))[i] for name, each in rows.items()}
            self._has_loss[i] = bool(self.criterion_(output[i], own) != 0)


class AveragedNet(PredictorNet):
    """A net whose weights after every epoch are a moving average over its steps.

    An average converges without small steps, so the learning rate can stay large to the end.
    """

    decay = 0.99  # per step
    _reached: list[torch.Tensor] | None = None
    _n_steps = 0

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Continue from the last weights, and leave the average in the module."""
        weights = [each.detach() for each in self.module_.parameters()]
        averages = [each.clone() for each in weights]

        def follow(*_: Any) -> None:
            self._n_steps += 1
            share = 1 - min(self.decay, (1 + self._n_steps) / (10 + self._n_steps))
            for average, weight in zip(averages, weights, strict=True):
                average.lerp_(weight, share)

        _copy(self._reached or averages, weights)
        hook = self.optimizer_.register_step_post_hook(follow)
        try:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        finally:
            hook.remove()
            self._reached = [each.clone() for each in weights]
            _copy(averages, weights)


class BatchCriterion(nn.Module):
    """A function of (output of the net, rows of the batch) as a torch criterion."""

    def __init__(self, function: BatchLoss) -> None:
        super().__init__()
        self.function = function

    def forward(self, output: torch.Tensor, rows: Any) -> torch.Tensor:
        """Return the loss of the batch."""
        return self.function(output, rows)


@dataclass
class Training:
    """The result of training.

    Attributes
    ----------
    history : list of dict
        One record per epoch.
    best_epoch : int
        The epoch whose weights were kept, counted from 1; 0 for the initial weights.
    outcome : {"converged", "max_iter", "stopped", "interrupted"}
        How training ended: "stopped" by a callback, "interrupted" by the user (Ctrl-C).
    n_members : int
        Number of members of an ensemble.
    unmoved : list of int
        Positions of the members whose loss was not 0 but never had a gradient.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    outcome: Outcome = "max_iter"
    n_members: int = 1
    unmoved: list[int] = field(default_factory=list)


def train(
    net: NeuralNet,
    batches: Iterable[tuple[torch.Tensor, dict[str, torch.Tensor]]],
    monitor: Callable[[], dict[str, Any]],
    stopping: Stopping,
    *,
    start_value: Any = math.inf,
) -> Training:
    """Train an initialised net in place and leave it with its best weights.

    Parameters
    ----------
    net : NeuralNet
        Initialised; its callbacks are notified as in skorch's own loop.
    batches : iterable
        Yields the mini-batches of an epoch each time it is iterated over.
    monitor : callable
        Called after each epoch; returns numbers by name, including the one that stopping watches.
        For an ensemble this may be one number per member (K,).
    stopping : Stopping
    start_value : float or ndarray of shape (K,), default=inf
        The watched number before the first epoch, where the initial weights are to be kept if no
        epoch is better. With one number per member, every member stops and keeps its best weights
        separately.

    Returns
    -------
    Training
        The result, also if training was interrupted or stopped by a callback.

    Raises
    ------
    NonFiniteLossError
        If the loss or the watched number is NaN or infinite. The net has its best weights then.
    KeyboardInterrupt
        If the user interrupts before there are weights to keep: in the first epoch, unless there
        is a finite `start_value`. Within :func:`passing_interrupts_on`, at any time.
    """
    training, patience = Training(), patience_of(net, stopping, start_value)
    if isinstance(net, EnsembleNet):
        net.watch_members()
    net.notify("on_train_begin", X=batches, y=None)
    try:
        for epoch in range(1, stopping.max_epochs + 1):
            start = time.perf_counter()
            net.notify("on_epoch_begin", dataset_train=batches, dataset_valid=None)
            net.module_.train()
            net.run_single_epoch(batches, training=True, prefix="train", step_fn=net.train_step)
            loss = _mean_loss(net)
            numbers = monitor() if math.isfinite(loss) else {stopping.monitored: loss}
            watched = numbers[stopping.monitored]
            mean = float(np.mean(watched))
            if not math.isfinite(mean):
                patience.put_back()
                raise NonFiniteLossError(epoch, mean)
            record = {
                "epoch": epoch,
                "train_loss": loss,
                **numbers,
                stopping.monitored: mean,
                "learning_rate": net.optimizer_.param_groups[0]["lr"],
            }
            if patience.take(watched):
                training.best_epoch = epoch
            record["duration"] = time.perf_counter() - start
            training.history.append(record)
            for column in list(record)[1:]:  # skorch counts epochs itself
                net.history.record(column, record[column])
            net.history.record(f"{stopping.monitored}_best", training.best_epoch == epoch)
            say_epoch(record)
            net.notify("on_epoch_end", dataset_train=batches, dataset_valid=None)
            if patience.ends():
                training.outcome = "converged"
                break
    except KeyboardInterrupt as interrupt:
        if _came_from_a_callback(interrupt):
            training.outcome = "stopped"
        elif patience.has_weights and not interrupts_are_passed_on():
            training.outcome = "interrupted"
        else:
            raise
    net.notify("on_train_end", X=batches, y=None)
    patience.put_back()
    if isinstance(net, EnsembleNet):
        training.n_members, training.unmoved = net.module_.n_members, net.unmoved()
    return training


def forward(net: NeuralNet, X: torch.Tensor, *, chunk: int = 1 << 16) -> torch.Tensor:
    """Return the output (n, d) of a trained net for standardised features, in bounded memory.

    For an ensemble it is that of each member, (K, n, d).
    """
    net.module_.eval()
    with torch.no_grad():
        return torch.cat([net.infer(part) for part in X.split(chunk)], dim=-2)


def _came_from_a_callback(interrupt: KeyboardInterrupt) -> bool:
    """Return whether an interrupt was raised while callbacks were notified.

    skorch's callbacks stop training with the same exception as Ctrl-C; only the place where it is
    raised differs.
    """
    traceback = interrupt.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is NeuralNet.notify.__code__:
            return True
        traceback = traceback.tb_next
    return False


def _mean_loss(net: NeuralNet) -> float:
    batches = net.history[-1, "batches"]
    sizes = [batch["train_batch_size"] for batch in batches]
    total = sum(batch["train_loss"] * size for batch, size in zip(batches, sizes, strict=True))
    del batches[:-1]  # otherwise records of all batches would accumulate over the epochs
    return total / sum(sizes)


def _copy(values: list[torch.Tensor], into: list[torch.Tensor]) -> None:
    for value, each in zip(values, into, strict=True):
        each.copy_(value)
