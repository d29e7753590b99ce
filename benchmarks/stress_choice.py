"""Choosing by a stress test: no row of a shift is seen, and none is held out for it.

For each training set of the suite of shifts, candidates are fitted to two thirds of its rows, three
times, and put to ``stress_test``: near a generator of the other third, or near one of all training
rows. The candidate with the least mean worst regret is chosen, fitted to all rows, and scored on
nominal and on shifted rows as in the suite. Beside it stands the radius that ``CostTailSplit``
chooses, which takes most of the time; ``--no-tail`` leaves it out.

Run ``python benchmarks/stress_choice.py``; finished cells are kept in results/scratch, those of the
suite with its own. Writes results/stress_choice.csv and .md.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import shift_suite
from _equal_price import markdown, plain_rows, price_of, shift_names, worst_shift
from _families import FAMILIES
from _methods import methods
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from dfl_sklearn.model_selection import stress_test
from dfl_sklearn.robust import DiffusionGenerator

RESULTS = Path(__file__).parent / "results"
FLAGSHIP, CHOSEN = "diffusion, tilted", "diffusion, radius chosen"
CANDIDATES = {"radius": ("margin", FLAGSHIP), "all": ("margin", FLAGSHIP, "quantile regression")}
STRESS = (0.0, 0.03, 0.04, 0.05, 0.1, 0.2, 0.4)
N_FOLDS = 3


def worst(models, family, X, y, fitted, seed):
    """Return worst regrets by model and radius, without radii too large for any model."""
    radii = STRESS
    while True:
        try:
            result = stress_test(
                *(models, X, y),
                problem=family.problem,  # also of margins, which decide with one of their own
                radius=radii,
                generator=fitted,
                random_state=seed,
            )
            break
        except ValueError as error:
            if "too large" not in str(error):
                raise
            radii = radii[:-1]
    return result.to_frame()[["estimator", "radius", "worst"]]


def run(family_name, seed, cache):
    """Return the worst regrets of all candidates on the training rows of a seed, cached."""
    finished = cache / f"{family_name}_{seed}.json".replace(" ", "_").replace(":", "-")
    if finished.exists():
        return pd.read_json(finished, precise_float=True)  # knobs are looked up
    family, parts = FAMILIES[family_name], []
    X, y = family.train(seed)
    table = methods(family, "MLP")

    def generator(rows):
        return DiffusionGenerator(random_state=seed).fit(np.column_stack([X[rows], y[rows]]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        everything = np.arange(len(X))
        of_all = generator(everything)
        folds = KFold(N_FOLDS, shuffle=True, random_state=seed).split(X)
        for fold, (train, test) in enumerate(folds):
            models = {
                f"{name}|{knob}": table[name]
                .make(knob, seed, str(cache))
                .estimator.fit(X[train], y[train])
                for name in CANDIDATES["all"]
                for knob in table[name].knobs
            }
            for rows, fitted, where in (
                (test, generator(test), "fold"),
                (everything, of_all, "all rows"),
            ):
                found = worst(models, family, X[rows], y[rows], fitted, seed)
                parts.append(
                    found.assign(family=family_name, seed=seed, fold=fold, generator=where)
                )
    whole = pd.concat(parts, ignore_index=True)
    whole[["method", "knob"]] = whole.pop("estimator").str.split("|", expand=True)
    whole = whole.astype({"knob": float}).rename(columns={"radius": "stress"})
    whole.to_json(finished)
    return whole


def allowed(table, name):
    """Return which rows, by method and knob, are candidates; of margins the first is plain."""
    is_margin = table["method"] == "margin"
    kept = table["method"].isin(CANDIDATES[name])
    if name == "radius":
        kept &= ~is_margin | (table["knob"] == table.loc[is_margin, "knob"].min())
    return table[kept]


def choices(found):
    """Return the candidate of the least mean worst regret, for each way to choose."""
    rows = []
    keys = ["family", "seed", "generator", "stress"]
    for (family, seed, generator, stress), part in found.groupby(keys, sort=False):
        means = part.groupby(["method", "knob"], as_index=False)["worst"].agg(["mean", "size"])
        if (means["size"] < N_FOLDS).any():
            continue  # too large a radius in one of the folds
        for name in CANDIDATES:
            own = allowed(means, name)
            best = own.loc[own["mean"].idxmin()]
            rows.append(
                {
                    "family": family,
                    "seed": seed,
                    "choose": f"{name}, generator of {generator}, stress {stress:g}",
                    "method": best["method"],
                    "knob": best["knob"],
                }
            )
    return pd.DataFrame(rows)


def scored(chosen, suite):
    """Return gain and price of each choice, for each family, with those of hindsight."""
    rows = []
    for family, part in suite.groupby("family", sort=False):
        own = chosen[chosen["family"] == family]
        if own.empty:
            continue
        part = part.dropna(axis=1, how="all")
        seeds = sorted(own["seed"].unique())
        part = part[part["seed"].isin(seeds)]
        shifts, plain = shift_names(part), plain_rows(part)
        reference = plain[worst_shift(plain, shifts) + " regret"]

        def row(name, hit, plain=plain, shifts=shifts, reference=reference, family=family):
            each = hit.set_index("seed").sort_index()
            lost = each[worst_shift(each, shifts) + " regret"]
            return {
                "family": family,
                "choose": name,
                "gain": float((reference - lost).mean() / reference.mean()),
                "price": price_of(each, plain, "nominal"),
                "chosen": ", ".join(
                    f"{m} {k:g}" for m, k in zip(each["method"], each["knob"], strict=True)
                ),
            }

        tail = part[part["method"] == CHOSEN]
        if len(tail) == len(seeds):
            rows.append(row("radius, CostTailSplit", tail))
        for name, picks in own.groupby("choose", sort=False):
            if len(picks) < len(seeds):
                continue
            keys = ["seed", "method", "knob"]
            hit = picks[keys].merge(part, on=keys, validate="one_to_one")
            if len(hit) < len(seeds):
                raise SystemExit(f"The suite has not been run for a candidate of {name}.")
            rows.append(row(name, hit))
        for name in CANDIDATES:
            usable = allowed(part, name)
            best = max(
                (row(f"{name}, hindsight", each) for _, each in usable.groupby(["method", "knob"])),
                key=lambda each: each["gain"],
            )
            rows.append(best)
    return pd.DataFrame(rows)


def report(scores, seeds):
    """Return the tables as Markdown."""
    gain = scores.pivot(index="choose", columns="family", values="gain")
    price = scores.pivot(index="choose", columns="family", values="price")
    order = list(dict.fromkeys(scores["choose"]))
    lines = []
    for name in order:
        if gain.loc[name].isna().any():
            continue  # too large a radius in one of the families
        best = gain.loc[name.split(",")[0] + ", hindsight"].sum()
        lines.append(
            [
                name,
                f"{gain.loc[name].sum() / best:.0%}",
                f"{price.loc[name].mean():+.1%}",
                *(f"{gain.loc[name, f]:+.1%} at {price.loc[name, f]:+.1%}" for f in gain.columns),
            ]
        )
    return (
        "# Choosing by a stress test\n\n"
        f"MLP, 300 training rows, seeds {seeds[0]} to {seeds[-1]} of the suite of shifts. "
        "Gain: how much the worst shifted regret is below plain training's, in its own worst "
        "shift, as a share of it; share of hindsight's gain, summed over the families. Price: "
        "nominal regret above plain training's, as a share of it. Hindsight is one candidate for "
        "each family, chosen on the shifted rows.\n\n"
        + markdown(["chosen", "share of hindsight's gain", "mean price", *gain.columns], lines)
        + "\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument(
        "--tail",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="choose by CostTailSplit as well",
    )
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    cache = args.results / "scratch" / "stress_choice"
    cache.mkdir(parents=True, exist_ok=True)
    of_suite = args.results / "scratch" / "shift_suite"
    of_suite.mkdir(parents=True, exist_ok=True)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs = [(family, seed) for seed in seeds for family in args.families]
    parallel = Parallel(n_jobs=args.n_jobs, verbose=5)
    found = pd.concat(parallel(delayed(run)(*job, cache) for job in jobs), ignore_index=True)
    names = [*CANDIDATES["all"], *([CHOSEN] if args.tail else [])]
    cells = parallel(
        delayed(shift_suite.run)(family, "MLP", name, seed, of_suite)
        for family, seed in jobs
        for name in names
    )
    suite = pd.DataFrame([record for cell in cells for record in cell])
    scores = scored(choices(found), suite)
    text = report(scores, seeds)
    print(text)
    scores.to_csv(args.results / "stress_choice.csv", index=False, float_format="%.4g")
    (args.results / "stress_choice.md").write_text(text)


if __name__ == "__main__":
    main()
