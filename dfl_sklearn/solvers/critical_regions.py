"""Quadratic programs over the simplex, whose minimiser is piecewise affine in the linear term."""

import math
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

_CHUNK = 1 << 21  # numbers in the largest temporary array


class CriticalRegions(NamedTuple):
    r"""All supports of :math:`\min_z \frac12 z^\top P z - y^\top z` over the simplex.

    Where the held entries S are known, the Karush-Kuhn-Tucker conditions are linear: held
    entries, their multiplier and the slack of the others are affine in y. The minimiser is that
    of the one support whose entries and slacks are all non-negative.

    Attributes
    ----------
    slope, offset : ndarray of shape (R, n, n) and (R, n)
        The minimiser of region r is ``slope[r] @ y + offset[r]``.
    slack_slope, slack_offset : ndarray of shape (R, n, n) and (R, n)
        Entries held, and slacks of the others in units of P; negative outside the region.

    References
    ----------
    Bemporad et al., "The explicit linear quadratic regulator", Automatica 38, 2002.
    """

    slope: np.ndarray
    offset: np.ndarray
    slack_slope: np.ndarray
    slack_offset: np.ndarray

    @staticmethod
    def of(quadratic: np.ndarray) -> "CriticalRegions":
        """Solve the conditions of every support; `quadratic` (n, n) is positive definite."""
        return _regions(np.ascontiguousarray(quadratic, dtype=np.float64).tobytes())

    def locate(self, y: np.ndarray) -> np.ndarray:
        """Return the region (B,) of each row of y (B, n)."""
        found = np.empty(len(y), dtype=np.intp)
        step = max(1, _CHUNK // len(self.offset))
        for start in range(0, len(y), step):
            part = slice(start, start + step)
            least = np.full((len(y[part]), len(self.offset)), np.inf)
            for j in range(y.shape[1]):
                slack = y[part] @ self.slack_slope[:, j].T + self.slack_offset[:, j]
                np.minimum(least, slack, out=least)
            # On a border, rounding errors may make both neighbours slightly negative: take the
            # better one.
            found[part] = least.argmax(axis=1)
        return found

    def solve(self, y: np.ndarray) -> np.ndarray:
        """Return the minimiser (B, n) for each row of y (B, n)."""
        region = self.locate(y)
        z = np.einsum("bij,bj->bi", self.slope[region], y) + self.offset[region]
        z = np.maximum(z, 0.0)
        return z / z.sum(axis=1, keepdims=True)


@lru_cache(maxsize=8)
def _regions(quadratic_bytes: bytes) -> CriticalRegions:
    """Compute the regions once for a matrix, however often it is solved with."""
    entries = np.frombuffer(quadratic_bytes)
    n = math.isqrt(len(entries))
    quadratic = entries.reshape(n, n)
    supports = [s for size in range(1, n + 1) for s in combinations(range(n), size)]
    shape = (len(supports), n)
    slope, slack_slope = np.zeros((*shape, n)), np.zeros((*shape, n))
    offset, slack_offset = np.zeros(shape), np.zeros(shape)
    scale = np.diag(quadratic).max()
    for r, support in enumerate(supports):
        held = np.array(support)
        others = np.setdiff1d(np.arange(n), held)
        size = len(held)
        system = np.ones((size + 1, size + 1))
        system[:size, :size] = quadratic[np.ix_(held, held)]
        system[size, size] = 0.0
        inverse = np.linalg.inv(system)
        # Rows of the inverse: held entries, then the multiplier of the budget.
        slope[r][np.ix_(held, held)] = inverse[:size, :size]
        offset[r, held] = inverse[:size, size]
        slack_slope[r], slack_offset[r] = slope[r], offset[r]
        if len(others):
            pull = quadratic[np.ix_(others, held)]
            slack = np.zeros((len(others), n))
            slack[:, held] = pull @ inverse[:size, :size] + inverse[size, :size]
            slack[np.arange(len(others)), others] -= 1.0
            slack_slope[r, others] = slack / scale
            slack_offset[r, others] = (pull @ inverse[:size, size] + inverse[size, size]) / scale
    return CriticalRegions(slope, offset, slack_slope, slack_offset)
