"""Checks of constants, with errors that name the argument."""

import math
from collections.abc import Sequence
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Any

import numpy as np

from .rows import as_float


def positive(value: Any, name: str, *, strictly: bool = True) -> np.ndarray:
    """Return `value` as a float array of 0 or 1 dimensions, all (strictly) positive.

    Raises
    ------
    ValueError
        Naming the argument, the entry and its value.
    """
    try:
        if np.asarray(value).dtype == bool:
            raise ValueError
        array = as_float(value, name).astype(np.float64, copy=False)
    except ValueError as error:
        raise ValueError(f"{name} must be a number or a sequence of numbers, got {value!r}.") from (
            error
        )
    bound = "positive" if strictly else "non-negative"
    bad = ~((array > 0) if strictly else (array >= 0)) | ~np.isfinite(array)
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name} must be a number or a 1-d sequence, got shape {array.shape}.")
    if bad.any():
        where = f"[{int(np.flatnonzero(bad)[0])}]" if array.ndim else ""
        raise ValueError(f"{name}{where} must be {bound} and finite, got {array[bad][0]!s}.")
    return array


def finite_number(value: Any, name: str) -> float:
    """Return `value` as a finite float, or raise a ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}.")
    return float(value)


def whole_number(value: Any, name: str, *, at_least: int) -> int:
    """Return `value` as an int, or raise a ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value!r}.")
    return int(value)


def number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    may_be_infinite: bool = False,
) -> float:
    """Return `value` as a finite float within limits, or raise an error that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    fits = (
        (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    if not fits:
        low, high = above if at_least is None else at_least, below if at_most is None else at_most
        if low is not None and high is not None:
            left, right = "(" if at_least is None else "[", ")" if at_most is None else "]"
            wanted = f"in {left}{low}, {high}{right}"
        elif low is not None:
            wanted = f"at least {low}" if above is None else f"a number above {low}"
        else:
            wanted = f"at most {high}" if below is None else f"a number below {high}"
        raise ValueError(f"{name} must be {wanted}, got {value}.")
    return float(value) if may_be_infinite else finite_number(value, name)


def is_exactly(value: Any, wanted: float) -> bool:
    """Return whether `value` is that number; False if it is not a number at all."""
    return isinstance(value, (Real, np.number)) and bool(value == wanted)


def layer_sizes(value: Any, name: str) -> list[int]:
    """Return the widths of hidden layers, none or more positive whole numbers."""
    sizes = np.atleast_1d(np.asarray(value))
    if sizes.size and (sizes.dtype.kind not in "iu" or sizes.ndim != 1 or sizes.min() < 1):
        raise ValueError(f"{name} must be positive whole numbers, got {value!r}.")
    return [int(size) for size in sizes]


def flag(value: Any, name: str) -> bool:
    """Return `value` as a bool, or raise a ValueError that names the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def option(value: Any, name: str, options: Sequence[str]) -> str:
    """Return `value` if it is one of `options`, or raise a ValueError that names the argument."""
    if not isinstance(value, str) or value not in options:
        if len(options) == 2:
            raise ValueError(f'{name} must be "{options[0]}" or "{options[1]}", got {value!r}.')
        raise ValueError(f"{name} must be one of {tuple(options)}, got {value!r}.")
    return value


def smoothing_number(value: Any, *, positive: bool, why: str = "") -> float | None:
    """Return the smoothing of a layer, None or a finite number of at least 0 or above it."""
    if value is None:
        return None
    is_number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    if not (is_number and (value > 0 if positive else value >= 0)):
        bound = "> 0 or None" if positive else ">= 0"
        raise ValueError(f"smoothing must be a finite number {bound}, got {value!r}{why or '.'}")
    return float(value)


def job_count(value: Any, name: str = "n_jobs") -> None:
    """Raise a ValueError unless `value` is None or a whole number other than 0."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, Integral) or value == 0
    ):
        raise ValueError(f"{name} must be None or a whole number other than 0, got {value!r}.")


def instance_hint(value: Any) -> str:
    """Return, where a class was given in the place of an object, a sentence on how to make one."""
    if not isinstance(value, type):
        return ""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    try:
        needs = any(
            each.default is Parameter.empty and each.kind in kinds
            for each in signature(value).parameters.values()
        )
    except (TypeError, ValueError):
        needs = True
    return f" {value.__name__} is a class: write {value.__name__}({'...' if needs else ''})."
