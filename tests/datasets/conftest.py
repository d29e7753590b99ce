import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_data_home():
    """The data home that holds the real traces; without one the test is skipped."""
    candidates = [REPOSITORY.parent / "shared" / "data"]
    if os.environ.get("DFL_SKLEARN_DATA"):
        candidates.insert(0, Path(os.environ["DFL_SKLEARN_DATA"]))
    names = ["AzureLLMInferenceTrace_conv.csv", "AzureLLMInferenceTrace_code.csv"]
    for home in candidates:
        if all((home / "azure_llm" / name).exists() for name in names):
            return home
    pytest.skip("the Azure traces are not in DFL_SKLEARN_DATA/azure_llm; this test needs them")
