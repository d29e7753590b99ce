"""What is wrong with decisions that linear constraints do not allow."""

from collections.abc import Callable

import numpy as np

from ..solvers.polytope import Polytope

ALLOWED = 1e-6  # share of its absolute terms by which a constraint may be missed
_CHUNK = 1 << 22  # numbers in the largest temporary array


def in_chunks(function: Callable[[np.ndarray], np.ndarray], n_rows: int, width: int) -> np.ndarray:
    """Call a function on row numbers (r,), which returns (r, width), in bounded memory."""
    step = max(1, _CHUNK // max(1, width))
    starts = range(0, max(n_rows, 1), step)
    return np.concatenate([function(np.arange(i, min(i + step, n_rows))) for i in starts])


def refuse_row(
    part: Polytope, names: list[str], z: np.ndarray, misses: np.ndarray, row: int, n_such: int
) -> None:
    """Raise a ValueError about the decision z (n,) of a row, which misses a constraint.

    It is about a bound or a whole number, where one is missed: constraints may follow from these.

    Parameters
    ----------
    part : Polytope
        The constraints of the row alone.
    names : list of str
        What the user calls the rows of its matrix.
    z : ndarray of shape (n,)
    misses : ndarray of bool
        A row of :meth:`Polytope.misses`; one more entry after these is for edges on cycles.
    row : int
        The number of the row.
    n_such : int
        How many rows have decisions that are not allowed.
    """
    n_ub, n_rows = part.A_ub.shape[0], part.matrix.shape[0]
    k = int(misses[n_rows:].argmax())
    if not misses[n_rows:].any():
        j = int(misses.argmax())
        found = (z[None] @ part._columns)[0, j]
        limit = part.row_upper[j]
        what = f"more than {limit:.10g}" if j < n_ub else f"not {limit:.10g}"
        why = f"{names[j]} comes to {found:.10g}, {what}"
    elif k == len(z):
        why = "some of its edges form a cycle"
    else:
        low, high, value = part.lower[k], part.upper[k], z[k]
        is_inside = low <= value <= high
        what = "not a whole number" if is_inside else f"outside of [{low:.10g}, {high:.10g}]"
        why = f"{part.name_of_decision(k)} is {value:.10g}, {what}"
    raise not_allowed(why, row, n_such)


def not_allowed(why: str, row: int, n_such: int) -> ValueError:
    """Return the error about the decision of a row."""
    others = f" ({n_such} such rows in all)" if n_such > 1 else ""
    return ValueError(
        f"The decision of row {row} is not allowed: {why}{others}. Decide with solve()."
    )
