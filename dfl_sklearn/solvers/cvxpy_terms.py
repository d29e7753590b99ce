"""By how much values miss what cvxpy constraints, variables and parameters ask for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse

OF_MATRICES = ("symmetric", "PSD", "NSD")


def distance(leaf: Any, value: Any) -> np.ndarray:
    """Return by how much each entry misses what a parameter or variable is declared to be.

    Attributes such as ``nonneg=True`` and bounds that are numbers count. cvxpy itself looks at
    them only where a leaf has a single one.
    """
    value = np.asarray(value, dtype=np.float64)
    found = np.zeros(value.shape)
    for nearest in _nearest(leaf, value):
        found = np.maximum(found, np.abs(nearest - value))
    return found


def _nearest(leaf: Any, value: np.ndarray) -> Iterator[np.ndarray]:
    """Yield, for each attribute of a leaf, the nearest value that has it."""
    declared = leaf.attributes
    if declared["nonneg"] or declared["pos"]:
        yield np.maximum(value, 0.0)
    if declared["nonpos"] or declared["neg"]:
        yield np.minimum(value, 0.0)
    if leaf.bounds is not None and not any(map(_is_expression, leaf.bounds)):
        yield np.clip(value, *map(dense, leaf.bounds))
    for name, index in (("boolean", leaf.boolean_idx), ("integer", leaf.integer_idx)):
        if declared[name]:
            ends = (0.0, 1.0) if name == "boolean" else (-np.inf, np.inf)
            nearest = np.array(value, ndmin=1)
            nearest[tuple(index)] = np.round(np.clip(nearest[tuple(index)], *ends))
            yield nearest.reshape(value.shape)
    if any(declared[each] for each in OF_MATRICES):
        nearest = (value + np.swapaxes(value, -2, -1)) / 2
        if not declared["symmetric"] and np.isfinite(nearest).all():
            values, vectors = np.linalg.eigh(nearest)
            ends = (0.0, np.inf) if declared["PSD"] else (-np.inf, 0.0)
            inside = np.clip(values, *ends)
            if (inside != values).any():
                nearest = (vectors * inside[..., None, :]) @ np.swapaxes(vectors, -2, -1)
        yield nearest


def bounds_of(leaf: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest values that the sign and bounds of a leaf declare."""
    declared = leaf.attributes
    low, high = np.full(leaf.shape, -np.inf), np.full(leaf.shape, np.inf)
    if declared["nonneg"] or declared["pos"]:
        low = np.maximum(low, 0.0)
    if declared["nonpos"] or declared["neg"]:
        high = np.minimum(high, 0.0)
    if leaf.bounds is not None and not any(map(_is_expression, leaf.bounds)):
        ends = [np.broadcast_to(dense(each), leaf.shape) for each in leaf.bounds]
        low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
    return low, high


def is_as_declared(variable: Any, tol: float, atol: float) -> bool:
    """Return whether the entries of a variable miss its attributes by no more than a share."""
    value = np.abs(dense(variable.value))
    return not (distance(variable, dense(variable.value)) > tol * value + atol).any()


def bounds_that_are_expressions(variables: Any) -> list[Any]:
    """Return constraints for bounds that hold parameters, which are not in a problem's list."""
    return [
        limit
        for each in variables
        if any(map(_is_expression, each.bounds or ()))
        for limit in each.domain
    ]


def holds(constraint: Any, variables: Any, tol: float, atol: float) -> bool:
    """Return whether a constraint is missed by no more than `tol` of its terms plus `atol`.

    At the present values of the variables.
    """
    missed, size = np.ravel(constraint.violation()), _size(constraint, variables)
    if np.size(size) != missed.size:  # one number for a matrix, such as its least eigenvalue
        size = np.max(size)
    return bool((missed <= tol * size + atol).all())


def _size(constraint: Any, variables: Any) -> Any:
    """Return the absolute terms of a constraint, entry by entry.

    Those of its linear part, where it has a slope; else the absolute values of its sides.
    """
    try:
        expression = constraint.expr
    except (AttributeError, ValueError):  # a cone with several sides
        expression = None
    gradients = {} if expression is None else expression.grad
    parts = [(each, gradients[each]) for each in variables if each in gradients]
    is_smooth = parts and all(gradient is not None for _, gradient in parts)
    if not is_smooth or constraint.size != expression.size:
        return max(float(np.abs(dense(side.value)).max()) for side in constraint.args)
    # cvxpy counts the entries of a matrix column by column.
    rest, terms = np.ravel(dense(expression.value), order="F"), np.zeros(expression.size)
    for each, gradient in parts:
        slopes = dense(gradient).reshape(each.size, -1)
        z = np.ravel(dense(each.value), order="F")
        rest = rest - z @ slopes
        terms = terms + np.abs(z) @ np.abs(slopes)
    return terms + np.abs(rest)


def dense(array: Any) -> np.ndarray:
    """Return an array, or a sparse matrix as one."""
    return np.asarray(array.toarray() if issparse(array) else array)


def _is_expression(value: Any) -> bool:
    return hasattr(value, "parameters")
