"""Layers beside cvxpylayers: forward and backward of a batch, and what both are off by.

Batches of 64 on one thread; ours and cvxpylayers with its default back end (DIFFCP) take turns on
the same numbers, and a ratio is that of a pair. Off: the largest difference of a decision from
cvxpy's (Clarabel, tight tolerances), and of a gradient from central differences of ours in float64,
as a share of the largest entry.

cvxpylayers is not part of any extra: ``pip install cvxpylayers==1.2.0 diffcp==1.1.9``. Run
``python benchmarks/layers.py``; writes results/layers.csv and results/layers.md.
"""

import argparse
import time
from pathlib import Path

import cvxpy as cp
import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from dfl_sklearn.layers import QuadraticProgramLayer
from dfl_sklearn.problems import MatchingProblem, ShortestPathProblem

RESULTS = Path(__file__).parent / "results"
BATCH = 64


def programs():
    """Return {name: arguments of our layer}."""
    rng = np.random.default_rng(0)
    found = {}
    for n in (10, 100):
        root = rng.normal(size=(n, n)) / np.sqrt(n)
        dense, inside = root @ root.T + np.eye(n), rng.uniform(0.2, 0.8, n)
        A = rng.normal(size=(n // 10 + 1, n))
        G = rng.normal(size=(n // 2, n))
        equations = {"A_eq": A, "b_eq": A @ inside}
        rows = {"A_ub": G, "b_ub": G @ inside + rng.uniform(0, 1, n // 2)}
        box = {"lower": 0.0, "upper": 1.0}
        found[f"equality QP, n = {n}"] = {"quadratic": dense, **equations}
        found[f"QP with bounds, n = {n}"] = {"quadratic": dense, **equations, **box}
        found[f"regularised LP, n = {n}"] = {
            "quadratic": np.full(n, 0.2),
            **equations,
            **rows,
            **box,
        }
    for name, problem in (
        ("shortest path 5x5", ShortestPathProblem.grid(5, 5)),
        ("matching 10x10", MatchingProblem(10, 10)),
    ):
        n = problem._n_parameters()
        part = problem._polytope(n)
        found[name] = {
            "quadratic": np.full(n, 0.2),
            "A_eq": part.A_eq.toarray(),
            "b_eq": part.b_eq,
            "A_ub": part.A_ub.toarray(),
            "b_ub": part.b_ub,
            "lower": 0.0,
            "upper": 1.0,
        }
    return found


def cvxpy_problem(arguments):
    """Return the program of a layer in cvxpy, its variable and its parameter."""
    quadratic = np.asarray(arguments["quadratic"])
    n = len(quadratic)
    z, c = cp.Variable(n), cp.Parameter(n)
    root = np.diag(np.sqrt(quadratic)) if quadratic.ndim == 1 else np.linalg.cholesky(quadratic).T
    limits = []
    if len(arguments.get("b_eq", ())):
        limits.append(arguments["A_eq"] @ z == arguments["b_eq"])
    if len(arguments.get("b_ub", ())):
        limits.append(arguments["A_ub"] @ z <= arguments["b_ub"])
    if "lower" in arguments:
        limits += [z >= arguments["lower"], z <= arguments["upper"]]
    objective = cp.Minimize(0.5 * cp.sum_squares(root @ z) + c @ z)
    return cp.Problem(objective, limits), z, c


def timed(layer, values, upstream):
    """Return decisions, gradient and the seconds of both."""
    c = values.clone().requires_grad_()
    start = time.perf_counter()
    z = layer(c)
    z.backward(upstream)
    return z.detach().numpy(), c.grad.numpy(), time.perf_counter() - start


def off_by(found, right, reduce=np.nanmax):
    """Return the largest difference, as a share of the largest entry where that is above 1."""
    return float(reduce(np.abs(found - right)) / max(1.0, np.nanmax(np.abs(right))))


def exact(arguments, values):
    """Return the decisions (B, n) by cvxpy."""
    problem, z, c = cvxpy_problem(arguments)
    decisions = []
    for row in values.numpy():
        c.value = row
        tight = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
        problem.solve(solver="CLARABEL", **tight)
        decisions.append(z.value)
    return np.array(decisions)


def by_differences(layer, values, upstream, step=1e-5):
    """Return upstream @ Jacobian (B, n) by central differences; NaN where there is a kink.

    There the slopes to the two sides differ, as the constraints that hold change.
    """
    gradient = np.empty(values.shape)
    middle = (layer(values) * upstream).sum(dim=1).numpy()
    for j in range(values.shape[1]):
        move = torch.zeros_like(values[0])
        move[j] = step
        right, left = (
            (layer(values + sign * move) * upstream).sum(dim=1).numpy() for sign in (1, -1)
        )
        gradient[:, j] = (right - left) / (2 * step)
        bend = np.abs(right - 2 * middle + left) / step
        gradient[bend > 1e-2, j] = np.nan
    return gradient


def run(name, arguments, repeats):
    """Return a record for each repetition and side."""
    from cvxpylayers.torch import CvxpyLayer

    n = len(np.asarray(arguments["quadratic"]))
    problem, z, c = cvxpy_problem(arguments)
    theirs = CvxpyLayer(problem, parameters=[c], variables=[z])
    layer = QuadraticProgramLayer(**arguments)
    dense = {"mode": "dense", "n_jobs_forward": 1, "n_jobs_backward": 1}
    default = {"n_jobs_forward": 1, "n_jobs_backward": 1}
    sides = {
        "ours": layer,
        "cvxpylayers": lambda values: theirs(values, solver_args=default)[0],
        'cvxpylayers, mode="dense"': lambda values: theirs(values, solver_args=dense)[0],
    }
    records = []
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        values = torch.as_tensor(rng.normal(size=(BATCH, n)))
        upstream = torch.as_tensor(rng.normal(size=(BATCH, n)))
        best = exact(arguments, values)
        slope = by_differences(layer, values[:8], upstream[:8])
        for side, call in sides.items():
            timed(call, values[:2], upstream[:2])
            decisions, gradient, seconds = timed(call, values, upstream)
            records.append(
                {
                    "program": name,
                    "side": side,
                    "repeat": repeat,
                    "seconds": seconds,
                    "decision_off": off_by(decisions, best),
                    "gradient_off": off_by(gradient[:8], slope),
                    "gradient_typically_off": off_by(gradient[:8], slope, np.nanmedian),
                }
            )
        print(name, repeat, "done", flush=True)
    return records


def table(results):
    """Return times, ratios and errors as Markdown."""
    lines = [
        "# Layers beside cvxpylayers 1.2\n",
        f"Forward and backward of a batch of {BATCH}, one thread: median; ratio to ours, paired: "
        "median and range; largest errors.\n",
        "| program | layer | ms | times ours | decision off | gradient off | median entry off |",
        "|---|---|---|---|---|---|---|",
    ]
    for (program, side), each in results.groupby(["program", "side"], sort=False):
        part = results[(results["program"] == program) & (results["side"] == "ours")]
        ratio = each["seconds"].to_numpy() / part["seconds"].to_numpy()
        shown = (
            ""
            if side == "ours"
            else f"{np.median(ratio):.0f} ({ratio.min():.0f} to {ratio.max():.0f})"
        )
        lines.append(
            f"| {program} | {side} | {1000 * each['seconds'].median():.1f} | {shown} | "
            f"{each['decision_off'].max():.0e} | {each['gradient_off'].max():.0e} | "
            f"{each['gradient_typically_off'].max():.0e} |"
        )
    return "\n".join(lines) + "\n"


def matching_of_fifty(repeats):
    """Return seconds per row of a 50 x 50 matching layer, in batches of 1 and 16."""
    layer = MatchingProblem(50, 50).decision_layer(0.1)
    lines = ["\n## A 50 x 50 matching (2,500 variables), forward and backward\n"]
    for batch in (1, 16):
        seconds = []
        for repeat in range(repeats + 1):
            rng = np.random.default_rng(repeat)
            values = torch.as_tensor(rng.uniform(0, 1, (batch, 2500)))
            upstream = torch.as_tensor(rng.normal(size=(batch, 2500)))
            seconds.append(timed(layer, values, upstream)[2] / batch)
        warm = seconds[1:]
        lines.append(
            f"- batch of {batch}: {np.median(warm):.3f} s per row "
            f"({min(warm):.3f} to {max(warm):.3f})"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        records = [r for each in programs().items() for r in run(*each, args.repeats)]
        text = table(pd.DataFrame(records)) + matching_of_fifty(args.repeats)
    print(text)
    pd.DataFrame(records).to_csv(args.results / "layers.csv", index=False, float_format="%.6g")
    (args.results / "layers.md").write_text(text)


if __name__ == "__main__":
    main()
