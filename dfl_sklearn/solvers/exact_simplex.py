"""The simplex method in whole numbers, without rounding errors and so without tolerances."""

from collections.abc import Sequence
from copy import copy
from fractions import Fraction
from math import gcd
from typing import NamedTuple

import numpy as np

_MAX_PIVOTS = 5_000
_FLAT = Fraction(1, 10**12)  # slope of a cost along a ray that counts as none, a share of its terms


class Range(NamedTuple):
    """The least and the largest value of a variable, None where there is none."""

    lower: Fraction | None
    upper: Fraction | None

    @classmethod
    def of(cls, lower: float, upper: float) -> "Range":
        """Return the range between two floats, infinite where absent."""
        return cls(
            *(Fraction(float(each)) if np.isfinite(each) else None for each in (lower, upper))
        )

    def times(self, factor: Fraction) -> "Range":
        """Return the range of a positive multiple."""
        return Range(*(None if each is None else each * factor for each in self))

    def widened(self, by: float) -> "Range":
        """Return the range with each end moved outwards."""
        slack = Fraction(float(by))
        return Range(
            None if self.lower is None else self.lower - slack,
            None if self.upper is None else self.upper + slack,
        )

    def miss(self, value: Fraction) -> int:
        """Return -1 where the value is too small, 1 where it is too large, else 0."""
        if self.lower is not None and value < self.lower:
            return -1
        return int(self.upper is not None and value > self.upper)

    def nearest(self, value: Fraction) -> Fraction:
        """Return the value of the range nearest to this one."""
        side = self.miss(value)
        bound = (value, self.upper, self.lower)[side]
        assert bound is not None
        return bound


