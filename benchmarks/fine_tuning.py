"""Fine-tuning any backbone for the decision: its cost on new rows, beside the backbone's.

``DFFRegressor`` with its defaults over least squares, a random forest and boosting, on each
problem, ten seeds; the rows to test on are the same for all of them. "Misaligned" are the tasks
built so that a good prediction is a bad decision: lopsided costs, few rows. The others are there
for harm: where the mean is all that a decision needs, or where few rows correct many parameters.
On the newsvendors, whose best prediction is a known quantile, regressors for that quantile and nets
trained for the decision from the start stand beside. The net of the paper: ``--hidden 32 32 32``.

Run ``python benchmarks/fine_tuning.py``; writes results/fine_tuning.csv and results/fine_tuning.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import interval, plus_minus
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import TimeSeriesSplit

from dfl_sklearn import DFFRegressor, DFLRegressor
from dfl_sklearn.datasets import (
    knapsack_weights,
    make_budget_allocation,
    make_knapsack,
    make_lagged,
    make_llm_trace,
    make_newsvendor,
    make_portfolio,
    make_shortest_path,
    portfolio_covariance,
)
from dfl_sklearn.problems import (
    CoverageProblem,
    CVaRPortfolioProblem,
    KnapsackProblem,
    MatchingProblem,
    NewsvendorProblem,
    PortfolioProblem,
    ProvisioningProblem,
    ShortestPathProblem,
    TopKProblem,
)

RESULTS = Path(__file__).parent / "results"
N_TEST, TEST_SEED = 3000, 10_000
RESIDUALS = np.random.default_rng(0).multivariate_normal(np.zeros(5), portfolio_covariance(5), 30)


def make_capacity(n_samples, random_state):
    """Return windows of a generated trace, in order of time."""
    trace = make_llm_trace(n_bins=n_samples + 7, random_state=random_state)
    return make_lagged(trace["context_tokens"].to_numpy(float), n_lags=7)


TASKS = {
    "newsvendor 9:1, 100 rows": (NewsvendorProblem(9, 1), make_newsvendor, 100, {}),
    "newsvendor 9:1, 500 rows": (NewsvendorProblem(9, 1), make_newsvendor, 500, {}),
    "newsvendor 1:9, 100 rows": (NewsvendorProblem(1, 9), make_newsvendor, 100, {}),
    "newsvendor 1:1": (NewsvendorProblem(1, 1), make_newsvendor, 300, {}),
    "capacity": (ProvisioningProblem(), make_capacity, 500, {}),
    "portfolio": (PortfolioProblem(portfolio_covariance(5), 0.25), make_portfolio, 300, {}),
    "CVaR portfolio": (CVaRPortfolioProblem(0.9, 0.2, RESIDUALS), make_portfolio, 300, {}),
    "shortest path 5x5": (ShortestPathProblem.grid(5, 5), make_shortest_path, 300, {}),
    "knapsack, 16 items": (
        KnapsackProblem(knapsack_weights(16, 2), [20, 20]),
        make_knapsack,
        300,
        {},
    ),
    "matching 4x4": (MatchingProblem(4, 4), make_knapsack, 300, {"n_items": 16}),
    "5 of 20": (TopKProblem(5), make_knapsack, 300, {"n_items": 20}),
    "coverage, 2 of 5": (
        CoverageProblem(2, 5),
        make_budget_allocation,
        300,
        {"n_channels": 5, "n_customers": 6, "n_features": 4, "reach": 0.5},
    ),
}
MISALIGNED = [name for name in TASKS if ":9" in name or "9:1" in name]
BACKBONES = {
    "least squares": LinearRegression(),
    "random forest": RandomForestRegressor(50, min_samples_leaf=5, random_state=0),
    "boosting": HistGradientBoostingRegressor(max_iter=50, random_state=0),
}


OTHERS = (
    "linear quantile",
    "boosted quantile",
    "decision-focused, linear",
    "decision-focused, MLP",
)


def run(task, backbone, seed, hidden=None):
    """Return one record."""
    problem, make, n_rows, params = TASKS[task]
    X, y = make(n_rows, **params, random_state=seed)
    X_test, y_test = make(N_TEST, **params, random_state=TEST_SEED)
    settings = {} if hidden is None else {"hidden_layer_sizes": hidden}
    model = DFFRegressor(BACKBONES[backbone], problem, random_state=seed, **settings)
    held_out = {}
    if task == "capacity":  # windows overlap, so folds and held-out rows follow time
        model.set_params(cv=TimeSeriesSplit(5))
        cut = int(0.8 * n_rows)
        held_out = {"X_val": X[cut + 7 :], "y_val": y[cut + 7 :]}
        X, y = X[:cut], y[:cut]
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "(?s).*predictions are exactly 0")
        model.fit(X, y, **held_out)
    seconds = time.perf_counter() - start
    fell_back, model.fell_back_ = model.fell_back_, False

    def paid(prediction):
        return float(problem.cost(problem.solve(prediction), y_test).mean())

    return {
        "task": task,
        "backbone": backbone,
        "seed": seed,
        "best": float(problem.optimal_cost(y_test).mean()),
        "before": paid(model.predict_backbone(X_test)),
        "corrected": paid(model.predict(X_test)),
        "fell_back": fell_back,
        "seconds": seconds,
    }


def run_other(task, way, seed):
    """Return one record of a way that needs no backbone."""
    problem, make, n_rows, params = TASKS[task]
    level = problem.underage_cost / (problem.underage_cost + problem.overage_cost)
    model = {
        "linear quantile": QuantileRegressor(quantile=level, alpha=0.0),
        "boosted quantile": HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=50, random_state=0
        ),
        "decision-focused, linear": DFLRegressor(problem, hidden_layer_sizes=(), random_state=seed),
        "decision-focused, MLP": DFLRegressor(problem, random_state=seed),
    }[way]
    X, y = make(n_rows, **params, random_state=seed)
    X_test, y_test = make(N_TEST, **params, random_state=TEST_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        prediction = model.fit(X, y).predict(X_test)
    paid = float(problem.cost(problem.solve(prediction), y_test).mean())
    return {"task": task, "way": way, "seed": seed, "cost": paid}


def other_table(results, others):
    """Return the costs of all ways on the misaligned tasks as Markdown."""
    fine_tuned = results[results["task"].isin(MISALIGNED)].rename(columns={"after": "cost"})
    fine_tuned = fine_tuned.assign(way=fine_tuned["backbone"] + ", fine-tuned")
    alone = fine_tuned.assign(way=fine_tuned["backbone"], cost=fine_tuned["before"])
    columns = ["task", "way", "seed", "cost"]
    every = pd.concat([alone[columns], fine_tuned[columns], others])
    lines = ["", "Mean cost on the misaligned tasks, 95 % intervals over seeds:", ""]
    lines += ["| way | " + " | ".join(MISALIGNED) + " |", "|---" * (1 + len(MISALIGNED)) + "|"]
    for way in dict.fromkeys(every["way"]):
        each = every[every["way"] == way]
        cells = [interval(each.loc[each["task"] == task, "cost"]) for task in MISALIGNED]
        lines.append(f"| {way} | " + " | ".join(plus_minus(m, h, ".2f") for m, h in cells) + " |")
    return "\n".join(lines) + "\n"


def with_changes(results):
    """Return the records with changes in cost, as shares of the backbone's cost."""
    results["after"] = np.where(results["fell_back"], results["before"], results["corrected"])
    size = results["before"].abs()
    results["change"] = (results["after"] - results["before"]) / size
    results["change_always"] = (results["corrected"] - results["before"]) / size
    regret = results["before"] - results["best"]
    results["change_of_regret"] = (results["after"] - results["before"]) / regret
    return results


