"""The suite of shifts: all methods on all families, at equal price.

Trains on 300 nominal rows per seed and scores on nominal and shifted rows of other seeds. Every
method has one knob, raised until the mean cost on nominal tuning rows is 5 % (of plain training's
regret) above that of plain decision-focused training with the same predictor. "Worst" is the
largest over shifts of the mean regret over seeds; where the best decision costs nothing, as in the
newsvendor, that is the cost.

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
    family_table,
    frontier,
    markdown,
    percent,
    plain_rows,
    pooled,
    price_of,
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
    family = FAMILIES[family_name]
    method = methods(family, predictor)[method_name]
    if finished.exists():
        records = json.loads(finished.read_text())
        if [record["knob"] for record in records] == list(method.knobs):
            return records
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
    is plain training, as a share of it, summed over families. Hindsight takes, for each family,
    the radius of the largest mean gain, 0 included.
    """
    gains, rows = {}, []
    for (family, predictor), part in results.groupby(["family", "predictor"], sort=False):
        part = part.dropna(axis=1, how="all")
        if not {CHOSEN, HINDSIGHT} <= set(part["method"]):
            continue
        shifts, plain = shift_names(part), plain_rows(part)
        reference = plain[worst_shift(plain, shifts) + " regret"]

        def gain(each, reference=reference, shifts=shifts):
            return (reference - each[worst_shift(each, shifts) + " regret"]) / reference.mean()

        chosen = part[part["method"] == CHOSEN].set_index("seed").sort_index()
        by_radius = {
            radius: gain(each.set_index("seed").sort_index())
            for radius, each in part[part["method"] == HINDSIGHT].groupby("knob")
        }
        table = pd.DataFrame({0.0: 0.0 * reference, **by_radius})
        gains[family, predictor] = gain(chosen).to_numpy(), table.to_numpy()
        radius = chosen["radius"]
        rows.append(
            [
                f"{family}, {predictor}",
                f"{radius.median():g} ({radius.min():g} to {radius.max():g})",
                f"{price_of(chosen, plain, 'nominal'):+.1%}",
                percent(gain(chosen)),
                f"{table.mean().idxmax():g}",
                f"{table.mean().max():+.1%}",
            ]
        )
    if not gains:
        return ""

    def share(seeds):
        found = sum(own[seeds].mean() for own, _ in gains.values())
        best = sum(table[seeds].mean(axis=0).max() for _, table in gains.values())
        return found / best if best > 0 else np.nan

    n_seeds = len(next(iter(gains.values()))[0])
    rng = np.random.default_rng(0)
    draws = [share(rng.integers(n_seeds, size=n_seeds)) for _ in range(10_000)]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    header = ["family", "radius chosen: median (range)", "price", "gain"]
    return (
        "\n## A radius chosen without seeing the shift\n\n"
        "`GridSearchCV` over the radii with `CostTailSplit(problem)`: in eight random test sets "
        "the tenth of the rows on which a least-squares forecast costs most counts a half. Gain: "
        "how much the worst shifted regret is below plain training's, at whatever price.\n\n"
        + markdown([*header, "best radius in hindsight", "its gain"], rows)
        + f"\nSummed over the families the choice keeps {share(np.arange(n_seeds)):.0%} of the "
        "gain of hindsight (95 % bootstrap interval over seeds, hindsight chosen anew in each "
        f"draw: {low:.0%} to {high:.0%}).\n"
    )


def report(results):
    """Return all tables as Markdown."""
    n_seeds = results["seed"].nunique()
    chosen, parts = {}, []
    for (family, predictor), part in results.groupby(["family", "predictor"], sort=False):
        part = part.dropna(axis=1, how="all")
        shifts = shift_names(part)
        best = tuned(part)
        chosen.setdefault(predictor, {})[family] = best, shifts
        parts.append(f"\n## {family}, {predictor}\n\n{family_table(best, shifts)}")
    head = (
        "# The suite of shifts, at a price of 5 % on tuning rows\n\n"
        f"{N_TRAIN} training rows, {n_seeds} paired seeds. 95 % intervals over seeds, not "
        "corrected for their number; each method's knob and worst shift are taken as given. "
        "Changes of the worst shifted regret are shares of plain training's in its own worst "
        "shift, prices shares of its nominal regret. Between knobs, numbers are interpolated at "
        "the price. Fit times are of one fit on one of two busy cores, a nominal model included "
        "only where the cache did not hold it.\n"
    )
    for predictor, families in chosen.items():
        head += (
            f"\n## All families, {predictor}\n\nWorst shifted regret against plain training; mean "
            "rank over families. Below 0 in the last columns: the diffusion-robust method is "
            f"better.\n\n{pooled(families)}"
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
    text = report(results)
    print(text)
    is_whole = args.methods is None and set(args.families) == set(FAMILIES)
    name = "shift_suite" if is_whole else "shift_suite_part"  # never overwrite the whole by a part
    results.to_csv(args.results / f"{name}.csv", index=False, float_format="%.6g")
    (args.results / f"{name}.md").write_text(text)
    frontier(results, args.results / f"{name}.png")


if __name__ == "__main__":
    main()
