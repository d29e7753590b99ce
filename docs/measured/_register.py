"""The list of measured tables, and the decorator that adds to it."""

from collections import namedtuple

Table = namedtuple("Table", "name title head widths css rows")
TABLES = {}
POWER = "power_scheduling", "Power scheduling"  # a file and its section, for two pages


def table(command, title, head, widths, css="measured"):
    """Register a function that yields rows; `command` produced the numbers."""

    def register(rows):
        titled = f"{title} (``python {command}``)"
        TABLES[rows.__name__] = Table(rows.__name__, titled, head, widths, css, rows)
        return rows

    return register
