"""Scorers of decisions, for model selection."""

from typing import Any

from .._decide import decided
from .._utils.checks import flag, number
from .._utils.context_columns import Selection
from .._utils.row_numbers import counted_among
from .._utils.rows import as_numpy_rows
from .._utils.sklearn_private import _BaseScorer
from .._utils.target_columns import check_target_columns
from ..problems._no_cost import NoCostError
from ..problems.base import DecisionProblem
from ._decisions import (
    check_observed,
    check_problem,
    cost_of,
    infeasible_share_of,
    normalized_regret_of,
    regret_of,
)


class _DecisionScorer(_BaseScorer):
    """A scorer of the decisions of an estimator, found by :func:`dfl_sklearn.decide`."""

    def __init__(
        self, metric: Any, problem: DecisionProblem, context: Selection, **options: Any
    ) -> None:
        super().__init__(metric, -1, {"problem": problem, "context": context, **options})

    def _score(self, method_caller: Any, estimator: Any, X: Any, y_true: Any, **kwargs: Any) -> Any:
        options = dict(self._kwargs)
        problem: DecisionProblem = options.pop("problem")
        check_target_columns(estimator, y_true)
        found = decided(estimator, X, problem, options.pop("context"))
        y, weight = check_observed(y_true, problem, kwargs.get("sample_weight"))
        decisions = as_numpy_rows(found.decisions, "decisions")
        if len(decisions) != len(y):
            raise ValueError(f"X has {len(decisions)} rows and y has {len(y)}.")
        try:
            with counted_among("the rows scored"):
                score = self._score_func(y, decisions, problem, weight, found.context, **options)
        except NoCostError as error:
            error.add_note(
                f"There is no {self._score_func.__name__.removesuffix('_of')} of these "
                f"{len(y)} rows, of which row {error.row_number} has y = "
                f"{y[error.row_number].tolist()}. Searches and cross-validation use their "
                "error_score for this split. make_infeasible_share_scorer counts such rows."
            )
            raise
        return self._sign * score


def make_regret_scorer(
    problem: DecisionProblem, *, normalized: bool = False, context: Selection = None
) -> Any:
    """Make a scorer of the (normalised) regret for ``cross_validate`` and grid search.

    It scores the decisions of an estimator (:func:`dfl_sklearn.decide`): its own, or those made
    from its predictions.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    normalized : bool, default=False
        Whether to score :func:`normalized_regret` rather than :func:`regret`.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators without a context of their own. Where an
        estimator has one, it must be the same.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, negated so that greater is better. ``sample_weight`` is
        used when requested: ``scorer.set_score_request(sample_weight=True)``.

    Raises
    ------
    ValueError
        By the scorer, if a decision has no cost, as in :func:`make_decision_cost_scorer`.

    See Also
    --------
    regret : The metric.
    make_decision_cost_scorer : A scorer of the cost itself.
    dfl_sklearn.model_selection.make_stress_scorer : A scorer of the regret in the worst case.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.metrics import make_regret_scorer
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> scorer = make_regret_scorer(NewsvendorProblem(9, 1))
    >>> bool(cross_val_score(LinearRegression(), X, y, scoring=scorer).max() < 0)
    True
    """
    check_problem(problem)
    flag(normalized, "normalized")
    return _DecisionScorer(normalized_regret_of if normalized else regret_of, problem, context)


def make_decision_cost_scorer(problem: DecisionProblem, *, context: Selection = None) -> Any:
    """Make a scorer of the realised cost for ``cross_validate`` and grid search.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators without a context of their own. Where an
        estimator has one, it must be the same.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the mean cost of the estimator's decisions, so that
        greater is better. ``sample_weight`` is used when requested.

    Raises
    ------
    ValueError
        By the scorer, if a decision has no cost because it misses a constraint without a penalty.
        The message names the row and the constraint. Searches and cross-validation use their
        ``error_score`` for that split instead (NaN, with a warning, unless it is "raise").

    See Also
    --------
    decision_cost : The metric.
    make_regret_scorer : A scorer of the cost less that of the best decisions.

    Examples
    --------
    Search the quantile at which orders are cheapest:

    >>> from sklearn.linear_model import QuantileRegressor
    >>> from sklearn.model_selection import GridSearchCV
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.metrics import make_decision_cost_scorer
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(100, random_state=0)
    >>> scorer = make_decision_cost_scorer(NewsvendorProblem(9, 1))
    >>> levels = {"quantile": [0.5, 0.7, 0.9]}
    >>> search = GridSearchCV(QuantileRegressor(alpha=0), levels, scoring=scorer, cv=3).fit(X, y)
    >>> search.best_params_
    {'quantile': 0.9}
    """
    check_problem(problem)
    return _DecisionScorer(cost_of, problem, context)


def make_infeasible_share_scorer(
    problem: DecisionProblem, *, context: Selection = None, tol: float = 1e-6
) -> Any:
    """Make a scorer of the share of decisions that turn out to be infeasible.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators without a context of their own. Where an
        estimator has one, it must be the same.
    tol : float, default=1e-6
        By how much a constraint may be missed; see :func:`infeasible_share`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the share of the estimator's decisions that are
        infeasible, so that greater is better. ``sample_weight`` is used when requested.

    See Also
    --------
    infeasible_share : The metric.
    make_decision_cost_scorer : A scorer of the cost of decisions.

    Examples
    --------
    >>> import cvxpy as cp
    >>> from sklearn.dummy import DummyRegressor
    >>> from dfl_sklearn.metrics import make_infeasible_share_scorer
    >>> from dfl_sklearn.problems import ConvexProgram
    >>> def build():
    ...     power, load = cp.Variable(1), cp.Parameter(1)
    ...     return cp.Problem(cp.Minimize(power[0]), [power >= load]), load, power
    >>> X, y = [[0], [0], [0], [0]], [1, 2, 3, 10]
    >>> mean = DummyRegressor().fit(X, y)
    >>> make_infeasible_share_scorer(ConvexProgram(build))(mean, X, y)
    -0.25
    """
    check_problem(problem)
    number(tol, "tol", at_least=0)
    return _DecisionScorer(infeasible_share_of, problem, context, tol=tol)
