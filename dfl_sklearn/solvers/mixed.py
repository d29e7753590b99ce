"""Mixed-integer programs that differ only in their costs, solved row by row and checked."""

import time
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._utils.progress import counted
from .certificate import Certificate
from .highs import Highs
from .linear import LinearSolver, NoDecisionError, NoMinimumError, median_size
from .polytope import Polytope
from .scaling import Units

_TOLERANCE = 1e-9  # of HiGHS, in scaled rows; whole numbers as well
_FEASIBLE = 1e-12  # by how much whole numbers may miss a constraint, as a share of its terms
_GAP = 1e-6  # between a cost and its lower bound, as a share of the absolute terms of the cost
_WHOLE = 1e-6  # from a whole number, in a decision of the relaxed program that may be one
_SURE_GAP = 1e-9  # up to which the relaxed program proves such a decision best
_ALIKE = 2.0**20  # ratio of numbers up to which HiGHS's proofs can be trusted
_MOST_NODES = 2000  # per row
_MOST_PROGRAMS = 200  # linear ones, to prove what HiGHS found


class Node(NamedTuple):
    """Bounds (n,) within which a part of the decisions lies."""

    lower: np.ndarray
    upper: np.ndarray

    def split(self, z: np.ndarray, integral: np.ndarray) -> list["Node"]:
        """Return parts without a variable that the solver took for integral, at decisions z (n,).

        Where it left one between two whole numbers, below the one and above the other; else around
        the value of one that is not held yet.
        """
        near = np.rint(z)
        off = np.where(integral, np.abs(z - near), 0.0)
        free = integral & (self.lower < self.upper)
        if off.max() > 0:
            j = int(off.argmax())
            return [self._at_most(j, np.floor(z[j])), self._at_least(j, np.ceil(z[j]))]
        if not free.any():
            return []
        j = int(free.argmax())
        held = self._at_most(j, near[j])._at_least(j, near[j])
        parts = [self._at_most(j, near[j] - 1), self._at_least(j, near[j] + 1), held]
        return [each for each in parts if (each.lower <= each.upper).all()]

    def _at_most(self, j: int, value: float) -> "Node":
        upper = self.upper.copy()
        upper[j] = min(upper[j], value)
        return self._replace(upper=upper)

    def _at_least(self, j: int, value: float) -> "Node":
        lower = self.lower.copy()
        lower[j] = max(lower[j], value)
        return self._replace(lower=lower)


class Incumbent(NamedTuple):
    """A decision (n,), its cost, and a lower bound of the cost of all decisions."""

    z: np.ndarray
    cost: float
    bound: float

    def gap(self, costs: np.ndarray) -> float:
        """Return how much less the best decision may cost, as a share of the terms of the cost."""
        return self.gap_to(self.bound, costs)

    def gap_to(self, cost: float, costs: np.ndarray) -> float:
        """Return by how much it costs more than `cost`, as a share of the terms of its own cost."""
        above, terms = self.cost - cost, float(np.abs(costs * self.z).sum())
        return 0.0 if above <= 0 else (above / terms if terms > 0 else np.inf)


