"""Benchmarks: what they write where, and tables of a single seed."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
WRITING = [path for path in sorted(BENCHMARKS.glob("[a-z]*.py")) if "RESULTS" in path.read_text()]


@pytest.mark.parametrize("path", WRITING, ids=lambda path: path.stem)
def test_results_can_be_written_elsewhere(path):
    text = path.read_text()
    assert '"--results", type=Path, default=RESULTS' in text
    assert "RESULTS / " not in text


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("spo_plus_degrees", "report"),
        ("coverage", "table"),
        ("rare_group", "table"),
        ("cora_matching", "table"),
        ("linear_losses", "table"),
        ("newsvendor_shift", "table"),
        ("scenario_oracles", "report"),
        ("fine_tuning", "table"),
        ("uncertain_knapsack", "report"),
        ("pyepo_linear", "table"),
    ],
)
def test_one_seed_has_no_interval(name, function, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = importlib.import_module(name)
    every = pd.read_csv(BENCHMARKS / "results" / f"{name}.csv")
    seed = "split" if name == "cora_matching" else "seed"
    make = getattr(benchmark, function)
    assert "nan" not in make(every[every[seed] == every[seed].iloc[0]])
    assert "±" in make(every)
