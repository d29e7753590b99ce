"""Which loss for which linear problem: normalised regret on new rows, nominal and shifted.

The same predictor trained on each loss, to settlement, with the estimator's defaults; least squares
and boosting beside it. Features are few and the truth is a polynomial of degree 4 with
multiplicative noise (``make_shortest_path``, ``make_knapsack``). Matchings and the k best use the
same distribution. Rows to test on are the same for all seeds.

Run ``python benchmarks/linear_losses.py``; writes results/linear_losses.csv and
results/linear_losses.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import interval, plus_minus
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.multioutput import MultiOutputRegressor

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import knapsack_weights, make_knapsack, make_shortest_path
from dfl_sklearn.losses import (
    BlackboxLoss,
    IdentityLoss,
    PerturbedFenchelYoungLoss,
    RegretLoss,
    SPOPlusLoss,
    SquaredErrorLoss,
)
from dfl_sklearn.problems import (
    KnapsackProblem,
    MatchingProblem,
    ShortestPathProblem,
    TopKProblem,
)

RESULTS = Path(__file__).parent / "results"
N_TRAIN, N_TEST, TEST_SEED = 500, 5000, 10_000
PROBLEMS = {
    "shortest path 5x5": (ShortestPathProblem.grid(5, 5), make_shortest_path, {}),
    "knapsack, 16 items": (
        KnapsackProblem(knapsack_weights(16, 2), [20, 20]),
        make_knapsack,
        {"n_items": 16},
    ),
    "matching 4x4": (MatchingProblem(4, 4), make_knapsack, {"n_items": 16}),
    "5 of 20": (TopKProblem(5), make_knapsack, {"n_items": 20}),
}
LOSSES = {
    "squared error": SquaredErrorLoss(),
    "SPO+": SPOPlusLoss(),
    "perturbed Fenchel-Young": PerturbedFenchelYoungLoss(),
    "regret through the layer": RegretLoss(),
    "blackbox": BlackboxLoss(),
    "identity": IdentityLoss(),
}
PREDICTORS = {"linear": (), "MLP": (32, 32)}
SHIFTS = {"nominal": None, "rush": "rush", "noise": "noise", "mean up": "mean_up"}


def models(problem, seed):
    """Return {(predictor, loss): estimator}."""
    found = {
        (predictor, name): DFLRegressor(
            problem, loss=loss, hidden_layer_sizes=hidden, random_state=seed
        )
        for predictor, hidden in PREDICTORS.items()
        for name, loss in LOSSES.items()
    }
    found["linear", "least squares"] = LinearRegression()
    found["trees", "boosting"] = MultiOutputRegressor(
        HistGradientBoostingRegressor(random_state=seed)
    )
    return found


def run(problem_name, seed):
    """Return one record per model and distribution of the test rows."""
    problem, make, params = PROBLEMS[problem_name]
    X, y = make(N_TRAIN, random_state=seed, **params)
    records = []
    for (predictor, loss), model in models(problem, seed).items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        seconds = time.perf_counter() - start
        for distribution, shift in SHIFTS.items():
            X_test, y_test = make(N_TEST, shift=shift, random_state=TEST_SEED, **params)
            best = problem.optimal_cost(y_test)
            cost = problem.cost(problem.solve(model.predict(X_test)), y_test)
            records.append(
                {
                    "problem": problem_name,
                    "predictor": predictor,
                    "loss": loss,
                    "seed": seed,
                    "distribution": distribution,
                    "regret": float((cost - best).sum() / np.abs(best).sum()),
                    "seconds": seconds,
                }
            )
    return records


def table(results):
    """Return the regrets as Markdown."""
    lines = [
        f"# Losses for linear costs, {results['seed'].nunique()} seeds\n",
        f"{N_TRAIN} training rows. Normalised regret (sum of regrets over sum of optimal costs, "
        "absolute) on new rows; the first column with its 95 % interval over seeds. Seconds are of "
        "one fit on one of two busy cores.",
    ]
    for problem, part in results.groupby("problem", sort=False):
        distributions = list(part["distribution"].unique())
        lines += [
            f"\n## {problem}\n",
            "| predictor | loss | " + " | ".join(distributions) + " | seconds |",
            "|---" * (len(distributions) + 3) + "|",
        ]
        for (predictor, loss), each in part.groupby(["predictor", "loss"], sort=False):
            cells = []
            for distribution in distributions:
                regrets = each.loc[each["distribution"] == distribution, "regret"]
                half = interval(regrets)[1] if distribution == "nominal" else np.nan
                cells.append(plus_minus(regrets.mean(), half, ".2%"))
            seconds = each["seconds"].median()
            lines.append(f"| {predictor} | {loss} | " + " | ".join(cells) + f" | {seconds:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    jobs = [(name, seed) for name in args.problems for seed in range(args.seeds)]
    cells = Parallel(n_jobs=args.n_jobs, verbose=5)(delayed(run)(*job) for job in jobs)
    results = pd.DataFrame([record for cell in cells for record in cell])
    text = table(results)
    print(text)
    results.to_csv(args.results / "linear_losses.csv", index=False, float_format="%.6g")
    (args.results / "linear_losses.md").write_text(text)


if __name__ == "__main__":
    main()
