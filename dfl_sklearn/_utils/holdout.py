"""Held-out rows that are given to `fit`."""

from typing import Any


def is_given(X_val: Any, y_val: Any, sample_weight_val: Any) -> bool:
    """Return whether held-out rows were given to `fit`; raise a ValueError if a part is missing."""
    if (X_val is None) != (y_val is None):
        raise ValueError("Give both X_val and y_val, or neither.")
    if X_val is None and sample_weight_val is not None:
        raise ValueError("sample_weight_val was given without X_val and y_val.")
    return X_val is not None
