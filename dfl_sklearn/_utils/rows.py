"""Rows of numbers: one shape for 1-d and 2-d input, and errors that name the cell."""

from typing import Any

import numpy as np
import pandas as pd
from array_api_compat import is_torch_array
from scipy.sparse import issparse
from sklearn import get_config


def as_rows(values: Any, name: str) -> Any:
    """Return `values` as a 2-d float array, one row per decision situation.

    One-dimensional input of length n is n rows of one column, as everywhere in
    scikit-learn. Torch tensors stay torch tensors and keep their graph.

    Parameters
    ----------
    values : array-like or torch.Tensor of shape (n,) or (n, d)
    name : str
        What to call the array in an error.

    Returns
    -------
    numpy.ndarray or torch.Tensor of shape (n, d)

    Raises
    ------
    ValueError
        If `values` is not numeric or not 1- or 2-dimensional.
    """
    array = _floating(values, name) if is_torch_array(values) else as_float(values, name)
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 2:
        return array
    hint = f" Give [{array.item():g}] for one row." if array.ndim == 0 else ""
    raise ValueError(
        f"{name} must have shape (n_rows,) or (n_rows, n_columns), got shape {tuple(array.shape)}."
        f"{hint}"
    )


def column_names(table: Any) -> list[str] | None:
    """Return the names of the columns of a table; None where they are not all text.

    Columns are found by name only if all names are text, as in scikit-learn: labels such as 0, 1, 2
    are only the positions that columns had once.
    """
    names = list(getattr(table, "columns", []))
    return names if names and all(isinstance(each, str) for each in names) else None


def refuse_other_order(values: Any, name: str, expected: list[str] | None, where: str) -> None:
    """Raise a ValueError if the columns of a table are the expected ones in another order."""
    names = column_names(values)
    if names is None or expected is None or names == expected:
        return
    if sorted(names) == sorted(expected):
        remedy = f" Use {name}[{expected}]." if name.isidentifier() else ""
        raise ValueError(
            f"The columns of {name} are in another order than {where}: {names} instead of "
            f"{expected}.{remedy}"
        )


def as_numpy_rows(values: Any, name: str) -> np.ndarray:
    """Return `values` as :func:`as_rows` does, a torch tensor as a NumPy array."""
    return as_rows(as_float(values, name), name)


