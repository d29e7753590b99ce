"""Speed and memory."""

from results import cell, rounded, tables

from ._register import table


@table(
    "benchmarks/speed.py",
    "Speed on one core: rows per second, and time of an epoch relative to a bare torch loop",
    ["what", "rows", "batch", "median", "range"],
    [42, 14, 10, 17, 30],
)
def speed():
    for row in tables("speed")["Speed, one core"][0][1:]:
        if row[0].startswith("solve"):  # closed forms, faster than anything around them
            continue
        yield [*row[:3], *(rounded(text) for text in row[3:])]


@table(
    "benchmarks/robust_cost.py",
    "``DiffusionDRODFLRegressor`` at its defaults, one core, in a fresh process",
    ["rows", "fit, s", "peak memory, GB"],
    [34, 33, 33],
)
def growth():
    title = "What robust training costs, one core"
    for rows in ("1,000", "10,000", "100,000", "1,000,000"):
        columns = ("fit at defaults", "peak memory of the process")
        found = (cell("robust_cost", title, (what, rows), "median") for what in columns)
        yield [rows, *(rounded(text) for text in found)]


@table(
    "benchmarks/robust_cost.py",
    "A search over radii with ``memory=``, one core, seconds",
    ["predictor", "rows", "plain fit", "first radius", "each further radius, in plain fits"],
    [16, 16, 20, 20, 28],
)
def radii():
    title = "What robust training costs, one core"
    for net in ("linear", "MLP"):
        for rows in ("1,000", "10,000", "100,000"):
            whats = ("plain fit", "first radius", "one more radius / plain fit")
            found = (
                cell("robust_cost", title, (f"{what}, {net}", rows), "median") for what in whats
            )
            yield [net, rows, *(rounded(text) for text in found)]


@table(
    "benchmarks/scenario_memory.py",
    "``decide`` over 1,000 scenarios a row, one core, in a fresh process",
    ["scenarios", "rows", "CPU seconds", "memory, GB"],
    [34, 22, 22, 22],
)
def scenario_memory():
    yield from tables("scenario_memory")["Decisions over 1,000 scenarios a row, one core"][0][1:]


@table(
    "benchmarks/ensembles.py",
    "Five nets trained together, compared with one",
    [
        "problem",
        "net",
        "rows",
        "one net, s",
        "time of five, relative to one",
        "change of regret, %",
    ],
    [22, 14, 12, 14, 20, 20],
)
def ensembles():
    columns = (
        "problem",
        "net",
        "rows",
        "seconds of one",
        "time of five together / one",
        "regret of five together",
    )
    header, *rows = tables("ensembles")["Five nets that decide together, beside one"][0]
    for row in rows:
        yield [rounded(row[header.index(each)]) for each in columns]
