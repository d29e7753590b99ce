"""Shipments planned from a forecast: what training for their cost is worth beside a margin.

Three depots with capacities 40, 40 and 60 serve four sites. Demand is 20 + 6 X A + 4 noise with
five features; what is shipped is decided from a forecast of it, at unit costs between 1 and 3. The
shortfall is bought at 5 a unit, and what is left over is worth nothing. In a second problem depots
are opened or not, at 40 each. 500 rows to train on and 1,000 to test on per seed; A is drawn once
per seed, unit costs once for all.

Least squares alone is the classical baseline. Plain rules raise its forecast, by a factor or by a
margin, the best of a grid by five-fold cross-validation of the decision cost. A line is trained on
the regret through the layer of ``RecourseLinearProgram``, through that of the same program written
in cvxpy, and on the score function's loss, for which decisions need no slope.

A second table has the time of the program in cvxpy, all rows together and one by one.

Run ``python benchmarks/recourse.py``; writes results/recourse.csv and results/recourse.md.
"""

import argparse
import time
import warnings
from pathlib import Path
from unittest import mock

import cvxpy as cp
import numpy as np
import pandas as pd
import torch
from _equal_price import interval, markdown, plus_minus
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.losses import RegretLoss, ScoreFunctionLoss
from dfl_sklearn.problems import ConvexProgram, Predicted, RecourseLinearProgram

RESULTS = Path(__file__).parent / "results"
N_TRAIN, N_TEST = 500, 1000
CAPACITY, SHORTFALL, OPENING = np.array([40.0, 40.0, 60.0]), 5.0, 40.0
UNIT_COST = np.random.default_rng(0).uniform(1, 3, (3, 4))
FACTORS = np.arange(1.0, 1.601, 0.05)
MARGINS = np.arange(-2.0, 8.01, 0.5)
SHIPMENTS, DEPOTS = "shipments", "shipments and depots"
ROWS, EPOCHS, BATCH = 200, 3, 32  # of the timed fit in cvxpy


def transport(with_depots=False):
    """Return the problem, as a linear program with recourse."""
    arrives = np.tile(np.eye(4), 3)  # what a plan of 3 x 4 shipments brings to each site
    leaves = np.repeat(np.eye(3), 4, axis=1)
    demand = [Predicted(j) for j in range(4)]
    recourse = {"q": np.full(4, SHORTFALL), "W": np.eye(4), "h": demand}
    if not with_depots:
        return RecourseLinearProgram(
            UNIT_COST.ravel(), T=arrives, A_ub=leaves, b_ub=CAPACITY, **recourse
        )
    return RecourseLinearProgram(
        np.append(UNIT_COST, np.full(3, OPENING)),
        T=np.hstack([arrives, np.zeros((4, 3))]),
        A_ub=np.hstack([leaves, -np.diag(CAPACITY)]),
        b_ub=np.zeros(3),
        bounds=[(0, None)] * 12 + [(0, 1)] * 3,
        integrality=[0] * 12 + [1] * 3,
        **recourse,
    )


def in_cvxpy():
    """Return the first problem as it is written in cvxpy."""
    ship, short = cp.Variable((3, 4), nonneg=True), cp.Variable(4, nonneg=True)
    demand = cp.Parameter(4)
    cost = cp.sum(cp.multiply(UNIT_COST, ship)) + SHORTFALL * cp.sum(short)
    limits = [cp.sum(ship, axis=1) <= CAPACITY, cp.sum(ship, axis=0) + short >= demand]
    return cp.Problem(cp.Minimize(cost), limits), demand, ship


