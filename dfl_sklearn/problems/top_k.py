"""Selection of the k best items."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.checks import whole_number
from ..solvers.linear import NoDecisionError
from ..solvers.polytope import Polytope
from ._context import FromContext, is_marked
from .linear_cost import LinearCostProblem

if TYPE_CHECKING:
    from torch import nn


class TopKProblem(LinearCostProblem):
    """Choose exactly k items with the largest sum of predicted values.

    Parameters
    ----------
    k : int or FromContext, default=1
        Number of items to choose, at least 1; a decision holds a 1 for each of them.
    sense : {"max", "min"}, default="max"
        With "max" the parameters are values, and the cost is the negated value.

    See Also
    --------
    KnapsackProblem : Items that take up different amounts of a resource.
    CoverageProblem : Items that partly reach the same targets.

    Notes
    -----
    Of items with the same value, the first ones are taken.

    Examples
    --------
    >>> from dfl_sklearn.problems import TopKProblem
    >>> TopKProblem(2).solve([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
    array([[1., 0., 1.],
           [1., 1., 0.]])

    A number of items that differs by row:

    >>> from dfl_sklearn.problems import FromContext
    >>> TopKProblem(FromContext(0)).solve([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0]], context=[2, 1])
    array([[1., 0., 1.],
           [0., 1., 0.]])
    """

    def __init__(self, k: int | FromContext = 1, *, sense: str = "max") -> None:
        self.k: Any = k
        self.sense = sense

    def _check_constants(self) -> None:
        if not is_marked(self.k):
            whole_number(self._constant_k(), "k", at_least=1)
        super()._check_constants()

    def _constant_k(self) -> Any:
        """Return k as an int where it is whole; at a row of a context it is a float."""
        return int(self.k) if isinstance(self.k, float) and self.k.is_integer() else self.k

    def _check_context_values(self, context: np.ndarray) -> None:
        k = self._known(self.k, context)[:, 0]
        bad = (k < 1) | (k != np.rint(k))
        if bad.any():
            i = int(bad.argmax())
            raise ValueError(
                f"k must be an integer of at least 1, but is {k[i]} at row {i} of the context."
            )

    def _check_width(self, width: int) -> None:
        if not is_marked(self.k) and width < self.k:
            raise ValueError(
                f"k={self.k} items cannot be chosen from {width}: y has one column per item."
            )

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        order = np.argsort(self._sign * y, axis=1, kind="stable")
        z = np.zeros_like(y)
        if context is None:
            np.put_along_axis(z, order[:, : self._constant_k()], 1.0, axis=1)
            return z
        k = self._known(self.k, context)
        if (k > y.shape[1]).any():
            i = int((k[:, 0] > y.shape[1]).argmax())
            raise NoDecisionError(
                f"k={k[i, 0]:.0f} items cannot be chosen from {y.shape[1]}, as row {i} of the "
                "context asks for: y has one column per item."
            )
        np.put_along_axis(z, order, (np.arange(y.shape[1]) < k).astype(np.float64), axis=1)
        return z

    @property
    def _shares_matrix(self) -> bool:
        return True

    def _polytope_rows(self, n: int, context: np.ndarray) -> Polytope:
        k, B = self._known(self.k, context), len(context)
        part = Polytope.of(n, eq=(np.ones((1, n)), [0.0]), upper=1.0, integral=True)
        return part.replace(
            b_ub=np.zeros((B, 0)),
            b_eq=k,
            lower=np.broadcast_to(part.lower, (B, n)),
            upper=np.broadcast_to(part.upper, (B, n)),
        )

    def _marked_sides(self) -> dict[str, Any]:
        return {"b_eq": [self.k]}

    def _polytope(self, n: int) -> Polytope:
        return Polytope.of(n, eq=(np.ones((1, n)), [float(self.k)]), upper=1.0, integral=True)

    def _names_in_errors(self, polytope: Polytope) -> list[str]:
        return ["the number of items"]

    def _decision_layer(self, smoothing: float | None) -> "nn.Module":
        from ..layers.top_k import TopKLayer

        k = partial(self._known, self.k) if is_marked(self.k) else self._constant_k()
        return TopKLayer(k, smoothing, scale=self._sign)