def table(results):
    """Return the table by task and backbone, and the summary, as Markdown."""
    results = with_changes(results)
    n_seeds = results["seed"].nunique()
    lines = [
        f"# Fine-tuning backbones for the decision, {n_seeds} seeds\n",
        "Cost of decisions on new rows after fine-tuning, less that of the backbone, as a share of "
        "the latter; mean over seeds and, in brackets, the worst seed. Negative is better. Used: "
        "seeds in which the correction was not dropped on the held-out rows.\n",
        "| task | backbone | its cost | change | of regret | never dropped | used | fit, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells = results.groupby(["task", "backbone"], sort=False)
    for (task, backbone), each in cells:
        cost, regret = (
            f"{each[name].mean():+.1%} ({each[name].max():+.1%})"
            for name in ("change", "change_of_regret")
        )
        lines.append(
            f"| {task} | {backbone} | {each['before'].mean():.4g} | {cost} | {regret} | "
            f"{each['change_always'].mean():+.1%} | {(~each['fell_back']).sum()} | "
            f"{each['seconds'].median():.1f} |"
        )
    misaligned = results["task"].isin(MISALIGNED)
    lines += ["", "| over | mean change in cost | worst cell | worst fit |", "|---|---|---|---|"]
    for name, part in (
        ("all tasks", results),
        ("misaligned", results[misaligned]),
        ("others", results[~misaligned]),
    ):
        by_seed = part.groupby("seed")["change"].mean()
        mean, half = interval(by_seed)
        worst = part.groupby(["task", "backbone"])["change"].mean().max()
        mean_change = plus_minus(mean, half, "+.1%")
        lines.append(f"| {name} | {mean_change} | {worst:+.1%} | {part['change'].max():+.1%} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--hidden", type=int, nargs="*", help="widths of the correction's layers")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs = [
        (task, backbone, seed) for task in args.tasks for backbone in BACKBONES for seed in seeds
    ]
    records = Parallel(n_jobs=args.n_jobs, verbose=5)(
        delayed(run)(*job, hidden=args.hidden) for job in jobs
    )
    results = pd.DataFrame(records)
    text = table(results)
    known = [task for task in MISALIGNED if task in args.tasks]
    if known == MISALIGNED:
        jobs = [(task, way, seed) for way in OTHERS for task in known for seed in seeds]
        others = Parallel(n_jobs=args.n_jobs)(delayed(run_other)(*job) for job in jobs)
        others = pd.DataFrame(others)
        text += other_table(results, others)
        if not args.dry:
            args.results.mkdir(exist_ok=True)
            others.to_csv(args.results / "fine_tuning_others.csv", index=False, float_format="%.6g")
    print(text)
    if not args.dry:
        args.results.mkdir(exist_ok=True)
        name = "_".join(["fine_tuning", *map(str, args.hidden or ())])
        results.to_csv(args.results / f"{name}.csv", index=False, float_format="%.6g")
        (args.results / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