def as_float(values: Any, name: str) -> np.ndarray:
    """Return `values` as a NumPy array of float32 (kept) or float64.

    Raises
    ------
    ValueError
        If `values` are no real numbers: complex numbers, dates, text, None, masked entries.
    """
    if is_torch_array(values):
        return _floating(values, name).detach().cpu().numpy()
    if isinstance(values, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(values)
        if masked.any():
            raise_at(masked, values.data, name, "is masked", "Remove or impute such entries first.")
    if issparse(values):
        raise ValueError(f"{name} must be a dense array, got a sparse one: use .toarray().")
    try:
        # In one order, so that a data frame gives the same bits as the array that it holds.
        array = np.asarray(values, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    refuse_other_kinds(array, name)
    if array.dtype == np.float32:
        return array
    try:
        return array.astype(np.float64, order="C", copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error


def refuse_other_kinds(array: np.ndarray, name: str) -> None:
    """Raise a ValueError if an array holds other things that NumPy would convert to numbers."""
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(f"{name} must hold real numbers. Complex data not supported.")
    if kind in "mM":
        raise ValueError(
            f"{name} must hold numbers, got {array.dtype}: turn dates and times into numbers first."
        )
    if kind in "SU":
        raise ValueError(
            f"{name} must hold numbers, got text such as {array.ravel()[:1].tolist()}."
        )
    if kind != "O":
        return
    for i, each in enumerate(array.ravel()):
        # float() takes text, and NumPy None: both would pass for numbers.
        is_missing = each is None or each is pd.NA
        if is_missing or isinstance(each, (str, bytes, complex, np.complexfloating)):
            place = tuple(int(j) for j in np.unravel_index(i, array.shape))
            raise ValueError(f"{name} must hold numbers, got {each!r} at {list(place)}.")


def refuse_unfit_target(y: Any, name: str) -> None:
    """Raise a ValueError if a target holds text, dates or NaN; the message names the cell.

    Everything else is checked by scikit-learn.
    """
    if y is None or issparse(y):
        return
    refuse_dispatched(y, name)
    try:
        array = np.asarray(y)
    except (TypeError, ValueError):
        return
    if array.dtype.kind == "f" and array.ndim <= 2 and np.isnan(array).any():
        place = np.argwhere(np.isnan(array))[0]
        where = ", ".join(f"{k} {i}" for k, i in zip(("row", "column"), place, strict=False))
        advice = "Leave such rows out."
        if array.ndim == 2 and not np.isnan(array).all(axis=1)[place[0]]:
            advice += (
                " Where outputs are only partly observed, fit one regressor for each column of y "
                "on the rows that have it, put their predictions side by side, and decide by "
                "problem.solve(predictions)."
            )
        raise ValueError(f"Input {name} contains NaN at {where}. {advice}")
    if array.dtype.kind in "SUmM" or (
        array.dtype.kind == "O" and any(isinstance(each, (str, bytes)) for each in array.ravel())
    ):
        refuse_other_kinds(array, name)


def refuse_dispatched(values: Any, name: str) -> None:
    """Raise a TypeError for a tensor that scikit-learn would not convert to an array."""
    if is_torch_array(values) and get_config().get("array_api_dispatch"):
        raise TypeError(
            f"{name} is a torch tensor, and array_api_dispatch is on: this package does "
            f"not compute with tensors. Give {name}.numpy(), or turn array_api_dispatch off."
        )


def _floating(values: Any, name: str) -> Any:
    """Return a torch tensor of real numbers in float32 (kept) or float64, with its graph."""
    import torch

    if values.is_complex():
        raise ValueError(f"{name} must hold real numbers. Complex data not supported.")
    if values.dtype in (torch.float32, torch.float64):
        return values
    return values.to(torch.float64)


def native(values: Any) -> Any:
    """Return an array or a column in the byte order of this machine, the only one of pandas."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and not dtype.isnative:
        return np.asarray(values).astype(dtype.newbyteorder("="))
    return values


def check_finite(array: np.ndarray, name: str) -> None:
    """Raise a ValueError that names the first NaN or infinite cell of `array`."""
    if np.isfinite(array).all():
        return
    raise_at(~np.isfinite(array), array, name, "is not finite", "Remove or impute such rows first.")


def check_total(weight: np.ndarray, name: str) -> None:
    """Raise a ValueError unless non-negative weights have a positive, finite sum."""
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not (np.isfinite(total) and total > 0):
        raise ValueError(f"{name} must have a positive, finite sum, got {total}.")


def in_rows(weight: np.ndarray) -> np.ndarray:
    """Return weights as numbers of rows: of one at least, on average over those that have any.

    A penalty has its strength beside a number of rows. Beside shares that sum to 1 it would leave
    nothing of what is to be learnt.
    """
    least, total = np.count_nonzero(weight), weight.sum()
    return weight * (least / total) if total < least else weight


def raise_at(bad: np.ndarray, array: np.ndarray, name: str, what: str, advice: str) -> None:
    """Raise a ValueError about the first cell where `bad` holds: name, row, column, value."""
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    places = ("row", "column") if len(index) <= 2 else ("row", "scenario", "column")
    where = ", ".join(f"{place} {i}" for place, i in zip(places, index, strict=False))
    count = int(bad.sum())
    others = f" ({count} such entries in all)" if count > 1 else ""
    raise ValueError(f"{name} {what} at {where}: {array[index]!s}{others}. {advice}")


def like_input(rows: Any, *inputs: Any) -> Any:
    """Ravel one-column `rows` when every input was one-dimensional."""
    if rows.shape[1] == 1 and all(np.ndim(each) == 1 for each in inputs):
        return rows[:, 0]
    return rows
