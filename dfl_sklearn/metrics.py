"""What decisions made from predictions cost: metrics, and scorers for model selection.

Every metric takes observed parameters, predicted parameters and the problem in which the
predictions are used; the problem's exact ``solve`` turns predictions into decisions.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import UndefinedMetricWarning

from ._decide import decided
from ._utils.checks import flag, number
from ._utils.context_columns import Selection
from ._utils.rounding import is_rounding
from ._utils.rows import as_numpy_rows, check_finite, check_total
from ._utils.sklearn_private import _BaseScorer, _check_sample_weight
from .problems._no_cost import NoCostError
from .problems.base import DecisionProblem
from .problems.constant import constant_costs

_NOTHING = 1e-12  # best costs beside regrets, that are rounding errors
_SOLVER_ERROR = 1e-9  # share of the cost by which a solver of an exact problem misses the minimum

__all__ = [
    "d2_regret_score",
    "decision_cost",
    "infeasible_share",
    "make_decision_cost_scorer",
    "make_infeasible_share_scorer",
    "make_regret_scorer",
    "normalized_regret",
    "regret",
]


def decision_cost(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    problem: DecisionProblem,
    sample_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Mean realised cost of the decisions made from predictions.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,) or (n, d)
        Predicted parameters.
    problem : DecisionProblem
        The problem in which the predictions are used.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.

    Returns
    -------
    float
        In the unit of the problem's cost; smaller is better.

    Examples
    --------
    >>> from dfl_sklearn.metrics import decision_cost
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> decision_cost([12, 7], [10, 10], problem=NewsvendorProblem(9, 1))
    10.5
    """
    y_true, y_pred, weight = _check_rows(y_true, y_pred, problem, sample_weight)
    decisions = problem.solve(y_pred, context=context)
    return _cost_of(y_true, decisions, problem, weight, context)


def regret(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    problem: DecisionProblem,
    sample_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Mean cost of the decisions made from predictions, less that of the best decisions.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,) or (n, d)
        Predicted parameters.
    problem : DecisionProblem
        The problem in which the predictions are used.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.

    Returns
    -------
    float
        In the unit of the problem's cost; 0 is perfect. Where the problem's ``solve`` is not exact
        (``problem.exact`` is False) it can be negative.

    Examples
    --------
    >>> from dfl_sklearn.metrics import regret
    >>> from dfl_sklearn.problems import SquaredErrorProblem
    >>> regret([1.0, 2.0], [1.0, 4.0], problem=SquaredErrorProblem())
    2.0
    """
    y_true, y_pred, weight = _check_rows(y_true, y_pred, problem, sample_weight)
    decisions = problem.solve(y_pred, context=context)
    return _regret_of(y_true, decisions, problem, weight, context)


def normalized_regret(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    problem: DecisionProblem,
    sample_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Total regret as a share of the total absolute cost of the best decisions.

    Both sums run over all rows before they are divided ("pooled"), so that rows whose best
    cost is near 0 do no harm.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,) or (n, d)
        Predicted parameters.
    problem : DecisionProblem
        The problem in which the predictions are used.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.

    Returns
    -------
    float
        Without a unit; 0 is perfect.

    Raises
    ------
    ValueError
        If the best decisions cost nothing, as in the newsvendor and squared-error problems:
        the ratio is then undefined, and :func:`d2_regret_score` is the score to use.

    Examples
    --------
    >>> from dfl_sklearn.metrics import normalized_regret
    >>> from dfl_sklearn.problems import ProvisioningProblem
    >>> round(normalized_regret([9e4, 3e4], [6e4, 4e4], problem=ProvisioningProblem()), 4)
    0.0424
    """
    y_true, y_pred, weight = _check_rows(y_true, y_pred, problem, sample_weight)
    decisions = problem.solve(y_pred, context=context)
    return _normalized_regret_of(y_true, decisions, problem, weight, context)


