"""Linear programs that differ only in their costs, solved row by row and checked."""

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from .._utils.progress import counted
from .certificate import Certificate
from .exact import Basis, ContradictionError, ExactProgram
from .highs import Highs
from .known_bases import KnownBasis, Misses
from .polytope import Polytope
from .scaling import Units

_MOST_CELLS = 5_000  # of a matrix that exact arithmetic is used for, some tenths of a second
_FEW_CELLS = 400  # of one for which it is quick
_EPS = 2.0**-52
_TOLERANCES, _LEAST = ("primal_feasibility_tolerance", "dual_feasibility_tolerance"), 1e-10
_NO_END = ("kUnbounded", "kUnboundedOrInfeasible")


class NoDecisionError(ValueError):
    """The constraints contradict one another."""


class NoMinimumError(ValueError):
    """The cost is unbounded below."""


class LinearSolver:
    """A polytope over which costs are minimised, one row of costs after the other.

    A decision of HiGHS is accepted if constraints hold and dual values prove that its cost is the
    least, in the units of the user. Otherwise exact arithmetic continues from its basis or, where
    the program is too large for that, HiGHS solves it again in other units.

    Every row starts from the same vertex. Among equally good decisions, it therefore gets the one
    that it would get by itself.

    Parameters
    ----------
    polytope : Polytope
        Whole numbers are taken as any others.
    name : str
        Of the problem, for errors.
    shares_bases : bool, default=False
        Whether to look, for each basis that is found, for which other rows it is the only best one.
        It pays where few costs differ from row to row.
    is_for_one : bool, default=False
        Whether there is a single row of costs: no vertex is looked for first.
    like : LinearSolver, default=None
        One for a polytope with the same matrix, which is not used any more: what it knows of that,
        its model in HiGHS included, is taken over. Decisions are the same to the bit.

    Raises
    ------
    ValueError
        If no z satisfies the constraints; the message names some that contradict one another. Where
        it is for one row, it is its solution that raises it.
    """

    def __init__(
        self,
        polytope: Polytope,
        name: str,
        *,
        shares_bases: bool = False,
        is_for_one: bool = False,
        like: "LinearSolver | None" = None,
    ) -> None:
        self.shares_bases = shares_bases
        self.polytope = polytope.replace(integral=np.zeros_like(polytope.integral))
        self.name = name
        self.units: Units = (
            Units.of(self.polytope) if like is None else like.units.sized(self.polytope)
        )
        self.scaled: Polytope = self.units.apply(
            self.polytope, None if like is None else like.scaled
        )
        n = len(self.polytope.lower)
        self.is_small = _n_cells(self.polytope) <= _MOST_CELLS
        # For a single row, presolving takes longer than it saves.
        options = {"presolve": "off"} if is_for_one else {}
        self.highs: Highs | None = self._in_highs(None if like is None else like.highs, **options)
        self.vertex: Any = None
        if is_for_one and self.highs is not None:
            return
        # With costs of 0, HiGHS finds a vertex, or that there is none.
        status = "" if self.highs is None else self.highs.run(np.zeros(n))
        if self.highs and status == "kOptimal":
            self.vertex = self.highs.basis()
        if self.vertex is None and self.is_small:
            _ = self._exact  # or an error that names rows
        elif status == "kInfeasible":
            raise NoDecisionError(self._contradiction(self._elastic()))

    def _in_highs(self, known: Highs | None, **options: Any) -> Highs | None:
        if known is not None and known.set_sides(self.scaled):
            return known
        try:
            return Highs(self.scaled, self.name, **options)
        except ValueError:
            if not self.is_small:
                raise
            return None  # numbers too far apart for it

    def solve(self, costs: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Return minimisers (B, n) for costs (B, n); errors as in :meth:`solve_with_duals`."""
        return self.solve_with_duals(costs, first_row)[0]

    def solve_with_duals(
        self, costs: np.ndarray, first_row: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return minimisers (B, n) for costs (B, n), and dual values of the rows (B, m).

        A dual value is the slope of the least cost in a right-hand side. Errors count rows of costs
        from `first_row`.

        Raises
        ------
        ValueError
            If the cost of a row has no minimum.
        RuntimeError
            If nothing that is found for a row stands the check.
        """
        z, dual = np.zeros(costs.shape), np.zeros((len(costs), len(self.polytope.row_upper)))
        if not len(self.polytope.row_upper):
            return self._at_bounds(costs, first_row), dual
        # Costs are scaled by their median. Scaled by the largest one, a single very large cost
        # would make the differences between all others too small to count.
        size = median_size(costs * self.units.columns)
        found = np.zeros(len(costs), dtype=bool)
        misses = Misses()
        for i, cost in enumerate(counted(costs, "linear programs solved", len(costs))):
            if found[i]:
                continue
            status = self._run(cost, size[i])
            found[i] = status == "kOptimal"
            if status == "kInfeasible" and not self.is_small:
                raise NoDecisionError(self._contradiction(self._elastic()))
            if not found[i]:
                continue
            z[i], dual[i] = self._solution(size[i])
            if self.shares_bases:
                self._share(i, costs, size, found, z, dual, misses)
        proven = found & is_proven(self.polytope, costs, z, dual)
        again = self._solve_exactly if self.is_small else self._solve_in_other_units
        for k in np.flatnonzero(~proven).tolist():
            z[k], dual[k] = again(costs[k], size[k], first_row + k)
        return z, dual

    def last_basis(self) -> Basis | None:
        """Return the basis of the row that was solved last, None where HiGHS has none."""
        if self.highs is None or not self.highs.has_solution():
            return None
        return self.highs.basic_and_at_upper()

    def _at_bounds(self, costs: np.ndarray, first_row: int) -> np.ndarray:
        z = at_bounds(self.polytope, costs)
        endless = np.flatnonzero(np.isinf(z).any(axis=1))
        if len(endless):
            raise NoMinimumError(self._no_minimum(costs[endless[0]], first_row + int(endless[0])))
        return z

    def _share(
        self,
        i: int,
        costs: np.ndarray,
        size: np.ndarray,
        found: np.ndarray,
        z: np.ndarray,
        dual: np.ndarray,
        misses: Misses,
    ) -> None:
        """Give the vertex of row i to all rows for which it is surely the only best one."""
        assert self.highs is not None
        known = KnownBasis(self.scaled, self.highs.basic_and_at_upper())
        if not known.is_unique:
            return
        others = np.flatnonzero(~found[i + 1 :]) + i + 1
        rows = np.array([i]) if misses.are_many else np.append(i, others)
        scaled = costs[rows] * self.units.columns / size[rows, None]
        is_best = known.is_best(scaled)
        rows, scaled = rows[is_best], scaled[is_best]
        z[rows] = self._in_bounds(known.z)
        dual[rows] = known.duals(scaled) * self.units.rows * size[rows, None]
        found[rows] = True
        misses.note(len(rows) - 1)

    def _run(self, cost: np.ndarray, size: float) -> str:
        if self.highs is None:
            return "kNotset"
        return self.highs.run(cost * self.units.columns / size, self.vertex)

    def _solution(self, size: float) -> tuple[np.ndarray, np.ndarray]:
        assert self.highs is not None
        z, dual = self.highs.solution()
        return self._in_bounds(z), dual * self.units.rows * size

    def _in_bounds(self, scaled: np.ndarray) -> np.ndarray:
        z = scaled * self.units.of_decisions
        return np.clip(z, self.polytope.lower, self.polytope.upper) + 0.0

    # -- where floating point does not suffice -------------------------------------------

    def _solve_exactly(
        self, cost: np.ndarray, size: float, row: int
    ) -> tuple[np.ndarray, np.ndarray]:
        basis = None
        if self.highs is not None:
            self._run(cost, size)
            basis = self.highs.basic_and_at_upper()
        try:
            found = self._exact.minimise(cost, basis)
        except RuntimeError as error:
            raise RuntimeError(self._unproven(None, f"exact arithmetic finds {error}", row)) from (
                error
            )
        if found is None:
            raise NoMinimumError(self._no_minimum(cost, row))
        return found

    @cached_property
    def _exact(self) -> ExactProgram:
        try:
            return ExactProgram(self.polytope)
        except ContradictionError as error:
            raise NoDecisionError(self._contradiction(error.culprits)) from None
        except RuntimeError as error:
            raise RuntimeError(
                f"No decision of {self.name} was found: exact arithmetic finds {error}. Give "
                "variables and constraints units in which their numbers are alike."
            ) from error

    def _solve_in_other_units(
        self, cost: np.ndarray, size: float, row: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ask again, with the least tolerances first, in other units of the costs."""
        best, scaled = None, np.abs(cost * self.units.columns)
        for highs in self._others:
            status = highs.run(cost * self.units.columns / size, self.vertex)
            used = highs.solution()[0] != 0 if status == "kOptimal" else scaled > 0
            units = [size]
            for sizes in (scaled[used & (scaled > 0)], scaled[scaled > 0]):
                units += [np.median(sizes), sizes.max(), sizes.min()] if len(sizes) else [1.0]
            for unit in map(float, units):
                for vertex in (None,) if self.vertex is None else (self.vertex, None):
                    status = highs.run(cost * self.units.columns / unit, vertex)
                    if status != "kOptimal":
                        continue
                    z, dual = highs.solution()
                    z, dual = self._in_bounds(z), dual * self.units.rows * unit
                    best = Certificate.of(self.polytope, cost[None], z[None], dual[None])
                    if best.holds()[0]:
                        return z, dual
        if status in _NO_END:
            raise NoMinimumError(self._no_minimum(cost, row))
        raise RuntimeError(self._unproven(best, f"HiGHS ends with the status {status}", row))

    @cached_property
    def _others(self) -> list[Highs]:
        """Further models, so that other rows are solved as they would be without this one."""
        strict = dict.fromkeys(_TOLERANCES, _LEAST)
        return [Highs(self.scaled, self.name, **options) for options in (strict, {})]

    # -- words ---------------------------------------------------------------------------

    def _elastic(self) -> list[int]:
        """Return variables and rows that contradict one another, where there are any.

        They are those that count in the least sum by which rows have to be missed.
        """
        part = self.scaled
        m_ub, m_eq, n = len(part.b_ub), len(part.b_eq), len(part.lower)
        eye_ub, eye_eq = sparse.eye_array(m_ub), sparse.eye_array(m_eq)
        none_ub, none_eq = sparse.csr_array((m_ub, 2 * m_eq)), sparse.csr_array((m_eq, m_ub))
        found = linprog(
            np.concatenate([np.zeros(n), np.ones(m_ub + 2 * m_eq)]),
            A_ub=sparse.hstack([part.A_ub, -eye_ub, none_ub], format="csr"),
            b_ub=part.b_ub,
            A_eq=sparse.hstack([part.A_eq, none_eq, eye_eq, -eye_eq], format="csr"),
            b_eq=part.b_eq,
            bounds=[*zip(part.lower, part.upper, strict=True), *[(0, None)] * (m_ub + 2 * m_eq)],
        )
        if found.status != 0:
            return []
        in_bounds = np.abs(found.lower.marginals[:n]) + np.abs(found.upper.marginals[:n])
        in_rows = np.abs(np.concatenate([found.ineqlin.marginals, found.eqlin.marginals]))
        return [int(i) for i in np.flatnonzero(np.concatenate([in_bounds, in_rows]) > 1e-9)]

    def _contradiction(self, culprits: list[int]) -> str:
        """Name constraints that cannot hold together: variables, then rows."""
        n = len(self.polytope.lower)
        named = [self.polytope.name_of_row(i - n) for i in culprits if i >= n]
        named += [f"the bounds of {self.polytope.name_of_decision(j)}" for j in culprits if j < n]
        shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
        which = f": these contradict one another: {shown}" if named else ""
        return f"No decision satisfies all constraints of {self.name}{which}."

    def _no_minimum(self, cost: np.ndarray, row: int) -> str:
        part = self.polytope
        free = np.where(cost > 0, np.isinf(part.lower), np.isinf(part.upper)) & (cost != 0)
        which = [part.name_of_decision(j) for j in np.flatnonzero(free)[:8].tolist()]
        return (
            f"The cost of {self.name} has no minimum for row {row} of y: it falls without end "
            f"as decisions grow. Bound them: {'one of ' * (len(which) > 1)}{', '.join(which)} has "
            "no bound on the side where it pays."
        )

    def _unproven(self, best: Certificate | None, what: str, row: int) -> str:
        if best is not None:
            n_rows = len(self.polytope.row_upper)
            worst = int(np.argmax(best.missed[0]))
            where = (
                self.polytope.name_of_row(worst)
                if worst < n_rows
                else f"the bounds of {self.polytope.name_of_decision(worst - n_rows)}"
            )
            what = (
                f"the best decision found misses {where} by {best.missed[0, worst]:.2g} of its "
                f"terms, and may cost {best.gap[0]:.2g} of its own cost too much"
            )
        return (
            f"No decision of {self.name} could be proven best for row {row} of y: {what}. The "
            "numbers of the program differ too much in size; give variables and constraints units "
            "in which they are alike."
        )


def at_bounds(polytope: Polytope, costs: np.ndarray) -> np.ndarray:
    """Return minimisers (B, n) over bounds only, infinite where the cost is unbounded below.

    Variables without a cost are at a bound as well.
    """
    low, high = polytope.lower, polytope.upper
    idle = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0))
    return np.where(costs > 0, low, np.where(costs < 0, high, idle)) + 0.0


def is_proven(polytope: Polytope, costs: np.ndarray, z: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """Return which decisions (B, n) dual values (B, m) prove to be feasible and best.

    Where exact arithmetic can be asked instead, there must be no doubt.
    """
    proof = Certificate.of(polytope, costs, z, dual)
    proven = proof.holds()
    if _n_cells(polytope) <= _MOST_CELLS:
        proven &= proof.is_certain()
    if _n_cells(polytope) <= _FEW_CELLS:
        proven &= ~_is_borderline(polytope, z, dual)
    return proven


def _is_borderline(polytope: Polytope, z: np.ndarray, dual: np.ndarray) -> np.ndarray:
    """Return a mask of decisions (B, n) of which a row holds or fails only by its last digit.

    Where it does not, a decision that costs many times as much may be needed to make up for it.
    """
    long = np.longdouble
    rows = z.astype(long) @ polytope.matrix.toarray().T.astype(long)
    apart = rows - polytope.row_upper.astype(long)
    with np.errstate(over="ignore"):
        near = np.abs(apart) <= 8.0 * _EPS * polytope.size(z)[:, : apart.shape[1]]
    return (near & (apart != 0) & (dual == 0)).any(axis=1)


def _n_cells(polytope: Polytope) -> int:
    m, n = polytope.matrix.shape
    return int((m + 1) * n)


def median_size(costs: np.ndarray) -> np.ndarray:
    """Return the median (B,) of the absolute costs that are not 0, and 1 where all are."""
    size = np.ones(len(costs))
    some = (costs != 0).any(axis=1)
    if some.any():
        known = np.where(costs[some] != 0, np.abs(costs[some]), np.nan)
        size[some] = np.nanmedian(known, axis=1)
    return size
