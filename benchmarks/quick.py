"""The ratios that are watched, in a few minutes on one core; writes no file.

Each is measured as in the benchmark named, on fewer sizes and repetitions: what a change makes
slower shows here, and the numbers to quote come from there. Times are those of the processor, so
that other programs beside disturb less.

Run ``python benchmarks/quick.py``.
"""

import time
import warnings

import numpy as np
import torch
from layers import BATCH, cvxpy_problem, programs
from layers import timed as layer_timed
from robust_cost import one_more_radius
from sklearn.exceptions import ConvergenceWarning
from speed import epoch_ratio
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.losses import SPOPlusLoss
from dfl_sklearn.problems import (
    KnapsackProblem,
    LinearProgram,
    NewsvendorProblem,
    ProvisioningProblem,
    ShortestPathProblem,
)

REPEATS = 5
PROGRAMS = ("QP with bounds, n = 10", "QP with bounds, n = 100", "shortest path 5x5")


def epochs():
    """Seconds of an epoch over those of a bare loop (speed.py)."""
    for hidden in ((), (32, 32)):
        found = list(epoch_ratio(10_000, 64, hidden, REPEATS, 2))
        yield f"epoch / bare torch, hidden {hidden}", [each["value"] for each in found]


def layers():
    """Seconds of cvxpylayers over ours, forward and backward (layers.py)."""
    try:
        from cvxpylayers.torch import CvxpyLayer
    except ImportError:
        print("cvxpylayers is not installed: no ratio of layers.")
        return
    jobs = {"n_jobs_forward": 1, "n_jobs_backward": 1}
    for name in PROGRAMS:
        arguments = programs()[name]
        problem, z, c = cvxpy_problem(arguments)
        theirs = CvxpyLayer(problem, parameters=[c], variables=[z])
        sides = QuadraticProgramLayer(**arguments), lambda v, t=theirs: t(v, solver_args=jobs)[0]
        ratios = []
        for repeat in range(REPEATS + 1):
            rng = np.random.default_rng(repeat)
            values, upstream = torch.as_tensor(rng.normal(size=(2, BATCH, z.size)))
            ours, others = (layer_timed(side, values, upstream)[2] for side in sides)
            ratios.append(others / ours)
        yield f"cvxpylayers / ours, {name}", ratios[1:]


def steps():
    """Seconds of a step of a fit with SPO+ over one of a bare torch loop without a decision."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1024, 5))
    for name, problem in (
        ("shortest path 5x5", ShortestPathProblem.grid(5, 5)),
        ("knapsack 16 x 2", KnapsackProblem(rng.integers(3, 9, (2, 16)), [20, 20])),
    ):
        y = rng.uniform(1.0, 2.0, (len(X), problem._n_parameters()))
        ratios = [spo_plus_seconds(problem, X, y) / bare_seconds(X, y) for _ in range(REPEATS + 1)]
        yield f"SPO+ step / bare torch step, {name}", ratios[1:]


def spo_plus_seconds(problem, X, y, batch_size=32, n_epochs=5):
    """Return the seconds of a step, with its share of what an epoch does besides."""
    model = DFLRegressor(
        problem,
        loss=SPOPlusLoss(),
        hidden_layer_sizes=(),
        batch_size=batch_size,
        max_iter=n_epochs,
        n_iter_no_change=n_epochs,
        early_stopping=False,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return model.history_["duration"].mean() / (len(X) / batch_size)


def bare_seconds(X, y, batch_size=32, n_steps=150):
    """Return the seconds of a step of Adam on a linear net with a linear loss."""
    x, slope = (torch.as_tensor(each[:batch_size]) for each in (X, y))
    net = torch.nn.Linear(X.shape[1], y.shape[1]).to(torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    start = time.perf_counter()
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = (net(x) * slope).mean()
        loss.backward()
        optimizer.step()
        loss.item()
    return (time.perf_counter() - start) / n_steps


def radii():
    """Seconds of fits at a first and at one more radius over a plain fit (robust_cost.py)."""
    found = {}
    for what, _, value, unit in one_more_radius(1_000, 2):
        found.setdefault((what, unit), []).append(value)
    for net in ("linear", "MLP"):
        first, plain = (
            np.array(found[f"{what}, {net}", "s"]) for what in ("first radius", "plain fit")
        )
        yield f"first radius / plain fit, {net}", first / plain
        yield (
            f"one more radius / plain fit, {net}",
            found[f"one more radius / plain fit, {net}", "ratio"],
        )


def solves():
    """Solved rows a second."""
    rng = np.random.default_rng(0)
    _, demand = make_newsvendor(1_000_000, random_state=0)
    grid = ShortestPathProblem.grid(30, 30)
    A = rng.uniform(0.5, 2, (50, 100)) * (rng.random((50, 100)) < 0.1)
    for name, problem, n_rows, n in (
        ("newsvendor", NewsvendorProblem(9, 1), 0, 1),
        ("provisioning", ProvisioningProblem(c_min=1.0, c_max=30.0), 0, 1),
        ("shortest path 5x5", ShortestPathProblem.grid(5, 5), 10_000, 40),
        ("shortest path 30x30", grid, 500, 1740),
        ("the same as LinearProgram", grid.as_linear_program(), 20, 1740),
        ("knapsack 16 x 2", KnapsackProblem(rng.integers(3, 9, (2, 16)), [20, 20]), 5_000, 16),
        ("LinearProgram 50 x 100", LinearProgram(-A, -A.sum(axis=1) / 4, bounds=(0, 1)), 200, 100),
    ):
        y = rng.uniform(0.5, 1.5, (n_rows, n)) if n_rows else demand
        speeds = []
        for _ in range(REPEATS):
            start = time.process_time()
            problem.solve(y)
            speeds.append(len(y) / (time.process_time() - start))
        yield f"rows/s, {name}", speeds


def main():
    time.perf_counter = time.process_time  # in the parts that are shared with other benchmarks
    rows = []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        for part in (epochs, layers, steps, radii, solves):
            for what, values in part():
                low, middle, high = np.quantile(values, [0, 0.5, 1])
                form = ",.0f" if what.startswith("rows/s") else ".2f"
                rows.append((what, *(format(each, form) for each in (middle, low, high))))
                print(f"{rows[-1][0]:52s} {rows[-1][1]:>12s}", flush=True)
    print("\n| what | median | range |\n|---|---|---|")
    for what, middle, low, high in rows:
        print(f"| {what} | {middle} | {low} to {high} |")


if __name__ == "__main__":
    main()
