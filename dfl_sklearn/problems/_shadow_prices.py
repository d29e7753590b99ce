"""Which constraints bind, and the shadow prices of their right-hand sides."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..solvers.linear import LinearSolver
from ..solvers.polytope import Polytope

if TYPE_CHECKING:
    import pandas as pd


class ShadowPrices(NamedTuple):
    """The slacks and shadow prices that :meth:`DecisionProblem.explain` reports for n rows.

    Attributes
    ----------
    names : list of str
        Names of the m constraints.
    slack, price : ndarray of shape (n, m)
        Slacks of the constraints, infinite where there is no right-hand side, and the slopes of the
        least cost in the right-hand sides.
    """

    names: list[str]
    slack: np.ndarray
    price: np.ndarray

    def table(self) -> "pd.DataFrame":
        """Return one line for each constraint of each row that has a finite right-hand side."""
        import pandas as pd

        n, m = self.slack.shape
        found = pd.DataFrame(
            {
                "row": np.repeat(np.arange(n), m),
                "constraint": np.tile(np.array(self.names, dtype=object), n),
                "slack": self.slack.ravel() + 0.0,
                "shadow_price": self.price.ravel() + 0.0,
            }
        )
        return found[np.isfinite(found["slack"])].reset_index(drop=True)


def names_of(polytope: Polytope) -> list[str]:
    """Return the names of rows, lower bounds and upper bounds."""
    rows = [polytope.name_of_row(i) for i in range(polytope.matrix.shape[0])]
    variables = range(polytope.matrix.shape[1])
    ends = [f"{end} bound of decision {j}" for end in ("lower", "upper") for j in variables]
    return rows + ends


def prices_of(polytope: Polytope, costs: np.ndarray, z: np.ndarray, name: str) -> np.ndarray:
    """Return slacks at z (B, n) followed by prices, (B, 2 (m + 2 n)).

    They are for rows of costs (B, n). Prices are those of the relaxation where decisions are whole
    numbers.
    """
    if polytope.n_sets is None:
        dual = LinearSolver(polytope, name).solve_with_duals(costs)[1]
    else:
        dual = np.empty((len(costs), polytope.matrix.shape[0]))
        for i in range(len(costs)):
            solver = LinearSolver(polytope.for_rows(i), name, is_for_one=True)
            dual[i] = solver.solve_with_duals(costs[i : i + 1], i)[1][0]
    reduced = costs - dual @ polytope.matrix
    # A reduced cost that is only a rounding error is 0.
    noise = 1e-12 * (np.abs(costs) + np.abs(dual) @ abs(polytope.matrix))
    reduced = np.where(np.abs(reduced) <= noise, 0.0, reduced)
    low, high = polytope.lower, polytope.upper
    fixed = low == high
    slack = [polytope.row_upper - z @ polytope.matrix.T, z - low, high - z]
    at_low = np.where(fixed, reduced, np.maximum(reduced, 0.0))
    at_high = np.where(fixed, 0.0, np.minimum(reduced, 0.0))
    return np.concatenate([*slack, dual, at_low, at_high], axis=1)
