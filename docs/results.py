"""Read the files of benchmarks/results: tables of Markdown by section, row and column."""

import csv
import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
MINUS = "\N{MINUS SIGN}"
NUMBER = re.compile(rf"(?<![\w.])([+\-{MINUS}]?)(\d+(?:,\d{{3}})*(?:\.\d+)?(?:e[+-]\d+)?)")


@cache
def tables(stem):
    """Return the tables of a file: for each section a list of lists of rows, header first."""
    found, section, new = {}, "", True
    for line in (RESULTS / f"{stem}.md").read_text().splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            new = True
            continue
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if new:
            found.setdefault(section, []).append([])
        if not set("".join(row)) <= set("- "):
            found[section][-1].append(row)
        new = False
    return found


def cell(stem, section, key, column):
    """Return the text of a cell; `key` is what the first cell or cells of its row say."""
    key = (key,) if isinstance(key, str) else key
    for header, *rows in tables(stem)[section]:
        for row in rows:
            if tuple(row[: len(key)]) == tuple(key) and column in header:
                return row[header.index(column)]
    raise KeyError(f"{stem}.md has no row {key} with a column {column!r} in {section!r}")


@cache
def records(stem):
    """Return the rows of a CSV file, as dicts of text."""
    with (RESULTS / f"{stem}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rounded(text, digits=None, unit=False):
    """Return numbers of a cell with `digits` decimals and a proper minus, without their unit."""

    def short(match):
        sign, number = match.groups()
        if "e" in number:
            return sign.replace("-", MINUS) + number
        value = Decimal(number.replace(",", ""))
        if digits is not None:
            value = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
            if not value:
                sign = ""
        return sign.replace("-", MINUS) + f"{value:,}"

    text = NUMBER.sub(short, text)
    return text if unit else text.replace("%", "").replace("  ", " ").strip()
