"""A battery on real prices, with a promise of what the day will cost (arXiv:2409.20534).

The prices of 24 hours are predicted from 101 features of the day before and of forecasts, and a
battery is charged and discharged for them (StorageProblem). The published protocol: 438 days are
the test, the last ones (time) or random ones (shuffled); the other 1,751 are split at random into
1,400 to train and 351 to calibrate, ten times. Promises are to hold in 90 % of the days.

Wrapped are ridge regression on the logarithm of prices, the same with the mean of prices in the
place of their median (each hour times the mean factor of held-out errors), ridge regression on
prices, and a forest on logarithms. "no scale" and the like are the `scale` and `tail` of
ConformalDecisions, box and ellipsoid its `method`: they decide for the worst prices of a set.

Needs the data of ``fetch_storage_prices``. Run ``python benchmarks/storage.py``; what is in
results/storage.csv already is not run again. Writes results/storage.csv and results/storage.md.
With ``--tails`` it compares values of `tail` on the days that are not for the test, and writes
results/storage_tails.md. With ``--shift`` it weights the calibration days by how much they look
like the test days (`shift_weight`), whose prices are not used, and writes results/storage_shift.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import markdown
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dfl_sklearn import ConformalDecisions
from dfl_sklearn.datasets import fetch_storage_prices
from dfl_sklearn.problems import StorageProblem
from dfl_sklearn.robust import CovariateShiftWeight

RESULTS = Path(__file__).parent / "results"
PROBLEM = StorageProblem()
LEVEL = 0.9


class MeanOfLogs(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A model of logarithms that predicts means: times the mean factor of held-out errors."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        """Fit."""
        self.estimator_ = clone(self.estimator).fit(X, y)
        unseen = cross_val_predict(self.estimator, X, y, cv=KFold(5))
        self.factor_ = (y / unseen).mean(axis=0)
        return self

    def predict(self, X):
        """Predict."""
        return self.factor_ * self.estimator_.predict(X)


def of_logs(regressor):
    """Return a model of the logarithms of prices."""
    return TransformedTargetRegressor(regressor, func=np.log, inverse_func=np.exp)


def models():
    """Return {name: regressor}."""
    ridge = RidgeCV(np.logspace(-1, 4, 11))
    forest = RandomForestRegressor(100, min_samples_leaf=5, max_features=0.3, random_state=0)
    return {
        "ridge on logs": of_logs(ridge),
        "ridge on logs, mean": MeanOfLogs(of_logs(ridge)),
        "ridge on prices": ridge,
        "forest on logs": of_logs(forest),
    }


WAYS = {
    "no scale": {"scale": None},
    "planned, tail 0": {"tail": 0},
    "planned, tail 0.5 (default)": {},
    "planned, tail 1": {"tail": 1},
    "ridge, tail 0": {"scale": "ridge", "tail": 0},
    "ridge, tail 0.5": {"scale": "ridge"},
    "default, five folds": {"cv": KFold(5)},
    "box": {"method": "box"},
    "ellipsoid": {"method": "ellipsoid"},
}
OTHERS = ("no scale", "planned, tail 0.5 (default)")  # of the other models


def tasks():
    """Return pairs of names of a model and a way to promise."""
    return [(model, way) for model in models() for way in WAYS
            if model == "ridge on logs" or way in OTHERS]  # fmt: skip


def run(split, seed, name, way, prices):
    """Return a record."""
    X, y = prices.data.to_numpy(), prices.target.to_numpy()
    model = ConformalDecisions(models()[name], PROBLEM, confidence_level=LEVEL, **WAYS[way])
    start = time.process_time()
    train, calibration = (X[prices[p]] for p in ("train", "calibration"))
    if model.cv is None:
        model.fit(train, y[prices.train], X_cal=calibration, y_cal=y[prices.calibration])
    else:
        rows = np.concatenate([prices.train, prices.calibration])
        model.fit(X[rows], y[rows])
    fitted = time.process_time()
    found = model.certificate(X[prices.test], y[prices.test])
    kept = found.realised <= found.promised
    # Days on which much is planned to be earned, and the others.
    planned = PROBLEM.cost(model.decide(X[prices.test]), model.predict(X[prices.test]))
    lively = planned < np.median(planned)
    return {
        "split": split,
        "seed": seed,
        "model": name,
        "way": way,
        "cost": found.mean_cost,
        "coverage": found.coverage,
        "promise": found.mean_promise,
        "coverage_lively": kept[lively].mean(),
        "coverage_calm": kept[~lively].mean(),
        "fit_seconds": fitted - start,
        "promise_seconds": time.process_time() - fitted,
    }


def days_before(split, prices):
    """Yield days to fit on and days to look at, none of them for the test."""
    rows = np.sort(np.concatenate([prices.train, prices.calibration]))
    if split == "time":  # ever more days, and the 219 that follow
        yield from ((rows[:n], rows[n : n + 219]) for n in (875, 1094, 1313, 1532))
    else:
        folds = KFold(4, shuffle=True, random_state=0).split(rows)
        yield from ((rows[rest], rows[held]) for rest, held in folds)


def tails(data_home, n_seeds=3):
    """Return a comparison of values of `tail` as Markdown."""
    ways = {"no scale": {"scale": None}}
    ways |= {f"tail {tail}": {"tail": tail} for tail in (0, 0.25, 0.5, 0.75, 1, 1.5, 2)}
    records = []
    for split in ("time", "shuffled"):
        prices = fetch_storage_prices(split=split, data_home=data_home)
        X, y = prices.data.to_numpy(), prices.target.to_numpy()
        for rest, held in days_before(split, prices):
            for seed in range(n_seeds):
                order = np.random.default_rng(seed).permutation(rest)
                train, calibration = np.split(order, [int(0.8 * len(order))])
                for way, params in ways.items():
                    model = ConformalDecisions(models()["ridge on logs"], PROBLEM, **params)
                    model.fit(X[train], y[train], X_cal=X[calibration], y_cal=y[calibration])
                    found = model.certificate(X[held], y[held])
                    kept = found.realised <= found.promised
                    planned = PROBLEM.cost(model.decide(X[held]), model.predict(X[held]))
                    lively = planned < np.median(planned)
                    shares = found.coverage, kept[lively].mean(), kept[~lively].mean()
                    records.append([split, way, found.mean_promise, *shares])
    columns = ["split", "promise by", "mean promise", "kept", "lively days", "calm days"]
    means = pd.DataFrame(records, columns=columns).groupby(columns[:2], sort=False).mean()
    rows = [
        [*key, f"{row.iloc[0]:.2f}", *(f"{each:.1%}" for each in row.iloc[1:])]
        for key, row in means.iterrows()
    ]
    return "\n".join(
        [
            "# The tail of promises, on days before the test\n",
            f"Ridge regression on logs. Means over four parts of the days that are not for the "
            f"test, and {n_seeds} seeds each.\n",
            markdown(columns, rows),
        ]
    )


SHIFTS = {
    "all 101 features": {},
    "all, clip=10": {"clip": 10.0},
    "5 principal components": {"classifier": make_pipeline(
        StandardScaler(), PCA(5, random_state=0), LogisticRegression()
    )},
    "5 components, clip=10": {"clip": 10.0, "classifier": make_pipeline(
        StandardScaler(), PCA(5, random_state=0), LogisticRegression()
    )},
}  # fmt: skip


def shifts(data_home, n_seeds=10):
    """Return a comparison of weights of calibration days as Markdown."""
    records = []
    for split in ("time", "shuffled"):
        for seed in range(n_seeds):
            prices = fetch_storage_prices(split=split, seed=seed, data_home=data_home)
            X, y = prices.data.to_numpy(), prices.target.to_numpy()
            train, held = X[prices.train], X[prices.calibration]
            days = {"X_cal": held, "y_cal": y[prices.calibration]}
            weights = {
                name: CovariateShiftWeight(**params).fit(
                    np.concatenate([train, held]), X[prices.test]
                )
                for name, params in SHIFTS.items()
            }
            for regressor in ("ridge on logs", "ridge on prices"):
                model = ConformalDecisions(models()[regressor], PROBLEM, confidence_level=LEVEL)
                plain = model.fit(train, y[prices.train], **days)
                for name, shift in weights.items():
                    weighted = clone(model).set_params(shift_weight=shift)
                    weighted.fit(train, y[prices.train], **days)
                    asked = shift.weight(X[prices.test]) <= weighted.max_shift_weight_
                    rows = prices.test[asked]
                    found = [each.certificate(X[rows], y[rows]) for each in (weighted, plain)]
                    numbers = [(each.mean_promise, each.coverage) for each in found]
                    weight = shift.weight(held)
                    worth = weight.sum() ** 2 / (weight @ weight)
                    counts = worth, (~asked).sum()
                    records.append([split, regressor, name, *counts, *numbers[0], *numbers[1]])
    keys = ["split", "model", "weights by"]
    columns = [*keys, "worth", "refused", "promise", "kept", "promise0", "kept0"]
    rows = []
    for key, each in pd.DataFrame(records, columns=columns).groupby(keys, sort=False):
        mean, std = (getattr(each[columns[3:]], how)() for how in ("mean", "std"))
        cells = [f"{mean['worth']:.0f} ({std['worth']:.0f})", f"{mean['refused']:.0f}"]
        for which in ("", "0"):
            promise, kept = f"promise{which}", f"kept{which}"
            cells += [f"{mean[promise]:.2f} ({std[promise]:.2f})"]
            cells += [f"{mean[kept]:.1%} ({std[kept]:.1%})"]
        rows.append([*key, *cells])
    header = [*keys, "calibration days are worth", "test days refused", "mean promise", "kept"]
    return "\n".join(
        [
            "# Weights of calibration days by how much they look like the test days\n",
            "The default scale. CovariateShiftWeight is fitted on the features of the 1,751 days "
            f"before and of the 438 test days. Means over {n_seeds} seeds, with the standard "
            "deviation over seeds in brackets. The 351 calibration days are worth so many of equal "
            "weight. Promises are those of the test days that are not refused, the last two "
            "columns those without weights for the same days.\n",
            markdown([*header, "promise without", "kept without"], rows),
        ]
    )


def table(results):
    """Return the comparison as Markdown."""
    parts = [
        f"# A battery on real prices, {results['seed'].nunique()} seeds\n",
        f"Promises are to hold in {LEVEL:.0%} of the days. Means over seeds, with the standard "
        "deviation over seeds in brackets. Lively days are the half on which more is planned to be "
        "earned. CPU seconds are of one fit on one core, median.\n",
    ]
    for split in results["split"].unique():
        rows = []
        for (name, way), each in results[results["split"] == split].groupby(
            ["model", "way"], sort=False
        ):
            seeds = each["seed"].nunique()
            fewer = f" ({seeds} seeds)" if seeds < results["seed"].nunique() else ""
            rows.append(
                [
                    *(name, way + fewer),
                    f"{each['cost'].mean():.2f}",
                    f"{each['promise'].mean():.2f} ({each['promise'].std():.2f})",
                    f"{each['coverage'].mean():.1%} ({each['coverage'].std():.1%})",
                    f"{each['coverage_lively'].mean():.1%}",
                    f"{each['coverage_calm'].mean():.1%}",
                    f"{each['fit_seconds'].median():.1f}",
                ]
            )
        header = ["model", "promise by", "mean cost", "mean promise", "kept", "lively days"]
        parts += [
            f"## {split}\n",
            markdown([*header, "calm days", "CPU seconds"], rows),
        ]
    parts.append(
        "Published for 90 % (alpha .1), mean cost: time -30.5 (end-to-end ellipsoid) and -22.9 "
        "(estimate, then optimise over a box), shuffled -43.0 and -32.7; perfect foresight -32.50 "
        "and -45.50.\n"
    )
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--tails", action="store_true", help="compare them before the test")
    parser.add_argument("--shift", action="store_true", help="compare weights of days")
    args = parser.parse_args()
    if args.tails:
        (args.results / "storage_tails.md").write_text(tails(args.data_home))
        return
    if args.shift:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.filterwarnings("ignore", "The 351 calibration rows are worth", UserWarning)
            (args.results / "storage_shift.md").write_text(shifts(args.data_home, args.seeds))
        return
    path = args.results / "storage.csv"
    records = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(each["split"], each["seed"], each["model"], each["way"]) for each in records}
    places = {key: i for i, key in enumerate(tasks())}
    for seed in range(args.seeds):
        for split in ("time", "shuffled"):
            prices = fetch_storage_prices(split=split, seed=seed, data_home=args.data_home)
            for name, way in tasks():
                if (split, seed, name, way) in done:
                    continue
                with warnings.catch_warnings(), threadpool_limits(1):
                    warnings.simplefilter("error", RuntimeWarning)
                    records.append(run(split, seed, name, way, prices))
                results = pd.DataFrame(records)
                order = results.apply(lambda r: places.get((r["model"], r["way"]), 99), axis=1)
                results = results.assign(order=order).sort_values(
                    ["split", "order", "seed"], ascending=[False, True, True], kind="stable"
                )
                results.drop(columns="order").to_csv(path, index=False, float_format="%.6g")
        print(f"seed {seed} done", flush=True)
    results = pd.read_csv(path)
    (args.results / "storage.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