class ExactSimplex:
    r"""The bounded simplex method on :math:`r = A z` with ranges of z and of the activities r.

    The basic variables are :math:`x_B = T x_N / q` with a matrix T of whole numbers and one common
    denominator q (Edmonds): a pivot multiplies and divides whole numbers without remainder. The
    numbers of the variables are first those of z, then those of r. Of several candidates the one
    with the least number is taken (Bland), so that the method ends.

    Parameters
    ----------
    A : ndarray of shape (m, n)
        Dense, finite.
    ranges : sequence of n + m Range
        Of the variables and of the activities.

    References
    ----------
    Edmonds, Maurras, "Note sur les Q-matrices d'Edmonds", 1997. Bland, "New finite pivoting rules
    for the simplex method", 1977. Applegate, Cook, Dash, Espinoza, "Exact solutions to linear
    programming problems", 2007, start from a basis in floating point too.
    """

    def __init__(self, A: np.ndarray, ranges: Sequence[Range]) -> None:
        m, n = A.shape
        rows = [_whole(row) for row in A]
        # Each activity is counted in a unit that makes the entries of its row whole.
        self.table = np.array([row for row, _ in rows], dtype=object).reshape(m, n)
        self.units = [unit for _, unit in rows]
        units = [Fraction(1)] * n + self.units
        self.ranges = [each.times(unit) for each, unit in zip(ranges, units, strict=True)]
        self.denominator = 1
        self.basic = list(range(n, n + m))
        self.nonbasic = list(range(n))
        self.value = [each.nearest(Fraction(0)) for each in self.ranges]
        self.pivots_left = _MAX_PIVOTS
        self._set_basic_values()

    def start_from(self, basic: Sequence[int], at_upper: Sequence[bool]) -> None:
        """Go to a basis: the variables in it, and which of all others are at their upper bound."""
        wanted = set(basic)
        for variable in sorted(wanted - set(self.basic)):
            column = self.nonbasic.index(variable)
            rows = [
                i for i, b in enumerate(self.basic) if b not in wanted and self.table[i, column]
            ]
            if rows:  # else the basis is singular, and what is left of it will do
                self._pivot(rows[0], column)
        for variable in self.nonbasic:
            low, high = self.ranges[variable]
            at = high if (at_upper[variable] and high is not None) or low is None else low
            self.value[variable] = Fraction(0) if at is None else at
        self._set_basic_values()

    def copy(self) -> "ExactSimplex":
        """Return an independent copy."""
        twin = copy(self)
        for name in ("basic", "nonbasic", "value"):
            setattr(twin, name, list(getattr(self, name)))
        twin.pivots_left = _MAX_PIVOTS
        return twin

    def make_feasible(self) -> bool:
        """Go to a feasible basis; False where there is none."""
        while True:
            missed = [self.ranges[b].miss(self.value[b]) for b in self.basic]
            if not any(missed):
                return True
            # The sum of what is missed falls along these slopes.
            slopes = np.array(missed, dtype=object) @ self.table
            if not self._step(slopes, missed):
                return False

    def minimise(self, costs: Sequence[float]) -> bool:
        """Go from a feasible basis to an optimal one; False if the cost is unbounded below.

        Costs are often sums of rounded numbers. Where it falls along a ray by no more than that, a
        share of 1e-12 of its terms, the ray is taken for flat.
        """
        whole, _ = _whole(costs)
        idle = [0] * len(self.basic)
        flat: set[int] = set()
        while True:
            slopes = self._slopes(whole)
            held = [
                column
                for column, variable in enumerate(self.nonbasic)
                if variable in flat and self._is_flat(column, slopes[column], whole)
            ]
            entering = self._entering(_without(slopes, held))
            if entering is None:
                return True
            if self._move(*entering, idle):
                continue
            column = entering[0]
            if not self._is_flat(column, slopes[column], whole):
                return False
            flat.add(self.nonbasic[column])

    def _is_flat(self, column: int, slope: int, whole: list[int]) -> bool:
        """Return whether the slope of a cost in a nonbasic variable is nothing beside its terms."""
        n, j = len(whole), self.nonbasic[column]
        terms = abs(whole[j] * self.denominator) if j < n else 0
        terms += sum(
            abs(whole[b] * self.table[i, column]) for i, b in enumerate(self.basic) if b < n
        )
        return bool(abs(slope) <= _FLAT * terms)

    def dual_values(self, costs: Sequence[float]) -> list[float]:
        """Return, for each row of A, the slope of the least cost in its activity."""
        whole, unit = _whole(costs)
        n = len(whole)
        found = [Fraction(0)] * len(self.basic)
        for variable, slope in zip(self.nonbasic, self._slopes(whole), strict=True):
            if variable >= n:
                per_unit = Fraction(slope, self.denominator) / unit
                found[variable - n] = per_unit * self.units[variable - n]
        return [float(each) for each in found]

    def _slopes(self, whole: list[int]) -> np.ndarray:
        """Return the slope of a cost in each nonbasic variable, times the denominator."""
        n = len(whole)
        slopes = np.array(
            [whole[j] * self.denominator if j < n else 0 for j in self.nonbasic], dtype=object
        )
        for i, b in enumerate(self.basic):
            if b < n and whole[b]:
                slopes = slopes + whole[b] * self.table[i]
        return slopes

    def contradiction(self) -> list[int]:
        """Return variables whose ranges contradict one another, where no basis is feasible."""
        missed = [self.ranges[b].miss(self.value[b]) for b in self.basic]
        slopes = np.array(missed, dtype=object) @ self.table
        return sorted(
            [b for b, side in zip(self.basic, missed, strict=True) if side]
            + [j for j, slope in zip(self.nonbasic, slopes, strict=True) if slope]
        )

    # -- steps -------------------------------------------------------------------------

    def _step(self, slopes: np.ndarray, missed: list[int]) -> bool:
        entering = self._entering(slopes)
        return entering is not None and self._move(*entering, missed)

    def _entering(self, slopes: np.ndarray) -> tuple[int, int] | None:
        """Return a column that may move, and where to, so that what has these slopes falls."""
        best = None
        for column, (variable, slope) in enumerate(zip(self.nonbasic, slopes, strict=True)):
            if not slope or (best is not None and self.nonbasic[best[0]] < variable):
                continue
            sign = -1 if slope > 0 else 1
            low, high = self.ranges[variable]
            end = high if sign > 0 else low
            if end is None or self.value[variable] != end:
                best = column, sign
        return best

    def _move(self, column: int, sign: int, missed: list[int]) -> bool:
        """Move a variable as far as the ranges allow; False where nothing stops it."""
        self.pivots_left -= 1
        if self.pivots_left < 0:
            raise RuntimeError(f"no end after {_MAX_PIVOTS} pivots")
        variable = self.nonbasic[column]
        low, high = self.ranges[variable]
        own = high if sign > 0 else low
        farthest = None if own is None else abs(own - self.value[variable])
        leaving, at = None, own
        for i, b in enumerate(self.basic):
            rate = sign * self.table[i, column]
            if not rate:
                continue
            # A variable outside of its range stops only where it enters the range.
            low, high = self.ranges[b]
            if missed[i]:
                bound = None if missed[i] * rate > 0 else (high if missed[i] > 0 else low)
            else:
                bound = high if rate > 0 else low
            if bound is None:
                continue
            distance = (bound - self.value[b]) * self.denominator / rate
            ties = farthest is not None and distance == farthest
            if farthest is None or distance < farthest:
                farthest, leaving, at = distance, i, bound
            elif ties and leaving is not None and b < self.basic[leaving]:
                leaving, at = i, bound
        if farthest is None:
            return False
        if farthest:
            change = sign * farthest
            self.value[variable] += change
            for i, b in enumerate(self.basic):
                if self.table[i, column]:
                    self.value[b] += change * self.table[i, column] / self.denominator
        if leaving is not None:
            assert at is not None
            self.value[self.basic[leaving]] = at
            self._pivot(leaving, column)
        return True

    def _pivot(self, row: int, column: int) -> None:
        """Exchange a basic and a nonbasic variable."""
        table, pivot = self.table, self.table[row, column]
        pivot_row, pivot_column = table[row].copy(), table[:, column].copy()
        table = (table * pivot - np.outer(pivot_column, pivot_row)) // self.denominator
        table[row] = -pivot_row
        table[:, column] = pivot_column
        table[row, column] = self.denominator
        if pivot < 0:
            table, pivot = -table, -pivot
        self.table, self.denominator = table, pivot
        entering, leaving = self.nonbasic[column], self.basic[row]
        self.basic[row], self.nonbasic[column] = entering, leaving

    def _set_basic_values(self) -> None:
        for i, b in enumerate(self.basic):
            total = sum(
                (t * self.value[j] for t, j in zip(self.table[i], self.nonbasic, strict=True) if t),
                Fraction(0),
            )
            self.value[b] = total / self.denominator


def _without(slopes: np.ndarray, columns: list[int]) -> np.ndarray:
    """Return slopes with 0 in some columns."""
    if columns:
        slopes = slopes.copy()
        slopes[columns] = 0
    return slopes


def _whole(row: Sequence[float]) -> tuple[list[int], Fraction]:
    """Return floats times a positive number that makes them whole and small, and that number."""
    ratios = [float(each).as_integer_ratio() for each in row]
    power = max((below for _, below in ratios), default=1)
    entries = [above * (power // below) for above, below in ratios]
    divisor = gcd(*entries) or 1
    return [each // divisor for each in entries], Fraction(power, divisor)
