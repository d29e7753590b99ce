"""The linear program of a mean-CVaR portfolio, with few scenarios at a time."""

import numpy as np

from .linear_rows import solve_linear_rows
from .tail_losses import tail_losses

_ROUNDING = 1e-9  # of a sum of scenario weights
_MOST_SCENARIOS = 2_000  # in one program
_MOST_IN_A_BASIS = 50  # scenarios; more have too many vertices for that to pay
_NEAR = 0.03  # share of the scenarios that is first taken to be near the reserve


class TailProgram:
    r"""Shares that are best for their gain less a charge for losses beyond a reserve.

    .. math:: \min_{z, t} \; -g^\top z + \lambda \Bigl( t + \frac{1}{1 - \alpha}
       \sum_s w_s (-e_s^\top z - t)_+ \Bigr)

    over shares z. Of many scenarios most lose clearly more than the reserve, or clearly less: their
    part of the sum is linear, or 0. Only those near the reserve need a variable of their own. Which
    these are is guessed at, and mended until the guess is right; the cost is convex, so that the
    decision is then best for all scenarios.

    Parameters
    ----------
    spread : ndarray of shape (S, d)
        Deviations :math:`e_s` of the returns.
    weight : ndarray of shape (S,)
        Sums to 1.
    level, risk_aversion : float
        :math:`\alpha` and :math:`\lambda`.
    name : str
        Of the problem, for errors.
    """

    def __init__(
        self, spread: np.ndarray, weight: np.ndarray, level: float, risk_aversion: float, name: str
    ) -> None:
        self.spread, self.weight, self.level, self.name = spread, weight, level, name
        self.risk_aversion = risk_aversion

    def shares(self, gain: np.ndarray) -> np.ndarray:
        """Return the best shares (n, d) for gains g (n, d)."""
        if len(self.spread) <= _MOST_SCENARIOS:
            every = np.ones(len(self.spread), dtype=bool)
            return self._solve(gain, every, np.zeros_like(every))
        return np.concatenate([self._by_parts(row[None]) for row in gain])

    def _solve(self, gain: np.ndarray, own: np.ndarray, beyond: np.ndarray) -> np.ndarray:
        """Solve with variables for scenarios `own` (S,), and all of `beyond` (S,) beyond."""
        charge = self.risk_aversion / (1.0 - self.level) * self.weight
        in_tail = charge[beyond] @ self.spread[beyond]
        reserve = self.risk_aversion - charge[beyond].sum()
        charges = np.concatenate([[reserve], charge[own]])
        costs = np.concatenate(
            [-gain - in_tail, np.broadcast_to(charges, (len(gain), len(charges)))], axis=1
        )
        # Only the gains differ from row to row, so that many rows have the same scenarios beyond.
        shares_bases = int(own.sum()) <= _MOST_IN_A_BASIS
        found = solve_linear_rows(
            tail_losses(self.spread[own]),
            costs,
            n_jobs=None,
            name=self.name,
            shares_bases=shares_bases,
        )
        return found[:, : gain.shape[1]]

    def _by_parts(self, gain: np.ndarray) -> np.ndarray:
        step = -(-len(self.spread) // _MOST_SCENARIOS)
        few = self.weight[::step] / self.weight[::step].sum()
        first = TailProgram(self.spread[::step], few, self.level, self.risk_aversion, self.name)
        shares = first.shares(gain)
        own = np.zeros(len(self.spread), dtype=bool)
        n_near = max(_MOST_SCENARIOS // 2, int(_NEAR * len(self.spread)))
        while True:
            loss = -(self.spread @ shares[0])
            reserve = value_at_risk(loss[None], self.weight, self.level)[0]
            apart = np.abs(loss - reserve)
            own |= apart <= np.partition(apart, n_near)[n_near]
            beyond = ~own & (loss > reserve)
            shares = self._solve(gain, own, beyond)
            loss = -(self.spread @ shares[0])
            reserve = value_at_risk(loss[None], self.weight, self.level)[0]
            rounding = _ROUNDING * np.abs(loss).max()
            wrong = np.where(beyond, loss < reserve - rounding, loss > reserve + rounding)
            if not (wrong & ~own).any():
                return shares
            own |= wrong


def value_at_risk(losses: np.ndarray, weight: np.ndarray, level: float) -> np.ndarray:
    """Return, for each row of losses (n, S), the smallest that is not exceeded with `level`."""
    order = np.argsort(losses, axis=1)
    reached = np.cumsum(weight[order], axis=1) >= level - _ROUNDING
    first = np.take_along_axis(order, reached.argmax(axis=1)[:, None], axis=1)
    return np.take_along_axis(losses, first, axis=1)[:, 0]
