"""The suite of shifts: all methods on all families, at equal price.

Trains on 300 nominal rows per seed and scores on nominal and shifted rows of other seeds. Every
method has one knob, set by the same rule: the largest value whose mean cost on nominal tuning rows
is within 5 % (of plain training's regret) of plain decision-focused training with the same
predictor. "Worst" is the largest over shifts of the mean regret over seeds; where the best decision
costs nothing, as in the newsvendor, that is the cost.

Run ``python benchmarks/shift_suite.py``; finished cells are kept in results/scratch and only
missing ones are run. ``--fresh`` runs all again, as must be done when the package changes. Writes
results/shift_suite.csv, .md and .png.
"""

import argparse
import json
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import (
    excess,
    family_table,
    frontier,
    markdown,
    pooled,
    shift_names,
    tuned,
    worst_shift,
)
from _families import FAMILIES, N_TRAIN
from _methods import HIDDEN, methods
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

RESULTS = Path(__file__).parent / "results"
CHOSEN, HINDSIGHT = "diffusion, radius chosen", "diffusion, tilted"


def run(family_name, predictor, method_name, seed, cache):
    """Run all knobs of a method on one training set and return its records, cached."""
    words = f"{family_name}_{predictor}_{method_name}_{seed}".replace(" ", "_").replace(":", "-")
    finished = cache / f"{words}.json"
    if finished.exists():
        return json.loads(finished.read_text())
    family = FAMILIES[family_name]
    method = methods(family, predictor)[method_name]
    X, y = family.train(seed)
    records = []
    for knob in method.knobs:
        fit = method.make(knob, seed, str(cache))
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = fit.estimator.fit(X, y)
        record = {
            "family": family_name,
            "predictor": predictor,
            "method": method_name,
            "knob": knob,
            "seed": seed,
            "is_tuned": method.is_tuned,
            "fit_seconds": time.perf_counter() - start,
            "radius": float(getattr(model, "best_params_", {}).get("radius", np.nan)),
        }
        for name in ("tuning", "nominal", *family.shifts):
            rows = family.test(name)
            predicted = family.problem.project_parameters(model.predict(rows.X))[0]
            cost = family.problem.cost(fit.problem.solve(predicted), rows.y)
            record[name] = float(cost.mean())
            record[f"{name} regret"] = float((cost - rows.best_cost).mean())
        records.append(record)
    partial = finished.with_suffix(".partial")
    partial.write_text(json.dumps(records))
    partial.replace(finished)
    return records


def choice_table(results):
    """Compare the radius that a shift-holding splitter chose with the best one in hindsight.

    The gain of a radius is how much it lowers the worst shifted regret from that of radius 0, which
    is plain training, as a share of it, summed over families. Hindsight takes, for
    each family, the radius of the largest mean gain.
    """
    gains, rows = [], []
    for (family, predictor), part in results.groupby(["family", "predictor"], sort=False):
        part = part.dropna(axis=1, how="all")
        if CHOSEN not in set(part["method"]):
            continue
        shifts = shift_names(part)
        margin = part[part["method"] == "margin"].sort_values("knob")
        plain = margin[margin["knob"] == margin["knob"].iloc[0]].set_index("seed")
        reference = plain[worst_shift(plain, shifts) + " regret"]
        chosen = part[part["method"] == CHOSEN].set_index("seed")
        by_radius = {
            knob: each.set_index("seed")
            for knob, each in part[part["method"] == HINDSIGHT].groupby("knob")
        }

        def gain(each, reference=reference, shifts=shifts):
            return (reference - each[worst_shift(each, shifts) + " regret"]) / reference.mean()

        best = max(by_radius, key=lambda radius: gain(by_radius[radius]).mean())
        gains.append(pd.DataFrame({"chosen": gain(chosen), "hindsight": gain(by_radius[best])}))
        price = (chosen["nominal"] - plain["nominal"]).mean() / plain["nominal regret"].mean()
        rows.append(
            [
                f"{family}, {predictor}",
                f"{chosen['radius'].median():g} ({chosen['radius'].min():g} to "
                f"{chosen['radius'].max():g})",
                f"{price:+.1%}",
                f"{gains[-1]['chosen'].mean():.1%}",
                f"{best:g}",
                f"{gains[-1]['hindsight'].mean():.1%}",
            ]
        )
    if not gains:
        return ""
    total = sum(gains)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(total), size=(10_000, len(total)))
    sums = total.to_numpy()[drawn].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    share = total["chosen"].sum() / total["hindsight"].sum()
    header = ["family", "radius chosen: median (range)", "price", "gain"]
    table = markdown([*header, "best radius in hindsight", "its gain"], rows)
    return (
        "\n## A radius chosen without seeing the shift\n\n"
        "`GridSearchCV` over the radii with `CostTailSplit(problem, 3)`: rows of the costliest "
        "tenth count 30 % of a test fold. Gain: worst shifted regret below plain training's.\n\n"
        f"{table}\nOver the families the choice keeps {share:.0%} of the gain of hindsight (95 % "
        f"bootstrap interval over seeds {low:.0%} to {high:.0%}).\n"
    )


def report(results):
    """Return all tables as Markdown."""
    n_seeds = results["seed"].nunique()
    parts, changes = [], {}
    for (family, predictor), part in results.groupby(["family", "predictor"], sort=False):
        part = part.dropna(axis=1, how="all")
        shifts = shift_names(part)
        best = tuned(part)
        changes[family, predictor], _ = excess(best, shifts)
        parts.append(f"\n## {family}, {predictor}\n\n{family_table(best, shifts)}")
    head = (
        "# The suite of shifts, at a price of at most 5 %\n\n"
        f"{N_TRAIN} training rows, {n_seeds} paired seeds; 95 % intervals over seeds, each "
        "method's worst shift taken as given. Changes of the worst shifted regret are shares of "
        "plain training's in its own worst shift, prices shares of its nominal regret. "
        "Fit times are of one fit on one of two busy cores, a nominal model included only where "
        "the cache did not hold it.\n"
    )
    for predictor in results["predictor"].unique():
        chosen = {key: value for key, value in changes.items() if key[1] == predictor}
        head += (
            f"\n## All families, {predictor}\n\nWorst shifted regret against plain training; mean "
            f"rank over families and seeds. Below 0 in the last columns: the diffusion-robust "
            f"method is better.\n\n{pooled(chosen)}"
        )
    return head + choice_table(results) + "".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--predictors", nargs="*", default=["MLP"], choices=list(HIDDEN))
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--fresh", action="store_true", help="run finished cells again")
    args = parser.parse_args()
    cache = args.results / "scratch" / "shift_suite"
    if args.fresh:
        shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [
        (family, predictor, name, seed)
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for family in args.families
        for predictor in args.predictors
        for name in methods(FAMILIES[family], predictor)
        if args.methods is None or name in args.methods
    ]
    cells = Parallel(n_jobs=args.n_jobs, verbose=5)(delayed(run)(*job, cache) for job in jobs)
    results = pd.DataFrame([record for cell in cells for record in cell])
    results.to_csv(args.results / "shift_suite.csv", index=False, float_format="%.6g")
    text = report(results)
    (args.results / "shift_suite.md").write_text(text)
    frontier(results, args.results / "shift_suite.png")
    print(text)


if __name__ == "__main__":
    main()
