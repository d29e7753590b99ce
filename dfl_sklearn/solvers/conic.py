"""Convex programs in conic standard form, solved by Clarabel and checked in the user's units."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .._utils.optional import import_optional
from .scaling import balanced, power_of_two

FEASIBLE = 1e-8  # by how much a row may be missed, as a share of its terms
_GAP = 1e-7  # between a cost and its lower bound, as a share of the absolute terms of the cost
_FLAT = 1e-7  # a slope that counts as none, as a share of its terms
_FLAT_IN_CONE = 1e-8  # the same, as a share of what they would be with a cone's largest dual value
_ROUNDING = 1e-10
_TRACE = 1e-8  # on the diagonal of the optimality conditions
_REFINEMENTS = 20
_FAR = 1e8  # scaled right-hand sides beyond this are left out in one of the attempts
_NOWHERE = 1e30  # for Clarabel, the same as none
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
        All cones, as Clarabel takes them; those after the first two are not polyhedral.
    sizes : tuple of int
        Sizes of the second-order and semidefinite cones, which follow those two.
    n_exponential : int
        Number of exponential cones, which follow these.
    """

    P: sparse.csc_array
    c: np.ndarray
    A: sparse.csc_array
    b: np.ndarray
    n_zero: int
    n_nonnegative: int
    cones: list[Any]
    sizes: tuple[int, ...] = ()
    n_exponential: int = 0

    @property
    def is_polyhedral(self) -> bool:
        """Whether there are only equations and inequalities."""
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


Discrepancy = Callable[[ConicSolution], float]
"""Returns a solution's cost in the user's program less its cost here, NaN if infeasible."""


class _Units(NamedTuple):
    """What x, rows, and slopes are multiples of while Clarabel solves, powers of two.

    x is a multiple of ``columns * size``, slacks of ``size / rows``, slopes of ``cost / columns``.
    Inequalities with a right-hand side beyond `far` of these are left to the check.
    """

    rows: np.ndarray
    columns: np.ndarray
    size: float
    cost: float
    far: float


class _Point(NamedTuple):
    """A point with its slacks and dual values, and the units that what is left has to be 0 in."""

    x: np.ndarray
    slack: np.ndarray
    dual: np.ndarray
    row_unit: np.ndarray
    slope_unit: np.ndarray
    cost_unit: float


def solve_cone(
    program: ConicProgram, discrepancy: Discrepancy | None = None
) -> tuple[ConicSolution | None, str]:
    """Return a solution that passes the check, or None, and the last status of Clarabel.

    Columns, rows and the cost are scaled, so that tolerances mean the same in all units. An answer
    is accepted if rows hold, slopes vanish and the dual values prove the cost to be least. If no
    answer passes, one is accepted whose cost in the user's own program is proven to be least.
    A program counts as infeasible only if no choice of units gives a solution, since bounds far
    larger than the decisions mislead Clarabel.
    """
    said, points = [], []
    for units in _all_units(program):
        for tolerance in _TOLERANCES:
            status, found = _solved(program, units, tolerance)
            said.append(status)
            if status in _INFEASIBLE + _NO_END:
                break
            for point in found:
                if _is_proven(program, *point):
                    return _solution(program, point), status
                points.append(point)
    for point in points:
        if discrepancy is not None and _is_proven_for_user(program, point, discrepancy):
            return _solution(program, point), said[-1]
    return None, next((each for each in said if each in _INFEASIBLE + _NO_END), said[-1])


def _solution(program: ConicProgram, point: _Point) -> ConicSolution:
    return ConicSolution("Solved", point.x, point.dual, _cost(program, point.x))


def _solved(program: ConicProgram, units: _Units, tolerance: float) -> tuple[str, Iterator[_Point]]:
    """Return Clarabel's status for a program, and the points that may solve it."""
    clarabel: Any = import_optional("clarabel", extra="cvxpy", needed_by="ConvexProgram")
    rows, columns, size, cost, far = units
    across = sparse.diags_array(columns)
    P = sparse.csc_array(sparse.triu(across @ program.P @ across)) * (size / cost)
    A = sparse.csc_array(sparse.diags_array(rows) @ program.A @ across)
    c, b = program.c * columns / cost, program.b * rows / size
    is_inequality = np.arange(len(b)) - program.n_zero < program.n_nonnegative
    b[is_inequality & (b > far)] = _NOWHERE
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.max_iter = 500
    for name in ("tol_gap_abs", "tol_gap_rel", "tol_feas", "tol_ktratio"):
        setattr(settings, name, tolerance)
    found = clarabel.DefaultSolver(P, c, A, b, program.cones, settings).solve()
    x, s, z = np.asarray(found.x), np.asarray(found.s), np.asarray(found.z)

    def candidates() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        if program.is_polyhedral:
            yield _polished(P, c, A, b, program, x, s, z)
        # The entropy is undefined just below 0, so that its domain is enforced first.
        in_domain = np.clip(x, *_bounds(A, b, _rows_of_domain(program)))
        yield in_domain, s, z
        yield x, s, z
        yield np.clip(in_domain, *_bounds(A, b, _linear_rows(program))), s, z

    return str(found.status), (_in_users_units(program, units, *each) for each in candidates())


