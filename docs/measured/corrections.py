"""Fine-tuned backbones and mixtures of experts."""

from statistics import mean

from results import cell, records, rounded

from ._register import table


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
    "benchmarks/fine_tuning.py",
    "Mean cost on the newsvendors with asymmetric costs",
    ["model", "9:1, 100 rows", "9:1, 500 rows", "1:9, 100 rows"],
    [40, 20, 20, 20],
)
def known_statistic():
    title = "Fine-tuning backbones for the decision, 10 seeds"
    for label, way in (
        ("linear quantile regression", "linear quantile"),
        ("linear ``DFLRegressor``", "decision-focused, linear"),
        ("least squares, fine-tuned", "least squares, fine-tuned"),
        ("random forest, fine-tuned", "random forest, fine-tuned"),
        ("boosting, fine-tuned", "boosting, fine-tuned"),
        ("boosting with the quantile loss", "boosted quantile"),
    ):
        tasks = (f"newsvendor {each} rows" for each in ("9:1, 100", "9:1, 500", "1:9, 100"))
        yield [label, *(rounded(cell("fine_tuning", title, way, task)) for task in tasks)]


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
        ("the mixture of ten", "mixture of ten"),
        ("of ten, ``tracking=False``", "mixture of ten, no tracking"),
        ("of ten, weights of the last tenth", "mixture of ten, weights of the last tenth"),
        ("the mixture of twelve", "mixture with five radii"),
        (
            "of twelve, weights of the last tenth",
            "mixture with five radii, weights of the last tenth",
        ),
    ):
        series = ("2023 conversation", "2023 code", "2024 code")
        found = (cell("azure_experts", title, way, column).split(" ±")[0] for column in series)
        yield [label, *found]
