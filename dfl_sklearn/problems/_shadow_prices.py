"""Which constraints bind, and what a unit of their right-hand sides is worth."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..solvers.linear import LinearSolver
from ..solvers.polytope import Polytope

if TYPE_CHECKING:
    import pandas as pd


class ShadowPrices(NamedTuple):
    """What :meth:`DecisionProblem.explain` tells of n rows.

    Attributes
    ----------
    names : list of str
        Of the m constraints.
    slack, price : ndarray of shape (n, m)
        What is left of right-hand sides, infinite where there is none, and the slopes of the least
        cost in them.
    """

    names: list[str]
    slack: np.ndarray
    price: np.ndarray

    def table(self) -> "pd.DataFrame":
        """Return one line for each constraint of each row that has an end."""
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
    """Return what rows, lower bounds and upper bounds are called."""
    rows = [polytope.name_of_row(i) for i in range(polytope.matrix.shape[0])]
    variables = range(polytope.matrix.shape[1])
    ends = [f"{end} bound of decision {j}" for end in ("lower", "upper") for j in variables]
    return rows + ends


def prices_of(polytope: Polytope, costs: np.ndarray, z: np.ndarray, name: str) -> np.ndarray:
    """Return slacks at z (B, n), and behind them prices, (B, 2 (m + 2 n)).

    For rows of costs (B, n). Where decisions are whole numbers, these are real ones for the prices.
    """
    if polytope.n_sets is None:
        dual = LinearSolver(polytope, name).solve_with_duals(costs)[1]
    else:
        dual = np.empty((len(costs), polytope.matrix.shape[0]))
        for i in range(len(costs)):
            solver = LinearSolver(polytope.for_rows(i), name, is_for_one=True)
            dual[i] = solver.solve_with_duals(costs[i : i + 1], i)[1][0]
    reduced = costs - dual @ polytope.matrix
    # What costs and duals cancel to is no price.
    noise = 1e-12 * (np.abs(costs) + np.abs(dual) @ abs(polytope.matrix))
    reduced = np.where(np.abs(reduced) <= noise, 0.0, reduced)
    low, high = polytope.lower, polytope.upper
    fixed = low == high
    slack = [polytope.row_upper - z @ polytope.matrix.T, z - low, high - z]
    at_low = np.where(fixed, reduced, np.maximum(reduced, 0.0))
    at_high = np.where(fixed, 0.0, np.minimum(reduced, 0.0))
    return np.concatenate([*slack, dual, at_low, at_high], axis=1)
