"""What is known, so far, of decisions for rows held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.convergence import Doubts
from .._utils.progress import say
from .._utils.row_numbers import renumbered
from ..problems.base import DecisionProblem
from ._trials import HeldOutRows, Tried, noted


@dataclass(frozen=True)
class Ruler:
    """What the decisions for rows held out are measured by.

    Attributes
    ----------
    context : ndarray of shape (n, c) or None
        In which all estimators must decide.
    best : ndarray of shape (n,)
        Cost of the best decisions.
    incumbent : ndarray of shape (n,) or None
        Cost of the decisions really taken.
    """

    context: np.ndarray | None
    best: np.ndarray
    incumbent: np.ndarray | None


class HeldOut:
    """Takes up what came of trials, in any order.

    Parameters
    ----------
    problem : DecisionProblem
    names : sequence of str
        Of the estimators.
    rounds : sequence of sequence of HeldOutRows
        The rows that models are tested on which were fitted on the same rows.
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
        if not problem.takes_context:  # what is wrong with decisions taken is known before any fit
            for k in range(len(rounds)):
                self._measure(k, [None] * len(rounds[k]))

    def hear(self, tried: Tried) -> None:
        """Take up what came of one trial."""
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
                    f"{self.names[i]!r} decides for {test.what} in another context than estimators "
                    "before: other columns, or a step before it has changed them. What decisions "
                    "cost can be compared in one context only."
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
        """Find what decisions of a round are measured by."""
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
        """Return the splits of which all trials are known, and the estimators, as numbers.

        Where there is no such split, the one of which most are, and those estimators alone.

        Raises
        ------
        KeyboardInterrupt
            If no trial of a split is known.
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

    @property
    def doubts(self) -> Doubts:
        """What has not converged in the fits."""
        found = Doubts()
        for key in sorted(self.tried):
            found.take_up(self.tried[key].doubts)
        return found

    @property
    def is_incomplete(self) -> bool:
        """Whether trials are missing."""
        return len(self.tried) < len(self.rounds) * len(self.names)

    def n_repeats(self, splits: Sequence[int]) -> int:
        """Return how many of the splits hold out a row at most."""
        return int(np.bincount(np.concatenate([self.rounds[k][0].rows for k in splits])).max())

    def costs(self, splits: Sequence[int], i: int, n_rows: int) -> np.ndarray:
        """Return the cost (n,) of what an estimator decides for each row, NaN if nothing."""
        return self._by_row(splits, [self.tried[k, i].costs[0] for k in splits], n_rows)

    def best_costs(self, splits: Sequence[int], n_rows: int) -> np.ndarray:
        """Return the cost (n,) of the best decision for each row, NaN as above."""
        return self._by_row(splits, [self.rulers[k][0].best for k in splits], n_rows)

    def incumbent_costs(self, splits: Sequence[int], n_rows: int) -> np.ndarray:
        """Return the cost (n,) of the decisions taken, NaN as above."""
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
