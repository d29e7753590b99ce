"""Memory and time of decisions over many scenarios: 100,000 rows with 1,000 scenarios each.

A newsvendor with two products and a shared capacity decides over the scenarios of three makers,
fitted to 1,000 rows. Each is measured in a fresh process on one thread: the time of ``decide``, and
the peak of the process less what it held before. Scenarios of all rows together would take 1.6 GB.

Run ``python benchmarks/scenario_memory.py``; writes results/scenario_memory.csv and
results/scenario_memory.md.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results"
N_TRAIN = 1_000
N_SCENARIOS = 1_000
MAKERS = ("residuals", "forest weights", "Gaussian")


def measure(maker, n_rows):
    """Print the seconds and the gigabytes of deciding for `n_rows`, in this process."""
    import numpy as np
    import torch
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression
    from threadpoolctl import threadpool_limits

    from dfl_sklearn import TwoStageRegressor
    from dfl_sklearn.problems import MultiProductNewsvendorProblem
    from dfl_sklearn.scenarios import GaussianScenarios, LocalScenarios, ResidualScenarios

    makers = {
        "residuals": ResidualScenarios(LinearRegression()),
        "forest weights": LocalScenarios(RandomForestRegressor(min_samples_leaf=5, random_state=0)),
        "Gaussian": GaussianScenarios(n_scenarios=N_SCENARIOS, random_state=0),
    }
    problem = MultiProductNewsvendorProblem([4, 6], 1, capacity=110)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_TRAIN, 3))
    y = 50 + 8 * X[:, :2] + rng.normal(scale=5, size=(N_TRAIN, 2))
    X_new = rng.normal(size=(n_rows, 3))
    torch.set_num_threads(1)
    with threadpool_limits(1):
        model = TwoStageRegressor(makers[maker], problem).fit(X, y)
        model.decide(X_new[:10])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        model.decide(X_new)
        seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, (after - before) / 2**20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--measure", choices=MAKERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.rows[0])
        return
    records = []
    for maker in MAKERS:
        for n_rows in args.rows:
            command = [sys.executable, __file__, "--measure", maker, "--rows", str(n_rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            records.append((maker, n_rows, *map(float, done.stdout.split())))
            print(*records[-1], flush=True)
    results = pd.DataFrame(records, columns=["maker", "rows", "cpu_seconds", "gigabytes"])
    results.to_csv(args.results / "scenario_memory.csv", index=False, float_format="%.6g")
    lines = [
        "# Decisions over 1,000 scenarios a row, one core\n",
        "Of `decide` in a fresh process: CPU seconds, and how far the peak of memory rises.\n",
        "| scenarios | rows | CPU seconds | GB |",
        "|---|---|---|---|",
    ]
    for maker, n_rows, seconds, size in records:
        lines.append(f"| {maker} | {n_rows:,} | {seconds:.1f} | {size:.2f} |")
    (args.results / "scenario_memory.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
