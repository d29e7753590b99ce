"""Reads and checks the numbers and markers that a program with recourse is given."""

from typing import Any

import numpy as np
from scipy import sparse

from ._arithmetic import Marker
from ._constraints import as_matrix, as_pairs
from ._context import FromContext, is_marked
from ._predicted import Predicted, predicted_columns


def read_numbers(given: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return c, q, T, W, h, b_ub and b_eq as arrays of numbers, Predicted and FromContext.

    Raises
    ------
    ValueError
        If a shape or an entry is not valid; the message names the parameter.
    """
    c, q, h = (_vector(given[name], name) for name in ("c", "q", "h"))
    T = _matrix(given["T"], "T", (len(h), len(c)))
    W = _matrix(given["W"], "W", (len(h), len(q)))
    b_ub, b_eq = (
        np.zeros(0) if given[name] is None else _vector(given[name], name)
        for name in ("b_ub", "b_eq")
    )
    _refuse_halves(given)
    return {"c": c, "q": q, "T": T, "W": W, "h": h, "b_ub": b_ub, "b_eq": b_eq}


def count_parameters(numbers: dict[str, np.ndarray]) -> int:
    """Return how many columns of y are read; raise an error where one before them is not."""
    read = predicted_columns(*numbers.values())
    if not read:
        raise ValueError(
            "Nothing is predicted: put Predicted(0), Predicted(1), ... for the entries of c, q, "
            "T, W, h, b_ub or b_eq that are the columns of y."
        )
    unread = sorted(set(range(max(read))) - read)
    if unread:
        raise ValueError(
            f"Column {unread[0]} of y is not read, but column {max(read)} is: Predicted counts "
            "the columns of y from 0."
        )
    return max(read) + 1


def _entries(value: Any, name: str) -> np.ndarray:
    """Return an array of numbers and markers, or raise an error that names a bad entry."""
    if value is None:
        raise ValueError(f"{name} is missing: RecourseLinearProgram needs c, q, T, W and h.")
    value = value.toarray() if sparse.issparse(value) else value
    entries = np.array(value.to_numpy() if hasattr(value, "to_numpy") else value, dtype=object)
    for place, each in np.ndenumerate(entries):
        if isinstance(each, (Predicted, FromContext)):
            continue
        where = f"{name}{list(place) or ''}"
        try:
            entries[place] = float(each)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"{where} must be a number, Predicted or FromContext, got {each!r}."
            ) from None
        if not np.isfinite(entries[place]):
            raise ValueError(f"{where} must be finite, got {each}.")
    return entries


def _vector(value: Any, name: str) -> np.ndarray:
    entries = _entries(value, name)
    if entries.ndim != 1 or not len(entries):
        raise ValueError(f"{name} must be a vector, such as [1, 2], got shape {entries.shape}.")
    return entries


def _matrix(value: Any, name: str, shape: tuple[int, int]) -> np.ndarray:
    entries = _entries(value, name)
    if entries.shape != shape:
        wanted = "decisions, entries of c" if name == "T" else "entries of q"
        raise ValueError(
            f"{name} must have a row for each entry of h and a column for each of the {wanted}: "
            f"shape {shape}, got {entries.shape}."
        )
    return entries


def constraint_matrix(A: Any, b: np.ndarray, n: int, kind: str) -> sparse.csr_array:
    """Return the checked matrix (m, n) for right-hand sides (q + 1, m)."""
    if A is None:
        return sparse.csr_array((0, n))
    if is_marked(A) or any(isinstance(each, Predicted) for each in np.ravel(_dense(A))):
        raise ValueError(
            f"A_{kind} must be numbers: write constraints whose matrix is predicted, or differs by "
            "row, as rows of T and W, with a price for what they miss."
        )
    matrix = sparse.csr_array(as_matrix(A, f"A_{kind}"))
    if matrix.shape != (b.shape[1], n):
        raise ValueError(
            f"A_{kind} must have a row for each entry of b_{kind} and a column for each entry of "
            f"c: shape {(b.shape[1], n)}, got {matrix.shape}."
        )
    return matrix


def _refuse_halves(given: dict[str, Any]) -> None:
    """Raise a ValueError where a matrix or its right-hand side was given without the other."""
    for kind in ("ub", "eq"):
        there, absent = f"A_{kind}", f"b_{kind}"
        if given[there] is None:
            there, absent = absent, there
        if given[there] is not None and given[absent] is None:
            raise ValueError(f"{there} was given without {absent}.")


def refuse_in_bounds(bounds: Any) -> None:
    """Raise a ValueError where a bound is predicted or read from the context."""
    pairs = [bounds] if isinstance(bounds, Marker) else as_pairs(bounds)
    found = next((each for each in np.ravel(_dense(pairs)) if isinstance(each, Marker)), None)
    if found is not None:
        raise ValueError(
            f"bounds must be numbers, got {found!r}. Write such a bound as a row of A_ub, with 1 "
            "for the decision (-1 for a lower bound) and 0 for the others, and put it into b_ub."
        )


def _dense(A: Any) -> Any:
    return A.toarray() if sparse.issparse(A) else np.asarray(A, dtype=object)
