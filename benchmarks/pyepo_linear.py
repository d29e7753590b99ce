"""SPO+ on shortest paths and knapsacks beside PyEPO, on PyEPO's own data.

A linear predictor, batches of 32, Adam, as many epochs on both sides, one thread. PyEPO decides
with Gurobi (its free licence allows problems of this size) and with OR-Tools; ours among listed
paths and sets. Our epoch includes the exact regret of all training rows, which PyEPO's does not.
Fits go in turns within one run; a ratio is that of paired fits.

PyEPO is not part of any extra: ``pip install pyepo==2.2.0 gurobipy ortools``. Run
``python benchmarks/pyepo_linear.py``; writes results/pyepo_linear.csv and results/pyepo_linear.md.
"""

import argparse
import contextlib
import io
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _equal_price import interval, plus_minus
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor
from dfl_sklearn.losses import SPOPlusLoss
from dfl_sklearn.problems import KnapsackProblem, ShortestPathProblem

RESULTS = Path(__file__).parent / "results"
N_TRAIN, N_TEST, N_FEATURES, DEGREE, NOISE = 1000, 1000, 5, 4, 0.5
N_EPOCHS, BATCH_SIZE, RATE = 10, 32, 0.01
GRID, N_ITEMS, N_RESOURCES, CAPACITY = (5, 5), 16, 2, 20


def shortest_path(seed):
    """Return PyEPO's data, our problem and PyEPO's models of it."""
    import pyepo
    from pyepo.model.grb.shortestpath import shortestPathModel as Gurobi
    from pyepo.model.ort.shortestpath import shortestPathModel as ORTools

    x, c = pyepo.data.shortestpath.genData(
        N_TRAIN + N_TEST, N_FEATURES, GRID, deg=DEGREE, noise_width=NOISE, seed=seed
    )
    models = {"Gurobi": lambda: Gurobi(GRID), "OR-Tools": lambda: ORTools(GRID)}
    return x, c, ShortestPathProblem.grid(*GRID), models


def knapsack(seed):
    """Return PyEPO's data, our problem and PyEPO's models of it."""
    import pyepo
    from pyepo.model.grb.knapsack import knapsackModel as Gurobi
    from pyepo.model.ort.knapsack import knapsackModel as ORTools

    weights, x, c = pyepo.data.knapsack.genData(
        *(N_TRAIN + N_TEST, N_FEATURES, N_ITEMS),
        dim=N_RESOURCES,
        deg=DEGREE,
        noise_width=NOISE,
        seed=seed,
    )
    capacity = [CAPACITY] * N_RESOURCES
    models = {
        "Gurobi": lambda: Gurobi(weights, capacity),
        "OR-Tools": lambda: ORTools(weights, capacity),
    }
    return x, c, KnapsackProblem(weights, capacity), models


PROBLEMS = {"shortest path 5x5": shortest_path, "knapsack 16 items, 2 resources": knapsack}


def normalised_regret(problem, predicted, c):
    """Return the regret on rows as a share of the optimal costs."""
    best = problem.optimal_cost(c)
    return float((problem.cost(problem.solve(predicted), c) - best).sum() / np.abs(best).sum())


def ours(problem, x, c, seed, **params):
    """Return our model and the seconds of setting up and of an epoch."""
    model = DFLRegressor(
        problem,
        loss=SPOPlusLoss(),
        hidden_layer_sizes=(),
        batch_size=BATCH_SIZE,
        learning_rate_init=RATE,
        random_state=seed,
        **params,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, c)
    total = time.perf_counter() - start
    epochs = model.history_["duration"].sum()
    return model, total - epochs, epochs / len(model.history_)


