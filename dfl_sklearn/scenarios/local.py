"""Scenarios from the training rows that resemble x."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from .._utils.all_or_nothing import all_or_nothing
from .._utils.powers import size_exponent
from .._utils.rounding import mean_and_spread
from .._utils.sklearn_private import HasMethods, _check_sample_weight, _fit_context
from .._utils.wrapping import WrappingMixin
from ._local_weights import leaf_weights, neighbor_weights
from .base import ScenarioModel, Scenarios

_FAR = 1e4  # distance of a mean from 0, in standard deviations, from which on it is subtracted
_METHODS = ("apply", "kneighbors", "radius_neighbors")


class LocalScenarios(WrappingMixin, ScenarioModel):
    r"""The y of training rows near x, weighted by a forest, by neighbours or by a kernel.

    A forest gives the weight :math:`w_i(x)`, the mean over its trees of the share of training row i
    in the leaf of x. Neighbours have the weights of their predictions. Scenarios are observed
    values of y, so that they are always in its domain.

    Parameters
    ----------
    estimator : regressor
        A tree or forest of scikit-learn (anything with ``apply``),
        :class:`~sklearn.neighbors.KNeighborsRegressor`,
        :class:`~sklearn.neighbors.RadiusNeighborsRegressor`, whose callable `weights` may be any
        kernel, or a Pipeline that ends with one of these.
    scale_targets : bool, default=True
        Whether several outputs are scaled to unit variance to grow the trees. Otherwise an output
        with large numbers alone determines the splits. A single output is not scaled.

    Attributes
    ----------
    estimator_ : regressor
        The fitted regressor.
    y_ : ndarray of shape (n, d)
        The observed parameters of the training rows.
    n_scenarios_ : int
        The number of training rows.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    ResidualScenarios : The prediction of any regressor plus its errors.

    Notes
    -----
    All training rows of a leaf count, including those that the bootstrap of a tree left out.
    Therefore `predict`, the mean of the scenarios, differs from the prediction of the forest.

    References
    ----------
    Bertsimas and Kallus, "From predictive to prescriptive analytics", 2020.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from dfl_sklearn.scenarios import LocalScenarios
    >>> X, y = [[0.0], [1.0], [2.0], [9.0]], [5.0, 6.0, 8.0, 2.0]
    >>> model = LocalScenarios(KNeighborsRegressor(n_neighbors=2)).fit(X, y)
    >>> model.predict_scenarios([[0.4]]).values[:, :, 0]
    array([[5., 6.]])
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "scale_targets": ["boolean"],
    }

    # Weights in `fit` are passed to the wrapped regressor.
    __metadata_request__fit = {"sample_weight": UNUSED}

    def __init__(self, estimator: BaseEstimator, *, scale_targets: bool = True) -> None:
        self.estimator = estimator
        self.scale_targets = scale_targets

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> "LocalScenarios":
        """Fit the regressor, and store the observed parameters.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, in the form that the wrapped regressor takes.
        y : array-like of shape (n,) or (n, d)
            Observed parameters.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows, passed to the `fit` of the wrapped regressor, which must take them.
            They are also the weights of the rows in their leaves.
        **fit_params : dict
            Passed to the wrapped regressor's `fit`, by metadata routing where enabled.

        Returns
        -------
        self : LocalScenarios
            The fitted estimator.
        """
        y = self._validate_target(y)
        last = _last(self.estimator)
        if not any(hasattr(last, each) for each in _METHODS):
            raise ValueError(
                f"LocalScenarios needs a tree, a forest or a regressor of neighbours, but got "
                f"{type(last).__name__}, which has none of {', '.join(_METHODS)}. "
                "ResidualScenarios takes any regressor."
            )
        if not hasattr(last, "apply") and _is_frozen(self.estimator):
            raise ValueError(
                f"A fitted {type(last).__name__} finds neighbours only among the rows that it was "
                "fitted on: give it without FrozenEstimator."
            )
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, y, dtype=np.float64, ensure_non_negative=True
            )
        counted = np.ones(len(y)) if weight is None else weight
        target = self._comparable(y.reshape(len(y), -1), counted).reshape(y.shape)
        self._fit_wrapped(X, target, weight, fit_params)
        weight = counted
        kept = weight > 0
        self.y_ = y.reshape(len(y), -1)[kept].astype(np.float64)
        self._weight = weight[kept]
        self._leaves = self._leaves_of(X)[kept] if hasattr(last, "apply") else None
        self.n_scenarios_, self.n_outputs_ = self.y_.shape
        self.is_vector_ = y.ndim == 1
        return self

    def weights(self, X: Any) -> csr_array:
        """Return the weights of the training rows at each row of X.

        Parameters
        ----------
        X : array-like of shape (m, p)
            Features, with the columns seen in `fit`.

        Returns
        -------
        csr_array of shape (m, n)
            The weights; rows sum to 1.
        """
        check_is_fitted(self)
        if self._leaves is not None:
            return leaf_weights(self._leaves, self._leaves_of(X), self._weight)
        return neighbor_weights(_last(self.estimator_), self._reached(X), len(self.y_))

    def _conditions(self, X: Any) -> tuple[csr_array]:
        return (self.weights(X),)

    def _scenarios(self, weights: csr_array) -> Scenarios:
        counts = np.diff(weights.indptr)
        place = np.arange(counts.max())
        there = place < counts[:, None]
        entry = weights.indptr[:-1, None] + np.where(there, place, 0)
        values = self.y_[weights.indices[entry]]
        return Scenarios(values, np.where(there, weights.data[entry], 0.0))

    def _unfitted(self, y: np.ndarray) -> Any:
        return clone(self.estimator)  # for all outputs together, so that they come from one row

    def _comparable(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return targets (n, d) of comparable sizes, from which a tree finds the same leaves.

        Trees take a variance below 2e-16 for none, and lose the variance of numbers that are much
        larger than it. A constant output must not be divided by rounding errors.
        """
        mean, spread = mean_and_spread(y[weight > 0].astype(np.float64), weight[weight > 0])
        if not (self.scale_targets and y.shape[1] > 1):
            exponent = int(size_exponent(spread))  # of the largest; a power of two changes no bit
            return y if -16 < exponent < 300 or not spread.any() else np.ldexp(y, -exponent)
        size = np.where(spread > 0, spread, np.where(mean != 0, np.abs(mean), 1.0))
        if getattr(_last(self.estimator), "criterion", None) == "poisson":
            return y / size  # which stays above 0
        return (y - np.where(np.abs(mean) > _FAR * spread, mean, 0.0)) / size

    def _reached(self, X: Any) -> Any:
        """Return X as it reaches the last step of a Pipeline."""
        model = self.estimator_
        while isinstance(model, Pipeline | FrozenEstimator):
            if isinstance(model, FrozenEstimator):
                model = model.estimator
                continue
            if len(model.steps) > 1:
                X = model[:-1].transform(X)
            model = model.steps[-1][1]
        return X

    def _leaves_of(self, X: Any) -> np.ndarray:
        found = np.asarray(_last(self.estimator_).apply(self._reached(X)))
        return found.reshape(len(found), -1).astype(np.int64)


def _last(estimator: Any) -> Any:
    """Return the last step of a Pipeline, or the estimator itself, even if frozen."""
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return _last(estimator.steps[-1][1]) if isinstance(estimator, Pipeline) else estimator


def _is_frozen(estimator: Any) -> bool:
    """Return whether the last step is not fitted again."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return isinstance(estimator, FrozenEstimator)
