"""Random programs of mixed scales, and their optimum in exact fractions."""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np

from dfl_sklearn.problems import LinearProgram

MODES = ("plain", "costs", "columns", "rows", "both", "entries")


@dataclass
class Program:
    """Minimise ``c @ z`` with ``A_ub z <= b_ub``, ``A_eq z = b_eq``, ``low <= z <= high``."""

    mode: str
    c: np.ndarray
    A_ub: np.ndarray
    b_ub: np.ndarray
    A_eq: np.ndarray
    b_eq: np.ndarray
    low: np.ndarray
    high: np.ndarray
    integral: np.ndarray

    def problem(self):
        constraints = {}
        if len(self.b_ub):
            constraints |= {"A_ub": self.A_ub, "b_ub": self.b_ub}
        if len(self.b_eq):
            constraints |= {"A_eq": self.A_eq, "b_eq": self.b_eq}
        bounds = np.stack([self.low, self.high], axis=1)
        return LinearProgram(**constraints, bounds=bounds, integrality=self.integral.astype(int))

    def rows(self):
        """Yield the terms, the right-hand side and whether it is an equation, in fractions."""
        for A, b, is_equation in ((self.A_ub, self.b_ub, False), (self.A_eq, self.b_eq, True)):
            for row, right in zip(A, b, strict=True):
                yield fractions(row), Fraction(float(right)), is_equation


def fractions(values):
    return [Fraction(float(each)) for each in values]


