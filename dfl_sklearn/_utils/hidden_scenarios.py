"""Scenario models inside of estimators that predict only their mean."""

import warnings
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.multioutput import MultiOutputRegressor

from .innermost import innermost
from .scenario_models import predicts_scenarios


def warn_of_hidden_scenarios(inner: Any, stacklevel: int) -> None:
    """Warn if a model predicts a point, although something inside it predicts scenarios.

    This is the case for bagging, voting and stacking of scenario models, and for one model for each
    output.

    Parameters
    ----------
    inner : estimator
        The innermost fitted estimator.
    stacklevel : int
        Stack level of the warning, as if the caller issued it.
    """
    while True:  # an estimator that only wraps another one hides nothing itself
        if isinstance(inner, TransformedTargetRegressor):
            inner = innermost(inner.regressor_)[0]
        elif hasattr(inner, "decide") and hasattr(inner, "estimator_"):
            inner = innermost(inner.estimator_)[0]
        else:
            break
    if predicts_scenarios(inner):
        return
    parts = list(inner.get_params().values()) if hasattr(inner, "get_params") else []
    if isinstance(inner, MultiOutputRegressor):  # a search may have chosen what it wraps
        parts = [innermost(inner.estimators_[0])[0]]
    for each in parts:
        if predicts_scenarios(each) and not isinstance(each, type):
            _warn(inner, each, stacklevel + 2)
            return


def warn_of_unused_scenarios(owner: Any, stacklevel: int) -> None:
    """Warn if an estimator uses only the point predictions of a scenario model that it wraps.

    Parameters
    ----------
    owner : estimator
        A fitted wrapper of one regressor.
    stacklevel : int
        Stack level of the warning, as if the caller issued it.
    """
    inner = innermost(owner.estimator_)[0]
    if predicts_scenarios(inner):
        _warn(owner, inner, stacklevel + 2)
    else:
        warn_of_hidden_scenarios(inner, stacklevel + 1)


def _warn(owner: Any, model: Any, stacklevel: int) -> None:
    name = type(getattr(model, "scenario_model", model)).__name__
    warnings.warn(
        f"{type(owner).__name__} hides the scenarios of {name}: decisions are made from its "
        "point prediction. Pipelines, searches, TransformedTargetRegressor and TwoStageRegressor "
        "may stand around a scenario model.",
        UserWarning,
        stacklevel=stacklevel,
    )
