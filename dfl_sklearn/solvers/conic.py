"""Convex programs in the standard form of cones, by Clarabel, checked in the user's units."""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .._utils.optional import import_optional
from .scaling import balanced, power_of_two

_FEASIBLE = 1e-8  # by how much a row may be missed, as a share of its terms
_GAP = 1e-7  # between a cost and its lower bound, as a share of the absolute terms of the cost
_FLAT = 1e-7  # a slope that counts as none, as a share of its terms
_ROUNDING = 1e-10
_TRACE = 1e-8  # on the diagonal of the optimality conditions
_REFINEMENTS = 20
_TOLERANCES = (1e-12, 1e-10, 1e-9)  # of Clarabel, in turns
_INFEASIBLE = ("PrimalInfeasible", "AlmostPrimalInfeasible")
_NO_END = ("DualInfeasible", "AlmostDualInfeasible")


class ConicProgram(NamedTuple):
    r"""Minimise :math:`\frac12 x^\top P x + c^\top x` with :math:`b - A x` in a product of cones.

    Attributes
    ----------
    P : csc_array of shape (n, n)
    c : ndarray of shape (n,)
    A : csc_array of shape (m, n)
    b : ndarray of shape (m,)
    n_zero, n_nonnegative : int
        Sizes of the first two cones: equations and inequalities.
    cones : list
        All of them, as Clarabel wants them; those after the first two are not polyhedral.
    """

    P: sparse.csc_array
    c: np.ndarray
    A: sparse.csc_array
    b: np.ndarray
    n_zero: int
    n_nonnegative: int
    cones: list[Any]

    @property
    def is_polyhedral(self) -> bool:
        """Whether there are equations and inequalities alone."""
        return self.n_zero + self.n_nonnegative == len(self.b)

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear program."""
        return self.is_polyhedral and not self.P.nnz


class ConicSolution(NamedTuple):
    """A status, a minimiser, dual values of the rows, and the cost, as Clarabel has them."""

    status: str
    x: np.ndarray
    z: np.ndarray
    obj_val: float
    solve_time: float = 0.0
    iterations: int = 0


def solve_cone(program: ConicProgram) -> tuple[ConicSolution | None, str]:
    """Return a solution that stands the check, or None, and what Clarabel said of it last.

    Columns, rows and the cost are scaled, so that tolerances mean the same in all units. An answer
    counts where rows hold, slopes vanish and the dual values prove the cost to be least.
    """
    clarabel: Any = import_optional("clarabel", extra="cvxpy", needed_by="ConvexProgram")
    rows, columns, size, unit = _units(program)
    across = sparse.diags_array(columns)
    P = sparse.csc_array(sparse.triu(across @ program.P @ across)) * (size / unit)
    A = sparse.csc_array(sparse.diags_array(rows) @ program.A @ across)
    c, b = program.c * columns / unit, program.b * rows / size
    said, cost_unit = "", size * unit * len(c)
    for tolerance in _TOLERANCES:
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        settings.max_iter = 500
        for name in ("tol_gap_abs", "tol_gap_rel", "tol_feas", "tol_ktratio"):
            setattr(settings, name, tolerance)
        found = clarabel.DefaultSolver(P, c, A, b, program.cones, settings).solve()
        said = str(found.status)
        if said in _INFEASIBLE + _NO_END:
            break
        point = np.asarray(found.x), np.asarray(found.s), np.asarray(found.z)
        for x, s, z in (_polished(P, c, A, b, program, *point), point):
            x, slack, dual = x * columns * size, s / rows * size, z * rows * unit
            if _is_proven(program, x, slack, dual, size / rows, unit / columns, cost_unit):
                return ConicSolution("Solved", x, dual, _cost(program, x)), said
    return None, said


def _polished(
    P: sparse.csc_array,
    c: np.ndarray,
    A: sparse.csc_array,
    b: np.ndarray,
    program: ConicProgram,
    x: np.ndarray,
    s: np.ndarray,
    z: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the point at which the constraints that seem to hold with equality do so exactly.

    An interior point misses constraints, and so may cost less than any feasible one. Its
    multipliers tell which rows hold with equality; with those as equations the optimality
    conditions are linear. They are solved with a trace on the diagonal, which refinements take
    away (Stellato et al., "OSQP", 2020, section 5.2). Curved cones are left as they are.
    """
    if not program.is_polyhedral:
        return x, s, z
    tight = np.flatnonzero((np.arange(len(b)) < program.n_zero) | (z > s))
    n, m = len(c), len(tight)
    upper = sparse.csc_array(P)
    full = upper + upper.T - sparse.diags_array(upper.diagonal())
    rows = sparse.csr_array(A)[tight]
    system = sparse.csc_array(sparse.block_array([[full, rows.T], [rows, None]]))
    trace = sparse.diags_array(np.concatenate([np.full(n, _TRACE), np.full(m, -_TRACE)]))
    try:
        solve = splu(sparse.csc_array(system + trace)).solve
    except RuntimeError:  # singular all the same
        return x, s, z
    right, found = np.concatenate([-c, b[tight]]), np.concatenate([x, z[tight]])
    for _ in range(_REFINEMENTS):
        found = found + solve(right - system @ found)
    multipliers = np.zeros(len(b))
    multipliers[tight] = found[n:]
    slack = b - A @ found[:n]
    slack[tight] = 0.0
    is_equation = np.arange(len(b)) < program.n_zero
    noise = _ROUNDING * (1.0 + np.abs(found).max())
    inside = (slack >= -noise).all() and (multipliers[~is_equation] >= -noise).all()
    if not inside or not np.isfinite(found).all():
        return x, s, z
    multipliers = np.where(is_equation, multipliers, np.maximum(multipliers, 0.0))
    return np.clip(found[:n], *_bounds(A, b, program)), np.maximum(slack, 0.0), multipliers


