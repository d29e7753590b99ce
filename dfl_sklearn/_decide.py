"""The decisions of any estimator, by one function."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from ._utils.context_columns import ContextColumns, Selection
from ._utils.hidden_scenarios import warn_of_hidden_scenarios
from ._utils.innermost import innermost, shaped_for
from ._utils.policies import refuse_policy
from ._utils.rows import as_numpy_rows, check_finite, column_names
from ._utils.scenario_models import predicts_scenarios, scenario_parts
from ._utils.tables import refuse_series
from .problems._over_scenarios import decide_over_scenarios
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

    Looks inside Pipelines, searches and frozen estimators. An estimator of this package decides
    itself, in its own context. For any other regressor the problem is solved with its predictions,
    and for a scenario model with its scenarios. The same is done where an estimator has another
    kind of problem than the one given, or where the problem given reads a context and the
    estimator has none. (With a :class:`PolicyRegressor`, which predicts no parameters, that is an
    error.)

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    X : array-like of shape (n, p)
        Features, in the form that the estimator takes.
    problem : DecisionProblem, default=None
        The problem to decide; needed where the estimator has none.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, as in :class:`sklearn.compose.ColumnTransformer`, for
        estimators that have no context. Others use their own; if one is given, it must be the same.

    Returns
    -------
    ndarray of shape (n,) or (n, k)
        One decision per row.

    Raises
    ------
    ValueError
        If there is no problem, if a prediction is not finite, or if `context` is not the context
        that the estimator has.

    Warns
    -----
    UserWarning
        If a step of a Pipeline changes the context before it reaches the estimator. If an
        estimator with `risk` is asked about another kind of problem, for which `risk` is ignored.
        If a scenario model is inside an estimator that predicts points, such as a bagging ensemble.

    See Also
    --------
    dfl_sklearn.metrics.regret : How much more decisions cost than the best ones.
    dfl_sklearn.TwoStageRegressor : A regressor with its problem, as one estimator.

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
    refuse_series(X, "X")
    inner, reaches = innermost(estimator)
    own = getattr(inner, "problem", None)
    decides = hasattr(inner, "decide")
    if own is None and hasattr(inner, "_resolve_problem"):
        own = inner._resolve_problem()
    # Decisions for another kind of problem, or made without the context that this problem reads,
    # are no decisions of this problem.
    if problem is not None:
        knows = not problem.takes_context or _knows_context(inner)
        decides = decides and type(own) is type(problem) and knows
    problem = problem or own
    if problem is None:
        raise ValueError(f"{type(inner).__name__} has no decision problem: give one as problem=.")
    if decides:
        there = reaches(X)
        decisions = inner.decide(there)
        known = None
        if problem.takes_context:
            known = _own_context(inner, there, X, problem, context)
        return Decided(decisions, problem, known)
    known = selected_context(X, problem, context)
    if not hasattr(estimator, "predict"):
        raise ValueError(
            f"{type(inner).__name__} predicts nothing, and its decisions are no decisions of the "
            f"{type(problem).__name__} given."
        )
    if predicts_scenarios(inner):
        risk = getattr(inner, "risk", None)
        if risk is not None and not risk.is_nominal:
            warnings.warn(
                f"The model decides for {type(risk).__name__} in its own problem alone. Decisions "
                f"of the {type(problem).__name__} given minimise the mean cost over its scenarios.",
                UserWarning,
                stacklevel=3,
            )
        parts = scenario_parts(inner, reaches(X))
        found = shaped_for(inner, decide_over_scenarios(problem, parts, known))
        return Decided(found, problem, known)
    refuse_policy(
        inner,
        f"{type(problem).__name__}.solve",
        "Ask it about its own kind of problem, in its own context. Metrics take decisions that "
        "you have made from its decisions, such as averages, as decisions=.",
    )
    prediction = estimator.predict(X)
    warn_of_hidden_scenarios(inner, stacklevel=3)
    check_finite(as_numpy_rows(prediction, "predictions"), "predictions")
    decisions = problem.solve(prediction, context=known)
    return Decided(decisions, problem, known)


def _knows_context(inner: Any) -> bool:
    return getattr(inner, "_context_columns", None) is not None


def _own_context(
    inner: Any, there: Any, X: Any, problem: DecisionProblem, context: Selection
) -> Any:
    """Return the context in which an estimator decided for X, which reached it as `there`.

    Raises
    ------
    ValueError
        If `problem` cannot read that context, or if `context` selects another one.

    Warns
    -----
    UserWarning
        If a step of a Pipeline has changed it.
    """
    known, own = inner.context_of(there), inner._resolve_problem()
    by_name = [any(isinstance(c, str) for c in each.context_columns()) for each in (own, problem)]
    if by_name[0] != by_name[1]:
        reads = ["by name" if each else "by position" for each in by_name]
        raise ValueError(
            f"The problem of {type(inner).__name__} reads its context {reads[0]}, and the "
            f"problem given reads it {reads[1]}: mark both in the same way, by FromContext."
        )
    if context is not None:
        chosen = selected_context(X, problem, context)
        own_rows, given = (problem.context_rows(each, len(each)) for each in (known, chosen))
        assert own_rows is not None
        assert given is not None
        if not np.array_equal(own_rows, given):
            raise ValueError(
                f"context={context!r} is not the context in which {type(inner).__name__} has "
                f"decided, its context={inner.context!r}. These are other columns, or a step of "
                "the Pipeline has changed them. Leave context= out: the model uses its own."
            )
    elif there is not X:
        _warn_of_changes(inner, known, X)
    return known


def _warn_of_changes(inner: Any, known: Any, X: Any) -> None:
    """Warn where a step of a Pipeline has changed columns of the context."""
    columns = inner._context_columns
    names = column_names(X)
    for j, value in enumerate(np.asarray(known).T):
        label = None if columns.labels is None else columns.labels[j]
        if names is None or label is None:
            candidates = list(range(X.shape[1])) if len(np.shape(X)) == 2 else []
        elif label in names:
            candidates = [names.index(label)]
        else:
            continue  # made by a step
        if not any(_same(_safe_indexing(X, [k], axis=1), value) for k in candidates):
            what = f"column {columns.positions[j]}" if label is None else repr(label)
            warnings.warn(
                f"The context, {what}, has been changed by a step before "
                f"{type(inner).__name__}, and decisions keep to the changed numbers. To pass it on "
                "unchanged, wrap the step in keep_context, from dfl_sklearn.compose.",
                UserWarning,
                stacklevel=4,
            )


def _same(column: Any, value: np.ndarray) -> bool:
    """Return whether a column of any type holds these numbers wherever it is not missing."""
    column = column.toarray() if issparse(column) else column
    try:
        given = np.asarray(column, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return False
    return bool((np.isnan(given) | (given == value)).all())


def selected_context(X: Any, problem: DecisionProblem, context: Selection) -> Any:
    """Return the columns of X that are context, as the problem takes them, or None."""
    columns = ContextColumns.of(context, X, problem.context_columns())
    return None if columns is None else columns.table(X)
