"""Whether Ctrl-C ends one fit, which keeps what it has learnt, or all enclosing fits as well."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PASSED_ON: ContextVar[bool] = ContextVar("passed on", default=False)


@contextmanager
def passing_interrupts_on() -> Iterator[None]:
    """Let fits within the block raise KeyboardInterrupt, whatever they have learnt.

    This is for a fit that consists of others, such as those of folds: if a part ended early without
    raising KeyboardInterrupt, the next part would start.
    """
    token = _PASSED_ON.set(True)
    try:
        yield
    finally:
        _PASSED_ON.reset(token)


def interrupts_are_passed_on() -> bool:
    """Return whether a fit has to raise KeyboardInterrupt, even if it has a model already."""
    return _PASSED_ON.get()
