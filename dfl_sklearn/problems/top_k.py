"""The k best of many."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.checks import whole_number
from ..solvers.polytope import Polytope
from .linear_program import LinearCostProblem

if TYPE_CHECKING:
    from torch import nn


class TopKProblem(LinearCostProblem):
    """Choose exactly k items, whose predicted values add up.

    Parameters
    ----------
    k : int, default=1
        How many items are chosen; a decision holds a 1 for each of them.
    sense : {"max", "min"}, default="max"
        With "max" the parameters are values, and the cost is the negated value.

    Notes
    -----
    Of items with the same value the first ones are taken.

    Examples
    --------
    >>> from dfl_sklearn.problems import TopKProblem
    >>> TopKProblem(2).solve([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
    array([[1., 0., 1.],
           [1., 1., 0.]])
    """

    def __init__(self, k: int = 1, *, sense: str = "max") -> None:
        self.k = k
        self.sense = sense

    def _check_constants(self) -> None:
        whole_number(self.k, "k", at_least=1)
        super()._check_constants()

    def _check_width(self, width: int) -> None:
        if width < self.k:
            raise ValueError(
                f"k={self.k} items cannot be chosen from {width}: y has one column per item."
            )

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        best = np.argsort(self._sign * y, axis=1, kind="stable")[:, : self.k]
        z = np.zeros_like(y)
        np.put_along_axis(z, best, 1.0, axis=1)
        return z

    def _polytope(self, n: int) -> Polytope:
        return Polytope.of(n, eq=(np.ones((1, n)), [float(self.k)]), upper=1.0, integral=True)

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        from ..layers.top_k import TopKLayer

        return TopKLayer(self.k, smoothing, scale=self._sign)
