"""Power scheduling (Donti, Amos and Kolter, 2017): a day's generation from its predicted load.

The load of 24 hours is predicted from the day before, and generation is decided from it: it changes
by at most 0.4 from hour to hour, a unit that is missing costs 50 and one too many 0.5, and half the
square of the difference comes on top. Features are those of Donti et al.: the load of the day
before, temperatures of both days and their powers, weekends, holidays, daylight saving time, and
the time of the year. Days of 2008-11 and 2012-16 stand one after the other; the first 80 % train,
the last 20 % test.

Forecasts of squared error alone are the classical baseline. Plain rules add a margin to each hour
of the ridge regression, from residuals of rows that were not fitted on: their quantile at 50 / 50.5
as for a newsvendor, and the margin of the least mean cost if there were no limit on changes.
Decision-focused are a line and a net, trained on the regret through the layer of the program, which
is ten lines of cvxpy. "Net, Gaussian" predicts a normal distribution of each hour by likelihood,
and decides over a hundred scenarios of it.

Needs ``pjm_load/pjm_load_data_2008-11.txt`` and ``pjm_load_data_2012-16.txt`` in the data home, as
in the code that came with the paper and with Diffusion-DFL (GT-KOALA/Diffusion_DFL on GitHub). Run
``python benchmarks/power_scheduling.py``; writes results/power_scheduling.csv and
results/power_scheduling.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import cvxpy as cp
import numpy as np
import pandas as pd
import torch
from _equal_price import markdown
from joblib import Parallel, delayed
from pandas.tseries.holiday import USFederalHolidayCalendar
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import get_data_home
from dfl_sklearn.losses import RegretLoss
from dfl_sklearn.problems import ConvexProgram
from dfl_sklearn.scenarios import GaussianScenarios

RESULTS = Path(__file__).parent / "results"
SHORT, OVER, RAMP = 50.0, 0.5, 0.4
BLOCK, N_BOOTSTRAP = 14, 10_000  # days, draws
HIDDEN = (64, 64)
FOCUSED = {"batch_size": 32, "max_iter": 25, "n_iter_no_change": 3, "early_stopping": True}


def schedule():
    """Return the program, in cvxpy."""
    load, power = cp.Parameter(24), cp.Variable(24)
    off = load - power
    cost = SHORT * cp.sum(cp.pos(off)) + OVER * cp.sum(cp.pos(-off)) + 0.5 * cp.sum_squares(off)
    change = cp.diff(power)  # the limits as two: that of cp.abs is not solved in batches
    return cp.Problem(cp.Minimize(cost), [change <= RAMP, change >= -RAMP]), load, power


PROBLEM = ConvexProgram(schedule)


def read(path):
    """Return load, temperature (days, 24) and the days, in New York's time."""
    table = pd.read_csv(path, sep=r"\s+", header=None, names=["time", "load", "temperature"])
    local = pd.to_datetime(table["time"], unit="s", utc=True).dt.tz_convert("America/New_York")
    table = table.assign(day=local.dt.tz_localize(None).dt.normalize(), hour=local.dt.hour)
    table = table.drop_duplicates(["day", "hour"])  # the hour that comes twice in autumn
    load, temperature = (
        table.pivot(index="day", columns="hour", values=name).bfill(axis=1).ffill(axis=1)
        for name in ("load", "temperature")
    )
    return load.to_numpy(), temperature.to_numpy(), load.index


def features(load, temperature, days):
    """Return features and loads of all days whose day before is known."""
    at_night = days.tz_localize("America/New_York")
    of_year = 2 * np.pi * days.day_of_year / 365
    calendar = np.column_stack(
        [
            days.day_of_week >= 5,
            days.isin(USFederalHolidayCalendar().holidays(days[0], days[-1])),
            [each.dst().seconds > 0 for each in at_night],
            np.cos(of_year),
            np.sin(of_year),
        ]
    ).astype(float)
    before, own = temperature[:-1], temperature[1:]
    X = [load[:-1], before, before**2, own, own**2, own**3, calendar[1:]]
    follows = (days[1:] - days[:-1]) == pd.Timedelta(days=1)
    return np.hstack(X)[follows], load[1:][follows]


def load_days(data_home=None):
    """Return X_train, y_train, X_test and y_test."""
    folder = Path(get_data_home(data_home)) / "pjm_load"
    paths = [folder / f"pjm_load_data_{years}.txt" for years in ("2008-11", "2012-16")]
    if missing := [str(path) for path in paths if not path.exists()]:
        raise SystemExit(f"Not there: {', '.join(missing)}. See the top of this file.")
    parts = [features(*read(path)) for path in paths]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    n = int(0.8 * len(X))
    return X[:n], y[:n], X[n:], y[n:]


def newsvendor_margin(residuals):
    """Return the margin of an hour that a newsvendor adds."""
    return np.quantile(residuals, SHORT / (SHORT + OVER))


def best_margin(residuals):
    """Return the margin of an hour that costs least on these residuals."""

    def cost(margin):
        off = residuals - margin
        return np.mean(np.where(off > 0, SHORT * off, -OVER * off) + 0.5 * off**2)

    return minimize_scalar(cost, bounds=(residuals.min(), residuals.max()), method="bounded").x