def _in_users_units(
    program: ConicProgram, units: _Units, x: np.ndarray, s: np.ndarray, z: np.ndarray
) -> _Point:
    """Return a point in the units given, with the units in which rounding errors are left.

    They are those of the solver, or smaller ones if the point shows that those are too large:
    bounds far larger than the decisions say nothing about the size of the decisions.
    """
    rows, columns, size, cost, _ = units
    start, end = program.n_zero, program.n_zero + program.n_nonnegative
    with np.errstate(over="ignore", invalid="ignore"):
        x, slack, dual = x * columns * size, s / rows * size, z * rows * cost
        # The slack of an inequality can be computed more exactly than the solver gives it.
        slack[start:end] = np.maximum((program.b - program.A @ x)[start:end], 0.0)
        least = min(size, *_all_sizes(program, rows, columns))
        size = min(size, max(float(np.abs(x / columns).max(initial=0.0)), least))
        x_or_least = np.maximum(np.abs(x), least * columns)
        slopes = (abs(program.P) @ x_or_least + np.abs(program.c)) * columns
    cost = min(cost, float(slopes.max(initial=0.0))) if slopes.any() else cost
    return _Point(x, slack, dual, size / rows, cost / columns, size * cost * len(x))


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

    The solution of an interior point method violates constraints slightly, and so may cost less
    than any feasible point. Its multipliers tell which rows hold with equality. With those as
    equations, the optimality conditions are linear. They are solved with a trace on the diagonal,
    whose effect refinements remove (Stellato et al., "OSQP", 2020, section 5.2).
    """
    tight = np.flatnonzero((np.arange(len(b)) < program.n_zero) | (z > s))
    n, m = len(c), len(tight)
    upper = sparse.csc_array(P)
    full = upper + upper.T - sparse.diags_array(upper.diagonal())
    rows = sparse.csr_array(A)[tight]
    system = sparse.csc_array(sparse.block_array([[full, rows.T], [rows, None]]))
    trace = sparse.diags_array(np.concatenate([np.full(n, _TRACE), np.full(m, -_TRACE)]))
    try:
        solve = splu(sparse.csc_array(system + trace)).solve
    except RuntimeError:  # still singular
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
    inside = np.clip(found[:n], *_bounds(A, b, _linear_rows(program)))
    return inside, np.maximum(slack, 0.0), multipliers


def _bounds(A: sparse.csc_array, b: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds (n,) that rows with a single entry set, infinite where there are none.

    The kind of a row is 0 for an equation, 1 for an inequality, and -1 for what sets no bounds.
    """
    rows = sparse.csr_array(A)
    lower, upper = np.full(A.shape[1], -np.inf), np.full(A.shape[1], np.inf)
    for i in np.flatnonzero((np.diff(rows.indptr) == 1) & (kind >= 0)):
        j, entry = rows.indices[rows.indptr[i]], rows.data[rows.indptr[i]]
        if entry > 0 or kind[i] == 0:
            upper[j] = min(upper[j], b[i] / entry)
        if entry < 0 or kind[i] == 0:
            lower[j] = max(lower[j], b[i] / entry)
    return np.minimum(lower, upper), upper


def _linear_rows(program: ConicProgram) -> np.ndarray:
    """Return the kinds of rows (m,), equations and inequalities."""
    kind = np.full(len(program.b), -1)
    kind[: program.n_zero + program.n_nonnegative] = 1
    kind[: program.n_zero] = 0
    return kind


def _rows_of_domain(program: ConicProgram) -> np.ndarray:
    """Return the kinds of rows (m,), the second and third of exponential cones, which are >= 0."""
    kind = np.full(len(program.b), -1)
    start = program.n_zero + program.n_nonnegative + sum(program.sizes)
    rows = kind[start : start + 3 * program.n_exponential].reshape(-1, 3)
    rows[:, 1:] = 1
    return kind


def is_infeasible(status: str) -> bool:
    """Return whether Clarabel found that nothing is feasible."""
    return status in _INFEASIBLE


