"""Group DRO: training for the worst of known groups of rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .._utils.checks import number
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._tilt import effective_sample_size
from .base import AmbiguitySet, RowLoss

Groups = str | int | Callable[[Any], Any]


class GroupDRO(AmbiguitySet):
    r"""Mixtures of known groups of rows: training minimises the worst group's mean loss.

    .. math:: \min_w \max_g E_g[r(w)]

    Each group keeps the distribution of its rows; only the weights of the groups change. They start
    equal. Once per epoch they move towards the worst case for the present predictor, which is all
    weight on the group g with the largest mean regret (fictitious play):

    .. math:: q \leftarrow (1 - \eta_t) q + \eta_t e_g, \qquad \eta_t = \min(\eta, 1 / k_t).

    The step falls with the number :math:`k_t` of times that another group became the worst
    (Kesten's rule). The weights do not depend on the unit of costs, nor on the numbers of rows in
    the groups.

    Parameters
    ----------
    groups : str, int or callable
        The column of X that holds the group of each row, by name or position; it may be a column of
        the context. Or a function of X that returns one label per row. It gets an array, or a
        DataFrame where X has names in `fit`, with the rows in any order, and must find the group of
        a row from that row alone.
    learning_rate : float, default=0.3
        :math:`\eta`, in [0, 1]. With 0 all groups keep the same weight.

    Attributes
    ----------
    groups_ : ndarray of shape (n_groups,)
        The labels of the groups.
    group_weight_ : ndarray of shape (n_groups,)
        The last weights q.
    group_regret_ : ndarray of shape (n_groups,)
        The mean regret of each group, for the final predictor.
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `weight_`.
    weight_ : ndarray of shape (n,)
        Their weights for the final predictor.

    See Also
    --------
    JustTrainTwice : For groups that are not known.
    KLBall : Any weighting of the rows.

    Notes
    -----
    Training watches the worst group's mean regret, on held-out rows if there are any. Groups that
    occur only among the held-out rows are ignored, because nothing is trained for them, and a group
    without held-out rows is not watched. Where groups are small, give `X_val` and `y_val` with rows
    of each group to `fit`. A flexible net overfits the rows of a small group: use a larger `alpha`,
    or hold rows out. Training waits for at least 20 epochs before it slows down or stops, because
    the weights take that long to settle.

    References
    ----------
    Sagawa, Koh, Hashimoto and Liang, "Distributionally robust neural networks for group shifts",
    2020, where the weights follow the exponentiated gradient, once per mini-batch. Kesten,
    "Accelerated stochastic approximation", 1958.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import GroupDRO
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> def is_high(X):
    ...     return X[:, 0] > 1
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1), ambiguity_set=GroupDRO(is_high), random_state=0
    ... ).fit(X, y)
    >>> model.ambiguity_set_.groups_
    array([False,  True])
    """

    least_patience = 20
    _takes_no_losses = "weighs groups of rows, which scenarios do not have"
    _where_few_rows_count = "The worst group is small: put it together with another."
    _of_training = ("_names", "_as_given")
    _not_stored = ("weight_", "_group", "_held_out_group")

    def __init__(self, groups: Groups, *, learning_rate: float = 0.3) -> None:
        self.groups = groups
        self.learning_rate = learning_rate

    @property
    def is_nominal(self) -> bool:
        """False: groups have equal weights even with a learning rate of 0."""
        return False

    def set_columns(
        self, names: Sequence[str] | None, as_given: Callable[[Rows], np.ndarray]
    ) -> None:
        """Store the names of the columns of X, and how to restore their order."""
        self._names, self._as_given = names, as_given

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Store the training rows and find their groups."""
        number(self.learning_rate, "learning_rate", at_least=0, at_most=1)
        super().set_nominal(rows, problem, seed, held_out)
        self.rows_ = rows.as_shares()
        self.groups_, self._group = np.unique(self._labels(self.rows_), return_inverse=True)
        self._share = self._sums(self.rows_.weight, self._group)
        self._held_out_group = self._group[:0]
        if self._held_out is not None:
            labels = self._labels(self._held_out)
            known = np.isin(labels, self.groups_)
            self._held_out = self._held_out.take(known)
            self._held_out_group = np.searchsorted(self.groups_, labels[known])
        n_groups = len(self.groups_)
        self.group_weight_ = np.full(n_groups, 1 / n_groups)
        self._last_worst, self._n_changes = np.zeros(n_groups, dtype=bool), 0

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Move weight to the group of the largest mean regret."""
        regret = self._means(row_loss(self.rows_))
        worst = regret == regret.max()
        self._n_changes += bool((worst & ~self._last_worst).any())
        rate = min(self.learning_rate, 1 / max(1, self._n_changes))
        self.group_weight_ = (1 - rate) * self.group_weight_ + rate * worst / worst.sum()
        self.group_regret_, self._last_worst = regret, worst
        self.weight_ = self.rows_.weight * (self.group_weight_ / self._share)[self._group]
        some = self.group_weight_ > 0
        log_ratio = np.log(self.group_weight_[some] / self._share[some])
        divergence = max(0.0, float(self.group_weight_[some] @ log_ratio))
        return self.rows_.replace(weight=self.weight_), divergence

    def worst_regret(self, rows: Rows, loss: np.ndarray) -> float:
        """Return the worst group's mean loss."""
        return float(self._means(loss).max())

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the worst group's mean regret on held-out rows, or None."""
        if self._held_out is None or not len(self._held_out):
            return None
        group, weight = self._held_out_group, self._held_out.weight
        total = self._sums(weight, group)
        paid = self._sums(weight * row_loss(self._held_out), group)
        return float((paid[total > 0] / total[total > 0]).max())

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return the effective sample size of the weights."""
        return {"effective_sample_size": effective_sample_size(self.weight_)}

    def _means(self, loss: np.ndarray) -> np.ndarray:
        """Return the mean (n_groups,) of losses of the training rows."""
        return self._sums(self.rows_.weight * loss, self._group) / self._share

    def _sums(self, values: np.ndarray, group: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, minlength=len(self.groups_))

    def _labels(self, rows: Rows) -> np.ndarray:
        """Return the label of each row."""
        names = getattr(self, "_names", None)
        X = self._as_given(rows) if hasattr(self, "_as_given") else rows.X
        if callable(self.groups):
            table = X if names is None else pd.DataFrame(X, columns=list(names))
            return _checked(self.groups(table), X)
        return X[:, self._position(X.shape[1], names)]

    def _position(self, n_columns: int, names: Sequence[str] | None) -> int:
        groups = self.groups
        if isinstance(groups, str):
            if names is None:
                raise ValueError(
                    f"groups={groups!r} names a column, but X is an array without names. Give a "
                    "DataFrame to `fit`, or the position of the column."
                )
            if groups not in names:
                raise ValueError(f"groups={groups!r} is not among the columns {list(names)} of X.")
            return list(names).index(groups)
        if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)):
            raise TypeError(
                "groups must be the name or the position of a column of X, or a callable that "
                f"returns one label for each row, got {groups!r}."
            )
        if not -n_columns <= groups < n_columns:
            raise ValueError(f"groups={groups} is not among the {n_columns} columns of X.")
        return int(groups)


def _checked(labels: Any, X: np.ndarray) -> np.ndarray:
    """Return labels (n,), or raise an error where they are not one for each row."""
    labels = np.asarray(labels)
    if labels.shape != (len(X),):
        raise ValueError(
            f"groups must return one label for each row, shape ({len(X)},), got {labels.shape}."
        )
    missing = pd.isna(labels)
    if missing.any():
        i = int(np.flatnonzero(missing)[0])
        raise ValueError(f"groups returns {labels[i]} for a row with X = {X[i].tolist()}.")
    try:
        np.unique(labels)
    except TypeError as error:
        kinds = ", ".join(sorted({type(each).__name__ for each in labels}))
        raise ValueError(f"groups must return labels of one type, got {kinds}.") from error
    return labels
