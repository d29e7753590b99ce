"""Published numbers beside what came of them."""

import re

from results import MINUS, RESULTS, cell, rounded

from ._register import POWER, table


def minutes(name):
    """Return what run_all.py says of a benchmark."""
    source = (RESULTS.parent / "run_all.py").read_text()
    return re.search(rf'^    "{name}": (\d+),$', source, re.M)[1]


def first(*where):
    """Return the mean of a cell, without its interval."""
    return rounded(re.split(r" [±(]", cell(*where))[0])


@table(
    "benchmarks/run_all.py",
    "Published experiments, and their results here",
    ["paper", "file in ``benchmarks``", "minutes", "quantity", "published", "measured"],
    [20, 16, 8, 34, 11, 11],
    css="measured wide",
)
def papers():
    last = None
    for *paper, quantity, published, measured in experiments():
        yield [*(paper if paper != last else ("", "", "")), quantity, published, measured]
        last = paper


def experiments():
    """Yield the rows of the table of papers, each with its paper, file and minutes."""
    spo = "SPO+: Elmachtoub and Grigas, 2022", "spo_plus_degrees"
    title = "A line that gets more and more wrong, 10 seeds"
    for degree in "16":
        both = (first("spo_plus_degrees", title, degree, way) for way in ("SPO+", "least squares"))
        text = f"regret of SPO+ and least squares, degree {degree}, %"
        yield [spo[0], spo[1], minutes(spo[1]), text, "(figure)", " and ".join(both)]

    wilder = "Wilder, Dilkina and Tambe, 2019"
    title = "Matching citations on Cora, 30 splits"
    for quantity, way, published in (
        ("matches, decision-focused", "decision-focused", "6.15"),
        ("matches, two-stage as in its code", "two-stage, two passes", "3.49"),
        ("matches, two-stage to the end", "two-stage", ""),
        ("matches, random forest", "random forest", "3.66"),
    ):
        found = first("cora_matching", title, way, "matches")
        yield [wilder, "cora_matching", minutes("cora_matching"), quantity, published, found]
    for section, what in (("Budget allocation", "customers"), ("Recommendation", "actors")):
        for way in ("decision-focused, one layer", "two-stage, one layer"):
            at = "coverage", section, way
            published = cell(*at, "published").split(" / ")[1]
            quantity = f"{what} with ten items, {way} (generated data)"
            yield [
                wilder,
                "coverage",
                minutes("coverage"),
                quantity,
                published,
                first(*at, "k = 10"),
            ]

    title = "Protocol: published, averaged over mini-batches as in the released code"
    for way in ("MLP, decision-focused", "MLP, 3D-Learning", "least squares, window-scaled"):
        found = first("azure", title, way, "mean, shifted")
        quantity = f"normalised regret under shift, {way}"
        yield [
            "3D-Learning: Wen, Fan and Yang, 2026",
            "azure",
            minutes("azure"),
            quantity,
            "",
            found,
        ]

    title = "Fine-tuning backbones for the decision, 10 seeds"
    for over, kind in (("misaligned", "asymmetric costs"), ("others", "other costs")):
        found = first("fine_tuning", title, over, "mean change in cost")
        quantity = f"change in cost, tasks with {kind}, %"
        yield ["DFF: Yang et al., 2025", "fine_tuning", minutes("fine_tuning"), quantity, "", found]

    for way, published in (
        ("diffusion, decision-focused", "3.15"),
        ("diffusion, score function", "3.17"),
        ("Gaussian, decision-focused", "3.73"),
        ("net, decision-focused", "4.33"),
        ("policy", "4.44"),
        ("Gaussian", "5.58"),
        ("diffusion", "7.90"),
    ):
        paper = "Diffusion-DFL, ICLR 2026"
        found = rounded(first(*POWER, way, "cost of a day"), 2)
        quantity = f"cost of a day, {way}"
        yield [paper, "power_scheduling", minutes("power_scheduling"), quantity, published, found]

    for split, published in (("time", f"{MINUS}30.5"), ("shuffled", f"{MINUS}43.0")):
        way = "ridge on logs", "planned, tail 0.5 (default)"
        quantity = f"mean cost, {split} split, promised at 90 %"
        found = first("storage", split, way, "mean cost")
        paper = "Conformal end-to-end: Yeh et al., 2024"
        yield [paper, "storage", minutes("storage"), quantity, published, found]

    title = "Two newsvendors: expected cost over the best, median and quartiles, 50 seeds"
    for rows, published in (("100", "1.716"), ("200", "1.462"), ("400", "1.281"), ("800", "1.228")):
        found = first("scenario_oracles", title, "forest weights, leaves of 10", f"n = {rows}")
        quantity = f"cost of forest weights over the best, {rows} rows"
        paper = "Prescriptive forests: Kallus and Mao, 2023"
        name = "scenario_oracles"
        yield [paper, name, minutes(name), quantity, published, found]

    title = "Mean-CVaR portfolio: gap to the best expected cost, 20 seeds"
    for label, way in (("residuals", "residuals"), ("a point prediction", "a point")):
        found = first("scenario_oracles", title, way, "n = 400")
        paper = "Residual SAA: Kannan, Bayraksan and Luedtke, 2024"
        quantity = f"gap to the best cost, {label}, 400 rows"
        name = "scenario_oracles"
        yield [paper, name, minutes(name), quantity, "(box plots)", found]

    section = "50 items, penalty ratio 10"
    for way in ("squared error", "score function"):
        found = first("uncertain_knapsack", section, ("line", way), "regret")
        name = "uncertain_knapsack"
        quantity = f"regret of a linear model, {way}, 50 items, penalty 10, %"
        yield ["Score function: Silvestri et al., 2026", name, minutes(name), quantity, "", found]

    for way in ("squared error", "perturbed Fenchel-Young"):
        found = first("linear_losses", "shortest path 5x5", ("linear", way), "nominal")
        name = "linear_losses"
        quantity = f"regret of a linear model, {way}, 5x5 paths, %"
        paper = "Perturbed optimizers: Berthet et al., 2020"
        yield [paper, name, minutes(name), quantity, "(other tasks)", found]
