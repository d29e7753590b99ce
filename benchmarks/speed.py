"""Speed: decisions per second, and the cost of an epoch beside a bare torch loop.

Both sides of every ratio do the same work on one thread, in turns within one run; the ratio is
that of paired repetitions. The bare loop standardises nothing, records nothing and calls nobody:
a permutation, slices, forward, regret, backward, Adam, and the exact regret of all rows at the
end of the epoch, as the estimator reports it.

Run ``python benchmarks/speed.py``; writes results/speed.csv and results/speed.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.estimators import DFLRegressor
from dfl_sklearn.learners import MLPPredictor
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem, SquaredErrorProblem

RESULTS = Path(__file__).parent / "results"


def decisions_per_second(n_rows, repeats):
    """Time `decide`, prediction included, and `solve` alone on closed-form problems."""
    X, y = make_newsvendor(n_rows, random_state=0)
    problems = {
        "squared error": SquaredErrorProblem(),
        "newsvendor 9:1": NewsvendorProblem(9, 1),
        "provisioning": ProvisioningProblem(c_min=1.0, c_max=30.0),
    }
    for name, problem in problems.items():
        model = DFLRegressor(problem, random_state=0).fit(X[:1000], y[:1000])
        predicted = model.predict(X)
        for what, call in (
            ("decide", lambda m=model: m.decide(X)),
            ("solve", lambda p=problem, v=predicted: p.solve(v)),
        ):
            times = [timed(call) for _ in range(repeats)]
            for seconds in times:
                yield {
                    "what": f"{what}, {name}",
                    "n": n_rows,
                    "value": n_rows / seconds,
                    "unit": "rows/s",
                }


def epoch_ratio(n_rows, batch_size, hidden, repeats, n_epochs):
    """Time epochs of DFLRegressor and of a bare loop, in turns."""
    X, y = make_newsvendor(n_rows, random_state=0)
    problem = NewsvendorProblem(9, 1)
    for repeat in range(repeats):
        ours = estimator_seconds(problem, X, y, batch_size, hidden, n_epochs)
        bare = bare_seconds(X, y, batch_size, hidden, n_epochs)
        yield {
            "what": f"epoch / bare torch epoch, hidden {hidden}",
            "n": n_rows,
            "batch_size": batch_size,
            "repeat": repeat,
            "ours_ms": 1e3 * ours,
            "bare_ms": 1e3 * bare,
            "value": ours / bare,
            "unit": "ratio",
        }


def estimator_seconds(problem, X, y, batch_size, hidden, n_epochs):
    """Return the mean seconds of an epoch, the first left out, as `history_` reports them."""
    model = DFLRegressor(
        problem,
        hidden_layer_sizes=hidden,
        batch_size=batch_size,
        max_iter=n_epochs + 1,
        n_iter_no_change=n_epochs + 1,
        early_stopping=False,  # train on all rows and watch all of them, as the bare loop does
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return float(model.history_["duration"].iloc[1:].mean())


def bare_seconds(X, y, batch_size, hidden, n_epochs):
    """Return the mean seconds of an epoch of the plainest loop that does the same."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    net = MLPPredictor(hidden).build(X.shape[1], 1, generator).to(torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-4)
    inputs = torch.as_tensor((X - X.mean(0)) / X.std(0))
    target = torch.as_tensor(y[:, None])
    mean, scale = target.mean(0), target.std(0)
    weight = torch.ones(len(y), dtype=torch.float64)

    def row_regret(decision, demand):
        short = demand - decision
        return (9 * short.clamp(min=0) + (-short).clamp(min=0)).sum(1)

    def epoch():
        net.train()
        order = torch.randperm(len(y), generator=generator)
        shuffled = [each[order] for each in (inputs, target, weight)]
        for x, demand, w in zip(*(each.split(batch_size) for each in shuffled), strict=True):
            optimizer.zero_grad()
            decision = (net(x) * scale + mean).clamp(min=0)
            loss = (w * row_regret(decision, demand)).mean()
            loss.backward()
            optimizer.step()
            loss.item()
        net.eval()
        with torch.no_grad():
            return float(row_regret((net(inputs) * scale + mean).clamp(min=0), target).mean())

    epoch()
    start = time.perf_counter()
    for _ in range(n_epochs):
        epoch()
    return (time.perf_counter() - start) / n_epochs


def timed(call):
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    records = []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        records += decisions_per_second(1_000_000, args.repeats)
        for n_rows, batch_size in ((10_000, 64), (10_000, 256), (100_000, 256)):
            for hidden in ((), (32, 32)):
                epochs = 10 if n_rows <= 10_000 else 3
                records += epoch_ratio(n_rows, batch_size, hidden, args.repeats, epochs)
    results = pd.DataFrame(records)
    results["batch_size"] = results["batch_size"].astype("Int64")
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "speed.csv", index=False)
    lines = [
        "# Speed, one core\n",
        "| what | rows | batch | median | range |",
        "|---|---|---|---|---|",
    ]
    groups = results.groupby(["what", "n", "batch_size"], sort=False, dropna=False)
    for (what, n, batch), part in groups:
        digits = ",.0f" if part["unit"].iloc[0] == "rows/s" else ".2f"
        low, middle, high = (format(v, digits) for v in part["value"].quantile([0, 0.5, 1]))
        size = "" if pd.isna(batch) else batch
        lines.append(f"| {what} | {n:,} | {size} | {middle} | {low} to {high} |")
    text = "\n".join(lines) + "\n"
    (args.results / "speed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
