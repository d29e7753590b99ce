"""Argument checks shared by the generators and the fetchers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Knob:
    """A number that a ``shift`` mapping may set, with its nominal value and its valid range."""

    nominal: float
    low: float = -math.inf
    high: float = math.inf


def check_count(name: str, value: Any, *, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`.

    Parameters
    ----------
    name : str
        The parameter's name, for the message.
    value : object
        The value that the caller passed.
    minimum : int
        The smallest valid value.

    Returns
    -------
    int
        The checked value.

    Raises
    ------
    TypeError
        If `value` is not an integer (a bool is not).
    ValueError
        If it is smaller than `minimum`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer >= {minimum}, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value)


def check_freq(freq: Any) -> pd.Timedelta:
    """Return the width of a bin as a :class:`pandas.Timedelta` of whole nanoseconds.

    Parameters
    ----------
    freq : str, datetime.timedelta or pandas.Timedelta
        A fixed, positive width.

    Returns
    -------
    pandas.Timedelta
        The width.

    Raises
    ------
    ValueError
        If `freq` is not a fixed width, or not positive.
    """
    advice = "a positive fixed width of time such as '5s', '1min' or '500ms'"
    # A bare number would be read as nanoseconds, which is never intended. (For numpy, a
    # timedelta64 is an integer.)
    bare = isinstance(freq, Real) and not isinstance(freq, np.timedelta64)
    if bare or (isinstance(freq, str) and freq.strip().isdecimal()):
        raise ValueError(f"freq must be {advice}, got {freq!r}.")
    try:
        width = pd.Timedelta(freq).as_unit("ns")
    except (ValueError, TypeError) as error:
        raise ValueError(f"freq must be {advice}, got {freq!r}.") from error
    # NaT compares False with everything.
    if not width > pd.Timedelta(0):
        raise ValueError(f"freq must be {advice}, got {freq!r}.")
    return width


def check_option(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Return `value` if it is one of `options`.

    Parameters
    ----------
    name : str
        The parameter's name, for the message.
    value : object
        The value that the caller passed.
    options : tuple of str
        The valid values.

    Returns
    -------
    str
        The checked value.

    Raises
    ------
    ValueError
        If `value` is not among `options`.
    """
    if not isinstance(value, str) or value not in options:
        legal = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {legal}; got {value!r}.")
    return value


def resolve_shift(
    shift: Any,
    knobs: Mapping[str, Knob],
    presets: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, float]:
    """Turn the ``shift`` argument of a generator into a value for every knob.

    Parameters
    ----------
    shift : None, str or mapping of str to float
        None for the nominal distribution, the name of a preset, or values by name.
    knobs : mapping of str to Knob
        The numbers of this generator that a shift can change.
    presets : mapping of str to mapping, optional
        Named values of these numbers.

    Returns
    -------
    dict of str to float
        One value per number; those that `shift` leaves out are nominal.

    Raises
    ------
    TypeError
        If `shift` is neither None, a string nor a mapping, or a value is not a number.
    ValueError
        If a name is unknown, or a value is not finite or out of the knob's range.
    """
    presets = presets or {}
    legal = f"a mapping with keys among {sorted(knobs)}"
    if presets:
        legal += f", or one of the names {sorted(presets)}"
    values = {name: knob.nominal for name, knob in knobs.items()}
    if shift is None:
        return values
    if isinstance(shift, str):
        if shift not in presets:
            raise ValueError(f"Unknown shift {shift!r}; shift must be None, {legal}.")
        return values | dict(presets[shift])
    if not isinstance(shift, Mapping):
        raise TypeError(f"shift must be None, {legal}; got {type(shift).__name__}.")
    for name, value in shift.items():
        if name not in knobs:
            raise ValueError(f"Unknown key {name!r} in shift; shift must be None, {legal}.")
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"shift[{name!r}] must be a number, got {value!r}.")
        knob, number = knobs[name], float(value)
        if not math.isfinite(number) or not knob.low <= number <= knob.high:
            raise ValueError(
                f"shift[{name!r}] must be a finite number in [{knob.low}, {knob.high}], "
                f"got {value!r}."
            )
        values[name] = number
    return values
