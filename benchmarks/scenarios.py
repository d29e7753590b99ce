"""A point or a distribution: decisions over scenarios beside points and policies.

Three families of problems in which no point forecast leads to the best decision (orders under a
shared capacity, a portfolio that should not lose, own and flexible capacities), 300 rows to train
on, and the restaurant (its first 350 days to train on, the others to test on). Every method has the
same rows. Regret is the mean cost on 200 new rows, less that of the best decisions under the true
distribution of y given x (400 draws of it a row); on the restaurant it is the cost. Rows of a shift
are drawn with the same seed.

A method with a margin adds k standard deviations of its errors to the point, or to all scenarios;
k is the best of a grid by five-fold cross-validation of the decision cost. "Chosen" takes the maker
of scenarios with the least cross-validated decision cost, of the five that train no net.

What is done is kept in results/scenarios.csv, and a run goes on from there. Run ``python
benchmarks/scenarios.py``; writes results/scenarios.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _equal_price import interval, markdown, plus_minus
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from dfl_sklearn import (
    DFLRegressor,
    DiffusionDRODFLRegressor,
    PolicyRegressor,
    TwoStageRegressor,
    decide,
)
from dfl_sklearn.datasets import (
    fetch_yaz,
    flexible_capacity_numbers,
    loss_portfolio_numbers,
    make_capacity_newsvendor,
    make_flexible_capacity,
    make_loss_portfolio,
)
from dfl_sklearn.losses import ScoreFunctionLoss
from dfl_sklearn.problems import MultiProductNewsvendorProblem, RecourseLinearProgram
from dfl_sklearn.robust import CVaR, KLBall
from dfl_sklearn.scenarios import (
    DiffusionScenarios,
    GaussianScenarios,
    LocalScenarios,
    MixtureScenarios,
    ResidualScenarios,
)

RESULTS = Path(__file__).parent / "results"
N_TRAIN, N_TEST, N_TRUE = 300, 200, 400
MARGINS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)


def flexible_cost(plan, y):
    """Return the cost of own and flexible capacities, its recourse in closed form."""
    short = np.maximum(y - plan[..., :-1], 0.0).sum(axis=-1)
    bought = plan[..., :-1].sum(axis=-1) + 1.3 * plan[..., -1]
    return bought + 4.0 * np.maximum(short - plan[..., -1], 0.0)


def portfolio_cost(shares, y):
    """Return the loss of a portfolio and twice its positive part."""
    loss = -(shares * y).sum(axis=-1)
    return loss + 2.0 * np.maximum(loss, 0.0)


COSTS = {"flexible capacity": flexible_cost, "loss portfolio": portfolio_cost}
FAMILIES = {
    "shared capacity": (
        make_capacity_newsvendor,
        lambda: MultiProductNewsvendorProblem([9, 6, 4, 3, 2, 1], 1, capacity=320),
        ("regime", "noise", "level_up", "level_down"),
    ),
    "loss portfolio": (
        make_loss_portfolio,
        lambda: RecourseLinearProgram(**loss_portfolio_numbers()),
        ("crisis", "noise", "level_up", "level_down"),
    ),
    "flexible capacity": (
        make_flexible_capacity,
        lambda: RecourseLinearProgram(**flexible_capacity_numbers()),
        ("surge", "noise", "level_up", "level_down"),
    ),
}
RESTAURANT = "restaurant"
REFERENCE = "policy, five averaged"
KNOWN_ROWS = {}  # to test on, those of a process
OF_CHOICE = (
    "residuals",
    "residuals, scaled",
    "residuals of a forest",
    "forest weights",
    "neighbours",
)


class Margin(BaseEstimator):
    """Decide from values, or from all scenarios, raised by some standard deviations of the errors.

    How many is the best of a grid for the decision cost, by five-fold cross-validation.
    """

    def __init__(self, estimator, problem):
        self.estimator = estimator
        self.problem = problem

    def fit(self, X, y):
        """Fit, and choose the margin."""
        costs = np.zeros(len(MARGINS))
        for train, test in KFold(5).split(X):
            model = clone(self.estimator).fit(rows_of(X, train), y[train])
            spread = (y[train] - model.predict(rows_of(X, train))).std(axis=0)
            values, weight = possible(model, rows_of(X, test))
            for i, k in enumerate(MARGINS):
                decisions = over(self.problem, values + k * spread, weight)
                costs[i] += self.problem.cost(decisions, y[test]).sum()
        self.margin_ = MARGINS[costs.argmin()]
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.spread_ = (y - self.estimator_.predict(X)).std(axis=0)
        return self

    def decide(self, X):
        """Return the decisions."""
        values, weight = possible(self.estimator_, X)
        return over(self.problem, values + self.margin_ * self.spread_, weight)


class Chosen(BaseEstimator):
    """The maker of scenarios whose decisions cost least, by five-fold cross-validation."""

    def __init__(self, makers, problem):
        self.makers = makers
        self.problem = problem

    def fit(self, X, y):
        """Fit all, and choose one."""
        costs = dict.fromkeys(self.makers, 0.0)
        for train, test in KFold(5).split(X):
            for name, maker in self.makers.items():
                model = TwoStageRegressor(clone(maker), self.problem)
                decisions = model.fit(rows_of(X, train), y[train]).decide(rows_of(X, test))
                costs[name] += self.problem.cost(decisions, y[test]).sum()
        self.name_ = min(costs, key=costs.get)
        self.model_ = TwoStageRegressor(clone(self.makers[self.name_]), self.problem).fit(X, y)
        return self

    def decide(self, X):
        """Return the decisions."""
        return self.model_.decide(X)


def rows_of(X, index):
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def possible(model, X):
    """Return scenarios (n, S, d) and weights of a model, one scenario where it predicts a point."""
    if hasattr(model, "predict_scenarios"):
        found = model.predict_scenarios(X)
        return found.values, found.weight
    return model.predict(X)[:, None], np.ones((len(X), 1))


def over(problem, values, weight):
    values = problem.project_parameters(values.reshape(-1, values.shape[-1]))[0].reshape(
        values.shape
    )
    return problem.solve(values, scenario_weight=weight)


def makers(to_numbers=None):
    """Return {name: maker of scenarios}; `to_numbers` takes a table to columns of numbers."""
    steps = [] if to_numbers is None else [to_numbers]
    line = make_pipeline(*steps, LinearRegression())
    forest = make_pipeline(*steps, forest_of())
    scale = "ridge" if to_numbers is None else make_pipeline(*steps, StandardScaler(), Ridge())
    return {
        "residuals": ResidualScenarios(line),
        "residuals, scaled": ResidualScenarios(line, scale=scale),
        "residuals of a forest": ResidualScenarios(forest),
        "forest weights": LocalScenarios(forest),
        "neighbours": LocalScenarios(
            make_pipeline(*steps, StandardScaler(), KNeighborsRegressor(25))
        ),
        "mixture": make_pipeline(*steps, MixtureScenarios(hidden_layer_sizes=(), random_state=0)),
        "diffusion": make_pipeline(*steps, DiffusionScenarios(random_state=0)),
    }


def forest_of():
    return RandomForestRegressor(200, min_samples_leaf=5, random_state=0)


def methods(problem, seed, to_numbers=None):
    """Return {name: estimator with fit and decide}."""
    found = makers(to_numbers)
    steps = [] if to_numbers is None else [to_numbers, StandardScaler()]
    line, forest = found["residuals"].estimator, found["residuals of a forest"].estimator

    def net(each):
        return each if not steps else make_pipeline(*steps, each)

    policy = PolicyRegressor(problem, random_state=seed)
    ways = {
        "least squares": TwoStageRegressor(line, problem),
        "least squares, margin": Margin(line, problem),
        "forest": TwoStageRegressor(forest, problem),
        "forest, margin": Margin(forest, problem),
        "decision-focused net": net(focused(problem, seed)),
        "decision-focused, five averaged": net(focused(problem, seed).set_params(n_estimators=5)),
        "policy": net(policy),
        REFERENCE: net(clone(policy).set_params(n_estimators=5)),
    }
    for name, maker in found.items():
        ways[name] = TwoStageRegressor(maker, problem)
    if isinstance(problem, MultiProductNewsvendorProblem):  # others take hours
        normal = GaussianScenarios(rank=0, hidden_layer_sizes=(), random_state=seed)
        ways["Gaussian"] = TwoStageRegressor(make_pipeline(*steps[:1], normal), problem)
        trained = DFLRegressor(problem, predictor=normal, random_state=seed)
        ways["Gaussian, trained for the decision"] = net(
            trained.set_params(learning_rate_init=1e-3)
        )
    scaled = found["residuals, scaled"]
    ways["residuals, scaled, margin"] = Margin(scaled, problem)
    ways["residuals, scaled, CVaR"] = TwoStageRegressor(scaled, problem, risk=CVaR(0.5))
    ways["residuals, scaled, KL"] = TwoStageRegressor(scaled, problem, risk=KLBall(0.1))
    flagship = focused(problem, seed, DiffusionDRODFLRegressor)
    ways["flagship"] = net(flagship)
    ways["flagship, five averaged"] = net(clone(flagship).set_params(n_estimators=5))
    known = DiffusionDRODFLRegressor(problem, decision="scenarios", random_state=seed)
    ways["flagship, scenarios"] = net(known)
    ways["chosen"] = Chosen({name: found[name] for name in OF_CHOICE}, problem)
    return ways


def focused(problem, seed, kind=DFLRegressor):
    """Return a net trained for the decision, on the score function where there is no layer.

    That takes 60 epochs at most: each solves the program 8 times a row.
    """
    if has_layer(problem):
        return kind(problem, random_state=seed)
    return kind(problem, loss=ScoreFunctionLoss(), max_iter=60, random_state=seed)


def has_layer(problem):
    try:
        problem.decision_layer()
    except (ValueError, NotImplementedError):
        return False
    return True


def decisions_of(model, X):
    return model.decide(X) if hasattr(model, "decide") else decide(model, X)


def test_rows(family, shift):
    """Return X to test on, draws of y there, and the mean cost of the best decisions."""
    if (family, shift) not in KNOWN_ROWS:
        KNOWN_ROWS[family, shift] = drawn(family, shift)
    return KNOWN_ROWS[family, shift]


def drawn(family, shift):
    """Return what `test_rows` keeps."""
    make, problem, _ = FAMILIES[family]
    X, _, true = make(N_TEST, n_scenarios=N_TRUE, shift=shift, random_state=10_000)
    best = problem().solve(true)
    if family in COSTS:  # its closed form is the problem's cost
        some = problem().cost(best, true[:, 0])
        np.testing.assert_allclose(COSTS[family](best, true[:, 0]), some, rtol=1e-9)
    return X, true, mean_cost(family, best, true)


def mean_cost(family, decisions, true):
    """Return the mean cost over draws (n, S, d) of y given x."""
    problem = FAMILIES[family][1]()
    assert problem.is_feasible(decisions).all()
    if family in COSTS:
        return COSTS[family](decisions[:, None], true).mean()
    repeated = np.repeat(decisions, true.shape[1], axis=0)
    return problem.cost(repeated, true.reshape(-1, true.shape[-1])).mean()


def run(family, seed, ways):
    """Return one record per shift of each method in `ways`."""
    torch.set_num_threads(1)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        if family == RESTAURANT:
            return run_restaurant(seed, ways)
        make, problem, shifts = FAMILIES[family]
        X, y = make(N_TRAIN, random_state=seed)
        records = []
        tests = {shift or "none": test_rows(family, shift) for shift in (None, *shifts)}
        for way, model in methods(problem(), seed).items():
            if way not in ways:
                continue
            start = time.process_time()
            model.fit(X, y)
            seconds = time.process_time() - start
            decisions = decisions_of(model, tests["none"][0])
            for shift, (X_test, true, best) in tests.items():
                assert (X_test == tests["none"][0]).all()  # a shift is one of y given x
                cost = mean_cost(family, decisions, true)
                records.append((family, seed, way, shift, cost, cost - best, seconds, note(model)))
    return records


def note(model):
    return getattr(model, "name_", getattr(model, "margin_", ""))


def run_restaurant(seed, ways):
    """Return the cost of four weeks each on the later days."""
    X, y = fetch_yaz(return_X_y=True)
    is_open = X["is_closed"] == 0
    X, y = X[is_open].drop(columns="is_closed"), y[is_open].to_numpy()
    to_numbers = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["weekday", "month"]),
        remainder="passthrough",
    )
    capacity = y[:350].sum(axis=1).mean()
    problem = MultiProductNewsvendorProblem(np.linspace(9, 3, 7), 1, capacity=capacity)
    records = []
    for way, model in methods(problem, seed, to_numbers).items():
        if way not in ways:
            continue
        start = time.process_time()
        model.fit(X[:350], y[:350])
        seconds = time.process_time() - start
        cost = problem.cost(decisions_of(model, X[350:]), y[350:])
        for block in range(len(cost) // 24):  # four weeks of six days
            mean = cost[24 * block : 24 * block + 24].mean()
            records.append(
                (RESTAURANT, seed, way, f"{block:02d}", mean, mean, seconds, note(model))
            )
    return records


COLUMNS = ["family", "seed", "way", "shift", "cost", "regret", "cpu_seconds", "note"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--families", nargs="*", default=[*FAMILIES, RESTAURANT])
    parser.add_argument("--ways", nargs="*", help="methods, all of them by default")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    path = args.results / "scenarios.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    have = set(zip(done["family"], done["seed"], done["way"], strict=True))
    cells = [(family, seed) for seed in range(args.seeds) for family in FAMILIES]
    cells += [(RESTAURANT, seed) for seed in range(min(3, args.seeds))]
    jobs = []
    for family, seed in cells:
        problem = FAMILIES[family if family in FAMILIES else "shared capacity"][1]()
        every = methods(problem, seed) if args.ways is None else args.ways
        ways = [way for way in every if (family, seed, way) not in have]
        if ways and family in args.families:
            jobs.append((family, seed, ways))
    found = Parallel(n_jobs=args.n_jobs, return_as="generator")(delayed(run)(*job) for job in jobs)
    for k, cell in enumerate(found):
        part = pd.DataFrame(cell, columns=COLUMNS)
        done = part if done.empty else pd.concat([done, part])
        done.to_csv(path, index=False, float_format="%.6g")
        print(f"{k + 1} of {len(jobs)} cells", flush=True)
    text = report(pd.read_csv(path))
    print(text)
    (args.results / "scenarios.md").write_text(text)


def report(results):
    """Return the tables as Markdown."""
    lines = [
        "# A point or a distribution\n",
        "Regret of each method as a share of that of five averaged policies, less one, paired by "
        "seed, with 95 % intervals; below 0 is better. Without a shift, and the mean over four "
        "shifts. CPU seconds of one fit on one core, median.\n",
    ]
    pooled = {}
    known = [family for family in FAMILIES if (results["family"] == family).any()]
    for family in known:
        part = results[results["family"] == family]
        table = []
        for where in ("none", "shifts"):
            rows = part[(part["shift"] == "none") == (where == "none")]
            regret = rows.groupby(["way", "seed"], sort=False)["regret"].mean().unstack("seed")
            pooled[family, where] = regret / regret.loc[REFERENCE] - 1
        base = part[part["shift"] == "none"].groupby(["way", "seed"])["regret"].mean()
        for way in pooled[family, "none"].index:
            row = [way, f"{base.loc[way].mean():.3f}"]
            for where in ("none", "shifts"):
                mean, half = interval(pooled[family, where].loc[way].dropna())
                row.append("" if way == REFERENCE else plus_minus(mean, half, "+.1%"))
            own = part[part["way"] == way]
            table.append([*row, str(own["seed"].nunique()), f"{own['cpu_seconds'].median():.1f}"])
        header = ["method", "regret", "no shift", "shifted", "seeds", "CPU s"]
        lines += [f"\n## {family.capitalize()}\n", markdown(header, table)]
    if len(known) == len(FAMILIES):
        table = []
        for way in pooled[known[0], "none"].index:
            if any(way not in pooled[family, "none"].index for family in known):
                continue
            row = [way]
            for where in ("none", "shifts"):
                each = sum(pooled[family, where].loc[way] for family in known) / len(known)
                mean, half = interval(each.dropna())
                row.append("" if way == REFERENCE else plus_minus(mean, half, "+.1%"))
            table.append(row)
        header = ["method", "no shift", "shifted"]
        lines += ["\n## All families\n", markdown(header, table)]
    part = results[results["family"] == RESTAURANT]
    if len(part):
        cost = part.groupby(["way", "shift"], sort=False)["cost"].mean().unstack("shift")
        table = []
        for way in cost.index:
            mean, half = interval(cost.loc[way] - cost.loc[REFERENCE])
            off = "" if way == REFERENCE else plus_minus(mean, half, "+.2f")
            table.append([way, f"{cost.loc[way].mean():.2f}", off])
        lines += [
            "\n## Restaurant\n",
            "Mean cost of a day on 410 later days, and its difference to that of five averaged "
            "policies, with 95 % intervals over blocks of four weeks.\n",
            markdown(["method", "cost", "difference"], table),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
