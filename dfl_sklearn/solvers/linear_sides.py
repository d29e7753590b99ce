"""Programs of one matrix whose costs, right-hand sides and bounds differ row by row."""

import numpy as np

from .highs import Highs
from .linear import LinearSolver, NoDecisionError, at_bounds, is_proven, median_size
from .mixed import MixedSolver
from .polytope import Polytope
from .scaling import Units


class SidesSolver:
    """Sets of decisions that share a matrix, over each of which one row of costs is minimised.

    Each row gets the decision that :class:`LinearSolver` finds with its right-hand sides and
    bounds: from the vertex that costs of 0 lead to, in the same units. But the matrix is analysed,
    and passed to HiGHS, only once. Rows that HiGHS does not solve, or whose decision does not
    pass the check, are left to that class.

    Parameters
    ----------
    polytope : Polytope
        One set for each row. Integral variables are treated as continuous.
    name : str
        Of the problem, for errors.
    """

    def __init__(self, polytope: Polytope, name: str) -> None:
        self.polytope = polytope.replace(integral=np.zeros_like(polytope.integral))
        self.name = name

    def solve(self, costs: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Return minimisers (B, n) for costs (B, n); errors count rows from `first_row`.

        Raises
        ------
        ValueError
            If no decision satisfies the constraints of a row, or its cost has no minimum.
        RuntimeError
            If no solution found for a row passes the check.
        """
        if not self.polytope.matrix.shape[0]:
            z = at_bounds(self.polytope, costs)
            is_found = np.isfinite(z).all(axis=1)
        else:
            z, dual, is_found = self._in_highs(costs)
            is_found &= is_proven(self.polytope, costs, z, dual)
        for row in np.flatnonzero(~is_found).tolist():
            z[row] = self._alone(costs, row, first_row)
        return z

    def _in_highs(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return decisions (B, n), dual values (B, m) and which rows (B,) were solved."""
        part, units = self.polytope, Units.of(self.polytope)
        scaled, size = units.apply(part), median_size(costs * units.columns)
        z, dual = np.zeros(costs.shape), np.zeros((len(costs), part.matrix.shape[0]))
        is_found, nothing = np.zeros(len(costs), dtype=bool), np.zeros(costs.shape[1])
        highs = None
        for rows in part.groups():
            highs = self._with_sides(highs, scaled.for_rows(rows[0]))
            vertex = highs.basis() if highs and highs.run(nothing) == "kOptimal" else None
            if highs is None or vertex is None:
                continue
            for row in rows:
                cost = costs[row] * units.columns / size[row]
                is_found[row] = highs.run(cost, vertex) == "kOptimal"
                if is_found[row]:
                    z[row], dual[row] = highs.solution()
        z = np.clip(z * units.of_decisions, part.lower, part.upper) + 0.0
        return z, dual * units.rows * size[:, None], is_found

    def _with_sides(self, highs: Highs | None, part: Polytope) -> Highs | None:
        """Return the model with the right-hand sides of one row; None where HiGHS refuses them."""
        if highs is not None and highs.set_sides(part):
            return highs
        try:
            return Highs(part, self.name)
        except ValueError:
            return None  # numbers too far apart for it

    def _alone(self, costs: np.ndarray, row: int, first_row: int) -> np.ndarray:
        number = first_row + row
        try:
            solver = LinearSolver(self.polytope.for_rows(row), self.name)
        except NoDecisionError as error:
            raise _at_row(error, number) from None
        return solver.solve(costs[row : row + 1], number)[0]


def solve_mixed_sides(
    polytope: Polytope,
    costs: np.ndarray,
    name: str,
    time_limit: float | None,
    mip_gap: float,
    first_row: int = 0,
) -> tuple[np.ndarray, dict[int, float]]:
    """Return minimisers (B, n) and gaps as :class:`MixedSolver`, one set after the other.

    Raises
    ------
    ValueError, RuntimeError
        As that class does, naming the row.
    """
    z, gaps, before = np.empty(costs.shape), {}, None
    for rows in sorted(polytope.groups(), key=lambda each: int(each[0])):
        solver = None
        for row in rows.tolist():
            try:
                if solver is None:
                    part = polytope.for_rows(row)
                    solver = MixedSolver(part, name, time_limit, mip_gap, like=before)
                z[row] = solver.solve(costs[row : row + 1], first_row + row)[0]
            except NoDecisionError as error:
                raise _at_row(error, first_row + row) from None
        if solver is not None:
            gaps.update(solver.gaps)
            # Clocks of HiGHS go on.
            before = solver if time_limit is None else None
    return z, gaps


def _at_row(error: NoDecisionError, row: int) -> NoDecisionError:
    return NoDecisionError(f"At row {row}: {error}")
