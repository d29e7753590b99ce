"""A comparison of the demo's models: how long it takes, and whether its intervals hold.

The seven models of ``examples/demo.py`` are compared on the same demand trace, in five splits in
the order of time. For the intervals, a line and a quantile regression are fitted once, and compared
on 300 new rows, 500 times: how many of the intervals at 95 % hold the true difference, which is
that of 400,000 rows.

Run ``python benchmarks/comparison.py``; writes results/comparison.csv and results/comparison.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import markdown
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.model_selection import TimeSeriesSplit

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_lagged, make_llm_trace
from dfl_sklearn.estimators import NaiveForecaster
from dfl_sklearn.model_selection import compare_decisions
from dfl_sklearn.problems import NewsvendorProblem, ProvisioningProblem

RESULTS = Path(__file__).parent / "results"
N_LAGS, N_SPLITS, BLOCK = 7, 5, 12  # a block is a minute of rows
N_COMPARISONS, N_NEW, N_TRUE = 500, 300, 400_000


def models(problem):
    """Return the models of the demo, unfitted."""
    line = {"hidden_layer_sizes": (), "random_state": 0}
    return {
        "last value": NaiveForecaster(),
        "mean of seven": NaiveForecaster("mean"),
        "largest of seven": NaiveForecaster("max"),
        "least squares": LinearRegression(),
        "boosting": HistGradientBoostingRegressor(random_state=0),
        "decision-focused": DFLRegressor(problem, **line),
        "3D-Learning": DiffusionDRODFLRegressor(problem, radius=0.1, **line),
    }


def compared(n_jobs):
    """Return the table of the comparison and its seconds."""
    X, y = make_lagged(make_llm_trace(720, random_state=0)["context_tokens"], N_LAGS)
    problem = ProvisioningProblem()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = compare_decisions(
            models(problem),
            *(X, y),
            problem=problem,
            cv=TimeSeriesSplit(N_SPLITS),
            blocks=np.arange(len(y)) // BLOCK,
            reference="least squares",
            n_jobs=n_jobs,
        )
    return found.to_frame(), time.perf_counter() - start


def rows(n, rng, law):
    """Return features and demands whose spread depends on the first feature."""
    X = rng.normal(size=(n, len(law)))
    return X, 20 + X @ law + rng.gamma(2.0, size=n) * np.exp(0.3 * X[:, 0])


def coverage():
    """Return the share of intervals that hold the true difference."""
    problem, rng = NewsvendorProblem(4, 1), np.random.default_rng(0)
    law = rng.normal(size=3)
    X, y = rows(100, rng, law)
    fitted = {
        "line": FrozenEstimator(LinearRegression().fit(X, y)),
        "quantile": FrozenEstimator(QuantileRegressor(quantile=0.8, alpha=0).fit(X, y)),
    }
    X, y = rows(N_TRUE, rng, law)
    paid = {name: problem.cost(each.predict(X), y).mean() for name, each in fitted.items()}
    truth, n_held = paid["quantile"] - paid["line"], 0
    for seed in range(N_COMPARISONS):
        new = rows(N_NEW, np.random.default_rng([1, seed]), law)
        found = compare_decisions(fitted, *new, problem=problem, cv=2).to_frame()
        n_held += found.loc["quantile", "low"] <= truth <= found.loc["quantile", "high"]
    return n_held / N_COMPARISONS


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    table, seconds = compared(args.n_jobs)
    held = coverage()
    text = (
        "# A comparison of decisions\n\n"
        f"Seven models on the demo's trace, {N_SPLITS} splits in the order of time, "
        f"{args.n_jobs} processes, started within the time: {seconds:.0f} s. Of {N_COMPARISONS} "
        f"intervals at 95 % for two fitted models on {N_NEW} new rows, {held:.1%} hold the true "
        "difference. Costs are those of the decisions, less is better; intervals are those of the "
        "difference to least squares, over blocks of a minute.\n\n"
        + markdown(
            ["model", "mean cost", "low", "high", "seconds a fit"],
            [
                [
                    name,
                    f"{row['mean_cost']:.5f}",
                    *("" if np.isnan(row[of]) else f"{row[of]:+.5f}" for of in ("low", "high")),
                    f"{row['fit_seconds']:.1f}",
                ]
                for name, row in table.iterrows()
            ],
        )
    )
    print(text)
    args.results.mkdir(exist_ok=True)
    whole = pd.concat([table, pd.DataFrame({"value": {"seconds": seconds, "coverage": held}})])
    whole.to_csv(args.results / "comparison.csv", index_label="what", float_format="%.6g")
    (args.results / "comparison.md").write_text(text)


if __name__ == "__main__":
    main()
