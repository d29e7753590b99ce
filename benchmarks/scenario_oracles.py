"""Scenario decisions on two published tasks whose best decisions are known.

Mean-CVaR portfolios of ten assets whose returns are normal given x (Kannan, Bayraksan and Luedtke):
the gap between the expected cost of decisions over residual scenarios and that of the best ones, at
100 new x. Two newsvendors (Kallus and Mao): expected cost of decisions over the leaves of a forest,
as a ratio to that of the best ones, at 1,000 new x of each run; published medians of 50 runs for a
forest with leaves of 10 are 1.716, 1.462, 1.281 and 1.228.

Run ``python benchmarks/scenario_oracles.py``; writes results/scenario_oracles.csv and
results/scenario_oracles.md.
"""

import argparse
from pathlib import Path

import cvxpy as cp
import numpy as np
import pandas as pd
from _equal_price import interval, markdown, plus_minus
from joblib import Parallel, delayed
from scipy.stats import norm, truncnorm
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

from dfl_sklearn import TwoStageRegressor
from dfl_sklearn.datasets import (
    make_mean_cvar_portfolio,
    make_two_item_newsvendor,
    mean_cvar_portfolio_covariance,
)
from dfl_sklearn.problems import CVaRPortfolioProblem, NewsvendorProblem
from dfl_sklearn.scenarios import LocalScenarios, ResidualScenarios

RESULTS = Path(__file__).parent / "results"
LEVEL, AVERSION = 0.8, 10.0
TAIL = AVERSION * norm.pdf(norm.ppf(LEVEL)) / (1 - LEVEL)
SIZES, N_X = (20, 40, 100, 400), 100
UNDERAGE, OVERAGE = np.array([100.0, 1.0]), np.array([5.0, 0.05])


def expected(shares, mean):
    """Return the mean plus CVaR of normal losses, in closed form."""
    spread = np.sqrt(np.einsum("ni,ij,nj->n", shares, mean_cvar_portfolio_covariance(), shares))
    return -(1 + AVERSION) * np.einsum("ni,ni->n", shares, mean) + TAIL * spread


def best_shares(mean):
    """Return the best shares, of a second-order cone program."""
    root = np.linalg.cholesky(mean_cvar_portfolio_covariance())
    z, m = cp.Variable(mean.shape[1], nonneg=True), cp.Parameter(mean.shape[1])
    cost = -(1 + AVERSION) * m @ z + TAIL * cp.norm(root.T @ z)
    program, found = cp.Problem(cp.Minimize(cost), [cp.sum(z) == 1]), []
    for m.value in mean:
        program.solve(solver="CLARABEL")
        found.append(z.value)
    return np.array(found)


def portfolio(seed):
    """Return the gap of each method at each number of rows."""
    problem = CVaRPortfolioProblem(level=LEVEL, risk_aversion=AVERSION)
    X_new, _, mean = make_mean_cvar_portfolio(N_X, random_state=10_000, return_mean=True)
    best = expected(best_shares(mean), mean)
    records = []
    for n in SIZES:
        X, y = make_mean_cvar_portfolio(n, random_state=seed)
        k = max(2, round(2 * np.sqrt(n)))
        ways = {
            "residuals": ResidualScenarios(LinearRegression()),
            "residuals, scaled": ResidualScenarios(LinearRegression(), scale="ridge"),
            "neighbours": LocalScenarios(KNeighborsRegressor(k)),
            "no features": ResidualScenarios(DummyRegressor()),
            "a point": LinearRegression(),
        }
        for way, maker in ways.items():
            with threadpool_limits(1):
                model = TwoStageRegressor(maker, problem).fit(X, y)
                shares = model.decide(X_new)[:, : mean.shape[1]]
            gap = (expected(shares, mean) - best).mean()
            records.append(("portfolio", way, n, seed, gap))
    return records


def newsvendor_risk(orders, X):
    """Return the expected cost of orders (n, 2), in closed form."""
    spread = np.exp(X[:, :2])
    # Truncation to [0, 100], where demand is normal with mean 3.
    law = truncnorm(-3 / spread, 97 / spread, loc=3, scale=spread)
    z = np.clip(orders, 0, 100)
    a, b = -3 / spread, (z - 3) / spread
    mass = norm.cdf(97 / spread) - norm.cdf(a)
    below = law.cdf(z)
    part = (3 * (norm.cdf(b) - norm.cdf(a)) - spread * (norm.pdf(b) - norm.pdf(a))) / mass
    over = z * below - part  # E (z - Y)_+
    under = over + law.mean() - z
    return (UNDERAGE * under + OVERAGE * over + OVERAGE * (orders - z)).sum(axis=1)


def newsvendor(seed):
    """Return the ratio of each method to the best decisions at each number of rows."""
    problem = NewsvendorProblem(UNDERAGE, OVERAGE)
    X_new, _ = make_two_item_newsvendor(1000, random_state=10_000 + seed)
    spread = np.exp(X_new[:, :2])
    level = UNDERAGE / (UNDERAGE + OVERAGE)
    best = truncnorm(-3 / spread, 97 / spread, loc=3, scale=spread).ppf(level)
    lowest = newsvendor_risk(best, X_new).mean()
    records = []
    for n in (100, 200, 400, 800):
        X, y = make_two_item_newsvendor(n, random_state=seed)
        ways = {"residuals, scaled": ResidualScenarios(LinearRegression(), scale="ridge")}
        for leaf in (10, 5):
            forest = RandomForestRegressor(500, min_samples_leaf=leaf, random_state=seed, n_jobs=1)
            ways[f"forest weights, leaves of {leaf}"] = LocalScenarios(forest)
        for way, maker in ways.items():
            with threadpool_limits(1):
                model = TwoStageRegressor(maker, problem).fit(X, y)
                orders = model.decide(X_new)
            ratio = newsvendor_risk(orders, X_new).mean() / lowest
            records.append(("newsvendor", way, n, seed, ratio))
    return records


def report(results):
    """Return the tables as Markdown."""
    lines = ["# Scenario decisions on tasks whose best decisions are known\n"]
    for name, title, summary in (
        ("portfolio", "Mean-CVaR portfolio: gap to the best expected cost", interval),
        ("newsvendor", "Two newsvendors: expected cost over the best, median and quartiles", None),
    ):
        part = results[results["task"] == name]
        sizes = sorted(part["n"].unique())
        table = []
        for way, rows in part.groupby("way", sort=False):
            cells = []
            for n in sizes:
                values = rows.loc[rows["n"] == n, "value"]
                if summary:
                    mean, half = interval(values)
                    cells.append(plus_minus(mean, half, ".3f"))
                else:
                    low, middle, high = values.quantile([0.25, 0.5, 0.75])
                    cells.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
            table.append([way, *cells])
        seeds = part["seed"].nunique()
        header = ["method", *(f"n = {n}" for n in sizes)]
        lines += [f"\n## {title}, {seeds} seeds\n", markdown(header, table)]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=50, help="of the newsvendors; 20 portfolios")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    jobs = [delayed(portfolio)(seed) for seed in range(min(20, args.seeds))]
    jobs += [delayed(newsvendor)(seed) for seed in range(args.seeds)]
    cells = Parallel(n_jobs=args.n_jobs, verbose=5)(jobs)
    columns = ["task", "way", "n", "seed", "value"]
    results = pd.DataFrame([record for cell in cells for record in cell], columns=columns)
    text = report(results)
    print(text)
    results.to_csv(args.results / "scenario_oracles.csv", index=False, float_format="%.6g")
    (args.results / "scenario_oracles.md").write_text(text)


if __name__ == "__main__":
    main()
