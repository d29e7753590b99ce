"""What the measured tables of the guide hold: one function per table, which yields its rows."""

import re
from collections import namedtuple
from statistics import mean

from results import MINUS, RESULTS, cell, records, rounded, tables

Table = namedtuple("Table", "name title head widths css rows")
TABLES = {}


def table(command, title, head, widths, css="measured"):
    """Register a function that yields rows; `command` produced the numbers."""

    def register(rows):
        titled = f"{title} (``python {command}``)"
        TABLES[rows.__name__] = Table(rows.__name__, titled, head, widths, css, rows)
        return rows

    return register


# -- linear costs ----------------------------------------------------------------------


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
    ["trained", "citations", "published", "CPU seconds"],
    [50, 20, 15, 15],
)
def cora_matching():
    title = "Matching citations on Cora, 30 splits"
    for label, way, published in (
        ("for the matching", "decision-focused", "6.15"),
        ("by the log loss, to the end", "two-stage", ""),
        ("by the log loss, two passes as in the paper's code", "two-stage, two passes", "3.49"),
        ("random forest", "random forest", "3.66"),
        ("for the matching, symmetric", "decision-focused, symmetric", ""),
        ("by the log loss to the end, symmetric", "two-stage, symmetric", ""),
        ("not at all (random)", "random", "2.45"),
    ):
        seconds = cell("cora_matching", title, way, "CPU seconds")
        found = rounded(cell("cora_matching", title, way, "matches"), 1)
        yield [label, found, published, seconds if way != "random" else ""]


# -- uncertain constraints and recourse ------------------------------------------------


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
    for predictor in ("line", "net"):
        for items in ("8", "50"):
            for ratio in ("5", "10"):
                at = "uncertain_knapsack", f"{items} items, penalty ratio {ratio}"
                found = (cell(*at, (predictor, method), "regret") for method in methods)
                yield [items, ratio, predictor, *(rounded(s.split(" ±")[0], 1) for s in found)]


@table(
    "benchmarks/recourse.py",
    "Mean cost of a plan, and differences to it",
    ["predictor", "shipments", "with depots to be opened or not"],
    [40, 30, 30],
)
def recourse():
    sections = "Shipments", "Shipments and depots"
    base = (cell("recourse", s, "least squares", "cost").split(" ±")[0] for s in sections)
    yield ["least squares", *base]
    for label, way in (
        ("least squares and a factor", "least squares, factor"),
        ("least squares and a margin", "least squares, margin"),
        ("a line trained through the layer", "regret through the layer"),
        ("a line trained on the score function", "score function"),
        ("perfect foresight", "perfect foresight"),
    ):
        row = [label]
        for section in sections:
            if (way, section) == ("regret through the layer", "Shipments and depots"):
                row.append("(whole numbers have no slopes)")
            else:
                row.append(rounded(cell("recourse", section, way, "against least squares"), 2))
        yield row


POWER = "power_scheduling", "Power scheduling"


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
        ("a line trained for the decision", "line, decision-focused"),
        ("a net trained for the decision", "net, decision-focused"),
    ):
        # The best margin and the residuals cost the same to three decimals.
        off = rounded(cell(*POWER, way, "against ridge, residuals"), 2)
        cost = rounded(cell(*POWER, way, "cost of a day").split(" (")[0], 2)
        yield [label, cost, "" if way == "ridge, best margin" else off]


# -- scenarios -------------------------------------------------------------------------


