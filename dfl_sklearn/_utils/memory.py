"""Checks of memory before a computation starts, with errors that name the parameter."""

import math
import os

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_UNKNOWN = 2.0**40  # bytes, where the system does not say


def check_size(what: str, n_numbers: float, *, advice: str, most: float = math.inf) -> None:
    """Raise a ValueError if so many numbers cannot be held in memory.

    Parameters
    ----------
    what : str
        The parameter with its value, or what is to be held, for the message.
    n_numbers : float
        Least number of double-precision numbers in memory at the same time.
    advice : str
        What the user can do, as a sentence.
    most : float, default=inf
        Limit in bytes, where it is less than the memory of the machine.
    """
    needed, limit = 8.0 * n_numbers, min(_installed(), most)
    if needed > limit:
        raise ValueError(
            f"{what} would take {in_words(needed)} of memory; {in_words(limit)} is the limit here. "
            f"{advice}"
        )


def in_words(n_bytes: float) -> str:
    """Return a number of bytes in the largest fitting unit, such as "1.5 GiB"."""
    steps = min(len(_UNITS) - 1, int(math.log2(max(n_bytes, 1.0)) // 10))
    return f"{n_bytes / 1024**steps:.3g} {_UNITS[steps]}"


def check_rows(name: str, n: int, width: float) -> None:
    """Raise a ValueError if `n` rows of `width` numbers, asked for by a parameter, do not fit."""
    what = f"{name}={n}, with {width:.0f} numbers for each,"
    check_size(what, float(n) * width, advice=f"Lower {name}.")


def _installed() -> float:
    """Return the bytes of memory that this machine has."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not on every system
        return _UNKNOWN
