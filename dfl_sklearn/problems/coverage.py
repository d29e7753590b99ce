"""Covering targets with few items of predicted probabilities (submodular maximisation)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from .._utils.checks import positive, smoothing_number, whole_number
from .._utils.rows import as_numpy_rows, raise_at
from ._context import FromContext, each_context, stand_in
from ._marked import Numbers, as_those_of, check_marked, refuse_markers
from ._nearest import refuse_whole
from ._not_allowed import not_allowed
from .base import DecisionProblem

if TYPE_CHECKING:
    import torch
    from torch import nn

_ALLOWED = 1e-6  # by how much an entry may differ from 0 and 1


class CoverageProblem(DecisionProblem):
    r"""Choose at most k items so that many targets are reached.

    The parameters are the probabilities :math:`\theta_{ij}` that item i reaches target j, in
    column ``i * n_targets + j``. With :math:`z_i` in {0, 1}, the cost is the negated expected
    weight of the targets that are reached by at least one of the chosen items,

    .. math:: -F(z, \theta) = -\sum_j w_j \Bigl( 1 - \prod_i (1 - z_i \theta_{ij}) \Bigr),
       \qquad \textstyle\sum_i z_i \le k.

    Budget allocation (channels reach customers) and diverse recommendation (items cover topics)
    are of this kind. For z between 0 and 1 the formula is the multilinear extension: the expected
    cost of items that are chosen independently with the probabilities z.

    Parameters
    ----------
    k : int or FromContext
        Largest number of items to choose, 1 to `n_items`.
    n_items : int
        Number of items.
    weights : array-like of float or FromContext, of shape (n_targets,), default=None
        Values of the targets, positive; None is 1 for each. The number of targets is then the
        number of columns of `y` divided by `n_items`.

    See Also
    --------
    TopKProblem : Items whose values add up.
    dfl_sklearn.datasets.make_budget_allocation : Probabilities to try it on.

    Notes
    -----
    `solve` is greedy: it adds the item that increases the value most, until there are k. This
    reaches at least :math:`1 - 1/e` of the best value (Nemhauser et al., 1978), usually more.
    Regrets are differences to the greedy cost, and can be negative. `solve` clips predictions to
    [0, 1]. For several scenarios the greedy choice has the same guarantee for their mean.

    References
    ----------
    Wilder, Dilkina, Tambe, "Melding the data-decisions pipeline", AAAI 2019, section 5.

    Examples
    --------
    The second item is the best one by itself. The first one is added because it reaches the
    other target.

    >>> from dfl_sklearn.problems import CoverageProblem
    >>> problem = CoverageProblem(k=2, n_items=3)
    >>> probabilities = [[0.0, 0.8, 0.9, 0.3, 0.9, 0.1]]
    >>> problem.solve(probabilities)
    array([[1., 1., 0.]])
    >>> problem.cost([[1.0, 1.0, 0.0]], probabilities).round(2)
    array([-1.76])

    A budget that differs by row and is known:

    >>> from dfl_sklearn.problems import FromContext
    >>> CoverageProblem(FromContext(0), n_items=3).solve(2 * probabilities, context=[1, 2])
    array([[0., 1., 0.],
           [1., 1., 0.]])
    """

    exact = False

    def __init__(self, k: int | FromContext, n_items: int, weights: Numbers | None = None) -> None:
        self.k = k
        self.n_items = n_items
        self.weights = weights

    def _check_constants(self) -> None:
        refuse_markers(self, but=("k", "weights"))
        whole_number(self.n_items, "n_items", at_least=1)
        k = whole_number(stand_in(_as_int(self.k), 1), "k", at_least=1)
        if k > self.n_items:
            raise ValueError(f"k={self.k} items cannot be chosen from n_items={self.n_items}.")
        if self.weights is not None and positive(stand_in(self.weights, 1.0), "weights").ndim != 1:
            raise ValueError("weights must be a 1-d sequence with one entry per target.")

    def _check_context_values(self, context: np.ndarray) -> None:
        check_marked(
            *(self, "k", context, lambda k: (k == np.rint(k)) & (k >= 1) & (k <= self.n_items)),
            f"a whole number from 1 to n_items={self.n_items}",
        )
        check_marked(self, "weights", context, lambda weight: weight > 0, "positive")

    def _n_parameters(self) -> int | None:
        return None if self.weights is None else self.n_items * len(np.asarray(self.weights))

    def _n_decisions(self, n_parameters: int) -> int:
        return self.n_items

    def _check_width(self, width: int) -> None:
        super()._check_width(width)
        if width % self.n_items or not width:
            raise ValueError(
                f"y has {width} columns, which is not a multiple of n_items={self.n_items}."
            )

    def _worth(self, n_targets: int, context: Any = None) -> Any:
        """Return the weights (m,), or (n, m) where they are read from the context."""
        return np.ones(n_targets) if self.weights is None else self._known(self.weights, context)

    def _budget(self, context: Any) -> np.ndarray:
        """Return k as an array () or, where it is read from the context, (n,)."""
        k = self._known(self.k, context)
        return k[:, 0] if k.ndim else k

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        return self.solve_scenarios(y[:, None], np.ones((len(y), 1)), context)

    def solve_scenarios(self, y: np.ndarray, weight: np.ndarray, context: Any = None) -> np.ndarray:
        """Return the decisions (n, k) with the least mean cost over y (n, S, d), unchecked."""
        rows = np.arange(len(y))
        probabilities = np.clip(y, 0.0, 1.0).reshape(
            *y.shape[:2], self.n_items, y.shape[2] // self.n_items
        )
        worth, budget = self._worth(probabilities.shape[3], context), self._budget(context)
        # The weight of each target times the probability that it is not reached so far.
        left = weight[:, :, None] * (worth if worth.ndim == 1 else worth[:, None])
        z = np.zeros((len(y), self.n_items))
        for step in range(int(budget.max(initial=0))):
            gain = np.einsum("nsij,nsj->ni", probabilities, left)
            gain[z > 0] = -np.inf
            best = gain.argmax(axis=1)
            # An item that adds nothing is left out.
            z[rows, best] = np.where(step < budget, gain[rows, best] > 0, z[rows, best])
            left = left * (1.0 - probabilities[rows, :, best])
        return z

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        probabilities = xp.reshape(y, (y.shape[0], self.n_items, y.shape[1] // self.n_items))
        missed = xp.prod(1.0 - decisions[:, :, None] * probabilities, axis=1)
        worth = as_those_of(self._worth(probabilities.shape[2], context), y)
        return -xp.sum(worth * (1.0 - missed), axis=1)

    # -- constraints -------------------------------------------------------------------

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        self._check_between(decisions)
        n_chosen, budget = np.broadcast_arrays(decisions.sum(axis=1), self._budget(context))
        bad = n_chosen > budget * (1 + _ALLOWED)
        if bad.any():
            row = int(bad.argmax())
            why = f"it chooses {n_chosen[row]:.10g} items, more than k = {budget[row]:.10g}"
            raise not_allowed(why, row, int(bad.sum()))

    @staticmethod
    def _check_between(decisions: np.ndarray) -> None:
        outside = (decisions < -_ALLOWED) | (decisions > 1 + _ALLOWED)
        if outside.any():
            raise_at(outside, decisions, "decisions", "is not between 0 and 1", "Use solve().")

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in items.

        Parameters
        ----------
        decisions : array-like of shape (n, n_items)
            What was decided.
        y : array-like of shape (n, n_items * n_targets), default=None
            Only its shape is checked; the constraints do not depend on it.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where the budget or weights are read from it.

        Returns
        -------
        ndarray of shape (n, 1 + n_items)
            0 where a constraint holds. The first column is the number of items beyond k; the others
            are the distances of the entries from 0 or 1, whichever is nearer.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        budget = self._budget(self._check_context(context, len(z)))
        with np.errstate(invalid="ignore"):
            beyond = np.maximum(z.sum(axis=1) - budget, 0.0)
        return np.column_stack([beyond, np.minimum(np.abs(z), np.abs(z - 1))])

    def cost(self, decisions: Any, y: Any, *, context: Any = None) -> Any:
        """Return the realised cost; see :meth:`DecisionProblem.cost`.

        `y` must be probabilities. Decisions between 0 and 1, with a sum of at most k, have a cost
        here: the expected one if each item is chosen with that probability.
        """
        costs = super().cost(decisions, y, context=context)
        if isinstance(costs, np.ndarray):
            self._check_chances(as_numpy_rows(y, "y"))
        return costs

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError, naming the cell, if `y` are not probabilities between 0 and 1."""
        super().check_parameters(y)
        self._check_chances(as_numpy_rows(y, "y"))

    def _check_chances(self, rows: np.ndarray) -> None:
        outside = (rows < 0) | (rows > 1)
        if outside.any():
            raise_at(outside, rows, "y", "is not a chance between 0 and 1", "Scale or clip it.")

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Clip generated probabilities to [0, 1] and report the share of rows moved."""
        values, _ = super().project_parameters(y)
        clipped = np.clip(values, 0.0, 1.0)
        moved = (clipped != values).reshape(len(values), -1).any(axis=1)
        return clipped, float(moved.mean()) if len(values) else 0.0

    # -- relaxed decisions -------------------------------------------------------------

    def round_decisions(
        self, decisions: ArrayLike, y: ArrayLike, *, context: Any = None
    ) -> np.ndarray:
        """Round decisions between 0 and 1 to zeros and ones without loss (pipage rounding).

        Two fractional entries are changed by opposite amounts, which keeps their sum, until one is
        0 or 1. In that direction the multilinear extension is convex, so one of the two ends is no
        worse. A last fractional entry is raised to 1. (Where a sum exceeds k by a rounding error,
        no more than that is lost.)

        Parameters
        ----------
        decisions : array-like of shape (n, n_items)
            Between 0 and 1, with sums of at most k.
        y : array-like of shape (n, n_items * n_targets)
            The probabilities with which the value is computed.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, for a budget or weights that are read from it.

        Returns
        -------
        ndarray of shape (n, n_items)
            Zeros and ones, with at least the value of `decisions`.

        References
        ----------
        Ageev, Sviridenko, "Pipage rounding", Journal of Combinatorial Optimization 8, 2004.
        """
        z = np.array(as_numpy_rows(decisions, "decisions"), dtype=np.float64)
        probabilities = as_numpy_rows(y, "y")
        self.check_parameters(probabilities)
        self._check_decision_width(z, probabilities.shape[1])
        self._check_between(z)
        known = self._check_context(context, len(z))
        if known is not None:
            return each_context(
                self, known, lambda problem, *rows: problem.round_decisions(*rows), z, probabilities
            )
        return self._round(z, probabilities)

    def _round(self, z: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        k = int(self.k)  # type: ignore[arg-type]
        over = z.sum(axis=1) - k
        if (over > 1e-6).any():
            row = int(over.argmax())
            raise ValueError(f"decisions choose {z[row].sum()} items in row {row}; k={k}.")
        for row in range(len(z)):
            z[row] = self._rounded(np.clip(z[row], 0.0, 1.0), probabilities[row : row + 1])
        return z

    def _rounded(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        while True:
            fractional = np.flatnonzero((z > 1e-9) & (z < 1 - 1e-9))
            if len(fractional) == 0:
                return np.rint(z)
            if len(fractional) == 1:
                # The value grows with every entry; a sum above k by rounding leaves no room.
                others = np.rint(np.delete(z, fractional[0])).sum()
                z[fractional[0]] = 1.0 if others + 1 <= self.k else 0.0
                return np.rint(z)
            i, j = fractional[:2]
            ends = []
            for up, down in ((i, j), (j, i)):
                step = min(1 - z[up], z[down])
                end = z.copy()
                end[up], end[down] = z[up] + step, z[down] - step
                ends.append(end)
            costs = self.cost_rows(np.stack(ends), np.repeat(y, 2, axis=0))
            z = ends[int(costs.argmin())]

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Raise a ValueError: policies cannot be trained for integer decisions."""
        refuse_whole(self)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        r"""Return the maximiser of a concave extension, less :math:`\gamma \|z\|^2`.

        `smoothing` is :math:`\gamma`, positive, in units of the weights. None takes, for each row,
        a tenth of the mean weight that an item covers by itself.
        """
        from ..layers.coverage import CoverageLayer
        from ..layers.known_numbers import KnownNumbersLayer

        smoothing_number(smoothing, positive=True)
        self._check_constants()
        k, weights = (stand_in(each, 1) for each in (_as_int(self.k), self.weights))
        layer = CoverageLayer(k, self.n_items, weights, smoothing)
        return KnownNumbersLayer(layer, self._read) if self.takes_context else layer

    def _read(self, context: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        """Return the budget (B,) and, where they are given, the weights (B, m) of rows."""
        n = len(context)
        numbers = [as_those_of(self._budget(context), context).expand(n)]
        if self.weights is not None:
            worth = as_those_of(self._known(self.weights, context), context)
            numbers.append(worth.expand(n, worth.shape[-1]))
        return tuple(numbers)


def _as_int(k: Any) -> Any:
    """Return a number of items as an int; in a context it is a float."""
    return int(k) if isinstance(k, (float, np.floating)) and float(k).is_integer() else k
