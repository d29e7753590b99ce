"""The set of plans and recourse together, whose rows have the user's names."""

from dataclasses import dataclass

import numpy as np

from ..solvers.polytope import Polytope


@dataclass(frozen=True, eq=False)
class JointPolytope(Polytope):
    """The set of plans followed by recourse; errors use the user's names for rows."""

    n_first: int = 0
    """Number of rows of A_ub that belong to the first stage."""

    n_plan: int = 0
    """Number of variables that belong to the plan."""

    scenarios: np.ndarray | None = None
    """The numbers (S,) of the scenarios, each with its own rows and variables, or None."""

    def name_of_row(self, i: int) -> str:
        """Return the user's name of a row of `matrix`."""
        n_ub = self.A_ub.shape[0]
        if self.n_first <= i < n_ub:
            return "row {} of W{}".format(*self._counted(i - self.n_first, n_ub - self.n_first))
        return super().name_of_row(i)

    def name_of_decision(self, j: int) -> str:
        """Return the user's name of a variable."""
        if j < self.n_plan:
            return super().name_of_decision(j)
        n_later = self.integral.shape[-1] - self.n_plan
        return "recourse variable {}{}".format(*self._counted(j - self.n_plan, n_later))

    def _counted(self, i: int, n: int) -> tuple[int, str]:
        """Return the number within its scenario, and the name of that scenario."""
        if self.scenarios is None:
            return i, ""
        s, i = divmod(i, n // len(self.scenarios))
        return i, f" in scenario {self.scenarios[s]}"
