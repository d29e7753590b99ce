"""What five nets that decide together cost, and what they gain.

A net at defaults, `n_estimators=5`, and five fits with seeds of their own, averaged in the same
way. Time is that of the processor on one thread, of fits in turns. Regret is the mean over test
rows of the same distribution, as a share of the mean regret of the five separate fits each by
itself. Paired over seeds, with 95 % intervals.

Run ``python benchmarks/ensembles.py``; writes results/ensembles.csv and results/ensembles.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _equal_price import interval, markdown, percent, plus_minus
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import (
    make_newsvendor,
    make_portfolio,
    make_shortest_path,
    portfolio_covariance,
)
from dfl_sklearn.problems import NewsvendorProblem, PortfolioProblem, ShortestPathProblem
from dfl_sklearn.problems._average import averaged_decisions

RESULTS = Path(__file__).parent / "results"
N_TEST, N_NETS = 5000, 5
PROBLEMS = {
    "newsvendor 9:1": (NewsvendorProblem(9, 1), make_newsvendor),
    "shortest path 5x5": (ShortestPathProblem.grid(5, 5), make_shortest_path),
    "portfolio": (PortfolioProblem(portfolio_covariance(5), 0.25), make_portfolio),
}
CASES = [
    *((name, "MLP", DFLRegressor, {}) for name in PROBLEMS),
    *((name, "linear", DFLRegressor, {"hidden_layer_sizes": ()}) for name in list(PROBLEMS)[:2]),
    ("newsvendor 9:1", "flagship", DiffusionDRODFLRegressor, {}),
]


def fitted(model, X, y):
    """Return a fitted model and the seconds that it took the processor."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return model, time.process_time() - start


def measure(name, kind, estimator, params, n_rows, seed):
    """Return seconds and mean regrets of one training set."""
    problem, make = PROBLEMS[name]
    X, y = make(n_rows, random_state=seed)
    X_test, y_test = make(N_TEST, random_state=100_000 + seed)
    best = problem.optimal_cost(y_test).mean()

    def regret(decisions):
        return problem.cost(decisions, y_test).mean() - best

    singles, seconds = zip(
        *(
            fitted(estimator(problem, random_state=1000 * seed + k, **params), X, y)
            for k in range(N_NETS)
        ),
        strict=True,
    )
    model = estimator(problem, n_estimators=N_NETS, random_state=1000 * seed, **params)
    together, seconds_together = fitted(model, X, y)
    predictions = np.stack([each.predict(X_test) for each in singles])
    return {
        **{"problem": name, "kind": kind, "rows": n_rows, "seed": seed},
        "seconds": np.mean(seconds),
        "seconds_together": seconds_together,
        "regret": np.mean([regret(each.decide(X_test)) for each in singles]),
        "regret_together": regret(together.decide(X_test)),
        "regret_averaged": regret(averaged_decisions(problem, predictions)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    records = []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        for case in CASES:
            for n_rows in args.rows:
                records += [measure(*case, n_rows, seed) for seed in range(args.seeds)]
                print(f"{case[0]}, {case[1]}, {n_rows} rows", flush=True)
    results = pd.DataFrame(records)
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "ensembles.csv", index=False)
    header = ["problem", "net", "rows", "seconds of one", "time of five together / one"]
    header += ["regret of five together", "of five fits averaged"]
    lines = []
    for (name, kind, n_rows), part in results.groupby(["problem", "kind", "rows"], sort=False):
        ratio, half = interval(part["seconds_together"] / part["seconds"])
        gains = [
            percent(part[f"regret_{each}"] / part["regret"] - 1)
            for each in ("together", "averaged")
        ]
        lines.append(
            [
                name,
                kind,
                str(n_rows),
                f"{part['seconds'].mean():.2f}",
                plus_minus(ratio, half, ".2f"),
                *gains,
            ]
        )
    text = "# Five nets that decide together, beside one\n\n" + markdown(header, lines)
    (args.results / "ensembles.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
