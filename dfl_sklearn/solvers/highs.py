"""One linear or mixed-integer program in HiGHS, whose costs are exchanged."""

from typing import Any

import numpy as np

from .._utils.optional import import_optional
from .polytope import Polytope

_SMALL = 1e-12  # an entry that HiGHS drops


class Highs:
    """A model without costs.

    Parameters
    ----------
    polytope : Polytope
        In units that make its numbers alike: tolerances of the solver are absolute.
    name : str
        Of the problem, for errors.
    **options
        Of HiGHS.
    """

    def __init__(self, polytope: Polytope, name: str, **options: Any) -> None:
        self.highspy: Any = import_optional("highspy", extra="highs", needed_by=name)
        self.model = self.highspy.Highs()
        self.columns = np.arange(len(polytope.lower), dtype=np.int32)
        settings = {"output_flag": False, "parallel": "off", "small_matrix_value": _SMALL}
        for option, value in (settings | options).items():
            self.model.setOptionValue(option, value)
        if self.model.passModel(self._described(polytope)) == self.highspy.HighsStatus.kError:
            raise ValueError(
                f"HiGHS does not take the constraints of {name}: look for entries that are much "
                "larger than the others of their row."
            )

    def run(self, costs: np.ndarray, basis: Any = None) -> str:
        """Minimise from a basis, or from nothing, and return the status."""
        self.model.changeColsCost(len(self.columns), self.columns, costs)
        self.model.clearSolver()
        if basis is not None:
            self.model.setBasis(basis)
        self.model.run()
        return str(self.model.getModelStatus().name)

    def set_sides(self, polytope: Polytope) -> bool:
        """Exchange right-hand sides and bounds; return whether HiGHS takes them."""
        model, error = self.model, self.highspy.HighsStatus.kError
        rows = np.arange(len(polytope.row_upper), dtype=np.int32)
        ends = polytope.row_lower, polytope.row_upper
        status = model.changeRowsBounds(len(rows), rows, *ends)
        bounds = polytope.lower, polytope.upper
        return error not in (
            status,
            model.changeColsBounds(len(self.columns), self.columns, *bounds),
        )

    def limit_time(self, seconds: float) -> None:
        """Stop the next run after so many seconds."""
        self.model.setOptionValue("time_limit", max(0.0, float(seconds)))

    def has_solution(self) -> bool:
        """Return whether the last run found something feasible."""
        status = self.model.getInfo().primal_solution_status
        return int(status) == int(self.highspy.SolutionStatus.kSolutionStatusFeasible)

    def solution(self) -> tuple[np.ndarray, np.ndarray]:
        """Return decisions (n,) and dual values (m,) of the rows."""
        found = self.model.getSolution()
        return np.asarray(found.col_value), np.asarray(found.row_dual)

    def basis(self) -> Any:
        """Return the last basis."""
        return self.model.getBasis()

    def basic_and_at_upper(self) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Return the basic variables, and which are at the top; rows come after columns."""
        last, kinds = self.model.getBasis(), self.highspy.HighsBasisStatus
        statuses = [*last.col_status, *last.row_status]
        basic = tuple(i for i, each in enumerate(statuses) if each == kinds.kBasic)
        return basic, tuple(each == kinds.kUpper for each in statuses)

    def _described(self, part: Polytope) -> Any:
        rows = part.matrix
        lp = self.highspy.HighsLp()
        lp.num_row_, lp.num_col_ = rows.shape
        lp.col_cost_ = np.zeros(rows.shape[1])
        lp.col_lower_, lp.col_upper_ = part.lower, part.upper
        lp.row_lower_, lp.row_upper_ = part.row_lower, part.row_upper
        lp.a_matrix_.format_ = self.highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = rows.indptr
        lp.a_matrix_.index_ = rows.indices
        lp.a_matrix_.value_ = rows.data
        if part.integral.any():
            kinds = self.highspy.HighsVarType
            lp.integrality_ = [
                kinds.kInteger if each else kinds.kContinuous for each in part.integral
            ]
        return lp
