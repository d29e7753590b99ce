"""One warning about everything in a fit that has not converged."""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .progress import parts

_MOST_ALIKE = 3  # shown messages that differ only in numbers; the others are counted
_MOST_PARTS = 4  # parts that a message names


class Doubts:
    """Messages about what has not converged, and the parts of the fit that they came from."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.found: dict[str, list[str]] = {}

    def add(self, message: str) -> None:
        """Add a message from the current part."""
        self._add(message, ", ".join(parts()[self.depth :]))

    def take_up(self, others: "Doubts", where: str = "") -> None:
        """Add the messages of another object, from `where` and its parts."""
        for message, places in others.found.items():
            for each in places:
                self._add(message, ", ".join(name for name in (where, each) if name))

    def _add(self, message: str, where: str) -> None:
        places = self.found.setdefault(message, [])
        if where not in places:
            places.append(where)

    def warn(self, stacklevel: int) -> None:
        """Warn once about all messages, or leave this to the fit that encloses this one."""
        around = _DOUBTS.get()
        if around is not None:
            around.take_up(self, ", ".join(parts()[around.depth :]))
        elif self.found:
            warnings.warn(self._text(), ConvergenceWarning, stacklevel=stacklevel + 1)

    def _text(self) -> str:
        alike: dict[str, list[str]] = {}
        for message in self.found:
            alike.setdefault(re.sub(r"\d[\d.e+-]*", "#", message), []).append(message)
        lines = []
        for messages in alike.values():
            shown = messages if len(messages) <= _MOST_ALIKE else messages[:1]
            lines += [self._line(each) for each in shown]
            if len(shown) < len(messages):
                lines.append(f"({len(messages) - len(shown)} more of the same with other numbers.)")
        return "\n".join(lines)

    def _line(self, message: str) -> str:
        places = [each for each in self.found[message] if each]
        if not places:
            return message
        named = places if len(places) <= _MOST_PARTS else places[: _MOST_PARTS - 1]
        more = len(places) - len(named)
        where = "; ".join(named) + (f"; {more} more" if more else "")
        return f"[{where}] {message}"


_DOUBTS: ContextVar[Doubts | None] = ContextVar("doubts", default=None)


def doubt(message: str, stacklevel: int) -> None:
    """Warn of what has not converged, or leave this to the enclosing fit."""
    doubts = _DOUBTS.get()
    if doubts is None:
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel + 1)
    else:
        doubts.add(message)


@contextmanager
def collected_doubts(*, of_others: bool = False) -> Iterator[Doubts]:
    """Collect what has not converged within the block; it is lost where an exception leaves it.

    Parameters
    ----------
    of_others : bool, default=False
        Whether warnings of other packages' estimators are collected as well. In the main thread
        alone, as Python has one way to show warnings for all threads.
    """
    doubts = Doubts(len(parts()))
    token = _DOUBTS.set(doubts)
    is_main = threading.current_thread() is threading.main_thread()
    try:
        with _of_others() if of_others and is_main else nullcontext():
            yield doubts
    finally:
        _DOUBTS.reset(token)


@contextmanager
def _of_others() -> Iterator[None]:
    """Take up ConvergenceWarnings where they are shown."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def take(message: Any, category: type, *args: Any, **kwargs: Any) -> None:
            doubts = _DOUBTS.get()  # none in other threads
            if doubts is None or not issubclass(category, ConvergenceWarning):
                show(message, category, *args, **kwargs)
            else:
                doubts.add(str(message))

        warnings.showwarning = take
        warnings.simplefilter("always", ConvergenceWarning)
        yield
