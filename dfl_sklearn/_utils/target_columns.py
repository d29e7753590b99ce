"""Names of the columns of y: they must not change their order between calls."""

from typing import Any

from .innermost import innermost_unfitted
from .rows import column_names, refuse_other_order


def keep_target_columns(estimator: Any, y: Any) -> None:
    """Keep the names of the columns of y that a model is fitted on, where it has names."""
    estimator._target_columns = column_names(y)


def check_target_columns(estimator: Any, y: Any, name: str = "y") -> None:
    """Raise a ValueError if y has the columns that a model was fitted on in another order."""
    while estimator is not None:
        estimator = innermost_unfitted(estimator)
        fitted = getattr(estimator, "_target_columns", None)
        if fitted is not None:
            refuse_other_order(y, name, fitted, f"in the fit of {type(estimator).__name__}")
            return
        estimator = getattr(estimator, "estimator_", None)
