"""What ambiguity sets answer, and what is wrong with it: anyone may write a set."""

from typing import Any

import numpy as np

from ..rows import Rows

_TOL = 1e-6  # by which the sum of weights may miss 1


def checked_worst_case(found: Any, name: str, nominal: Rows) -> tuple[Rows, float]:
    """Return the worst rows and their divergence, as ``name.worst_case`` has returned them.

    Parameters
    ----------
    found : tuple (rows, divergence)
    name : str
        That of the set, for errors.
    nominal : Rows
        The training rows, whose columns the worst ones must have.

    Raises
    ------
    TypeError
        If it is no pair of rows, with arrays of numbers, and a number.
    ValueError
        If the rows differ in their columns, the weights are none, or the divergence is NaN.
    """
    method = f"{name}.worst_case"
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Rows)):
        kind = type(found).__name__
        if isinstance(found, (tuple, list)):
            kind = f"a {kind} of {', '.join(type(each).__name__ for each in found) or 'nothing'}"
        raise TypeError(
            f"{method} must return the worst rows and their divergence, `return rows, divergence`, "
            f"got {kind}. Rows are made by rows.replace(weight=...), or by Rows(X, y, weight)."
        )
    rows, divergence = found
    _check_columns(rows, method, nominal)
    weight = checked_weights(
        rows.weight, len(rows), f"{method} must return rows whose weights", "rows.as_shares()"
    )
    if weight is not rows.weight:
        rows = rows.replace(weight=weight)
    return rows, checked_number(divergence, f"The divergence that {method} returns")


def worst_weights_of(ambiguity_set: Any, loss: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the worst weights of losses in a set, checked as :func:`checked_weights` does."""
    worst = ambiguity_set.worst_weights(loss, weight)
    subject = f"{type(ambiguity_set).__name__}.worst_weights must return weights that"
    return checked_weights(worst, len(loss), subject)


def checked_weights(weight: Any, n: int, subject: str, remedy: str = "") -> np.ndarray:
    """Return weights (n,), or raise a ValueError unless they are finite, >= 0 and sum to 1.

    Parameters
    ----------
    weight : array-like of shape (n,)
    n : int
    subject : str
        Beginning of an error, which goes on by "are finite, 0 or more and sum to 1".
    remedy : str
        What gives weights that sum to 1.
    """
    wanted = f"{subject} are finite, 0 or more and sum to 1, shape ({n},)"
    values = weight if isinstance(weight, np.ndarray) else np.asarray(weight)
    if values.dtype.kind not in "fiub" or values.shape != (n,):
        raise ValueError(f"{wanted}; they have shape {values.shape} and type {values.dtype}.")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"{wanted}; that of row {bad[0]} is {values[bad[0]]}.")
    bad = np.flatnonzero(values < 0)
    if len(bad):
        raise ValueError(f"{wanted}; that of row {bad[0]} is {values[bad[0]]:.6g}.")
    total = float(values.sum(dtype=np.float64))
    if abs(total - 1.0) > _TOL:
        by = f" Divide them by it{f', as {remedy} does' if remedy else ''}." if total > 0 else ""
        raise ValueError(f"{wanted}; they sum to {total:.6g}.{by}")
    return values


def checked_number(value: Any, subject: str) -> float:
    """Return a number that is not NaN, or raise an error about the subject."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{subject} must be a number, got {value!r}.") from None
    if np.isnan(number):
        raise ValueError(f"{subject} must be a number, got nan.")
    return number


def _check_columns(rows: Rows, method: str, nominal: Rows) -> None:
    """Raise a ValueError where rows have other columns than the training rows."""
    for name in ("X", "y", "context"):
        part, known = getattr(rows, name), getattr(nominal, name)
        if part is None and known is None:
            continue
        if known is None or part is None:
            has = "have no" if known is None else "have a"
            raise ValueError(
                f"{method} must return rows with the columns of the training rows, which {has} "
                f"context: hand it on, by rows.replace(...)."
            )
        dtype = getattr(part, "dtype", None)
        if dtype is None or getattr(dtype, "kind", "") == "O":
            kind = type(part).__name__ if dtype is None else "an array of objects"
            raise TypeError(f"{method} must return rows with arrays of numbers: {name} is {kind}.")
        width, shape = known.shape[1], np.shape(part)
        if len(shape) != 2 or shape[1] != width or shape[0] != np.shape(rows.X)[0]:
            raise ValueError(
                f"{method} must return rows with the columns of the training rows: {name} of "
                f"shape ({np.shape(rows.X)[0]}, {width}), got {shape}."
            )
