"""Training on new rows, a batch at a time."""

from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if

from .._utils.all_or_nothing import all_or_nothing
from .._utils.sklearn_private import _fit_context


def _has_no_ambiguity_set(estimator: Any) -> bool:
    """Return whether `partial_fit` makes sense, or say why it does not."""
    if estimator._make_ambiguity_set() is None:
        return True
    raise AttributeError(
        f"{type(estimator).__name__} has no partial_fit where it trains for the worst case: the "
        "worst distribution near a few new rows is not that near all rows. Use fit, with "
        "warm_start=True to go on from the last weights."
    )


class PartialFitMixin:
    """Add `partial_fit` to a net, by its own `_fit`."""

    def _fit(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    @available_if(_has_no_ambiguity_set)
    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Train on new rows for one epoch, going on from the present weights.

        The first call is a `fit`. Later ones hold no rows out, watch nothing, and keep the weights
        that the epoch ends with; Adam starts anew with `learning_rate_init`. The
        standardisation follows the new rows as with `warm_start`; that of fewer than 10 distinct
        rows is the last one, which grows slowly where they are far away.

        It is not there with an ambiguity set: the worst distribution near a few new rows is not
        that near all rows.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the new rows.
        y : array-like of shape (n,) or (n, d)
            Observed parameters of the problem.
        sample_weight : array-like of shape (n,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        self : DFLRegressor
        """
        goes_on = hasattr(self, "predictor_")
        nothing = (None, None, None)
        self._fit(X, y, sample_weight, nothing, goes_on=goes_on, one_pass=goes_on)
        return self
