"""From a demand trace to a capacity decision: what `make demo` runs.

Forecasts the tokens that an LLM service will receive in the next five seconds, decides its
capacity from the forecast, and compares models by what their capacity costs: on the last part
of the trace, and on the traffic of another service that none of them has seen.
"""

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.dates import DateFormatter
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression

from dfl_sklearn import DFLRegressor, TwoStageRegressor
from dfl_sklearn.datasets import (
    fetch_azure_llm_trace,
    get_data_home,
    make_lagged,
    make_llm_trace,
)
from dfl_sklearn.inspection import DecisionDisplay
from dfl_sklearn.metrics import normalized_regret
from dfl_sklearn.problems import ProvisioningProblem

N_LAGS = 7
TRAIN = "conversation"
SHIFT = "code"


def load_traces():
    """Return the traces of both services and where they come from."""
    files = (Path(get_data_home()) / "azure_llm").glob("AzureLLMInferenceTrace_*.csv")
    if len(list(files)) >= 2:  # a file that is there and damaged is an error, not a reason to guess
        traces = {
            service: fetch_azure_llm_trace(service, download_if_missing=False).frame
            for service in (TRAIN, SHIFT)
        }
        return traces, "Azure LLM inference traces 2023 (from the data home)"
    traces = {
        TRAIN: make_llm_trace(720, service=TRAIN, random_state=0),
        SHIFT: make_llm_trace(720, service=SHIFT, random_state=1),
    }
    return traces, "embedded traces (generated; the real ones are not in the data home)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of the picture")
    args = parser.parse_args()

    traces, source = load_traces()
    print(f"Data: {source}")
    windows = {
        service: make_lagged(frame["context_tokens"], N_LAGS) for service, frame in traces.items()
    }
    X, y = windows[TRAIN]
    cut = int(0.7 * len(y))
    tests = {
        "same service, later": (X[cut:], y[cut:]),
        "other service (shift)": windows[SHIFT],
    }

    problem = ProvisioningProblem()
    models = {
        "least squares, two-stage": TwoStageRegressor(LinearRegression(), problem),
        "boosting, two-stage": TwoStageRegressor(
            HistGradientBoostingRegressor(random_state=0), problem
        ),
        "linear, decision-focused": DFLRegressor(problem, hidden_layer_sizes=(), random_state=0),
        "MLP, decision-focused": DFLRegressor(problem, random_state=0),
    }
    table = pd.DataFrame(index=pd.Index(models, name="normalised regret"), columns=list(tests))
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            if name.startswith("MLP"):
                # A net with hidden layers stops by its regret later in time: held-out windows
                # drawn at random would overlap with those it learns from.
                # The gap keeps their lags apart, too.
                held = int(0.8 * cut)
                later = slice(held + N_LAGS, cut)
                model.fit(X[:held], y[:held], X_val=X[later], y_val=y[later])
            else:
                model.fit(X[:cut], y[:cut])
        for test, (X_test, y_test) in tests.items():
            table.loc[name, test] = normalized_regret(
                y_test, model.predict(X_test), problem=problem
            )
    last = {test: X_test.iloc[:, -1] for test, (X_test, _) in tests.items()}
    table.loc["last value (no model)"] = [
        normalized_regret(y_test, last[test], problem=problem)
        for test, (_, y_test) in tests.items()
    ]
    print("\n" + table.astype(float).round(4).to_string())
    for test in tests:
        print(f"Best on {test!r}: {table[test].astype(float).idxmin()}")

    figure = draw(tests, models)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "llm_provisioning.png"
    figure.savefig(path, dpi=150)
    print(f"\nPicture: {path}")


def draw(tests, models):
    """Draw demand, decided capacity and regret for two of the models, both tests."""
    shown = {"boosting, two-stage": "#d1703c", "linear, decision-focused": "#1b6a8f"}
    figure, axes = plt.subplots(
        2, 2, figsize=(12, 6), height_ratios=(2, 1), sharex="col", layout="constrained"
    )
    for column, (test, (X_test, y_test)) in zip(axes.T, tests.items(), strict=True):
        X_last, y_last = X_test.iloc[-150:], y_test.iloc[-150:]
        for name, color in shown.items():
            DecisionDisplay.from_estimator(
                models[name], X_last, y_last, ax=column, name=name, color=color
            )
        top, bottom = column
        top.set(title=test, ylabel="thousand tokens per 5 s")
        top.set_ylim(0, 1.05 * y_last.max())
        top.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}")
        top.get_legend().remove()
        bottom.set(ylabel="regret so far", xlabel="time of day")
        bottom.xaxis.set_major_formatter(DateFormatter("%H:%M"))
        for ax in column:
            ax.spines[["top", "right"]].set_visible(False)
            ax.margins(x=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    labels = [{"observed": "demand", "best decision": "best capacity"}.get(x, x) for x in labels]
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    main()
