"""Metrics of the decisions made from predictions.

Every metric takes observed parameters, predicted parameters and the problem in which the
predictions are used; the problem's exact ``solve`` turns predictions into decisions. Decisions
can be given instead of predictions.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.checks import number
from .._utils.rows import (
    as_float,
    as_numpy_rows,
    as_rows,
    check_finite,
    column_names,
    refuse_other_order,
)
from .._utils.scenario_models import values_and_weight
from ..problems.base import DecisionProblem
from ._decisions import (
    check_observed,
    check_problem,
    cost_of,
    d2_of_decisions,
    infeasible_share_of,
    normalized_regret_of,
    regret_of,
)


def decision_cost(
    y_true: ArrayLike,
    y_pred: ArrayLike | None = None,
    *,
    problem: DecisionProblem,
    decisions: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Compute the mean realised cost of the decisions made from predictions.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,), (n, d) or (n, S, d), or Scenarios, default=None
        Predicted parameters. Three dimensions are S scenarios for each row;
        :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    problem : DecisionProblem
        The problem in which the predictions are used.
    decisions : array-like of shape (n,) or (n, k), default=None
        The decisions themselves, instead of `y_pred`, such as those of a
        :class:`~dfl_sklearn.PolicyRegressor`.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.

    Returns
    -------
    float
        The mean cost in the problem's unit; smaller is better.

    See Also
    --------
    regret : The cost less that of the best decisions.
    make_decision_cost_scorer : The same as a scorer.

    Examples
    --------
    >>> from dfl_sklearn.metrics import decision_cost
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> decision_cost([12, 7], [10, 10], problem=NewsvendorProblem(9, 1))
    10.5
    """
    y_true, weight = _observed(y_true, problem, sample_weight, y_pred, decisions)
    decided = _decided(y_true, y_pred, decisions, problem, context, scenario_weight)
    return cost_of(y_true, decided, problem, weight, context)


def regret(
    y_true: ArrayLike,
    y_pred: ArrayLike | None = None,
    *,
    problem: DecisionProblem,
    decisions: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Compute the mean regret: the cost of decisions from predictions less the best cost.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,), (n, d) or (n, S, d), or Scenarios, default=None
        Predicted parameters. Three dimensions are S scenarios for each row;
        :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    problem : DecisionProblem
        The problem in which the predictions are used.
    decisions : array-like of shape (n,) or (n, k), default=None
        The decisions themselves, instead of `y_pred`, such as those of a
        :class:`~dfl_sklearn.PolicyRegressor`.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.

    Returns
    -------
    float
        The mean regret in the unit of the problem's cost; 0 is perfect. It can be negative where
        the problem's ``solve`` is not exact (``problem.exact`` is False).

    Warns
    -----
    UserWarning
        If a decision is allowed and costs less than the best one of an exact problem, whose
        ``solve_rows`` does not minimise then.

    See Also
    --------
    decision_cost : The cost itself.
    normalized_regret : Regret as a share of the cost of the best decisions.
    d2_regret_score : Regret compared with that of the best constant decision.
    make_regret_scorer : The same as a scorer.

    Examples
    --------
    >>> from dfl_sklearn.metrics import regret
    >>> from dfl_sklearn.problems import SquaredErrorProblem
    >>> regret([1.0, 2.0], [1.0, 4.0], problem=SquaredErrorProblem())
    2.0
    """
    y_true, weight = _observed(y_true, problem, sample_weight, y_pred, decisions)
    decided = _decided(y_true, y_pred, decisions, problem, context, scenario_weight)
    return regret_of(y_true, decided, problem, weight, context)


def normalized_regret(
    y_true: ArrayLike,
    y_pred: ArrayLike | None = None,
    *,
    problem: DecisionProblem,
    decisions: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Compute the total regret as a share of the total absolute cost of the best decisions.

    Both are summed over all rows before they are divided ("pooled"), so that rows whose best
    cost is near 0 do no harm.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,), (n, d) or (n, S, d), or Scenarios, default=None
        Predicted parameters. Three dimensions are S scenarios for each row;
        :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    problem : DecisionProblem
        The problem in which the predictions are used.
    decisions : array-like of shape (n,) or (n, k), default=None
        The decisions themselves, instead of `y_pred`, such as those of a
        :class:`~dfl_sklearn.PolicyRegressor`.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.

    Returns
    -------
    float
        The normalised regret, without a unit; 0 is perfect.

    Raises
    ------
    ValueError
        If the best decisions cost nothing, as in the newsvendor and squared-error problems.
        The ratio is then undefined; use :func:`d2_regret_score`.

    See Also
    --------
    regret : Regret in the unit of the cost.
    d2_regret_score : Regret compared with that of the best constant decision.

    Examples
    --------
    >>> from dfl_sklearn.metrics import normalized_regret
    >>> from dfl_sklearn.problems import ProvisioningProblem
    >>> round(normalized_regret([9e4, 3e4], [6e4, 4e4], problem=ProvisioningProblem()), 4)
    0.0424
    """
    y_true, weight = _observed(y_true, problem, sample_weight, y_pred, decisions)
    decided = _decided(y_true, y_pred, decisions, problem, context, scenario_weight)
    return normalized_regret_of(y_true, decided, problem, weight, context)


