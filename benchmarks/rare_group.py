"""A rare group of rows that becomes frequent: what weights and ambiguity sets save.

Shortest paths on a 5 x 5 grid. One row in twenty belongs to a group with features and costs of its
own; under the shift it is six in twenty. Nets are trained to the end, a line and a perceptron.
Compared with plain training, at one setting of each method, which is not tuned: weights from
unlabelled rows of the shift, the true ratios of densities, and sets that know nothing of the shift.
No method can do better than the decisions for the true mean costs, which know all but the noise.
Group DRO is told, from x, which of the two distributions a row is likelier from.

Run ``python benchmarks/rare_group.py``. Each fit is kept in results/rare_group.csv and not run
again; delete the file to start anew. The table is results/rare_group.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import interval, percent, plus_minus
from scipy.special import expit
from scipy.stats import multivariate_normal

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_shortest_path
from dfl_sklearn.problems import ShortestPathProblem
from dfl_sklearn.robust import (
    CovariateShiftWeight,
    GroupDRO,
    JustTrainTwice,
    KLBall,
    SinkhornBall,
)

RESULTS = Path(__file__).parent / "results"
PROBLEM = ShortestPathProblem.grid(5, 5)
NOMINAL, SHIFTED = {"group": 0.05, "noise": 0.3}, {"group": 0.3, "noise": 0.3}
N_TEST, TEST_SEED, TARGET_SEED = 5000, 10_000, 20_000
PREDICTORS = {"line": (), "MLP": (32, 32)}
TO_THE_END = {"max_iter": 1000, "n_iter_no_change": 20, "tol": 1e-5}


def make(n_samples, shift, seed):
    """Return rows of one of the two distributions."""
    return make_shortest_path(n_samples, degree=2, shift=shift, random_state=seed)


def log_density_ratio(X):
    """Return log of the density of the group over that of the other rows."""
    group = multivariate_normal([2, -2, 0, 0, 0], 0.36 * np.eye(5))
    return group.logpdf(X) - multivariate_normal(np.zeros(5)).logpdf(X)


def true_ratio(X):
    """Return the density of features under the shift over the nominal one."""
    odds = log_density_ratio(X)

    def share(s):
        return (1 - s) / (1 - expit(odds + np.log(s / (1 - s))))  # mixture over the other rows

    return share(SHIFTED["group"]) / share(NOMINAL["group"])


def likely_group(X):
    """Return whether a nominal row is likelier of the group, given x."""
    share = NOMINAL["group"]
    return log_density_ratio(np.asarray(X)) + np.log(share / (1 - share)) > 0


SETS = {
    "KL ball, 0.1": KLBall(0.1),
    "Group DRO": GroupDRO(likely_group),
    "just train twice": JustTrainTwice(0.1, 5.0),
    "Sinkhorn ball, 0.1": SinkhornBall(0.1),
}
FLAGSHIP = "3D-Learning, 0.1"
BOUND = "the true mean costs, known"
METHODS = ["plain", BOUND, "weights, unlabelled rows", "true ratios", *SETS, FLAGSHIP]


def run(method, predictor, seed, n_rows):
    """Return one record."""
    record = {"method": method, "predictor": predictor, "seed": seed, "rows": n_rows}
    record |= {"effective size": np.nan, "seconds": np.nan}
    if method == BOUND:
        return record | regrets(lambda _, mean: PROBLEM.solve(mean))
    X, y = make(n_rows, NOMINAL, seed)
    weight, size = None, float(n_rows)
    start = time.perf_counter()
    if method == "weights, unlabelled rows":
        X_target, _ = make(n_rows, SHIFTED, TARGET_SEED + seed)
        shift = CovariateShiftWeight().fit(X, X_target)
        weight, size = shift.weight_, shift.effective_sample_size_
    elif method == "true ratios":
        weight = true_ratio(X)
        size = weight.sum() ** 2 / (weight @ weight)
    kind = DiffusionDRODFLRegressor if method == FLAGSHIP else DFLRegressor
    model = kind(PROBLEM, hidden_layer_sizes=PREDICTORS[predictor], random_state=seed, **TO_THE_END)
    if method in SETS:
        model.set_params(ambiguity_set=SETS[method])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, sample_weight=weight)
    seconds = time.perf_counter() - start
    record |= {"effective size": size, "seconds": seconds}
    return record | regrets(lambda X, _: model.decide(X))


def regrets(decide):
    """Return the mean regret under both distributions of a function of X and the mean costs."""
    found = {}
    for name, shift in (("nominal", NOMINAL), ("shift", SHIFTED)):
        X, y = make(N_TEST, shift, TEST_SEED)
        _, mean = make(N_TEST, shift | {"noise": 0.0}, TEST_SEED)  # of the same rows
        found[name] = (PROBLEM.cost(decide(X, mean), y) - PROBLEM.optimal_cost(y)).mean()
    return found


def table(results):
    """Return the table as Markdown."""
    n_rows = int(results["rows"].iloc[0])
    lines = [
        f"# A rare group that becomes frequent, {n_rows} rows\n",
        "Mean regret of plain training, and its change by other methods on the same seeds, as a "
        "share of it, with 95 % intervals. Below 0 is better.\n",
        "| predictor | method | seeds | nominal | shift | effective rows | fit, s |",
        "|---" * 7 + "|",
    ]
    for predictor in PREDICTORS:
        part = results[results["predictor"] == predictor]
        by_method = {name: rows.set_index("seed") for name, rows in part.groupby("method")}
        plain = by_method.get("plain")
        for method in METHODS:
            if method not in by_method or plain is None:
                continue
            rows = by_method[method]
            seeds = rows.index.intersection(plain.index)
            cells = []
            for name in ("nominal", "shift"):
                if method == "plain":
                    cells.append(plus_minus(*interval(rows[name]), ".4f"))
                    continue
                change = (rows[name] - plain[name])[seeds] / plain.loc[seeds, name].mean()
                cells.append(percent(change))
            if rows["seconds"].notna().all():
                cells += [f"{rows['effective size'].mean():.0f}", f"{rows['seconds'].median():.1f}"]
            else:
                cells += ["", ""]
            lines.append(f"| {predictor} | {method} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    path = args.results / "rare_group.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame()
    done = set()
    if len(known):
        if set(known["rows"]) != {args.rows}:
            parser.error(f"{path} has results of other numbers of rows; move it away.")
        done = set(zip(known["method"], known["predictor"], known["seed"], strict=True))
    for seed in range(args.seeds):
        for predictor in PREDICTORS:
            for method in args.methods:
                if (method, predictor, seed) in done:
                    continue
                record = pd.DataFrame([run(method, predictor, seed, args.rows)])
                record.to_csv(
                    path, mode="a", header=not path.exists(), index=False, float_format="%.6g"
                )
                print(record.iloc[0].to_dict(), flush=True)
    text = table(pd.read_csv(path))
    print(text)
    (args.results / "rare_group.md").write_text(text)


if __name__ == "__main__":
    main()
