"""Whether Ctrl-C ends one fit, which keeps what it has learnt, or all that it is a part of."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PASSED_ON: ContextVar[bool] = ContextVar("passed on", default=False)


@contextmanager
def passing_interrupts_on() -> Iterator[None]:
    """Let fits within the block raise KeyboardInterrupt, whatever they have learnt.

    For a fit that has others as parts, such as those of folds: a part that ended early and kept
    Ctrl-C to itself would be followed by the next one.
    """
    token = _PASSED_ON.set(True)
    try:
        yield
    finally:
        _PASSED_ON.reset(token)


def interrupts_are_passed_on() -> bool:
    """Return whether a fit is to raise what it could keep to itself."""
    return _PASSED_ON.get()