def d2_regret_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    problem: DecisionProblem,
    sample_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Share of the regret of the best constant decision that the predictions avoid.

    ``1 - regret(y_true, y_pred) / regret(best constant decision)``: 1 is perfect, 0 is no
    better than ignoring the features, and it can be negative. The constant decision is the
    one with the least total cost on the scored rows (one ``solve`` with all of `y_true` as
    scenarios). With :class:`~dfl_sklearn.problems.SquaredErrorProblem` it is R2, for
    several outputs the one called "variance_weighted".

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,) or (n, d)
        Predicted parameters.
    problem : DecisionProblem
        The problem in which the predictions are used.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it. What ignores the features still knows
        the context: in the place of the constant decision stands, for each row, the best decision
        over the scored y as scenarios under that row's own context; of more than 200 different y
        over 200 that stand for all, taken at equal steps of the weight in the order of the first
        column. Where the cost is linear in y it is the decision for the mean of y.

    Returns
    -------
    float
        NaN, with a warning, for fewer than two rows. Where the constant decision has no
        regret (beyond rounding errors), 1 if the predictions have none either, else 0, as in
        :func:`sklearn.metrics.r2_score`.

    Warns
    -----
    UndefinedMetricWarning
        Where the regret of the constant decision is negative, which only that of problems whose
        ``solve`` is not exact can be: NaN is returned. Where that of the predictions is: their
        score is above 1.

    Examples
    --------
    >>> from dfl_sklearn.metrics import d2_regret_score
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> d2_regret_score([2, 4, 6, 9], [2, 4, 7, 9], problem=NewsvendorProblem(9, 1))
    0.933...
    """
    y_true, y_pred, weight = _check_rows(y_true, y_pred, problem, sample_weight)
    decisions = problem.solve(y_pred, context=context)
    return d2_of_decisions(y_true, decisions, problem, weight, context)


def infeasible_share(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    problem: DecisionProblem,
    sample_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
    tol: float = 1e-6,
) -> float:
    """Share of the rows whose decision, made from predictions, turns out not to be allowed.

    It is 0 unless constraints depend on what is predicted.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,) or (n, d)
        Predicted parameters.
    problem : DecisionProblem
        The problem in which the predictions are used.
    sample_weight : array-like of shape (n,), default=None
        Sample weights; the share is that of the weight.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.
    tol : float, default=1e-6
        By how much a constraint may be missed, as the problem's ``is_feasible`` has it.

    Returns
    -------
    float
        Between 0 and 1; smaller is better.

    Examples
    --------
    >>> import cvxpy as cp
    >>> from dfl_sklearn.metrics import infeasible_share
    >>> from dfl_sklearn.problems import ConvexProgram
    >>> def build():
    ...     power, load = cp.Variable(1), cp.Parameter(1)
    ...     return cp.Problem(cp.Minimize(power[0]), [power >= load]), load, power
    >>> infeasible_share([3, 5, 4, 4], [4, 4, 5, 4.5], problem=ConvexProgram(build))
    0.25
    """
    number(tol, "tol", at_least=0)
    y_true, y_pred, weight = _check_rows(y_true, y_pred, problem, sample_weight)
    decisions = problem.solve(y_pred, context=context)
    return _infeasible_share_of(y_true, decisions, problem, weight, context, tol=tol)


class _DecisionScorer(_BaseScorer):
    """A scorer of the decisions that an estimator takes, by :func:`dfl_sklearn.decide`."""

    def __init__(
        self, metric: Any, problem: DecisionProblem, context: Selection, **options: Any
    ) -> None:
        super().__init__(metric, -1, {"problem": problem, "context": context, **options})

    def _score(self, method_caller: Any, estimator: Any, X: Any, y_true: Any, **kwargs: Any) -> Any:
        options = dict(self._kwargs)
        problem: DecisionProblem = options.pop("problem")
        found = decided(estimator, X, problem, options.pop("context"))
        y, weight = check_observed(y_true, problem, kwargs.get("sample_weight"))
        decisions = as_numpy_rows(found.decisions, "decisions")
        if len(decisions) != len(y):
            raise ValueError(f"X has {len(decisions)} rows and y has {len(y)}.")
        try:
            score = self._score_func(y, decisions, problem, weight, found.context, **options)
        except NoCostError as error:
            error.add_note(
                f"There is no {self._score_func.__name__.strip('_').removesuffix('_of')} of these "
                f"{len(y)} rows, of which row {error.row_number} has y = "
                f"{y[error.row_number].tolist()}. Searches and cross-validation then take their "
                "error_score for the split. make_infeasible_share_scorer counts such rows."
            )
            raise
        return self._sign * score


def make_regret_scorer(
    problem: DecisionProblem, *, normalized: bool = False, context: Selection = None
) -> Any:
    """Make a scorer of the (normalised) regret for ``cross_validate`` and grid search.

    It scores the decisions that an estimator takes (:func:`dfl_sklearn.decide`): its own, or
    those that follow from its predictions.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    normalized : bool, default=False
        Whether to score :func:`normalized_regret` rather than :func:`regret`.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators that know none; those of the others, which
        decide in their own, must be the same.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, negated so that greater is better. ``sample_weight`` is
        used when requested: ``scorer.set_score_request(sample_weight=True)``.

    Raises
    ------
    ValueError
        By the scorer, where a decision has no cost, as in :func:`make_decision_cost_scorer`.

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
    _check_problem(problem)
    flag(normalized, "normalized")
    return _DecisionScorer(_normalized_regret_of if normalized else _regret_of, problem, context)


