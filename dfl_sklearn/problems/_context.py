"""Numbers of a problem that differ by row and are read from the context."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import is_torch_array
from scipy.sparse import issparse

from .._utils.equal_rows import equal_rows
from .._utils.row_numbers import renumbered
from .._utils.rows import as_float, as_numpy_rows, as_rows, check_finite
from ._arithmetic import Marker

Column = str | int


@dataclass(frozen=True)
class FromContext(Marker):
    """Placeholder for a number of a problem that differs by row and is known beforehand.

    The number is the entry of the column as it is. If it has to be multiplied or added to, put the
    result into a column of its own.

    Parameters
    ----------
    column : str or int
        Name or position of the column of the context.

    See Also
    --------
    Predicted : Placeholder for a number that is predicted.
    dfl_sklearn.compose.keep_context : Keep a context unchanged through a step of a Pipeline.

    Examples
    --------
    A capacity and a price that are known for each day:

    >>> from dfl_sklearn.problems import FromContext, ProvisioningProblem
    >>> problem = ProvisioningProblem(c_max=FromContext("capacity"))
    >>> problem.context_columns()
    ['capacity']
    """

    column: Column

    instead = "Put the result into a column of its own of the context, and read that."

    def __post_init__(self) -> None:
        is_position = isinstance(self.column, (int, np.integer)) and not isinstance(
            self.column, bool
        )
        if not (isinstance(self.column, str) or (is_position and self.column >= 0)):
            raise ValueError(
                "FromContext takes the name of a column of the context, or its position, 0 or "
                f"more; got {self.column!r}."
            )
        if is_position:
            object.__setattr__(self, "column", int(self.column))


def markers(value: Any) -> Iterator[FromContext]:
    """Yield the markers in a number, a sequence or an array, in order."""
    if isinstance(value, FromContext):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from markers(each)
    elif hasattr(value, "to_numpy"):  # of pandas
        yield from markers(value.to_numpy())
    elif isinstance(value, np.ndarray) and value.dtype == object:
        yield from markers(value.ravel().tolist())


def is_marked(value: Any) -> bool:
    """Return whether a parameter is, or holds, a number that is read from the context."""
    return any(True for _ in markers(value))


def columns_of(parameters: dict[str, Any]) -> list[Column]:
    """Return the distinct columns that parameters are read from, in order.

    Raises
    ------
    ValueError
        If some are named and others given by position.
    """
    found = list(
        dict.fromkeys(each.column for value in parameters.values() for each in markers(value))
    )
    if len({isinstance(each, str) for each in found}) > 1:
        raise ValueError(
            f"FromContext must name all columns or give the positions of all, got {found}."
        )
    return found


def filled(value: Any, context: Any, columns: list[Column]) -> Any:
    """Return a number or an array with its marked entries read from the context.

    Parameters
    ----------
    value : float, FromContext or array-like of these
    context : ndarray or torch.Tensor of shape (n, c), or None
        Arranged, with `columns` as its columns where these are names.
    columns : list
        All columns that the problem reads.

    Returns
    -------
    float, ndarray or torch.Tensor
        Float64, of the shape of `value` where nothing in it is marked. Otherwise of shape
        (n, *shape), or (n, 1) for a single number, to be used with arrays of rows.
    """
    if not is_marked(value):
        return np.asarray(value, dtype=np.float64)[()]  # tensors take a float, and no array of one
    entries = np.asarray(value, dtype=object)
    flat = entries.reshape(-1)
    shape = entries.shape or (1,)
    parts = [
        context[:, position(each, columns)]
        if isinstance(each, FromContext)
        else _constant(float(each), context)
        for each in flat
    ]
    if is_torch_array(context):
        import torch

        return torch.stack(parts, dim=1).reshape(len(context), *shape)
    return np.stack(parts, axis=1).reshape(len(context), *shape)


def _constant(value: float, context: Any) -> Any:
    column = context[:, 0]
    if is_torch_array(column):
        return column.new_full(column.shape, value)
    return np.full(column.shape, value)


def position(marker: FromContext, columns: list[Column]) -> int:
    """Return the position of a marked number in an arranged context."""
    if isinstance(marker.column, str):
        return columns.index(marker.column)
    return int(marker.column)


def at(problem: Any, row: np.ndarray) -> Any:
    """Return a problem with its markers replaced by one row (c,) of an arranged context."""
    columns = problem.context_columns()
    return _with_replaced(problem, lambda marker: float(row[position(marker, columns)]))


def by_position(problem: Any) -> Any:
    """Return a problem that reads the columns of an arranged context by position, not by name."""
    columns = problem.context_columns()
    return _with_replaced(problem, lambda marker: FromContext(position(marker, columns)))


def stand_in(value: Any, number: Any) -> Any:
    """Return a parameter with a number instead of its markers, to check the rest of it."""
    return _replaced(value, lambda marker: number)


def _with_replaced(problem: Any, read: Callable[[FromContext], Any]) -> Any:
    """Return a copy of a problem with its markers replaced by what `read` returns for them."""
    there = copy.copy(problem)
    for name, value in problem.get_params(deep=False).items():
        if is_marked(value):
            setattr(there, name, _replaced(value, read))
    return there


def _replaced(value: Any, read: Callable[[FromContext], Any]) -> Any:
    """Return a number, a sequence or an array with its markers replaced."""
    if isinstance(value, FromContext):
        return read(value)
    if not is_marked(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_replaced(each, read) for each in value]
    array = value.to_numpy() if hasattr(value, "to_numpy") else value
    return np.array([_replaced(each, read) for each in array.ravel()]).reshape(array.shape)


def each_context(
    problem: Any,
    context: np.ndarray,
    function: Callable[..., np.ndarray],
    *arrays: np.ndarray,
) -> np.ndarray:
    """Call a function once for all rows of the same context, and put the rows back in order.

    This works for every problem whose numbers differ by row. It is fast where many rows share a
    context.

    Parameters
    ----------
    problem : DecisionProblem
    context : ndarray of shape (n, c)
        Arranged.
    function : callable
        Takes the problem at one row of the context, and the rows of `arrays` with that context.
    *arrays : ndarray of shape (n, ...) or (1, ...)

    Raises
    ------
    ValueError, RuntimeError
        As `function` does, with row numbers counted among all rows.
    """
    n = len(context)
    arrays = tuple(np.broadcast_to(each, (n, *each.shape[1:])) for each in arrays)
    columns = problem.context_columns()
    read = [position(FromContext(each), columns) for each in columns]
    found: np.ndarray | None = None
    # In the order of the rows, so that an error names the first row with a fault.
    for index in sorted(equal_rows(context[:, read]), key=lambda each: int(each[0])):
        there = at(problem, context[index[0]])
        with renumbered(index):
            part = function(there, *(each[index] for each in arrays))
        if found is None:
            found = np.empty((n, *part.shape[1:]), dtype=part.dtype)
        found[index] = part
    if found is None:
        raise ValueError("There are no rows.")
    return found


def refuse_one_number(context: Any, columns: list[Column], n_rows: int | None) -> None:
    """Raise a ValueError where a context is a single number; `n_rows` None is that of X."""
    if np.ndim(context) > 0 or hasattr(context, "columns"):
        return
    one, count = as_float(context, "context").item(), "len(X)" if n_rows is None else n_rows
    named = [each for each in columns if isinstance(each, str)]
    several = f"np.full({count}, {one:g})"
    if named:
        several = f"pandas.DataFrame({{{named[0]!r}: {several}}})"
    raise ValueError(
        f"context must have one row for each decision, shape ({count},) or ({count}, n_columns), "
        f"got the number {one:g}. For the same number in all rows give {several}."
    )


def arranged(context: Any, columns: list[Column], name: str) -> Any:
    """Return the context (n, c) with the columns that a problem reads, in its order.

    Raises
    ------
    ValueError
        If columns are missing or have no names; the message says what to give.
    """
    if hasattr(context, "to_frame") and not hasattr(context, "columns"):  # a pandas Series
        context = context.to_frame()
    names = [each for each in columns if isinstance(each, str)]
    if names:
        if not hasattr(context, "columns"):
            raise ValueError(
                f"{name} reads {', '.join(map(repr, names))} from the context, which has no column "
                "names. Give a pandas DataFrame, or mark positions: FromContext(0)."
            )
        missing = [each for each in names if each not in context.columns]
        if missing:
            raise ValueError(
                f"The context lacks {', '.join(map(repr, missing))}, which {name} reads from it; "
                f"it has {list(context.columns)}."
            )
        context = context[names]
        if context.shape[1] > len(names):
            repeated = [each for each in names if list(context.columns).count(each) > 1]
            raise ValueError(
                f"{name} reads {', '.join(map(repr, repeated or names))} from the context, which "
                "has several columns of that name."
            )
    try:
        rows = as_rows(context, "context") if is_torch_array(context) else _table(context)
    except ValueError as error:
        if columns or not hasattr(context, "columns") or context.shape[1] == 1:
            raise
        raise ValueError(
            f"{error} {name} reads no names, so that every column is context: give only those "
            "that it reads, such as X[['capacity']]."
        ) from None
    widest = max((each for each in columns if isinstance(each, int)), default=-1)
    if widest >= rows.shape[1]:
        raise ValueError(
            f"{name} reads column {widest} of the context, which has {rows.shape[1]} column"
            f"{'s' if rows.shape[1] != 1 else ''}."
        )
    return rows


def _table(context: Any) -> np.ndarray:
    """Return a table of finite numbers in float64, or raise an error that names a bad cell."""
    if issparse(context):
        raise ValueError("context must be a dense array or a table, got a sparse matrix.")
    if hasattr(context, "columns"):
        for column in context.columns:
            try:
                values = as_numpy_rows(context[column].to_numpy(), f"context column {column!r}")
            except ValueError as error:
                raise ValueError(str(error)) from None
            check_finite(values[:, 0], f"context column {column!r}")
    rows = as_numpy_rows(context, "context").astype(np.float64, copy=False)
    check_finite(rows, "context")
    return rows if rows.flags.writeable else rows.copy()  # torch warns of read-only arrays


def layer_at(problem: Any, smoothing: float | None, row: np.ndarray) -> Any:
    """Return the decision layer of a problem at one row of the context."""
    return at(problem, row).decision_layer(smoothing)


def layer_by_context(problem: Any, smoothing: float | None) -> Any:
    """Return a layer (B, d), (B, c) -> (B, k) for a problem whose numbers differ by row."""
    from ..layers.by_context import ByContextLayer

    return ByContextLayer(partial(layer_at, problem, smoothing))
