"""Comparison of estimators by the costs of their decisions."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._utils.checks import flag, job_count, number
from .._utils.context_columns import Selection
from .._utils.progress import reporting
from .._utils.rows import check_total
from .._utils.sklearn_private import _check_sample_weight, _num_samples
from .._utils.tables import refuse_other_order
from ..problems.base import DecisionProblem
from ._compared import (
    INCUMBENT,
    checked_estimators,
    common_problem,
    decisions_taken,
    observed_rows,
    shift_rows,
)
from ._comparison import DecisionComparison
from ._held_out import HeldOut
from ._paired import neighbour_correlation
from ._splits import block_numbers, equal_splits
from ._trials import HeldOutRows, Task, Trial, run_trials

_FEW_BLOCKS = 10
_SURPRISE = 3.5  # standard errors; independent blocks hardly ever have such a correlation
_ALIKE = 0.1  # correlations below it hardly change an interval


def compare_decisions(
    estimators: Mapping[str, Any] | Sequence[tuple[str, Any]],
    X: Any,
    y: ArrayLike,
    *,
    problem: DecisionProblem | None = None,
    context: Selection = None,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    incumbent: ArrayLike | None = None,
    shifts: Mapping[str, tuple[Any, ArrayLike]] | None = None,
    reference: str | None = None,
    blocks: int | ArrayLike | None = None,
    confidence_level: float = 0.95,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> DecisionComparison:
    """Compare estimators by the costs of their decisions on rows that they were not fitted on.

    Each estimator is cloned and fitted on the training rows of each split, and decides for the
    held-out rows, by :func:`dfl_sklearn.decide`. All estimators decide for the same rows, so
    differences of costs are taken row by row. Their confidence intervals are therefore narrower
    than those of the costs.

    Parameters
    ----------
    estimators : dict of str to estimator, or list of (str, estimator)
        Anything that :func:`dfl_sklearn.decide` takes: regressors, Pipelines, searches, policies,
        scenario models. One that predicts a single output is fitted once per column of a 2-d `y`.
        Models in :class:`sklearn.frozen.FrozenEstimator` are not fitted again. They must not have
        seen the rows, and can only be compared with each other.
    X : array-like of shape (n, p)
        Features, in the form that the estimators take; in order of time, where there is one.
    y : array-like of shape (n,) or (n, d)
        Observed parameters.
    problem : DecisionProblem, default=None
        The problem that defines costs, and for which estimators without a problem decide. None is
        the problem of the estimators, if it is the same for all.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators that have no context. Those of the others
        must be the same.
    cv : int, splitter or iterable of (train, test), default=5
        Every row must be held out equally often, or never. A row that is never held out has no
        cost, such as the first rows of :class:`sklearn.model_selection.TimeSeriesSplit`. With
        repeated splits the costs of a row are averaged. An int is a number of folds of consecutive
        rows.
    groups : array-like of shape (n,), default=None
        Groups for splitters that take them, such as :class:`sklearn.model_selection.GroupKFold`.
    sample_weight : array-like of shape (n,), default=None
        Weights of the rows, for the fits of the estimators, which must take them, and for all
        means. Where metadata routing is enabled, they go to the estimators that request them.
    incumbent : array-like of shape (n,) or (n, k), default=None
        Decisions that were really taken for the rows; they are a line of the table, "incumbent".
    shifts : dict of str to (X, y), default=None
        Further test sets. Models fitted on all rows of X decide for them, which takes one more fit
        of each estimator.
    reference : str, default=None
        Name of the estimator, or "incumbent", that the others are compared with; None is the first
        estimator.
    blocks : int or array-like of shape (n,), default=None
        Groups of rows that the intervals assume to be independent of each other. An int is the
        number of blocks of consecutive rows, of about equal length, for rows in order of time. An
        array has a label for each row, such as its day or its shop. None assumes that all rows are
        independent.
    confidence_level : float, default=0.95
        Probability that an interval contains the true difference, above 0 and below 1.
    n_jobs : int, default=None
        Number of fits that run at the same time; None is 1, -1 all cores.
    verbose : bool, default=False
        Whether to print a line for each fit, and also after two seconds without a line.

    Returns
    -------
    DecisionComparison
        The costs of all decisions; its repr is a table. Ctrl-C ends the fits and returns the
        results so far: of the splits that are finished for all estimators or, if there is none, of
        the estimators that have finished one.

    Raises
    ------
    ValueError
        If there is no problem or several; if rows are not held out equally often; if a decision
        has no cost (the message names row and estimator); if y, the weights, the incumbent, blocks
        or groups have the index of X in another order, as rows are matched by position. An
        error in a fit has a note that names the fit.
    KeyboardInterrupt
        If Ctrl-C is pressed before the first fit has ended.

    Warns
    -----
    ConvergenceWarning
        If fits did not converge; one warning lists them all.
    UserWarning
        If a decision costs less than the best one of an exact problem. If there are fewer than 10
        blocks. If the differences of neighbouring blocks are correlated,
        so that intervals are too narrow. If the comparison was interrupted.

    See Also
    --------
    dfl_sklearn.inspection.DecisionComparisonDisplay : Draw the result.
    DecisionComparison.differences : The formulas of intervals and of the number of rows needed.

    Notes
    -----
    An interval is for the models fitted here, on further rows like those held out, in independent
    blocks. It does not include how much models vary with their training rows, which folds share;
    cross-validation has no unbiased estimate of that [1]_. Repeat the splits to see it. Rows held
    out in one split are training rows of others, which makes intervals a little too narrow where
    rows are few.

    With many estimators, some interval excludes 0 by chance. With m of them, use a
    `confidence_level` of 1 - 0.05 / (m - 1), which holds for all comparisons with the reference at
    once. The mean cost of the cheapest of many estimators underestimates its future cost.

    References
    ----------
    .. [1] Y. Bengio and Y. Grandvalet, "No unbiased estimator of the variance of K-fold
       cross-validation", Journal of Machine Learning Research 5, 2004.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression, QuantileRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.model_selection import compare_decisions
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(300, random_state=0)
    >>> found = compare_decisions(
    ...     {"mean": LinearRegression(), "quantile": QuantileRegressor(quantile=0.9, alpha=0)},
    ...     *(X, y),
    ...     problem=NewsvendorProblem(9, 1),
    ... )
    >>> found.to_frame()[["mean_cost", "price", "low", "high", "more_rows"]].round(2)
               mean_cost  price   low  high  more_rows
    estimator
    mean            4.76   0.00   NaN   NaN        NaN
    quantile        2.57  -0.46 -2.78 -1.59        0.0
    """
    flag(verbose, "verbose")
    job_count(n_jobs)
    number(confidence_level, "confidence_level", above=0, below=1)
    named = checked_estimators(
        estimators, has_weights=sample_weight is not None, has_incumbent=incumbent is not None
    )
    problem = common_problem(named, problem)
    if context is not None and not problem.takes_context:
        raise ValueError(
            f"context={context!r} was given, but {type(problem).__name__} takes no context."
        )
    names = [*named, *([] if incumbent is None else [INCUMBENT])]
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise ValueError(f"reference={reference!r} is none of {names}.")

    y = y if hasattr(y, "ndim") else np.asarray(y)
    observed = observed_rows(y, problem, "y")
    n = len(observed)
    if _num_samples(X) != n:
        raise ValueError(f"X has {_num_samples(X)} rows and y has {n}.")
    by_row = {"sample_weight": sample_weight, "incumbent": incumbent, "blocks": blocks}
    refuse_other_order(X, y=y, groups=groups, **by_row)
    weight = _check_sample_weight(
        sample_weight, observed, dtype=np.float64, ensure_non_negative=True
    )
    splits = equal_splits(cv, X, y, groups, n)
    tested = np.zeros(n, dtype=bool)
    for _, test in splits:
        tested[test] = True
    check_total(weight[tested], "sample_weight of the rows held out")
    block = block_numbers(blocks, tested)

    rounds = [
        [HeldOutRows(f"split {k + 1}", f"split {k + 1} of {len(splits)}", X, observed, test)]
        for k, (_, test) in enumerate(splits)
    ]
    trained = [train for train, _ in splits]
    if shifts is not None:
        rounds.append(shift_rows(shifts, X, y, problem))
        trained.append(np.arange(n))
    held_out = HeldOut(
        problem,
        list(named),
        rounds,
        None if incumbent is None else decisions_taken(incumbent, n),
        len(splits),
        verbose,
    )
    trials = (
        Trial((k, i), name, estimator, trained[k], rounds[k])
        for k in range(len(rounds))
        for i, (name, estimator) in enumerate(named.items())
    )
    task = Task(X, y, None if sample_weight is None else weight, problem, context)
    with reporting(verbose, by_time=True):
        run_trials(task, trials, n_jobs, held_out.hear)

    found = _result(held_out, _index(X, y), weight, block, reference, float(confidence_level))
    for message in _doubts(found, held_out):
        warnings.warn(message, UserWarning, stacklevel=2)
    held_out.doubts.warn(stacklevel=2)
    return found


def _index(X: Any, y: Any) -> pd.Index:
    known = (getattr(each, "index", None) for each in (X, y))
    index = next((each for each in known if isinstance(each, pd.Index)), None)
    return pd.RangeIndex(len(y)) if index is None else index


def _result(
    held_out: HeldOut,
    index: pd.Index,
    weight: np.ndarray,
    block: np.ndarray,
    reference: str,
    level: float,
) -> DecisionComparison:
    """Return the result for the rows for which all of the remaining estimators have decided."""
    splits, kept = held_out.finished()
    n, names = len(index), [held_out.names[i] for i in kept]
    costs = {held_out.names[i]: held_out.costs(splits, i, n) for i in kept}
    seconds = {
        held_out.names[i]: float(np.mean([held_out.tried[k, i].seconds for k in splits]))
        for i in kept
    }
    if held_out.incumbent is not None:
        costs[INCUMBENT] = held_out.incumbent_costs(splits, n)
        seconds[INCUMBENT] = np.nan
    best = held_out.best_costs(splits, n)
    shift_costs = shift_regrets = None
    if len(held_out.rounds) > held_out.n_splits:
        last = held_out.n_splits
        columns = [each.name for each in held_out.rounds[last]]
        shift_costs = pd.DataFrame(np.nan, index=[*costs], columns=columns)
        shift_regrets = shift_costs.copy()
        for i in kept:
            if (last, i) in held_out.tried:
                paid = held_out.tried[last, i].costs
                best_paid = [each.best for each in held_out.rulers[last]]
                name = held_out.names[i]
                shift_costs.loc[name] = [each.mean() for each in paid]
                pairs = zip(paid, best_paid, strict=True)
                shift_regrets.loc[name] = [(one - two).mean() for one, two in pairs]
    return DecisionComparison(
        costs=pd.DataFrame(costs, index=index),
        best_cost=pd.Series(best, index=index, name="best_cost"),
        weight=weight,
        block=np.where(np.isnan(best), -1, block),
        reference=reference if reference in costs else names[0],
        confidence_level=level,
        fit_seconds=pd.Series(seconds, name="fit_seconds"),
        shift_costs=shift_costs,
        shift_regrets=shift_regrets,
        n_repeats=held_out.n_repeats(splits),
        interrupted=held_out.is_incomplete,
    )


def _doubts(found: DecisionComparison, held_out: HeldOut) -> Iterator[str]:
    """Yield the warnings about a comparison."""
    fault = held_out.below_best()
    if fault is not None:
        yield fault
    if found.interrupted:
        missing = [each for each in held_out.names if each not in found.costs]
        splits, _ = held_out.finished()
        known = f"{len(splits)} of {held_out.n_splits} splits"
        if missing:
            known += f", and no result for {', '.join(map(repr, missing))}"
        elif len(splits) == held_out.n_splits:
            known = "all splits, but not all decisions for the shifts"
        yield f"The comparison was interrupted. It contains {known}."
    counted = (found.block >= 0) & (found.weight > 0)
    what = "rows" if counted.sum() == found.n_blocks else "blocks"
    is_compared = len(found.costs.columns) > 1
    _, number = np.unique(found.block[counted], return_inverse=True)
    share = np.bincount(number, found.weight[counted] / found.weight[counted].max())
    effective = share.sum() ** 2 / (share**2).sum()
    if is_compared and found.n_blocks == 1:
        yield "All rows that count are in one block, and intervals need several: there are none."
    elif is_compared and min(found.n_blocks, 2 * effective) < _FEW_BLOCKS:
        worth = f", which are worth {effective:.1f} of equal weight," if effective < 2 else ""
        yield (
            f"Intervals over {found.n_blocks} {what}{worth} are rough: they assume that the means "
            f"of {what} are normal. Use {_FEW_BLOCKS} or more if possible."
        )
    weight, block = found.weight[counted], found.block[counted]
    paid = found.costs[counted]
    alike = {
        name: neighbour_correlation((paid[name] - paid[found.reference]).to_numpy(), weight, block)
        for name in paid
        if name != found.reference
    }
    most = max(alike, key=lambda name: alike[name], default=None)
    if most is not None and alike[most] > max(_ALIKE, _SURPRISE / np.sqrt(found.n_blocks)):
        yield (
            f"The differences in cost between {most!r} and {found.reference!r} are correlated in "
            f"neighbouring {what} ({alike[most]:.2f}), and intervals assume that {what} are "
            "independent. If rows are in order of time, intervals are too narrow: give fewer and "
            "longer blocks=, with a time-series split as cv=. If the order means nothing, shuffle."
        )
