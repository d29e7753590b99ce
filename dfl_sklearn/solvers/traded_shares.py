"""Shares of a budget under a quadratic cost, where trading today's holdings costs something."""

from typing import NamedTuple

import numpy as np

_CHUNK = 1 << 22  # numbers in the largest temporary array
_PAYS = 1e-12  # what a change of shares has to gain, as a share of the terms of a slope
_WRONG = 1e-9  # what it may gain at the end, where rounding does not let it get closer
_FULL = 1e-12  # by how much holdings may differ from the budget and count as all of it
_N_STEPS = 50, 20  # at most, by themselves and for each share


class TradedShares(NamedTuple):
    """The best shares, and how they move.

    Attributes
    ----------
    shares : ndarray of shape (B, n)
    free : ndarray of shape (B, n)
        Whether a share is at no kink of its cost, and follows its return.
    curvature : ndarray of shape (B, n)
        Second derivative of the cost of trading there.
    """

    shares: np.ndarray
    free: np.ndarray
    curvature: np.ndarray


class _Pieces(NamedTuple):
    """Costs of single shares (B, n), convex and quadratic on K pieces each.

    Piece k is from ``ends[..., k]`` to the next end, the last one without an end. Its slope at v is
    ``slope[..., k] + curvature[..., k] * v``. Pieces may be empty.
    """

    ends: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray

    def subset(self, rows: np.ndarray) -> "_Pieces":
        return _Pieces(*(each[rows] for each in self))

    def after(self, z: np.ndarray) -> np.ndarray:
        """Return the piece (B, n) to the right of shares."""
        return (self.ends <= z[:, :, None]).sum(axis=2) - 1

    def before(self, z: np.ndarray) -> np.ndarray:
        """Return the piece (B, n) to the left of shares; -1 where there is none."""
        return (self.ends < z[:, :, None]).sum(axis=2) - 1

    def slope_on(self, piece: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the slopes at shares z (B, n) of their pieces."""
        return _of(self.slope, piece) + _of(self.curvature, piece) * z


def traded_shares(
    quadratic: np.ndarray,
    linear: np.ndarray,
    holdings: np.ndarray,
    rate: np.ndarray,
    kink: float = np.inf,
) -> TradedShares:
    r"""Minimise :math:`\frac12 z^\top Q z - y^\top z + \sum_j t_j |z_j - h_j|` over the simplex.

    An active-set method (Nocedal and Wright, 2006, algorithm 16.3) for all rows together. Every
    share is at a kink of its cost, at 0 or at what is held today, or free on one of the linear
    pieces between. Free shares are the best for their pieces, or the first of them to get there is
    stopped by a kink; then the one is released that gains most. The cost falls with every step and
    there are finitely many sets, so that the method ends; what it returns is checked.

    Parameters
    ----------
    quadratic : ndarray of shape (n, n)
        Q, positive definite.
    linear : ndarray of shape (B, n)
        y, finite.
    holdings : ndarray of shape (B, n)
        h, non-negative.
    rate : ndarray of shape (B, n)
        t, non-negative.
    kink : float, default=inf
        The largest second derivative of the cost of trading. If it is finite, the kinks at the
        holdings are rounded: trades z - h up to t / kink cost :math:`\mathit{kink} (z - h)^2 / 2`.

    Raises
    ------
    RuntimeError
        If rounding errors do not let shares get as close as they should. The message names the row.
    """
    size = max(1, _CHUNK // (linear.shape[1] + 1) ** 2)
    parts = []
    for i in range(0, max(len(linear), 1), size):
        part = slice(i, i + size)
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is found below
            found, off = _solve(quadratic, linear[part], holdings[part], rate[part], kink)
        if not (off <= _WRONG).all():
            row = i + int(np.argmin(off <= _WRONG))
            raise RuntimeError(
                f"The shares of row {row} could not be found: its returns and trading costs, or "
                "the variances, differ too much in size."
            )
        parts.append(found)
    return TradedShares(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _solve(
    quadratic: np.ndarray,
    linear: np.ndarray,
    holdings: np.ndarray,
    rate: np.ndarray,
    kink: float,
) -> tuple[TradedShares, np.ndarray]:
    """Return the best shares, and by how much (B,) they miss the conditions for that."""
    shares = _start(quadratic, linear, holdings, rate)
    pieces = _pieces(holdings, rate, kink)
    piece = pieces.after(shares)
    state = _State(linear, pieces, shares, piece, shares > _of(pieces.ends, piece))
    found = TradedShares(shares.copy(), state.free.copy(), np.zeros_like(shares))
    off, at = np.full(len(linear), np.inf), np.arange(len(linear))
    for _ in range(_N_STEPS[0] + _N_STEPS[1] * linear.shape[1]):
        if not len(at):
            break
        state, level, is_stopped = state.moved(quadratic)
        slopes = state.slopes(quadratic, level)
        pays = ~is_stopped & slopes.pays().any(axis=1)
        leaving = ~is_stopped & ~pays
        if leaving.any():
            rows = at[leaving]
            found.shares[rows] = state.on_budget()[leaving]
            found.free[rows] = state.free[leaving]
            found.curvature[rows] = _of(state.pieces.curvature, state.piece)[leaving]
            off[rows] = slopes.missed()[leaving]
        state = state.released(slopes, pays)
        at, state = at[~leaving], state.subset(~leaving)
    return found, off


class _State(NamedTuple):
    """Shares (B, n), which of them are free, and on which piece those are."""

    linear: np.ndarray
    pieces: _Pieces
    shares: np.ndarray
    piece: np.ndarray
    free: np.ndarray

    def subset(self, rows: np.ndarray) -> "_State":
        linear, pieces, *others = self
        return _State(linear[rows], pieces.subset(rows), *(each[rows] for each in others))

    def moved(self, quadratic: np.ndarray) -> tuple["_State", np.ndarray, np.ndarray]:
        """Return the next shares, the slope (B,) that free ones have, and which were stopped."""
        z, free = self.shares, self.free
        step, most, level = self._direction(quadratic)
        ends = np.concatenate([self.pieces.ends, np.full((*z.shape, 1), np.inf)], axis=2)
        low, high = _of(ends, self.piece), _of(ends, self.piece + 1)
        goal = np.where(step < 0, low, high)
        room = np.where(step == 0, np.inf, (goal - z) / np.where(step == 0, 1.0, step))
        length = np.minimum(room.min(axis=1, keepdims=True), most)
        stopped = room <= length
        there = np.where(free, np.clip(z + length * step, low, high), z)
        state = self._replace(shares=np.where(stopped, goal, there), free=free & ~stopped)
        return state, level, stopped.any(axis=1)

    def _direction(self, quadratic: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where the free shares are best for their pieces, and the slope (B,) there.

        As a direction (B, n) and its length (B, 1), since returns may be large beside variances.
        """
        z, free = self.shares, self.free
        n_rows, n = z.shape
        on, count = free.astype(np.float64), free.sum(axis=1, keepdims=True)
        slope = z @ quadratic - self.linear + self.pieces.slope_on(self.piece, z)
        # What all free shares have in common does not move them; the rest keeps its bits.
        mean = (on * slope).sum(axis=1, keepdims=True) / np.maximum(count, 1)
        pull = on * (slope - mean)
        unit = quadratic.diagonal().max()  # so that the budget is alike in size
        most = np.maximum(np.abs(pull).max(axis=1, keepdims=True) / unit, 1.0)
        system = np.zeros((n_rows, n + 1, n + 1))
        system[:, :n, :n] = quadratic * (on[:, :, None] * on[:, None])
        curvature = _of(self.pieces.curvature, self.piece)
        system[:, range(n), range(n)] += np.where(free, curvature, unit)
        system[:, :n, n] = system[:, n, :n] = unit * on
        system[:, n, n] = np.where(count[:, 0] > 0, 0.0, unit)
        missing = np.where(count > 0, unit * (1.0 - z.sum(axis=1, keepdims=True)), 0.0)
        right = np.concatenate([-pull, missing], axis=1) / most
        found = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        level = mean - unit * most * found[:, n:]
        return np.where(free, found[:, :n], 0.0), most, level[:, 0]

    def slopes(self, quadratic: np.ndarray, level: np.ndarray) -> "_Slopes":
        """Return what the cost does where one share grows or falls, beside the others' slope."""
        z, some_free = self.shares, self.free.any(axis=1)
        pull = z @ quadratic - self.linear
        after = np.where(self.free, self.piece, self.pieces.after(z))
        before = np.where(self.free, self.piece, self.pieces.before(z))
        up = self.pieces.slope_on(after, z)
        down = np.where(before >= 0, self.pieces.slope_on(np.maximum(before, 0), z), -np.inf)
        traded = np.abs(_of(self.pieces.slope, after)) + _of(self.pieces.curvature, after) * z
        terms = z @ np.abs(quadratic) + np.abs(self.linear) + traded
        up, down = pull + up, pull + down
        between = (up.min(axis=1) + down.max(axis=1)) / 2.0
        level = np.where(some_free, level, between)[:, None]
        # The slope that shares have in common is as exact as the terms of those held.
        terms = terms + np.where(z > 0, terms, 0.0).max(axis=1, keepdims=True) + np.abs(level)
        return _Slopes(up - level, down - level, terms, self.free, after, before)

    def on_budget(self) -> np.ndarray:
        """Return the shares (B, n), with the rounding error of their sum in the largest free."""
        largest = np.where(self.free, self.shares, -1.0).argmax(axis=1)
        missing = 1.0 - self.shares.sum(axis=1, keepdims=True)
        return self.shares + missing * np.eye(self.shares.shape[1])[largest] * self.free

    def released(self, slopes: "_Slopes", pays: np.ndarray) -> "_State":
        """Return the state with the share free that gains most, in the rows (B,) where one does."""
        free, piece = self.free.copy(), self.piece.copy()
        none_free: np.ndarray = np.logical_not(self.free.any(axis=1))
        # Without free shares one grows and another falls; both gain the same.
        allowed = ~self.free & (slopes.pays() | none_free[:, None])
        up = np.where(allowed, -slopes.up, -np.inf)
        down = np.where(allowed, slopes.down, -np.inf)
        grows = pays & (none_free | (up.max(axis=1) >= down.max(axis=1)))
        falls = pays & (none_free | ~grows)
        for rows, gain, to in ((grows, up, slopes.after), (falls, down, slopes.before)):
            i = np.flatnonzero(rows)
            j = gain[i].argmax(axis=1)
            free[i, j], piece[i, j] = True, to[i, j]
        return self._replace(free=free, piece=piece)


class _Slopes(NamedTuple):
    """Slopes (B, n) of the cost where a share grows or falls, less that of the free shares."""

    up: np.ndarray
    down: np.ndarray
    terms: np.ndarray
    free: np.ndarray
    after: np.ndarray
    before: np.ndarray

    def pays(self) -> np.ndarray:
        """Return which shares (B, n) at a kink gain if they are released."""
        return ~self.free & (np.maximum(-self.up, self.down) > _PAYS * self.terms)

    def missed(self) -> np.ndarray:
        """Return by how much (B,) the conditions for the best shares are missed, at most."""
        gains = np.maximum(-self.up, self.down)
        return (gains / np.where(self.terms > 0, self.terms, 1.0)).max(axis=1)


def _start(
    quadratic: np.ndarray, linear: np.ndarray, holdings: np.ndarray, rate: np.ndarray
) -> np.ndarray:
    """Return shares (B, n) near the holdings: what is left of the budget is spent on one asset."""
    total = holdings.sum(axis=1, keepdims=True)
    left = 1.0 - total
    best = (linear - rate - holdings @ quadratic).argmax(axis=1)
    added = np.where(left > _FULL, left, 0.0) * np.eye(linear.shape[1])[best]
    return np.where(left < -_FULL, holdings / np.maximum(total, 1.0), holdings + added)


def _pieces(holdings: np.ndarray, rate: np.ndarray, kink: float) -> _Pieces:
    """Return what trading costs, as a function of the shares."""
    zero = np.zeros_like(holdings)
    if np.isinf(kink):
        ends, slopes, curvatures = [zero, holdings], [-rate, rate], [zero, zero]
    else:
        width = rate / kink
        ends = [zero, np.maximum(holdings - width, 0.0), holdings + width]
        slopes, curvatures = [-rate, -kink * holdings, rate], [zero, zero + kink, zero]
    return _Pieces(*(np.stack(each, axis=2) for each in (ends, slopes, curvatures)))


def _of(values: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Return the entries (B, n) of values (B, n, K) for a piece of each."""
    return np.take_along_axis(values, piece[:, :, None], axis=2)[:, :, 0]