@table(
    "benchmarks/scenarios.py",
    "Regret beside that of five averaged policies, %; on the restaurant the cost beside theirs",
    ["decides from", "products", "portfolio", "capacities", "shifted", "restaurant"],
    [30, 14, 14, 14, 14, 14],
)
def scenarios():
    for label, way in (
        ("least squares", "least squares"),
        ("least squares and a margin", "least squares, margin"),
        ("five decision-focused nets", "decision-focused, five averaged"),
        ("residuals of least squares", "residuals"),
        ("residuals with a scale", "residuals, scaled"),
        ("residuals of a forest", "residuals of a forest"),
        ("leaves of a forest", "forest weights"),
        ("neighbours", "neighbours"),
        ("the maker with the least cross-validated cost", "chosen"),
        ("residuals with a scale and a margin", "residuals, scaled, margin"),
        ("residuals with a scale, CVaR", "residuals, scaled, CVaR"),
        ("residuals with a scale, a KL ball", "residuals, scaled, KL"),
    ):
        families = ("Shared capacity", "Loss portfolio", "Flexible capacity")
        each = [rounded(cell("scenarios", f, way, "no shift"), 0) for f in families]
        shifted = rounded(cell("scenarios", "All families", way, "shifted"), 0)
        yield [
            label,
            *each,
            shifted,
            rounded(cell("scenarios", "Restaurant", way, "difference"), 1),
        ]


@table(
    "benchmarks/scenarios.py",
    "The same for nets: the mean of three seeds and, in brackets, each of them",
    ["decides from", "products", "shifted", "restaurant"],
    [30, 25, 25, 20],
)
def scenario_nets():
    regret = {}
    for each in records("scenarios"):
        if each["family"] == "shared capacity" and each["seed"] in "012":
            key = each["way"], each["shift"] != "none", each["seed"]
            regret.setdefault(key, []).append(float(each["regret"]))

    def beside(way, shifted):
        policies = "policy, five averaged"
        ratios = [
            100 * (mean(regret[way, shifted, s]) / mean(regret[policies, shifted, s]) - 1)
            for s in "012"
        ]
        each = ", ".join(rounded(f"{ratio:+.6f}", 0) for ratio in ratios)
        return f"{rounded(f'{mean(ratios):+.6f}', 0)} ({each})"

    for label, way in (
        ("a mixture, linear in x", "mixture"),
        ("the diffusion model", "diffusion"),
        ("a normal distribution, linear in x", "Gaussian"),
        ("the same, trained for the decision", "Gaussian, trained for the decision"),
        ("the flagship, a point", "flagship"),
        ("the flagship, five averaged", "flagship, five averaged"),
        ("the flagship over scenarios", "flagship, scenarios"),
        ("residuals with a scale", "residuals, scaled"),
    ):
        restaurant = rounded(cell("scenarios", "Restaurant", way, "difference"), 1)
        yield [label, beside(way, False), beside(way, True), restaurant]


@table(
    "benchmarks/power_scheduling.py",
    "Cost of a day",
    ["decides from", "cost", "CPU seconds of a fit"],
    [52, 24, 24],
)
def power_scenarios():
    for label, way in (
        ("residuals of a ridge regression", "ridge, residuals"),
        ("the same with a scale", "ridge, residuals with a scale"),
        ("ridge regression and the newsvendor's margin", "ridge, newsvendor's margin"),
        ("a policy", "policy"),
        ("a net trained for the decision, a point", "net, decision-focused"),
        ("a normal distribution of each hour, by likelihood", "Gaussian"),
        ("the same, trained for the decision", "Gaussian, decision-focused"),
        ("the same, by the score function", "Gaussian, score function"),
        ("a diffusion model", "diffusion"),
        ("the same, four epochs trained for the decision", "diffusion, decision-focused"),
        ("the same, by the score function", "diffusion, score function"),
    ):
        cost = rounded(cell(*POWER, way, "cost of a day").split(" (")[0], 2)
        seconds = cell(*POWER, way, "CPU seconds")
        yield [label, cost, seconds if float(seconds) < 1 else rounded(seconds, 0)]


# -- certificates ----------------------------------------------------------------------


