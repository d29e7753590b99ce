"""Models fitted on some rows, and the costs of their decisions for others."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from .._decide import decided
from .._utils.context_columns import Selection
from .._utils.convergence import Doubts, collected_doubts
from .._utils.progress import part
from .._utils.row_numbers import renumbered
from .._utils.rows import as_numpy_rows
from .._utils.wrapping import regressor_for, requested_weights
from ..problems.base import DecisionProblem


@dataclass(frozen=True)
class HeldOutRows:
    """Rows that models are tested on.

    Attributes
    ----------
    name : str
    what : str
        A description for errors, to follow "for".
    X : array-like of shape (N, p)
    y : ndarray of shape (N, d)
    rows : ndarray of shape (n,)
        Numbers of the test rows in both.
    """

    name: str
    what: str
    X: Any
    y: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Trial:
    """An estimator, rows to fit it on, and other rows to decide for."""

    key: tuple[int, int]
    name: str
    estimator: Any
    train: np.ndarray
    tests: Sequence[HeldOutRows]


@dataclass(frozen=True)
class Tried:
    """The result of a trial.

    Attributes
    ----------
    key : tuple of 2 int
        Key of the trial.
    costs : list of ndarray of shape (n,)
        Costs of the decisions for each set of rows.
    contexts : list
        The contexts of these decisions, as the problem takes them.
    seconds : float
        Time of the fit.
    doubts : Doubts
        Convergence warnings of the fit.
    """

    key: tuple[int, int]
    costs: list[np.ndarray]
    contexts: list[Any]
    seconds: float
    doubts: Doubts


@dataclass(frozen=True)
class Task:
    """The settings that all trials share."""

    X: Any
    y: Any
    weight: np.ndarray | None
    problem: DecisionProblem
    context: Selection

    def run(self, trial: Trial) -> Tried:
        """Fit a clone of the estimator, and decide."""
        with noted(f"In the fit of {trial.name!r} for {trial.tests[0].what}."):
            X, y = (_safe_indexing(each, trial.train) for each in (self.X, self.y))
            model = regressor_for(clone(trial.estimator), y)
            weight = None if self.weight is None else self.weight[trial.train]
            params = requested_weights(model, weight, "compare_decisions")
            start = time.perf_counter()
            with (
                collected_doubts(of_others=True) as doubts,
                part(repr(trial.name)),
                renumbered(trial.train),
            ):
                model = model.fit(X, y, **params)
            seconds = time.perf_counter() - start
        costs, contexts = [], []
        for test in trial.tests:
            with noted(f"In what {trial.name!r} decides for {test.what}."), renumbered(test.rows):
                asked = _safe_indexing(test.X, test.rows)
                found = decided(model, asked, self.problem, self.context)
                decisions = as_numpy_rows(found.decisions, "decisions")
                if len(decisions) != len(test.rows):
                    raise ValueError(f"It decides {len(decisions)} rows of {len(test.rows)}.")
                observed = test.y[test.rows]
                costs.append(self.problem.cost(decisions, observed, context=found.context))
                contexts.append(found.context)
        return Tried(trial.key, costs, contexts, seconds, doubts)


def run_trials(
    task: Task, trials: Iterable[Trial], n_jobs: int | None, hear: Callable[[Tried], None]
) -> None:
    """Run trials, and pass the result of each to `hear` as soon as it is known.

    Ctrl-C ends the trials. A fit that catches Ctrl-C itself and ends early does not count.
    """
    with _Interrupts() as interrupts:
        try:
            running = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
                delayed(task.run)(each) for each in trials
            )
            with closing(running):
                for each in running:
                    if interrupts.seen:
                        return
                    hear(each)
        except KeyboardInterrupt:
            return


class _Interrupts:
    """Records whether Ctrl-C was pressed within a block, even if a fit has caught it."""

    seen = False

    def __enter__(self) -> "_Interrupts":
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self.seen = True
        self._before(number, frame)

    def __exit__(self, *_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Add a note to errors that says where they occurred."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise
