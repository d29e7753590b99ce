"""The options of training, separate from the estimator whose parameters they are."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..learners.construct import n_threads
from ..learners.patience import Stopping


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training, which :class:`~dfl_sklearn.DFLRegressor` documents."""

    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    max_iter: int
    tol: float
    n_iter_no_change: int
    n_estimators: int
    nominal_weight: float
    n_jobs: int | None
    callbacks: Iterable[Any] | None

    @classmethod
    def of(cls, estimator: Any) -> "TrainingOptions":
        """Return the options of an estimator with parameters of these names."""
        return cls(**{each.name: getattr(estimator, each.name) for each in fields(cls)})

    def with_callbacks(self, more: Iterable[Any]) -> "TrainingOptions":
        """Return the same options, with more skorch callbacks."""
        callbacks = [*(self.callbacks or ()), *more]
        return replace(self, callbacks=callbacks or None)

    @property
    def given_batch_size(self) -> int | None:
        """Number of rows in a batch, where the user has set it."""
        return None if self.batch_size == "auto" else int(self.batch_size)

    @property
    def n_threads(self) -> int:
        """Threads of torch."""
        return n_threads(self.n_jobs)

    def stopping(self, monitored: str, patience: int, n_reductions: int, unit: float) -> Stopping:
        """Return the stopping rule of a stage that watches `monitored`, which is of size `unit`."""
        return Stopping(
            monitored=monitored,
            max_epochs=self.max_iter,
            tol=self.tol * unit,
            patience=patience,
            n_reductions=n_reductions if self.learning_rate == "adaptive" else 0,
        )


def auto_batch_size(n_rows: int) -> int:
    """Return a tenth of the rows, between 32 and 256."""
    return int(np.clip(n_rows // 10, 32, 256))
