"""Checks of tables: columns of dates or text, lazy tables, and a Series in the place of a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from .rows import refuse_dispatched

# What errors about columns of text or dates say.
_ABOUT_KINDS = ("string to float", "DType", "dtype", "datetime", "Timestamp", "Timedelta", "date")


def is_polars(X: Any) -> bool:
    """Return whether something is a table of polars."""
    return type(X).__module__.startswith("polars.")


def refuse_lazy(X: Any, name: str) -> None:
    """Raise a TypeError for a table of polars that is still to be computed."""
    if is_polars(X) and not hasattr(X, "shape"):
        raise TypeError(
            f"{name} is a {type(X).__name__}, of which no rows are known: collect() it."
        )


def refuse_unfit_table(X: Any, name: str, *, takes_text: bool = False) -> None:
    """Raise an error if a table has columns that are no numbers, or a single row without columns.

    Dates and times pass for numbers otherwise, and errors about text name no column. Tensors are
    refused where scikit-learn would not convert them to arrays, and lazy tables.
    """
    refuse_dispatched(X, name)
    refuse_lazy(X, name)
    refuse_series(X, name)
    for what, remedy in columns_without_numbers(X, takes_text=takes_text):
        raise ValueError(f"{name} must hold numbers, but {what}: {remedy}.")


def refuse_series(X: Any, name: str) -> None:
    """Raise a ValueError if a pandas Series, such as ``table.iloc[i]``, stands for a table.

    A Series of texts, dictionaries or lists has a row in each entry, for a vectorizer to read.
    """
    if isinstance(X, pd.Series) and not all(hasattr(each, "__len__") for each in X):
        raise ValueError(
            f"{name} must be a table of rows and columns, got a Series of shape {X.shape}. One row "
            f"of a table is {name}.iloc[[i]], and one column {name}[[name]]."
        )


def refuse_other_order(X: Any, **others: Any) -> None:
    """Raise a ValueError where something by row has the index of X in another order.

    Rows are matched by position, so that labels would name the wrong rows.

    Parameters
    ----------
    X : array-like
    **others : array-like or None
        By name. What has no pandas index, or one with other labels, is taken as it is.
    """
    index = getattr(X, "index", None)
    if not isinstance(index, pd.Index) or not index.is_unique:
        return
    for name, values in others.items():
        own = getattr(values, "index", None)
        if not isinstance(own, pd.Index) or len(own) != len(index) or own.equals(index):
            continue
        if own.is_unique and index.isin(own).all():
            raise ValueError(
                f"{name} has the index of X in another order, and rows are matched by their "
                f"position. Give {name}.loc[X.index], or {name}.to_numpy() if positions are meant."
            )


def columns_without_numbers(X: Any, *, takes_text: bool = False) -> list[tuple[str, str]]:
    """Return what is wrong with the columns of a table that hold dates or text, and the remedy."""
    columns: list[tuple[str, Any, int | None]]
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        pairs = zip(X.columns, X.dtypes, strict=True)
        columns = [(f"column {column!r}", dtype, j) for j, (column, dtype) in enumerate(pairs)]
    else:
        columns = [("it", getattr(X, "dtype", None), None)]
    found = []
    for what, dtype, j in columns:
        of_polars = getattr(dtype, "is_temporal", None)
        if getattr(dtype, "kind", None) in ("m", "M") or (of_polars is not None and of_polars()):
            found.append((f"{what} is {dtype}", "turn dates and times into numbers first"))
        elif j is not None and not takes_text and not _is_of_numbers(dtype):
            word = _first_word(X.iloc[:, j] if hasattr(X, "iloc") else X[X.columns[j]])
            if word is not None:
                remedy = "turn it into numbers first, such as by a OneHotEncoder in a Pipeline"
                found.append((f"{what} holds text such as {word!r}", remedy))
    return found


def twice(names: Any) -> list[Any]:
    """Return which names occur more than once, in order."""
    index = pd.Index(names)
    return list(index[index.duplicated()].unique())


@contextmanager
def naming_columns(X: Any) -> Iterator[None]:
    """Add to an error about text or dates which columns of X hold some."""
    try:
        yield
    except (TypeError, ValueError) as error:
        about = type(error).__name__ + str(error)
        wrong = columns_without_numbers(X) if any(each in about for each in _ABOUT_KINDS) else []
        note = "\n".join(f"Of X, {what}: {remedy}." for what, remedy in wrong)
        if note and note not in getattr(error, "__notes__", []):  # of a model within
            error.add_note(note)
        raise


def _is_of_numbers(dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):  # of polars
        return bool(dtype.is_numeric())
    return getattr(dtype, "kind", "O") in tuple("biufc")


def _first_word(column: Any) -> Any:
    """Return the first entry that is text and no number, or None."""
    for each in column:
        if isinstance(each, (str, bytes)):
            try:
                float(each)
            except ValueError:
                return each
    return None