def d2_regret_score(
    y_true: ArrayLike,
    y_pred: ArrayLike | None = None,
    *,
    problem: DecisionProblem,
    decisions: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
) -> float:
    """Compute the share of the best constant decision's regret that the predictions avoid.

    The score is ``1 - regret(y_true, y_pred) / regret(best constant decision)``: 1 is perfect,
    0 is no better than ignoring the features, and it can be negative. The constant decision is
    the one with the least total cost on the scored rows (one ``solve`` with all of `y_true` as
    scenarios). With :class:`~dfl_sklearn.problems.SquaredErrorProblem` the score is R2, for
    several outputs the one called "variance_weighted".

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,), (n, d) or (n, S, d), or Scenarios, default=None
        Predicted parameters. Three dimensions are S scenarios for each row;
        :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    problem : DecisionProblem
        The problem in which the predictions are used.
    decisions : array-like of shape (n,) or (n, k), default=None
        The decisions themselves, instead of `y_pred`, such as those of a
        :class:`~dfl_sklearn.PolicyRegressor`.
    sample_weight : array-like of shape (n,), default=None
        Sample weights.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it. The null model then ignores the features
        but knows the context: instead of a constant decision it takes, for each row, the best
        decision over the scored y as scenarios, under that row's own context. More than 200
        distinct y are represented by 200 of them, at equal steps of the weight in the order of the
        first column. Where the cost is linear in y it is the decision for the mean of y.

    Returns
    -------
    float
        The score, at most 1 where the problem is solved exactly. It is NaN, with a warning, for
        fewer than two rows. Where the constant decision has no regret (beyond rounding errors), it
        is 1 if the predictions have none either, else 0, as in :func:`sklearn.metrics.r2_score`.

    Warns
    -----
    UndefinedMetricWarning
        If a regret is negative, which is only possible where the problem's ``solve`` is not exact.
        If it is that of the constant decision, NaN is returned; if it is that of the predictions,
        the score is above 1.

    See Also
    --------
    regret : Regret in the unit of the cost.
    normalized_regret : Regret as a share of the cost of the best decisions.

    Examples
    --------
    >>> from dfl_sklearn.metrics import d2_regret_score
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> d2_regret_score([2, 4, 6, 9], [2, 4, 7, 9], problem=NewsvendorProblem(9, 1))
    0.933...
    """
    y_true, weight = _observed(y_true, problem, sample_weight, y_pred, decisions)
    decided = _decided(y_true, y_pred, decisions, problem, context, scenario_weight)
    return d2_of_decisions(y_true, decided, problem, weight, context)


