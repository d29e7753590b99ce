"""cvxpy programs solved by the solvers of this package, which check their solutions."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import sparse

from .._utils.optional import import_optional
from .conic import (
    FEASIBLE,
    ConicProgram,
    ConicSolution,
    Discrepancy,
    has_no_end,
    is_infeasible,
    solve_cone,
)
from .cvxpy_terms import bounds_that_are_expressions, holds, is_as_declared
from .linear import LinearSolver, NoDecisionError, NoMinimumError
from .mixed import MixedSolver
from .polytope import Polytope

_NAME = "ConvexProgram"


class UnprovenError(RuntimeError):
    """No answer of the solver passed the check."""


def solve_canonical(problem: Any, **options: Any) -> None:
    """Solve a cvxpy problem whose parameters are set, and set its variables and dual values.

    cvxpy writes it down in the standard form of cones. Linear programs, whole numbers included, go
    to HiGHS, others to Clarabel. Options are those of ``problem.get_problem_data``.

    Raises
    ------
    NoDecisionError, NoMinimumError, UnprovenError
    """
    cp: Any = import_optional("cvxpy", extra="cvxpy", needed_by=_NAME)
    if problem.is_mixed_integer():
        data, chain, inverse = problem.get_problem_data(cp.HIGHS, solver_opts={}, **options)
        found: Any = _mixed(data)
    else:
        data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts={}, **options)
        found = _continuous(data, lambda found: _discrepancy(problem, found, chain, inverse))
    problem.unpack_results(found, chain, inverse)


def _discrepancy(problem: Any, found: ConicSolution, chain: Any, inverse: Any) -> float:
    """Return the excess of the user's cost over that of the solver; NaN if infeasible."""
    problem.unpack_results(found, chain, inverse)
    variables = problem.variables()
    limits = [*problem.constraints, *bounds_that_are_expressions(variables)]
    if any(each.is_complex() for each in variables) or not (
        all(is_as_declared(each, FEASIBLE, 0.0) for each in variables)
        and all(holds(each, each.variables(), FEASIBLE, 0.0) for each in limits)
    ):
        return float("nan")
    more = float(problem.objective.value) - float(problem.value)
    return more if problem.objective.NAME == "minimize" else -more


def _continuous(data: dict[str, Any], discrepancy: Discrepancy) -> ConicSolution:
    program = _conic_program(data)
    if program.is_linear:
        part, n_eq = _polytope(program.A, program.b, program.n_zero), program.n_zero
        z, dual = LinearSolver(part, _NAME).solve_with_duals(program.c[None])
        # Rows of inequalities come first in the polytope, and last in the conic program.
        n_ub = len(program.b) - n_eq
        multipliers = -np.concatenate([dual[0, n_ub:], dual[0, :n_ub]])
        return ConicSolution("Solved", z[0], multipliers, float(program.c @ z[0]))
    return solve_in_clarabel(program, discrepancy)


def solve_in_clarabel(
    program: ConicProgram, discrepancy: Discrepancy | None = None
) -> ConicSolution:
    """Return a solution that stands the check, or raise one of the errors above."""
    solution, said = solve_cone(program, discrepancy)
    if solution is None:
        if is_infeasible(said):
            raise NoDecisionError(said)
        if has_no_end(said):
            raise NoMinimumError(said)
        raise UnprovenError(f"Clarabel ends with {said!r}, and what it found is not surely best.")
    return solution


def _conic_program(data: dict[str, Any]) -> ConicProgram:
    from cvxpy.reductions.solvers.conic_solvers.clarabel_conif import dims_to_solver_cones

    n, dims = len(data["c"]), data["dims"]
    return ConicProgram(
        P=sparse.csc_array(data["P"]) if "P" in data else sparse.csc_array((n, n)),
        c=np.asarray(data["c"], dtype=np.float64),
        A=sparse.csc_array(data["A"]),
        b=np.asarray(data["b"], dtype=np.float64),
        n_zero=int(dims.zero),
        n_nonnegative=int(dims.nonneg),
        cones=dims_to_solver_cones(dims),
        sizes=(*map(int, dims.soc), *(n * (n + 1) // 2 for n in map(int, dims.psd))),
        n_exponential=int(dims.exp),
    )


def _polytope(A: Any, b: np.ndarray, n_eq: int, **bounds: Any) -> Polytope:
    rows = sparse.csr_array(A)
    bounds = {"lower": -np.inf} | bounds
    return Polytope.of(A.shape[1], ub=(rows[n_eq:], b[n_eq:]), eq=(rows[:n_eq], b[:n_eq]), **bounds)


def _mixed(data: dict[str, Any]) -> dict[str, Any]:
    """Return a solution in the form of cvxpy's interface to HiGHS."""
    if "P" in data:
        raise UnprovenError(
            "It has whole numbers and a quadratic objective: name a solver for these."
        )
    n = len(data["c"])
    low, high = (
        np.full(n, end) if data[name] is None else np.array(data[name], dtype=np.float64)
        for name, end in (("lower_bounds", -np.inf), ("upper_bounds", np.inf))
    )
    two = list(data["bool_vars_idx"])
    low[two], high[two] = np.maximum(low[two], 0.0), np.minimum(high[two], 1.0)
    integral = np.zeros(n, dtype=bool)
    integral[two + list(data["int_vars_idx"])] = True
    bounds = {"lower": low, "upper": high, "integral": integral}
    part = _polytope(data["A"], data["b"], int(data["dims"].zero), **bounds)
    z = MixedSolver(part, _NAME).solve(data["c"][None])[0]
    info = SimpleNamespace(
        objective_function_value=float(data["c"] @ z),
        **{f"{each}_iteration_count": 0 for each in ("ipm", "crossover", "pdlp", "qp", "simplex")},
    )
    solution = SimpleNamespace(col_value=z, row_dual=np.zeros(len(data["b"])))
    return {"solution": solution, "info": info, "model_status": "kOptimal", "run_time": 0.0}
