"""One way to ask any estimator for its decisions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from ._utils.context_columns import ContextColumns, Selection
from ._utils.rows import as_numpy_rows, check_finite
from .problems.base import DecisionProblem


@dataclass(frozen=True)
class Decided:
    """Decisions, the problem that they are for, and the context that they were taken in."""

    decisions: np.ndarray
    problem: DecisionProblem
    context: Any


def decide(
    estimator: Any,
    X: Any,
    problem: DecisionProblem | None = None,
    context: Selection = None,
) -> np.ndarray:
    """Return the decisions of any fitted estimator.

    Walks through Pipelines, searches and frozen estimators to an estimator of this package and
    asks it to decide. Of any other regressor, and of one with another kind of problem than the one
    given, the predictions are solved for.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : array-like of shape (n, p)
        As the estimator takes it.
    problem : DecisionProblem, default=None
        Needed for estimators that have none.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators that know none; as in
        :class:`sklearn.compose.ColumnTransformer`.

    Returns
    -------
    ndarray of shape (n,) or (n, k)

    Raises
    ------
    ValueError
        If there is no problem, or if a prediction is not finite.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from dfl_sklearn import decide
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), LinearRegression()).fit(X, y)
    >>> decide(pipe, X, NewsvendorProblem(9, 1)).shape
    (300,)
    """
    return decided(estimator, X, problem, context).decisions


def decided(
    estimator: Any,
    X: Any,
    problem: DecisionProblem | None = None,
    context: Selection = None,
) -> Decided:
    """Return the decisions of an estimator with their problem and context; see :func:`decide`."""
    inner, reaches = _innermost(estimator)
    own = getattr(inner, "problem", None)
    # What a model decides for another kind of problem is no decision of the one asked about.
    decides = hasattr(inner, "decide") and (problem is None or type(own) is type(problem))
    problem = problem or own or (inner._resolve_problem() if decides else None)
    if problem is None:
        raise ValueError(f"{type(inner).__name__} knows no decision problem: give one as problem=.")
    if decides:
        known, there = None, reaches(X)
        if context is None and hasattr(inner, "context_of"):
            known = inner.context_of(there)
        if known is None:
            known = selected_context(X, problem, context)
        return Decided(inner.decide(there), problem, known)
    known = selected_context(X, problem, context)
    prediction = estimator.predict(X)
    check_finite(as_numpy_rows(prediction, "predictions"), "predictions")
    decisions = problem.solve(prediction, context=known)
    return Decided(decisions, problem, known)


def selected_context(X: Any, problem: DecisionProblem, context: Selection) -> Any:
    """Return the columns of X that are context, as the problem takes them; None for none."""
    columns = ContextColumns.of(context, X, problem.context_columns())
    return None if columns is None else columns.table(X)


def _innermost(estimator: Any) -> tuple[Any, Any]:
    """Return the estimator that decides, and what takes X to what it is given."""
    steps: list[Any] = []
    while True:
        if isinstance(estimator, Pipeline):
            if len(estimator.steps) > 1:
                steps.append(estimator[:-1])
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            break

    def reaches(X: Any) -> Any:
        for each in steps:
            X = each.transform(X)
        return X

    return estimator, reaches
