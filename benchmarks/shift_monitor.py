"""When a monitor says that capacity for LLM services is to be fitted again.

Models are fitted on the first 40 % of the 2023 conversation trace of Azure's LLM inference service,
or on the first half day of the 2024 code trace. Reference rows follow, 30 % or one day, and then
the stream: later rows of the same service, in which any alarm is a false one as far as the service
did not change, or another service, a shift from its first row on. How many rows of 5 seconds pass
until the alarm of costs (the regret of capacity, or its cost) and that of features.

Run ``python benchmarks/shift_monitor.py``; writes results/shift_monitor.csv and
results/shift_monitor.md.
"""

import argparse
import time
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import markdown
from azure import N_LAGS, PROBLEM, WindowScaled, load_series
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from dfl_sklearn import ShiftMonitor
from dfl_sklearn.datasets import make_lagged
from dfl_sklearn.estimators import NaiveForecaster

RESULTS = Path(__file__).parent / "results"
MODELS = {
    "mean of the lags": NaiveForecaster("mean"),
    "least squares": LinearRegression(),
    "least squares, window-scaled": WindowScaled(),
}
OTHER = "2023 code"
DAY = 17_280
ALPHA = 0.025  # of each alarm, half of what both have


def part(rows, start, stop):
    """Return rows from `start` to `stop` but the first windows, which hold demand before them."""
    return tuple(each[start + (N_LAGS if start else 0) : stop] for each in rows)


def cases(data_home):
    """Yield a name, parameters of the monitor, training and reference rows and streams by name."""
    series = load_series(data_home)
    sets = {name: make_lagged(values, N_LAGS) for name, values in series.items()}
    rows = sets["2023 conversation"]
    n = len(rows[1])
    edges = [0, int(0.4 * n), int(0.7 * n), n]
    train, reference, later = (part(rows, *edge) for edge in pairwise(edges))
    streams = {"2023 conversation, later": later, OTHER: sets[OTHER]}
    yield "2023 conversation", {"horizon": 1000, "window": 50}, train, reference, streams
    if "2024 code" not in sets:
        return
    rows = sets["2024 code"]
    train, reference = part(rows, 0, DAY // 2), part(rows, DAY // 2, 3 * DAY // 2)
    streams = {
        "2024 code, the next day": part(rows, 3 * DAY // 2, 5 * DAY // 2),
        "2024 code, the day after": part(rows, 5 * DAY // 2, len(rows[1])),
        OTHER: sets[OTHER],
        "2023 conversation": sets["2023 conversation"],
    }
    yield "2024 code", {"horizon": DAY, "window": 200}, train, reference, streams


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-home")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    costs, features = [], []
    with threadpool_limits(1):
        for name, params, train, reference, streams in cases(args.data_home):
            known = name, params["horizon"], len(reference[1])
            for label, model in MODELS.items():
                fitted = model.fit(*train)
                for metric in ("regret", "cost"):
                    found = cost_alarms(fitted, metric, params["horizon"], reference, streams)
                    costs += [(*known, label, metric, *each) for each in found]
            found = feature_alarms(params, reference[0], streams)
            features += [(*known, params["window"], *each) for each in found]
            print(name, flush=True)
    known = ["reference", "horizon", "reference_rows"]
    cost_columns = [*known, "model", "metric", "stream", "rows", "alarm_after"]
    costs = pd.DataFrame(costs, columns=cost_columns).assign(alarm="costs")
    columns = [*known, "window", "stream", "rows", "alarm_after", "different", "tests", "seconds"]
    features = pd.DataFrame(features, columns=columns).assign(alarm="features")
    args.results.mkdir(exist_ok=True)
    results = pd.concat([costs, features])
    results.to_csv(args.results / "shift_monitor.csv", index=False, float_format="%.6g")
    text = report(costs, features)
    (args.results / "shift_monitor.md").write_text(text)
    print(text)


def cost_alarms(model, metric, horizon, reference, streams):
    """Yield each stream, its rows and the rows to the alarm, 0 for none, NaN where refused."""
    try:
        watch = ShiftMonitor(alpha=ALPHA, horizon=horizon).fit(
            costs=paid(model, metric, *reference)
        )
    except ValueError as error:
        print(error, flush=True)
        watch = None
    for stream, (X, y) in streams.items():
        at = np.nan
        if watch is not None:
            at = rows_until(deepcopy(watch).update(costs=paid(model, metric, X, y)).cost_alarm_at_)
        yield stream, len(y), at


def feature_alarms(params, reference, streams):
    """Yield each stream, its rows, the rows to the alarm, the windows found different, seconds."""
    watch = ShiftMonitor(alpha=ALPHA, **params).fit(reference)
    for stream, (X, _) in streams.items():
        start = time.perf_counter()
        told = deepcopy(watch).update(X)
        seconds = time.perf_counter() - start
        different = int((told.feature_p_values_ < told.feature_level_).sum())
        n_tests = len(told.feature_p_values_)
        yield stream, len(X), rows_until(told.feature_alarm_at_), different, n_tests, seconds


def paid(model, metric, X, y):
    """Return the cost or the regret of each decision."""
    cost = PROBLEM.cost(PROBLEM.solve(model.predict(X)), y)
    return cost - PROBLEM.optimal_cost(y) if metric == "regret" else cost


def rows_until(at):
    """Return a number of rows, 0 without an alarm."""
    return 0 if at is None else at + 1


def after(rows):
    """Write a number of rows to the alarm."""
    return f"{rows:.0f}" if rows else "none"


def report(costs, features):
    """Return the tables as Markdown."""
    text = (
        "# How many rows of 5 seconds pass until an alarm\n\n"
        f"Each alarm may be a false one in {ALPHA:.1%} of periods: of 1000 rows with the reference "
        "of 2023, of a day with that of 2024. The later rows of the service of the reference tell "
        "false alarms.\n\n## Costs\n"
    )
    for metric, part in costs.groupby("metric", sort=False):
        watched = part.dropna(subset="alarm_after")
        text += f"\n### Sum of {metric}s\n\n"
        if len(watched) < len(part):
            text += (
                "Where a model is missing, its costs follow the demand so slowly that the "
                "reference is worth fewer than 30 independent ones, and is refused: "
                f"{len(part) - len(watched)} of {len(part)}.\n\n"
            )
        lines = [
            [
                *(f"{row['reference']}, {row['reference_rows']} rows", row["stream"]),
                *(str(row["rows"]), row["model"], after(row["alarm_after"])),
            ]
            for _, row in watched.sort_values(["reference", "stream"], kind="stable").iterrows()
        ]
        header = ["reference", "stream", "rows", "model", "alarm after"]
        text += markdown(header, lines) if lines else ""
    lines = [
        [
            *(f"{row['reference']}, {row['reference_rows']} rows", str(row["window"])),
            *(row["stream"], str(row["rows"]), after(row["alarm_after"])),
            f"{row['different']} of {row['tests']}",
            f"{1e3 * row['seconds'] / max(1, row['tests']):.0f}",
        ]
        for _, row in features.iterrows()
    ]
    header = ["reference", "window", "stream", "rows", "alarm after", "windows different"]
    return text + "\n## Features\n\n" + markdown([*header, "ms a test"], lines)


if __name__ == "__main__":
    main()
