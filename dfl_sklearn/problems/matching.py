"""Bipartite matchings and assignments with predicted values of the pairs."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from .._utils.checks import flag, whole_number
from ..solvers.polytope import Polytope
from .linear_program import LinearCostProblem


class MatchingProblem(LinearCostProblem):
    """Pair the members of two sides, each with at most one of the other.

    The parameters are the values (or costs) of all pairs, row by row: the pair (i, j) is column
    ``i * n_right + j``; a decision holds a 1 for each pair that is made. Found with the shortest
    augmenting paths of :func:`scipy.optimize.linear_sum_assignment`.

    Parameters
    ----------
    n_left, n_right : int
        Sizes of the two sides.
    perfect : bool, default=False
        Whether every member of the smaller side must be paired (an assignment). If not, pairs
        that do not pay are left out.
    sense : {"max", "min"}, default="max"
        With "max" the parameters are values, and the cost is the negated value.

    Examples
    --------
    >>> from dfl_sklearn.problems import MatchingProblem
    >>> problem = MatchingProblem(2, 2)
    >>> problem.solve([[3.0, 2.0, 2.0, -1.0]]).reshape(2, 2)
    array([[0., 1.],
           [1., 0.]])
    """

    def __init__(
        self, n_left: int, n_right: int, *, perfect: bool = False, sense: str = "max"
    ) -> None:
        self.n_left = n_left
        self.n_right = n_right
        self.perfect = perfect
        self.sense = sense

    def _check_constants(self) -> None:
        for name in ("n_left", "n_right"):
            whole_number(getattr(self, name), name, at_least=1)
        flag(self.perfect, "perfect")
        super()._check_constants()

    def _n_parameters(self) -> int:
        return self.n_left * self.n_right

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        costs = self._sign * y.reshape(len(y), self.n_left, self.n_right)
        if not self.perfect:
            costs = np.minimum(costs, 0.0)  # a pair that does not pay is as good as none
        z = np.zeros_like(costs)
        for cost, decision in zip(costs, z, strict=True):
            decision[linear_sum_assignment(cost)] = 1.0
        if not self.perfect:
            z[costs == 0.0] = 0.0
        return z.reshape(y.shape)

    def _polytope(self, n: int) -> Polytope:
        left = sparse.kron(sparse.eye_array(self.n_left), np.ones((1, self.n_right)))
        right = sparse.kron(np.ones((1, self.n_left)), sparse.eye_array(self.n_right))
        ones_left, ones_right = np.ones(self.n_left), np.ones(self.n_right)
        if not self.perfect:
            both = sparse.vstack([left, right]), np.concatenate([ones_left, ones_right])
            return Polytope.of(n, ub=both, integral=True)
        if self.n_left == self.n_right:
            both = sparse.vstack([left, right]), np.concatenate([ones_left, ones_right])
            return Polytope.of(n, eq=both, integral=True)
        smaller, larger = (left, ones_left), (right, ones_right)
        if self.n_left > self.n_right:
            smaller, larger = larger, smaller
        return Polytope.of(n, eq=smaller, ub=larger, integral=True)
