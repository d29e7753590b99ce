"""Draw the map of ``user_guide/which_method.rst``: ``python docs/draw_method_map.py``.

The result, ``_static/method_map.html``, is checked in. It holds the map twice, for wide and for
narrow pages, and takes its colours from the theme.
"""

import textwrap
from html import escape
from pathlib import Path
from typing import NamedTuple

TARGET = Path(__file__).parent / "_static" / "method_map.html"


class Box(NamedTuple):
    """What a box says, and the label of the section that it leads to."""

    title: str
    advice: str
    label: str


START = Box(
    "Start: X, y and a cost",
    "a two-stage model, then a margin; compare by the cost of decisions",
    "method-start",
)
BRANCHES = {
    "What is the decision?": [
        Box("One-sided costs", "a quantile, or a linear DFLRegressor", "method-one-sided"),
        Box("Only a cost function", "FunctionProblem", "method-function"),
        Box("Limits known per row", "FromContext", "method-context"),
        Box("Products, one capacity", "scenarios, chosen by cost", "method-capacity"),
        Box("Uncertain constraint", "recourse or a penalty", "method-constraint"),
        Box("Whole numbers, paths", "SPO+ on a linear model", "method-integers"),
        Box("A cvxpy model", "ConvexProgram", "method-cvxpy"),
        Box("A cost to be promised", "ConformalDecisions", "method-promise"),
    ],
    "What are the data?": [
        Box("A time series", "later rows held out, naive forecasts", "method-time"),
        Box("Few rows", "ridge regression, residual scenarios", "method-few-rows"),
        Box("Sales, not demand", "censored residual scenarios", "method-sales"),
    ],
    "What will change?": [
        Box("A shift of unknown kind", "a larger margin, averaged", "method-shift"),
        Box("New features are known", "weights, if they help", "method-features"),
        Box("Costs seen afterwards", "a mixture of experts", "method-experts"),
    ],
}

DESCRIPTION = (
    "Map of situations. Start with a two-stage model, a margin, and a comparison by the cost of "
    "decisions. Then follow the branch of each question: "
    + "; ".join(
        f"{question} " + ", ".join(f"{box.title} ({box.advice})" for box in boxes)
        for question, boxes in BRANCHES.items()
    )
    + "."
)

STYLE = """
.method-map { margin: 1.5rem 0; container-type: inline-size; }
.method-map svg { display: block; width: 100%; height: auto; margin: 0 auto; }
.method-map .wide { max-width: 62rem; }
.method-map .narrow { display: none; max-width: 26rem; }
@container (max-width: 40rem) {
  .method-map .wide { display: none; }
  .method-map .narrow { display: block; }
}
.method-map a { text-decoration: none; }
.method-map text { fill: var(--pst-color-text-base, #222832); }
.method-map .title { font-weight: 600; }
.method-map .advice { fill: var(--pst-color-text-muted, #48566b); }
.method-map rect {
  fill: var(--pst-color-surface, #f5f5f5); stroke: var(--pst-color-border, #c9c9c9);
}
.method-map .question rect, .method-map .start rect {
  fill: var(--pst-color-background, #fff); stroke: var(--pst-color-primary, #0a7d91);
  stroke-width: 2;
}
.method-map path { fill: none; stroke: var(--pst-color-primary, #0a7d91); stroke-width: 1.5; }
.method-map a:hover rect, .method-map a:focus rect {
  stroke: var(--pst-color-link-hover, #8045e5); stroke-width: 2.5;
}
.method-map a:hover .title, .method-map a:focus .title { text-decoration: underline; }
"""


