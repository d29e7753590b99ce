"""Limits of a mixed-integer search."""

from .._utils.checks import finite_number


def check_limits(time_limit: float | None, mip_gap: float) -> None:
    """Raise a ValueError that names a limit that is not valid."""
    if time_limit is not None and finite_number(time_limit, "time_limit") <= 0:
        raise ValueError(f"time_limit must be positive, in seconds, or None, got {time_limit}.")
    if not 0 <= finite_number(mip_gap, "mip_gap") < 1:
        raise ValueError(f"mip_gap must be in [0, 1), got {mip_gap}.")


def has_limits(time_limit: float | None, mip_gap: float) -> bool:
    """Return whether a search may end before the best decision is found."""
    return time_limit is not None or mip_gap > 0
