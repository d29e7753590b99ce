"""Numbers of a problem that are predicted, or known row by row, as affine functions of both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._context import FromContext


@dataclass(frozen=True)
class Predicted:
    """Stands in the place of a number of a problem that is predicted.

    Parameters
    ----------
    column : int
        Position of the column of y that it is.
    factor : float, default=1
        What it is multiplied by. ``-Predicted(0)`` and ``2 * Predicted(0)`` set it.

    Examples
    --------
    >>> from dfl_sklearn.problems import Predicted
    >>> -2 * Predicted(0)
    Predicted(column=0, factor=-2.0)
    """

    column: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        is_position = isinstance(self.column, (int, np.integer)) and not isinstance(
            self.column, bool
        )
        if not is_position or self.column < 0:
            raise ValueError(
                f"Predicted takes the position of a column of y, 0 or more; got {self.column!r}."
            )
        if not np.isfinite(self.factor):
            raise ValueError(f"The factor of a predicted number must be finite, got {self.factor}.")
        object.__setattr__(self, "column", int(self.column))
        object.__setattr__(self, "factor", float(self.factor))

    def __mul__(self, number: float) -> "Predicted":
        return Predicted(self.column, self.factor * number)

    __rmul__ = __mul__

    def __neg__(self) -> "Predicted":
        return self * -1.0


def predicted_columns(*values: Any) -> set[int]:
    """Return the columns of y that stand in arrays of objects."""
    marked = (each for value in values for each in _entries(value))
    return {each.column for each in marked if isinstance(each, Predicted)}


def affine(
    value: np.ndarray, n_parameters: int, n_context: int, position: Callable[[FromContext], int]
) -> np.ndarray:
    """Return an array as an affine function of a row of y and, behind it, of the context.

    Parameters
    ----------
    value : ndarray of object, of any shape
        Of numbers, :class:`Predicted` and :class:`FromContext`.
    n_parameters, n_context : int
        How many columns y and the context have.
    position : callable
        Tells the column of the context that a marker stands for.

    Returns
    -------
    ndarray of shape (n_parameters + n_context + 1, *shape)
        The slopes in the columns and, in the last row, what is constant.
    """
    found = np.zeros((n_parameters + n_context + 1, value.size))
    for j, each in enumerate(_entries(value)):
        if isinstance(each, Predicted):
            found[each.column, j] = each.factor
        elif isinstance(each, FromContext):
            found[n_parameters + position(each), j] = 1.0
        else:
            found[-1, j] = each
    return found.reshape(len(found), *value.shape)


def _entries(value: np.ndarray) -> list[Any]:
    return list(value.ravel())
