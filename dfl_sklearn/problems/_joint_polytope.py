"""The set of plans and of what is done later, in the words of the user."""

from dataclasses import dataclass

import numpy as np

from ..solvers.polytope import Polytope


@dataclass(frozen=True, eq=False)
class JointPolytope(Polytope):
    """The plans, and what is done later behind them; its rows have the user's names."""

    n_first: int = 0
    """How many rows of A_ub are the first stage's."""

    n_plan: int = 0
    """How many variables are the plan's."""

    scenarios: np.ndarray | None = None
    """The numbers (S,) of the scenarios, each of which has rows and variables; None without."""

    def name_of_row(self, i: int) -> str:
        """Return what the user calls a row of `matrix`."""
        n_ub = self.A_ub.shape[0]
        if self.n_first <= i < n_ub:
            return "row {} of W{}".format(*self._counted(i - self.n_first, n_ub - self.n_first))
        return super().name_of_row(i)

    def name_of_decision(self, j: int) -> str:
        """Return what the user calls a variable."""
        if j < self.n_plan:
            return super().name_of_decision(j)
        n_later = self.integral.shape[-1] - self.n_plan
        return "recourse variable {}{}".format(*self._counted(j - self.n_plan, n_later))

    def _counted(self, i: int, n: int) -> tuple[int, str]:
        """Return a number of n as one of its scenario, and which scenario that is."""
        if self.scenarios is None:
            return i, ""
        s, i = divmod(i, n // len(self.scenarios))
        return i, f" in scenario {self.scenarios[s]}"
