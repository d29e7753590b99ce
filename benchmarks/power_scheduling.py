"""Power scheduling (Donti, Amos and Kolter, 2017): a day's generation, decided the day before.

The load of 24 hours is predicted from the day before, and generation is decided from it: it changes
by at most 0.4 from hour to hour, a unit that is missing costs 50 and one too many 0.5, and half the
square of the difference comes on top. Features are those of Donti et al.: the load of the day
before, temperatures of both days and their powers, weekends, holidays, daylight saving time, and
the time of the year.

The protocol is that of "Diffusion-DFL" (ICLR 2026), read from its code: days of 2008-11 and 2012-16
stand one after the other, and each is paired with the day in the table before it, which is not the
day before where days are missing; features are standardised over all days, loads are in GW; the
first 80 % train, of which a random 20 % may be held out for stopping, and the last 20 % test.

Forecasts of squared error alone are the classical baseline. Plain rules add a margin to each hour
of the ridge regression, from residuals of rows that were not fitted on: their quantile at 50 / 50.5
as for a newsvendor, and the margin of the least mean cost if there were no limit on changes.
Scenarios are the residuals of the ridge regression, a normal distribution of each hour from a net,
or draws of a conditional diffusion model; the last two by likelihood, and then trained for the
decision, through their scenarios or by the score function. Point predictions are trained on the
regret through the layer of the program, which is ten lines of cvxpy. A policy puts out the decision
itself.

Needs ``pjm_load/pjm_load_data_2008-11.txt`` and ``pjm_load_data_2012-16.txt`` in the data home, as
in the code that came with both papers (GT-KOALA/Diffusion_DFL on GitHub). Run
``python benchmarks/power_scheduling.py``; what it has measured is kept in
results/power_scheduling.csv and not measured again, and results/power_scheduling.md is the report.
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

from dfl_sklearn import DFLRegressor, PolicyRegressor, TwoStageRegressor
from dfl_sklearn.datasets import get_data_home
from dfl_sklearn.losses import RegretLoss, ScoreFunctionLoss
from dfl_sklearn.problems import ConvexProgram
from dfl_sklearn.robust import DiffusionGenerator
from dfl_sklearn.scenarios import DiffusionScenarios, GaussianScenarios, ResidualScenarios

RESULTS = Path(__file__).parent / "results"
SHORT, OVER, RAMP = 50.0, 0.5, 0.4
BLOCK, N_BOOTSTRAP = 14, 10_000  # days, draws
HIDDEN = (64, 64)
N_SCENARIOS, RATE = 50, 1e-3
FEW = {"max_iter": 8, "learning_rate_init": 1e-4}  # of a diffusion model: epochs are long
BY_SCORE = {"max_iter": 2, "learning_rate_init": 2e-5}  # by the score function: 1e-4 diverges
REFERENCE = "ridge, residuals"
FOCUSED = {"batch_size": 32, "max_iter": 25, "n_iter_no_change": 3, "early_stopping": True}


def schedule():
    """Return the program, in cvxpy."""
    load, power = cp.Parameter(24), cp.Variable(24)
    off = load - power
    cost = SHORT * cp.sum(cp.pos(off)) + OVER * cp.sum(cp.pos(-off)) + 0.5 * cp.sum_squares(off)
    change = cp.diff(power)  # the limits as two: that of cp.abs is not solved in batches
    return cp.Problem(cp.Minimize(cost), [change <= RAMP, change >= -RAMP]), load, power


class Scheduling(ConvexProgram):
    """The program, over scenarios hour by hour wherever that keeps the ramp.

    Without the limit on changes hours have nothing to do with each other. A plan that is best then
    and keeps the limit is best with it; where it does not, the program decides.
    """

    def solve_scenarios(self, y, weight, context=None):
        """Return decisions (n, 24) over scenarios (n, S, 24) with weights (n, S)."""
        power = np.concatenate(
            [by_hour(y[i : i + 8], weight[i : i + 8]) for i in range(0, len(y), 8)]
        )
        beyond = (np.abs(np.diff(power)) > RAMP).any(axis=1)
        if beyond.any():
            power[beyond] = super().solve_scenarios(y[beyond], weight[beyond], context)
        return power

    def scenario_layer(self, smoothing=None):
        """Return a layer with the slopes of the smoothed distribution."""
        return HourLayer(self.solve_scenarios, 0.25 if smoothing is None else smoothing)


def by_hour(y, weight):
    """Return the best generation (n, 24) of each hour by itself.

    Above k scenarios, with a share F of the weight, the slope of the mean cost at z is z less
    m + 50 - 50.5 F, where m is the mean of all. It crosses 0 at the largest over k of the smaller
    of that number and the next scenario.
    """
    order = np.argsort(y, axis=1)
    ordered = np.take_along_axis(y, order, axis=1)
    share = np.take_along_axis(np.broadcast_to(weight[..., None], y.shape), order, axis=1)
    below = np.concatenate([np.zeros_like(share[:, :1]), share.cumsum(axis=1)], axis=1)
    upper = np.concatenate([ordered, np.full_like(share[:, :1], np.inf)], axis=1)
    mean = (share * ordered).sum(axis=1, keepdims=True)
    z = np.minimum(mean + SHORT - (SHORT + OVER) * below, upper).max(axis=1)
    # That it is best: the slope of the mean cost changes sign there.
    left = (share * np.where(ordered < z[:, None], OVER, -SHORT)).sum(axis=1) + z - mean[:, 0]
    right = (share * np.where(ordered <= z[:, None], OVER, -SHORT)).sum(axis=1) + z - mean[:, 0]
    assert (left <= 1e-9).all()
    assert (right >= -1e-9).all()
    return z


class HourLayer(torch.nn.Module):
    """Decisions over scenarios, each of which is a normal distribution of some width for slopes.

    The width is `smoothing` standard deviations of the scenarios of an hour. Hours between which
    the change is at its limit move together.
    """

    weights_have_slopes = True

    def __init__(self, solve, smoothing):
        super().__init__()
        self.solve, self.smoothing = solve, smoothing

    def forward(self, y, weight):
        """Map scenarios (B, S, 24) with weights (B, S) to decisions (B, 24)."""
        at, w = y.detach(), weight.detach()
        z = torch.as_tensor(self.solve(at.cpu().numpy(), w.cpu().numpy())).to(at)
        if not (y.requires_grad or weight.requires_grad):
            return z
        w = w[..., None]
        mean = (w * at).sum(dim=1, keepdim=True)
        width = self.smoothing * (w * (at - mean) ** 2).sum(dim=1, keepdim=True).sqrt() + 1e-9
        far = (z[:, None] - at) / width
        density = torch.exp(-0.5 * far**2) / (width * np.sqrt(2 * np.pi))
        slope = (SHORT + OVER) * torch.special.ndtr(far) - SHORT + z[:, None] - at
        curvature = (SHORT + OVER) * (w * density).sum(dim=1) + 1
        push = (w * ((SHORT + OVER) * density + 1) * (y - at)).sum(dim=1)
        push = push - ((weight - weight.detach())[..., None] * slope).sum(dim=1)
        moves = (z[:, 1:] - z[:, :-1]).abs() < RAMP - 1e-6
        group = torch.nn.functional.pad(moves.cumsum(dim=1), (1, 0))
        total = torch.zeros_like(z).scatter_add(1, group, curvature)
        pushed = torch.zeros_like(z).scatter_add(1, group, push)
        return z + (pushed / torch.where(total > 0, total, 1.0)).gather(1, group)


PROBLEM = Scheduling(schedule)


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
    """Return features and loads of all days that have one before them in the table."""
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
    return np.hstack(X), load[1:]


def load_days(data_home=None):
    """Return X_train, y_train, X_test and y_test."""
    folder = Path(get_data_home(data_home)) / "pjm_load"
    paths = [folder / f"pjm_load_data_{years}.txt" for years in ("2008-11", "2012-16")]
    if missing := [str(path) for path in paths if not path.exists()]:
        raise SystemExit(f"Not there: {', '.join(missing)}. See the top of this file.")
    parts = [features(*read(path)) for path in paths]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
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
        "ridge, residuals": ResidualScenarios(ridge),
        "ridge, residuals with a scale": ResidualScenarios(ridge, scale="ridge"),
    }
    if seed is None:
        return plain
    squares = DFLRegressor(hidden_layer_sizes=HIDDEN, random_state=seed)
    gaussian = GaussianScenarios(
        rank=0, hidden_layer_sizes=HIDDEN, n_scenarios=N_SCENARIOS, random_state=seed
    )
    diffusion = DiffusionScenarios(
        DiffusionGenerator(sampling_steps=10), n_scenarios=N_SCENARIOS, random_state=seed
    )
    focused = DFLRegressor(PROBLEM, loss=RegretLoss(), random_state=seed, **FOCUSED)
    score = ScoreFunctionLoss()
    likely = clone(focused).set_params(learning_rate_init=RATE)  # begins with a fitted model
    return {
        "net, squared error": squares,
        "net, squared error, best margin": Margin(squares, best_margin),
        "net, decision-focused": clone(focused).set_params(hidden_layer_sizes=HIDDEN),
        "line, decision-focused": clone(focused).set_params(hidden_layer_sizes=()),
        "policy": PolicyRegressor(PROBLEM, hidden_layer_sizes=HIDDEN, random_state=seed),
        "Gaussian": gaussian,
        "Gaussian, decision-focused": clone(likely).set_params(predictor=gaussian),
        "Gaussian, score function": clone(likely).set_params(predictor=gaussian, loss=score),
        "diffusion": diffusion,
        "diffusion, decision-focused": clone(likely).set_params(predictor=diffusion, **FEW),
        "diffusion, score function": clone(likely).set_params(
            predictor=diffusion, loss=score, **BY_SCORE
        ),
    }


ORDER = [*methods(None), *methods(0), "perfect foresight"]


def run(way, seed, data):
    """Return a record."""
    torch.set_num_threads(1)
    X, y, X_test, y_test = data
    start = time.process_time()
    if way == "perfect foresight":
        model, predicted, power = None, y_test, PROBLEM.solve(y_test)
    else:
        model = methods(seed)[way]
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            if not isinstance(model, (PolicyRegressor, DFLRegressor)) or model.problem is None:
                model = TwoStageRegressor(model, PROBLEM)
            model.fit(X, y)
        predicted = model.predict(X_test)  # of a policy its decisions
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
        "blocks": " ".join(
            f"{each.sum():.5g}" for each in np.split(costs, range(BLOCK, len(costs), BLOCK))
        ),
    }
    return record


def resampled(costs, n_days, rng):
    """Return means (draws, ways) over blocks drawn with replacement, given sums of blocks."""
    k = costs.shape[1]
    length = np.full(k, BLOCK)
    length[-1] = n_days - BLOCK * (k - 1)
    drawn = rng.integers(k, size=(N_BOOTSTRAP, k))
    return costs[:, drawn].sum(axis=2) / length[drawn].sum(axis=1)


def table(results, n_train, n_test):
    """Return the comparison as Markdown."""
    ways = [way for way in ORDER if (results["way"] == way).any()]
    of_block = np.array(
        [
            np.mean([np.array(each.split(), dtype=float) for each in part], axis=0)
            if len(part)
            else np.full(-(-n_test // BLOCK), np.nan)
            for part in (results.loc[results["way"] == way, "blocks"].dropna() for way in ways)
        ]
    )
    draws = resampled(of_block, n_test, np.random.default_rng(0))
    rows = []
    for i, way in enumerate(ways):
        each = results[results["way"] == way]
        spread = f" ({each['cost'].std():.3f})" if len(each) > 1 else ""
        j = ways.index(REFERENCE)
        low, high = np.quantile(draws[i] - draws[j], [0.025, 0.975])
        mean = (of_block[i] - of_block[j]).sum() / n_test
        epochs = each["epochs"].mean()
        rows.append(
            [
                *(way, f"{each['cost'].mean():.3f}{spread}"),
                "" if (each["seed"] < 0).all() else f"{len(each)}",
                ""
                if way == REFERENCE or np.isnan(mean)
                else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})",
                "" if way == "policy" else f"{each['rmse'].mean():.4f}",
                f"{each['at_ramp'].mean():.1%}",
                "" if np.isnan(epochs) else f"{epochs:.0f}",
                "" if way == "perfect foresight" else f"{each['cpu_seconds'].median():.1f}",
            ]
        )
    header = ["method", "cost of a day", "seeds", f"against {REFERENCE}", "RMSE of the mean"]
    return "\n".join(
        [
            "# Power scheduling\n",
            f"Mean cost of {n_test} test days, the last 20 %, after {n_train} to train on; of "
            "several seeds the mean, with their standard deviation in brackets. Differences are "
            f"paired by day, with 95 % intervals of a bootstrap of blocks of {BLOCK} days; costs "
            "of seeds are averaged first. At the ramp: share of days whose generation changes as "
            "much as it may. CPU seconds are of one fit on one core, median. Decisions of nets "
            f"are over {N_SCENARIOS} scenarios, those of residuals over all of them. Training for "
            f"the decision ends after {FOCUSED['max_iter']} epochs, of a diffusion model after "
            f"{FEW['max_iter']}, by the score function {BY_SCORE['max_iter']}.\n",
            markdown([*header, "at the ramp", "epochs", "CPU seconds"], rows),
            "Published for Diffusion-DFL on the same days, means of 10 seeds: diffusion trained "
            "for the decision 3.15 (through its draws) and 3.17 (score function), Gaussian trained "
            "for the decision 3.73, a net trained for the decision 4.33, policy 4.44, two-stage "
            "Gaussian 5.58, two-stage diffusion 7.90. Its Gaussian net has layers of 1024.\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", help="methods, all of them by default")
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    assert PROBLEM._program().parametric is not None  # a quadratic program, solved in batches
    data, path = load_days(args.data_home), args.results / "power_scheduling.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["way", "seed"])
    have = set(zip(done["way"], done["seed"], strict=True))
    jobs = [(way, None) for way in ["perfect foresight", *methods(None)]]
    jobs += [(way, seed) for seed in range(args.seeds) for way in methods(0)]
    jobs = [
        (way, seed)
        for way, seed in jobs
        if (way, -1 if seed is None else seed) not in have and way in (args.ways or ORDER)
    ]
    found = Parallel(n_jobs=args.n_jobs, return_as="generator")(
        delayed(run)(*job, data) for job in jobs
    )
    for record in found:
        part = pd.DataFrame([record])
        done = part if done.empty else pd.concat([done, part])
        done.to_csv(path, index=False, float_format="%.6g")
        print(f"{record['way']}, seed {record['seed']}: {record['cost']:.3f}", flush=True)
    text = table(pd.read_csv(path), len(data[0]), len(data[2]))
    print(text)
    (args.results / "power_scheduling.md").write_text(text)


if __name__ == "__main__":
    main()
