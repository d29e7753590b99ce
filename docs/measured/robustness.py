"""Ambiguity sets and conservative baselines."""

from results import cell, rounded

from ._register import table

TWO_NETS = "linear", "MLP"


@table(
    "benchmarks/newsvendor_shift.py",
    "Change of the worst shifted cost against plain training, %",
    [
        "method",
        "linear",
        "MLP",
        "3D-Learning, averaged, minus this; linear",
        "3D-Learning, averaged, minus this; MLP",
    ],
    [36, 16, 16, 16, 16],
)
def newsvendor_shift():
    for label, way in (
        ("inflated underage cost", "margin"),
        ("inflated underage cost, 10 bootstrap fits averaged", "margin, bagged"),
        ("inflated underage cost, 10 seeds averaged", "margin, averaged"),
        ("quantile regression, raised level", "quantile regression"),
        ("3D-Learning, tilted", "diffusion, tilted"),
        ("3D-Learning, tilted, 5 seeds averaged", "diffusion, tilted, averaged"),
        ("3D-Learning, tilted, generated rows alone", "diffusion, tilted, generator alone"),
        ("3D-Learning, policy gradient", "diffusion, policy gradient"),
    ):
        averaged = "diffusion, tilted, averaged"
        found = [where_measured(f"{net} predictor", way, "against plain") for net in TWO_NETS]
        found += [
            where_measured(f"{net} predictor", averaged, f"against {way}") for net in TWO_NETS
        ]
        yield [label, *(rounded(text) for text in found)]


def where_measured(*where):
    """Return a cell, empty for what was not measured with a net."""
    try:
        return cell("newsvendor_shift", *where)
    except KeyError:
        return ""


@table(
    "benchmarks/newsvendor_population.py",
    "Change of the cost of the shift at a price of 5 %, %",
    ["method", "linear", "MLP"],
    [52, 24, 24],
)
def newsvendor_population():
    title = "Newsvendor 9:1 with endless data: cost of the common regime at equal price"
    for label, way in (
        ("inflated underage cost", "margin (underage cost)"),
        ("worst case near the true distribution", "worst case near the true distribution (nats)"),
        ("trained on the shift to come", "knows the shift (share of shifted rows)"),
    ):
        found = (cell("newsvendor_population", title, (n, way), "price 5%") for n in TWO_NETS)
        yield [label, *(rounded(text) for text in found)]


FAMILIES = "newsvendor 9:1", "newsvendor 1:1", "provisioning", "portfolio"
MARKS = {"*": r"\*", "†": " †", "": ""}


@table(
    "benchmarks/shift_suite.py",
    "Change of the worst shifted regret against plain training, %",
    ["method", "all families", *FAMILIES, "3D-Learning, tilted, averaged, minus this"],
    [25, 14, 14, 14, 13, 13, 13],
)
def shift_suite():
    last = "diffusion, tilted, averaged, less this"
    ranked = (
        "diffusion, tilted, averaged",
        "margin, averaged",
        "margin, bagged",
        "KL, averaged",
        "nominal samples, margin",
        "margin",
        "CVaR, averaged",
        "chi-square, averaged",
        "diffusion, tilted",
        "Wasserstein, averaged",
        "KL",
        "CVaR",
        "quantile regression",
        "chi-square",
        "Wasserstein",
        "diffusion, policy gradient",
        "Gaussian noise",
        "plain",
    )
    for label, mark in (
        *((each, "") for each in ranked),
        ("least squares, padded", "*"),
        ("boosting, padded", "*"),
        ("diffusion, radius chosen", "†"),
    ):
        found = (
            cell("shift_suite", "All families, MLP", label + mark, column)
            for column in ("all families", *FAMILIES, last)
        )
        yield [renamed(label) + MARKS[mark], *(rounded(text) for text in found)]


