"""Write the measured tables of the guide from benchmarks/results.

A table of a page follows a comment, ``.. measured: NAME``; what its cells hold is said in
the folder ``measured``. Run ``python docs/tables.py`` after a benchmark has written new results;
a test compares the pages with them.
"""

import re
from pathlib import Path

from measured import TABLES

GUIDE = Path(__file__).parent / "user_guide"
BLOCK = re.compile(r"^\.\. measured: (\w+)\n\n(\.\. list-table::.*\n(?:(?:   .*)?\n)*)", re.M)


def render(table):
    """Return the directive that shows a table."""
    lines = [f".. list-table:: {table.title}", f"   :class: {table.css}", "   :header-rows: 1"]
    lines += [f"   :widths: {' '.join(map(str, table.widths))}", ""]
    for row in [table.head, *table.rows()]:
        if len(row) != len(table.head):
            raise ValueError(f"{table.name}: a row of {len(row)} cells, {row}")
        for i, text in enumerate(row):
            lines.append(("   * - " if i == 0 else "     - ") + text)
    return "\n".join(line.rstrip() for line in lines) + "\n\n"


def written(text):
    """Return the text of a page with its tables as they should be."""
    return BLOCK.sub(lambda m: f".. measured: {m[1]}\n\n{render(TABLES[m[1]])}", text)


def main():
    for page in sorted(GUIDE.glob("*.rst")):
        old = page.read_text()
        new = written(old)
        if new != old:
            page.write_text(new)
            print(f"{page.name} has new numbers")


if __name__ == "__main__":
    main()
