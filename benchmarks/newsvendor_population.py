"""What robust training could gain on the newsvendor of newsvendor_shift.py with endless data.

Small samples and imperfect generators aside: every method gets 100,000 rows, and the nominal
model is the true distribution. Compared at equal price (cost in distribution, against plain
training) are an inflated underage cost, the worst case within a radius of the true distribution,
and, as a bound, training that knows the shift to come: a mixture of nominal rows and rows of the
shifted distribution.

Run ``python benchmarks/newsvendor_population.py``; writes results/newsvendor_population.*.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor
from dfl_sklearn.datasets import make_newsvendor
from dfl_sklearn.metrics import decision_cost
from dfl_sklearn.problems import NewsvendorProblem
from dfl_sklearn.robust import DiffusionGenerator, TiltedSearch

RESULTS = Path(__file__).parent / "results"
PROBLEM = NewsvendorProblem(9, 1)
PREDICTORS = {"linear": (), "MLP": (32, 32)}
PRICES = (0.02, 0.05)
KNOBS = {
    "margin (underage cost)": (9.0, 11.0, 13.5, 17.0, 22.0),
    "worst case near the true distribution (nats)": (0.001, 0.004, 0.01, 0.02),
    "knows the shift (share of shifted rows)": (0.03, 0.06, 0.12, 0.2, 0.3),
}


class TrueLaw(DiffusionGenerator):
    """The distribution that the rows come from, in the place of a model of it."""

    def fit(self, Z, y=None, sample_weight=None):
        """Learn nothing."""
        self.was_interrupted_ = False
        return self

    def sample(self, n_samples=1, random_state=None):
        """Draw rows."""
        X, y = make_newsvendor(n_samples, random_state=int(random_state) % 2**32)
        return np.column_stack([X, y])


def run(method, predictor, knob, n):
    """Fit one method and return its cost without a shift and in the common regime."""
    X, y = make_newsvendor(n, random_state=0)
    params = {"hidden_layer_sizes": PREDICTORS[predictor], "max_iter": 60, "random_state": 0}
    weight = None
    if method.startswith("margin"):
        model = DFLRegressor(NewsvendorProblem(knob, 1), **params)
    elif method.startswith("worst"):
        search = TiltedSearch(2 * n, real_share=0.0)
        model = DiffusionDRODFLRegressor(
            PROBLEM,
            radius=knob,
            generator=TrueLaw(),
            search=search,
            nominal_weight=0.0,
            early_stopping=False,
            **params,
        )
    else:
        X_shifted, y_shifted = make_newsvendor(n, shift="regime", random_state=1)
        X, y = np.concatenate([X, X_shifted]), np.concatenate([y, y_shifted])
        weight = np.repeat([1.0 - knob, knob], n)
        model = DFLRegressor(PROBLEM, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y, sample_weight=weight)
    record = {"method": method, "predictor": predictor, "knob": knob}
    for shift in (None, "regime"):
        X_test, y_test = make_newsvendor(200_000, shift=shift, random_state=2)
        record[shift or "nominal"] = decision_cost(y_test, model.predict(X_test), problem=PROBLEM)
    return record


def table(results):
    """Return the change in the shifted cost at equal prices, interpolated between knobs."""
    lines = [
        "# Newsvendor 9:1 with endless data: cost of the common regime at equal price\n",
        "Against plain training of the same predictor; interpolated between knobs.\n",
        "| predictor | method | " + " | ".join(f"price {price:.0%}" for price in PRICES) + " |",
        "|---|---|" + "---|" * len(PRICES),
    ]
    for predictor, part in results.groupby("predictor", sort=False):
        plain = part[part["knob"] == 9.0].iloc[0]
        for method, rows in part.groupby("method", sort=False):
            price = rows["nominal"] / plain["nominal"] - 1
            change = rows["regime"] / plain["regime"] - 1
            order = np.argsort(price.to_numpy())
            at = np.interp(
                PRICES, price.to_numpy()[order], change.to_numpy()[order], left=np.nan, right=np.nan
            )
            cells = " | ".join("" if np.isnan(value) else f"{value:+.1%}" for value in at)
            lines.append(f"| {predictor} | {method} | {cells} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=100_000)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    jobs = [
        (method, predictor, knob)
        for predictor in PREDICTORS
        for method, knobs in KNOBS.items()
        for knob in knobs
    ]
    results = pd.DataFrame(
        Parallel(n_jobs=args.n_jobs, verbose=5)(delayed(run)(*job, args.n_samples) for job in jobs)
    )
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "newsvendor_population.csv", index=False)
    (args.results / "newsvendor_population.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