def renamed(label):
    """Return the name of a method in the guide, which differs from that in the results."""
    if label.endswith("padded"):
        return label.replace(", padded", " and a margin")
    for old, new in (
        ("nominal samples, margin", "generated rows and an inflated cost"),
        ("margin", "inflated cost"),
        ("diffusion", "3D-Learning"),
        ("plain", "plain training"),
    ):
        if label.startswith(old):
            return label.replace(old, new, 1)
    return label


@table(
    "benchmarks/rare_group.py",
    "Change of the regret against plain training under the shift, %",
    ["method", "linear", "MLP"],
    [52, 24, 24],
)
def rare_group():
    title = "A rare group that becomes frequent, 500 rows"
    for label, way in (
        ("decisions for the true mean costs", "the true mean costs, known"),
        ("weights, estimated from features", "weights, unlabelled rows"),
        ("weights, true ratios of densities", "true ratios"),
        ("KL ball", "KL ball, 0.1"),
        ("group DRO", "Group DRO"),
        ("just train twice", "just train twice"),
        ("Sinkhorn ball", "Sinkhorn ball, 0.1"),
        ("3D-Learning", "3D-Learning, 0.1"),
    ):
        nets = ("line", "MLP")
        yield [label, *(rounded(cell("rare_group", title, (n, way), "shift")) for n in nets)]


@table(
    "benchmarks/azure.py",
    "Normalised regret under shift: mean over seeds, and standard deviation",
    ["method", "published protocol", "protocol without repeated rows"],
    [44, 28, 28],
)
def azure():
    for label, way in (
        ("last value", "last value"),
        ("least squares, windows divided by their mean", "least squares, window-scaled"),
        ("linear, decision-focused", "linear net, decision-focused"),
        ("linear, 3D-Learning", "linear net, 3D-Learning"),
        ("MLP, decision-focused", "MLP, decision-focused"),
        ("MLP, 3D-Learning", "MLP, 3D-Learning"),
        ("MLP, 3D-Learning, radius 0.0001", "MLP, 3D-Learning, radius 0.0001"),
        ("MLP, generated rows without a worst case", "MLP, nominal samples"),
        ("MLP, Perlin noise", "MLP, Perlin noise"),
        ("LSTM, decision-focused (3 seeds)", "LSTM, decision-focused"),
        ("LSTM, 3D-Learning (3 seeds)", "LSTM, 3D-Learning"),
    ):
        protocols = ("Protocol: published", "Protocol: honest")
        found = (cell("azure", each, way, "mean, shifted") for each in protocols)
        yield [label, *(rounded(text, 3) for text in found)]


@table(
    "benchmarks/stress_choice.py",
    "A choice without a shifted row: share of hindsight's gain that it keeps, and its price, %",
    ["chosen", "by", "gain kept", "price, mean", "price, newsvendor 9:1"],
    [30, 34, 12, 12, 12],
)
def stress_choice():
    of_fold = "generator of fold, stress"
    for what, by, key in (
        ("radius of 3D-Learning", "``CostTailSplit``", "radius, CostTailSplit"),
        ("radius of 3D-Learning", "stress test, radius 0.03", f"radius, {of_fold} 0.03"),
        ("radius of 3D-Learning", "stress test, radius 0.05", f"radius, {of_fold} 0.05"),
        ("radius of 3D-Learning", "stress test, radius 0.1", f"radius, {of_fold} 0.1"),
        ("radius, inflated cost or quantile", "stress test, radius 0.05", f"all, {of_fold} 0.05"),
        ("radius, inflated cost or quantile", "stress test, radius 0.1", f"all, {of_fold} 0.1"),
    ):
        where = "stress_choice", "Choosing by a stress test", (key,)
        kept, price = (cell(*where, of) for of in ("share of hindsight's gain", "mean price"))
        at = cell(*where, "newsvendor 9:1").partition(" at ")[2]
        yield [what, by, rounded(kept), rounded(price), rounded(at)]