def make_decision_cost_scorer(problem: DecisionProblem, *, context: Selection = None) -> Any:
    """Make a scorer of the realised cost for ``cross_validate`` and grid search.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators that know none; those of the others, which
        decide in their own, must be the same.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the mean cost of the decisions that the estimator takes,
        so that greater is better. ``sample_weight`` is used when requested.

    Raises
    ------
    ValueError
        By the scorer, where a decision has no cost because it misses a constraint that nothing
        prices. The message names the row and the constraint. Searches and cross-validation take
        their ``error_score`` for that split instead (NaN, with a warning, unless it is "raise").
    """
    _check_problem(problem)
    return _DecisionScorer(_cost_of, problem, context)


def make_infeasible_share_scorer(
    problem: DecisionProblem, *, context: Selection = None, tol: float = 1e-6
) -> Any:
    """Make a scorer of the share of decisions that turn out not to be allowed.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators that know none; those of the others, which
        decide in their own, must be the same.
    tol : float, default=1e-6
        By how much a constraint may be missed, see :func:`infeasible_share`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the share of the decisions that the estimator takes,
        so that greater is better. ``sample_weight`` is used when requested.

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
    _check_problem(problem)
    number(tol, "tol", at_least=0)
    return _DecisionScorer(_infeasible_share_of, problem, context, tol=tol)


def _check_problem(problem: Any) -> None:
    if not isinstance(problem, DecisionProblem):
        raise TypeError(f"problem must be a DecisionProblem instance, got {problem!r}.")


def check_observed(
    y_true: Any, problem: DecisionProblem, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return checked observed parameters (n, d) and weights (n,)."""
    y_true = as_numpy_rows(y_true, "y_true")
    if len(y_true) == 0:
        raise ValueError("y_true and y_pred have no rows.")
    check_finite(y_true, "y_true")
    problem.check_parameters(y_true)
    weight = _check_sample_weight(sample_weight, y_true, dtype=np.float64, ensure_non_negative=True)
    check_total(weight, "sample_weight")
    return y_true, weight


