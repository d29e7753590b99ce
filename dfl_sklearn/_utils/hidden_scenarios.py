"""Scenario models inside of what predicts their mean alone."""

import warnings
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.multioutput import MultiOutputRegressor

from .innermost import innermost
from .scenario_models import predicts_scenarios


def warn_of_hidden_scenarios(inner: Any, stacklevel: int) -> None:
    """Say so where a model predicts a point, and something in it knows scenarios.

    Bags, votes and stacks of scenario models do, and one model for each output.

    Parameters
    ----------
    inner : estimator
        Fitted, the innermost one.
    stacklevel : int
        That of the caller of this function, as if it warned itself.
    """
    while True:  # what stands around another one hides nothing itself
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
            warnings.warn(
                f"{type(inner).__name__} hides the scenarios of {type(each).__name__}: "
                "decisions are taken from a point, its prediction. Pipelines, searches and "
                "TransformedTargetRegressor may stand around a scenario model.",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
            return
