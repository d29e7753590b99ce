"""LLM provisioning under shift: forecasts compared by what their capacity costs.

Trains on the 2023 conversation trace of Azure's LLM inference service and decides capacity
on it and on other services and years, under two protocols.

*as published* (3D-Learning, arXiv:2602.02943, as released): empty bins are dropped, the 2023
series are repeated 30 and 96 times, each series is min-max scaled by itself and mapped to the
range of the training series, and cut into rows of 28 with 21 windows each. The first 70 % of
the rows train, the last 30 % are "in distribution". Because of the repetition, every one of
those test windows also occurs in training. Regrets here are those of exact decisions; the released
code decides by the slope of the best capacity applied to raw demand, which is off by c_min, and
averages ratios over mini-batches: the last table does as it does.

*honest*: no repetition, empty bins are zeros (the 2024 file at hand holds none), no rescaling,
the first 70 % of the windows train and the later ones test.

Predictors are a linear net, a scale-equivariant one, a perceptron and the paper's LSTM. Each is
trained on squared errors, on the cost of decisions and for the worst case of every set, as one net
and as five that are trained side by side and decide together.

Run ``python benchmarks/azure.py``; writes results/azure.csv and results/azure.md. Any number of CSV
files on the command line are further series to test on: ``name.csv`` with one row per interval and
the demand in its last column, or ``path.csv:column``. Finished cells are kept in results/scratch;
``--fresh`` runs them again, as must be done when the package changes. The LSTM and five nets, which
take most of the time, come last and have fewer seeds. ``--report`` writes the tables of the cells
that are finished, and runs none.
"""

import argparse
import json
import shutil
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _window_noise import CutOut, PerlinNoise
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from dfl_sklearn.datasets import fetch_azure_llm_trace, get_data_home, make_lagged
from dfl_sklearn.estimators import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.learners import LSTMPredictor, ScaleEquivariantPredictor
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ProvisioningProblem
from dfl_sklearn.robust import (
    ChiSquareBall,
    CVaR,
    GaussianNoise,
    KLBall,
    NominalSamples,
    PolicyGradientSearch,
    WassersteinBall,
)

RESULTS = Path(__file__).parent / "results"
N_LAGS = 7
ROW = 28  # length of a row in the published protocol
PROBLEM = ProvisioningProblem()
TRAIN = "2023 conversation"

# -- data ------------------------------------------------------------------------------


def load_series(data_home, more=()):
    """Return the demand series by name, empty bins kept; the training series first.

    `more` are paths of CSV files, with ":column" behind where it is not the last column.
    """
    series = {
        f"2023 {service}": fetch_azure_llm_trace(service, data_home=data_home)
        .frame["context_tokens"]
        .to_numpy(float)
        for service in ("conversation", "code")
    }
    path = Path(get_data_home(data_home)) / "azure_llm" / "code_2024_5s.csv"
    if path.exists():
        series["2024 code"] = pd.read_csv(path)["ContextTokens"].to_numpy(float)
    else:
        print(f"2024 code is left out: {path} does not exist.")
    for argument in more:
        name, _, column = argument.partition(":")
        table = pd.read_csv(name)
        if column and column not in table:
            raise SystemExit(f"{name} has no column {column!r}; it has {list(table.columns)}.")
        demand = pd.to_numeric(table[column] if column else table.iloc[:, -1], errors="coerce")
        if demand.isna().any() or (demand < 0).any():
            bad = int(np.flatnonzero(demand.isna() | (demand < 0))[0])
            raise SystemExit(f"{name} has no demand of at least 0 in row {bad}.")
        if len(demand) < 2 * ROW:
            raise SystemExit(f"{name} has {len(demand)} rows; {2 * ROW} are needed.")
        series[Path(name).stem] = demand.to_numpy(float)
    return series


def honest(series):
    """Return {name: (X, y)} with the training part under None."""
    sets = {name: make_lagged(values, N_LAGS) for name, values in series.items()}
    X, y = sets[TRAIN]
    cut = int(0.7 * len(y))
    later = slice(cut + N_LAGS, None)  # no window of a test row holds a training target
    sets[None], sets[TRAIN] = (X[:cut], y[:cut]), (X[later], y[later])
    return sets