def has_no_end(status: str) -> bool:
    """Return whether Clarabel found that the cost is unbounded below."""
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
        # What rows and slopes are off by, at what it may cost, and what is left of the gap.
        gap = np.abs(slope * x).sum() + np.abs(dual * missed).sum() + abs(slack @ dual)
    is_finite = np.isfinite(terms).all() and np.isfinite(gap)
    holds = (missed <= FEASIBLE * terms + _ROUNDING * row_unit).all()
    is_flat = _is_flat(program, x, dual, slope_unit)
    return bool(is_finite and holds and is_flat and gap <= _allowed_gap(program, x, cost_unit))


def _is_proven_for_user(program: ConicProgram, point: _Point, discrepancy: Discrepancy) -> bool:
    """Return whether a point is feasible for the user, and costs the least there.

    Auxiliary variables that only measure a cost, such as the t of ``|x| <= t``, may be inexact
    then: they do not occur in the user's program. Its cost is compared with the bound that follows
    from the dual values.
    """
    x, dual = point.x, point.dual
    if not (np.isfinite(x).all() and _is_flat(program, x, dual, point.slope_unit)):
        return False
    with np.errstate(all="ignore"):
        slope = program.P @ x + program.c + program.A.T @ dual
        # Feasible points may be as far from x as x is from 0, hence twice what slopes cost.
        gap = (program.b - program.A @ x) @ dual + 2.0 * np.abs(slope * x).sum()
        gap += discrepancy(_solution(program, point))
    # A cost below the bound is not better, but a sign that something else is wrong.
    return bool(np.isfinite(gap) and abs(gap) <= _allowed_gap(program, x, point.cost_unit))


def _is_flat(
    program: ConicProgram, x: np.ndarray, dual: np.ndarray, slope_unit: np.ndarray
) -> bool:
    """Return whether the slopes vanish: a variable at 0 adds nothing to the gap whatever its slope.

    In second-order and semidefinite cones small dual values are as inexact as large ones.
    """
    A, P, sizes = abs(program.A).T, program.P, np.abs(dual)
    with np.errstate(over="ignore", invalid="ignore"):
        slope = P @ x + program.c + program.A.T @ dual
        terms = abs(P) @ np.abs(x) + np.abs(program.c) + A @ sizes
        in_cones = A @ _largest_in_cone(program, sizes)
    allowed = np.maximum(_FLAT * terms, _FLAT_IN_CONE * in_cones) + _ROUNDING * slope_unit
    return bool(np.isfinite(terms).all() and (np.abs(slope) <= allowed).all())


def _allowed_gap(program: ConicProgram, x: np.ndarray, cost_unit: float) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        spent = np.abs(program.c * x).sum() + x @ (program.P @ x)
    return float(_GAP * spent + _ROUNDING * cost_unit)


def _largest_in_cone(program: ConicProgram, values: np.ndarray) -> np.ndarray:
    """Return values of rows (m,), in second-order and semidefinite cones the largest there."""
    values, start = values.copy(), program.n_zero + program.n_nonnegative
    for n in program.sizes:
        values[start : start + n] = values[start : start + n].max(initial=0.0)
        start += n
    return values


def _all_units(program: ConicProgram) -> Iterator[_Units]:
    """Yield units to solve a program in, the most likely ones first."""
    curved = slice(program.n_zero + program.n_nonnegative, None)  # a cone has one unit
    rows, columns = balanced(program.A, fixed_rows=curved)
    sizes = [float(power_of_two(each)) for each in _all_sizes(program, rows, columns)]
    first = _Units(rows, columns, sizes[0], _cost_unit(program, columns, sizes[0]), np.inf)
    yield first
    right = (program.b * rows)[program.n_zero :][: program.n_nonnegative]
    for size in dict.fromkeys(sizes):
        if size != first.size or (right > _FAR * size).any():
            yield _Units(rows, columns, size, _cost_unit(program, columns, size), _FAR)


def _all_sizes(program: ConicProgram, rows: np.ndarray, columns: np.ndarray) -> Iterator[float]:
    """Yield sizes of x: of the right-hand side, of what costs are balanced by, and the least."""
    right = np.abs(program.b * rows)
    yield float(np.median(right[right > 0])) if right.any() else 1.0
    diagonal = program.P.diagonal() * columns
    balanced_by = np.abs(program.c[diagonal > 0] / diagonal[diagonal > 0])
    balanced_by = balanced_by[(balanced_by > 0) & np.isfinite(balanced_by)]
    if len(balanced_by):
        yield float(np.median(balanced_by))
    if right.any():
        yield float(right[right > 0].min())


def _cost_unit(program: ConicProgram, columns: np.ndarray, size: float) -> float:
    costs = np.abs(program.c * columns)
    diagonal = np.abs(program.P.diagonal()) * columns**2 * size
    costs = np.concatenate([costs[costs > 0], diagonal[diagonal > 0]])
    return float(power_of_two(np.median(costs))) if len(costs) else 1.0
