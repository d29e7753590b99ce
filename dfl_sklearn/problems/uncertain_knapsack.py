"""Knapsacks whose weights or capacity are predicted."""

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace

from .._utils.checks import number, positive
from .._utils.progress import counted
from .._utils.rows import as_float, as_numpy_rows, raise_at
from ._context import FromContext, is_marked, stand_in
from ._knapsack_scenarios import MOST_ITEMS, best_items_of_scenarios
from ._marked import Numbers, as_those_of, check_marked, refuse_markers
from ._nearest import refuse_whole
from ._soft_knapsack import SoftKnapsacks, best_items
from .base import DecisionProblem

if TYPE_CHECKING:
    from torch import nn

_ALLOWED = 1e-6  # by how much a decision with a cost may be below 0 or above 1
_WHOLE = 1e-9  # by how much an observed weight may miss a multiple of the unit, in units
_MOST_EXACT = 2.0**53  # above it, all floats are integers


class UncertainKnapsackProblem(DecisionProblem):
    r"""Choose the most valuable items before their weights, or the capacity, are known.

    The decision z of zeros and ones says which items are taken. Weight that turns out not to fit
    costs a price p per unit, so that the cost is

    .. math:: -\sum_j v_j z_j + p \, \Bigl( \sum_j w_j z_j - C \Bigr)_+ .

    Weights w and a capacity C that are not given are predicted: the columns of `y` are the weights,
    one per item, followed by the capacity.

    Parameters
    ----------
    values : float, FromContext or array-like of these of shape (n_items,)
        Values of the items. If this is a single number and weights are predicted, the columns of
        `y` determine the number of items.
    capacity : float or FromContext, default=None
        The capacity, 0 or more. With None it is predicted.
    penalty : float or FromContext
        Price of a unit of weight above the capacity, positive.
    weights : float, FromContext or array-like of these of shape (n_items,), default=None
        Weights of the items, 0 or more. With None they are predicted.
    unit : float, default=None
        A unit of which all observed weights are integer multiples, where weights are predicted.
        Predictions are then rounded to such multiples before a decision is taken. Needed only where
        there are many items whose values are nearly proportional to their weights; see the notes.

    See Also
    --------
    KnapsackProblem : Known weights and capacities, unknown values.
    dfl_sklearn.losses.FeasibilityLoss : A loss for predicted constraints.
    dfl_sklearn.datasets.make_uncertain_knapsack : Weights to try it on.

    Notes
    -----
    `solve` minimises this cost exactly. Where an item is worth more than the excess it causes, the
    best knapsack is overfull. Predictions below 0 are taken as 0.

    First, items that belong, or do not belong, to every best set are found by a bound on the value
    (that of the relaxed program with the item forced the other way). If up to 16 items are left,
    all their sets are listed, for many rows together; if up to 32, the sets of either half, row by
    row. Rows with more, such as those with values nearly proportional to weights, are solved by
    dynamic programming over the weight where there is a `unit` or given weights are integers, and
    otherwise as a mixed-integer program (``pip install "dfl-sklearn[highs]"``).

    Scenarios are solved for exactly with up to 16 items, of which all sets are listed. With more
    items the mean of the scenarios is solved for, with a warning.

    Predicted weights multiply decisions. The relaxed problem is therefore not a quadratic program
    with predicted costs or right-hand sides, and there is no decision layer. Train with
    :class:`~dfl_sklearn.losses.ScoreFunctionLoss` or :class:`~dfl_sklearn.losses.FeasibilityLoss`.
    Start from a model trained with :class:`~dfl_sklearn.losses.SquaredErrorLoss`, by
    ``set_params(loss=..., warm_start=True)`` and a second `fit`. From random weights, the score
    function gradient can end at a model that never takes an item, where all decisions nearby cost
    the same.

    References
    ----------
    Silvestri et al., "Score function gradient estimation to widen the applicability of
    decision-focused learning", Journal of Artificial Intelligence Research, 2026 (knapsacks with
    unknown weights or capacity, with another recourse). Martello, Toth, "Knapsack problems", 1990,
    section 2.7 (reduction).

    Examples
    --------
    The second item is heavier than predicted.

    >>> from dfl_sklearn.problems import UncertainKnapsackProblem
    >>> problem = UncertainKnapsackProblem(values=[4, 5, 6], capacity=7, penalty=10)
    >>> decision = problem.solve([[3.0, 4.0, 5.0]])
    >>> decision
    array([[1., 1., 0.]])
    >>> problem.cost(decision, [[3.0, 4.5, 5.0]])
    array([-4.])

    An unknown capacity:

    >>> problem = UncertainKnapsackProblem([4, 5, 6], weights=[3, 4, 5], penalty=10)
    >>> problem.solve([7.0, 5.0])
    array([[1., 1., 0.],
           [0., 0., 1.]])
    """

    nonnegative = True

    @property
    def exact_scenarios(self) -> bool:  # type: ignore[override]
        """Whether scenarios are solved for exactly, which is so for up to 16 items.

        False where only the columns of y determine the number of items.
        """
        n = self._n_items()
        return n is not None and n <= MOST_ITEMS

    def __init__(
        self,
        values: Numbers,
        capacity: float | FromContext | None = None,
        *,
        penalty: float | FromContext,
        weights: Numbers | None = None,
        unit: float | None = None,
    ) -> None:
        self.values = values
        self.capacity = capacity
        self.penalty = penalty
        self.weights = weights
        self.unit = unit

    # -- numbers -----------------------------------------------------------------------

    def _check_constants(self) -> None:
        refuse_markers(self, but=("values", "capacity", "penalty", "weights"))
        if self.weights is not None and self.capacity is not None:
            raise ValueError(
                "weights and capacity are both given, so that nothing is left to predict. Leave "
                "out what is predicted, or use KnapsackProblem where that is the values."
            )
        try:
            values = as_float(stand_in(self.values, 1.0), "values")
        except ValueError:
            values = np.full((1, 1), np.nan)
        if values.ndim > 1 or not values.size or not np.isfinite(values).all():
            raise ValueError(
                f"values must be a finite number or a 1-d sequence of them, got {self.values!r}."
            )
        number(stand_in(self.penalty, 1.0), "penalty", above=0)
        if self.capacity is not None:
            number(stand_in(self.capacity, 1.0), "capacity", at_least=0)
        if self.weights is not None:
            weights = positive(stand_in(self.weights, 1.0), "weights", strictly=False)
            if weights.ndim and values.ndim and len(weights) != len(values):
                raise ValueError(
                    f"weights have {len(weights)} entries and values {len(values)}: give one per "
                    "item to each, or a single number."
                )
            if not weights.ndim and not values.ndim:
                raise ValueError(
                    "weights and values are both a single number, so the number of items is not "
                    "known. Give a sequence for one of them."
                )
        if self.unit is not None:
            number(self.unit, "unit", above=0)
            if self.weights is not None:
                raise ValueError("unit is for weights that are predicted, but weights are given.")

    def _check_context_values(self, context: np.ndarray) -> None:
        check_marked(self, "penalty", context, lambda price: price > 0, "positive")
        for name in ("capacity", "weights"):
            check_marked(self, name, context, lambda values: values >= 0, "0 or more")

    def _n_items(self) -> int | None:
        """Return the number of items, or None where y determines it."""
        sizes = [np.shape(np.asarray(each, dtype=object)) for each in (self.values, self.weights)]
        return next((shape[0] for shape in sizes if shape), None)

    def _n_parameters(self) -> int | None:
        n = self._n_items()
        if self.weights is not None:
            return 1
        return None if n is None else n + (self.capacity is None)

    def _what_parameters_are(self) -> str:
        if self.weights is not None:
            return "only the capacity, as weights are given"
        what = f"the weights of the {self._n_items()} items"
        if self.capacity is None:
            return f"{what}, followed by the capacity, as none is given"
        return f"only {what}, as a capacity is given"

    def _n_decisions(self, n_parameters: int) -> int:
        n = self._n_items()
        return n_parameters - (self.capacity is None) if n is None else n

    def _check_width(self, width: int) -> None:
        super()._check_width(width)
        if width - (self.capacity is None) < 1 and self.weights is None:
            raise ValueError(
                f"y has {width} column{'s' if width != 1 else ''}, which leaves none for the "
                "weights of items: these come first, and then the capacity."
            )

    def _numbers(self, y: Any, context: Any) -> tuple[Any, Any, Any, Any]:
        """Return values and weights (1 or B, n or 1), capacity and penalty (1 or B,)."""
        values, penalty = (self._known_rows(name, context, y) for name in ("values", "penalty"))
        if self.capacity is None:
            capacity, rest = y[:, -1], y[:, :-1]
        else:
            capacity, rest = self._known_rows("capacity", context, y)[:, 0], y
        weights = rest if self.weights is None else self._known_rows("weights", context, y)
        return values, weights, capacity, penalty[:, 0]

    def _known_rows(self, name: str, context: Any, y: Any) -> Any:
        """Return a given parameter as rows (1 or B, n or 1) of numbers like y."""
        known = as_those_of(self._known(getattr(self, name), context), y)
        return known if known.ndim == 2 else known.reshape(1, -1)

    # -- solving and costing -----------------------------------------------------------

    def solve_rows(self, y: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the best decisions (n, k) for y (n, d), unchecked."""
        rows = self._knapsacks(y, context)
        return best_items(rows, self._units(len(y)), type(self).__name__)

    def _knapsacks(self, y: np.ndarray, context: np.ndarray | None) -> SoftKnapsacks:
        """Return the knapsacks of predicted rows (n, d)."""
        values, weights, capacity, penalty = self._numbers(np.maximum(y, 0.0), context)
        B, n = len(y), self._n_decisions(y.shape[1])
        if self.unit is not None:
            weights = np.rint(weights / self.unit) * self.unit
        return SoftKnapsacks(
            np.ascontiguousarray(np.broadcast_to(values, (B, n))),
            np.ascontiguousarray(np.broadcast_to(weights, (B, n))),
            np.ascontiguousarray(np.broadcast_to(capacity, B)),
            np.ascontiguousarray(np.broadcast_to(penalty, B)),
        )

    def solve_scenarios(
        self, y: np.ndarray, weight: np.ndarray, context: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the decisions (n, k) of the least mean cost over y (n, S, d), unchecked.

        With more than 16 items, the mean of the scenarios is solved for, with a warning.
        """
        n = self._n_decisions(y.shape[2])
        if n > MOST_ITEMS:
            return super().solve_scenarios(y, weight, context)
        z = np.empty((len(y), n))
        for i, share in enumerate(counted(weight, "rows solved over scenarios", len(y))):
            some = np.flatnonzero(share > 0)
            known = None if context is None else np.repeat(context[i : i + 1], len(some), axis=0)
            if len(some) == 1:
                z[i] = self.solve_rows(y[i, some], known)[0]
            else:
                z[i] = best_items_of_scenarios(self._knapsacks(y[i, some], known), share[some])
        return z

    def _solves_for_mean(self) -> bool:
        return not self.exact_scenarios

    def _units(self, n_rows: int) -> np.ndarray | None:
        """Return the unit (B,) of which weights of each row are multiples, if it is known."""
        if self.unit is not None:
            return np.full(n_rows, float(self.unit))
        if self.weights is None or is_marked(self.weights):
            return None
        weights = np.asarray(self.weights, dtype=np.float64).ravel()
        if (weights != np.rint(weights)).any() or weights.max() >= _MOST_EXACT:
            return None
        return np.full(n_rows, float(np.gcd.reduce(weights.astype(np.int64)) or 1))

    def cost_rows(self, decisions: Any, y: Any, context: Any = None) -> Any:
        """Return the cost (n,) of decisions (n, k) under y (n, d), unchecked."""
        xp = array_namespace(decisions, y)
        values, weights, capacity, penalty = self._numbers(y, context)
        excess = xp.sum(weights * decisions, axis=1) - capacity
        paid = penalty * xp.maximum(excess, xp.zeros_like(excess))
        return paid - xp.sum(values * decisions, axis=1)

    # -- constraints -------------------------------------------------------------------

    def _check_decisions(self, decisions: np.ndarray, context: np.ndarray | None) -> None:
        outside = (decisions < -_ALLOWED) | (decisions > 1 + _ALLOWED)
        if outside.any():
            raise_at(outside, decisions, "decisions", "is not between 0 and 1", "Use solve().")
        off = np.abs(decisions - np.rint(decisions)) > _ALLOWED
        if off.any():
            raise_at(off, decisions, "decisions", "is neither 0 nor 1", "Use solve(), or round it.")

    def uncertain_constraints(self, decisions: Any, y: Any, context: Any = None) -> tuple[Any, Any]:
        """Return by how much the capacity is exceeded (n, 1), and the capacity, unchecked.

        It is negative where there is room. See :meth:`DecisionProblem.uncertain_constraints`.
        """
        xp = array_namespace(decisions, y)
        _, weights, capacity, _ = self._numbers(y, context)
        excess = xp.sum(weights * decisions, axis=1) - capacity
        size = xp.abs(xp.zeros_like(excess) + capacity)
        return excess[:, None], size[:, None]

    def is_feasible(
        self, decisions: Any, y: Any = None, *, context: Any = None, tol: float = 1e-6
    ) -> np.ndarray:
        r"""Return, for each row, whether the chosen items fit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, n_items)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            The realised weights or capacity. Without them it is only checked that decisions are
            zeros and ones.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.
        tol : float, default=1e-6
            How far decisions may be from 0 and 1, and by how much the capacity may be exceeded, as
            a share of its absolute terms, :math:`\sum_j |w_j z_j| + |C|`.

        Returns
        -------
        ndarray of bool of shape (n,)
            Whether each decision fits. The best decision of :meth:`solve` can be overfull; it is
            then not feasible.
        """
        z = self._decision_rows(decisions, y, context, tol)
        near = (np.minimum(np.abs(z), np.abs(z - 1)) <= tol).all(axis=1)
        if y is None:
            return near
        z = np.where(near[:, None], z, 0.0)
        rows = as_numpy_rows(y, "y").astype(np.float64, copy=False)
        known = self.context_rows(context, len(z))
        _, weights, capacity, _ = self._numbers(rows, known)
        excess, _ = self.uncertain_constraints(z, rows, known)
        terms = np.abs(weights * z).sum(axis=1) + np.abs(capacity)
        return near & (excess[:, 0] <= tol * terms)

    def violation(self, decisions: Any, y: Any = None, *, context: Any = None) -> np.ndarray:
        """Return by how much each constraint is missed, in its own unit.

        Parameters
        ----------
        decisions : array-like of shape (n,) or (n, n_items)
            What was decided.
        y : array-like of shape (n,) or (n, d), default=None
            The realised weights or capacity.
        context : array-like of shape (n,) or (n, c), default=None
            Known data of each row, where numbers are read from it.

        Returns
        -------
        ndarray of shape (n, 1 + n_items) or, without y, (n, n_items)
            The weight above the capacity, if y is given, followed by the distance of each decision
            from 0 or 1.
        """
        z = self._decision_rows(decisions, y, context, 0.0)
        off = np.minimum(np.abs(z), np.abs(z - 1))
        if y is None:
            return off
        rows = as_numpy_rows(y, "y").astype(np.float64, copy=False)
        known = self.context_rows(context, len(z))
        with np.errstate(invalid="ignore"):  # infinite decisions
            excess, _ = self.uncertain_constraints(z, rows, known)
        return np.concatenate([np.maximum(excess, 0.0), off], axis=1)

    def check_parameters(self, y: Any) -> None:
        """Raise a ValueError that names the row and column of an impossible weight or capacity."""
        super().check_parameters(y)
        rows = as_numpy_rows(y, "y").astype(np.float64, copy=False)
        if (rows < 0).any():
            what = "a negative weight" if self.weights is None else "a negative capacity"
            if self.weights is None and self.capacity is None:
                what = "a negative weight or capacity"
            raise_at(rows < 0, rows, "y", f"is {what}", "Correct it.")
        if self.unit is None:
            return
        part = rows[:, : self._n_decisions(rows.shape[1])] / self.unit
        bad = np.abs(part - np.rint(part)) > _WHOLE * np.maximum(1.0, np.abs(part))
        if bad.any():
            remedy = "Give a unit that divides all observed weights, or None."
            raise_at(bad, rows, "y", f"is not a multiple of unit={self.unit}", remedy)

    def project_parameters(self, y: Any) -> tuple[np.ndarray, float]:
        """Set negative generated numbers to 0, round weights to the unit, report rows moved."""
        values, _ = super().project_parameters(y)
        rows = np.maximum(as_numpy_rows(values, "y"), 0.0)
        if self.unit is not None:
            n = self._n_decisions(rows.shape[1])
            rows[:, :n] = np.rint(rows[:, :n] / self.unit) * self.unit
        moved = (rows != as_numpy_rows(values, "y")).any(axis=1)
        return rows.reshape(values.shape), float(moved.mean()) if len(rows) else 0.0

    # -- training ----------------------------------------------------------------------

    def decision_projection(self, n_parameters: int) -> "nn.Module":
        """Raise a ValueError: policies cannot be trained for integer decisions."""
        refuse_whole(self)

    def decision_layer(self, smoothing: float | None = None) -> "nn.Module":
        """Raise a NotImplementedError: see the notes of the class for what to train with."""
        raise NotImplementedError(
            f"{type(self).__name__} has no decision layer, since predictions multiply decisions. "
            "Train with loss=ScoreFunctionLoss() or FeasibilityLoss(), which need none."
        )
