"""Row numbers in the messages of errors about a part of the rows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


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
    """Replace row numbers within a part, in errors, by those among all rows (m,)."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        renumber(error, index)
        raise


def _renumbered(message: Any, index: np.ndarray) -> Any:
    if not isinstance(message, str):
        return message

    def number(found: re.Match[str]) -> str:
        i = int(found[2])
        return f"{found[1]}{index[i]}" if i < len(index) else found[0]

    return re.sub(r"(\brow )(\d+)(?=\b(?! of A_| of b_| of W))", number, message)
