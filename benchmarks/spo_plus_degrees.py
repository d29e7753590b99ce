"""A line that gets more and more wrong: least squares, SPO+ and a forest on shortest paths.

The experiment of Elmachtoub and Grigas (Management Science 68, 2022, section 6.1): routes through a
grid of 5 x 5 nodes, and travel times that are a polynomial of five features, of degree 1 to 8. The
line is right for degree 1. 1,000 rows to train on and 2,000 to test on per seed; times vary by half
around the polynomial in both. The script ``examples/3_papers/shortest_path_spo_plus.py`` is the
same experiment as a story.

Run ``python benchmarks/spo_plus_degrees.py``; writes results/spo_plus_degrees.csv and
results/spo_plus_degrees.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd
from _equal_price import interval, plus_minus
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import make_shortest_path
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ShortestPathProblem

RESULTS = Path(__file__).parent / "results"
DEGREES = (1, 2, 4, 6, 8)


def ways(problem):
    """Return the models by name."""
    forest = RandomForestRegressor(100, min_samples_leaf=5, random_state=0)
    return {
        "least squares": TwoStageRegressor(LinearRegression(), problem),
        "random forest": TwoStageRegressor(forest, problem),
        "SPO+": DFLRegressor(problem, hidden_layer_sizes=(), random_state=0),
    }


def run(degree, seed):
    """Return one record per way."""
    problem = ShortestPathProblem.grid(5, 5)
    X, y = make_shortest_path(1000, degree=degree, random_state=2 * seed)
    X_test, y_test = make_shortest_path(2000, degree=degree, random_state=2 * seed + 1)
    found = []
    for way, model in ways(problem).items():
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        seconds = time.process_time() - start
        regret = normalized_regret(y_test, model.predict(X_test), problem=problem)
        found.append((degree, seed, way, regret, seconds))
    return found


def share(values):
    """Write the mean and its 95 % interval, in percent."""
    return plus_minus(*interval(values), ".2%")


def report(results):
    """Return the table as Markdown."""
    names = list(dict.fromkeys(results["way"]))
    lines = [
        f"# A line that gets more and more wrong, {results['seed'].nunique()} seeds\n",
        "Regret on 2,000 new rows as a share of the optimal cost, after 1,000 training rows; 95 % "
        "intervals over seeds. SPO+ trains the line that least squares fits. The last column is "
        "SPO+ less least squares, paired by seed.\n",
        f"| degree | {' | '.join(names)} | SPO+ less least squares |",
        "|" + "---|" * (len(names) + 2),
    ]
    for degree, part in results.groupby("degree", sort=False):
        by_seed = part.pivot(index="seed", columns="way", values="regret")
        found = [share(by_seed[name]) for name in names]
        found.append(share(by_seed["SPO+"] - by_seed["least squares"]))
        lines.append(f"| {degree} | {' | '.join(found)} |")
    seconds = results.groupby("way", sort=False)["seconds"].median()
    lines.append("\nCPU seconds of a fit, median: ")
    lines[-1] += ", ".join(f"{name} {value:.2f}" for name, value in seconds.items()) + "."
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    records = [row for degree in DEGREES for seed in range(args.seeds) for row in run(degree, seed)]
    results = pd.DataFrame(records, columns=["degree", "seed", "way", "regret", "seconds"])
    results.to_csv(args.results / "spo_plus_degrees.csv", index=False, float_format="%.6g")
    text = report(results)
    (args.results / "spo_plus_degrees.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
