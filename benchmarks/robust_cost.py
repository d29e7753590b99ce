"""What robust training costs: one fit, one more radius, and growth with the number of rows.

Everything on one thread. Ratios are of fits in turns within one run. "One more radius" is a fit
whose generator and pretrained predictor are in the cache, against the plain fit of the same
predictor on the same rows. Growth is that of whole fits in fresh processes, with peak memory.

Run ``python benchmarks/robust_cost.py``; writes results/robust_cost.csv and results/robust_cost.md.
"""

import argparse
import re
import tempfile
import time
import warnings
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from azure import load_series
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_lagged, make_newsvendor
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem
from dfl_sklearn.robust import PolicyGradientSearch

RESULTS = Path(__file__).parent / "results"
PROBLEM = NewsvendorProblem(9, 1)


def timed(estimator, X, y):
    """Return the seconds that a fit takes."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    return time.perf_counter() - start


def azure_fits(data_home, repeats):
    """Time fits at defaults on the 694 windows of the training series, nominal model included."""
    X, y = make_lagged(load_series(data_home)["2023 conversation"], 7)
    for seed in range(repeats):
        for name, search in (("tilted", None), ("policy gradient", PolicyGradientSearch())):
            model = DiffusionDRODFLRegressor(
                ProvisioningProblem(), search=search, random_state=seed
            )
            yield f"fit at defaults, {name}, Azure", len(y), timed(model, X, y), "s"


def one_more_radius(n_rows, repeats):
    """Time a fit whose generator and pretrained predictor are known, against a plain fit."""
    X, y = make_newsvendor(n_rows, 10, random_state=0)
    for hidden in ((), (32, 32)):
        for seed in range(repeats):
            params = {"hidden_layer_sizes": hidden, "random_state": seed}
            with tempfile.TemporaryDirectory() as cache:
                robust = DiffusionDRODFLRegressor(PROBLEM, radius=0.02, memory=cache, **params)
                first = timed(robust, X, y)
                plain = timed(DFLRegressor(PROBLEM, **params), X, y)
                more = timed(robust.set_params(radius=0.05), X, y)
            what = "linear" if not hidden else "MLP"
            yield f"one more radius / plain fit, {what}", n_rows, more / plain, "ratio"
            yield f"first radius, {what}", n_rows, first, "s"
            yield f"plain fit, {what}", n_rows, plain, "s"


def whole_fit(n_rows, queue):
    """Fit at defaults in this process and report seconds and the peak memory in GB."""
    torch.set_num_threads(1)
    X, y = make_newsvendor(n_rows, 10, random_state=0)
    with threadpool_limits(1):
        seconds = timed(DiffusionDRODFLRegressor(PROBLEM, random_state=0), X, y)
    # Of this process alone; ru_maxrss would be its parent's, where that was larger.
    status = Path("/proc/self/status").read_text()
    queue.put((seconds, int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20))


def growth(n_rows):
    """Time a fit and measure its memory in a process of its own."""
    context = get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=whole_fit, args=(n_rows, queue))
    process.start()
    while queue.empty() and process.is_alive():
        time.sleep(0.5)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"The fit on {n_rows} rows ended with exit code {process.exitcode}.")
    seconds, gigabytes = queue.get()
    yield "fit at defaults", n_rows, seconds, "s"
    yield "microseconds a row", n_rows, 1e6 * seconds / n_rows, "us"
    yield "peak memory of the process", n_rows, gigabytes, "GB"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    records = []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        parts = [
            azure_fits(args.data_home, args.repeats),
            *(one_more_radius(n, args.repeats) for n in (1_000, 10_000, 100_000)),
            *(growth(n) for n in 10 ** np.arange(3, 7) if n <= args.largest),
        ]
        for part in parts:
            for what, n, value, unit in part:
                print(f"{what}, {n:,} rows: {value:.3g} {unit}", flush=True)
                records.append({"what": what, "n": n, "value": value, "unit": unit})
    results = pd.DataFrame(records)
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "robust_cost.csv", index=False)
    lines = [
        "# What robust training costs, one core\n",
        "| what | rows | median | range | unit |",
        "|---|---|---|---|---|",
    ]
    for (what, n, unit), part in results.groupby(["what", "n", "unit"], sort=False):
        low, middle, high = part["value"].quantile([0, 0.5, 1])
        lines.append(f"| {what} | {n:,} | {middle:.3g} | {low:.3g} to {high:.3g} | {unit} |")
    text = "\n".join(lines) + "\n"
    (args.results / "robust_cost.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
