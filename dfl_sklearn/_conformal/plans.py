"""Decisions of a fitted model, and the costs that it expects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from .._decide import Decided, decided
from .._utils.innermost import innermost
from .._utils.policies import policy_in
from .._utils.rows import as_numpy_rows, check_finite
from .._utils.scenario_models import predicts_scenarios, scenario_parts
from .._utils.sklearn_private import _num_samples
from ..problems._scenario_weights import normalised_weight
from ..problems.base import DecisionProblem

_AT_ONCE = 200  # rows whose scenarios are in memory at the same time


@dataclass(frozen=True)
class Plans:
    """Decisions, and their costs under the model's own prediction.

    Attributes
    ----------
    decisions : ndarray of shape (n, k)
    planned : ndarray of shape (n,)
        The cost under the prediction, or the mean over scenarios; 0 where only decisions are
        predicted.
    problem : DecisionProblem
    context : array-like of shape (n, c) or None
        As the public methods of the problem take it.
    prediction : ndarray of shape (n, d) or None
        Predicted parameters within the domain of the problem; None where only decisions are
        predicted, or where the mean of scenarios is not needed.
    is_vector : bool
        Whether the model returned decisions as (n,).
    """

    decisions: np.ndarray
    planned: np.ndarray
    problem: DecisionProblem
    context: Any
    prediction: np.ndarray | None
    is_vector: bool

    @classmethod
    def of(
        cls,
        model: Any,
        X: Any,
        problem: DecisionProblem | None = None,
        context: Any = None,
        *,
        needs_prediction: bool = True,
    ) -> "Plans":
        """Return the plans of a fitted model that decides.

        Parameters
        ----------
        model : estimator
            One of this package with a problem, also inside a Pipeline or a search.
        X : array-like of shape (n, p)
        problem : DecisionProblem, default=None
            None is that of the model.
        context : array-like of shape (n, c), default=None
            Context to use instead of the columns of X.
        needs_prediction : bool, default=True
            With False a scenario model is not asked for the mean of its scenarios.
        """
        inner, reaches = innermost(model)
        if context is None:
            found = decided(model, X, problem)
        else:
            decisions = inner.decide(reaches(X), context=context)
            found = Decided(decisions, problem or inner._resolve_problem(), context)
        z = as_numpy_rows(found.decisions, "decisions").astype(np.float64, copy=False)
        prediction = None
        predicts = policy_in(inner) is None
        of_scenarios = predicts and predicts_scenarios(inner)
        if predicts and (needs_prediction or not of_scenarios):
            rows = as_numpy_rows(model.predict(X), "predictions").astype(np.float64, copy=False)
            check_finite(rows, "predictions")
            prediction = found.problem.project_parameters(rows)[0]
        if of_scenarios:
            planned = _mean_over_scenarios(inner, reaches, X, z, found)
        elif prediction is None:
            planned = np.zeros(len(z))
        else:
            planned = found.problem.cost(z, prediction, context=found.context)
        is_vector = np.ndim(found.decisions) == 1
        return cls(z, planned, found.problem, found.context, prediction, is_vector)

    @property
    def context_rows(self) -> np.ndarray | None:
        """The context (n, c) as the unchecked methods of the problem take it."""
        return self.problem.context_rows(self.context, len(self.planned))

    def realised(self, y: Any) -> np.ndarray:
        """Return what the decisions cost under observed y (n,) or (n, d)."""
        return self.problem.cost(self.decisions, as_numpy_rows(y, "y"), context=self.context)


def _mean_over_scenarios(
    inner: Any, reaches: Callable[[Any], Any], X: Any, z: np.ndarray, found: Decided
) -> np.ndarray:
    """Return the mean cost (n,) of decisions over the scenarios of a model."""
    parts = []
    for start in range(0, _num_samples(X), _AT_ONCE):
        at = np.arange(start, min(start + _AT_ONCE, len(z)))
        for rows, scenarios in scenario_parts(inner, reaches(_safe_indexing(X, at))):
            parts.append(_mean_cost(scenarios, at[rows], z, found))
    return np.concatenate(parts) if parts else np.zeros(0)


def _mean_cost(scenarios: Any, at: np.ndarray, z: np.ndarray, found: Decided) -> np.ndarray:
    """Return the mean cost of the decisions of some rows over their scenarios."""
    n, n_scenarios, width = scenarios.values.shape
    copies = np.repeat(at, n_scenarios)
    known = None if found.context is None else _safe_indexing(found.context, copies)
    table = found.problem.project_parameters(scenarios.values.reshape(-1, width))[0]
    costs = found.problem.cost(z[copies], table, context=known).reshape(n, n_scenarios)
    return np.einsum("ns,ns->n", normalised_weight(scenarios.weight, n, n_scenarios), costs)
