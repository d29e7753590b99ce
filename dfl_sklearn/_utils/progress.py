"""Progress lines of long computations, printed on request, and the names of their parts."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

_LONGEST_SILENCE = 2.0  # seconds
_now = time.perf_counter
_PARTS: ContextVar[tuple[str, ...]] = ContextVar("parts", default=())


@dataclass
class _Reporter:
    """Settings and state of progress lines.

    Attributes
    ----------
    every : int
        Number of epochs between lines; 0 where lines are printed only by time.
    last : float
        Time at which the last line was printed.
    """

    every: int
    last: float = 0.0

    def __post_init__(self) -> None:
        self.last = _now()

    @property
    def is_due(self) -> bool:
        return _now() - self.last >= _LONGEST_SILENCE


_REPORTER: ContextVar[_Reporter | None] = ContextVar("reporter", default=None)


@contextmanager
def reporting(verbose: bool | int, *, by_time: bool = False) -> Iterator[None]:
    """Print progress within the block, where `verbose` asks for it.

    This includes estimators fitted within the block that have no `verbose` of their own.

    Parameters
    ----------
    verbose : bool or int
        Number of epochs between printed lines. A line is printed after two seconds without one as
        well.
    by_time : bool, default=False
        Whether lines are printed only by time, for instance because there are many short fits.
    """
    if not verbose:
        yield
        return
    token = _REPORTER.set(_Reporter(0 if by_time else int(verbose)))
    try:
        yield
    finally:
        _REPORTER.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Name what is done within the block, in lines and in warnings."""
    token = _PARTS.set((*_PARTS.get(), name))
    try:
        yield
    finally:
        _PARTS.reset(token)


def parts() -> tuple[str, ...]:
    """Return the names of what is done, outermost first."""
    return _PARTS.get()


def say(text: str) -> None:
    """Print a line if progress is being reported."""
    reporter = _REPORTER.get()
    if reporter is not None:
        print(": ".join([*_PARTS.get(), text]), flush=True)
        reporter.last = _now()


def say_epoch(record: dict[str, float]) -> None:
    """Print a line about an epoch where one is due: the first, every so many, or by time."""
    reporter, epoch = _REPORTER.get(), int(record["epoch"])
    if reporter is None:
        return
    every = reporter.every
    if reporter.is_due or (every and (epoch == 1 or epoch % every == 0)):
        numbers = (f"{name} {value:.6g}" for name, value in record.items() if name != "epoch")
        say(f"epoch {epoch:4d}  " + "  ".join(numbers))


def counted(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Iterate, and print how many items are done after every two seconds without a line.

    Parameters
    ----------
    items : iterable
    what : str
        Name of the items, in the plural.
    total : int
    """
    for done, item in enumerate(items, start=1):
        yield item
        say_if_due(f"{done} of {total} {what}")


def say_if_due(text: str) -> None:
    """Print a line after two seconds without one."""
    reporter = _REPORTER.get()
    if reporter is not None and reporter.is_due:
        say(text)