def infeasible_share(
    y_true: ArrayLike,
    y_pred: ArrayLike | None = None,
    *,
    problem: DecisionProblem,
    decisions: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    scenario_weight: ArrayLike | None = None,
    context: ArrayLike | None = None,
    tol: float = 1e-6,
) -> float:
    """Compute the share of rows whose decision from predictions turns out to be infeasible.

    It is 0 unless constraints depend on what is predicted.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n, d)
        Observed parameters.
    y_pred : array-like of shape (n,), (n, d) or (n, S, d), or Scenarios, default=None
        Predicted parameters. Three dimensions are S scenarios for each row;
        :class:`~dfl_sklearn.scenarios.Scenarios` have their own weights.
    problem : DecisionProblem
        The problem in which the predictions are used.
    decisions : array-like of shape (n,) or (n, k), default=None
        The decisions themselves, instead of `y_pred`.
    sample_weight : array-like of shape (n,), default=None
        Sample weights; the share is then a share of the total weight.
    scenario_weight : array-like of shape (S,) or (n, S), default=None
        Non-negative weights of the scenarios.
    context : array-like of shape (n,) or (n, c), default=None
        Known data of each row, for problems that take it.
    tol : float, default=1e-6
        By how much a constraint may be missed, as defined by the problem's ``is_feasible``.

    Returns
    -------
    float
        The share, between 0 and 1; smaller is better.

    See Also
    --------
    make_infeasible_share_scorer : The same as a scorer.
    decision_cost : The cost of decisions, penalties included.

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
    y_true, weight = _observed(y_true, problem, sample_weight, y_pred, decisions)
    decided = _decided(y_true, y_pred, decisions, problem, context, scenario_weight)
    return infeasible_share_of(y_true, decided, problem, weight, context, tol=tol)


def _observed(
    y_true: Any, problem: Any, sample_weight: Any, y_pred: Any, decisions: Any
) -> tuple[np.ndarray, np.ndarray]:
    check_problem(problem)
    for name, each in (("y_pred", y_pred), ("decisions", decisions)):
        refuse_other_order(each, name, column_names(y_true), "in y_true")
    return check_observed(y_true, problem, sample_weight)


def _decided(
    y_true: np.ndarray,
    y_pred: Any,
    decisions: Any,
    problem: DecisionProblem,
    context: Any,
    scenario_weight: Any,
) -> np.ndarray:
    """Return decisions (n, k): those given, or those made from predictions."""
    if (y_pred is None) == (decisions is None):
        raise ValueError(
            "Give either y_pred, the predicted parameters, or decisions=, got "
            f"{'neither' if y_pred is None else 'both'}."
        )
    if y_pred is None:
        if scenario_weight is not None:
            raise ValueError("scenario_weight is for scenarios as y_pred, not for decisions.")
        rows = as_numpy_rows(decisions, "decisions")
        if len(rows) != len(y_true):
            raise ValueError(f"y_true has {len(y_true)} rows and decisions {len(rows)}.")
        check_finite(rows, "decisions")
        return rows
    y_pred, scenario_weight = values_and_weight(y_pred, scenario_weight, "y_pred")
    predicted = as_float(y_pred, "y_pred")
    if predicted.ndim != 3:
        predicted = as_rows(predicted, "y_pred")
    if (*predicted.shape[:1], *predicted.shape[-1:]) != y_true.shape:
        hint = ""
        if predicted.ndim == 2 and y_true.shape[1] == 1 and len(predicted) == len(y_true):
            hint = " Scenarios have three dimensions: give y_pred[:, :, None] if these are some."
        raise ValueError(f"y_true has shape {y_true.shape} and y_pred {predicted.shape}.{hint}")
    check_finite(predicted, "y_pred")
    found = problem.solve(predicted, context=context, scenario_weight=scenario_weight)
    return as_numpy_rows(found, "decisions")
