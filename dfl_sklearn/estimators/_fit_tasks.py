"""Epochs as tasks of a fit, for the callbacks of scikit-learn 1.9 and later."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback


@contextmanager
def fit_task(estimator: Any, X: Any, y: Any) -> Iterator[None]:
    """Notify scikit-learn's callbacks of a fit that takes place within the block."""
    if not hasattr(estimator, "_init_callback_context"):  # scikit-learn before 1.9
        yield
        return
    task = estimator._init_callback_context(max_subtasks=None)
    task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    yield
    task.call_on_fit_task_end(estimator=estimator, X=X, y=y, reconstruction_attributes={})


def epoch_tasks(estimator: Any) -> list[Callback]:
    """Return the skorch callback that reports epochs to scikit-learn's callbacks, if any."""
    if not getattr(estimator, "_skl_callbacks", []):
        return []
    return [_EpochTasks(estimator)]


class _EpochTasks(Callback):
    """Report to scikit-learn's callbacks: a task per training, with one task per epoch."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **_: Any) -> None:
        """Begin a training."""
        fit = self.estimator._callback_fit_ctx
        self.training = fit.subcontext(
            task_name="training", max_subtasks=getattr(self.estimator, "max_iter", None)
        ).call_on_fit_task_begin(estimator=self.estimator)

    def on_epoch_begin(self, net: NeuralNet, *_: Any, **__: Any) -> None:
        """Begin an epoch."""
        self.epoch = self.training.subcontext(task_name="epoch").call_on_fit_task_begin(
            estimator=self.estimator
        )

    def on_epoch_end(self, net: NeuralNet, *_: Any, **__: Any) -> None:
        """End an epoch, and the training where a callback asks for it."""
        if self.epoch.call_on_fit_task_end(estimator=self.estimator):
            raise KeyboardInterrupt  # as skorch's callbacks do

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **_: Any) -> None:
        """End a training."""
        self.training.call_on_fit_task_end(estimator=self.estimator)
