"""Shared parts of meta-estimators: fitting any regressor as scikit-learn does."""

from inspect import Parameter, signature
from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)

from .policies import refuse_policy
from .rows import refuse_unfit_target
from .sklearn_private import _check_feature_names, _check_sample_weight, _routing_enabled
from .tables import naming_columns, refuse_series
from .target_columns import check_target_columns, keep_target_columns


class WrappingMixin(MetaEstimatorMixin):
    """A meta-estimator over one regressor called `estimator`, fitted as `estimator_`."""

    estimator: BaseEstimator

    def _fit_wrapped(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, fit_params: dict[str, Any]
    ) -> dict[str, Any]:
        """Fit a clone of the wrapped regressor; return the parameters of its `fit`."""
        refuse_policy(
            self.estimator,
            type(self).__name__,
            "Use it by itself, or as the last step of a Pipeline: it decides.",
        )
        if isinstance(self.estimator, FrozenEstimator):
            check_unused(X, y, sample_weight)
        params = self._wrapped_params(sample_weight, fit_params)
        refuse_series(X, "X")
        with naming_columns(X):
            self.estimator_ = self._unfitted(y).fit(X, y, **params)
        if hasattr(self.estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.estimator_.feature_names_in_
        return params

    def _wrapped_params(
        self, sample_weight: ArrayLike | None, fit_params: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the parameters that are passed to the `fit` of the wrapped regressor."""
        if isinstance(self.estimator, FrozenEstimator):
            return {}  # it is not fitted again
        if sample_weight is not None:
            fit_params = {**fit_params, "sample_weight": sample_weight}
        if _routing_enabled():
            return process_routing(self, "fit", **fit_params).estimator.fit
        if sample_weight is not None and not takes_weights(self.estimator):
            raise ValueError(
                f"sample_weight was given, but {type(self.estimator).__name__}.fit does not "
                "take it. (Weights for a step of a Pipeline are routed with "
                "sklearn.set_config(enable_metadata_routing=True).)"
            )
        return fit_params

    def _unfitted(self, y: Any) -> Any:
        """Return a clone of the wrapped regressor; one per output where it predicts only one."""
        return regressor_for(clone(self.estimator), y)

    def _validate_target(self, y: Any, name: str = "y") -> Any:
        """Return a checked target, whose columns are those of y if it is another one."""
        refuse_unfit_target(y, name)
        if name == "y":
            keep_target_columns(self, y)
        else:
            check_target_columns(self, y, name)
        return validate_data(self, X="no_validation", y=y, multi_output=True, y_numeric=True)

    def _seen(self, X: Any) -> Any:
        """Return the columns of X that the wrapped regressor sees."""
        refuse_series(X, "X")
        columns = self.__dict__.get("_context_columns")
        return X if columns is None else columns.features(X)

    def _note_columns(self, X: Any) -> None:
        """Keep the names of all columns, also of those that the wrapped regressor does not see."""
        columns = self.__dict__.get("_context_columns")
        if columns is not None and not columns.is_feature:
            self.__dict__.pop("feature_names_in_", None)
            _check_feature_names(self, X, reset=True)

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        try:
            check_is_fitted(self)
        except ValueError as error:
            raise AttributeError(f"{type(self).__name__} is not fitted.") from error
        columns = self.__dict__.get("_context_columns")
        return self.estimator_.n_features_in_ if columns is None else columns.n_columns

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of `fit` metadata to the wrapped estimator.

        Returns
        -------
        MetadataRouter
            Which metadata the wrapped estimator requests.
        """
        return MetadataRouter(owner=self).add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags.multi_output = True
        problem = self._resolve_problem() if hasattr(self, "_resolve_problem") else None
        tags.target_tags.positive_only = inner.target_tags.positive_only or (
            problem is not None and problem.nonnegative
        )
        tags.non_deterministic = inner.non_deterministic
        return tags


def check_unused(X: Any, y: Any, sample_weight: ArrayLike | None) -> None:
    """Raise an error about rows that a model fitted before takes no notice of."""
    check_consistent_length(X, y)
    if sample_weight is not None:
        _check_sample_weight(sample_weight, y, ensure_non_negative=True)


def regressor_for(estimator: Any, y: Any) -> Any:
    """Return a regressor for y: `estimator`, or one per output where it predicts only one."""
    if isinstance(estimator, FrozenEstimator):
        return estimator
    if y.ndim == 2 and not get_tags(estimator).target_tags.multi_output:
        return MultiOutputRegressor(estimator)
    return estimator


def takes_weights(estimator: Any) -> bool:
    """Return whether `fit` takes sample weights, itself or for what it wraps."""
    if has_fit_parameter(estimator, "sample_weight"):
        return True
    kinds = [each.kind for each in signature(estimator.fit).parameters.values()]
    # A Pipeline cannot tell for which of its steps the weights are.
    return Parameter.VAR_KEYWORD in kinds and not isinstance(estimator, Pipeline)


def requested_weights(estimator: Any, weight: Any, owner: str) -> dict[str, Any]:
    """Return what hands weights to `fit` of an estimator, as it has asked for them.

    Without metadata routing that is `sample_weight`. With it, what the request of the estimator
    says: nothing where it wants none, and an error of scikit-learn where it says nothing.

    Parameters
    ----------
    estimator : estimator
        Which takes weights, see :func:`takes_weights`.
    weight : ndarray of shape (n,) or None
    owner : str
        Name of what hands them on, for the error.
    """
    if weight is None:
        return {}
    if not _routing_enabled():
        return {"sample_weight": weight}
    method = MethodMapping().add(caller="fit", callee="fit")
    router = MetadataRouter(owner=owner).add(estimator=estimator, method_mapping=method)
    routed = router.route_params(caller="fit", params={"sample_weight": weight})
    return dict(routed.estimator.fit)
