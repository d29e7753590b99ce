"""Decisions for the worst y of a set, where the cost of a decision is affine in y."""

from typing import Any, NamedTuple

import numpy as np

from ..problems.base import DecisionProblem
from ..solvers.matrix_game import matrix_game
from .sets import Box, Ellipsoid

_MIXED, _WHOLE = 60, 20  # most rounds, where decisions can be mixed and where they cannot
_GAP = 1e-6  # gap at which a row is done, as a share of the absolute terms of the cost
_ROUNDING = 2.0**-46  # by how much a worst cost is rounded up, as a share of its terms


class WorstOfSet(NamedTuple):
    """Decisions, and their cost at the worst y.

    Attributes
    ----------
    decisions : ndarray of shape (n, k)
    worst_cost : ndarray of shape (n,)
    """

    decisions: np.ndarray
    worst_cost: np.ndarray


def decide_for_worst_of(
    problem: DecisionProblem,
    center: np.ndarray,
    width: np.ndarray,
    shape: Box | Ellipsoid,
    radius: np.ndarray,
    context: np.ndarray | None = None,
) -> WorstOfSet:
    r"""Return the decisions with the least cost at the worst y of a set.

    .. math:: \min_z \max_{u \in U} \mathrm{cost}(z, \hat y + r\, s \circ u)

    The worst cost of each decision is exact. The decision is the best one where the problem itself
    solves for sets, and best up to a gap of 1e-6 where decisions may be mixed. Integer decisions
    are the best of those found.

    Parameters
    ----------
    problem : DecisionProblem
        With `cost_slopes`.
    center, width : ndarray of shape (n, d)
        The prediction, and the unit of errors.
    shape : Box or Ellipsoid
    radius : ndarray of shape (n,)
        Radius of the set of each row; 0 is the plain decision.
    context : ndarray of shape (n, c) or None
    """
    decisions = problem.solve_rows(center, context)
    at = np.flatnonzero(radius > 0)
    if len(at):
        reach = radius[at, None] * width[at]
        known = None if context is None else context[at]
        found = problem.solve_worst_rows(center[at], shape.roots(reach), known)
        if found is None:
            found = _double_oracle(problem, center[at], reach, shape, known)
        decisions[at] = found
    slopes = problem.cost_slopes(decisions, center.shape[1], context)
    assert slopes is not None
    farthest = shape.farthest(slopes * width) * width
    worst = radius * (slopes * farthest).sum(axis=1)
    cost = problem.cost_rows(decisions, center, context)
    terms = np.abs(cost) + worst + (np.abs(slopes) * np.abs(center)).sum(axis=1)
    return WorstOfSet(decisions, cost + worst + _ROUNDING * terms)


def _double_oracle(
    problem: DecisionProblem,
    center: np.ndarray,
    reach: np.ndarray,
    shape: Box | Ellipsoid,
    context: np.ndarray | None,
) -> np.ndarray:
    """Return decisions by the double oracle method.

    It alternates between the best decision for a mixture of errors and the worst error for a
    decision. The matrix game between those found so far is solved exactly.
    """
    rows = [
        _Row(problem, center[i], reach[i], shape, None if context is None else context[[i]])
        for i in range(len(center))
    ]
    for _ in range(_MIXED if problem.convex_decisions else _WHOLE):
        at = [i for i, row in enumerate(rows) if row.gap > _GAP and not row.is_stuck]
        if not at:
            break
        asked = np.stack([rows[i].next_y() for i in at])
        found = problem.solve_rows(asked, None if context is None else context[at])
        for i, y, decision in zip(at, asked, found, strict=True):
            rows[i].answer(y, decision)
    return np.stack([row.decision for row in rows])


class _Row:
    """Decisions and errors of one row, found so far."""

    def __init__(
        self,
        problem: DecisionProblem,
        center: np.ndarray,
        reach: np.ndarray,
        shape: Box | Ellipsoid,
        context: np.ndarray | None,
    ) -> None:
        self._problem, self._center, self._reach = problem, center, reach
        self._shape, self._context = shape, context
        self._errors: list[np.ndarray] = [np.zeros(len(center))]
        self._decisions: list[np.ndarray] = []
        self._costs: list[float] = []  # at the center
        self._slopes: list[np.ndarray] = []
        self._last: np.ndarray | None = None
        self.lower, self.upper = -np.inf, np.inf
        self.is_stuck = False  # whether the same y was asked for twice

    @property
    def gap(self) -> float:
        """The difference of the bounds, as a share of the absolute terms of the cost."""
        if not self._decisions:
            return np.inf
        slopes = np.abs(self._slopes[0])
        size = abs(self._costs[0]) + float(slopes @ (np.abs(self._center) + self._reach))
        return max(0.0, self.upper - self.lower) / (size or 1.0)

    def next_y(self) -> np.ndarray:
        """Return the y of the game's solution, and add its mixed decision."""
        if not self._decisions:
            return self._center.copy()
        errors = np.stack(self._errors)
        losses = np.array(self._costs)[:, None] + np.stack(self._slopes) @ errors.T
        mixture, weight = matrix_game(losses)
        if self._problem.convex_decisions and np.count_nonzero(mixture) > 1:
            self._consider(mixture @ np.stack(self._decisions))
        y = self._center + weight @ errors
        self.is_stuck = self._last is not None and np.allclose(y, self._last, 1e-12, 1e-15)
        self._last = y
        return y

    def answer(self, y: np.ndarray, decision: np.ndarray) -> None:
        """Add the best decision for some y."""
        cost = self._problem.cost_rows(decision[None], y[None], self._context)
        self.lower = max(self.lower, float(cost[0]))
        self._consider(decision)

    def _consider(self, decision: np.ndarray) -> None:
        z, center = decision[None], self._center[None]
        slopes: Any = self._problem.cost_slopes(z, len(self._center), self._context)
        farthest = self._shape.farthest(slopes * self._reach)[0] * self._reach
        cost = float(self._problem.cost_rows(z, center, self._context)[0])
        self._decisions.append(decision)
        self._costs.append(cost)
        self._slopes.append(slopes[0])
        self._errors.append(farthest)
        worst = cost + float(slopes[0] @ farthest)
        if worst < self.upper:
            self.upper, self.decision = worst, decision
