"""What decisions made from predictions cost: metrics, and scorers for model selection.

Every metric takes observed parameters, predicted parameters and the problem in which the
predictions are used; the problem's exact ``solve`` turns predictions into decisions.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer

from ._utils.checks import flag
from ._utils.rounding import is_rounding
from ._utils.rows import as_numpy_rows, as_rows, check_finite, check_total
from ._utils.sklearn_private import _check_sample_weight
from .problems.base import DecisionProblem

_NOTHING = 1e-12  # best costs beside regrets, that are rounding errors
_SOLVER_ERROR = 1e-9  # share of the cost by which a solver of an exact problem misses the minimum

__all__ = [
    "d2_regret_score",
    "decision_cost",
    "make_decision_cost_scorer",
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
    paid = problem.cost(decisions, y_true, context=context)
    _weighted_sum(paid, weight)
    return float(np.average(paid, weights=weight))


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
    excess, _ = _row_regret(y_true, y_pred, problem, context)
    _weighted_sum(excess, weight)
    return float(np.average(excess, weights=weight))


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
    excess, best = _row_regret(y_true, y_pred, problem, context)
    scale = _weighted_sum(np.abs(best), weight)
    if scale <= _NOTHING * _weighted_sum(np.abs(excess), weight):
        raise ValueError(
            f"normalized_regret is undefined here: the best decisions of {type(problem).__name__} "
            "cost 0 on every row, and regret cannot be a share of that. Use d2_regret_score."
        )
    return _weighted_sum(excess, weight) / scale


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
        Known data of each row, for problems that take it. The constant decision is then
        sought without it, as the best single decision for the mean context.

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
    if len(y_true) < 2:
        warnings.warn(
            "d2_regret_score is not well-defined with fewer than two samples.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    best = problem.optimal_cost(y_true, context=context)
    paid = problem.cost(problem.solve(y_pred, context=context), y_true, context=context)
    fixed = _constant_cost(y_true, weight, best, problem, context)
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


def make_regret_scorer(problem: DecisionProblem, *, normalized: bool = False) -> Any:
    """Make a scorer of the (normalised) regret for ``cross_validate`` and grid search.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.
    normalized : bool, default=False
        Whether to score :func:`normalized_regret` rather than :func:`regret`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, negated so that greater is better. ``sample_weight`` is
        used when requested: ``scorer.set_score_request(sample_weight=True)``.

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
    metric = normalized_regret if normalized else regret
    return make_scorer(metric, greater_is_better=False, problem=problem)


def make_decision_cost_scorer(problem: DecisionProblem) -> Any:
    """Make a scorer of the realised cost for ``cross_validate`` and grid search.

    Parameters
    ----------
    problem : DecisionProblem
        The problem in which the predictions are used.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the mean cost, so that greater is better.
        ``sample_weight`` is used when requested.
    """
    _check_problem(problem)
    return make_scorer(decision_cost, greater_is_better=False, problem=problem)


def _check_problem(problem: Any) -> None:
    if not isinstance(problem, DecisionProblem):
        raise TypeError(f"problem must be a DecisionProblem instance, got {problem!r}.")


def _check_rows(
    y_true: Any, y_pred: Any, problem: DecisionProblem, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _check_problem(problem)
    y_true, y_pred = as_numpy_rows(y_true, "y_true"), as_numpy_rows(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(f"y_true has shape {y_true.shape} and y_pred {y_pred.shape}.")
    if len(y_true) == 0:
        raise ValueError("y_true and y_pred have no rows.")
    check_finite(y_true, "y_true")
    check_finite(y_pred, "y_pred")
    problem.check_parameters(y_true)
    weight = _check_sample_weight(sample_weight, y_true, dtype=np.float64, ensure_non_negative=True)
    check_total(weight, "sample_weight")
    return y_true, y_pred, weight


def _row_regret(
    y_true: np.ndarray, y_pred: np.ndarray, problem: DecisionProblem, context: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the regret of each row and the cost of its best decision."""
    best = problem.optimal_cost(y_true, context=context)
    paid = problem.cost(problem.solve(y_pred, context=context), y_true, context=context)
    return paid - best, best


def _constant_cost(
    y_true: np.ndarray, weight: np.ndarray, best: np.ndarray, problem: DecisionProblem, context: Any
) -> np.ndarray:
    """Return the cost of each row under the one decision that is best for all of them."""
    if (y_true == y_true[0]).all() and context is None:
        # One decision is best for all; the weighted mean of equal numbers may miss them by a bit.
        return best
    if context is not None:
        mean = np.average(as_rows(context, "context"), axis=0, weights=weight)[None]
        decision = problem.solve(y_true[None], context=mean, scenario_weight=weight)
    else:
        decision = problem.solve(y_true[None], scenario_weight=weight)
    return problem.cost(decision, y_true, context=context)


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
