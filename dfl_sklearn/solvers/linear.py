"""Linear programs that differ in their costs alone, solved row by row with HiGHS."""

from itertools import pairwise
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy import sparse

from .._utils.optional import import_optional
from .polytope import Polytope

_MIP_GAP = 1e-9  # costs are scaled to a median of 1
_SMALL = 1e-12  # an entry that HiGHS drops; rows have length 1


def solve_rows(polytope: Polytope, costs: np.ndarray, *, n_jobs: int | None, name: str) -> Any:
    """Return a minimiser (B, n) of ``costs @ z`` over the polytope for each row of costs (B, n).

    Every row starts from the same vertex, so that among equally good decisions it gets the one
    that it would get by itself.

    Raises
    ------
    ValueError
        If no z satisfies the constraints, naming some that contradict one another, or if the
        cost of a row has no minimum.
    """
    n_parts = min(effective_n_jobs(n_jobs), max(1, len(costs)))
    bounds = np.linspace(0, len(costs), n_parts + 1).astype(int)

    def run(start: int, end: int) -> np.ndarray:
        return _Solver(polytope, name).solve(costs[start:end], first_row=start)

    if n_parts == 1:
        return run(0, len(costs))
    parts = Parallel(n_jobs=n_parts, require="sharedmem")(
        delayed(run)(*each) for each in pairwise(bounds)
    )
    return np.concatenate(parts)


def _whole_bounds(polytope: Polytope) -> Polytope:
    """Round the bounds of whole numbers inwards.

    HiGHS (1.15, and the one in SciPy 1.17) calls one in twenty-five small programs with bounds
    such as 2.5 infeasible, or wrong decisions optimal.
    """
    low, high = np.ceil(polytope.lower - 1e-9), np.floor(polytope.upper + 1e-9)
    return polytope._replace(
        lower=np.where(polytope.whole, low, polytope.lower),
        upper=np.where(polytope.whole, high, polytope.upper),
    )


class _Solver:
    """One model in HiGHS, whose costs are exchanged."""

    def __init__(self, polytope: Polytope, name: str) -> None:
        self.polytope, self.name = _whole_bounds(polytope.in_units()), name
        self.highspy: Any = import_optional("highspy", extra="highs", needed_by=name)
        self.model = self.highspy.Highs()
        self.is_mixed = bool(polytope.whole.any())
        for option, value in (
            ("output_flag", False),
            ("parallel", "off"),
            ("mip_rel_gap", 0.0),
            ("mip_abs_gap", _MIP_GAP),
            ("small_matrix_value", _SMALL),
        ):
            self.model.setOptionValue(option, value)
        if self.model.passModel(self._described()) == self.highspy.HighsStatus.kError:
            raise ValueError(
                f"HiGHS does not take the constraints of {name}: look for entries that are much "
                "larger than the others of their row."
            )
        # With costs of 0 a vertex is found, or that there is none.
        self.model.run()
        if self.status == "kInfeasible":
            raise ValueError(self._contradiction())
        if self.status != "kOptimal":
            raise RuntimeError(f"HiGHS could not find a decision of {name}: {self.status}.")
        self.vertex = None if self.is_mixed else self.model.getBasis()

    @property
    def status(self) -> str:
        return str(self.model.getModelStatus().name)

    def solve(self, costs: np.ndarray, first_row: int) -> np.ndarray:
        z = np.empty(costs.shape)
        columns = np.arange(costs.shape[1], dtype=np.int32)
        # Tolerances of the solver are absolute. By the median, since one very dear decision would
        # else make the others too cheap to be told apart.
        known = np.where(costs != 0, np.abs(costs), np.nan)
        size = np.ones((len(costs), 1))
        some = (costs != 0).any(axis=1)
        size[some] = np.nanmedian(known[some], axis=1, keepdims=True)
        scaled = costs / size
        for i, cost in enumerate(scaled):
            self.model.changeColsCost(len(columns), columns, cost)
            self.model.clearSolver()
            if self.vertex is not None:
                self.model.setBasis(self.vertex)
            self.model.run()
            if self.status != "kOptimal":
                raise self._failure(first_row + i, cost)
            z[i] = self.model.getSolution().col_value
        whole = self.polytope.whole
        z[:, whole] = np.rint(z[:, whole])
        return np.clip(z, self.polytope.lower, self.polytope.upper) + 0.0

    def _described(self) -> Any:
        part, n = self.polytope, len(self.polytope.lower)
        rows = sparse.csr_array(sparse.vstack([part.A_ub, part.A_eq]))
        lp = self.highspy.HighsLp()
        lp.num_col_, lp.num_row_ = n, rows.shape[0]
        lp.col_cost_ = np.zeros(n)
        lp.col_lower_, lp.col_upper_ = part.lower, part.upper
        lp.row_lower_ = np.concatenate([np.full(len(part.b_ub), -np.inf), part.b_eq])
        lp.row_upper_ = np.concatenate([part.b_ub, part.b_eq])
        lp.a_matrix_.format_ = self.highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = rows.indptr
        lp.a_matrix_.index_ = rows.indices
        lp.a_matrix_.value_ = rows.data
        if self.is_mixed:
            kinds = self.highspy.HighsVarType
            lp.integrality_ = [kinds.kInteger if each else kinds.kContinuous for each in part.whole]
        return lp

    def _contradiction(self) -> str:
        """Name constraints that cannot hold together."""
        rows, columns = self._irreducible()
        n_ub = len(self.polytope.b_ub)
        named = [f"row {i} of A_ub" if i < n_ub else f"row {i - n_ub} of A_eq" for i in rows]
        named += [f"the bounds of decision {j}" for j in columns]
        shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
        which = f": these contradict one another: {shown}" if named else ""
        return f"No decision satisfies all constraints of {self.name}{which}."

    def _irreducible(self) -> tuple[list[int], list[int]]:
        """Return rows and columns that are infeasible together, where HiGHS finds some."""
        strategy = getattr(self.highspy, "IisStrategy", None)
        if strategy is None:  # before HiGHS 1.8
            return [], []
        self.model.setOptionValue("iis_strategy", int(strategy.kIisStrategyFromLp))
        found = self.model.getIis()
        iis = found[-1] if isinstance(found, tuple) else found
        return list(getattr(iis, "row_index_", [])), list(getattr(iis, "col_index_", []))

    def _failure(self, row: int, cost: np.ndarray) -> Exception:
        if self.status in ("kUnbounded", "kUnboundedOrInfeasible"):
            part = self.polytope
            free = np.where(cost > 0, np.isinf(part.lower), np.isinf(part.upper)) & (cost != 0)
            which = ", ".join(str(j) for j in np.flatnonzero(free)[:8])
            return ValueError(
                f"The cost of {self.name} has no minimum for row {row} of y: it falls without end "
                f"as decisions grow. Bound them; among decisions {which} one has no bound on the "
                "side where it pays."
            )
        return RuntimeError(
            f"HiGHS found no best decision of {self.name} for row {row} of y: {self.status}."
        )
