"""The results so far of decisions for held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.convergence import Doubts
from .._utils.progress import say
from .._utils.row_numbers import renumbered
from ..problems._below_best import rows_below_best, what_is_below
from ..problems.base import DecisionProblem
from ._trials import HeldOutRows, Tried, noted


@dataclass(frozen=True)
class Ruler:
    """The costs that decisions for held-out rows are compared with.

    Attributes
    ----------
    context : ndarray of shape (n, c) or None
        The context in which all estimators must decide.
    best : ndarray of shape (n,)
        Cost of the best decisions.
    incumbent : ndarray of shape (n,) or None
        Cost of the decisions really taken.
    """

    context: np.ndarray | None
    best: np.ndarray
    incumbent: np.ndarray | None


class HeldOut:
    """Collects the results of trials, which come in any order.

    Parameters
    ----------
    problem : DecisionProblem
    names : sequence of str
        Names of the estimators.
    rounds : sequence of sequence of HeldOutRows
        For each round of fits on the same rows, the sets of rows that the models are tested on.
    incumbent : ndarray of shape (n, k) or None
        Decisions really taken for the rows of the first `n_splits` rounds.
    n_splits : int
    verbose : bool
        Whether to print a line for each fit.
    """

    def __init__(
        self,
        problem: DecisionProblem,
        names: Sequence[str],
        rounds: Sequence[Sequence[HeldOutRows]],
        incumbent: np.ndarray | None,
        n_splits: int,
        verbose: bool,
    ) -> None:
        self.problem = problem
        self.names = names
        self.rounds = rounds
        self.incumbent = incumbent
        self.n_splits = n_splits
        self.verbose = verbose
        self.tried: dict[tuple[int, int], Tried] = {}
        self.rulers: dict[int, list[Ruler]] = {}
        if not problem.takes_context:  # errors in the incumbent are raised before any fit
            for k in range(len(rounds)):
                self._measure(k, [None] * len(rounds[k]))

    def hear(self, tried: Tried) -> None:
        """Add the result of one trial."""
        k, i = tried.key
        if k not in self.rulers:
            self._measure(k, tried.contexts)
        for test, ruler, context in zip(
            self.rounds[k], self.rulers[k], tried.contexts, strict=True
        ):
            known = self.problem.context_rows(context, len(test.rows))
            if known is None or ruler.context is None:
                continue
            if not np.array_equal(known, ruler.context):
                raise ValueError(
                    f"{self.names[i]!r} decides for {test.what} in another context than the other "
                    "estimators: it has other columns, or a step of a Pipeline has changed them. "
                    "Costs of decisions can only be compared in the same context."
                )
        self.tried[k, i] = tried
        if self.verbose:
            tests = ", ".join(
                f"{test.name}: mean cost {costs.mean():.4g}"
                for test, costs in zip(self.rounds[k], tried.costs, strict=True)
            )
            total = len(self.rounds) * len(self.names)
            counted = f"[{len(self.tried):>{len(str(total))}}/{total}]"
            say(f"{counted} {self.names[i]}, {tried.seconds:.1f} s, {tests}")

    def _measure(self, k: int, contexts: Sequence[Any]) -> None:
        """Compute the costs that decisions of a round are compared with."""
        rulers = []
        for test, context in zip(self.rounds[k], contexts, strict=True):
            y = test.y[test.rows]
            with noted(f"In the best decisions for {test.what}."), renumbered(test.rows):
                best = self.problem.optimal_cost(y, context=context)
            taken = None
            if self.incumbent is not None and k < self.n_splits:
                with noted("In incumbent, the decisions taken."), renumbered(test.rows):
                    taken = self.problem.cost(self.incumbent[test.rows], y, context=context)
            known = self.problem.context_rows(context, len(y))
            rulers.append(Ruler(known, best, taken))
        self.rulers[k] = rulers

    def finished(self) -> tuple[list[int], list[int]]:
        """Return the numbers of the splits that are finished for all estimators, and of these.

        Where there is no such split, it is the split with most finished trials, and only their
        estimators.

        Raises
        ------
        KeyboardInterrupt
            If no trial of a split is finished.
        """
        by_split = [
            [i for i in range(len(self.names)) if (k, i) in self.tried]
            for k in range(self.n_splits)
        ]
        complete = [k for k, done in enumerate(by_split) if len(done) == len(self.names)]
        if complete:
            return complete, by_split[complete[0]]
        most = max(range(self.n_splits), key=lambda k: len(by_split[k]))
        if not by_split[most]:
            raise KeyboardInterrupt
        return [most], by_split[most]

    def below_best(self) -> str | None:
        """Say which decision costs less than the best one of an exact problem, if there is one."""
        if not self.problem.exact:
            return None
        for k, rulers in self.rulers.items():
            for j, (test, ruler) in enumerate(zip(self.rounds[k], rulers, strict=True)):
                paid = {
                    repr(name): self.tried[k, i].costs[j]
                    for i, name in enumerate(self.names)
                    if (k, i) in self.tried
                }
                if ruler.incumbent is not None:
                    paid["the incumbent"] = ruler.incumbent
                for name, costs in paid.items():
                    rows = rows_below_best(costs, ruler.best)
                    if len(rows):
                        i = int(rows[0])
                        decision = f"The decision of {name} for row {test.rows[i]} of {test.what}"
                        return what_is_below(self.problem, decision, costs[i], ruler.best[i])
        return None

    @property
    def doubts(self) -> Doubts:
        """The convergence warnings of the fits."""
        found = Doubts()
        for key in sorted(self.tried):
            found.take_up(self.tried[key].doubts)
        return found

    @property
    def is_incomplete(self) -> bool:
        """Whether trials are missing."""
        return len(self.tried) < len(self.rounds) * len(self.names)

    def n_repeats(self, splits: Sequence[int]) -> int:
        """Return the largest number of splits that hold out the same row."""
        return int(np.bincount(np.concatenate([self.rounds[k][0].rows for k in splits])).max())

    def costs(self, splits: Sequence[int], i: int, n_rows: int) -> np.ndarray:
        """Return the cost (n,) of an estimator's decision for each row, NaN if there is none."""
        return self._by_row(splits, [self.tried[k, i].costs[0] for k in splits], n_rows)

    def best_costs(self, splits: Sequence[int], n_rows: int) -> np.ndarray:
        """Return the cost (n,) of the best decision for each row, NaN if it was not tested."""
        return self._by_row(splits, [self.rulers[k][0].best for k in splits], n_rows)

    def incumbent_costs(self, splits: Sequence[int], n_rows: int) -> np.ndarray:
        """Return the cost (n,) of the incumbent's decisions, NaN for rows not tested."""
        found = [self.rulers[k][0].incumbent for k in splits]
        return self._by_row(splits, found, n_rows)

    def _by_row(self, splits: Sequence[int], values: Sequence[Any], n_rows: int) -> np.ndarray:
        """Return the mean over the splits that hold out a row, NaN where none does."""
        total, times = np.zeros(n_rows), np.zeros(n_rows)
        for k, each in zip(splits, values, strict=True):
            rows = self.rounds[k][0].rows
            total[rows] += each
            times[rows] += 1
        return np.divide(total, times, out=np.full(n_rows, np.nan), where=times > 0)