class Raised(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Least squares, times a factor or plus a margin: the best of a grid for the decision cost."""

    def __init__(self, problem, grid, by_factor):
        self.problem = problem
        self.grid = grid
        self.by_factor = by_factor

    def fit(self, X, y):
        """Fit, and choose by five-fold cross-validation."""
        costs = np.zeros(len(self.grid))
        for train, test in KFold(5, shuffle=True, random_state=0).split(X):
            predicted = LinearRegression().fit(X[train], y[train]).predict(X[test])
            for i, knob in enumerate(self.grid):
                decisions = self.problem.solve(self._raised(predicted, knob))
                costs[i] += self.problem.cost(decisions, y[test]).sum()
        self.knob_ = self.grid[costs.argmin()]
        self.estimator_ = LinearRegression().fit(X, y)
        return self

    def _raised(self, predicted, knob):
        return predicted * knob if self.by_factor else predicted + knob

    def predict(self, X):
        """Predict, raised."""
        return self._raised(self.estimator_.predict(X), self.knob_)


def make(seed):
    """Return rows to train and to test on."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(5, 4))

    def draw(n):
        X = rng.normal(size=(n, 5))
        return X, 20 + 6 * X @ A + 4 * rng.normal(size=(n, 4))

    return *draw(N_TRAIN), *draw(N_TEST)


def methods(name, seed):
    """Return {name: estimator}."""
    problem = transport(name == DEPOTS)
    line = DFLRegressor(problem, hidden_layer_sizes=(), random_state=seed)
    score_function = {"loss": ScoreFunctionLoss()}
    if name == DEPOTS:
        score_function["max_iter"] = 20
    found = {
        "least squares": LinearRegression(),
        "least squares, factor": Raised(problem, FACTORS, by_factor=True),
        "least squares, margin": Raised(problem, MARGINS, by_factor=False),
        "regret through the layer": clone(line).set_params(loss=RegretLoss()),
        "the same in cvxpy": clone(line).set_params(
            loss=RegretLoss(), problem=ConvexProgram(in_cvxpy)
        ),
        "score function": clone(line).set_params(**score_function),
    }
    if name == DEPOTS:
        del found["the same in cvxpy"], found["regret through the layer"]  # no slopes
    return found


def run(name, seed):
    """Return one record per method."""
    torch.set_num_threads(1)
    problem, records = transport(name == DEPOTS), []
    X, y, X_test, y_test = make(seed)
    ways = {**methods(name, seed), "perfect foresight": None}
    for way, model in ways.items():
        start = time.process_time()
        if model is not None:
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore", ConvergenceWarning)
                if not isinstance(model, DFLRegressor):
                    model = TwoStageRegressor(model, problem)
                model.fit(X, y)
        seconds = time.process_time() - start
        predicted = y_test if model is None else model.predict(X_test)
        cost = problem.cost(problem.solve(predicted), y_test)
        knob = getattr(getattr(model, "estimator_", None), "knob_", np.nan)
        records.append(
            {
                "problem": name,
                "way": way,
                "seed": seed,
                "cost": cost.mean(),
                "knob": knob,
                "epochs": getattr(model, "n_iter_", np.nan),
                "cpu_seconds": seconds,
            }
        )
    return records


def one_by_one(problem):
    """Let cvxpy solve row after row, as it does where a program is not recognised."""
    return mock.patch.dict(vars(problem._program()), parametric=None)


def time_in_cvxpy():
    """Return CPU seconds for rows of the program in cvxpy, together and one by one."""
    torch.set_num_threads(1)
    problem = ConvexProgram(in_cvxpy)
    X, y = (each[:ROWS] for each in make(0)[:2])
    model = DFLRegressor(
        problem,
        hidden_layer_sizes=(),
        loss=RegretLoss(),
        max_iter=EPOCHS,
        batch_size=BATCH,
        early_stopping=False,
        random_state=0,
    )
    rows = torch.as_tensor(y)

    def layer():
        values = rows.clone().requires_grad_()
        problem.decision_layer()(values).sum().backward()

    decisions = problem.solve(y)
    works = {
        f"fit, {ROWS} rows x {EPOCHS} epochs": lambda: clone(model).fit(X, y),
        f"decisions, {ROWS} rows": lambda: problem.solve(y),
        f"costs, {ROWS} rows": lambda: problem.cost(decisions, y),
        f"layer there and back, {ROWS} rows": layer,
    }

    def cpu_seconds(work):
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work()
        return time.process_time() - start

    problem.solve(y[:2])
    assert problem._program().parametric is not None
    records = []
    for name, work in works.items():
        with threadpool_limits(1):
            together = [cpu_seconds(work) for _ in range(3)]
            with one_by_one(problem):
                try:
                    alone = cpu_seconds(work)
                except Exception as error:  # reported in the table
                    alone = np.nan
                    print(f"One by one, {name} failed: {error}", flush=True)
        records.append({"work": name, "together": np.median(together), "one by one": alone})
    return records


def report(results, times):
    """Return the tables as Markdown."""
    lines = [
        f"# Shipments planned from a forecast, {results['seed'].nunique()} seeds\n",
        f"Mean decision cost on {N_TEST:,} new rows, with 95 % intervals over seeds. Differences "
        "to least squares, whose decisions take the forecast for certain, are paired by seed, and "
        "so are those to the margin. CPU seconds are of one fit on one core, median. With depots "
        "the score function's loss has 20 epochs; nothing else is cut short.",
    ]
    for name, part in results.groupby("problem", sort=False):
        by_way = {way: each.set_index("seed") for way, each in part.groupby("way", sort=False)}
        rows = []
        for way, each in by_way.items():
            off = []
            for other in ("least squares", "least squares, margin"):
                mean, half = interval(each["cost"] - by_way[other]["cost"])
                off.append("" if way == other else plus_minus(mean, half, "+.3f"))
            mean, half = interval(each["cost"])
            knob, epochs = each["knob"].mean(), each["epochs"].mean()
            rows.append(
                [
                    *(way, plus_minus(mean, half, ".2f"), *off),
                    "" if np.isnan(knob) else f"{knob:.2f}",
                    "" if np.isnan(epochs) else f"{epochs:.0f}",
                    "" if way == "perfect foresight" else f"{each['cpu_seconds'].median():.1f}",
                ]
            )
        header = ["method", "cost", "against least squares", "against the margin"]
        table = markdown([*header, "factor or margin", "epochs", "CPU seconds"], rows)
        lines += [f"\n## {name.capitalize()}\n", table]
        if "the same in cvxpy" in by_way:
            one, other = by_way["regret through the layer"], by_way["the same in cvxpy"]
            off = (one["cost"] / other["cost"] - 1).abs().max()
            lines.append(f"Largest difference of the two ways of writing the program: {off:.1e}.")
    rows = [
        [
            each["work"],
            *(f"{each[way]:.3f}" for way in ("together", "one by one")),
            f"{each['one by one'] / each['together']:.0f}",
        ]
        for each in times.to_dict("records")
    ]
    lines += [
        "\n## The program in cvxpy, all rows together and one by one\n",
        f"CPU seconds on one core, in one process; together: median of three. Batches of {BATCH} "
        "in the fit. One by one is what other programs take: cvxpy for decisions and costs, "
        "cvxpylayers for the layer.\n",
        markdown(["work", "together, s", "one by one, s", "ratio"], rows),
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    times = pd.DataFrame(time_in_cvxpy())
    jobs = [(name, seed) for name in (SHIPMENTS, DEPOTS) for seed in range(args.seeds)]
    cells = Parallel(n_jobs=args.n_jobs, verbose=5)(delayed(run)(*job) for job in jobs)
    results = pd.DataFrame([record for cell in cells for record in cell])
    text = report(results, times)
    print(text)
    results.to_csv(args.results / "recourse.csv", index=False, float_format="%.6g")
    (args.results / "recourse.md").write_text(text)


if __name__ == "__main__":
    main()
