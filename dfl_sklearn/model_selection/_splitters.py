"""Splitters whose test sets differ from the training sets."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    BaseCrossValidator,
    KFold,
    StratifiedShuffleSplit,
    cross_val_predict,
)
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from .._decide import selected_context
from .._utils.checks import instance_hint, number, whole_number
from .._utils.context_columns import Selection
from .._utils.policies import refuse_policy
from .._utils.rounding import real_difference
from .._utils.rows import as_numpy_rows
from .._utils.sklearn_private import _num_samples
from .._utils.tables import refuse_unfit_table
from ..problems import DecisionProblem, SquaredErrorProblem

_N_FOLDS = 5  # folds in which the reference model predicts


class CostTailSplit(BaseCrossValidator):
    """Random hold-outs in which the costliest rows are more frequent than in training.

    The rows are ranked by their regret under the decisions of a reference model that was fitted on
    other rows. The upper `tail_fraction` of them is the tail: rows with expensive forecast errors.
    Training and test sets are random, and each has its share of the tail. In the test sets, the
    rows of the tail are repeated until they make up `tail_share`. A model does well on these test
    sets if it has learnt from few costly rows how to decide when such rows are common.

    Parameters
    ----------
    problem : DecisionProblem or None
        The problem that defines costs; None is the squared-error problem.
    n_splits : int, default=8
        Number of splits.
    tail_fraction : float, default=0.1
        Share of the rows that form the tail, in (0, 1).
    tail_share : float, default=0.5
        Share of the tail in the test sets, in (0, 1), as closely as repeating rows allows.
    test_size : float or int, default=0.25
        Share or number of the rows held out.
    estimator : estimator, default=None
        The reference model, whose decisions for rows that it was not fitted on (five folds) rank
        the rows. None is least squares, which needs an X of numbers.
        :class:`~sklearn.dummy.DummyRegressor` ranks by the regret of a constant decision.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data that the problem reads.
    random_state : int, RandomState or None, default=None
        Seed of the splits.

    See Also
    --------
    ClusterSplit : Hold out rows whose features differ from those of the training rows.
    WithinPrice : Choose a radius by its cost on ordinary rows.

    Notes
    -----
    Rows occur repeatedly in a test set. ``GridSearchCV`` and ``cross_val_score`` accept that,
    ``cross_val_predict`` does not.

    The defaults were chosen on the benchmark suite of shifts, on separate seeds: with them, the
    chosen radius kept most of the gain of the best radius. Ranking by a constant decision, or three
    splits only, kept half as much.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.model_selection import CostTailSplit
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(400, random_state=0)
    >>> splitter = CostTailSplit(NewsvendorProblem(9, 1), n_splits=1, random_state=0)
    >>> train, test = next(splitter.split(X, y))
    >>> len(train), len(np.unique(test))
    (300, 100)
    >>> bool(y[test].mean() > y[train].mean())
    True
    """

    def __init__(
        self,
        problem: DecisionProblem | None,
        n_splits: int = 8,
        *,
        tail_fraction: float = 0.1,
        tail_share: float = 0.5,
        test_size: float | int = 0.25,
        estimator: Any = None,
        context: Selection = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.problem = problem
        self.n_splits = n_splits
        self.tail_fraction = tail_fraction
        self.tail_share = tail_share
        self.test_size = test_size
        self.estimator = estimator
        self.context = context
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits."""
        return whole_number(self.n_splits, "n_splits", at_least=1)

    def split(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row numbers of training and test sets.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem; needed.
        groups : None
            Ignored.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int
            The test rows, with those of the tail repeated.

        Raises
        ------
        ValueError
            If `y` is missing or cannot be parameters of the problem, if a share is not in (0, 1),
            if `tail_share` is not above `tail_fraction`, or if there are too few rows.
        """
        if not (self.problem is None or isinstance(self.problem, DecisionProblem)):
            raise ValueError(
                f"problem must be a DecisionProblem or None, got {self.problem!r}."
                f"{instance_hint(self.problem)}"
            )
        whole_number(self.n_splits, "n_splits", at_least=1)
        for name in ("tail_fraction", "tail_share"):
            number(getattr(self, name), name, above=0, below=1)
        if isinstance(self.test_size, Integral):
            whole_number(self.test_size, "test_size", at_least=1)
        else:
            number(self.test_size, "test_size", above=0, below=1)
        if self.tail_share <= self.tail_fraction:
            raise ValueError(
                f"tail_share={self.tail_share} must be above tail_fraction={self.tail_fraction}: "
                "otherwise there is no shift."
            )
        if y is None:
            raise ValueError("CostTailSplit needs y: the rows are ranked by their regret.")
        problem = SquaredErrorProblem() if self.problem is None else self.problem
        rows = as_numpy_rows(y, "y")
        problem.check_parameters(rows)
        if _num_samples(X) != len(rows):
            raise ValueError(f"X has {_num_samples(X)} rows and y has {len(rows)}.")
        if len(rows) < _N_FOLDS:
            raise ValueError(
                f"CostTailSplit ranks rows by predictions in {_N_FOLDS} folds and needs at least "
                f"{_N_FOLDS} rows, got n_samples={len(rows)}."
            )
        in_tail = self._in_tail(problem, X, rows)
        shuffles = StratifiedShuffleSplit(
            self.n_splits, test_size=self.test_size, random_state=self.random_state
        )
        for train, test in shuffles.split(in_tail, in_tail):
            tail, rest = test[in_tail[test]], test[~in_tail[test]]
            if not len(tail) or not len(rest):
                raise ValueError(
                    f"A test set of {len(test)} rows has {len(tail)} of the tail (tail_fraction="
                    f"{self.tail_fraction}) and {len(rest)} others; it needs some of both. Change "
                    "test_size or tail_fraction."
                )
            odds = self.tail_share / (1 - self.tail_share) * len(rest) / len(tail)
            if round(odds) <= 1:
                raise ValueError(
                    f"A test set of {len(test)} rows has {len(tail)} of the tail, so that each of "
                    f"them would be there once: tail_share={self.tail_share} is no shift. Raise it."
                )
            yield train, np.concatenate([rest, np.repeat(tail, round(odds))])

    def _in_tail(self, problem: DecisionProblem, X: Any, y: np.ndarray) -> np.ndarray:
        """Return, for each row, whether it is in the tail."""
        estimator = LinearRegression() if self.estimator is None else self.estimator
        if self.estimator is None:
            try:
                refuse_unfit_table(X, "X")
                check_array(X, accept_sparse=True, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    "Rows are ranked by a least-squares fit, which X does not allow; give another "
                    f"model as estimator=. {error}"
                ) from error
        refuse_policy(estimator, "CostTailSplit", "Rank rows by a model that predicts.")
        folds = KFold(_N_FOLDS, shuffle=True, random_state=0)
        target = y[:, 0] if y.shape[1] == 1 else y
        predicted = as_numpy_rows(cross_val_predict(estimator, X, target, cv=folds), "predictions")
        predicted = y + real_difference(predicted, y)
        context = selected_context(X, problem, self.context)
        decisions = problem.solve(problem.project_parameters(predicted)[0], context=context)
        best = problem.optimal_cost(y, context=context)
        regret = real_difference(problem.cost(decisions, y, context=context), best)
        n_tail = round(self.tail_fraction * len(y))
        if n_tail < 2 or len(y) - n_tail < 2:
            raise ValueError(
                f"tail_fraction={self.tail_fraction} of {len(y)} rows is {n_tail}; the tail and "
                "the rest need at least 2 rows each."
            )
        if regret.max() <= regret.min():
            raise ValueError("All rows cost the same under the reference model: there is no tail.")
        n_costly = int((regret > regret.min()).sum())
        if n_costly < n_tail:
            raise ValueError(
                f"Only {n_costly} of {len(y)} rows cost more than the least under the reference "
                f"model, and tail_fraction={self.tail_fraction} are {n_tail}. Lower it."
            )
        in_tail = np.zeros(len(y), dtype=bool)
        in_tail[np.argsort(-regret, kind="stable")[:n_tail]] = True
        return in_tail


class ClusterSplit(BaseCrossValidator):
    """Hold out one cluster of X after the other.

    The features of the held-out rows then differ from those of the training rows. Clusters are
    found by k-means on standardised columns.

    Parameters
    ----------
    n_splits : int, default=5
        Number of clusters.
    random_state : int, RandomState or None, default=None
        Seed of k-means.

    See Also
    --------
    CostTailSplit : Hold-outs in which costly rows are more frequent.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.model_selection import ClusterSplit
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1], [5.2], [9.0]])
    >>> for train, test in ClusterSplit(3, random_state=0).split(X):
    ...     print(train, test)
    [2 3 4 5] [0 1]
    [0 1 5] [2 3 4]
    [0 1 2 3 4] [5]
    """

    def __init__(
        self, n_splits: int = 5, *, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of clusters."""
        return whole_number(self.n_splits, "n_splits", at_least=2)

    def split(
        self, X: ArrayLike, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row numbers of training and test sets; clusters are in the order of their rows.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, all numbers.
        y, groups : None
            Ignored.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If X has fewer distinct rows than `n_splits`.
        """
        whole_number(self.n_splits, "n_splits", at_least=2)
        refuse_unfit_table(X, "X")
        table = check_array(X, dtype=np.float64)
        scaled = StandardScaler().fit_transform(table)
        # Rows that differ by less than rounding are one point to k-means.
        n_distinct = len(np.unique(scaled, axis=0))
        if n_distinct >= self.n_splits:
            means = KMeans(self.n_splits, n_init=10, random_state=self.random_state)
            labels = means.fit_predict(scaled)
            n_distinct = len(np.unique(labels))
        if n_distinct < self.n_splits:
            raise ValueError(
                f"X has {n_distinct} distinct rows or groups of them, too few for "
                f"n_splits={self.n_splits} clusters."
            )
        _, first = np.unique(labels, return_index=True)
        for label in labels[np.sort(first)]:
            yield np.flatnonzero(labels != label), np.flatnonzero(labels == label)
