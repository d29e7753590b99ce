"""Fits that end with a new model, or leave the estimator as it was."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

# By which scikit-learn finds, when a fit ends, whatever its end, the callbacks to tear down.
_OF_CALLBACKS = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")

P = ParamSpec("P")
Result = TypeVar("Result")


def all_or_nothing(
    fit: Callable[Concatenate[Any, P], Result],
) -> Callable[Concatenate[Any, P], Result]:
    """Decorate a `fit` so that the estimator is as it was before whenever `fit` raises.

    The checks of scikit-learn set attributes (``n_features_in_``, the names of the features) long
    before there is a model. If the fit fails later on, or is interrupted, these attributes must not
    remain beside the previous model, nor make an unfitted estimator look fitted.

    `fit` may replace the objects that the previous fit has left, but must not change them.
    """

    @wraps(fit)
    def fit_or_restore(self: Any, *args: P.args, **kwargs: P.kwargs) -> Result:
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:  # Ctrl-C as well
            running = {name: vars(self)[name] for name in _OF_CALLBACKS if name in vars(self)}
            self.__dict__ = before | running  # in one step, which no second Ctrl-C cuts in two
            raise

    return fit_or_restore
