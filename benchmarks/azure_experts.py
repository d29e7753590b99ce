"""LLM provisioning as the service runs: experts mixed by what their capacity has cost.

Experts are rules and models fitted on the first 70 % of the 2023 conversation trace of Azure's LLM
inference service, as in azure.py (honest protocol). Then services run, one after the other by
themselves: in each interval of five seconds capacity is decided, demand becomes known, and weights
move.
Normalised regret of each expert, of the mixture and of the best sequence of experts with one switch
in a thousand rows.

Run ``python benchmarks/azure_experts.py``; writes results/azure_experts.csv and
results/azure_experts.md.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd
import torch
from _equal_price import markdown
from azure import PROBLEM, TRAIN, WindowScaled, honest, load_series
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor, ExpertMixture
from dfl_sklearn.estimators import NaiveForecaster
from dfl_sklearn.learners import ScaleEquivariantPredictor

RESULTS = Path(__file__).parent / "results"
RADII = (0.01, 0.1, 0.3)


def experts(seed, memory):
    """Return the experts by name; the flagship's radii share one diffusion model."""
    line = {"hidden_layer_sizes": (), "random_state": seed}
    scaled = {"predictor": ScaleEquivariantPredictor(), "standardize": False, "random_state": seed}
    return [
        ("last value", NaiveForecaster()),
        ("mean of the lags", NaiveForecaster("mean")),
        ("largest lag", NaiveForecaster("max")),
        ("least squares", LinearRegression()),
        ("least squares, window-scaled", WindowScaled()),
        ("decision-focused line", DFLRegressor(PROBLEM, **line)),
        ("decision-focused, scale-equivariant", DFLRegressor(PROBLEM, **scaled)),
        *(
            (
                f"3D-Learning, radius {radius}",
                DiffusionDRODFLRegressor(PROBLEM, radius=radius, memory=memory, **line),
            )
            for radius in RADII
        ),
    ]


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
            memory = str(args.results / "scratch")
            model = ExpertMixture(experts(seed, memory), PROBLEM).fit(X, y)
            plain = ExpertMixture(
                [(name, each) for name, each in model.experts], PROBLEM, tracking=False
            )
            plain.fit(X, y)
            for series, (X_now, y_now) in sets.items():
                best = PROBLEM.optimal_cost(y_now)
                scale, least = abs(best).sum(), best.sum()
                start = time.perf_counter()
                played = model.progressive(X_now, y_now, max_switches=max(1, len(y_now) // 1000))
                seconds = time.perf_counter() - start
                costs = dict(zip(model._names, played.expert_cost.sum(axis=0), strict=True))
                costs["mixture"] = played.cost.sum()
                costs["mixture, no tracking"] = plain.progressive(X_now, y_now).cost.sum()
                costs["best sequence"] = played.switching_cost[-1]
                records += [
                    (seed, series, name, (cost - least) / scale, len(y_now), seconds)
                    for name, cost in costs.items()
                ]
            print(f"seed {seed}", flush=True)
    columns = ["seed", "series", "method", "normalized_regret", "rows", "seconds"]
    results = pd.DataFrame(records, columns=columns)
    args.results.mkdir(exist_ok=True)
    results.to_csv(args.results / "azure_experts.csv", index=False, float_format="%.6g")
    text = report(results)
    (args.results / "azure_experts.md").write_text(text)
    print(text)


def report(results):
    """Return the table as Markdown: means over seeds, with the standard deviation."""
    mean, spread = (
        results.groupby(["method", "series"], sort=False)["normalized_regret"]
        .agg(kind)
        .unstack("series")
        for kind in ("mean", "std")
    )
    lines = [
        [name, *(f"{mean.loc[name, s]:.4f} ± {spread.loc[name, s]:.4f}" for s in mean)]
        for name in mean.index
    ]
    seconds = (results["seconds"] / results["rows"]).mean()
    return (
        "# Experts mixed as the service runs: normalised regret\n\n"
        f"{results['seed'].nunique()} seeds of the nets. Playing takes {1e6 * seconds:.0f} "
        f"microseconds a row; all experts were fitted on the trace {TRAIN!r}.\n\n"
        + markdown(["method", *mean], lines)
    )


if __name__ == "__main__":
    main()
