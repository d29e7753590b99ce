"""Row numbers in the messages of errors about a part of the rows."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_ROW = re.compile(r"(\b[Rr]ow )(\d+)(?=\b(?! of A_| of b_| of W))")
_COUNTED = "Rows are counted among "


def renumber(error: Exception, index: np.ndarray) -> None:
    """Replace row numbers within a part, in the message of an error, by those among all rows.

    Parameters
    ----------
    error : Exception
    index : ndarray of shape (m,)
        The numbers of the rows of the part.
    """
    error.args = tuple(_renumbered(each, index) for each in error.args)
    number = getattr(error, "row_number", None)  # of errors that know it
    if number is not None and number < len(index):
        error.row_number = int(index[number])  # type: ignore[attr-defined]


@contextmanager
def renumbered(index: np.ndarray) -> Iterator[None]:
    """Replace row numbers within a part, in errors, by those among all rows (m,).

    Errors that say among which rows they count (:func:`counted_among`) stay as they are.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        notes = getattr(error, "__notes__", [])
        if not any(each.startswith(_COUNTED) for each in notes):
            renumber(error, index)
        raise


@contextmanager
def named_rows(
    number: np.ndarray | None, n_rows: int, describe: Callable[[int], str]
) -> Iterator[None]:
    """Let errors about rows call them as the caller does, or else by the values they hold.

    Parameters
    ----------
    number : ndarray of shape (n,) or None
        The numbers of the rows at the caller, where they are known.
    n_rows : int
        n. Messages may be about rows of something else: larger numbers stay.
    describe : callable
        Returns the values of row i, which take the place of its number where that is unknown.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if number is not None:
            renumber(error, number)
        else:
            error.args = tuple(_described(each, n_rows, describe) for each in error.args)
        raise


@contextmanager
def counted_among(what: str) -> Iterator[None]:
    """Let errors that number a row say among which rows it is counted."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if _ROW.search(str(error)):
            error.add_note(note_on(what))
        raise


def note_on(what: str) -> str:
    """Return the note that says among which rows those of a message are counted."""
    return f"{_COUNTED}{what}."


def _described(message: Any, n_rows: int, describe: Callable[[int], str]) -> Any:
    if not isinstance(message, str):
        return message

    def values(found: re.Match[str]) -> str:
        i = int(found[2])
        if i >= n_rows:
            return found[0]
        return f"{'T' if found[1][0] == 'R' else 't'}he row with {describe(i)}"

    return re.sub(_ROW.pattern + "(?: of y| of the context)?", values, message)


def _renumbered(message: Any, index: np.ndarray) -> Any:
    if not isinstance(message, str):
        return message

    def number(found: re.Match[str]) -> str:
        i = int(found[2])
        return f"{found[1]}{index[i]}" if i < len(index) else found[0]

    return _ROW.sub(number, message)
