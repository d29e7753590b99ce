"""The model that decides within a wrapper: the wrapped one, or a TwoStageRegressor around it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted

from .._utils.innermost import innermost, innermost_unfitted
from .._utils.wrapping import WrappingMixin
from ..problems.base import DecisionProblem
from ._mixin import DecisionRegressorMixin
from .two_stage import TwoStageRegressor


class WrappedDeciderMixin(WrappingMixin, DecisionRegressorMixin):
    """A meta-estimator whose decisions are those of `decider_`.

    `decider_` is the wrapped estimator where that decides for the problem given, and else a
    :class:`TwoStageRegressor` around it.
    """

    decider_: Any

    def predict(self, X: Any) -> np.ndarray:
        """Predict the parameters of the problem, by the wrapped estimator.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n,) or (n, d)
            Predictions of the wrapped estimator.
        """
        check_is_fitted(self)
        return self.decider_.predict(X)

    def context_of(self, X: ArrayLike) -> Any:
        """Return the context of the rows of X, as the methods of the problem take it.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n, c), DataFrame or None
            The context; None where neither this model nor the wrapped one has any.
        """
        check_is_fitted(self)
        inner, reaches = innermost(self.decider_)
        return inner.context_of(reaches(X))

    def _decides_itself(self) -> bool:
        """Return whether the wrapped estimator decides for the problem given."""
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
            raise ValueError(
                f"context={self.context!r} was given, but {type(inner).__name__} has its own "
                f"context={own!r}: leave one out, or give the same to both."
            )
        return clone(self.estimator)

    def _set_decider(self, decider: Any) -> None:
        """Keep the fitted model that decides, and its properties."""
        self.decider_ = decider
        self.estimator_ = decider if self._decides_itself() else decider.estimator_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(decider, "feature_names_in_"):
            self.feature_names_in_ = decider.feature_names_in_

    @property
    def _context_columns(self) -> Any:
        """The columns that are context of the model that decides, or None."""
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
    """Return whether two choices of columns are the same, such as ``"a"`` and ``["a"]``."""
    if callable(one) or callable(other):
        return one is other
    as_lists = [
        [each] if isinstance(each, (str, int, np.integer, slice)) else list(each)
        for each in (one, other)
        if each is not None
    ]
    return len(as_lists) == 2 and as_lists[0] == as_lists[1]