def pyepos(make_model, x, c, seed):
    """Return PyEPO's predictions as a function, and the seconds of setting up and of an epoch."""
    import pyepo
    from torch.utils.data import DataLoader

    torch.manual_seed(seed)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model = make_model()
        data = pyepo.data.dataset.optDataset(model, x, c)
    loader = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
    net = torch.nn.Linear(x.shape[1], c.shape[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    loss = pyepo.func.SPOPlus(model, processes=1)
    set_up = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(N_EPOCHS):
        for features, costs, decisions, best in loader:
            value = loss(net(features), costs, decisions, best)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    seconds = (time.perf_counter() - start) / N_EPOCHS

    def predict(features):
        with torch.no_grad():
            return net(torch.as_tensor(features, dtype=torch.float32)).numpy().astype(float)

    return predict, set_up, seconds


def run(name, seed):
    """Return one record per way of training on one data set."""
    x, c, problem, models = PROBLEMS[name](seed)
    train, test = slice(None, N_TRAIN), slice(N_TRAIN, None)
    records = []

    def add(way, predicted, set_up, epoch):
        regret = normalised_regret(problem, predicted, c[test])
        record = {"problem": name, "seed": seed, "way": way, "regret": regret}
        records.append({**record, "set_up": set_up, "epoch": epoch})

    same = {"max_iter": N_EPOCHS, "learning_rate": "constant", "tol": 0.0, "n_iter_no_change": 99}
    model, *seconds = ours(problem, x[train], c[train], seed, **same)
    add("ours", model.predict(x[test]), *seconds)
    for solver, make_model in models.items():
        predict, *seconds = pyepos(make_model, x[train], c[train], seed)
        add(f"PyEPO, {solver}", predict(x[test]), *seconds)
    model, *seconds = ours(problem, x[train], c[train], seed)
    add("ours, until it settles", model.predict(x[test]), *seconds)
    least_squares = np.linalg.lstsq(np.c_[np.ones(N_TRAIN), x[train]], c[train], rcond=None)[0]
    add("least squares", np.c_[np.ones(N_TEST), x[test]] @ least_squares, np.nan, np.nan)
    return records


def spread(values):
    """Write mean and the half-width of its 95 % interval, as percentages."""
    mean, half = interval(values)
    return plus_minus(mean, half, "+.2%")


def table(results):
    """Return regrets, differences and ratios as Markdown."""
    lines = [
        f"# SPO+ beside PyEPO 2.2, {results['seed'].nunique()} seeds\n",
        f"Linear predictor, {N_TRAIN} training rows, {N_EPOCHS} epochs of batches of {BATCH_SIZE}, "
        "one thread. Regret on as many new rows, as a share of the optimal cost; difference to "
        "ours with its 95 % interval. Ratio: seconds of its epoch over ours, paired; median and "
        "range.\n",
    ]
    for name, part in results.groupby("problem", sort=False):
        by_way = {way: each.set_index("seed") for way, each in part.groupby("way", sort=False)}
        reference = by_way["ours"]
        lines += [
            f"\n## {name}\n",
            "| | regret | less ours | set-up, s | epoch, ms | ratio |",
            "|---|---|---|---|---|---|",
        ]
        for way, each in by_way.items():
            ratio = each["epoch"] / reference["epoch"]
            timed = way.startswith("PyEPO")
            lines.append(
                f"| {way} | {each['regret'].mean():.2%} | "
                + ("" if way == "ours" else spread(each["regret"] - reference["regret"]))
                + f" | {each['set_up'].median():.3f} | {1000 * each['epoch'].median():.1f} | "
                + (f"{ratio.median():.1f} ({ratio.min():.1f} to {ratio.max():.1f})" * timed)
                + " |"
            )
    return "\n".join(lines).replace("nan", "") + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    records = []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        for name in PROBLEMS:
            for seed in range(args.seeds):
                records += run(name, seed)
                print(name, seed, "done", flush=True)
    results = pd.DataFrame(records)
    text = table(results)
    print(text)
    results.to_csv(args.results / "pyepo_linear.csv", index=False, float_format="%.6g")
    (args.results / "pyepo_linear.md").write_text(text)


if __name__ == "__main__":
    main()