@table(
    "benchmarks/storage.py",
    "Mean cost, mean promise, and share of promises kept, %",
    [
        "model and promise",
        "cost, time",
        "promise, time",
        "kept, time",
        "cost, shuffled",
        "promise, shuffled",
        "kept, shuffled",
    ],
    [34, 11, 11, 11, 11, 11, 11],
)
def storage():
    default = "planned, tail 0.5 (default)"
    for label, model, way in (
        ("ridge on logs, ``scale=None``", "ridge on logs", "no scale"),
        ("ridge on logs, the default", "ridge on logs", default),
        ("ridge on logs, ``tail=0``", "ridge on logs", "planned, tail 0"),
        ("ridge on logs, ``tail=1``", "ridge on logs", "planned, tail 1"),
        ('ridge on logs, ``scale="ridge"``', "ridge on logs", "ridge, tail 0.5"),
        ("ridge on logs, box", "ridge on logs", "box"),
        ("ridge on logs, ellipsoid", "ridge on logs", "ellipsoid"),
        ("forest on logs, the default", "forest on logs", default),
        ("ridge on prices, the default", "ridge on prices", default),
    ):
        row = [label]
        for split in ("time", "shuffled"):
            for column in ("mean cost", "mean promise", "kept"):
                text = cell("storage", split, (model, way), column)
                row.append(rounded(text.split(" (")[0]))
        yield row


# -- robustness ------------------------------------------------------------------------


@table(
    "benchmarks/newsvendor_shift.py",
    "Change of the worst shifted cost against plain training, %",
    ["method", "linear", "MLP"],
    [52, 24, 24],
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
        row = [label]
        for net in ("linear", "MLP"):
            try:
                row.append(cell("newsvendor_shift", f"{net} predictor", way, "against plain"))
            except KeyError:  # not measured with this net
                row.append("")
        yield [rounded(text) if i else text for i, text in enumerate(row)]


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
        ("worst case near the true distribution", "worst case near the true law (nats)"),
        ("trained on the shift to come", "knows the shift (share of shifted rows)"),
    ):
        found = (cell("newsvendor_population", title, (n, way), "price 5%") for n in TWO_NETS)
        yield [label, *(rounded(text) for text in found)]


TWO_NETS = "linear", "MLP"
FAMILIES = "newsvendor 9:1", "newsvendor 1:1", "provisioning", "portfolio"
MARKS = {"*": r"\*", "†": " †", "": ""}


@table(
    "benchmarks/shift_suite.py",
    "Change of the worst shifted regret against plain training, %",
    ["method", "all families", *FAMILIES, "difference to diffusion, tilted, averaged"],
    [25, 14, 14, 14, 13, 13, 13],
)
def shift_suite():
    last = "diffusion, tilted, averaged, less this"
    for label, mark in (
        *(
            (each, "")
            for each in (
                "margin, averaged",
                "diffusion, tilted, averaged",
                "margin, bagged",
                "KL, averaged",
                "margin",
                "CVaR, averaged",
                "chi-square, averaged",
                "Wasserstein, averaged",
                "KL",
                "CVaR",
                "quantile regression",
                "chi-square",
                "Wasserstein",
                "nominal samples, margin",
                "diffusion, policy gradient",
                "plain",
            )
        ),
        ("least squares, padded", "*"),
        ("boosting, padded", "*"),
        ("Gaussian noise", "*"),
        ("diffusion, tilted", "*"),
        ("diffusion, radius chosen", "†"),
    ):
        found = (
            cell("shift_suite", "All families, MLP", label + mark, column)
            for column in ("all families", *FAMILIES, last)
        )
        yield [label + MARKS[mark], *(rounded(text) for text in found)]


# -- fine-tuning and experts -----------------------------------------------------------


@table(
    "benchmarks/fine_tuning.py",
    "Cost before and after; change as % of the backbone's regret, and fits in which it was used",
    ["task", "least squares", "random forest", "boosting"],
    [31, 23, 23, 23],
)
def fine_tuning():
    costs = {}
    for each in records("fine_tuning"):
        pair = float(each["before"]), float(each["after"])
        costs.setdefault((each["task"], each["backbone"]), []).append(pair)
    title = "Fine-tuning backbones for the decision, 10 seeds"
    for task in dict.fromkeys(task for task, _ in costs):
        row = [task]
        for backbone in ("least squares", "random forest", "boosting"):
            digits = {"capacity": 5, "coverage, 2 of 5": 3}.get(task, 2)
            before, after = (mean(column) for column in zip(*costs[task, backbone], strict=True))
            regret = cell("fine_tuning", title, (task, backbone), "of regret").split(" (")[0]
            used = cell("fine_tuning", title, (task, backbone), "used")
            numbers = (rounded(f"{value:.8f}", digits) for value in (before, after))
            row.append(f"{' → '.join(numbers)} ({rounded(regret, 0)} %, {used})")
        yield row


