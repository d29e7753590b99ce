"""Programs of one matrix, divided among threads."""

from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from .._utils.convergence import doubt
from .linear import LinearSolver
from .linear_sides import SidesSolver, solve_mixed_sides
from .mixed import MixedSolver
from .polytope import Polytope

_CHUNK = 1 << 20  # numbers in an array of right-hand sides and bounds


def solve_linear_rows(
    polytope: Polytope,
    costs: np.ndarray,
    *,
    n_jobs: int | None,
    name: str,
    time_limit: float | None = None,
    mip_gap: float = 0.0,
    shares_bases: bool = False,
) -> np.ndarray:
    """Return a minimiser (B, n) of ``costs @ z`` over the polytope for each row of costs (B, n).

    The polytope may have one set for each row. A row's decision does not depend on the other rows,
    nor on the threads. Limits are for whole numbers; where one leaves a row short of the best
    decision, a warning says by how much. `shares_bases` is as in :class:`LinearSolver`.
    """
    n_parts = min(effective_n_jobs(n_jobs), max(1, len(costs)))
    bounds = np.linspace(0, len(costs), n_parts + 1).astype(int)

    def run(start: int, end: int) -> tuple[np.ndarray, dict[int, float]]:
        part = costs[start:end]
        if polytope.n_sets is not None:
            own = polytope.for_rows(slice(start, end))
            if own.integral.any():
                return solve_mixed_sides(own, part, name, time_limit, mip_gap, start)
            return _solve_sides(own, part, name, start), {}
        if not polytope.integral.any():
            solver = LinearSolver(polytope, name, shares_bases=shares_bases)
            return solver.solve(part, start), {}
        mixed = MixedSolver(polytope, name, time_limit, mip_gap)
        return mixed.solve(part, start), mixed.gaps

    if n_parts == 1:
        parts = [run(0, len(costs))]
    else:
        parts = Parallel(n_jobs=n_parts, require="sharedmem")(
            delayed(run)(*each) for each in pairwise(bounds)
        )
    gaps = {row: gap for _, found in parts for row, gap in found.items()}
    if gaps:
        row = max(gaps, key=lambda each: gaps[each])
        doubt(
            f"{len(gaps)} of {len(costs)} rows of y were not solved to the end (time_limit="
            f"{time_limit}, mip_gap={mip_gap}): decisions of {name} may cost more than the "
            f"best by up to {gaps[row]:.2g} of the absolute terms of their cost, as in row {row}.",
            stacklevel=4,
        )
    return np.concatenate([z for z, _ in parts])


def _solve_sides(polytope: Polytope, costs: np.ndarray, name: str, first_row: int) -> np.ndarray:
    """Solve rows with sets of their own, a part of them at a time: each has many numbers."""
    step = max(1, _CHUNK // max(1, sum(polytope.matrix.shape)))
    parts = [
        SidesSolver(polytope.for_rows(slice(i, i + step)), name).solve(
            costs[i : i + step], first_row + i
        )
        for i in range(0, len(costs), step)
    ]
    return np.concatenate([costs[:0], *parts])
