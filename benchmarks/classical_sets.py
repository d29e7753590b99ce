"""The classical ambiguity sets against python-dro: the same optimum on its own linear regressions.

python-dro writes the dual of the worst case as one convex program and hands it to a conic solver;
here a linear net is trained by gradients on the worst weights. Compared are the worst-case mean
losses of both models, by python-dro's own objective and by this package's.

Needs python-dro, whose linear models do without most of what it installs:
``pip install --no-deps dro==0.4.3 ucimlrepo==0.0.7``. Run ``python benchmarks/classical_sets.py``;
writes results/classical_sets.csv and .md.
"""

import argparse
import importlib.util
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn import DFLRegressor
from dfl_sklearn.problems import NewsvendorProblem, SquaredErrorProblem
from dfl_sklearn.robust import ChiSquareBall, CVaR, KLBall, WassersteinBall

RESULTS = Path(__file__).parent / "results"
PROBLEMS = {
    "squared": ("ols", SquaredErrorProblem()),
    "absolute": ("lad", NewsvendorProblem(1, 1, nonnegative=False)),
}


def import_dro():
    """Return python-dro's linear models and regression data, past its imports of vision models."""
    found = importlib.util.find_spec("dro")
    if found is None:
        raise SystemExit("This needs python-dro: pip install --no-deps dro==0.4.3 ucimlrepo==0.0.7")
    package = types.ModuleType("dro")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["dro"] = package
    from dro import linear_model
    from dro.data import dataloader_regression

    return linear_model, dataloader_regression


def cells(linear_model, data):
    """Yield (data, set, level, loss, X, y, their model, our set)."""
    tables = {
        "regression_basic": data.regression_basic(200, d=5, noise=0.5),
        "regression_DN20_1": data.regression_DN20_1(200, d=5),
    }
    for source, (X, y) in tables.items():
        y = y.ravel()
        for loss, (kind, _) in PROBLEMS.items():
            params = {"input_dim": X.shape[1], "model_type": kind}
            for level in (0.02, 0.1, 0.5):
                theirs = linear_model.KLDRO(**params, eps=level)
                yield source, "KL", level, loss, X, y, theirs, KLBall(level)
                theirs = linear_model.Chi2DRO(**params)
                theirs.update({"eps": level})
                yield source, "chi-square", level, loss, X, y, theirs, ChiSquareBall(level)
            for level in (0.8, 0.5, 0.2):
                theirs = linear_model.CVaRDRO(**params)
                theirs.update({"alpha": level})
                yield source, "CVaR", level, loss, X, y, theirs, CVaR(level)
        # Wasserstein: both define it for the absolute loss and features that move.
        for level in (0.02, 0.1, 0.5):
            theirs = linear_model.WassersteinDRO(X.shape[1], model_type="lad")
            theirs.update({"eps": level, "p": 2, "cost_matrix": np.diag(X.var(axis=0) ** -1.0)})
            ball = WassersteinBall(level, columns="features")
            yield source, "Wasserstein", level, "absolute", X, y, theirs, ball


def compare(source, name, level, loss, X, y, theirs, ours):
    """Fit both and return one record."""
    problem = PROBLEMS[loss][1]
    start = time.perf_counter()
    theirs.fit(X, y)
    their_seconds = time.perf_counter() - start
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = DFLRegressor(
            problem,
            ambiguity_set=ours,
            hidden_layer_sizes=(),
            nominal_weight=0.0,
            alpha=0.0,
            early_stopping=False,
            batch_size=len(y),
            learning_rate_init=0.01,
            max_iter=20_000,
            tol=1e-8,
            n_iter_no_change=500,
            random_state=0,
        ).fit(X, y)
    our_seconds = time.perf_counter() - start

    def worst(slope, intercept):
        losses = problem.cost(X @ slope + intercept, y) - problem.optimal_cost(y)
        if name == "Wasserstein":  # of a linear model with absolute loss, in closed form
            return losses.mean() + level * np.linalg.norm(X.std(axis=0) * slope)
        return ours.worst_mean(losses)

    intercept = model.predict(np.zeros_like(X[:1]))[0]
    slope = model.predict(np.eye(X.shape[1])) - intercept
    by_theirs, by_ours = worst(theirs.theta, theirs.b), worst(slope, intercept)
    return {
        "data": source,
        "loss": loss,
        "set": name,
        "level": level,
        "objective of python-dro": theirs.robust_obj,
        "the same by this package": by_theirs,
        "ours": by_ours,
        "value gap": by_theirs / theirs.robust_obj - 1,
        "optimum gap": by_ours / by_theirs - 1,
        "seconds, python-dro": their_seconds,
        "seconds, ours": our_seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    records = []
    for cell in cells(*import_dro()):
        records.append(compare(*cell))
        print(records[-1], flush=True)
    results = pd.DataFrame(records)
    results.to_csv(args.results / "classical_sets.csv", index=False, float_format="%.8g")
    lines = [
        "# Classical sets against python-dro 0.4.3\n",
        "Value gap: the worst-case mean of python-dro's model by `worst_mean`, against "
        "python-dro's own objective (Wasserstein: by the closed form). Optimum gap: that of the "
        "linear `DFLRegressor` against python-dro's model, below 0 where ours is better. Largest "
        "over two data sets and three levels.\n",
        "| loss | set | value gap | optimum gap: least | largest | s, python-dro | s, ours |",
        "|---" * 7 + "|",
    ]
    for (loss, name), part in results.groupby(["loss", "set"], sort=False):
        gap = part["optimum gap"]
        lines.append(
            f"| {loss} | {name} | {part['value gap'].abs().max():.1e} | {gap.min():+.1e} | "
            f"{gap.max():+.1e} | {part['seconds, python-dro'].median():.2f} | "
            f"{part['seconds, ours'].median():.2f} |"
        )
    text = "\n".join(lines) + "\n"
    (args.results / "classical_sets.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
