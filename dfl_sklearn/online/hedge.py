"""Exponential weights of experts, updated by their losses row by row."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .._utils.checks import number, whole_number
from ._losses import WIDEST, checked_losses

_SHARES, _RATES = (0.0, 0.001, 0.01), (0.1, 0.5, 2.0)


class Hedge(Protocol):
    """Weights of N experts that learn from losses."""

    weight: np.ndarray

    def update(self, loss: np.ndarray) -> None:
        """Learn from the losses (N,) of one row."""


class AdaHedge:
    r"""Exponential weights whose rate adapts to the losses.

    .. math:: w_i \propto e^{-\eta L_i}, \qquad \eta = \ln N / \Delta

    Here :math:`L` are the sums of losses, and :math:`\Delta` is the sum of the mixability gaps
    :math:`w \cdot l + \eta^{-1} \ln \sum_i w_i e^{-\eta l_i}`. The weights do not depend on the
    unit of losses, nor on a constant added to all of them. The weighted losses exceed those of the
    best expert by at most :meth:`bound`.

    Parameters
    ----------
    n_experts : int
        Number N of experts.

    Attributes
    ----------
    weight : ndarray of shape (n_experts,)
        The present weights, which sum to 1.
    total : ndarray of shape (n_experts,)
        Sums of losses, less the smallest sum.
    gap : float
        The sum of the mixability gaps.
    variance : float
        The sum of the variances of the losses under the weights.
    widest : float
        The largest range of the losses of a row.

    See Also
    --------
    TrackingHedge : Weights for a best expert that changes over time.
    play : Run the weights over a table of losses.
    dfl_sklearn.ExpertMixture : Models as experts, weighted by the costs of their decisions.

    References
    ----------
    de Rooij, van Erven, Grunwald, Koolen, "Follow the leader if you can, hedge if you must", JMLR
    15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.online import AdaHedge
    >>> hedge = AdaHedge(2)
    >>> hedge.weight
    array([0.5, 0.5])
    >>> for _ in range(20):
    ...     hedge.update(np.array([1.0, 3.0]))
    >>> bool(hedge.weight[0] > 0.99)
    True
    """

    def __init__(self, n_experts: int) -> None:
        whole_number(n_experts, "n_experts", at_least=1)
        self.total = np.zeros(n_experts)
        self.weight = np.full(n_experts, 1.0 / n_experts)
        self.gap = self.widest = self._deviation = 0.0

    @property
    def variance(self) -> float:
        """The sum of the variances of the losses under the weights."""
        return self._deviation * self._deviation

    def update(self, loss: np.ndarray) -> None:
        """Learn from the losses (N,) of one row.

        Parameters
        ----------
        loss : array-like of shape (n_experts,)
            Loss of each expert in the row, in any unit.
        """
        apart = _apart(loss, len(self.total))
        mean, widest = float(self.weight @ apart), float(apart.max())
        if widest > 0:  # scaled, so that squares do not overflow or underflow
            row = np.sqrt(self.weight @ ((apart - mean) / widest) ** 2) * widest
            self._deviation = float(np.hypot(self._deviation, row))
        self.widest = max(self.widest, widest)
        before, total = self._raw(self.total), self.total + apart
        least = float(total.min())
        self.total = total - least
        # With log weights: a weight that underflows may soon be that of the best expert.
        mixed = least
        if self.gap > 0 and len(total) > 1:
            change = np.log(before.sum()) - np.log(self._raw(self.total).sum())
            mixed += self.gap / np.log(len(total)) * float(change)
        self.gap += max(0.0, mean - mixed)
        raw = self._raw(self.total)
        self.weight = raw / raw.sum()

    def _raw(self, total: np.ndarray) -> np.ndarray:
        """Return the weights for sums of losses, scaled so that the largest is 1."""
        if self.gap == 0:
            return np.where(total == 0, 1.0, 0.0)
        with np.errstate(over="ignore"):
            return np.exp(-np.log(len(total)) * (total / self.gap))

    def bound(self) -> float:
        r"""Return a bound on the weighted losses so far less those of the best expert.

        :math:`2 \sqrt{V \ln N} + S (4/3 \ln N + 2)`, with the sum V of variances and the largest
        range S.

        Returns
        -------
        float
            The bound, in the unit of the losses.
        """
        size = np.log(len(self.total))
        return float(2 * self._deviation * np.sqrt(size) + self.widest * (4 / 3 * size + 2))


class TrackingHedge:
    r"""AdaHedge for a best expert that changes: a mixture of copies that forget at different rates.

    A copy has exponential weights with the rate :math:`r / S`, where S is the largest range of the
    losses of a row so far. After each row it gives every expert a share of the weight:

    .. math:: w \leftarrow (1 - \alpha)\, \frac{w\, e^{-r l / S}}{\sum w\, e^{-r l / S}}
       + \frac{\alpha}{N}

    There is one copy for each pair of share and rate. These copies and :class:`AdaHedge` are
    themselves experts, which AdaHedge mixes. (A share inside AdaHedge would increase its mixability
    gap for ever, and so make the weights equal.)

    Parameters
    ----------
    n_experts : int
        Number N of experts.
    shares : sequence of float, default=(0, 0.001, 0.01)
        Shares :math:`\alpha` of the copies, in [0, 1).
    rates : sequence of float, default=(0.1, 0.5, 2)
        Rates r of the copies, positive.

    Attributes
    ----------
    weight : ndarray of shape (n_experts,)
        The present weights, which sum to 1.
    over_copies : AdaHedge
        The weights of the copies: one for each share and rate, with the rate varying fastest,
        followed by AdaHedge.
    plain : AdaHedge
        AdaHedge over the experts themselves, the last of the copies.

    See Also
    --------
    AdaHedge : Weights for a best expert that stays the same.
    play : Run the weights over a table of losses.
    dfl_sklearn.ExpertMixture : Models as experts, weighted by what their decisions cost.

    References
    ----------
    Herbster, Warmuth, "Tracking the best expert", Machine Learning 32, 1998. The grid of shares and
    rates is our own.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.online import TrackingHedge
    >>> hedge = TrackingHedge(2)
    >>> for loss in [[0.0, 1.0]] * 500 + [[1.0, 0.0]] * 100:
    ...     hedge.update(np.array(loss))
    >>> bool(hedge.weight[1] > 0.9)  # after 600 rows, of which the first expert won 500
    True
    """

    def __init__(
        self,
        n_experts: int,
        shares: Sequence[float] = _SHARES,
        rates: Sequence[float] = _RATES,
    ) -> None:
        self.plain = AdaHedge(n_experts)
        shares = [number(each, "shares", at_least=0, below=1) for each in shares]
        rates = [number(each, "rates", above=0) for each in rates]
        self.over_copies = AdaHedge(len(shares) * len(rates) + 1)
        self._rates = np.tile(np.asarray(rates, dtype=np.float64), len(shares))[:, None]
        share = np.repeat(np.asarray(shares, dtype=np.float64), len(rates))[:, None]
        with np.errstate(divide="ignore"):
            self._log_kept, self._log_given = np.log1p(-share), np.log(share / n_experts)
        # Logarithms, so that small weights do not underflow.
        self._log_weights = np.full((len(share), n_experts), -np.log(n_experts))
        self._mix()

    def update(self, loss: np.ndarray) -> None:
        """Learn from the losses (N,) of one row.

        Parameters
        ----------
        loss : array-like of shape (n_experts,)
            Loss of each expert in the row, in any unit.
        """
        apart = _apart(loss, len(self.weight))
        self.over_copies.update(self._weights @ apart)
        self.plain.update(apart)
        if self.plain.widest > 0:  # losses have differed in some row
            moved = self._log_weights - self._rates * (apart / self.plain.widest)
            moved -= np.logaddexp.reduce(moved, axis=1, keepdims=True)
            self._log_weights = np.logaddexp(moved + self._log_kept, self._log_given)
        self._mix()

    def _mix(self) -> None:
        of_shares = np.exp(self._log_weights)
        of_shares /= of_shares.sum(axis=1, keepdims=True)
        self._weights = np.concatenate([of_shares, self.plain.weight[None]])  # of all copies (C, N)
        mixed = self.over_copies.weight @ self._weights
        self.weight = mixed / mixed.sum()


def _apart(loss: np.ndarray, n_experts: int) -> np.ndarray:
    """Return losses (N,) less the smallest one."""
    loss = np.asarray(loss, dtype=np.float64)
    if loss.shape != (n_experts,) or not np.isfinite(loss).all():
        raise ValueError(
            f"The losses of a row must be {n_experts} finite numbers, one per expert, got "
            f"{loss.tolist()}."
        )
    with np.errstate(over="ignore"):
        apart = loss - loss.min()
    if apart.max() > WIDEST:
        raise ValueError(
            f"The losses of a row differ by more than {WIDEST:g}, so that their sums may overflow: "
            f"give them in a larger unit; got {loss.tolist()}."
        )
    return apart


def play(hedge: Hedge, losses: np.ndarray, delay: int = 1) -> np.ndarray:
    """Return the weights (T, N) under which each row is decided; `hedge` learns from all rows.

    Parameters
    ----------
    hedge : AdaHedge or TrackingHedge
        The weights, which are updated in place.
    losses : ndarray of shape (T, N)
        Loss of each expert in each row, in the order of time.
    delay : int, default=1
        Row t is decided with the losses of the rows up to t - delay.

    Returns
    -------
    ndarray of shape (T, N)
        The weights; each row sums to 1.

    Raises
    ------
    ValueError
        If losses are no such table of finite numbers, or `delay` is no whole number of 1 or more.
        `hedge` has learnt nothing then.

    See Also
    --------
    least_switching_cost : The loss of the best sequence of experts.

    Examples
    --------
    The second expert has the smaller loss in the first row, which changes the weights from the
    second row on:

    >>> import numpy as np
    >>> from dfl_sklearn.online import AdaHedge, play
    >>> play(AdaHedge(2), np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))[:2]
    array([[0.5, 0.5],
           [0.2, 0.8]])
    """
    whole_number(delay, "delay", at_least=1)
    losses = checked_losses(losses, len(hedge.weight))
    weights, waiting = np.empty(losses.shape), deque[np.ndarray]()
    for t, loss in enumerate(losses):
        if len(waiting) == delay:
            hedge.update(waiting.popleft())
        weights[t] = hedge.weight
        waiting.append(loss)
    for loss in waiting:
        hedge.update(loss)
    return weights
