"""Decisions for the worst weights of scenarios within an ambiguity set."""

import warnings
from dataclasses import dataclass

import numpy as np

from .._utils.progress import counted, say_if_due
from ..problems.base import DecisionProblem
from ..solvers.matrix_game import matrix_game
from ._answers import worst_weights_of
from .base import AmbiguitySet

_ROWS_AT_ONCE = 4096  # rows whose best decisions are solved for together
_MIXED, _WHOLE = 60, 20  # most rounds, where decisions can be mixed and where they cannot


@dataclass(frozen=True, eq=False)
class WorstCaseDecisions:
    """Decisions, their costs at the worst weights, and a bound on possible improvements.

    Attributes
    ----------
    decisions : ndarray of shape (n, k)
    worst_cost : ndarray of shape (n,)
        The largest mean cost within the set, in the unit of the problem's cost.
    gap : ndarray of shape (n,)
        The most by which another decision may be better: `worst_cost` less a lower bound, as a
        share of the mean absolute cost. NaN for problems that do not solve for scenarios exactly.
        Where ``problem.exact`` is False, the bound is only as good as the problem's solutions.
    """

    decisions: np.ndarray
    worst_cost: np.ndarray
    gap: np.ndarray


def decide_for_worst(
    problem: DecisionProblem,
    values: np.ndarray,
    weight: np.ndarray,
    ambiguity_set: AmbiguitySet,
    *,
    context: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    tol: float = 1e-6,
) -> WorstCaseDecisions:
    r"""Minimise the largest mean cost over the weights near those of the scenarios.

    .. math:: \min_z \max_{p \in B(w)} \sum_s p_s\, (\mathrm{cost}(z, y_s) - o_s)

    This is the double oracle method. It alternates between the best decision for given weights and
    the worst weights for a given decision. The matrix game between those found so far is solved
    exactly, and its solution gives the next weights and decision. Where set and cost are convex, a
    mixture of decisions is a decision, and the gap closes. Otherwise the best of the decisions
    found is returned.

    Parameters
    ----------
    problem : DecisionProblem
    values : ndarray of shape (n, S, d)
    weight : ndarray of shape (n, S)
        Rows sum to 1.
    ambiguity_set : AmbiguitySet
        A set that needs losses only, such as :class:`KLBall`.
    context : ndarray of shape (n, c), default=None
        As ``problem.context_rows`` returns it.
    offset : ndarray of shape (n, S), default=None
        Numbers subtracted from the costs, such as the costs of the best decisions for regrets.
    tol : float, default=1e-6
        The gap at which the search for a row ends.

    Returns
    -------
    WorstCaseDecisions

    References
    ----------
    McMahan, Gordon and Blum, "Planning in the presence of cost functions controlled by an
    adversary", 2003.
    """
    problem._check_parameter_array(values)
    plain = problem.solve_scenarios(values, weight, context)
    games = []
    for i in range(len(values)):
        less = None if offset is None else offset[i]
        known = None if context is None else context[i]
        games.append(_Game(problem, values[i], weight[i], ambiguity_set, known, less))
        games[i].add(plain[i], weight[i])
        say_if_due(f"{i + 1} of {len(values)} rows weighted")
    most = _MIXED if problem.convex_decisions else _WHOLE
    for k in range(1, most):
        open_rows = [i for i, game in enumerate(games) if game.gap > tol and not game.is_stuck]
        if not open_rows:
            break
        what = f"open rows weighted in round {k}"
        games_open = counted(open_rows, what, len(open_rows))
        asked = np.stack([games[i].next_weight() for i in games_open])
        known = None if context is None else context[open_rows]
        with warnings.catch_warnings():  # the first solve has warned that it is approximate
            warnings.simplefilter("ignore", UserWarning)
            found = problem.solve_scenarios(values[open_rows], asked, known)
        for i, decision, p in zip(open_rows, found, asked, strict=True):
            games[i].add(decision, p)
            say_if_due(f"{len(open_rows)} of {len(values)} rows open in round {k}")
    return WorstCaseDecisions(
        np.stack([game.decision for game in games]),
        np.array([game.upper for game in games]),
        np.array([game.gap if problem.exact_scenarios else np.nan for game in games]),
    )


def best_costs(
    problem: DecisionProblem, values: np.ndarray, context: np.ndarray | None = None
) -> np.ndarray:
    """Return the cost of the best decision for each scenario alone.

    Equal scenarios with the same context are solved for only once.

    Parameters
    ----------
    problem : DecisionProblem
    values : ndarray of shape (n, S, d)
    context : ndarray of shape (n, c), default=None
        As ``problem.context_rows`` returns it.

    Returns
    -------
    ndarray of shape (n, S)
    """
    n, n_scenarios, d = values.shape
    table = values.reshape(-1, d)
    if context is not None:
        table = np.concatenate([table, np.repeat(context, n_scenarios, axis=0)], axis=1)
    distinct, place = np.unique(table, axis=0, return_inverse=True)
    costs = np.empty(len(distinct))
    for start in range(0, len(distinct), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        y = distinct[some, :d]
        known = None if context is None else distinct[some, d:]
        costs[some] = problem.cost_rows(problem.solve_rows(y, known), y, known)
    return costs[place.ravel()].reshape(n, n_scenarios)


class _Game:
    """Decisions and weights of one row, found so far."""

    def __init__(
        self,
        problem: DecisionProblem,
        values: np.ndarray,
        weight: np.ndarray,
        ambiguity_set: AmbiguitySet,
        context: np.ndarray | None,
        offset: np.ndarray | None,
    ) -> None:
        self._problem, self._values, self._weight = problem, values, weight
        self._set, self._context, self._offset = ambiguity_set, context, offset
        self._decisions: list[np.ndarray] = []
        self._costs: list[np.ndarray] = []
        self._worst: list[np.ndarray] = []
        self.lower, self.upper = -np.inf, np.inf
        self.is_stuck = False  # whether the same weights were asked for twice
        self._last: np.ndarray | None = None

    @property
    def gap(self) -> float:
        """The difference of the bounds, as a share of the mean absolute cost."""
        size = float(self._weight @ np.abs(self._costs[0])) or 1.0
        return max(0.0, self.upper - self.lower) / size

    def add(self, decision: np.ndarray, weight: np.ndarray) -> None:
        """Add the best decision for some weights."""
        self.lower = max(self.lower, float(weight @ self._consider(decision)))

    def next_weight(self) -> np.ndarray:
        """Return the weights of the game's solution, and add its mixed decision."""
        rows, columns = matrix_game(np.stack(self._costs) @ np.stack(self._worst).T)
        weight = columns @ np.stack(self._worst)
        self.is_stuck = self._last is not None and np.allclose(weight, self._last, 1e-9, 1e-15)
        self._last = weight
        if self._problem.convex_decisions and np.count_nonzero(rows) > 1:
            self._consider(rows @ np.stack(self._decisions))
        return weight

    def _consider(self, decision: np.ndarray) -> np.ndarray:
        """Return the cost (S,) of a decision, and store the decision with its worst weights."""
        n = len(self._values)
        context = None
        if self._context is not None:
            context = np.broadcast_to(self._context, (n, len(self._context)))
        everywhere = np.broadcast_to(decision, (n, len(decision)))
        cost = self._problem.cost_rows(everywhere, self._values, context)
        cost = cost if self._offset is None else cost - self._offset
        worst = worst_weights_of(self._set, cost, self._weight)
        largest = float(worst @ cost)
        self._decisions.append(decision)
        self._costs.append(cost)
        self._worst.append(worst)
        if largest < self.upper:
            self.upper, self.decision = largest, decision
        return cost
