"""Scenarios from the errors of a regressor on rows it has not seen."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter

from .._utils.all_or_nothing import all_or_nothing
from .._utils.convergence import collected_doubts
from .._utils.cross_fit import Splits, fold_of, given_splits, out_of_fold, predicted
from .._utils.interrupts import passing_interrupts_on
from .._utils.progress import part, reporting, say
from .._utils.sklearn_private import (
    HasMethods,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from .._utils.tables import refuse_series
from .._utils.wrapping import WrappingMixin
from ..rows import Rows
from ._error_scale import ErrorScale
from ._kaplan_meier import imputed, kaplan_meier_weights, mask_of
from .base import ScenarioModel, Scenarios

_ROLE = "The regressor"


class ResidualScenarios(WrappingMixin, ScenarioModel):
    r"""The prediction of any regressor plus each of its errors on rows it has not seen.

    With the cross-fitted errors :math:`e_i = y_i - \hat\mu_{-i}(x_i)` the scenarios at x are
    :math:`\hat\mu(x) + s(x)\, e_i / s_{-i}(x_i)`, one for each training row, with its weight. An
    error is the vector of all outputs of a row, so that correlations between outputs and rare
    events are preserved. With ``scale=None``, :math:`s = 1` and errors are equally large for every
    x.

    Parameters
    ----------
    estimator : regressor
        Any scikit-learn regressor, a Pipeline included. Give a fitted one as
        ``FrozenEstimator(regressor)``, and fit this class on rows that it has not seen.
    cv : int or splitter, default=5
        Folds of the cross-fitted errors. A number is a number of blocks of consecutive rows:
        neighbouring rows of a time series are similar, and shuffled folds would make the errors
        look too small. Rows in no fold, such as the first ones of
        :class:`sklearn.model_selection.TimeSeriesSplit`, give no scenario. A frozen regressor is
        not fitted and needs no folds. A weight of 2 is the same as the row given twice only if both
        copies are in the same fold; to ensure this, give the splits instead of a number.
    scale : {"ridge"}, regressor or None, default=None
        A regressor that predicts, for each output, the size of the errors at x, by
        :math:`\log(|e| + 0.1\, \overline{|e|})`. "ridge" is ridge regression on standardised
        features. With None the size is constant.
    verbose : bool, default=False
        Whether to print a line for each fit, and also after two seconds without a line.

    Attributes
    ----------
    estimator_ : regressor
        The regressor, fitted on all rows.
    scale_ : object
        The model of the size of errors, fitted on all of them; only with `scale`.
    residuals_ : ndarray of shape (S, d)
        The distinct errors, divided by their scale.
    residual_weight_ : ndarray of shape (S,)
        Their weights, which sum to 1.
    n_scenarios_ : int
        Number of distinct errors.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    LocalScenarios : The y of training rows near x, by a forest or by neighbours.

    Notes
    -----
    `predict` is the mean of the scenarios, which is the prediction of the regressor plus the mean
    error on rows it has not seen.

    Sales that were limited by stock are only a lower bound of demand. Mark them by ``fit(X, y,
    censored=...)``. Censored sales are then replaced by the conditional mean of demand above them,
    given all other errors (Buckley and James, 1979), and the errors are weighted by the
    Kaplan-Meier estimator. Given the features, stock and demand must be independent. Inside a
    :class:`~sklearn.compose.TransformedTargetRegressor` the sales stay lower bounds only if its
    transform is increasing. Other transforms are refused by
    :class:`~dfl_sklearn.TwoStageRegressor`, :func:`dfl_sklearn.decide` and everything else that
    uses scenarios, but not by the `predict` of TransformedTargetRegressor, which is scikit-learn's
    own.

    The predicted scale is clipped to the range of the scales of the training rows.

    References
    ----------
    Kannan, Bayraksan and Luedtke, "Residuals-based distributionally robust optimization with
    covariate information", 2020.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn import TwoStageRegressor
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> from dfl_sklearn.scenarios import ResidualScenarios
    >>> X, y = make_newsvendor(random_state=0)
    >>> problem = NewsvendorProblem(9, 1)
    >>> point = TwoStageRegressor(LinearRegression(), problem).fit(X, y)
    >>> several = TwoStageRegressor(ResidualScenarios(LinearRegression()), problem).fit(X, y)
    >>> bool(several.score(X, y) > point.score(X, y))
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "cv": ["cv_object"],
        "scale": [StrOptions({"ridge"}), HasMethods(["fit", "predict"]), None],
        "verbose": ["boolean"],
    }

    # Weights in `fit` are passed to the wrapped regressor.
    __metadata_request__fit = {"sample_weight": UNUSED}

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        cv: Any = 5,
        scale: Any = None,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.scale = scale
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        censored: ArrayLike | None = None,
        **fit_params: Any,
    ) -> "ResidualScenarios":
        """Fit the regressor, and collect its errors on rows that it has not seen.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, in the form that the wrapped regressor takes.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows, passed to the `fit` of the wrapped regressor, which must take them.
            They are also the weights of the scenarios.
        censored : array-like of bool of shape (n,), default=None
            Whether each y is only a lower bound, such as the sales of a product that sold out. For
            a single output.
        **fit_params : dict
            Passed to the wrapped regressor's `fit`, by metadata routing where enabled.

        Returns
        -------
        self : ResidualScenarios
            The fitted estimator.

        Raises
        ------
        ValueError
            If there are fewer rows than folds, or if no row of positive weight is in a fold. If
            `censored` does not match y, or all rows are censored.
        """
        y = self._validate_target(y)
        refuse_series(X, "X")
        X, y = indexable(X, y)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, y, dtype=np.float64, ensure_non_negative=True
            )
        params, splits = self._wrapped_params(weight, fit_params), self._splits(X, y)
        shares = np.ones(len(y)) if weight is None else weight
        is_censored = np.zeros(len(y), bool) if censored is None else mask_of(censored, y)
        self._bounded_targets = np.unique(y) if (is_censored & (shares > 0)).any() else None
        target = y
        with reporting(self.verbose, by_time=True), collected_doubts(of_others=True) as doubts:
            if is_censored.any():
                flat = y.reshape(len(y))
                target = imputed(
                    lambda found: self._unseen_means(X, found, params, splits)[:, 0],
                    *(flat, shares, is_censored),
                ).reshape(y.shape)
            with part("all rows"), passing_interrupts_on():
                self._fit_wrapped(X, target, weight, fit_params)
                if splits is not None:
                    say("fitted")
            means = self._unseen_means(X, target, params, splits)
        doubts.warn(stacklevel=4)
        errors = y.reshape(len(y), -1) - means
        kept = np.flatnonzero(np.isfinite(errors).all(axis=1) & (shares > 0))
        if not len(kept):
            raise ValueError("cv leaves no row of positive weight in a fold: no error is known.")
        if is_censored[kept].all():
            raise ValueError(
                f"All {len(kept)} rows with a known error are censored: nothing is known about "
                "the values above these bounds."
            )
        errors, shares, is_censored = errors[kept], shares[kept], is_censored[kept]
        if self.scale is not None:
            fold = np.zeros(len(y)) if splits is None else fold_of(splits, len(y))
            sizes = (target.reshape(len(y), -1) - means)[kept]
            given = None if weight is None else shares
            self.scale_ = ErrorScale(self.scale)
            errors = errors / self.scale_.fit(_safe_indexing(X, kept), sizes, given, fold[kept])
        if is_censored.any():
            shares = kaplan_meier_weights(
                errors[:, 0][None], shares[None] / shares.sum(), is_censored[None]
            )[0]
        rows = Rows.of_table(errors, shares).canonical().as_shares()
        self.residuals_, self.residual_weight_ = rows.X, rows.weight
        self.n_scenarios_, self.n_outputs_ = rows.X.shape
        self.is_vector_ = y.ndim == 1
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata: of `fit` to the wrapped regressor, of `censored` here."""
        return super().get_metadata_routing().add_self_request(self)

    def _splits(self, X: Any, y: np.ndarray) -> Splits | None:
        return None if isinstance(self.estimator, FrozenEstimator) else given_splits(self.cv, X, y)

    def _unseen_means(
        self, X: Any, y: np.ndarray, params: dict[str, Any], splits: Splits | None
    ) -> np.ndarray:
        """Return predictions (n, d) of rows by models that have not seen them, NaN for no fold."""
        if splits is None:
            return predicted(self.estimator, X, 1 if y.ndim == 1 else y.shape[1], _ROLE)

        def fit(X: Any, y: np.ndarray, **params: Any) -> Any:
            return self._unfitted(y).fit(X, y, **params)

        return out_of_fold(fit, X, y, params, splits, _ROLE)

    def _conditions(self, X: Any) -> tuple[np.ndarray, ...]:
        mean = predicted(self.estimator_, X, self.n_outputs_, _ROLE)
        scaled = self.scale is not None
        return mean, self.scale_(X, len(mean)) if scaled else np.ones((len(mean), 1))

    def _scenarios(self, mean: np.ndarray, scale: np.ndarray) -> Scenarios:
        values = mean[:, None, :] + scale[:, None, :] * self.residuals_
        return Scenarios(values, np.broadcast_to(self.residual_weight_, values.shape[:2]))
