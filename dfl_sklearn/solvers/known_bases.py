"""Bases of a linear program that are best for many rows of costs at once."""

import numpy as np

from .exact import Basis
from .polytope import Polytope

_MARGIN = 1e-6  # from where on a basis is clearly the only best one, in scaled units
_MOST_MISSES = 50  # bases in a row that are best for no other row


class KnownBasis:
    """A vertex (n,) of a polytope in scaled units, with the costs for which it is best.

    Where no basic variable is at a bound, and all reduced costs differ from 0, the basis is the
    only best one: whoever solves for such costs, and from wherever, ends with it. What is computed
    from the basis is then the same to the last bit, for each row by itself as for all together.
    """

    def __init__(self, part: Polytope, basis: Basis) -> None:
        basic, at_upper = (np.array(each) for each in basis)
        m, n = part.matrix.shape
        full = np.hstack([part.matrix.toarray(), -np.eye(m)])
        lower = np.concatenate([part.lower, part.row_lower])
        upper = np.concatenate([part.upper, part.row_upper])
        self.basic = basic
        self.others = np.setdiff1d(np.arange(n + m), basic)
        at_upper = at_upper | ~np.isfinite(lower)
        self.at_upper = at_upper[self.others]
        self.is_fixed = (lower == upper)[self.others]
        held = np.where(at_upper, upper, lower)[self.others]
        self.is_unique = len(basic) == m and bool(np.isfinite(held).all())
        if not self.is_unique:
            return
        try:
            self.inverse = np.linalg.inv(full[:, basic])
        except np.linalg.LinAlgError:
            self.is_unique = False
            return
        self.table = self.inverse @ full[:, self.others]
        values = np.zeros(n + m)
        values[self.others] = held
        values[basic] = -self.table @ held
        values[basic] -= self.inverse @ (full @ values)  # corrects rounding errors
        self.z = values[:n]
        size = _MARGIN * np.maximum(1.0, np.abs(values[basic]))
        inside = (values[basic] > lower[basic] + size) & (values[basic] < upper[basic] - size)
        self.is_unique = bool(inside.all())

    def is_best(self, costs: np.ndarray) -> np.ndarray:
        """Return for which costs (B, n), in scaled units, the vertex is the only best one."""
        every = np.concatenate([costs, np.zeros((len(costs), len(self.basic)))], axis=1)
        reduced = every[:, self.others] - every[:, self.basic] @ self.table
        sign = np.where(self.at_upper, -1.0, 1.0)
        return ((sign * reduced > _MARGIN) | self.is_fixed).all(axis=1)

    def duals(self, costs: np.ndarray) -> np.ndarray:
        """Return the dual values of the rows (B, m), in scaled units."""
        every = np.concatenate([costs, np.zeros((len(costs), len(self.basic)))], axis=1)
        return every[:, self.basic] @ self.inverse


class Misses:
    """When to stop looking whether a basis is best for other rows as well."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def note(self, n_others: int) -> None:
        """Record for how many other rows a basis was best."""
        self.in_a_row = 0 if n_others else self.in_a_row + 1

    @property
    def are_many(self) -> bool:
        """Whether the search has found nothing for a long time."""
        return self.in_a_row >= _MOST_MISSES
