"""Rows of numbers: one shape for 1-d and 2-d input, and errors that name the cell."""

from typing import Any

import numpy as np
from array_api_compat import is_torch_array


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
    array = values if is_torch_array(values) else as_float(values, name)
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 2:
        return array
    raise ValueError(
        f"{name} must have shape (n_rows,) or (n_rows, n_columns), got shape {tuple(array.shape)}."
    )


def as_float(values: Any, name: str) -> np.ndarray:
    """Return `values` as a NumPy array of float32 (kept) or float64."""
    try:
        if is_torch_array(values):
            values = values.detach().cpu()
        # In one order, so that a data frame gives the same bits as the array that it holds.
        array = np.asarray(values, order="C")
        if array.dtype != np.float32:
            array = array.astype(np.float64, order="C", copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    return array


def check_finite(array: np.ndarray, name: str) -> None:
    """Raise a ValueError that names the first NaN or infinite cell of `array`."""
    if np.isfinite(array).all():
        return
    raise_at(~np.isfinite(array), array, name, "is not finite", "Remove or impute such rows first.")


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
