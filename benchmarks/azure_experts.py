"""LLM provisioning as the service runs: experts mixed by what their capacity has cost.

Experts are rules and models fitted on the first 70 % of the 2023 conversation trace of Azure's LLM
inference service, as in azure.py (honest protocol). Then services run, one after the other by
themselves: in each interval of five seconds capacity is decided, demand becomes known, and weights
move. Normalised regret of each expert, of mixtures and of the best sequence of ten experts with one
switch in a thousand rows.

Ten experts are rules, fitted models and the flagship at three radii; two more radii make it five.
For "weights of the last tenth" experts are fitted on the first nine tenths of the training rows,
and weights learnt on the last one before a stream starts. A tenth is what scikit-learn holds out
by default; it was not chosen by these series.

Run ``python benchmarks/azure_experts.py``; writes results/azure_experts.csv and
results/azure_experts.md.
"""

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from _equal_price import markdown
from azure import PROBLEM, TRAIN, WindowScaled, honest, load_series
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor, ExpertMixture
from dfl_sklearn.estimators import NaiveForecaster
from dfl_sklearn.learners import ScaleEquivariantPredictor

RESULTS = Path(__file__).parent / "results"
RADII = (0.01, 0.1, 0.3, 0.03, 1.0)  # of which ten experts have the first three
TEN = 10
HELD_OUT = 0.1
ALL = "mixture with five radii"


def experts(seed, memory):
    """Return the experts by name; the flagship's radii share a diffusion model and a first net."""
    line = {"hidden_layer_sizes": (), "random_state": seed}
    scaled = {"predictor": ScaleEquivariantPredictor(), "standardize": False, "random_state": seed}
    flagship = DiffusionDRODFLRegressor(PROBLEM, memory=memory, **line)
    return [
        ("last value", NaiveForecaster()),
        ("mean of the lags", NaiveForecaster("mean")),
        ("largest lag", NaiveForecaster("max")),
        ("least squares", LinearRegression()),
        ("least squares, window-scaled", WindowScaled()),
        ("decision-focused line", DFLRegressor(PROBLEM, **line)),
        ("decision-focused, scale-equivariant", DFLRegressor(PROBLEM, **scaled)),
        *((f"3D-Learning, radius {r}", clone(flagship).set_params(radius=r)) for r in RADII),
    ]


def mixtures(seed, X, y):
    """Return mixtures of fitted experts by name, that of all experts first."""
    cut = int((1 - HELD_OUT) * len(y))
    with TemporaryDirectory() as memory:
        table = experts(seed, memory)
        every = ExpertMixture(table, PROBLEM).fit(X, y)
        early = ExpertMixture(table, PROBLEM).fit(X[:cut], y[:cut])
    names = [name for name, _ in table]
    now = list(zip(names, map(FrozenEstimator, every.experts_), strict=True))
    before = list(zip(names, map(FrozenEstimator, early.experts_), strict=True))

    def mixed(some, **params):
        return ExpertMixture(some, PROBLEM, **params).fit(X, y)

    def learnt(some):
        return mixed(some).partial_fit(X[cut:], y[cut:])

    return {
        ALL: mixed(now),
        "mixture of ten": mixed(now[:TEN]),
        "mixture of ten, no tracking": mixed(now[:TEN], tracking=False),
        "mixture of ten, weights of the last tenth": learnt(before[:TEN]),
        f"{ALL}, weights of the last tenth": learnt(before),
        "mixture of the radii alone": mixed(now[-len(RADII) :]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data-home")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    sets, records = honest(load_series(args.data_home)), []
    X, y = sets.pop(None)
    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for seed in range(args.seeds):
            models = mixtures(seed, X, y)
            for series, (X_now, y_now) in sets.items():
                best = PROBLEM.optimal_cost(y_now)
                scale, least = abs(best).sum(), best.sum()
                costs = {}
                for name, model in models.items():
                    played = model.progressive(
                        X_now, y_now, max_switches=max(1, len(y_now) // 1000)
                    )
                    if name == ALL:
                        of_experts = played.expert_cost.sum(axis=0)
                        costs |= dict(zip(model._names, of_experts, strict=True))
                    costs[name] = played.cost.sum()
                    if name == "mixture of ten":
                        costs["best sequence of ten"] = played.switching_cost[-1]
                records += [
                    (seed, series, name, (cost - least) / scale, len(y_now))
                    for name, cost in costs.items()
                ]
            print(f"seed {seed}", flush=True)
    columns = ["seed", "series", "method", "normalized_regret", "rows"]
    results = pd.DataFrame(records, columns=columns)
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "azure_experts.csv", index=False, float_format="%.6g")
    text = report(results)
    (args.results / "azure_experts.md").write_text(text)
    print(text)


def report(results):
    """Return the table as Markdown: means over seeds, with the standard deviation."""
    values = results.pivot(index=["method", "seed"], columns="series", values="normalized_regret")
    values = values[results["series"].unique()]
    of_experts = ~values.index.get_level_values("method").str.contains("mixture|sequence")
    least = values[of_experts].groupby("seed").min()
    methods = results["method"].unique()
    lines = [
        [name, *(f"{each.mean():.4f} ± {each.std():.4f}" for _, each in values.loc[name].items())]
        for name in methods
    ]
    above = [
        [name, *(f"{100 * each:+.1f} %" for each in (values.loc[name] / least - 1).mean())]
        for name in methods
        if "mixture" in name
    ]
    return (
        "# Experts mixed as the service runs: normalised regret\n\n"
        f"{results['seed'].nunique()} seeds of the nets; all experts were fitted on the trace "
        f"{TRAIN!r}.\n\n"
        + markdown(["method", *values], lines)
        + "\nDifference to the best of all experts on each series:\n\n"
        + markdown(["method", *values], above)
    )


if __name__ == "__main__":
    main()
