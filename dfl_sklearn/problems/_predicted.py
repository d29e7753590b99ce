"""Numbers of a problem as affine functions of predicted numbers and of the context."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ._arithmetic import Marker
from ._context import FromContext


@dataclass(frozen=True)
class Predicted(Marker):
    """Placeholder for a number of a problem that is predicted.

    It can be multiplied and divided by numbers, and numbers can be added and subtracted.

    Parameters
    ----------
    column : int
        Position of the column of y that is the predicted number.
    factor : float, default=1
        Factor of the number, as in ``2 * Predicted(0)``.
    offset : float, default=0
        Number that is added afterwards, as in ``5 - Predicted(0)``.

    See Also
    --------
    FromContext : Placeholder for a number that is known for each row.
    RecourseLinearProgram : The problem whose numbers may be predicted.

    Examples
    --------
    >>> from dfl_sklearn.problems import Predicted
    >>> 5 - 2 * Predicted(0)
    Predicted(column=0, factor=-2.0, offset=5.0)
    """

    column: int
    factor: float = 1.0
    offset: float = 0.0

    instead = (
        "An entry is one predicted number, times a number, plus a number: put any other term "
        "into a column of its own of y."
    )

    def __post_init__(self) -> None:
        is_position = isinstance(self.column, (int, np.integer)) and not isinstance(
            self.column, bool
        )
        if not is_position or self.column < 0:
            raise ValueError(
                f"Predicted takes the position of a column of y, 0 or more; got {self.column!r}."
            )
        for name in ("factor", "offset"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not np.isfinite(float(value)):
                raise ValueError(f"The {name} of Predicted must be a finite number, got {value!r}.")
            object.__setattr__(self, name, float(value))
        object.__setattr__(self, "column", int(self.column))

    def _affine(self, other: Any, factor: Any, offset: Any) -> Any:
        """Return the placeholder times a factor plus an offset, where the operand is a number."""
        if isinstance(other, np.ndarray):
            return NotImplemented  # NumPy goes through its entries
        if not isinstance(other, Real):
            self._refuse()
        return Predicted(self.column, self.factor * factor, self.offset * factor + offset)

    def __mul__(self, other: Any) -> Any:
        return self._affine(other, other, 0.0)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if not isinstance(other, Real):
            return self._affine(other, 1.0, 0.0)
        by = float(other)
        if by == 0:
            raise ZeroDivisionError(f"{self!r} is divided by 0.")
        return Predicted(self.column, self.factor / by, self.offset / by)

    def __add__(self, other: Any) -> Any:
        return self._affine(other, 1.0, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return self._affine(other, 1.0, -other if isinstance(other, Real) else 0.0)

    def __rsub__(self, other: Any) -> Any:
        return self._affine(other, -1.0, other)

    def __neg__(self) -> Any:
        return self * -1.0

    def __pos__(self) -> Any:
        return self


def predicted_columns(*values: Any) -> set[int]:
    """Return the columns of y that occur in arrays of objects."""
    marked = (each for value in values for each in _entries(value))
    return {each.column for each in marked if isinstance(each, Predicted)}


def affine(
    value: np.ndarray, n_parameters: int, n_context: int, position: Callable[[FromContext], int]
) -> np.ndarray:
    """Return an array as an affine function of a row of y followed by the context.

    Parameters
    ----------
    value : ndarray of object, of any shape
        Numbers, :class:`Predicted` and :class:`FromContext`.
    n_parameters, n_context : int
        Numbers of columns of y and of the context.
    position : callable
        Maps a marker to the position of its column in the context.

    Returns
    -------
    ndarray of shape (n_parameters + n_context + 1, *shape)
        The slopes in the columns and, in the last row, the constant.
    """
    found = np.zeros((n_parameters + n_context + 1, value.size))
    for j, each in enumerate(_entries(value)):
        if isinstance(each, Predicted):
            found[each.column, j], found[-1, j] = each.factor, each.offset
        elif isinstance(each, FromContext):
            found[n_parameters + position(each), j] = 1.0
        else:
            found[-1, j] = each
    return found.reshape(len(found), *value.shape)


def _entries(value: np.ndarray) -> list[Any]:
    return list(value.ravel())
