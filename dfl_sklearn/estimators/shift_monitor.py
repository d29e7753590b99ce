"""When to refit: realised costs and features of a model in service against a reference."""

from copy import deepcopy
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from .._decide import decided
from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import CONTEXT, Selection
from .._utils.params import NestedParamsMixin
from .._utils.rows import as_float, as_numpy_rows, check_finite, raise_at
from .._utils.sklearn_private import HasMethods, Interval, StrOptions, _fit_context, _num_samples
from .._utils.tables import refuse_lazy, refuse_unfit_table
from .._utils.target_columns import check_target_columns
from ..online.cusum import LEAST_ALPHA, Cusum
from ..problems._no_cost import NoCostError
from ..problems._outputs import NonFiniteCostError
from ..problems.base import DecisionProblem
from ..robust._default_classifier import saying_what_it_takes
from ..robust._joined_tables import joined
from ..robust._shift_discriminant import ShiftDiscriminant
from ..robust._two_sample_test import two_sample_test


class ShiftMonitor(NestedParamsMixin, BaseEstimator):
    r"""Monitor a model in service, and raise an alarm when it should be refitted.

    `fit` takes reference rows: rows from a period without problems that the model was *not* fitted
    on. `update` takes new rows as they come. Two alarms watch them. The first is a cumulative sum
    of the realised costs (:class:`~dfl_sklearn.online.Cusum`), which rises when decisions cost more
    than on the reference. The second is a classifier that is trained to separate new features from
    those of the reference. It detects a shift of X, even before any y is known. Without a shift,
    the probability of an alarm within the first `horizon` rows is about `alpha`.

    Parameters
    ----------
    estimator : estimator, default=None
        A fitted model, of this package or any regressor. The monitor uses its decisions and never
        fits it. ``FrozenEstimator(model)`` keeps it fitted where the monitor is cloned. Without an
        estimator, give costs as ``costs=``.
    problem : DecisionProblem, default=None
        The problem in which decisions are taken; None is the problem of the estimator.
    alpha : float, default=0.05
        Probability of a false alarm within `horizon` rows. Where costs and features are watched,
        each of the two alarms gets half of it. That of the cost alarm must be at least 0.0001.
    horizon : int, default=1000
        Number of rows for which `alpha` holds; at least two windows where features are watched.
    metric : {"cost", "regret"}, default="cost"
        What is summed. Regret is the cost less that of the best decision. It does not rise where
        the best decision has become equally more expensive, and needs a shorter reference where the
        cost follows slow changes of y. Costs given as ``costs=`` are used as they are.
    shift_size : float, default=1.0
        The increase of the mean cost that is to be detected soonest, in standard deviations of the
        cost of a row. Smaller increases take longer, and those of less than half this size may not
        be detected at all.
    window : int or None, default=50
        Number of rows in a window. Whenever a window of new rows is complete, a classifier that was
        trained on the previous window is tested on it. The reference must have at least two
        windows. None watches costs alone.
    classifier : classifier, default=None
        A classifier with `predict_proba` or `decision_function`. None is a ridge regression of the
        labels on standardised features, which must be finite numbers. The leave-one-out error
        determines its penalty, and whether it also uses the squares of the features or, with up to
        20 features, their squares and products.
    cv : int, default=5
        Number of blocks of consecutive reference rows. The rows of a block are scored by a
        classifier that was trained on the other blocks.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context, for estimators that have none of their own, as in
        :func:`dfl_sklearn.decide`.
    random_state : int, RandomState or None, default=0
        Seed of the simulated costs from which the threshold is computed.

    Attributes
    ----------
    alarm_ : bool
        Whether one of the alarms has been raised since `fit`.
    cost_alarm_at_ : int or None
        Number of the cost, counted from 0, that first raised the alarm; None without an alarm.
    costs_risen_since_ : int or None
        After an alarm, an estimate of when costs rose: the number, counted from 0, of the first
        cost after the sum was last 0 before the alarm. Without an alarm, the same for the sum so
        far, which says nothing about a rise. None where costs are not watched.
    cost_statistic_ : ndarray of shape (n_costs,)
        The cumulative sum after each cost since `fit`, in standard deviations of the reference
        costs.
    cost_threshold_ : float or None
        The value of the sum above which the alarm is raised; None where costs are not watched.
    reference_costs_ : ndarray of shape (n,) or None
        Costs, or regrets, of the reference rows; None where costs are not watched.
    feature_alarm_at_ : int or None
        Number of the row, counted from 0, that completed the first window found different; None
        without an alarm.
    feature_p_values_, feature_aucs_ : ndarray of shape (n_tests,)
        P-value and area under the ROC curve of the test of each window, from the second window on.
        The expected AUC is 0.5 without a shift.
    feature_level_ : float or None
        Significance level of each test: a smaller p-value raises the alarm. None where features are
        not watched.
    n_rows_seen_ : int
        Number of rows whose features have been watched since `fit`; 0 where features are not
        watched.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    ExpertMixture : Weight several models by the costs of their decisions.
    dfl_sklearn.robust.CovariateShiftWeight : Sample weights for a refit after a shift of features.

    Notes
    -----
    Within the `horizon` there are ``horizon // window - 1`` tests of features. The level of each
    is the `alpha` of the feature alarm divided by their number (Bonferroni). Later rows are watched
    in the same way, so that a monitor that runs on without a shift eventually raises a false alarm.
    An alarm stays until the next `fit`, while the sum is continued.

    Rows may be autocorrelated, as in a time series. The threshold allows for this with an
    autoregressive model of the costs, and the p-values with one of the ranks of the classifier's
    scores. The reference must cover everything that is usual: if it has no Sunday, a Sunday is
    taken for a shift. A feature that grows with time, such as a date, always differs.

    A new decision without a finite cost, such as one that violates a constraint without a penalty,
    counts as an infinite cost and raises the alarm at once.

    How a stream is divided into calls of `update` makes no difference, except for rounding errors
    in predictions for more or fewer rows at once.

    References
    ----------
    Lopez-Paz, Oquab, "Revisiting classifier two-sample tests", ICLR 2017, on the test of features.
    Those on the sum of costs are named by :class:`~dfl_sklearn.online.Cusum`.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import ShiftMonitor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(800, random_state=0)
    >>> model = LinearRegression().fit(X[:300], y[:300])
    >>> monitor = ShiftMonitor(model, NewsvendorProblem(9, 1)).fit(X[300:600], y[300:600])
    >>> monitor.update(X[600:], y[600:]).alarm_
    False
    >>> X_new, y_new = make_newsvendor(100, random_state=1)
    >>> monitor.update(X_new, 2 * y_new).alarm_
    True
    >>> 200 <= monitor.cost_alarm_at_ < 215
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods("predict"), HasMethods("decide"), None],
        "problem": [DecisionProblem, None],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "horizon": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"cost", "regret"})],
        "shift_size": [Interval(Real, 0, None, closed="neither")],
        "window": [Interval(Integral, 2, None, closed="left"), None],
        "classifier": [HasMethods("predict_proba"), HasMethods("decision_function"), None],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "context": CONTEXT,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        problem: DecisionProblem | None = None,
        *,
        alpha: float = 0.05,
        horizon: int = 1000,
        metric: str = "cost",
        shift_size: float = 1.0,
        window: int | None = 50,
        classifier: BaseEstimator | None = None,
        cv: int = 5,
        context: Selection = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.estimator = estimator
        self.problem = problem
        self.alpha = alpha
        self.horizon = horizon
        self.metric = metric
        self.shift_size = shift_size
        self.window = window
        self.classifier = classifier
        self.cv = cv
        self.context = context
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(
        self, X: Any = None, y: Any = None, *, costs: ArrayLike | None = None
    ) -> "ShiftMonitor":
        """Set the reference, and forget the rows seen before.

        Parameters
        ----------
        X : array-like of shape (n, p), default=None
            Reference rows in order of time. The estimator must not have been fitted on them: on its
            training rows decisions usually cost less than on others. None watches costs alone.
        y : array-like of shape (n,) or (n, d), default=None
            Observed parameters of these rows. Without `y` and `costs`, features alone are watched.
        costs : array-like of shape (n,), default=None
            Costs of the decisions, instead of y, in any unit.

        Returns
        -------
        self : ShiftMonitor
            The fitted monitor.

        Raises
        ------
        ValueError
            If the reference has too few rows; the message says how many are needed. If a decision
            on it has no finite cost. If `alpha` is too small. If `horizon` is shorter than two
            windows. If neither costs nor features are given.
        NotFittedError
            If the estimator is not fitted.
        """
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        X = self._table(X, reset=True)
        found = self._costs(X, y, costs)
        if found is None and (X is None or self.window is None):
            raise ValueError("There is nothing to watch: give X, or y, or costs=.")
        n_alarms = (found is not None) + (X is not None and self.window is not None)
        self._cusum, self._reference, self._window = None, None, self.window
        self.reference_costs_, self.cost_threshold_, self.feature_level_ = None, None, None
        if X is not None and self.window is not None:
            self.feature_level_ = self._checked_level(_num_samples(X), self.alpha / n_alarms)
            self._reference = _safe_indexing(X, np.arange(_num_samples(X)))
        if found is not None:
            check_finite(found, "The reference costs")
            if self.alpha < n_alarms * LEAST_ALPHA:
                shared = ", of which the cost alarm gets half" if n_alarms == 2 else ""
                raise ValueError(
                    f"alpha={self.alpha} must be at least {n_alarms * LEAST_ALPHA:g}{shared}."
                )
            self._cusum = Cusum(
                found,
                alpha=self.alpha / n_alarms,
                horizon=self.horizon,
                shift_size=self.shift_size,
                random_state=self.random_state,
            )
            self.reference_costs_, self.cost_threshold_ = found, self._cusum.threshold
        self._costs_seen = self.cost_statistic_ = np.zeros(0)
        self.feature_p_values_ = self.feature_aucs_ = np.zeros(0)
        self.n_rows_seen_, self._before, self._waiting = 0, None, None
        return self

    @all_or_nothing
    def update(
        self, X: Any = None, y: Any = None, *, costs: ArrayLike | None = None
    ) -> "ShiftMonitor":
        """Watch new rows, in order of time.

        Parameters
        ----------
        X : array-like of shape (n, p), default=None
            The new rows, each only once. If costs become known later, give them alone then, as
            ``update(costs=...)``.
        y : array-like of shape (n,) or (n, d), default=None
            Observed parameters of these rows.
        costs : array-like of shape (n,), default=None
            Costs of the decisions, instead of y, in the unit of the reference; infinity raises the
            alarm.

        Returns
        -------
        self : ShiftMonitor
            The updated monitor.

        Raises
        ------
        ValueError
            If X has other columns than the reference. If y or costs are given, but the reference
            had no costs. If a cost is NaN.
        """
        check_is_fitted(self)
        if X is None and y is None and costs is None:
            raise ValueError("There is nothing to watch: give X, or y, or costs=.")
        X = self._table(X, reset=False)
        found = self._costs(X, y, costs, is_new=True)
        if found is not None:
            if self._cusum is None:
                raise ValueError("The reference had no costs: give fit its y, or costs=.")
            cusum = deepcopy(self._cusum)
            path = np.array([cusum.update(each) for each in found.tolist()])
            self._costs_seen = np.concatenate([self._costs_seen, found])
            self.cost_statistic_ = np.concatenate([self.cost_statistic_, path])
            self._cusum = cusum
        elif X is not None and self._reference is None:
            raise ValueError("Features are not watched, so that new rows need y or costs=.")
        if X is not None and self._reference is not None:
            self.n_rows_seen_ += _num_samples(X)
            self._test_full_windows(X)
        return self

    def report(self) -> str:
        """Return in words what was observed, and whether the model should be refitted.

        Returns
        -------
        str
            One or more sentences.
        """
        check_is_fitted(self)
        said = ["Refit the model." if self.alarm_ else "No alarm."]
        if self._cusum is not None:
            said.append(self._report_of_costs())
        if self._reference is not None:
            said.append(self._report_of_features())
        return " ".join(said)

    def _report_of_costs(self) -> str:
        if not len(self.cost_statistic_):
            return "Costs: none yet."
        at, since = self.cost_alarm_at_, self.costs_risen_since_
        if at is None or since is None or self._cusum is None:
            return f"Costs: no rise in {len(self.cost_statistic_)} rows."
        if np.isinf(self._costs_seen[at]):
            return f"Costs: the decision of row {at} has no finite cost."
        return (
            f"Costs: an alarm in row {at}; from row {since} to then they were "
            f"{self._costs_seen[since : at + 1].mean():.4g} on average, and "
            f"{self._cusum.mean:.4g} on the reference."
        )

    def _report_of_features(self) -> str:
        n_tests, level, size = len(self.feature_p_values_), self.feature_level_, self._window
        if n_tests == 0 and size is not None:
            return (
                f"Features: not tested yet; the first test takes {2 * size} new rows, and "
                f"{self.n_rows_seen_} have come."
            )
        if self.feature_alarm_at_ is None or level is None:
            tests = "1 test" if n_tests == 1 else f"{n_tests} tests"
            return f"Features: no shift in {tests} at the level {level:.2g}."
        first = int(np.flatnonzero(self.feature_p_values_ < level)[0])
        return (
            f"Features: a shift in the {size} rows up to row {self.feature_alarm_at_}, AUC "
            f"{self.feature_aucs_[first]:.2f} (p = {self.feature_p_values_[first]:.2g})."
        )

    # -- attributes ----------------------------------------------------------------------

    @property
    def alarm_(self) -> bool:
        """Whether one of the alarms has been raised since `fit`."""
        check_is_fitted(self)
        return self.cost_alarm_at_ is not None or self.feature_alarm_at_ is not None

    @property
    def cost_alarm_at_(self) -> int | None:
        """Number of the cost, counted from 0, that first raised the alarm."""
        check_is_fitted(self)
        return None if self._cusum is None else self._cusum.alarm_at

    @property
    def costs_risen_since_(self) -> int | None:
        """Number of the first cost after the sum was last 0, before the alarm if there is one."""
        check_is_fitted(self)
        return None if self._cusum is None else self._cusum.risen_since

    @property
    def feature_alarm_at_(self) -> int | None:
        """Number of the row, counted from 0, that completed the first window found different."""
        if self.feature_level_ is None or self._window is None:
            return None
        found = np.flatnonzero(self.feature_p_values_ < self.feature_level_)
        return (int(found[0]) + 2) * self._window - 1 if len(found) else None

    # -- parts ---------------------------------------------------------------------------

    def _table(self, X: Any, *, reset: bool) -> Any:
        """Return X after the checks that apply whatever the classifier takes."""
        if X is None:
            return None
        if not reset and not hasattr(self, "n_features_in_"):
            reset = True  # columns that the estimator alone reads
        if issparse(X):
            raise ValueError("ShiftMonitor takes no sparse tables: use .toarray().")
        refuse_lazy(X, "X")
        if not hasattr(X, "columns"):
            X = np.asarray(X)
        if self.classifier is None and self.window is not None:
            with saying_what_it_takes(None):
                refuse_unfit_table(X, "X")
                check_array(X)
        elif np.ndim(X) != 2:
            raise ValueError(f"X must be a table of rows and columns, got shape {np.shape(X)}.")
        validate_data(self, X, reset=reset, skip_check_array=True)
        return X

    def _checked_level(self, n: int, alpha: float) -> float:
        assert self.window is not None
        n_tests = self.horizon // self.window - 1
        if n_tests < 1:
            raise ValueError(
                f"horizon={self.horizon} must hold two windows of {self.window} rows: a classifier "
                "learns from one and is asked about the next."
            )
        needed = max(2 * self.window, self.cv)
        if n < needed:
            raise ValueError(
                f"The reference must have at least {needed} rows, two windows of {self.window} and "
                f"one for each of cv={self.cv} blocks, got n_samples={n}."
            )
        return alpha / n_tests

    def _costs(self, X: Any, y: Any, costs: Any, *, is_new: bool = False) -> np.ndarray | None:
        """Return costs (n,): those given, or those of the estimator's decisions; None without y."""
        if costs is not None:
            if y is not None:
                raise ValueError("Give y or costs=, not both.")
            found = as_float(costs, "costs").astype(np.float64)
            if found.ndim != 1:
                raise ValueError(f"costs must have shape (n,), got {found.shape}.")
            if X is not None and len(found) != _num_samples(X):
                raise ValueError(f"X has {_num_samples(X)} rows, and costs has {len(found)}.")
            bad = np.isnan(found) | (found == -np.inf)
            if bad.any():
                advice = "Leave rows out whose costs are not known yet."
                raise_at(bad, found, "costs", "is no cost", advice)
            return found
        if y is None:
            return None
        if X is None or self.estimator is None:
            missing = "X" if X is None else "an estimator, as ShiftMonitor(estimator)"
            raise ValueError(f"Computing costs from y needs {missing}. Or give them as costs=.")
        try:
            taken = decided(self.estimator, X, self.problem, self.context)
        except NotFittedError as error:
            raise NotFittedError(
                f"ShiftMonitor fits no model, and {type(self.estimator).__name__} is not fitted. "
                "Fit it on earlier rows first; FrozenEstimator(model) keeps it fitted where the "
                "monitor is cloned."
            ) from error
        problem, context = taken.problem, taken.context
        check_target_columns(self.estimator, y)
        decisions, y = as_numpy_rows(taken.decisions, "decisions"), as_numpy_rows(y, "y")
        check_finite(y, "y")
        problem.check_parameters(y)
        if len(y) != len(decisions):
            raise ValueError(f"X has {len(decisions)} rows, and y has {len(y)}.")
        paid = _paid(problem, decisions, y, context, may_be_infinite=is_new)
        return paid - problem.optimal_cost(y, context=context) if self.metric == "regret" else paid

    def _test_full_windows(self, X: Any) -> None:
        """Test each window that the rows of X complete, and keep the remaining rows for later."""
        size = self._window
        assert size is not None
        waiting = X if self._waiting is None else joined(self._waiting, X, "X")
        p_values, aucs = list(self.feature_p_values_), list(self.feature_aucs_)
        n_full = _num_samples(waiting) // size
        for k in range(n_full):
            now = _safe_indexing(waiting, np.arange(k * size, (k + 1) * size))
            if self._before is not None:
                with saying_what_it_takes(self.classifier):
                    auc, p_value = two_sample_test(
                        self._reference, self._before, now, self._unfitted, self.cv
                    )
                aucs.append(auc)
                p_values.append(p_value)
            self._before = now
        self._waiting = _safe_indexing(waiting, np.arange(n_full * size, _num_samples(waiting)))
        self.feature_p_values_, self.feature_aucs_ = np.array(p_values), np.array(aucs)

    def _unfitted(self) -> Any:
        return ShiftDiscriminant() if self.classifier is None else clone(self.classifier)


def _paid(
    problem: DecisionProblem,
    decisions: np.ndarray,
    y: np.ndarray,
    context: Any,
    *,
    may_be_infinite: bool,
) -> np.ndarray:
    """Return costs (n,): infinity for a decision without a cost, or an error unless allowed."""
    try:
        return problem.cost(decisions, y, context=context)
    except NonFiniteCostError as error:
        if not may_be_infinite or not (np.isfinite(error.costs) | (error.costs == np.inf)).all():
            raise
        return error.costs
    except NoCostError:
        if not may_be_infinite:
            raise
    found = np.empty(len(y))
    for i in range(len(y)):
        known = None if context is None else _safe_indexing(context, [i])
        try:
            found[i] = problem.cost(decisions[i : i + 1], y[i : i + 1], context=known)[0]
        except NoCostError:
            found[i] = np.inf
    return found
