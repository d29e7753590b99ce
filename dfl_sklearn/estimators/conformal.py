"""Decisions with a certificate: a cost that is not exceeded with a given probability."""

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch, _safe_indexing, indexable
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter
from sklearn.utils.validation import check_is_fitted

from .._conformal.calibration_rows import calibration_splits, warn_of_shared_rows
from .._conformal.certificates import CostCertificate, SetCertificate
from .._conformal.groups import group_labels, quantile_of_rows, quantiles_of
from .._conformal.outcomes import Outcomes
from .._conformal.plans import Plans
from .._decide import decided
from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import CONTEXT, Selection
from .._utils.cross_fit import Splits, fold_of
from .._utils.innermost import innermost, innermost_unfitted
from .._utils.sklearn_private import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    _num_samples,
)
from .._utils.wrapping import WrappingMixin
from ..metrics._decisions import check_observed
from ..problems.base import DecisionProblem
from ._calibrated_fits import Fits
from ._mixin import DecisionRegressorMixin
from .two_stage import TwoStageRegressor


class ConformalDecisions(WrappingMixin, DecisionRegressorMixin, BaseEstimator):
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
        "cost" is as above. The others decide for the worst y of a set around the prediction, and
        promise what that costs at most; calibrated is the radius of the set, so that the *cost*
        keeps its promise, see the notes. They take a cost that is affine in y, such as a linear one
        or that of :class:`~dfl_sklearn.problems.StorageProblem`.
    scale : {"planned", "ridge"}, regressor or None, default="planned"
        What predicts how large errors are at x, from errors on training rows: "planned" a line
        from the logarithm of the planned cost to that of the error, "ridge" ridge regression on
        standardised features, a regressor any other. With None they are as large everywhere, and
        so they are with "planned" where the plan always costs nothing, as that of a newsvendor. For
        a set it predicts the error of each output, "planned" from what is predicted of it.
    tail : float, default=0.5
        How far errors reach beyond the promise on average, in units of s(x), 0 or more. With
        exponential tails the mean promise is lowest at that :math:`\tau`: promises of uncertain
        rows are lowered, and kept less often, those of the others are raised. With 0 they are in
        proportion to s(x), and are kept about as often everywhere. It does nothing without
        `scale`, nor for a set.
    cv : int, splitter, iterable or None, default=None
        Which rows calibrate, of those in `fit`. None: the last quarter of the rows in their order,
        which the model is not fitted on. (A frozen model is not fitted at all: the first rows are
        for `scale` or the shape of a set then, and where there is neither all of them calibrate.) A
        splitter of one split: the rows it holds out. A number of folds, blocks of consecutive rows,
        or a splitter of several: each row is predicted by a model fitted without its fold, and the
        model that decides is fitted on all rows. That uses every row twice, and is no guarantee,
        see the notes.
    groups : str, int, list, slice, mask or callable, default=None
        Columns of X that say which group a row is of, or a callable that returns it of each row of
        X. Every group has a quantile of its own, so that the promise is kept in each of them.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). An estimator that has a context of its
        own keeps it; if it is given here, it must be the same.
    context_is_feature : bool, default=True
        Whether the wrapped regressor sees these columns as well.

    Attributes
    ----------
    estimator_ : regressor
        The fitted model.
    decider_ : estimator
        The same with its problem: what takes the decisions.
    quantile_ : float or dict
        q, or that of each group; of a set its radius, in units of the size of errors.
    n_calibration_ : int
        The number of calibration rows with a positive weight.
    guaranteed_level_ : float or None
        How often promises hold at least, whatever the model, where rows are exchangeable: the
        `confidence_level`; None after cross-fitting in several folds.
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
        "context": CONTEXT,
        "context_is_feature": ["boolean"],
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
        context: Selection = None,
        context_is_feature: bool = True,
    ) -> None:
        self.estimator = estimator
        self.problem = problem
        self.confidence_level = confidence_level
        self.method = method
        self.scale = scale
        self.tail = tail
        self.cv = cv
        self.groups = groups
        self.context = context
        self.context_is_feature = context_is_feature

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

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem; if there are too few calibration rows for
            the level, in all or in a group.

        Warns
        -----
        UserWarning
            If rows to calibrate on are training rows as well.
        """
        target: np.ndarray = self._validate_target(y)
        X, _ = indexable(X, target)
        self._resolve_problem().check_parameters(target)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, target, dtype=np.float64, ensure_non_negative=True
            )
        fitted = Fits(self, X, target, weight, fit_params)
        held_out = self._checked_calibration_rows(X, target, X_cal, y_cal, sample_weight_cal)
        self.__dict__.pop("feature_names_in_", None)
        if held_out is not None:
            self._calibrate_on(*held_out, fitted, np.arange(len(target)))
        elif (
            isinstance(self.estimator, FrozenEstimator)
            and self.cv is None
            and not self._unfitted_certificate().needs_training
        ):
            rows = np.arange(len(target))
            self._calibrate_on(X, target, fitted.weight_of(rows), fitted, rows[:0])
        else:
            splits = calibration_splits(self.cv, X, target)
            if len(splits) == 1:
                rest, held = splits[0]
                at = (_safe_indexing(X, held), target[held], fitted.weight_of(held))
                self._calibrate_on(*at, fitted, rest)
            else:
                self._calibrate_across(splits, fitted)
        self.estimator_ = self.decider_ if self._decides_itself() else self.decider_.estimator_
        if hasattr(self.decider_, "feature_names_in_"):
            self.feature_names_in_ = self.decider_.feature_names_in_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the parameters of the problem, by the wrapped estimator.

        Parameters
        ----------
        X : array-like of shape (n, p)

        Returns
        -------
        ndarray of shape (n,) or (n, d)
        """
        check_is_fitted(self)
        return self.decider_.predict(X)

    def decide(self, X: Any, *, context: ArrayLike | None = None) -> np.ndarray:
        """Return the decisions for the rows of X, those of the wrapped model.

        Parameters
        ----------
        X : array-like of shape (n, p)
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, in the place of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            One decision per row.
        """
        check_is_fitted(self)
        if self.method != "cost":
            plans = Plans.of(self.decider_, X, self.problem, context)
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
        context : array-like or DataFrame of shape (n,) or (n, c), default=None
            Known data of each row, in the place of the columns of X that are context.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        ValueError
            If a row is of a group without calibration rows.
        """
        check_is_fitted(self)
        return self._promises(X, Plans.of(self.decider_, X, self.problem, context))[1]

    def certificate(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Bunch:
        """Compare promised costs with those that came true.

        Parameters
        ----------
        X : array-like of shape (n, p)
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Weights of rows in the means.

        Returns
        -------
        Bunch
            ``realised`` and ``promised`` costs of shape (n,), ``coverage``, the share of rows in
            which the realised cost is at most the promised one, ``mean_cost`` and
            ``mean_promise``.
        """
        check_is_fitted(self)
        y, weight = check_observed(y, self._resolve_problem(), sample_weight)
        plans = Plans.of(self.decider_, X, self.problem)
        decisions, promised = self._promises(X, plans)
        realised = replace(plans, decisions=decisions).realised(y)
        return Bunch(
            realised=realised,
            promised=promised,
            coverage=float(np.average(realised <= promised, weights=weight)),
            mean_cost=float(np.average(realised, weights=weight)),
            mean_promise=float(np.average(promised, weights=weight)),
        )

    def _promises(self, X: Any, plans: Plans) -> tuple[np.ndarray, np.ndarray]:
        """Return decisions (n, k) and promised costs (n,)."""
        quantile = quantile_of_rows(self.quantile_, group_labels(self.groups, X))
        return self._certificate.decisions_and_promises(X, plans, quantile)

    def context_of(self, X: ArrayLike) -> Any:
        """Return the context of the rows of X, as the methods of the problem take it.

        Parameters
        ----------
        X : array-like of shape (n, p)

        Returns
        -------
        ndarray of shape (n, c), DataFrame or None
            None where neither this model nor the wrapped one has a context.
        """
        check_is_fitted(self)
        inner, reaches = innermost(self.decider_)
        return inner.context_of(reaches(X))

    # -- the steps of fit --------------------------------------------------------------

    def _checked_calibration_rows(
        self, X: Any, y: np.ndarray, X_cal: Any, y_cal: Any, sample_weight_cal: Any
    ) -> tuple[Any, np.ndarray, np.ndarray] | None:
        """Return rows to calibrate on that were given, with weights; None for none."""
        if (X_cal is None) != (y_cal is None):
            raise ValueError("Give both X_cal and y_cal, or neither.")
        if X_cal is None:
            if sample_weight_cal is not None:
                raise ValueError("sample_weight_cal was given without X_cal and y_cal.")
            return None
        if self.cv is not None:
            raise ValueError("cv says which rows of X calibrate, and X_cal was given: leave one.")
        y_cal = np.asarray(self._validate_target(y_cal))
        self._resolve_problem().check_parameters(y_cal)
        shape = (len(y_cal), *y.shape[1:])
        if y_cal.shape != shape or _num_samples(X_cal) != len(y_cal):
            raise ValueError(
                f"y_cal must have shape {(_num_samples(X_cal), *y.shape[1:])}, one row for each of "
                f"X_cal and as many columns as y, got {y_cal.shape}."
            )
        weight = _check_sample_weight(
            sample_weight_cal, y_cal, dtype=np.float64, ensure_non_negative=True
        )
        X_cal, _ = indexable(X_cal, y_cal)
        if not isinstance(self.estimator, FrozenEstimator):
            warn_of_shared_rows(X, y, X_cal, y_cal)
        return X_cal, y_cal, weight

    def _calibrate_on(
        self, X_cal: Any, y_cal: np.ndarray, weight: np.ndarray, fits: Fits, rows: np.ndarray
    ) -> None:
        """Fit on some rows, and calibrate on others that the model does not see."""
        self._check_enough(weight, fits)
        self.decider_ = fits.model(rows)
        self._certificate = self._unfitted_certificate()
        if self._certificate.needs_training:
            self._certificate.fit(fits.outcomes_of_training(rows))
        kept = np.flatnonzero(weight > 0)
        X_cal = _safe_indexing(X_cal, kept)
        plans = Plans.of(self.decider_, X_cal, self.problem)
        self._calibrate(Outcomes.of(plans, X_cal, y_cal[kept], weight[kept]))
        self.guaranteed_level_: float | None = self.confidence_level

    def _calibrate_across(self, splits: Splits, fits: Fits) -> None:
        """Fit on all rows, and calibrate each by a model that was fitted without its fold."""
        fold = fold_of(splits, len(fits.y))
        self._check_enough(fits.weight_of(np.flatnonzero(fold >= 0)), fits)
        rows = fits.outcomes_across(splits)
        self.decider_ = fits.model(np.arange(len(fold)))
        self._certificate = self._unfitted_certificate()
        if self._certificate.needs_training:
            self._certificate.fit(rows)
        self._calibrate(rows, are_training=True)
        self.guaranteed_level_ = None

    def _calibrate(self, rows: Outcomes, *, are_training: bool = False) -> None:
        labels = group_labels(self.groups, rows.X)
        self.quantile_ = self._certificate.calibrate(
            rows, labels, self.confidence_level, are_training=are_training
        )
        self._certificate.forget()
        self.n_calibration_ = len(rows.planned)

    def _unfitted_certificate(self) -> CostCertificate | SetCertificate:
        if self.method == "cost":
            return CostCertificate(self.scale, self.tail)
        return SetCertificate(self.method, self.scale)

    def _check_enough(self, weight: np.ndarray, fits: Fits) -> None:
        """Raise an error before models are fitted where no promise can be made."""
        weight = weight[weight > 0]
        try:
            quantiles_of(np.zeros(len(weight)), weight, None, self.confidence_level)
        except ValueError as error:
            raise ValueError(f"{error} (n_samples={len(fits.y)})") from None

    # -- the model that decides --------------------------------------------------------

    def _decides_itself(self) -> bool:
        """Return whether the wrapped estimator decides, in the problem asked about."""
        inner = innermost_unfitted(self.estimator)
        if not hasattr(inner, "decide"):
            return False
        if self.problem is None:
            return True
        knows = not self.problem.takes_context or getattr(inner, "context", None) is not None
        return knows and type(inner._resolve_problem()) is type(self.problem)

    def _resolve_problem(self) -> DecisionProblem:
        if self.problem is None:
            inner = innermost_unfitted(self.estimator)
            if hasattr(inner, "_resolve_problem"):
                return inner._resolve_problem()
        return super()._resolve_problem()

    def _unfitted_decider(self) -> Any:
        if not self._decides_itself():
            return TwoStageRegressor(
                self.estimator,
                self.problem,
                context=self.context,
                context_is_feature=self.context_is_feature,
            )
        inner = innermost_unfitted(self.estimator)
        own = getattr(inner, "context", None)
        if self.context is not None and not _same_columns(self.context, own):
            name = type(inner).__name__
            raise ValueError(
                f"context={self.context!r} was given, but {name} decides in a context of its own, "
                f"context={own!r}: leave one out, or give both the same."
            )
        return clone(self.estimator)

    @property
    def _context_columns(self) -> Any:
        """The columns of the context, of what decides; None for none."""
        decider = self.__dict__.get("decider_")
        return None if decider is None else getattr(innermost(decider)[0], "_context_columns", None)

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        try:
            check_is_fitted(self)
        except ValueError as error:
            raise AttributeError(f"{type(self).__name__} is not fitted.") from error
        return self.decider_.n_features_in_

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata: of `fit` to the wrapped estimator, and here."""
        return super().get_metadata_routing().add_self_request(self)


def _same_columns(one: Any, other: Any) -> bool:
    """Return whether two choices of columns are the same, a name and a list of it for example."""
    if callable(one) or callable(other):
        return one is other
    as_lists = [
        [each] if isinstance(each, (str, int, np.integer, slice)) else list(each)
        for each in (one, other)
        if each is not None
    ]
    return len(as_lists) == 2 and as_lists[0] == as_lists[1]
