"""One warning of all in a fit that has not converged."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from .progress import parts

_MOST_ALIKE = 3  # messages that differ in numbers alone, of which more are counted
_MOST_PARTS = 4  # that a message names


class Doubts:
    """What has not converged: messages, and the parts of the work that they came from."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.found: dict[str, list[str]] = {}

    def add(self, message: str) -> None:
        """Take up a message from the present part."""
        self._add(message, ", ".join(parts()[self.depth :]))

    def take_up(self, others: "Doubts", where: str = "") -> None:
        """Take up the messages of another one, from `where` and its parts."""
        for message, places in others.found.items():
            for each in places:
                self._add(message, ", ".join(name for name in (where, each) if name))

    def _add(self, message: str, where: str) -> None:
        places = self.found.setdefault(message, [])
        if where not in places:
            places.append(where)

    def warn(self, stacklevel: int) -> None:
        """Warn once, where there is anything to warn of; `stacklevel` is that of the caller."""
        if self.found:
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
                lines.append(f"({len(messages) - len(shown)} more that differ in numbers alone.)")
        return "\n".join(lines)

    def _line(self, message: str) -> str:
        places = [each for each in self.found[message] if each]
        if not places:
            return message
        named = places if len(places) <= _MOST_PARTS else places[: _MOST_PARTS - 1]
        more = len(places) - len(named)
        where = "; ".join(named) + (f"; {more} more" if more else "")
        return f"[{where}] {message}"


@contextmanager
def collected_doubts() -> Iterator[Doubts]:
    """Collect what would be a ConvergenceWarning each; other warnings are shown at once.

    They are dropped where an exception leaves the block.
    """
    doubts = Doubts(len(parts()))
    with warnings.catch_warnings():
        show = warnings.showwarning

        def take(message: Any, category: type, *args: Any, **kwargs: Any) -> None:
            if issubclass(category, ConvergenceWarning):
                doubts.add(str(message))
            else:
                show(message, category, *args, **kwargs)

        warnings.showwarning = take
        warnings.simplefilter("always", ConvergenceWarning)
        yield doubts
