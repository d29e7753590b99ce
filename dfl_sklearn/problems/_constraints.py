"""Checks of linear constraints as users write them; errors name the argument and the entry."""

from typing import Any

import numpy as np
from scipy import sparse

from ._predicted import Predicted


def as_matrix(A: Any, name: str) -> Any:
    """Return a 2-d matrix of finite numbers, sparse if it was given so."""
    try:
        matrix = sparse.csr_array(A) if sparse.issparse(A) else np.asarray(A, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a matrix of numbers: {_why(error, A)}") from error
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {matrix.shape}.")
    values: Any = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(values).all():
        dense = sparse.csr_array(matrix).toarray()
        i, j = np.argwhere(~np.isfinite(dense))[0]
        raise ValueError(f"{name} is not finite at row {i}, column {j}: {dense[i, j]}.")
    return matrix


def as_constraints(A: Any, b: Any, n: int, kind: str) -> tuple[Any, Any]:
    """Return checked constraints (m, n) and (m,), or (None, None)."""
    if (A is None) != (b is None):
        missing, given = ("A", "b") if A is None else ("b", "A")
        raise ValueError(f"{given}_{kind} was given without {missing}_{kind}.")
    if A is None:
        return None, None
    matrix = as_matrix(A, f"A_{kind}")
    try:
        right = np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"b_{kind} must hold numbers: {_why(error, b)}") from error
    if matrix.shape[1] != n:
        raise ValueError(
            f"A_{kind} has {matrix.shape[1]} columns, but the problem has {n} decisions."
        )
    if right.shape != (matrix.shape[0],):
        raise ValueError(
            f"b_{kind} must have one entry per row of A_{kind}, shape ({matrix.shape[0]},), got "
            f"{right.shape}."
        )
    allowed = np.isfinite(right) | ((right == np.inf) & (kind == "ub"))
    if not allowed.all():
        i = int(np.flatnonzero(~allowed)[0])
        raise ValueError(f"b_{kind}[{i}] is {right[i]}, which cannot be a right-hand side.")
    return matrix, right


def as_pairs(bounds: Any) -> list[Any]:
    """Return a list of pairs; it has one entry where one pair holds for all decisions."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):  # scipy.optimize.Bounds
        bounds = np.stack(np.broadcast_arrays(*np.atleast_1d(bounds.lb, bounds.ub)), axis=1)
    try:
        entries: list[Any] = [(0, None)] if bounds is None else list(bounds)
    except TypeError as error:
        raise ValueError(f"bounds must be a pair or a sequence of pairs, got {bounds!r}.") from (
            error
        )
    if len(entries) == 2 and all(each is None or np.ndim(each) == 0 for each in entries):
        return [tuple(entries)]
    return entries


def as_bounds(bounds: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds (n,), infinite where absent."""
    pairs = as_pairs(bounds)
    if len(pairs) not in (1, n):
        raise ValueError(
            f"bounds must be one pair or {n} pairs, one per decision, got {len(pairs)}."
        )
    for i, pair in enumerate(pairs):
        if np.ndim(pair) == 0 or len(pair) != 2:
            raise ValueError(f"bounds[{i}] must be a pair (lower, upper), got {pair!r}.")
    try:
        low, high = (
            np.array([absent if each[i] is None else each[i] for each in pairs], dtype=np.float64)
            for i, absent in ((0, -np.inf), (1, np.inf))
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"bounds must hold numbers and None: {_why(error, pairs)}") from error
    bad = np.isnan(low) | np.isnan(high) | (low > high) | (low == np.inf) | (high == -np.inf)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"bounds[{i}] = ({low[i]}, {high[i]}) hold no number.")
    return np.broadcast_to(low, n), np.broadcast_to(high, n)


def as_integrality(integrality: Any, n: int) -> np.ndarray:
    if integrality is None:
        return np.zeros(n, dtype=bool)
    kinds = np.asarray(integrality)
    if kinds.shape not in ((), (n,)):
        raise ValueError(
            f"integrality must be a number or have one entry per decision, shape ({n},), got "
            f"{kinds.shape}."
        )
    if not np.isin(kinds, (0, 1)).all():
        raise ValueError(
            "integrality must hold 0 (any number) and 1 (whole numbers); other kinds of variables "
            "are not supported."
        )
    return np.broadcast_to(kinds.astype(bool), n)


def _why(error: Exception, value: Any) -> str:
    """Return, for an error, why a value is not an array of numbers."""
    if any(isinstance(each, Predicted) for each in np.ravel(np.asarray(value, dtype=object))):
        return "Predicted works in RecourseLinearProgram only; here the columns of y are the costs."
    return str(error)
