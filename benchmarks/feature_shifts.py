"""How often a test of features finds a shift, by the kind of shift and the number of columns.

A reference of 300 rows, and two windows of 100 new ones: a classifier learns from the first of
them, and is asked about the second. Columns are independent standard normal ones. Of the new rows
either none has moved, or the mean of the first column by 0.7, or all means by as much taken
together, or the spread of the first column by a factor of 1.8; or the first two columns have a
correlation of 0.7. Shares of tests with p below 0.01.

Run ``python benchmarks/feature_shifts.py``; writes results/feature_shifts.csv and
results/feature_shifts.md.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _equal_price import markdown
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from dfl_sklearn.robust._shift_discriminant import ShiftDiscriminant
from dfl_sklearn.robust._two_sample_test import two_sample_test

RESULTS = Path(__file__).parent / "results"
COLUMNS = (3, 12, 20, 40)
REFERENCE, WINDOW, LEVEL, BLOCKS = 300, 100, 0.01, 5


def move_one_mean(rows):
    """Move the mean of the first column."""
    rows[:, 0] += 0.7


def move_all_means(rows):
    """Move the means of all columns, by the same distance taken together."""
    rows += 0.7 / np.sqrt(rows.shape[1])


def spread(rows):
    """Spread out the first column."""
    rows[:, 0] *= 1.8


def correlate(rows):
    """Correlate the first two columns."""
    rows[:, 1] = 0.7 * rows[:, 0] + np.sqrt(1 - 0.7**2) * rows[:, 1]


SHIFTS = {
    "none": lambda rows: None,
    "mean of one column": move_one_mean,
    "means of all columns": move_all_means,
    "spread of one column": spread,
    "correlation of two columns": correlate,
}


def linear():
    """Return a logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression())


def quadratic():
    """Return a logistic regression of all products."""
    products = PolynomialFeatures(2, include_bias=False)
    line = LogisticRegression(max_iter=1000)
    return make_pipeline(StandardScaler(), products, StandardScaler(), line)


CLASSIFIERS = {
    "default": ShiftDiscriminant,
    "logistic regression": linear,
    "logistic regression, products": quadratic,
}


def p_values(shift, n_columns, seed):
    """Return the p-value of each classifier on the same rows."""
    rng = np.random.default_rng(seed)
    sizes = (REFERENCE, WINDOW, WINDOW)
    reference, before, now = (rng.normal(size=(n, n_columns)) for n in sizes)
    for rows in (before, now):
        SHIFTS[shift](rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            (shift, n_columns, seed, name, two_sample_test(reference, before, now, make, BLOCKS)[1])
            for name, make in CLASSIFIERS.items()
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    found = Parallel(n_jobs=args.n_jobs, verbose=1)(
        delayed(p_values)(shift, n_columns, seed)
        for shift in SHIFTS
        for n_columns in COLUMNS
        for seed in range(args.seeds)
    )
    results = pd.DataFrame(
        [record for each in found for record in each],
        columns=["shift", "columns", "seed", "classifier", "p_value"],
    )
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "feature_shifts.csv", index=False, float_format="%.4g")
    text = report(results, args.seeds)
    (args.results / "feature_shifts.md").write_text(text)
    print(text)


def report(results, n_seeds):
    """Return the table as Markdown."""
    lines = []
    for (shift, n_columns), part in results.groupby(["shift", "columns"], sort=False):
        found = (part["p_value"] < LEVEL).groupby(part["classifier"]).mean()
        lines.append([shift, str(n_columns), *(f"{found[name]:.0%}" for name in CLASSIFIERS)])
    error = 100 * np.sqrt(0.25 / n_seeds)
    return (
        "# Shifts found by a test of features\n\n"
        f"Of {n_seeds} tests at a level of {LEVEL:.0%}, with {REFERENCE} reference rows and "
        f"windows of {WINDOW}. A share has a standard error of at most {error:.1f} points.\n\n"
        + markdown(["shift", "columns", *CLASSIFIERS], lines)
    )


if __name__ == "__main__":
    main()