class MixedSolver:
    """A polytope with whole numbers over which costs are minimised, one row after the other.

    Where the relaxed program has an integral decision, as for paths and assignments, its dual
    values prove that this is the best one. Otherwise HiGHS searches. It checks integrality and
    constraints only up to a tolerance. Therefore its integral variables are rounded and fixed, and
    the others solved for. Where that is infeasible, or costs more than HiGHS promised, its search
    is split around the decision and goes on.

    Parameters
    ----------
    polytope : Polytope
    name : str
        Of the problem, for errors.
    time_limit : float, default=None
        Seconds for a row.
    mip_gap : float, default=0
        Largest excess of a decision's cost over the least cost, as a share of its cost.
    like : MixedSolver, default=None
        One for a polytope with the same matrix, as in :class:`LinearSolver`.

    Attributes
    ----------
    gaps : dict of int to float
        Rows that were not solved to optimality, and bounds on the excess of their costs.
    """

    def __init__(
        self,
        polytope: Polytope,
        name: str,
        time_limit: float | None = None,
        mip_gap: float = 0.0,
        *,
        like: "MixedSolver | None" = None,
    ) -> None:
        self.polytope, self.name = _integral_bounds(polytope), name
        self.time_limit, self.mip_gap = time_limit, mip_gap
        self.gaps: dict[int, float] = {}
        if (self.polytope.lower > self.polytope.upper).any():
            j = int((self.polytope.lower > self.polytope.upper).argmax())
            raise NoDecisionError(
                f"No decision satisfies all constraints of {name}: no whole number lies within "
                f"the bounds of {polytope.name_of_decision(j)}."
            )
        # This or an error that names rows.
        self.relaxed: LinearSolver = LinearSolver(
            self.polytope, name, like=None if like is None else like.relaxed
        )
        self.has_limits = time_limit is not None or mip_gap > 0
        self._held_before: LinearSolver | None = None if like is None else like._held_before
        self.units: Units = Units.of(self.polytope) if like is None else like.units
        self.scaled: Polytope = self.units.apply(
            self.polytope, None if like is None else like.scaled
        )
        self.highs: Highs = self._in_highs(None if like is None else like.highs)

    def _in_highs(self, known: Highs | None) -> Highs:
        if known is not None and known.set_sides(self.scaled):
            return known
        options = {"mip_rel_gap": float(self.mip_gap), "mip_abs_gap": 1e-9}
        tolerances = ("mip_feasibility", "primal_feasibility", "dual_feasibility")
        options |= {f"{each}_tolerance": _TOLERANCE for each in tolerances}
        return Highs(self.scaled, self.name, **options)

    def solve(self, costs: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Return minimisers (B, n) for costs (B, n); errors count rows from `first_row`.

        Raises
        ------
        ValueError
            If no decision satisfies the constraints, or the cost of a row has no minimum.
        RuntimeError
            If nothing feasible is found for a row in its time, or nothing that is surely best.
        """
        z, is_best = self._of_relaxed(costs)
        rows = np.flatnonzero(~is_best)
        for i in counted(rows, "integer programs solved", len(rows)):
            cost = costs[i]
            found = self._solve(cost, first_row + int(i))
            z[i] = found.z
            if found.gap(cost) > _GAP:
                self.gaps[first_row + int(i)] = found.gap(cost)
        return z + 0.0

    def _solve(self, cost: np.ndarray, row: int) -> Incumbent:
        """Return the best decision and its bound.

        Where numbers differ much in size, proofs of HiGHS may be wrong. Its decision is then proven
        best by linear programs or, where too many would be needed, found again with other units of
        the costs.
        """
        scaled = cost * self.units.columns
        best = self._search_tree(cost, float(median_size(scaled[None])[0]), row)
        if self.has_limits or (best is not None and not self._is_wild(scaled)):
            return self._known(best)
        proven, is_proven = self._branch(cost, best, row)
        if is_proven:
            return self._known(proven)
        spent = 0.0 if proven is None else float(np.abs(cost * proven.z).sum())
        again = self._search_tree(cost, spent or float(np.abs(scaled).max()) or 1.0, row)
        if proven is None and again is None:
            raise RuntimeError(self._nothing_found())
        if proven is None or again is None or again.gap_to(proven.cost, cost) > _GAP:
            raise RuntimeError(self._unproven(row))
        if proven.gap_to(again.cost, cost) > _GAP or max(proven.gap(cost), again.gap(cost)) > _GAP:
            raise RuntimeError(self._unproven(row))
        return proven

    def _of_relaxed(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return decisions (B, n), and which are whole and proven best by the relaxed program."""
        try:
            z, dual = self.relaxed.solve_with_duals(costs)
        except (NoMinimumError, RuntimeError):
            if len(costs) == 1:
                return np.zeros_like(costs), np.zeros(1, dtype=bool)
            parts = [self._of_relaxed(each[None]) for each in costs]
            z, is_best = (np.concatenate(each) for each in zip(*parts, strict=True))
            return z, is_best
        integral, near = self.polytope.integral, np.rint(z)
        is_best = (np.abs(z - near)[:, integral] <= _WHOLE).all(axis=1)
        is_wild = [self._is_wild(each * self.units.columns) for each in costs]
        is_best &= ~np.array(is_wild, dtype=bool)
        for i in np.flatnonzero(is_best):
            found = self._held(near[i], costs[i])
            is_best[i] = found is not None
            z[i] = 0.0 if found is None else found[0]
        proof = Certificate.of(self.polytope, costs, z, dual)
        return z, is_best & (proof.gap <= _SURE_GAP)

    def _is_wild(self, costs: np.ndarray) -> bool:
        """Return whether numbers differ so much in size that HiGHS's proofs may be wrong."""
        return spread(costs) > _ALIKE or spread(self.scaled.matrix.data) > _ALIKE

    def _known(self, best: Incumbent | None) -> Incumbent:
        if best is None:
            raise NoDecisionError(
                f"No decision satisfies all constraints of {self.name} with whole numbers."
            )
        return best

    def _search_tree(self, cost: np.ndarray, size: float, row: int) -> Incumbent | None:
        """Search a tree whose nodes are searches of HiGHS; None where nothing is feasible."""
        end = None if self.time_limit is None else time.monotonic() + self.time_limit
        nodes = [Node(self.polytope.lower, self.polytope.upper)]
        best: Incumbent | None = None
        least = np.inf  # of the bounds of what has been searched
        for _ in range(_MOST_NODES):
            if not nodes:
                break
            node = nodes.pop()
            status, z, bound = self._search(node, cost, size, end)
            if status in ("kInfeasible", "kUnboundedOrInfeasible", "kUnbounded"):
                if status != "kInfeasible":
                    self._refuse_without_minimum(cost, row)
                continue
            if z is None:
                if status == "kTimeLimit" and best is None:
                    raise RuntimeError(
                        f"No decision of {self.name} was found for row {row} of y in "
                        f"time_limit={self.time_limit} seconds. Raise it."
                    )
                least = min(least, bound)
                continue
            found = self._held(np.rint(z), cost)
            if found is not None and (best is None or found[1] < best.cost):
                best = Incumbent(*found, bound)
            stops = status == "kTimeLimit" or self.mip_gap > 0
            if found is not None and (stops or Incumbent(*found, bound).gap(cost) <= _GAP):
                least = min(least, bound)
            elif best is None or best._replace(bound=bound).gap(cost) > _GAP:
                nodes += node.split(z, self.polytope.integral)
        else:
            raise RuntimeError(self._unproven(row))
        return None if best is None else best._replace(bound=min(least, best.cost))

    def _refuse_without_minimum(self, cost: np.ndarray, row: int) -> None:
        """Raise an error where the relaxed program has no minimum: that, or no whole decision."""
        try:
            self.relaxed.solve(cost[None], row)
        except NoMinimumError:
            found, is_proven = self._branch(np.zeros_like(cost), None, row)
            if found is None and not is_proven:
                raise RuntimeError(self._nothing_found()) from None
            self._known(found)
            raise

    def _branch(
        self, cost: np.ndarray, best: Incumbent | None, row: int
    ) -> tuple[Incumbent | None, bool]:
        """Improve a decision by branch and bound over linear programs, each with its own proof.

        Returns the best decision, and whether it is proven that there is no better one.
        """
        nodes = [Node(self.polytope.lower, self.polytope.upper)]
        for _ in range(_MOST_PROGRAMS):
            if not nodes:
                return (best if best is None else best._replace(bound=best.cost)), True
            node = nodes.pop()
            part = self.polytope.replace(lower=node.lower, upper=node.upper)
            try:
                z = LinearSolver(part, self.name).solve(cost[None], row)[0]
            except NoDecisionError:
                continue
            except NoMinimumError:
                self._refuse_without_minimum(cost, row)
                raise
            bound = float(cost @ z)
            if best is not None and best._replace(bound=bound).gap(cost) <= _GAP / 2:
                continue
            found = self._held(np.rint(z), cost)
            if found is not None and (best is None or found[1] < best.cost):
                best = Incumbent(*found, bound)
            nodes += node.split(z, self.polytope.integral)
        return best, False

    def _nothing_found(self) -> str:
        return (
            f"No decision of {self.name} that satisfies all constraints with whole numbers was "
            f"found, nor could {_MOST_PROGRAMS} linear programs prove that there is none. Bound "
            "the decisions."
        )

    def _unproven(self, row: int) -> str:
        return (
            f"No decision of {self.name} could be proven best for row {row} of y: its whole "
            "numbers depend on rounding errors. Give variables and constraints units in which "
            "their numbers are alike."
        )

    def _search(
        self, node: Node, cost: np.ndarray, size: float, end: float | None
    ) -> tuple[str, np.ndarray | None, float]:
        """Return the status, a decision (n,) if any, and a lower bound of the cost in a node."""
        unit, columns = self.units.of_decisions, self.highs.columns
        bounds = node.lower / unit, node.upper / unit
        self.highs.model.changeColsBounds(len(columns), columns, *bounds)
        if end is not None:
            self.highs.limit_time(end - time.monotonic())
        status = self.highs.run(cost * self.units.columns / size)
        bound = float(self.highs.model.getInfo().mip_dual_bound) * size * self.units.size
        if status != "kOptimal" and not self.highs.has_solution():
            return status, None, bound
        return status, self.highs.solution()[0] * unit, bound

    def _held(self, z: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, float] | None:
        """Return the best decision with the whole numbers of z, and its cost; None without any."""
        part, integral = self.polytope, self.polytope.integral
        z = np.where(integral, z, 0.0)
        if integral.all():
            holds = (part.violation_share(z[None]) <= _FEASIBLE).all()
            return (z, float(cost @ z)) if holds else None
        rest, before = ~integral, self._held_before
        sides = {
            "b_ub": part.b_ub - part.A_ub @ z,
            "b_eq": part.b_eq - part.A_eq @ z,
            "lower": part.lower[rest],
            "upper": part.upper[rest],
        }
        if before is not None:
            left = before.polytope.replace(**sides)
        else:
            A_ub, A_eq = (sparse.csr_array(each[:, rest]) for each in (part.A_ub, part.A_eq))
            left = Polytope(A_ub=A_ub, A_eq=A_eq, **sides, integral=integral[rest])
        try:
            solver = LinearSolver(left, self.name, like=before)
            self._held_before = solver
            z[rest] = solver.solve(cost[None, rest])[0]
        except NoDecisionError:
            return None
        return z, float(cost @ z)


def _integral_bounds(polytope: Polytope) -> Polytope:
    """Round the bounds of whole numbers inwards.

    HiGHS (1.15, and the one in SciPy 1.17) calls one in twenty-five small programs with bounds
    such as 2.5 infeasible, or wrong decisions optimal.
    """
    low, high = np.ceil(polytope.lower - 1e-9), np.floor(polytope.upper + 1e-9)
    return polytope.replace(
        lower=np.where(polytope.integral, low, polytope.lower),
        upper=np.where(polytope.integral, high, polytope.upper),
    )


def spread(values: np.ndarray) -> float:
    """Return the ratio of the largest and the least absolute value that is not 0, or 1."""
    sizes = np.abs(values[values != 0])
    return float(sizes.max() / sizes.min()) if len(sizes) else 1.0
