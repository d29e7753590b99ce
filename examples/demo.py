"""From a demand trace to capacity decisions, and what to do when the demand changes.

This is what `make demo` runs. Every five seconds a service decides how many tokens of capacity to
keep ready. Models learn from its trace. A stress test shows how much the regret of each could rise,
before anything has shifted. Then the traffic becomes that of another service, and a mixture of the
models adapts to it.
"""

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, DiffusionDRODFLRegressor, ExpertMixture
from dfl_sklearn.datasets import fetch_azure_llm_trace, get_data_home, make_lagged, make_llm_trace
from dfl_sklearn.estimators import NaiveForecaster
from dfl_sklearn.model_selection import stress_test
from dfl_sklearn.problems import ProvisioningProblem

N_LAGS = 7
KNOWN, OTHER = "conversation", "code"
RADIUS = 0.1  # of the flagship and of the stress test, in nats
COLORS = ["#2a6f97", "#89c2d9", "#cfd8dc", "#f2b872", "#d1603d", "#9bbf85", "#4d7c63"]
INK = "#22333b"


def load_traces():
    """Return the traces of both services and where they come from."""
    files = (Path(get_data_home()) / "azure_llm").glob("AzureLLMInferenceTrace_*.csv")
    if len(list(files)) >= 2:  # a file that is there and damaged is an error, not a reason to guess
        traces = {
            service: fetch_azure_llm_trace(service, download_if_missing=False).frame
            for service in (KNOWN, OTHER)
        }
        return traces, "Azure LLM inference traces 2023 (from the data home)"
    traces = {
        KNOWN: make_llm_trace(720, service=KNOWN, random_state=0),
        OTHER: make_llm_trace(720, service=OTHER, random_state=1),
    }
    return traces, "embedded traces (generated; the real ones are not in the data home)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of the picture")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    traces, source = load_traces()
    print(f"Data: {source}\n")
    X, y = make_lagged(traces[KNOWN]["context_tokens"], N_LAGS)
    X_other, y_other = make_lagged(traces[OTHER]["context_tokens"], N_LAGS)
    cut = int(0.7 * len(y))
    X_later, y_later = X[cut:], y[cut:]

    # 1. Models of the known service: rules, forecasts, and nets trained for the decision.
    problem = ProvisioningProblem()
    line = {"hidden_layer_sizes": (), "random_state": 0}
    experts = [
        ("last value", NaiveForecaster()),
        ("mean of seven", NaiveForecaster("mean")),
        ("largest of seven", NaiveForecaster("max")),
        ("least squares", LinearRegression()),
        ("boosting", HistGradientBoostingRegressor(random_state=0)),
        ("decision-focused", DFLRegressor(problem, **line)),
        ("3D-Learning", DiffusionDRODFLRegressor(problem, radius=RADIUS, **line)),
    ]
    names = [name for name, _ in experts]
    mixture = ExpertMixture(experts, problem).fit(X[:cut], y[:cut])

    # 2. Before any shift: their regret under the worst distribution near the rows after these.
    fitted = dict(zip(names, mixture.experts_, strict=True))
    stress = stress_test(
        fitted, X_later, y_later, problem=problem, radius=RADIUS, random_state=0
    ).to_frame()

    # 3. The service goes on, and then its traffic is that of another one.
    stream_X, stream_y = pd.concat([X_later, X_other]), np.concatenate([y_later, y_other])
    played = mixture.progressive(stream_X, stream_y)

    optimum = problem.optimum(stream_y)
    regret = {
        name: cost - optimum.cost
        for name, cost in zip(
            [*names, "the mixture"], [*played.expert_cost.T, played.cost], strict=True
        )
    }
    change = len(y_later)
    known, other = slice(change), slice(change, None)
    scale = abs(optimum.cost[known]).mean()
    table = pd.DataFrame(
        {
            "known service": {name: each[known].mean() / scale for name, each in regret.items()},
            "its stress test": stress.set_index("estimator")["worst"] / scale,
            "other service": {
                name: each[other].sum() / abs(optimum.cost[other]).sum()
                for name, each in regret.items()
            },
        }
    ).loc[list(regret)]
    print("Regret as a share of the best cost in hindsight (0 is perfect)\n")
    print(table.round(4).to_string(na_rep=""))
    for test in table:
        print(f"Least on {test!r}: {table[test].idxmin()}")

    figure = draw(regret, played, optimum.decisions.ravel(), change)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "llm_provisioning.png"
    figure.savefig(path, dpi=150)
    print(f"\nPicture: {path}")


def draw(regret, played, best_capacity, change):
    """Draw the capacity decided, the regret of all models so far, and the weights."""
    minutes = (np.arange(len(best_capacity)) - change) * 5 / 60
    figure, (top, middle, bottom) = plt.subplots(
        3, figsize=(11, 8), sharex=True, height_ratios=(2, 2, 1.4), layout="constrained"
    )
    top.fill_between(
        minutes, best_capacity / 1e3, step="mid", color="#c3ccd4", label="best in hindsight"
    )
    decided = played.decisions.ravel() / 1e3
    top.step(minutes, decided, where="mid", color=INK, lw=1, label="decided by the mixture")
    top.set(ylabel="capacity, 1000 tokens / 5 s", ylim=(0, 1.05 * best_capacity.max() / 1e3))
    top.set_title("the service they know", loc="left", fontsize="medium")
    top.text(minutes[change], 1.03, " another service", transform=top.get_xaxis_transform())
    colors = dict(zip(regret, [*COLORS, INK], strict=True))
    for name, each in regret.items():
        width = 2.4 if name == "the mixture" else 1.4
        middle.plot(minutes, each.cumsum(), color=colors[name], lw=width, label=name)
    middle.set(ylabel="regret so far", ylim=(0, None))
    bottom.stackplot(minutes, played.weights.T, colors=COLORS)
    bottom.set(ylabel="weights", xlabel="minutes since the change", ylim=(0, 1))
    for ax in (top, middle, bottom):
        ax.axvline(0, color=INK, lw=0.8, ls=":")
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0)
    top.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    middle.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.align_ylabels()
    return figure


if __name__ == "__main__":
    main()