def _bounds(
    A: sparse.csc_array, b: np.ndarray, program: ConicProgram
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds (n,) that rows with a single entry set, infinite where there are none."""
    rows = sparse.csr_array(A)
    lower, upper = np.full(A.shape[1], -np.inf), np.full(A.shape[1], np.inf)
    for i in np.flatnonzero(np.diff(rows.indptr) == 1):
        j, entry = rows.indices[rows.indptr[i]], rows.data[rows.indptr[i]]
        if entry > 0 or i < program.n_zero:
            upper[j] = min(upper[j], b[i] / entry)
        if entry < 0 or i < program.n_zero:
            lower[j] = max(lower[j], b[i] / entry)
    return np.minimum(lower, upper), upper


def is_infeasible(status: str) -> bool:
    """Return whether Clarabel found that nothing is feasible."""
    return status in _INFEASIBLE


def has_no_end(status: str) -> bool:
    """Return whether Clarabel found that the cost falls without end."""
    return status in _NO_END


def _cost(program: ConicProgram, x: np.ndarray) -> float:
    return float(0.5 * x @ (program.P @ x) + program.c @ x)


def _is_proven(
    program: ConicProgram,
    x: np.ndarray,
    slack: np.ndarray,
    dual: np.ndarray,
    row_unit: np.ndarray,
    slope_unit: np.ndarray,
    cost_unit: float,
) -> bool:
    """Return whether x is feasible and best, with slacks and dual values in the cones.

    Where all terms of a row, a slope or the least cost are 0, rounding errors in its unit are left.
    """
    A, P = program.A, program.P
    with np.errstate(over="ignore", invalid="ignore"):
        missed = np.abs(A @ x + slack - program.b)
        terms = abs(A) @ np.abs(x) + np.abs(program.b)
        slope = P @ x + program.c + A.T @ dual
        slope_terms = abs(P) @ np.abs(x) + np.abs(program.c) + abs(A).T @ np.abs(dual)
        # What rows and slopes are off by, at what it may cost, and what is left of the gap.
        gap = np.abs(slope * x).sum() + np.abs(dual * missed).sum() + abs(slack @ dual)
        spent = np.abs(program.c * x).sum() + x @ (P @ x)
    holds = (missed <= _FEASIBLE * terms + _ROUNDING * row_unit).all()
    # A variable at 0 adds nothing to the gap, whatever its slope.
    is_flat = (np.abs(slope) <= _FLAT * slope_terms + _ROUNDING * slope_unit).all()
    return bool(holds and is_flat and gap <= _GAP * spent + _ROUNDING * cost_unit)


def _units(program: ConicProgram) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return factors of rows and columns, the size of x, and that of the cost, powers of two."""
    curved = slice(program.n_zero + program.n_nonnegative, None)  # a cone has one unit
    rows, columns = balanced(program.A, fixed_rows=curved)
    right = np.abs(program.b * rows)
    size = float(power_of_two(np.median(right[right > 0]))) if right.any() else 1.0
    costs = np.abs(program.c * columns)
    diagonal = np.abs(program.P.diagonal()) * columns**2 * size
    costs = np.concatenate([costs[costs > 0], diagonal[diagonal > 0]])
    unit = float(power_of_two(np.median(costs))) if len(costs) else 1.0
    return rows, columns, size, unit