def published(series):
    """Return {name: (X, y)} with the training part under None."""
    repeats = {TRAIN: 30, "2023 code": 96}
    low, high = series[TRAIN].min(), series[TRAIN].max()
    rows = {}
    for name, values in series.items():
        values = np.tile(values[values > 0], repeats.get(name, 1))
        values = low + (high - low) * (values - values.min()) / (values.max() - values.min())
        rows[name] = values[: len(values) // ROW * ROW].reshape(-1, ROW)
    cut = int(0.7 * len(rows[TRAIN]))
    rows[None], rows[TRAIN] = rows[TRAIN][:cut], rows[TRAIN][cut:]
    return {name: windows(each) for name, each in rows.items()}


def windows(rows):
    """Return the 21 windows of each row of 28, in the order of time within rows."""
    pieces = np.lib.stride_tricks.sliding_window_view(rows, N_LAGS + 1, axis=1)
    pieces = pieces.reshape(-1, N_LAGS + 1)
    return pieces[:, :-1].copy(), pieces[:, -1].copy()


# -- methods ---------------------------------------------------------------------------


class Rule(RegressorMixin, BaseEstimator):
    """A forecast that learns nothing: a function of the window."""

    def __init__(self, function):
        self.function = function

    def fit(self, X, y):
        """Learn nothing."""
        return self

    def predict(self, X):
        """Apply the rule."""
        return self.function(X)


class WindowScaled(RegressorMixin, BaseEstimator):
    """Least squares on windows divided by their own mean: scale-equivariant."""

    def fit(self, X, y):
        """Fit on the windows whose mean is not 0."""
        mean = X.mean(axis=1)
        kept = mean > 0
        ratio = X[kept] / mean[kept, None]
        self.model_ = LinearRegression(fit_intercept=False).fit(ratio, y[kept] / mean[kept])
        return self

    def predict(self, X):
        """Undo the division; a window of zeros predicts 0."""
        mean = X.mean(axis=1)
        safe = np.where(mean > 0, mean, 1.0)
        return mean * self.model_.predict(X / safe[:, None])


NETS = {
    "linear net": {"hidden_layer_sizes": ()},
    "scale-equivariant net": {"predictor": ScaleEquivariantPredictor(), "standardize": False},
    "MLP": {},
    "LSTM": {"predictor": LSTMPredictor(hidden_size=32)},
}


RADIUS = 0.1  # the default
N_NETS, FIVE = 5, ", five nets"
SEARCHES = {"3D-Learning": None, "3D-Learning, policy gradient": PolicyGradientSearch()}

SETS = {
    "KL": KLBall,
    "chi-square": ChiSquareBall,
    "CVaR": CVaR,
    "Wasserstein": WassersteinBall,
    "Gaussian noise": GaussianNoise,
    "Perlin noise": PerlinNoise,
    "cut-out": CutOut,
}


def trained(cache=None):
    """Return {what a net is trained for: parameters of the net -> estimator}."""
    sets = SETS | {"nominal samples": partial(NominalSamples, memory=cache)}
    return {
        "two-stage": partial(DFLRegressor, None),
        "decision-focused": partial(DFLRegressor, PROBLEM),
        **{
            name: partial(
                DiffusionDRODFLRegressor, PROBLEM, radius=RADIUS, search=search, memory=cache
            )
            for name, search in SEARCHES.items()
        },
        "3D-Learning, radius 0.0001": partial(
            DiffusionDRODFLRegressor, PROBLEM, radius=1e-4, memory=cache
        ),
        **{
            name: lambda make_set=make_set, **fixed: DFLRegressor(
                PROBLEM, ambiguity_set=make_set(), **fixed
            )
            for name, make_set in sets.items()
        },
    }


def methods(cache=None):
    """Return {name: (seed -> estimator, is random, watches later rows)}."""
    table = {
        "mean of the lags": (lambda seed: Rule(lambda X: X.mean(axis=1)), False, False),
        "last value": (lambda seed: Rule(lambda X: X[:, -1]), False, False),
        "least squares": (lambda seed: LinearRegression(), False, False),
        "least squares, window-scaled": (lambda seed: WindowScaled(), False, False),
        "boosting": (lambda seed: HistGradientBoostingRegressor(random_state=seed), True, False),
    }
    for net, (kind, make), n_nets in product(NETS, trained(cache).items(), (1, N_NETS)):
        table[f"{net}, {kind}" + FIVE * (n_nets > 1)] = (
            lambda seed, make=make, fixed={**NETS[net], "n_estimators": n_nets}: make(
                **fixed, random_state=seed
            ),
            True,
            net in ("MLP", "LSTM"),
        )
    return table


def slowness(name):
    """Return 0 to 2: fits of the LSTM and of five nets take most of the time."""
    return name.startswith("LSTM") + name.endswith(FIVE)


# -- the runs --------------------------------------------------------------------------


def cell(protocol, sets, name, seed, cache):
    """Return the path of the records of a method, a seed and a protocol."""
    series = "+".join(each for each in sets if each is not None)
    what = f"{protocol} {name} {seed} {series} radius {RADIUS}"
    return cache / f"{what}.json".replace(" ", "_")


def run(protocol, sets, name, seed, cache):
    """Fit one method and return one record per test series, from the cache if it has been run."""
    finished = cell(protocol, sets, name, seed, cache)
    if finished.exists():
        return json.loads(finished.read_text())
    make, _, watches = methods(str(cache))[name]
    X, y = sets[None]
    model, start = make(seed), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if watches:
            # Nets with hidden layers stop by the regret on the last fifth of the training time.
            cut = int(0.8 * len(y))
            later = slice(cut + N_LAGS, None)
            model.fit(X[:cut], y[:cut], X_val=X[later], y_val=y[later])
        else:
            model.fit(X, y)
    seconds = time.perf_counter() - start
    records = []
    for series, (X_test, y_test) in sets.items():
        if series is None:
            continue
        prediction = model.predict(X_test)
        record = {
            "protocol": protocol,
            "method": name,
            "seed": seed,
            "series": series,
            "normalized_regret": normalized_regret(y_test, prediction, problem=PROBLEM),
            "fit_seconds": seconds,
        }
        if protocol == "published":
            record["as_reference_code"] = reference_figure(prediction, y_test)
        records.append(record)
    partial = finished.with_suffix(".partial")
    partial.write_text(json.dumps(records))
    partial.replace(finished)
    return records


def reference_figure(prediction, y):
    """Return the figure as the released code computes it.

    It applies the slope of the best capacity to raw demand (off by c_min), averages ratios
    over mini-batches of 64 rows and drops the last incomplete one.
    """
    unit = ProvisioningProblem(c_min=0.0, c_max=PROBLEM.c_max)
    prediction = np.maximum(prediction, PROBLEM.c_min).reshape(-1, ROW - N_LAGS)
    ratios = []
    y = y.reshape(-1, ROW - N_LAGS)
    for start in range(0, len(y) // 64 * 64, 64):
        for t in range(ROW - N_LAGS):
            seen, guess = y[start : start + 64, t], prediction[start : start + 64, t]
            decided, best = (
                np.clip(unit.solve(each), PROBLEM.c_min, PROBLEM.c_max) for each in (guess, seen)
            )
            best_cost = PROBLEM.cost(best, seen)
            ratios.append((PROBLEM.cost(decided, seen) - best_cost).mean() / -best_cost.mean())
    return float(np.mean(ratios))


def table(results):
    """Return the results as Markdown: mean over seeds, with the standard deviation."""
    released = results[results["protocol"] == "published"].assign(
        protocol="published, averaged over mini-batches as in the released code",
        normalized_regret=lambda part: part["as_reference_code"],
    )
    lines = [
        "# LLM provisioning under shift: normalised regret\n",
        f"Means over seeds, with the standard deviation. 3D-Learning "
        f"with its default radius, {RADIUS} nats, and the tilted search where none is named; the "
        "other sets with their defaults too, Perlin noise of a tenth of a standard deviation, "
        "cut-out of a tenth of the lags. At a radius of 0.0001 there is no worst case but the rows "
        "that the diffusion model generates. So it is with nominal samples, which differ in what "
        "tells when to stop: the regret on real rows held out, not that under the generated rows. "
        "Where a row equals that of decision-focused training to all digits, no epoch of training "
        "for the set lowered the number that is watched, and the weights from before it were kept.",
    ]
    for protocol, part in pd.concat([results, released]).groupby("protocol", sort=False):
        grid = part.set_index(["method", "seed", "series"])["normalized_regret"].unstack()
        grid = grid[part["series"].unique()]
        grid["mean, shifted"] = grid.drop(columns=TRAIN).mean(axis=1, skipna=False)
        methods = part["method"].unique()
        averaged = [each for each in methods if each.endswith(FIVE)]
        lines += [f"\n## Protocol: {protocol}\n"]
        lines += rows({each: grid.loc[each] for each in methods if each not in averaged})
        lines += [f"\nEach forecast by {N_NETS} nets, trained side by side:\n"]
        lines += rows({each.removesuffix(FIVE): grid.loc[each] for each in averaged})
        # A series too short for one of the released code's mini-batches has no figure of its kind.
        means = grid["mean, shifted"].groupby("method").mean().dropna()
        if len(means):
            lines.append(
                f"\nBest of all on the shifted series: {means.idxmin()}, {means.min():.4f}."
            )
        plain = {
            f"{net}, {search}{five}": f"{net}, decision-focused{five}"
            for net, search, five in product(NETS, SEARCHES, ("", FIVE))
        }
        lines += ["\n3D-Learning minus decision-focused, seed by seed:\n"]
        lines += rows(
            {
                name: grid.loc[name] - grid.loc[plain[name]]
                for name in plain
                if {name, plain[name]} <= set(methods)
            },
            "+",
        )
    return "\n".join(lines) + "\n"


def rows(grids, sign=""):
    """Return the lines of a table: a row for each name, of its values over seeds by series."""
    columns = next(iter(grids.values())).columns
    lines = [
        "| method | seeds | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name, grid in grids.items():
        grid = grid.dropna(how="all")
        cells = " | ".join(spread(grid[column], sign) for column in columns)
        lines.append(f"| {name} | {len(grid)} | {cells} |")
    return lines


def spread(values, sign=""):
    """Return the mean, and the standard deviation where there are several values."""
    text = f"{values.mean():{sign}.4f}"
    return text + f" ± {values.std():.4f}" * (len(values) > 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("series", nargs="*", help="CSV files of further series: path[:column]")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slow-seeds", type=int, default=3, help="of the LSTM and of five nets")
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--fresh", action="store_true", help="run finished cells again")
    parser.add_argument("--report", action="store_true", help="run nothing, write what is there")
    args = parser.parse_args()

    cache = args.results / "scratch" / "azure"
    if args.fresh:
        shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    series = load_series(args.data_home, args.series)
    sets = {"honest": honest(series), "published": published(series)}
    jobs = [
        (protocol, name, seed)
        for protocol in sets
        for name, (_, is_random, _) in methods().items()
        for seed in range((args.slow_seeds if slowness(name) else args.seeds) if is_random else 1)
    ]
    if args.report:
        jobs = [job for job in jobs if cell(job[0], sets[job[0]], *job[1:], cache).exists()]
    in_turn = sorted(jobs, key=lambda job: (slowness(job[1]), job[2]))
    found = Parallel(n_jobs=args.n_jobs, verbose=5)(
        delayed(run)(protocol, sets[protocol], name, seed, cache)
        for protocol, name, seed in in_turn
    )
    of_job = dict(zip(in_turn, found, strict=True))
    results = pd.DataFrame([record for job in jobs for record in of_job[job]])
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "azure.csv", index=False)
    (args.results / "azure.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