def dot(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def draw(rng, n, mode=None, base=10.0, exponent=9):
    """Return a program that has a feasible point, but for rounding errors in its rows.

    Its numbers lie between 1e-9 and 1e9 or, where these are multiplied, beyond. With ``base=2``
    they have few digits, so that there are no rounding errors.
    """
    mode = mode or str(rng.choice(MODES))
    m_ub, m_eq = int(rng.integers(0, max(2, n) + 1)), int(rng.integers(0, n // 2 + 1))
    m, span = m_ub + m_eq, exponent * np.log(10.0) / np.log(base)

    def scales(*shape):
        powers = rng.uniform(-span, span, shape)
        return base ** (powers if rng.random() < 0.5 and base == 10.0 else np.rint(powers))

    A = np.where(rng.random((m, n)) < 0.7, rng.integers(-9, 10, (m, n)), 0).astype(float)
    point = np.where(rng.random(n) < 0.8, rng.integers(0, 20, n), 0).astype(float)
    c = rng.integers(-9, 10, n).astype(float)
    c = np.abs(c) if rng.random() < 0.7 else c
    low = rng.choice([0.0, -5.0, -np.inf], n, p=[0.8, 0.1, 0.1])
    high = np.where(rng.random(n) < 0.6, rng.integers(1, 30, n) + point, np.inf)
    columns, rows = np.ones(n), np.ones(m)
    if mode in ("columns", "both"):
        columns = scales(n)
    if mode in ("rows", "both"):
        rows = scales(m)
    if mode == "entries":
        A = A * scales(m, n)
        point = point * (scales(n) if rng.random() < 0.5 else 1.0)
        high = np.where(np.isfinite(high), 2.0 * point + 1.0, np.inf)
    if mode in ("costs", "both", "entries"):
        c = c * scales(n)
    elif mode == "columns":
        c = c / columns * (scales(n) if rng.random() < 0.5 else 1.0)
    A = A * rows[:, None] / columns
    point, low, high = point * columns, low * columns, high * columns
    room = np.where(rng.random(m_ub) < 0.5, 0, rng.integers(0, 9, m_ub)) * rows[:m_ub]
    b = A @ point
    return Program(
        *(mode, c, A[:m_ub], b[:m_ub] + room, A[m_ub:], b[m_ub:], low, high),
        integral=np.zeros(n, dtype=bool),
    )


def draw_mixed(rng, n):
    """Return a program with whole numbers from 0 to 3, its numbers exact in floats."""
    program = draw(rng, n, base=2.0, exponent=4)
    whole = rng.random(n) < 0.7
    whole[rng.integers(n)] = True
    one = np.abs(program.A_ub).max(axis=0, initial=0.0)
    unit = np.where(one > 0, 2.0 ** np.rint(-np.log2(np.where(one > 0, one, 1.0))), 1.0)
    unit = np.where(whole, 1.0, unit)  # whole numbers are in no other unit
    point = rng.integers(0, 4, n) * unit
    room = np.where(rng.random(len(program.b_ub)) < 0.5, 0.0, np.abs(program.A_ub) @ unit)
    return replace(
        program,
        b_ub=program.A_ub @ point + room,
        b_eq=program.A_eq @ point,
        low=np.zeros(n),
        high=3.0 * unit,
        integral=whole,
    )


def exact_optimum(program):
    """Return the least cost and where it is, "infeasible" or "unbounded", in exact arithmetic.

    The two-phase simplex method on a tableau of fractions, by Bland's rule: short and slow. Whole
    numbers are enumerated.
    """
    values = [range(4) if each else [None] for each in program.integral]
    found = []
    for held in product(*values) if program.integral.any() else [None]:
        part = program
        if held is not None:
            pairs = list(zip(held, program.low, program.high, strict=True))
            low = np.array([low if x is None else x for x, low, _ in pairs], dtype=float)
            high = np.array([high if x is None else x for x, _, high in pairs], dtype=float)
            part = replace(program, low=low, high=high)
        found.append(_Tableau(part).solve())
    optima = [each for each in found if isinstance(each, tuple)]
    if "unbounded" in found:
        return "unbounded"
    return min(optima, key=lambda each: each[0]) if optima else "infeasible"


def enumerated_optimum(program):
    """Return the least cost over all vertices of a bounded set, None where there is none."""
    n = len(program.c)
    halfspaces = []
    for terms, right, is_equation in program.rows():
        halfspaces.append((terms, right))
        if is_equation:
            halfspaces.append(([-each for each in terms], -right))
    for j in range(n):
        unit = [Fraction(int(i == j)) for i in range(n)]
        halfspaces.append((unit, Fraction(float(program.high[j]))))
        halfspaces.append(([-each for each in unit], -Fraction(float(program.low[j]))))
    costs = []
    for chosen in combinations(halfspaces, n):
        vertex = _solved([list(terms) for terms, _ in chosen], [right for _, right in chosen])
        if vertex is not None and all(dot(a, vertex) <= right for a, right in halfspaces):
            costs.append(dot(fractions(program.c), vertex))
    return min(costs, default=None)


def _solved(matrix, right):
    n = len(matrix)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for j in range(n):
        pivot = next((i for i in range(j, n) if rows[i][j]), None)
        if pivot is None:
            return None
        rows[j], rows[pivot] = rows[pivot], rows[j]
        _eliminate(rows, j, j)
    return [line[-1] for line in rows]


def _eliminate(rows, i, j):
    pivot = rows[i][j]
    rows[i] = [each / pivot if each else each for each in rows[i]]
    for k, line in enumerate(rows):
        if k != i:
            rows[k] = _less(line, line[j], rows[i])


def _less(line, factor, other):
    """Return a line less a multiple of another; most of the numbers are 0."""
    if not factor:
        return line
    return [a - factor * b if b else a for a, b in zip(line, other, strict=True)]


class _Tableau:
    """The program in variables t >= 0, with a slack for each inequality and one more per row.

    The columns of the latter are left out: once out of the basis they never come back.
    """

    def __init__(self, program):
        self.c, self.shift, self.columns = fractions(program.c), [], []
        widths = []
        for j, (low, high) in enumerate(zip(program.low, program.high, strict=True)):
            ends = [Fraction(float(each)) if np.isfinite(each) else None for each in (low, high)]
            if None not in ends:
                widths.append((len(self.columns), ends[1] - ends[0]))
            if ends[0] is not None:
                self.columns.append((j, 1))
            elif ends[1] is not None:
                self.columns.append((j, -1))
            else:
                self.columns += [(j, 1), (j, -1)]
            self.shift.append(next((each for each in ends if each is not None), Fraction(0)))
        lines = []
        for terms, right, is_equation in program.rows():
            moved = [terms[j] * sign for j, sign in self.columns]
            lines.append((moved, right - dot(terms, self.shift), is_equation))
        for k, width in widths:
            lines.append(([Fraction(int(i == k)) for i in range(len(self.columns))], width, False))
        n_slacks = sum(not is_equation for *_, is_equation in lines)
        self.n_known, used = len(self.columns) + n_slacks, 0
        self.rows, self.basis = [], []
        for i, (terms, right, is_equation) in enumerate(lines):
            slacks = [Fraction(int(not is_equation and k == used)) for k in range(n_slacks)]
            used += not is_equation
            line = [*terms, *slacks, right]
            line = [-each for each in line] if right < 0 else line
            self.rows.append(line)
            self.basis.append(self.n_known + i)

    def solve(self):
        phase = [Fraction(0)] * self.n_known + [Fraction(1)] * len(self.rows)
        if self._minimise(phase) < 0:
            return "infeasible"
        for i, b in enumerate(self.basis):
            column = next((j for j in range(self.n_known) if self.rows[i][j]), None)
            if b >= self.n_known and column is not None:
                _eliminate(self.rows, i, column)
                self.basis[i] = column
        costs = [self.c[j] * sign for j, sign in self.columns]
        rest = len(phase) - len(costs)
        if self._minimise(costs + [Fraction(0)] * rest) is None:
            return "unbounded"
        values = dict(zip(self.basis, (line[-1] for line in self.rows), strict=True))
        z = list(self.shift)
        for k, (j, sign) in enumerate(self.columns):
            z[j] += sign * values.get(k, Fraction(0))
        return dot(self.c, z), z

    def _minimise(self, costs):
        """Return minus the sum of what is left of the costs, None where they fall without end."""
        reduced = [*costs[: self.n_known], Fraction(0)]
        for line, b in zip(self.rows, self.basis, strict=True):
            reduced = _less(reduced, costs[b], line)
        while True:
            j = next((j for j in range(self.n_known) if reduced[j] < 0), None)
            if j is None:
                return reduced[-1]
            ratios = [
                (line[-1] / line[j], b, i)
                for i, (line, b) in enumerate(zip(self.rows, self.basis, strict=True))
                if line[j] > 0
            ]
            if not ratios:
                return None
            i = min(ratios)[2]
            _eliminate(self.rows, i, j)
            reduced = _less(reduced, reduced[j], self.rows[i])
            self.basis[i] = j
