"""Classical ambiguity sets that reweight the training rows: divergence balls and CVaR."""

from abc import abstractmethod
from typing import Any

import numpy as np

from .._utils.checks import is_exactly, number
from .._utils.rows import as_float, check_finite, check_total, raise_at
from ..problems.base import DecisionProblem
from ..rows import Rows
from ._tilt import effective_sample_size, tilt
from ._worst_weights import chi_square_weights, cvar_weights, total_variation_weights
from .base import AmbiguitySet, RowLoss


class ReweightedRows(AmbiguitySet):
    """Base class of sets of weightings of the training rows.

    The weights are computed from the losses of all rows, anew for every epoch; on mini-batches
    they would be biased. A row keeps its context; the weight of a context is that of its rows.
    """

    _where_few_rows_count = "Lower the radius."
    _not_stored = ("weight_",)  # weights of rows that are not stored either

    def set_nominal(
        self,
        rows: Rows,
        problem: DecisionProblem,
        seed: int,
        held_out: Rows | None = None,
    ) -> None:
        """Store the training rows."""
        self._check()
        super().set_nominal(rows, problem, seed, held_out)
        self.rows_ = rows.as_shares()
        self.weight_ = self.rows_.weight

    def worst_case(self, row_loss: RowLoss) -> tuple[Rows, float]:
        """Weight the training rows for the present predictor."""
        self.weight_, divergence = self._worst_weights(row_loss(self.rows_), self.rows_.weight)
        return self.rows_.replace(weight=self.weight_), divergence

    def held_out_regret(self, row_loss: RowLoss) -> float | None:
        """Return the worst regret within the set around the held-out rows."""
        if self._held_out is None:
            return None
        return self.worst_mean(row_loss(self._held_out), self._held_out.weight)

    def report(self, row_loss: RowLoss) -> dict[str, float]:
        """Return the effective sample size of the worst weights."""
        return {"effective_sample_size": effective_sample_size(self.weight_)}

    def worst_mean(self, loss: np.ndarray, weight: np.ndarray | None = None) -> float:
        """Return the largest mean of losses within the set.

        Parameters
        ----------
        loss : ndarray of shape (n,)
            Loss of each row or scenario, in any unit.
        weight : ndarray of shape (n,), default=None
            Nominal weights; None is equal weights.

        Returns
        -------
        float
            The largest mean, in the unit of the losses.
        """
        loss, weight = self._checked(loss, weight)
        loss, weight = loss[weight > 0], weight[weight > 0]
        return float(self._worst_weights(loss, weight)[0] @ loss)

    def worst_weights(self, loss: Any, weight: Any = None) -> np.ndarray:
        """Return the weights within the set with the largest mean loss.

        Parameters
        ----------
        loss : ndarray of shape (n,)
            Loss of each row or scenario, in any unit.
        weight : ndarray of shape (n,), default=None
            Nominal weights; None is equal weights. Weights of 0 stay 0.

        Returns
        -------
        ndarray of shape (n,)
            The weights, which sum to 1.
        """
        loss, weight = self._checked(loss, weight)
        worst, some = np.zeros(len(loss)), weight > 0
        worst[some] = self._worst_weights(loss[some], weight[some])[0]
        return worst

    def _checked(self, loss: Any, weight: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and nominal weights that sum to 1."""
        self._check()
        loss = as_float(loss, "loss")
        weight = np.ones(len(loss)) if weight is None else as_float(weight, "weight")
        if loss.ndim != 1 or not len(loss) or weight.shape != loss.shape:
            raise ValueError(
                f"loss and weight must have shape (n,), with n > 0, got {loss.shape} and "
                f"{weight.shape}."
            )
        check_finite(loss, "loss")
        check_finite(weight, "weight")
        if (weight < 0).any():
            raise_at(weight < 0, weight, "weight", "is negative", "Weights are 0 or more.")
        check_total(weight, "weight")
        return loss, weight / weight[weight > 0].sum()

    def _check(self) -> None:
        """Raise an error where a parameter is out of its range."""
        number(self.radius, "radius", at_least=0, may_be_infinite=True)

    @abstractmethod
    def _worst_weights(self, loss: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the worst weights (n,) near `weight`, which sums to 1, and their divergence."""


class KLBall(ReweightedRows):
    r"""Weightings of the rows within a Kullback-Leibler divergence of their weights.

    The largest mean loss is :math:`\min_{\tau > 0} \tau \log E[e^{l / \tau}] + \tau \rho`.

    Parameters
    ----------
    radius : float, default=0.1
        :math:`\rho`, in nats. 0 leaves the weights as they are; from :math:`\log n` on, all weight
        may be on one of n rows.

    Attributes
    ----------
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `weight_`.
    weight_ : ndarray of shape (n,)
        Their worst weights for the final predictor.

    See Also
    --------
    CVaR : Weightings that raise no weight by more than a factor.
    ChiSquareBall : Weightings within a chi-square divergence, which penalise the variance.
    TotalVariationBall : Weightings that move a share of the weight.
    DiffusionBall : The same divergence around a model that generates rows.

    References
    ----------
    Hu and Hong, "Kullback-Leibler divergence constrained distributionally robust optimization",
    2013.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import KLBall
    >>> loss = np.array([0.0, 1.0, 2.0, 5.0])
    >>> [round(KLBall(radius).worst_mean(loss), 3) for radius in (0.0, 0.1, 10.0)]
    [2.0, 2.868, 5.0]
    """

    def __init__(self, radius: float = 0.1) -> None:
        self.radius = radius

    def _worst_weights(self, loss: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        return tilt(loss, weight, self.radius)


class ChiSquareBall(ReweightedRows):
    r"""Weightings p of the rows with :math:`\sum_i q_i (p_i / q_i - 1)^2 \le \rho`.

    As long as no weight reaches 0, the largest mean loss is the mean plus :math:`\sqrt{\rho}`
    standard deviations. Training therefore reduces the variance of the loss as well.

    Parameters
    ----------
    radius : float, default=0.2
        :math:`\rho`, the variance of the ratios :math:`p_i / q_i`. 0 leaves the weights as they
        are; from n - 1 on, all weight may be on one of n rows.

    Attributes
    ----------
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `weight_`.
    weight_ : ndarray of shape (n,)
        Their worst weights for the final predictor.

    See Also
    --------
    KLBall : Weightings within a Kullback-Leibler divergence.
    CVaR : Weightings that raise no weight by more than a factor.

    References
    ----------
    Duchi and Namkoong, "Variance-based regularization with convex objectives", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import ChiSquareBall
    >>> loss = np.array([0.0, 1.0, 2.0, 5.0])
    >>> bool(np.isclose(ChiSquareBall(0.04).worst_mean(loss), loss.mean() + 0.2 * loss.std()))
    True
    """

    def __init__(self, radius: float = 0.2) -> None:
        self.radius = radius

    def _worst_weights(self, loss: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        return chi_square_weights(loss, weight, self.radius)


class CVaR(ReweightedRows):
    r"""The conditional value at risk: the mean loss of the costliest share of the rows.

    The set contains the weightings that raise no row's weight by more than a factor
    :math:`1 / \alpha`. This is a Rényi divergence of infinite order of at most :math:`-\log \alpha`
    nats.

    Parameters
    ----------
    alpha : float, default=0.5
        The share of the weight that the costliest rows have, in (0, 1]: 0.2 is the mean of the
        costliest fifth; 1 leaves the weights as they are. It is one minus the level of
        :class:`~dfl_sklearn.problems.CVaRPortfolioProblem`: ``alpha=0.2`` is ``level=0.8``.

    Attributes
    ----------
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `weight_`.
    weight_ : ndarray of shape (n,)
        Their worst weights for the final predictor.

    See Also
    --------
    KLBall : Weightings within a Kullback-Leibler divergence.
    JustTrainTwice : Raise the weights of the costliest rows once.
    dfl_sklearn.TwoStageRegressor : Takes it as `risk`, over scenarios.
    dfl_sklearn.problems.CVaRPortfolioProblem : Charges for the CVaR of losses at a `level`.

    References
    ----------
    Rockafellar and Uryasev, "Optimization of conditional value-at-risk", 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import CVaR
    >>> CVaR(alpha=0.5).worst_mean(np.array([0.0, 1.0, 2.0, 5.0]))
    3.5
    """

    _where_few_rows_count = "Raise alpha."

    def __init__(self, alpha: float = 0.5) -> None:
        self.alpha = alpha

    @property
    def is_nominal(self) -> bool:
        """Whether the share is 1."""
        return is_exactly(self.alpha, 1)

    def _check(self) -> None:
        number(self.alpha, "alpha", above=0, at_most=1)

    def _worst_weights(self, loss: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        return cvar_weights(loss, weight, self.alpha), float(-np.log(self.alpha))


class TotalVariationBall(ReweightedRows):
    r"""Weightings p of the rows with :math:`\frac12 \sum_i |p_i - q_i| \le \rho`.

    A share :math:`\rho` of the weight may move to any of the rows. The largest mean loss is
    :math:`(1 - \rho)` times the conditional value at risk of the share :math:`1 - \rho`, plus
    :math:`\rho` times the largest loss.

    Parameters
    ----------
    radius : float, default=0.1
        :math:`\rho`, in [0, 1]. 0 leaves the weights as they are; at 1 all weight is on the row
        with the largest loss.

    Attributes
    ----------
    rows_ : Rows
        The training rows, with equal ones merged and sorted. Pickled or copied models have neither
        these nor `weight_`.
    weight_ : ndarray of shape (n,)
        Their worst weights for the final predictor.

    See Also
    --------
    CVaR : Weightings that raise no weight by more than a factor.
    KLBall : Weightings within a Kullback-Leibler divergence.

    References
    ----------
    Jiang and Guan, "Risk-averse two-stage stochastic program with distributional ambiguity", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.robust import TotalVariationBall
    >>> loss = np.array([0.0, 1.0, 2.0, 5.0])
    >>> [TotalVariationBall(radius).worst_mean(loss) for radius in (0.0, 0.25, 1.0)]
    [2.0, 3.25, 5.0]
    """

    def __init__(self, radius: float = 0.1) -> None:
        self.radius = radius

    def _check(self) -> None:
        number(self.radius, "radius", at_least=0, at_most=1)

    def _worst_weights(self, loss: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
        return total_variation_weights(loss, weight, self.radius)
