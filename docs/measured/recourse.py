"""Uncertain constraints, recourse and power scheduling with points."""

from results import cell, rounded

from ._register import POWER, table


@table(
    "benchmarks/uncertain_knapsack.py",
    "Regret on new rows, % of the best value",
    [
        "items",
        "penalty",
        "predictor",
        "squared error",
        "tuned factor",
        "score function",
        "feasibility",
    ],
    [12, 12, 16, 15, 15, 15, 15],
)
def uncertain_knapsack():
    methods = ("squared error", "squared error, tuned factor", "score function", "feasibility")
    for label, predictor in (("linear", "line"), ("net", "net")):
        for items in ("8", "50"):
            for ratio in ("5", "10"):
                at = "uncertain_knapsack", f"{items} items, penalty ratio {ratio}"
                found = (cell(*at, (predictor, method), "regret") for method in methods)
                yield [items, ratio, label, *(rounded(s.split(" ±")[0], 1) for s in found)]


@table(
    "benchmarks/recourse.py",
    "Mean cost of a plan of least squares, and differences to it",
    ["predictor", "shipments", "shipments and the opening of depots"],
    [40, 30, 30],
)
def recourse():
    sections = "Shipments", "Shipments and depots"
    base = (cell("recourse", s, "least squares", "cost").split(" ±")[0] for s in sections)
    yield ["least squares", *base]
    for label, way in (
        ("least squares and a factor", "least squares, factor"),
        ("least squares and a margin", "least squares, margin"),
        ("a linear model trained through the layer", "regret through the layer"),
        ("a linear model trained on the score function", "score function"),
        ("hindsight", "perfect foresight"),
    ):
        row = [label]
        for section in sections:
            if (way, section) == ("regret through the layer", "Shipments and depots"):
                row.append("(no slopes)")
            else:
                row.append(rounded(cell("recourse", section, way, "against least squares"), 2))
        yield row


@table(
    "benchmarks/power_scheduling.py",
    "Cost of a day",
    ["predictor", "cost of a day", "difference to ridge with its best margin"],
    [46, 20, 34],
)
def power_points():
    for label, way in (
        ("ridge regression", "ridge"),
        ("ridge regression and its best margin", "ridge, best margin"),
        ("ridge regression and the newsvendor's margin", "ridge, newsvendor's margin"),
        ("a net trained on squared errors, and its best margin", "net, squared error, best margin"),
        ("a linear model trained for the decision", "line, decision-focused"),
        ("a net trained for the decision", "net, decision-focused"),
    ):
        # The best margin and the residuals cost the same to three decimals.
        off = rounded(cell(*POWER, way, "against ridge, residuals"), 2)
        cost = rounded(cell(*POWER, way, "cost of a day").split(" (")[0], 2)
        yield [label, cost, "" if way == "ridge, best margin" else off]
