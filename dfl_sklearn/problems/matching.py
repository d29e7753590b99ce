"""Bipartite matchings and assignments with predicted values of pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from .._utils.checks import flag, whole_number
from .._utils.rows import as_float
from ..solvers.polytope import Polytope
from ._context import FromContext, stand_in
from .linear_cost import LinearCostProblem


class MatchingProblem(LinearCostProblem):
    """Pair the members of two sides, each with at most one member of the other side.

    The parameters are the values (or costs) of all pairs; the pair (i, j) is column
    ``i * n_right + j``. A decision holds a 1 for each pair that is made. It is found by
    :func:`scipy.optimize.linear_sum_assignment`.

    Parameters
    ----------
    n_left, n_right : int
        Sizes of the two sides.
    perfect : bool, default=False
        Whether every member of the smaller side must be paired (an assignment). If not, pairs
        without a gain are left out. Absent members do not count.
    sense : {"max", "min"}, default="max"
        With "max" the parameters are values, and the cost is the negated value.
    present_left : sequence of n_left bool or FromContext, default=None
        Which members of the left side are present; absent ones are not paired. Columns of the
        context hold 1 for present and 0 for absent. None means that all are present.
    present_right : sequence of n_right bool or FromContext, default=None
        The same for the right side.

    See Also
    --------
    dfl_sklearn.learners.PairwisePredictor : A net that predicts the values of pairs.
    dfl_sklearn.datasets.fetch_cora_matching : Papers to match.

    Notes
    -----
    `y` has a column for every pair, also where a member is absent. The numbers of such pairs must
    be finite, but are not used.

    Examples
    --------
    >>> from dfl_sklearn.problems import MatchingProblem
    >>> problem = MatchingProblem(2, 2)
    >>> problem.solve([[3.0, 2.0, 2.0, -1.0]]).reshape(2, 2)
    array([[0., 1.],
           [1., 0.]])

    The second member of the left side is present only on some days:

    >>> import pandas as pd
    >>> from dfl_sklearn.problems import FromContext
    >>> problem = MatchingProblem(2, 2, present_left=[True, FromContext("second")])
    >>> days = pd.DataFrame({"second": [1, 0]})
    >>> problem.solve([[3.0, 2.0, 2.0, -1.0]] * 2, context=days)
    array([[0., 1., 1., 0.],
           [1., 0., 0., 0.]])
    """

    def __init__(
        self,
        n_left: int,
        n_right: int,
        *,
        perfect: bool = False,
        sense: str = "max",
        present_left: "Sequence[bool | FromContext] | ArrayLike | None" = None,
        present_right: "Sequence[bool | FromContext] | ArrayLike | None" = None,
    ) -> None:
        self.n_left = n_left
        self.n_right = n_right
        self.perfect = perfect
        self.sense = sense
        self.present_left: Any = present_left
        self.present_right: Any = present_right

    def _check_constants(self) -> None:
        for name in ("n_left", "n_right"):
            whole_number(getattr(self, name), name, at_least=1)
        flag(self.perfect, "perfect")
        for name, n in (("present_left", self.n_left), ("present_right", self.n_right)):
            if getattr(self, name) is None:
                continue
            present = as_float(stand_in(getattr(self, name), 1.0), name)
            if present.shape != (n,):
                raise ValueError(
                    f"{name} must have one entry per member, shape ({n},), got {present.shape}."
                )
            if not np.isin(present, (0.0, 1.0)).all():
                raise ValueError(f"{name} must hold True and False, got {getattr(self, name)!r}.")
        super()._check_constants()

    def _check_context_values(self, context: np.ndarray) -> None:
        names = ("present_left", "present_right")
        for name, present in zip(names, self._present(context), strict=True):
            bad = ~np.isin(present, (0.0, 1.0))
            if bad.any():
                i, j = (int(each) for each in np.argwhere(bad)[0])
                raise ValueError(
                    f"{name}[{j}] must be 1 or 0, but is {present[i, j]} at row {i} of the context."
                )

    def _n_parameters(self) -> int:
        return self.n_left * self.n_right

    def _present(self, context: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return 1 for present and 0 for absent members, left and right: (n,) or (B, n).

        There is one row for each row of the context where either is read from it.
        """
        sides = ((self.present_left, self.n_left), (self.present_right, self.n_right))
        left, right = (
            np.ones(n) if each is None else self._known(each, context) for each, n in sides
        )
        if left.ndim < right.ndim:
            left = np.broadcast_to(left, (len(right), self.n_left))
        elif right.ndim < left.ndim:
            right = np.broadcast_to(right, (len(left), self.n_right))
        return left, right

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        costs = self._sign * y.reshape(len(y), self.n_left, self.n_right)
        if not self.perfect:
            costs = np.minimum(costs, 0.0)  # a pair without a gain is as good as none
        z = np.zeros_like(costs)
        if self.present_left is None and self.present_right is None:
            for cost, decision in zip(costs, z, strict=True):
                decision[linear_sum_assignment(cost)] = 1.0
        else:
            sides = [
                np.broadcast_to(each, (len(y), each.shape[-1])) for each in self._present(context)
            ]
            for cost, decision, *present in zip(costs, z, *sides, strict=True):
                i, j = (np.flatnonzero(each) for each in present)
                first, second = linear_sum_assignment(cost[np.ix_(i, j)])
                decision[i[first], j[second]] = 1.0
        if not self.perfect:
            z[costs == 0.0] = 0.0
        return z.reshape(y.shape)

    def _polytope(self, n: int) -> Polytope:
        left = sparse.kron(sparse.eye_array(self.n_left), np.ones((1, self.n_right)))
        right = sparse.kron(np.ones((1, self.n_left)), sparse.eye_array(self.n_right))
        there_left, there_right = self._present(None)
        n_left, n_right = there_left.sum(), there_right.sum()
        if not self.perfect:
            both = sparse.vstack([left, right]), np.concatenate([there_left, there_right])
            return Polytope.of(n, ub=both, integral=True)
        if n_left == n_right:
            both = sparse.vstack([left, right]), np.concatenate([there_left, there_right])
            return Polytope.of(n, eq=both, integral=True)
        smaller, larger = (left, there_left), (right, there_right)
        if n_left > n_right:
            smaller, larger = larger, smaller
        return Polytope.of(n, eq=smaller, ub=larger, integral=True)

    def _names_in_errors(self, polytope: Polytope) -> list[str]:
        left, right = (
            [f"the number of pairs of {side} member {i}" for i in range(n)]
            for side, n in (("left", self.n_left), ("right", self.n_right))
        )
        pairs = np.flatnonzero(polytope.matrix[[0]].toarray())
        is_left = np.array_equal(pairs, np.arange(self.n_right))
        return left + right if is_left else right + left

    @property
    def _shares_matrix(self) -> bool:
        return not self.perfect  # otherwise the side whose members must be paired differs by row

    def _polytope_rows(self, n: int, context: np.ndarray) -> Polytope:
        everybody = MatchingProblem(self.n_left, self.n_right)._polytope(n)
        there = np.concatenate(self._present(context), axis=1)
        B = len(there)
        return everybody.replace(
            b_ub=there,
            b_eq=np.zeros((B, 0)),
            lower=np.broadcast_to(everybody.lower, (B, n)),
            upper=np.broadcast_to(everybody.upper, (B, n)),
        )

    def _marked_sides(self) -> dict[str, Any]:
        if self.perfect:
            return super()._marked_sides()
        sides = ((self.present_left, self.n_left), (self.present_right, self.n_right))
        return {"b_ub": [x for each, n in sides for x in ([1.0] * n if each is None else each)]}
