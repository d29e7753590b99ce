"""Other libraries on the same data."""

from results import cell, rounded, tables

from ._register import table


@table(
    "benchmarks/pyepo_linear.py",
    "SPO+ here and in PyEPO 2.2: regret on new rows, % of the optimal cost, and time of an epoch",
    ["problem", "trained by", "regret", "difference to ours", "epoch, ms", "time relative to ours"],
    [24, 22, 12, 18, 12, 18],
)
def pyepo_linear():
    for problem in ("shortest path 5x5", "knapsack 16 items, 2 resources"):
        for way in ("ours", "PyEPO, Gurobi", "PyEPO, OR-Tools", "least squares"):
            columns = ("regret", "less ours", "epoch, ms", "ratio")
            yield [
                problem,
                way,
                *(rounded(cell("pyepo_linear", problem, way, each)) for each in columns),
            ]


@table(
    "benchmarks/layers.py",
    "Layers here and in cvxpylayers 1.2 (DIFFCP), 64 rows forward and backward on one thread",
    [
        "program",
        "ours, ms",
        "cvxpylayers, ms",
        "time relative to ours",
        "error of gradient, ours",
        "error of gradient, theirs",
    ],
    [24, 12, 16, 20, 14, 14],
)
def layers():
    title = "Layers beside cvxpylayers 1.2"
    for program in (
        "equality QP, n = 10",
        "QP with bounds, n = 10",
        "regularised LP, n = 10",
        "equality QP, n = 100",
        "QP with bounds, n = 100",
        "regularised LP, n = 100",
        "shortest path 5x5",
        "matching 10x10",
    ):
        ours, theirs = (program, "ours"), (program, "cvxpylayers")
        yield [
            program,
            rounded(cell("layers", title, ours, "ms")),
            rounded(cell("layers", title, theirs, "ms")),
            rounded(cell("layers", title, theirs, "times ours")),
            cell("layers", title, ours, "median entry off"),
            cell("layers", title, theirs, "median entry off"),
        ]


@table(
    "benchmarks/classical_sets.py",
    "Robust linear regression here and in dro 0.4.3: relative gap of our worst-case loss to theirs",
    ["loss", "set", "least gap", "largest gap", "dro, s", "ours, s"],
    [18, 18, 18, 18, 14, 14],
)
def classical_sets():
    title = "Classical sets against python-dro 0.4.3"
    header, *rows = tables("classical_sets")[title][0]
    for row in rows:
        columns = ("optimum gap: least", "largest", "s, python-dro", "s, ours")
        found = (row[header.index(each)] for each in columns)
        yield [row[0], row[1], *(rounded(text) for text in found)]