class Margin(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A regressor's prediction, and a margin for each hour from residuals of days left out."""

    def __init__(self, estimator, rule):
        self.estimator = estimator
        self.rule = rule

    def fit(self, X, y):
        """Fit."""
        residuals = y - cross_val_predict(self.estimator, X, y, cv=KFold(5))
        self.margin_ = np.array([self.rule(each) for each in residuals.T])
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    def predict(self, X):
        """Predict."""
        return self.estimator_.predict(X) + self.margin_


def methods(seed):
    """Return {name: estimator}; a seed is None where there is nothing random."""
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    plain = {
        "ridge": ridge,
        "ridge, newsvendor's margin": Margin(ridge, newsvendor_margin),
        "ridge, best margin": Margin(ridge, best_margin),
    }
    if seed is None:
        return plain
    nets = {}
    for name, hidden in (("line", ()), ("net", HIDDEN)):
        net = DFLRegressor(hidden_layer_sizes=hidden, random_state=seed)
        if hidden:
            squares = clone(net)
            nets[f"{name}, squared error"] = squares
            nets[f"{name}, squared error, best margin"] = Margin(squares, best_margin)
            nets[f"{name}, Gaussian"] = GaussianScenarios(
                rank=0, hidden_layer_sizes=hidden, random_state=seed
            )
        nets[f"{name}, decision-focused"] = clone(net).set_params(
            problem=PROBLEM, loss=RegretLoss(), **FOCUSED
        )
    return nets


def run(way, seed, data):
    """Return a record, and the cost of each test day."""
    torch.set_num_threads(1)
    X, y, X_test, y_test = data
    start = time.process_time()
    if way == "perfect foresight":
        model, predicted, power = None, y_test, PROBLEM.solve(y_test)
    else:
        model = methods(seed)[way]
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            if not way.endswith("decision-focused"):
                model = TwoStageRegressor(model, PROBLEM)
            model.fit(X, y)
        predicted = model.predict(X_test)
    seconds = time.process_time() - start
    if model is not None:
        power = model.decide(X_test)
    costs = PROBLEM.cost(power, y_test)
    record = {
        "way": way,
        "seed": -1 if seed is None else seed,
        "cost": costs.mean(),
        "rmse": np.sqrt(np.mean((predicted - y_test) ** 2)),
        "at_ramp": (np.abs(np.diff(power)) > RAMP - 1e-6).any(axis=1).mean(),
        "epochs": getattr(getattr(model, "estimator_", model), "n_iter_", np.nan),
        "cpu_seconds": seconds,
    }
    return record, costs


def resampled(costs, rng):
    """Return means (draws, ways) over blocks of days drawn with replacement."""
    n = costs.shape[1]
    starts = rng.integers(n - BLOCK + 1, size=(N_BOOTSTRAP, -(-n // BLOCK)))
    days = (starts[:, :, None] + np.arange(BLOCK)).reshape(N_BOOTSTRAP, -1)[:, :n]
    return np.array([each[days].mean(axis=1) for each in costs])


def table(results, costs, n_train):
    """Return the comparison as Markdown."""
    ways = list(results["way"].unique())
    of_day = np.array(
        [np.mean([each for way, each in costs if way == one], axis=0) for one in ways]
    )
    draws = resampled(of_day, np.random.default_rng(0))
    against = ("ridge", "ridge, best margin")
    rows = []
    for i, way in enumerate(ways):
        each = results[results["way"] == way]
        spread = f" ({each['cost'].std():.3f})" if len(each) > 1 else ""
        off = []
        for other in against:
            j = ways.index(other)
            low, high = np.quantile(draws[i] - draws[j], [0.025, 0.975])
            mean = (of_day[i] - of_day[j]).mean()
            off.append("" if way == other else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
        epochs = each["epochs"].mean()
        rows.append(
            [
                *(way, f"{each['cost'].mean():.3f}{spread}", *off),
                *(f"{each['rmse'].mean():.4f}", f"{each['at_ramp'].mean():.1%}"),
                "" if np.isnan(epochs) else f"{epochs:.0f}",
                "" if way == "perfect foresight" else f"{each['cpu_seconds'].median():.1f}",
            ]
        )
    header = ["method", "cost of a day", "against ridge", "against ridge, best margin", "RMSE"]
    n_seeds = results.loc[results["seed"] >= 0, "seed"].nunique()
    return "\n".join(
        [
            f"# Power scheduling, {n_seeds} seeds\n",
            f"Mean cost of {of_day.shape[1]} test days, the last 20 %, after {n_train} to train "
            "on; of several seeds the mean, with their standard deviation in brackets. Differences "
            f"are paired by day, with 95 % intervals of a bootstrap of blocks of {BLOCK} days; "
            "costs of seeds are averaged first. At the ramp: share of days whose generation "
            "changes as much as it may. CPU seconds are of one fit on one core, median. Training "
            f"for the decision ends after {FOCUSED['max_iter']} epochs.\n",
            markdown([*header, "at the ramp", "epochs", "CPU seconds"], rows),
            "Published for Diffusion-DFL, whose split and scaling are not these and whose figures "
            "can therefore only be compared with each other: diffusion trained for the decision "
            "3.15 and 3.17, Gaussian 3.73, a net trained for the decision 4.33, policy 4.44, "
            "two-stage Gaussian 5.58, two-stage diffusion 7.90.\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    assert PROBLEM._program().parametric is not None  # a quadratic program, solved in batches
    data = load_days(args.data_home)
    jobs = [(way, None) for way in methods(None)]
    jobs += [(way, seed) for way in methods(0) for seed in range(args.seeds)]
    jobs.append(("perfect foresight", None))
    cells = Parallel(n_jobs=args.n_jobs, verbose=5)(delayed(run)(*job, data) for job in jobs)
    results = pd.DataFrame([record for record, _ in cells])
    text = table(results, [(record["way"], each) for record, each in cells], len(data[0]))
    print(text)
    results.to_csv(args.results / "power_scheduling.csv", index=False, float_format="%.6g")
    (args.results / "power_scheduling.md").write_text(text)


if __name__ == "__main__":
    main()
