"""Just train twice: larger weights for rows with a large regret after a first training."""

import numpy as np

from .._utils.checks import is_exactly, number
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._tilt import effective_sample_size
from ._worst_weights import cvar_weights
from .base import AmbiguitySet, RowLoss


class JustTrainTwice(AmbiguitySet):
    """The training rows, with larger weights for those with a large regret (JTT).

    After training on the rows as they are, the weights of the `share` of rows with the largest
    regret are multiplied by `factor`. The second part of training uses these weights. A rare group
    of rows that is not known as such, but has a large regret, then counts more.

    Parameters
    ----------
    share : float, default=0.2
        Share of the total weight that counts as hard, in (0, 1). The row at the boundary counts in
        part; rows of equal regret count by the same part.
    factor : float, default=5.0
        Factor of the weights of hard rows, at least 1. 1 leaves the weights as they are.

    Attributes
    ----------
    hard_share_ : ndarray of shape (n,)
        The part of each row's weight that counts as hard, in [0, 1].
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `hard_share_` and `weight_`.
    weight_ : ndarray of shape (n,)
        Their new weights.

    See Also
    --------
    GroupDRO : For groups that are known.
    CVaR : The worst weights, computed anew in every epoch.

    Notes
    -----
    The second part goes on from the first. The paper starts again from new weights of the net, and
    stops the first part early. A flexible net that overfits has small regrets on all rows, and its
    hard rows are noise: hold rows out, or use a smaller net.

    Held-out rows are weighted in the same way, by their own regret after the first part, and
    watched with these weights.

    References
    ----------
    Liu et al., "Just train twice: improving group robustness without training group information",
    2021.

    Examples
    --------
    >>> from dfl_sklearn import DFLRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.robust import JustTrainTwice
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> model = DFLRegressor(
    ...     NewsvendorProblem(9, 1), ambiguity_set=JustTrainTwice(0.1), hidden_layer_sizes=(),
    ...     random_state=0,
    ... ).fit(X, y)
    >>> round(float(model.ambiguity_set_.hard_share_.mean()), 6)
    0.1
    """

    _takes_no_losses = "weighs rows once in a fit, after training on them as they are"
    _where_few_rows_count = "Raise share, or lower factor."
    _not_stored = ("weight_", "hard_share_")
    _of_training = ("_held_out_weight",)

    def __init__(self, share: float = 0.2, factor: float = 5.0) -> None:
        self.share = share
        self.factor = factor

    @property
    def is_nominal(self) -> bool:
        """Whether hard rows have the same weights as the others."""
        return is_exactly(self.factor, 1)

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Store the training rows."""
        number(self.share, "share", above=0, below=1)
        number(self.factor, "factor", at_least=1)
        super().set_nominal(rows, problem, seed, held_out)
        self.rows_ = rows.as_shares()
        self.__dict__.pop("weight_", None)

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Return the rows with the weights computed from the first predictor."""
        if "weight_" not in self.__dict__:
            self.hard_share_, self.weight_ = self._weighed(self.rows_, row_loss)
            self._held_out_weight = None
            if self._held_out is not None:
                _, self._held_out_weight = self._weighed(self._held_out, row_loss)
        divergence = float(self.weight_ @ np.log(self.weight_ / self.rows_.weight))
        return self.rows_.replace(weight=self.weight_), max(0.0, divergence)

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the weighted mean regret on the held-out rows, of which hard ones count more."""
        if self._held_out is None:
            return None
        return float(self._held_out_weight @ row_loss(self._held_out))

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return the effective sample size of the weights."""
        return {"effective_sample_size": effective_sample_size(self.weight_)}

    def _weighed(self, rows: Rows, row_loss: RowLoss) -> tuple[np.ndarray, np.ndarray]:
        """Return the hard part of each row, and weights that sum to 1."""
        hard = self.share * cvar_weights(row_loss(rows), rows.weight, self.share)
        weight = rows.weight + (self.factor - 1) * hard
        return np.minimum(hard / rows.weight, 1.0), weight / weight.sum()
