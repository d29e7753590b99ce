"""Linear costs: paths, packs and matchings."""

from results import cell, rounded

from ._register import table


@table(
    "benchmarks/cyclic_paths.py",
    "Regret on new rows, % of the optimal cost",
    ["graph", "degree", "squared error", "SPO+", "difference, points"],
    [28, 12, 20, 20, 20],
)
def cyclic_paths():
    for graph in ("two-way grid 5x5", "40 places"):
        for degree in ("4", "6"):
            at = "cyclic_paths", f"{graph}, degree {degree}"
            yield [
                graph,
                degree,
                rounded(cell(*at, "squared error", "regret"), 1),
                rounded(cell(*at, "SPO+", "regret"), 1),
                rounded(cell(*at, "SPO+", "difference to squared error"), 1),
            ]


@table(
    "benchmarks/linear_losses.py",
    "Regret on new rows, % of the optimal cost",
    ["predictor", "loss", "shortest path 5x5", "knapsack, 16 items", "matching 4x4", "5 of 20"],
    [14, 30, 14, 14, 14, 14],
)
def linear_losses():
    losses = [
        "squared error",
        "SPO+",
        "perturbed Fenchel-Young",
        "regret through the layer",
        "blackbox",
        "identity",
    ]
    keys = [("linear", each) for each in ("least squares", *losses)]
    for key in [*keys, *(("MLP", each) for each in losses), ("trees", "boosting")]:
        problems = ("shortest path 5x5", "knapsack, 16 items", "matching 4x4", "5 of 20")
        yield [*key, *(rounded(cell("linear_losses", p, key, "nominal"), 1) for p in problems)]


@table(
    "benchmarks/spo_plus_degrees.py",
    "Regret on new rows, % of the optimal cost",
    ["degree", "least squares", "random forest", "linear, SPO+"],
    [16, 28, 28, 28],
)
def spo_plus_degrees():
    title = "A line that gets more and more wrong, 10 seeds"
    for degree in "12468":
        ways = ("least squares", "random forest", "SPO+")
        yield [degree, *(rounded(cell("spo_plus_degrees", title, degree, w), 1) for w in ways)]


@table(
    "benchmarks/cora_matching.py",
    "Citations per test instance, of 40.2 possible ones",
    ["net trained", "citations", "published", "for the matching, times this", "CPU seconds"],
    [40, 16, 12, 20, 12],
)
def cora_matching():
    title = "Matching citations on Cora, 30 splits"
    for label, way, published in (
        ("for the matching", "decision-focused", "6.15"),
        ("by the log loss, to the end", "two-stage", ""),
        ("by the log loss, two passes as in the paper's code", "two-stage, two passes", "3.49"),
        ("for the matching, symmetric", "decision-focused, symmetric", ""),
        ("by the log loss to the end, symmetric", "two-stage, symmetric", ""),
        ("(a random forest)", "random forest", "3.66"),
        ("(random predictions)", "random", "2.45"),
    ):
        seconds = cell("cora_matching", title, way, "CPU seconds")
        found = rounded(cell("cora_matching", title, way, "matches"), 1)
        ratio = rounded(cell("cora_matching", title, way, "ratio"), 1)
        yield [label, found, published, ratio, seconds if way != "random" else ""]


@table(
    "benchmarks/coverage.py",
    "Targets reached with ten of 100 items, generated data",
    ["predictions", "customers reached by channels", "actors reached by films"],
    [52, 24, 24],
)
def coverage():
    for label, way in (
        ("linear net, trained for the cover", "decision-focused, one layer"),
        ("linear net, log loss to the end", "two-stage, one layer"),
        ("linear net, as in the paper's code", "two-stage as published, one layer"),
        ("net with a hidden layer, trained for the cover", "decision-focused, two layers"),
        ("net with a hidden layer, log loss to the end", "two-stage, two layers"),
        ("net with a hidden layer, as in the paper's code", "two-stage as published, two layers"),
        ("random forest", "random forest"),
        ("the outcomes (hindsight)", "foresight"),
        ("random", "random"),
    ):
        sections = "Budget allocation", "Recommendation"
        found = (cell("coverage", each, way, "k = 10") for each in sections)
        yield [label, *(rounded(text, 1) for text in found)]