@table(
    "benchmarks/azure_experts.py",
    "Normalised regret",
    ["decides", "conversation 2023, 202 rows", "code 2023, 681 rows", "code 2024, 60,472 rows"],
    [40, 20, 20, 20],
)
def azure_experts():
    title = "Experts mixed as the service runs: normalised regret"
    for label, way in (
        ("last value", "last value"),
        ("mean of the lags", "mean of the lags"),
        ("least squares, windows scaled", "least squares, window-scaled"),
        ("decision-focused line", "decision-focused line"),
        ("the flagship, radius 0.1", "3D-Learning, radius 0.1"),
        ("the mixture", "mixture"),
        ("the mixture, ``tracking=False``", "mixture, no tracking"),
    ):
        series = ("2023 conversation", "2023 code", "2024 code")
        found = (cell("azure_experts", title, way, column).split(" ±")[0] for column in series)
        yield [label, *found]


# -- beside other libraries ------------------------------------------------------------


@table(
    "benchmarks/pyepo_linear.py",
    "SPO+ beside PyEPO 2.2: regret on new rows, % of the optimal cost, and time of an epoch",
    ["problem", "trained by", "regret", "difference to ours", "epoch, ms", "times ours"],
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
    "Layers beside cvxpylayers 1.2 (DIFFCP), 64 rows forward and backward on one thread",
    ["program", "ours, ms", "cvxpylayers, ms", "times ours", "gradient off, ours", "theirs"],
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
    "Linear regression beside dro 0.4.3: relative gap of our worst-case loss to theirs",
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


# -- speed and size --------------------------------------------------------------------


@table(
    "benchmarks/speed.py",
    "Speed on one core: rows per second, and time of an epoch beside a bare torch loop",
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
    ["predictor", "rows", "plain fit", "first radius", "each further radius, plain fits"],
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
    "Five nets trained side by side, beside one",
    ["problem", "net", "rows", "one net, s", "five together, times one", "change of regret, %"],
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


# -- papers ----------------------------------------------------------------------------


def minutes(name):
    """Return what run_all.py says of a benchmark."""
    source = (RESULTS.parent / "run_all.py").read_text()
    return re.search(rf'^    "{name}": (\d+),$', source, re.M)[1]


def first(*where):
    """Return the mean of a cell, without its interval."""
    return rounded(re.split(r" [±(]", cell(*where))[0])


@table(
    "benchmarks/run_all.py",
    "Published experiments and what came of them here",
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
    for over in ("misaligned", "others"):
        found = first("fine_tuning", title, over, "mean change in cost")
        quantity = f"change in cost, tasks that are {over}, %".replace("are others", "are not")
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
        quantity = f"mean cost, {split} split, promises of 90 %"
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
    for way in ("residuals", "a point"):
        found = first("scenario_oracles", title, way, "n = 400")
        paper = "Residual SAA: Kannan, Bayraksan and Luedtke, 2024"
        quantity = f"gap to the best cost, {way}, 400 rows"
        name = "scenario_oracles"
        yield [paper, name, minutes(name), quantity, "(box plots)", found]

    section = "50 items, penalty ratio 10"
    for way in ("squared error", "score function"):
        found = first("uncertain_knapsack", section, ("line", way), "regret")
        name = "uncertain_knapsack"
        quantity = f"regret of a line, {way}, 50 items, penalty 10, %"
        yield ["Score function: Silvestri et al., 2026", name, minutes(name), quantity, "", found]

    for way in ("squared error", "perturbed Fenchel-Young"):
        found = first("linear_losses", "shortest path 5x5", ("linear", way), "nominal")
        name = "linear_losses"
        quantity = f"regret of a line, {way}, 5x5 paths, %"
        paper = "Perturbed optimizers: Berthet et al., 2020"
        yield [paper, name, minutes(name), quantity, "(other tasks)", found]
