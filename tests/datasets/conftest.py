import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def home_with(folder, *names):
    """Return a data home that holds these files, or skip the test."""
    candidates = [REPOSITORY.parent / "shared" / "data"]
    if os.environ.get("DFL_SKLEARN_DATA"):
        candidates.insert(0, Path(os.environ["DFL_SKLEARN_DATA"]))
    for home in candidates:
        if all((home / folder / name).exists() for name in names):
            return home
    pytest.skip(f"{names[0]} is not in DFL_SKLEARN_DATA/{folder}; this test needs it")


@pytest.fixture(scope="session")
def real_data_home():
    """The data home that holds the real traces."""
    return home_with(
        "azure_llm", "AzureLLMInferenceTrace_conv.csv", "AzureLLMInferenceTrace_code.csv"
    )


@pytest.fixture(scope="session")
def cora_home():
    """The data home that holds the Cora archive."""
    return home_with("cora", "cora.tgz")