def _check_rows(
    y_true: Any, y_pred: Any, problem: DecisionProblem, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _check_problem(problem)
    y_true, y_pred = as_numpy_rows(y_true, "y_true"), as_numpy_rows(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(f"y_true has shape {y_true.shape} and y_pred {y_pred.shape}.")
    y_true, weight = check_observed(y_true, problem, sample_weight)
    check_finite(y_pred, "y_pred")
    return y_true, y_pred, weight


# -- of decisions --------------------------------------------------------------------------
# Each takes checked y (n, d) and weights (n,); what scorers call has scikit-learn's names.


def _cost_of(
    y_true: np.ndarray,
    pred_decision: np.ndarray,
    problem: DecisionProblem,
    sample_weight: np.ndarray,
    context: Any,
) -> float:
    paid = problem.cost(pred_decision, y_true, context=context)
    _weighted_sum(paid, sample_weight)
    return float(np.average(paid, weights=sample_weight))


def _regret_of(
    y_true: np.ndarray,
    pred_decision: np.ndarray,
    problem: DecisionProblem,
    sample_weight: np.ndarray,
    context: Any,
) -> float:
    excess, _ = _row_regret(y_true, pred_decision, problem, context)
    _weighted_sum(excess, sample_weight)
    return float(np.average(excess, weights=sample_weight))


def _infeasible_share_of(
    y_true: np.ndarray,
    pred_decision: np.ndarray,
    problem: DecisionProblem,
    sample_weight: np.ndarray,
    context: Any,
    *,
    tol: float,
) -> float:
    allowed = problem.is_feasible(pred_decision, y_true, context=context, tol=tol)
    return float(np.average(~allowed, weights=sample_weight))


def _normalized_regret_of(
    y_true: np.ndarray,
    pred_decision: np.ndarray,
    problem: DecisionProblem,
    sample_weight: np.ndarray,
    context: Any,
) -> float:
    excess, best = _row_regret(y_true, pred_decision, problem, context)
    scale = _weighted_sum(np.abs(best), sample_weight)
    if scale <= _NOTHING * _weighted_sum(np.abs(excess), sample_weight):
        raise ValueError(
            f"normalized_regret is undefined here: the best decisions of {type(problem).__name__} "
            "cost 0 on every row, and regret cannot be a share of that. Use d2_regret_score."
        )
    return _weighted_sum(excess, sample_weight) / scale


def _row_regret(
    y_true: np.ndarray, decisions: np.ndarray, problem: DecisionProblem, context: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the regret of each row and the cost of its best decision."""
    best = problem.optimal_cost(y_true, context=context)
    return problem.cost(decisions, y_true, context=context) - best, best


def d2_of_decisions(
    y_true: np.ndarray,
    decisions: np.ndarray,
    problem: DecisionProblem,
    weight: np.ndarray,
    context: Any,
) -> float:
    """Return the D2 regret score of decisions (n, k); see :func:`d2_regret_score`."""
    if len(y_true) < 2:
        warnings.warn(
            "d2_regret_score is not well-defined with fewer than two samples.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    best = problem.optimal_cost(y_true, context=context)
    paid = problem.cost(decisions, y_true, context=context)
    try:
        fixed = constant_costs(problem, y_true, weight, best, context)
    except NoCostError as error:
        raise ValueError(
            f"d2_regret_score is undefined here: it compares with a constant decision, and that of "
            f"{type(problem).__name__} for these rows has no cost, since it {error.what} in row "
            f"{error.row_number}. Compare decision_cost or regret."
        ) from error
    model, constant = (_weighted_sum(each - best, weight) for each in (paid, fixed))
    n = float(weight.sum())
    if is_rounding(constant / n, fixed, best, weight=weight):
        has_none = model <= 0 or is_rounding(model / n, paid, best, weight=weight)
        return 1.0 if has_none else 0.0
    if constant < 0:
        warnings.warn(
            f"d2_regret_score is undefined here: the best constant decision costs less than the "
            f"decisions that {type(problem).__name__}.solve gives for the observed parameters"
            f"{'' if problem.exact else ', which are not exact'}. Compare decision_cost.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    if model < 0 and not _is_solver_error(model / n, paid, best, weight):
        warnings.warn(
            f"d2_regret_score is above 1: the decisions made from y_pred cost less than those that "
            f"{type(problem).__name__}.solve gives for the observed parameters"
            f"{'' if problem.exact else ', which are not exact'}. Compare decision_cost.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return 1.0 - model / constant
    return 1.0 - max(model, 0.0) / constant


def _is_solver_error(regret: float, paid: np.ndarray, best: np.ndarray, weight: np.ndarray) -> bool:
    """Return whether a negative mean regret is within what solvers of exact problems miss."""
    size = float(np.average(np.abs(paid) + np.abs(best), weights=weight))
    return abs(regret) <= _SOLVER_ERROR * size


def _weighted_sum(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted sum of costs, or say that it is too large a number."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(weight @ values)
    if not np.isfinite(total):
        raise ValueError(
            f"The costs of the rows, up to {np.abs(values).max():.3g}, add up to more than a "
            "float holds. Divide the parameters by a number of their size."
        )
    return total
