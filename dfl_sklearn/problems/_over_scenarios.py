"""Decisions over the scenarios that a model predicts, in batches of rows."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from .._utils.progress import say_if_due
from .._utils.sklearn_private import _num_samples
from ._context import refuse_one_number
from .base import DecisionProblem

_MANY = 0.1  # share of numbers outside the domain above which there is a warning

Solve = Callable[[np.ndarray, np.ndarray, Any], np.ndarray]
"""Maps values (n, S, d), weights (n, S) and the context of rows to their decisions (n, k)."""


def decide_over_scenarios(
    problem: DecisionProblem,
    parts: Iterable[tuple[slice, Any]],
    context: Any = None,
    solve: Solve | None = None,
) -> np.ndarray:
    """Return the decisions (n, k) over scenarios that come in batches of rows.

    Parameters
    ----------
    problem : DecisionProblem
    parts : iterable of (slice, Scenarios)
        Scenarios outside the domain of the problem are projected into it.
    context : array-like of shape (n, c) or None
    solve : callable, default=None
        Returns the decisions for values (n, S, d), weights (n, S) and the context of some rows.
        None minimises the mean cost.

    Warns
    -----
    UserWarning
        Where many scenarios were outside the domain.
    """
    if context is not None:
        refuse_one_number(context, problem.context_columns(), None)
    decisions: list[np.ndarray] = []
    moved, total = 0, 0
    for rows, scenarios in parts:
        values = _in_domain(problem, scenarios.values)
        moved += int(np.count_nonzero(values != scenarios.values))
        total += values.size
        known = None if context is None else _safe_indexing(context, rows)
        if solve is None:
            found = problem.solve(values, context=known, scenario_weight=scenarios.weight)
        else:
            found = solve(values, scenarios.weight, known)
        decisions.append(found)
        say_if_due(f"{rows.stop} rows decided over scenarios")
    n_rows = sum(len(each) for each in decisions)
    if context is not None and _num_samples(context) != n_rows:
        raise ValueError(f"context has {_num_samples(context)} rows, but X has {n_rows}.")
    if moved > _MANY * total:
        warnings.warn(
            f"{moved / total:.0%} of the numbers in the scenarios were outside the domain of "
            f"{type(problem).__name__} and were moved to its border, such as negative ones to 0. "
            "Where y is positive, take its logarithm by a TransformedTargetRegressor around the "
            "scenario model, or use LocalScenarios, whose values have been observed.",
            UserWarning,
            stacklevel=3,
        )
    return np.concatenate(decisions)


def _in_domain(problem: DecisionProblem, values: np.ndarray) -> np.ndarray:
    """Return scenarios (n, S, d) within the domain of the problem."""
    table, _ = problem.project_parameters(values.reshape(-1, values.shape[-1]))
    return table.reshape(values.shape)
