"""The decisions of a model for rows, real or generated, and their regret."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from .._decide import decided
from .._utils.checks import instance_hint
from .._utils.context_columns import ContextColumns, Selection
from .._utils.digest import OpaqueError, digest
from .._utils.innermost import innermost
from .._utils.progress import counted
from .._utils.rows import as_numpy_rows, column_names
from ..problems import DecisionProblem
from ..problems._no_cost import NoCostError
from ._table_form import TableForm

_ROWS_AT_ONCE = 4096  # rows decided at once, as scenarios of all rows may not fit into memory


@dataclass(frozen=True)
class Outcome:
    """Decisions (n, k) of a model, their costs (n,) and their regrets (n,)."""

    decisions: np.ndarray
    cost: np.ndarray
    regret: np.ndarray


class Outcomes:
    """Outcomes of several models on the same rows, whose best decisions are solved for once.

    Parameters
    ----------
    values : ndarray of shape (n, p)
        Values of all columns of X.
    y : ndarray of shape (n, d)
    """

    def __init__(
        self, form: TableForm, values: np.ndarray, y: np.ndarray, problem: DecisionProblem
    ) -> None:
        self.form = form
        self.values = values
        self.y = y
        self.problem = problem
        self._solved: list[tuple[Any, np.ndarray]] = []

    def of(self, estimator: Any, context: Selection, what: str) -> Outcome:
        """Return the outcome of a model; errors call the rows `what`."""
        parts = []
        starts = range(0, len(self.values), _ROWS_AT_ONCE)
        for first in counted(starts, f"parts of the {what} decided", len(starts)):
            X = self.form.back(self.values[first : first + _ROWS_AT_ONCE])
            parts.append(decided(estimator, X, self.problem, context))
        decisions = np.concatenate([as_numpy_rows(p.decisions, "decisions") for p in parts])
        if len(decisions) != len(self.y):
            raise ValueError(
                f"{type(estimator).__name__} took {len(decisions)} decisions for {len(self.y)} "
                "rows."
            )
        known = _joined([part.context for part in parts])
        try:
            cost = self.problem.cost(decisions, self.y, context=known)
            best = self._best(known)
        except NoCostError as error:
            error.add_note(
                f"It is a row of the {what} of a stress test, with y = "
                f"{self.y[error.row_number].tolist()}. Price what is missed (penalty=, recourse)."
            )
            raise
        return Outcome(decisions, cost, cost - best)

    def _best(self, context: Any) -> np.ndarray:
        """Return the costs of the best decisions in a context, computed once."""
        for known, best in self._solved:
            if (known is None and context is None) or (
                known is not None and context is not None and np.array_equal(known, context)
            ):
                return best
        best = self.problem.optimal_cost(self.y, context=context)
        self._solved.append((context, best))
        return best


def _joined(contexts: list[Any]) -> Any:
    if contexts[0] is None:
        return None
    if isinstance(contexts[0], pd.DataFrame):
        return pd.concat(contexts, ignore_index=True)
    return np.concatenate(contexts)


def common_problem(
    estimators: Mapping[str, Any], problem: DecisionProblem | None
) -> DecisionProblem:
    """Return the problem given, or the one of all estimators that have one.

    Raises
    ------
    ValueError
        If none has one, or they differ.
    """
    if problem is not None:
        if not isinstance(problem, DecisionProblem):
            raise ValueError(
                f"problem must be a DecisionProblem or None, got {problem!r}."
                f"{instance_hint(problem)}"
            )
        return problem
    found: dict[str, DecisionProblem] = {}
    for name, estimator in estimators.items():
        inner = innermost(estimator)[0]
        own = getattr(inner, "problem", None)
        if own is None and hasattr(inner, "_resolve_problem"):
            own = inner._resolve_problem()
        if isinstance(own, DecisionProblem):
            found[name] = own
    if not found:
        types = ", ".join(
            sorted({type(innermost(each)[0]).__name__ for each in estimators.values()})
        )
        raise ValueError(f"{types} has no decision problem: give one as problem=.")
    first, *others = found
    for name in others:
        if not _are_same(found[first], found[name]):
            raise ValueError(
                f"{first!r} and {name!r} have different problems, and regrets in different "
                "problems cannot be compared: give one as problem=."
            )
    return found[first]


def _are_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return digest(one) == digest(other)
    except OpaqueError:
        return False


def known_positions(
    context: Selection, X: Any, problem: DecisionProblem, estimators: Mapping[str, Any]
) -> list[int]:
    """Return the positions of the columns of X that are context, which are not generated.

    These are the selected ones, or else the context of the estimators.

    Raises
    ------
    ValueError
        If the columns cannot be found, or the estimators have different ones.
    """
    chosen = ContextColumns.of(context, X, problem.context_columns())
    if chosen is not None:
        return list(chosen.positions)
    found: dict[str, list[int]] = {}
    for name, estimator in estimators.items():
        inner, reaches = innermost(estimator)
        own = getattr(inner, "_context_columns", None)
        if own is not None:
            found[name] = _positions_in(X, own, reaches, name)
        elif getattr(inner, "context", None) is not None:
            check_is_fitted(inner)  # it knows its columns only then
    if len(set(map(tuple, found.values()))) > 1:
        raise ValueError(
            f"The estimators have different columns as context ({found}, positions in X): give "
            "context=, the columns of X that are not to be generated."
        )
    if found:
        return next(iter(found.values()))
    if problem.takes_context:
        raise ValueError(
            f"{type(problem).__name__} reads a context, and no estimator has one: give its columns "
            "of X as context=."
        )
    return []


def context_for(
    estimator: Any, context: Selection, known: list[int], problem: DecisionProblem
) -> Selection:
    """Return the context to give to `decide` for a model: None where the model has its own."""
    if not problem.takes_context:
        return None
    knows = getattr(innermost(estimator)[0], "_context_columns", None) is not None
    return context if knows or context is not None else known


def _positions_in(X: Any, own: ContextColumns, reaches: Any, name: str) -> list[int]:
    names, head = column_names(X), X[:1]
    if names is not None and own.labels is not None and set(own.labels) <= set(names):
        return [names.index(each) for each in own.labels]
    if reaches(head) is head and np.shape(X)[1] == own.n_columns:
        return list(own.positions)
    raise ValueError(
        f"The context of {name!r} cannot be found among the columns of X, because a step of the "
        "Pipeline comes before: give context=, the columns of X that are not to be generated."
    )
