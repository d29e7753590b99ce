"""Decisions with a certificate: a cost that is not exceeded with a given probability."""

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from .._conformal.groups import group_labels, largest_weights, quantile_of_rows
from .._conformal.plans import Plans
from .._conformal.report import CertificateReport
from .._conformal.shift_weights import shift_weights
from .._decide import decided
from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import CONTEXT, Selection
from .._utils.convergence import collected_doubts
from .._utils.innermost import innermost
from .._utils.progress import reporting
from .._utils.sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from .._utils.tables import refuse_series
from .._utils.target_columns import check_target_columns
from ..metrics._decisions import check_observed
from ..problems.base import DecisionProblem
from ._calibrated_fits import Fits
from ._calibration import Calibration, GivenRows
from ._wrapped_decider import WrappedDeciderMixin


class ConformalDecisions(WrappedDeciderMixin, BaseEstimator):
    r"""Decide by any model, and promise what the decision will cost at most.

    The certificate is :math:`P(\mathrm{cost}(z(x), y) \le \mathrm{promise}(x)) \ge 1 - \alpha`,
    with :math:`1 - \alpha` the `confidence_level`. Decisions are those of the wrapped model. The
    promise is the planned cost, which the model's own prediction gives the decision, plus what was
    paid beyond it on calibration rows, which the model has not seen:

    .. math:: \mathrm{promise}(x) = \mathrm{planned}(x) + s(x)\, (q - \tau \log s(x))

    with the size s(x) of such errors, predicted by `scale`, the weight :math:`\tau` of `tail`, and
    q the conformal quantile of the scores :math:`e_i / s(x_i) + \tau \log s(x_i)` of the errors
    :math:`e_i = \mathrm{cost}(z(x_i), y_i) - \mathrm{planned}(x_i)`: the one of rank
    :math:`\lceil (n + 1) (1 - \alpha) \rceil` among n. Nothing else is assumed of the model, the
    problem or the distribution than that calibration rows and new ones are exchangeable.

    Parameters
    ----------
    estimator : regressor
        Any regressor, a scenario model, an estimator of this package that decides, or a Pipeline or
        search that ends with one. One that is fitted already is given as
        ``FrozenEstimator(regressor)``; fit this class on rows it has not seen.
    problem : DecisionProblem, default=None
        The problem in which the predictions are used; None is that of `estimator`, and the
        squared-error problem where it has none.
    confidence_level : float, default=0.9
        How often the promise is to hold, above 0 and below 1. It takes calibration rows: 9 for
        0.9, 19 for 0.95, 99 for 0.99.
    method : {"cost", "box", "ellipsoid"}, default="cost"
        "cost" is the method above. The other two decide for the worst y in a set around the
        prediction, and promise the cost of that worst case. The radius of the set is calibrated so
        that the *cost* keeps the promise, see the notes. They need a cost that is affine in y, such
        as a linear one or that of :class:`~dfl_sklearn.problems.StorageProblem`.
    scale : {"planned", "ridge"}, regressor or None, default="planned"
        The model of the size of errors at x, fitted to errors on training rows. "planned" is a line
        from the logarithm of the planned cost to that of the error, "ridge" a ridge regression on
        standardised features; any regressor can be given. With None the size is the same
        everywhere. It is so with "planned", too, where the planned cost is always 0, as that of a
        newsvendor. For a set, the error of each output is predicted, with "planned" from the
        prediction of that output.
    tail : float, default=0.5
        The weight :math:`\tau` above, 0 or more: how far errors exceed the promise on average, in
        units of s(x). For errors with exponential tails this value gives the lowest mean
        promise: promises for uncertain rows are lowered and kept less often, and the others are
        raised. With 0 the margin is proportional to s(x), and promises are kept about equally often
        everywhere. It has no effect without `scale`, nor for a set.
    cv : int, splitter, iterable or None, default=None
        Which of the rows in `fit` are calibration rows. With None it is the last quarter of them,
        in their order; the model is fitted on the others. (A frozen model is not fitted. The first
        rows are then used for `scale` or the shape of a set; without either, all rows calibrate.)
        With a splitter of one split it is the rows that are held out. With a number of folds, which
        are blocks of consecutive rows, or a splitter of several, each row is calibrated with a
        model fitted without its fold, and the model that decides is fitted on all rows. That uses
        every row twice, and gives no guarantee, see the notes.
    groups : str, int, list, slice, mask or callable, default=None
        Columns of X that tell the group of a row, or a callable that returns the group of each row
        of X. Every group has its own quantile, so that the promise is kept in each of them.
    shift_weight : fitted object with `weight`, callable or None, default=None
        How much likelier the features of a row are among new rows than among calibration rows, up
        to a factor. It is a fitted :class:`~dfl_sklearn.robust.CovariateShiftWeight`, or a function
        of X, with all columns, that returns one weight for each row. The promise then holds for the
        distribution of the new rows, see the notes. `clone` and searches discard what is fitted:
        give them ``FrozenEstimator(shift)``.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). An estimator that has a context of its
        own keeps it; if it is given here, it must be the same.
    context_is_feature : bool, default=True
        Whether the wrapped regressor sees these columns as well.
    verbose : bool, default=False
        Whether to print a line for each fit, and also after two seconds without a line.

    Attributes
    ----------
    estimator_ : regressor
        The fitted model.
    decider_ : estimator
        The model that decides: the fitted one with its problem.
    quantile_ : float, callable or dict
        The quantile q, or a dict of those of all groups. For a set it is the radius, in units of
        the size of errors. With `shift_weight` it is a function that maps the weights (n,) of rows
        to their quantiles (n,).
    max_shift_weight_ : float, dict or None
        The largest weight of a row for which something can be promised, or that of each group;
        None without `shift_weight`.
    n_calibration_ : int
        The number of calibration rows with a positive weight.
    guaranteed_level_ : float or None
        Lower bound of the probability that a promise holds: the `confidence_level`, or None after
        cross-fitting in several folds. It holds for any model if rows are exchangeable, or with
        `shift_weight` if weights are proportional to the true ratios of densities.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    TwoStageRegressor : The same decisions without a promise; `risk` for those of a risk measure.
    dfl_sklearn.inspection.CertificateDisplay : A picture of promised and realised costs.

    Notes
    -----
    The probability is over the calibration rows and the new row together. It is no statement about
    one x: :math:`\tau` and s(x) say where promises are kept more often than elsewhere, and `groups`
    is what holds in parts. Rows that drift, as in time, are not exchangeable: look at
    :meth:`certificate` on the latest ones.

    A box is :math:`|y_j - \hat y_j| \le r\, s_j(x)`, an ellipsoid :math:`\|L^{-1} ((y - \hat y)
    / s(x))\|_2 \le r` with L L' the second moment of such errors on training rows, shrunk towards
    its diagonal. A larger set promises more, and leads to other decisions, so that a promise which
    one radius keeps may be broken by a larger one. A row's score is the least radius from which on
    the promise holds at each larger one, among radii that training rows suggest.

    With `shift_weight` w the quantile depends on x. It is the least score s with

    .. math:: \sum_{s_i \le s} w(x_i) \ge (1 - \alpha) \big(\sum_i w(x_i) + w(x)\big)

    so that promises hold for rows whose x has another distribution, as long as that of y given x
    is the same. That is exact where w is proportional to the ratio of the two densities. With
    estimated weights it is approximate: promises may hold less often, by half the mean absolute
    error of weights of mean 1 at most, where these were fitted on other rows (Lei and Candes,
    2021). Where the row's own share of the weights exceeds :math:`\alpha` there is no such score,
    and nothing can be promised: an error names these rows. Ask only about the others, those with
    ``w(X) <= max_shift_weight_``. The guarantee counts a refused row as a promise that is kept.
    Among the other rows, if p is their share, at least :math:`1 - \alpha / p` of the promises
    hold.

    A weight in `fit` says how often a row counts. The guarantee is one for distinct rows: copies
    of a row are not exchangeable with a new one.

    With several folds the model that decides is not the one that was calibrated. Where fitting
    on a few rows more changes it little, promises hold about as often as asked for; there are
    models for which they never do. (The bound of :math:`1 - 2 \alpha` of CV+ is one for
    intervals of y in which all fold models have their say. No such bound is known for the cost of
    one decision.)

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005.
    Barber, Candes, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of
    Statistics, 2021.
    Tibshirani, Barber, Candes and Ramdas, "Conformal prediction under covariate shift", NeurIPS
    2019.
    Lei and Candes, "Conformal inference of counterfactuals and individual treatment effects",
    Journal of the Royal Statistical Society B, 2021.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import ConformalDecisions
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(800, random_state=0)
    >>> model = ConformalDecisions(LinearRegression(), NewsvendorProblem(9, 1))
    >>> model = model.fit(X[:400], y[:400])
    >>> found = model.certificate(X[400:], y[400:])
    >>> bool(found.coverage > 0.85)
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "problem": [DecisionProblem, None],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions({"cost", "box", "ellipsoid"})],
        "scale": [StrOptions({"planned", "ridge"}), HasMethods(["fit", "predict"]), None],
        "tail": [Interval(Real, 0, None, closed="left")],
        "cv": ["cv_object"],
        "groups": CONTEXT,
        "shift_weight": [HasMethods(["weight"]), callable, None],
        "context": CONTEXT,
        "context_is_feature": ["boolean"],
        "verbose": ["boolean"],
    }

    # Weights in `fit` are the wrapped regressor's; `score` uses its own.
    __metadata_request__fit = {"sample_weight": UNUSED}

    def __init__(
        self,
        estimator: BaseEstimator,
        problem: DecisionProblem | None = None,
        *,
        confidence_level: float = 0.9,
        method: str = "cost",
        scale: Any = "planned",
        tail: float = 0.5,
        cv: Any = None,
        groups: Any = None,
        shift_weight: Any = None,
        context: Selection = None,
        context_is_feature: bool = True,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.problem = problem
        self.confidence_level = confidence_level
        self.method = method
        self.scale = scale
        self.tail = tail
        self.cv = cv
        self.groups = groups
        self.shift_weight = shift_weight
        self.context = context
        self.context_is_feature = context_is_feature
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_cal: Any = None,
        y_cal: ArrayLike | None = None,
        sample_weight_cal: ArrayLike | None = None,
        **fit_params: Any,
    ) -> "ConformalDecisions":
        """Fit the model on a part of the rows, and calibrate its promises on the others.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Whatever the wrapped estimator takes.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Handed to the wrapped estimator, which must take it; of a calibration row, how often it
            counts.
        X_cal, y_cal : array-like, default=None
            Rows to calibrate on, later in time for example. The model is then fitted on all of X.
        sample_weight_cal : array-like of shape (n_cal,), default=None
            How often each of these counts.
        **fit_params : dict
            Handed to the `fit` of the wrapped estimator, by metadata routing where enabled.

        Returns
        -------
        self : ConformalDecisions
            The fitted estimator.

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem; if there are too few calibration rows for
            the level, in all or in a group; if `shift_weight` is not fitted, or returns what are no
            weights, or 0 for all calibration rows.

        Warns
        -----
        UserWarning
            If rows to calibrate on are training rows as well; if few of them have nearly all of the
            shift weight.
        """
        target: np.ndarray = self._validate_target(y)
        refuse_series(X, "X")
        X, _ = indexable(X, target)
        self._resolve_problem().check_parameters(target)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, target, dtype=np.float64, ensure_non_negative=True
            )
        with reporting(self.verbose, by_time=True), collected_doubts(of_others=True) as doubts:
            fits = Fits(self, X, target, weight, fit_params)
            given = GivenRows.checked(self, X, target, X_cal, y_cal, sample_weight_cal)
            found = Calibration(self, fits).run(given)
        doubts.warn(stacklevel=4)
        self._set_decider(found.decider)
        self._certificate = found.certificate
        self._shift_weight = self.shift_weight  # what set_params changes is for the next fit
        self.quantile_ = found.quantile
        depends = self.shift_weight is not None
        self.max_shift_weight_ = largest_weights(found.quantile) if depends else None
        self.n_calibration_ = found.n_rows
        self.guaranteed_level_ = found.level
        return self

    def decide(self, X: Any, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X, those of the wrapped model or for a set.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, in the place of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.

        Raises
        ------
        ValueError
            With a set, if nothing can be promised for a row; see :meth:`promised_cost`.
        """
        check_is_fitted(self)
        if self.method != "cost":
            plans = self._plans(self.decider_, X, context)
            decisions, is_vector = self._promises(X, plans)[0], plans.is_vector
            return decisions[:, 0] if is_vector else decisions
        if context is None:
            return decided(self.decider_, X, self.problem).decisions
        inner, reaches = innermost(self.decider_)
        return inner.decide(reaches(X), context=context)

    def promised_cost(self, X: Any, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the cost that the decisions do not exceed, with the given confidence.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, in the place of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,)
            In the unit of the cost.

        Raises
        ------
        ValueError
            If a row is of a group without calibration rows; if the shift weights of some rows are
            too large for a promise, which are named.
        """
        check_is_fitted(self)
        return self._promises(X, self._plans(self.decider_, X, context))[1]

    def certificate(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Bunch:
        """Compare promised costs with those that came true.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, with the columns seen in `fit`.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Weights of rows in the means.

        Returns
        -------
        Bunch
            ``realised`` and ``promised`` costs of shape (n,), ``coverage``, the share of rows in
            which the realised cost is at most the promised one, ``mean_cost`` and
            ``mean_promise``. With `groups`, ``group_coverage`` is a DataFrame with the ``coverage``
            of each ``group`` and its ``weight``, the number of its rows where no weights are given.
            It is printed without the arrays.
        """
        check_is_fitted(self)
        check_target_columns(self, y)
        y, weight = check_observed(y, self._resolve_problem(), sample_weight)
        plans = self._plans(self.decider_, X)
        decisions, promised = self._promises(X, plans)
        realised = replace(plans, decisions=decisions).realised(y)
        labels = group_labels(self.groups, X)
        return CertificateReport.of(realised, promised, weight, labels)

    def _plans(self, decider: Any, X: Any, context: Any = None) -> Plans:
        """Return what a model that decides plans; sets need a prediction to stand around."""
        needs_prediction = self.method != "cost"
        return Plans.of(decider, X, self.problem, context, needs_prediction=needs_prediction)

    def _promises(self, X: Any, plans: Plans) -> tuple[np.ndarray, np.ndarray]:
        """Return decisions (n, k) and promised costs (n,)."""
        model = self.__dict__.get("_shift_weight")
        shift = None if model is None else shift_weights(model, X)
        quantile = quantile_of_rows(self.quantile_, group_labels(self.groups, X), shift)
        return self._certificate.decisions_and_promises(X, plans, quantile)
