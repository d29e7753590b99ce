"""The best plans of linear programs with recourse: of rows, and over scenarios."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .._utils.progress import counted
from .._utils.row_numbers import renumbered
from ..solvers.bases_by_row import solve_by_bases
from ..solvers.exact import Basis
from ..solvers.linear import LinearSolver, NoDecisionError
from ..solvers.linear_rows import solve_linear_rows
from ..solvers.polytope import Polytope

if TYPE_CHECKING:
    import torch

    from ._recourse import Recourse

_FEW_CELLS = 2_500  # of a matrix, up to which rows with matrices of their own share bases


@dataclass(frozen=True, eq=False)
class PlanSolver:
    """Finds the best plans of a program.

    Attributes
    ----------
    program : Recourse
    name : str
        What errors call the problem.
    n_jobs : int or None
    time_limit : float or None
    mip_gap : float
        Threads and limits of rows that are solved one by one.
    """

    program: "Recourse"
    name: str
    n_jobs: int | None
    time_limit: float | None
    mip_gap: float

    def for_rows(self, parameters: "torch.Tensor") -> np.ndarray:
        """Return the best plans (B, n) for parameters (B, q).

        Rows are solved together where the matrices are fixed, by formulas that hold for all of
        them or by trying all choices of whole numbers. The rest are solved one by one.
        """
        program, n = self.program, len(self.program.lower)
        z, rest = np.zeros((len(parameters), n)), np.arange(len(parameters))
        if program.is_fixed("T", "W"):
            if not program.integral.any():
                found = program.plan.solve(parameters)
                z, rest = found.x[:, :n].numpy(), np.flatnonzero(~found.is_unique.numpy())
            elif program.choices is not None:
                z, is_best = program.choices.best(parameters)
                rest = np.flatnonzero(~is_best)
        if len(rest):
            with renumbered(rest):
                z[rest] = self._one_by_one(parameters.numpy()[rest])[:, :n]
        return z

    def over_scenarios(
        self, parameters: np.ndarray, share: np.ndarray, numbers: np.ndarray, row: int
    ) -> np.ndarray:
        """Return the plan (n,) of the least mean cost over scenarios (S, q).

        Errors call the scenarios by their numbers (S,), and say which row they belong to.

        Parameters
        ----------
        parameters : ndarray of shape (S, q)
        share : ndarray of shape (S,)
            Weights of the scenarios, positive.
        numbers : ndarray of shape (S,)
        row : int
        """
        n = len(self.program.lower)
        polytope, costs = self.program.extensive(parameters, share, numbers)
        try:
            with renumbered(np.array([row])):
                if polytope.integral.any():
                    return self._in_highs(polytope, costs[None])[0, :n]
                solver = LinearSolver(polytope, self.name, is_for_one=True)
                return solver.solve(costs[None])[0, :n]
        except NoDecisionError as error:
            raise NoDecisionError(self._why_no_plan(parameters, numbers, row)) from error

    def why_none(self, parameters: "torch.Tensor", n_parameters: int) -> str:
        """Say for which y the first of these rows has no plan, and what helps."""
        for i in range(len(parameters)):
            try:
                self.for_rows(parameters[i : i + 1])
            except NoDecisionError:
                return (
                    f"y is {parameters[i, :n_parameters].tolist()} there. Where a negative "
                    "prediction is at fault, set nonnegative=True; else add recourse that makes "
                    "up for what is missing, at a price."
                )
            except (ValueError, RuntimeError):
                continue
        return ""

    def _one_by_one(self, parameters: np.ndarray) -> np.ndarray:
        """Return plans and recourse (B, n + k) for parameters (B, q), by HiGHS."""
        program = self.program
        costs = program.costs(parameters)
        if program.is_fixed("T", "W"):
            return self._in_highs(program.polytope(parameters), costs)
        if not program.integral.any() and program.n_cells <= _FEW_CELLS:
            alone = partial(self._alone_with_basis, parameters, costs)
            return solve_by_bases(program.dense(parameters), alone)
        parts, n = [], len(parameters)
        for i in counted(range(n), "rows solved", n):
            with renumbered(np.array([i])):
                row = slice(i, i + 1)
                parts.append(self._in_highs(program.polytope(parameters[row]), costs[row]))
        return np.concatenate(parts)

    def _alone_with_basis(
        self, parameters: np.ndarray, costs: np.ndarray, row: int
    ) -> tuple[np.ndarray, Basis | None]:
        """Return plan and recourse (n + k,) of a row, and their basis where there is one."""
        polytope, cost = self.program.polytope(parameters[row : row + 1]), costs[row : row + 1]
        try:
            solver = LinearSolver(polytope.for_rows(0), self.name)
            return solver.solve(cost)[0], solver.last_basis()
        except (ValueError, RuntimeError):
            with renumbered(np.array([row])):
                return self._in_highs(polytope, cost)[0], None  # or an error that names the row

    def _in_highs(self, polytope: Polytope, costs: np.ndarray) -> np.ndarray:
        """Return plans and recourse (B, n + k) for costs (B, n + k)."""
        return solve_linear_rows(
            polytope,
            costs,
            n_jobs=self.n_jobs,
            name=self.name,
            time_limit=self.time_limit,
            mip_gap=self.mip_gap,
        )

    def _why_no_plan(self, parameters: np.ndarray, numbers: np.ndarray, row: int) -> str:
        """Say why no plan can be made for scenarios (S, q), which have these numbers."""
        for s, number in enumerate(numbers):
            try:
                self._one_by_one(parameters[s : s + 1])
            except NoDecisionError as error:
                _, _, which = str(error).partition(": these contradict one another")
                return (
                    f"No plan is allowed and has a recourse in scenario {number} of row {row}, y = "
                    f"{parameters[s, : self.program.n_parameters].tolist()}"
                    + (f": these contradict one another{which}" if which else ".")
                )
        return (
            f"No plan has a recourse in all scenarios of row {row}, though each has one by itself. "
            "Add recourse that makes up for anything, at a price."
        )
