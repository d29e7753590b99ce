"""Predict first, then decide: the classical baseline."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter
from sklearn.utils.validation import check_is_fitted

from .._utils.all_or_nothing import all_or_nothing
from .._utils.context_columns import CONTEXT, Selection
from .._utils.sklearn_private import HasMethods, _fit_context
from .._utils.wrapping import WrappingMixin
from ..problems.base import DecisionProblem
from ._mixin import DecisionRegressorMixin


class TwoStageRegressor(WrappingMixin, DecisionRegressorMixin, BaseEstimator):
    """Fit any regressor for prediction, then decide from its predictions.

    The baseline that decision-focused learning has to beat. The wrapped regressor knows
    nothing of the decision; this class adds `decide` and a score in terms of regret.

    Parameters
    ----------
    estimator : regressor
        Any scikit-learn regressor, a Pipeline included. One that predicts a single output
        is fitted once per column of a 2-d `y`.
    problem : DecisionProblem, default=None
        The problem in which the predictions are used; None is the squared-error problem.
    context : str, int, list, slice, mask or callable, default=None
        Columns of X that are context: known data of a row, such as a capacity, that the problem
        reads (:class:`~dfl_sklearn.problems.FromContext`). By name or position, as in
        :class:`sklearn.compose.ColumnTransformer`.
    context_is_feature : bool, default=True
        Whether the wrapped regressor sees these columns as well.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    DFLRegressor : Train the predictor for the cost of the decision.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> from dfl_sklearn.estimators import TwoStageRegressor
    >>> from dfl_sklearn.problems import NewsvendorProblem
    >>> X, y = make_newsvendor(random_state=0)
    >>> model = TwoStageRegressor(LinearRegression(), NewsvendorProblem(9, 1)).fit(X, y)
    >>> model.decide(X[:3]).shape
    (3,)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "problem": [DecisionProblem, None],
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
        context: Selection = None,
        context_is_feature: bool = True,
    ) -> None:
        self.estimator = estimator
        self.problem = problem
        self.context = context
        self.context_is_feature = context_is_feature

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> "TwoStageRegressor":
        """Fit the regressor on observed parameters.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Whatever the wrapped regressor takes.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Handed to the wrapped regressor, which must take it.
        **fit_params : dict
            Handed to the wrapped regressor's `fit`, by metadata routing where enabled.

        Returns
        -------
        self : TwoStageRegressor

        Raises
        ------
        ValueError
            If `y` cannot be parameters of the problem; the message names the row.
        """
        y = self._validate_target(y)
        self._resolve_problem().check_parameters(y)
        self._context_columns = self._find_context(X)
        self._fit_wrapped(self._seen(X), y, sample_weight, fit_params)
        self._note_columns(X)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the parameters of the problem.

        Parameters
        ----------
        X : array-like of shape (n, p)

        Returns
        -------
        ndarray of shape (n,) or (n, d)
        """
        check_is_fitted(self)
        return self.estimator_.predict(self._seen(X))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata: of `fit` to the wrapped regressor, of `score` here."""
        return super().get_metadata_routing().add_self_request(self)
