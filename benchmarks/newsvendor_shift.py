"""Robustness at equal price: the newsvendor with a rare costly regime.

Trains on a few hundred nominal rows of ``make_newsvendor`` and scores under shifts: the regime six
times as common, more noise, the level up and down. Every method has one knob. It is set by the
same rule for all: the largest value whose mean cost on nominal rows held out for tuning is within
5 % of plain decision-focused training with the same predictor. Reported on other rows: the price,
the cost under each shift, and the worst, which is the largest over shifts of the mean over seeds.

Run ``python benchmarks/newsvendor_shift.py``; finished cells are kept in results/scratch, and
results/newsvendor_shift.csv and .md are written at the end.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from scipy import stats
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import QuantileRegressor

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import decision_cost
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import PolicyGradientSearch, TiltedSearch

RESULTS = Path(__file__).parent / "results"
PROBLEM = NewsvendorProblem(9, 1)
SHIFTS = {
    "nominal": None,
    "regime": "regime",
    "noise": "noise",
    "level up": "level_up",
    "level down": "level_down",
}
PRICE = 0.05
PREDICTORS = {"linear": (), "MLP": (32, 32)}
MARGINS = (9.0, 10.0, 11.0, 12.0, 13.5, 15.0, 17.0, 19.0, 22.0, 25.0, 30.0)
RADII = (0.0, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45)


def methods():
    """Return {name: (knobs, (knob, seed, net, cache) -> estimator)}."""

    def net(problem, hidden, seed):
        return DFLRegressor(problem, hidden_layer_sizes=hidden, random_state=seed)

    def margin(knob, seed, hidden, cache):
        return net(NewsvendorProblem(knob, 1), hidden, seed)

    def bagged(knob, seed, hidden, cache):
        return BaggingRegressor(margin(knob, seed, hidden, cache), 10, random_state=seed)

    def quantile(knob, seed, hidden, cache):
        return QuantileRegressor(quantile=knob / (knob + 1), alpha=0)

    def diffusion(search, nominal_weight):
        def make(knob, seed, hidden, cache):
            return DiffusionDRODFLRegressor(
                PROBLEM,
                radius=knob,
                search=search,
                nominal_weight=nominal_weight,
                hidden_layer_sizes=hidden,
                memory=cache,
                random_state=seed,
            )

        return make

    return {
        "margin": (MARGINS, margin),
        "margin, bagged": (MARGINS, bagged),
        "quantile regression": (MARGINS, quantile),
        "diffusion, tilted": (RADII, diffusion(TiltedSearch(), 0.0)),
        "diffusion, tilted, half real": (RADII, diffusion(TiltedSearch(), 0.5)),
        "diffusion, policy gradient": (
            RADII[:1] + RADII[3::2],
            diffusion(PolicyGradientSearch(), 0.0),
        ),
    }


def run(name, predictor, knob, seed, n, cache):
    """Fit one cell and return its costs, from the cache if it has been run."""
    make = methods()[name][1]
    X, y = make_newsvendor(n, random_state=seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make(knob, seed, PREDICTORS[predictor], str(cache)).fit(X, y)
    record = {
        "method": name,
        "predictor": predictor,
        "knob": knob,
        "seed": seed,
        "fit_seconds": time.perf_counter() - start,
    }
    # Tuning rows, and rows to report on: other seeds than any training set's.
    tests = {"tuning": (None, 10_000), **{k: (v, 10_001) for k, v in SHIFTS.items()}}
    for test, (shift, test_seed) in tests.items():
        X_test, y_test = make_newsvendor(20_000, shift=shift, random_state=test_seed)
        record[test] = decision_cost(y_test, model.predict(X_test), problem=PROBLEM)
    return record


def tuned(results):
    """Return, for each predictor and method, the rows at the knob that the rule sets."""
    chosen = []
    for _, part in results.groupby("predictor", sort=False):
        plain = part[(part["method"] == "margin") & (part["knob"] == 9.0)]["tuning"].mean()
        for _, rows in part.groupby("method", sort=False):
            price = rows.groupby("knob")["tuning"].mean() / plain - 1
            fitting = price[price <= PRICE]
            if len(fitting):
                chosen.append(rows[rows["knob"] == fitting.index.max()])
        chosen.append(
            part[(part["method"] == "margin") & (part["knob"] == 9.0)].assign(method="plain")
        )
    return pd.concat(chosen)


def table(results):
    """Return the comparison at equal price as Markdown."""
    best = tuned(results)
    shifts = [name for name in SHIFTS if name != "nominal"]
    lines = ["# Newsvendor 9:1 with a rare costly regime, at a price of at most 5 %\n"]
    for predictor, part in best.groupby("predictor", sort=False):
        plain = part[part["method"] == "plain"].set_index("seed")
        head = ["method", "knob", "price", *shifts, "worst", "against plain", "fit, s"]
        lines += [f"\n## {predictor} predictor\n", "| " + " | ".join(head) + " |"]
        lines += ["|---" * len(head) + "|"]
        for method, rows in part.groupby("method", sort=False):
            rows = rows.set_index("seed")
            worst = rows[shifts].mean().idxmax()
            worst_plain = plain[shifts].mean().idxmax()
            change = (
                rows[worst] / plain[worst_plain].mean()
                - plain[worst_plain] / plain[worst_plain].mean()
            )
            half = (
                stats.t.ppf(0.975, len(change) - 1) * stats.sem(change) if method != "plain" else 0
            )
            cells = [
                method,
                f"{rows['knob'].iloc[0]:g}",
                f"{rows['nominal'].mean() / plain['nominal'].mean() - 1:+.1%}",
                *(f"{rows[shift].mean():.2f}" for shift in shifts),
                f"{rows[worst].mean():.2f} ({worst})",
                f"{change.mean():+.1%} ± {half:.1%}",
                f"{rows['fit_seconds'].mean():.1f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--n-samples", type=int, default=300)
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    cache = args.results / "scratch" / "newsvendor_shift"
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [
        (name, predictor, knob, seed)
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for predictor in PREDICTORS
        for name, (knobs, _) in methods().items()
        if (args.methods is None or name in args.methods)
        and not (name == "quantile regression" and predictor != "linear")
        for knob in knobs
    ]
    records = Parallel(n_jobs=args.n_jobs, verbose=2)(
        delayed(run)(*job, args.n_samples, cache) for job in jobs
    )
    results = pd.DataFrame(records)
    results.to_csv(args.results / "newsvendor_shift.csv", index=False)
    (args.results / "newsvendor_shift.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
