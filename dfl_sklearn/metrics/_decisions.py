"""Costs and regrets of decisions, given checked rows of parameters and weights."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from .._utils.checks import instance_hint
from .._utils.rounding import is_rounding
from .._utils.rows import as_numpy_rows, check_finite, check_total
from .._utils.sklearn_private import _check_sample_weight
from ..problems._below_best import below_best
from ..problems._no_cost import NoCostError
from ..problems.base import DecisionProblem
from ..problems.constant import constant_costs

_NOTHING = 1e-12  # best costs this small, relative to regrets, are rounding errors
_SOLVER_ERROR = 1e-9  # share of the cost by which an exact problem's solver may miss the minimum


def check_problem(problem: Any) -> None:
    if not isinstance(problem, DecisionProblem):
        raise TypeError(
            f"problem must be a DecisionProblem instance, got {problem!r}.{instance_hint(problem)}"
        )


def check_observed(
    y_true: Any, problem: DecisionProblem, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return checked observed parameters (n, d) and weights (n,)."""
    y_true = as_numpy_rows(y_true, "y_true")
    if len(y_true) == 0:
        raise ValueError("y_true has no rows.")
    check_finite(y_true, "y_true")
    problem.check_parameters(y_true)
    weight = _check_sample_weight(sample_weight, y_true, dtype=np.float64, ensure_non_negative=True)
    check_total(weight, "sample_weight")
    return y_true, weight


# Each takes checked y (n, d) and weights (n,). Arguments that scorers pass have scikit-learn's
# names.


def cost_of(
    y_true: np.ndarray,
    pred_decision: np.ndarray,
    problem: DecisionProblem,
    sample_weight: np.ndarray,
    context: Any,
) -> float:
    paid = problem.cost(pred_decision, y_true, context=context)
    _weighted_sum(paid, sample_weight)
    return float(np.average(paid, weights=sample_weight))


def regret_of(
    y_true: np.ndarray,
    pred_decision: np.ndarray,
    problem: DecisionProblem,
    sample_weight: np.ndarray,
    context: Any,
) -> float:
    excess, _ = _row_regret(y_true, pred_decision, problem, context)
    _weighted_sum(excess, sample_weight)
    return float(np.average(excess, weights=sample_weight))


def infeasible_share_of(
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


def normalized_regret_of(
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
            "cost 0 on every row, and the regret cannot be a share of 0. Use d2_regret_score."
        )
    return _weighted_sum(excess, sample_weight) / scale


def _row_regret(
    y_true: np.ndarray, decisions: np.ndarray, problem: DecisionProblem, context: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the regret of each row and the cost of its best decision."""
    best = problem.optimal_cost(y_true, context=context)
    paid = problem.cost(decisions, y_true, context=context)
    fault = below_best(problem, paid, best, decisions, y_true, context)
    if fault is not None:
        warnings.warn(fault, UserWarning, stacklevel=4)
    return paid - best, best


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
            f"{error.row_number}. Use decision_cost or regret."
        ) from error
    model, constant = (_weighted_sum(each - best, weight) for each in (paid, fixed))
    n = float(weight.sum())
    fault = below_best(problem, paid, best, decisions, y_true, context)
    said = "" if fault is None else f" {fault}"
    if is_rounding(constant / n, fixed, best, weight=weight):
        has_none = model <= 0 or is_rounding(model / n, paid, best, weight=weight)
        if context is not None and (y_true != y_true[0]).any():
            warnings.warn(
                "d2_regret_score says nothing here: the context alone, such as a limit that binds "
                "in every row, leaves one best decision in each, whichever of these y comes true. "
                "If that surprises you, a step of a Pipeline may have rescaled the context: wrap "
                "it in keep_context, from dfl_sklearn.compose.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
        return 1.0 if has_none else 0.0
    if constant < 0:
        warnings.warn(
            f"d2_regret_score is undefined here: the best constant decision costs less than the "
            f"decisions that {type(problem).__name__}.solve gives for the observed parameters"
            f"{'' if problem.exact else ', which are not exact'}. Use decision_cost.{said}",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    if model < 0 and not _is_solver_error(model / n, paid, best, weight):
        warnings.warn(
            f"d2_regret_score is above 1: the decisions made from y_pred cost less than those that "
            f"{type(problem).__name__}.solve gives for the observed parameters"
            f"{'' if problem.exact else ', which are not exact'}. Use decision_cost.{said}",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return 1.0 - model / constant
    if fault is not None:
        warnings.warn(fault, UserWarning, stacklevel=2)
    return 1.0 - max(model, 0.0) / constant


def _is_solver_error(regret: float, paid: np.ndarray, best: np.ndarray, weight: np.ndarray) -> bool:
    """Return whether a negative mean regret is within the errors of an exact problem's solver."""
    size = float(np.average(np.abs(paid) + np.abs(best), weights=weight))
    return abs(regret) <= _SOLVER_ERROR * size


def _weighted_sum(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted sum of costs; raise an error where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(weight @ values)
    if not np.isfinite(total):
        raise ValueError(
            f"The costs of the rows, up to {np.abs(values).max():.3g}, add up to more than a "
            "float holds. Divide the parameters by a number of about their size."
        )
    return total