class Drawing:
    """Shapes of one layout, of texts in one size."""

    def __init__(self, width: int, size: float) -> None:
        self.width, self.size = width, size
        self.shapes: list[str] = []

    def _lines(self, text: str, width: float, size: float, wide: float) -> list[str]:
        return textwrap.wrap(text, int((width - 18) / (wide * size)))

    def box(self, box: Box, x: float, y: float, width: float, height: float = 0) -> float:
        """Add a box that is a link, and return its height."""
        size, small = self.size, self.size - 1
        lines = [("title", size, line) for line in self._lines(box.title, width, size, 0.56)]
        lines += [("advice", small, line) for line in self._lines(box.advice, width, small, 0.52)]
        height = max(height, 1.35 * size * len(lines) + 14)
        kind = "start" if box is START else "leaf"
        self.shapes.append(f'<a href="#{box.label}" class="{kind}">')
        self._text(lines, x, y, width, height)
        self.shapes.append("</a>")
        return height

    def question(self, question: str, x: float, y: float, width: float) -> float:
        """Add the head of a branch, and return its height."""
        height = 1.35 * self.size + 14
        self.shapes.append('<g class="question">')
        self._text([("title", self.size, question)], x, y, width, height)
        self.shapes.append("</g>")
        return height

    def _text(
        self, lines: list[tuple[str, float, str]], x: float, y: float, width: float, height: float
    ) -> None:
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
        )
        step = 1.35 * self.size
        first = y + (height - step * len(lines)) / 2 + self.size
        for i, (kind, size, line) in enumerate(lines):
            self.shapes.append(
                f'<text class="{kind}" x="{x + 9:g}" y="{first + i * step:g}" '
                f'font-size="{size:g}">{escape(line)}</text>'
            )

    def line(self, path: str) -> None:
        """Add a line behind all boxes."""
        self.shapes.insert(0, f'<path d="{path}"/>')

    def svg(self, kind: str, height: float) -> str:
        """Return the drawing as an element that readers of screens can walk through."""
        head = (
            f'<svg class="{kind}" viewBox="0 0 {self.width} {height:g}" role="group" '
            f'aria-label="{escape(DESCRIPTION)}" xmlns="http://www.w3.org/2000/svg">'
        )
        return "\n".join([head, *self.shapes, "</svg>"])


def draw_wide() -> str:
    """Draw four columns below the start; the first question has two of them."""
    drawing, gap, column = Drawing(848, 15), 16, 200
    height = drawing.box(START, 150, 1, 548)
    crossing, top = 1 + height + 16, 1 + height + 32
    below = bottom = 0.0
    left, middles = 0, []
    for question, boxes in BRANCHES.items():
        columns = -(-len(boxes) // 4)
        width = columns * column + (columns - 1) * gap
        below = top + drawing.question(question, left + 1, top, width - 2)
        middles.append(left + width / 2)
        for i in range(columns):
            y, x = below + 14, left + 1 + i * (column + gap)
            ends = []
            for box in boxes[4 * i : 4 * i + 4]:
                tall = drawing.box(box, x + 14, y, column - 16, 76)
                ends.append(y + tall / 2)
                y += tall + 10
            drawing.line("".join(f"M{x + 4:g} {end:g}h10" for end in ends))
            drawing.line(f"M{x + 4:g} {below:g}V{ends[-1]:g}")
            bottom = max(bottom, y)
        left += width + gap
    drawing.line(f"M424 {1 + height:g}V{crossing:g}")
    drawing.line(f"M{middles[0]:g} {crossing:g}H{middles[-1]:g}")
    drawing.line("".join(f"M{middle:g} {crossing:g}V{top:g}" for middle in middles))
    return drawing.svg("wide", bottom)


def draw_narrow() -> str:
    """Draw all boxes below one another."""
    drawing, width = Drawing(350, 16), 350
    bottom = 1 + drawing.box(START, 1, 1, width - 2)
    y, turn = bottom, bottom
    for question, boxes in BRANCHES.items():
        y += 16
        tall = drawing.question(question, 22, y, width - 23)
        turn = y + tall / 2
        drawing.line(f"M8 {turn:g}h14")
        y += tall
        start, end = y, y
        for box in boxes:
            y += 10
            tall = drawing.box(box, 44, y, width - 45)
            end = y + tall / 2
            drawing.line(f"M30 {end:g}h14")
            y += tall
        drawing.line(f"M30 {start:g}V{end:g}")
    drawing.line(f"M8 {bottom:g}V{turn:g}")
    return drawing.svg("narrow", y + 2)


def draw() -> str:
    """Return both layouts with their style."""
    parts = [
        "<!-- Made by docs/draw_method_map.py -->",
        '<div class="method-map">',
        f"<style>{STYLE}</style>",
        draw_wide(),
        draw_narrow(),
        "</div>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
