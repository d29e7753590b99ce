"""The style of all displays: a model has the same colour, dashes and marker everywhere."""

from collections.abc import Iterable
from typing import Any

from .._utils.optional import import_optional

_COLORS = ("#1b6a8f", "#d1603d", "#6f9e4c", "#e0a526", "#6b4c9a", "#3f3f3f", "#57b4c7", "#b0738f")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))
_MARKERS = "osD^vPX*"


def color_of(number: int) -> str:
    """Return the colour of a model, given its number."""
    return _COLORS[number % len(_COLORS)]


def line_style(number: int, *, marker: bool = False) -> dict[str, Any]:
    """Return the line style of a model, which can be distinguished without colour."""
    place = number % len(_COLORS)
    style: dict[str, Any] = {"color": _COLORS[place], "ls": _DASHES[place]}
    if marker:
        style |= {"marker": _MARKERS[place], "ms": 4}
    return style


def with_choices(style: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the style of a line, with our choices replaced by the caller's, under any alias."""
    needs = {"extra": "plot", "needed_by": "A display"}
    normalized = import_optional("matplotlib.cbook", **needs).normalize_kwargs
    line = import_optional("matplotlib.lines", **needs).Line2D
    return {**normalized(style, line), **normalized(chosen, line)}


def reach_zero(ax: Any, *, room: float = 1.0) -> None:
    """Let the vertical axis show 0 and all that is drawn, also what is drawn later.

    Limits that the user has set stay as they are. `room` is the height of the axis as a multiple
    of the highest point.
    """
    if not ax.get_autoscaley_on():
        return
    if room == 1.0:
        ax.autoscale_view(scalex=False)
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]), auto=True)
    else:
        low, high = ax.dataLim.intervaly
        ax.set_ylim(min(0.0, low), room * max(high, 1e-12), auto=True)


def refuse_other_labels(ax: Any, labels: Iterable[Any], what: str) -> None:
    """Raise a ValueError if an axis that holds data names its vertical places otherwise."""
    if not ax.has_data():
        return
    shown = [each.get_text() for each in ax.get_yticklabels()]
    if shown != [str(each) for each in labels]:
        raise ValueError(
            f"The axes given show other {what} already: {shown}, not {[*map(str, labels)]}. Draw "
            "on axes of their own."
        )
