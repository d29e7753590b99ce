import hashlib

import numpy as np
import pandas as pd
import pytest

from dfl_sklearn.datasets import _azure_llm, fetch_azure_llm_trace, read_llm_trace
from dfl_sklearn.datasets._download import RemoteFile


@pytest.fixture
def small_home(tmp_path, monkeypatch):
    """A data home with a made-up trace of 12 bins, known to the fetcher by its hash."""
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    lines += [f"2023-11-16 18:00:{5 * k + 1:02d}.0000000,{k},1" for k in range(12)]
    content = "\n".join(lines).encode()
    (tmp_path / "azure_llm").mkdir()
    (tmp_path / "azure_llm" / "small.csv").write_bytes(content)
    file = RemoteFile("small.csv", "https://example.org", hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(_azure_llm.FILES, "code", file)
    return tmp_path


def test_bunch(small_home):
    bunch = fetch_azure_llm_trace("code", data_home=small_home, n_lags=3)
    assert bunch.frame["context_tokens"].tolist() == list(range(12))
    assert list(bunch.frame.columns) == ["context_tokens", "generated_tokens", "requests"]
    assert bunch.feature_names == ["lag_3", "lag_2", "lag_1"] == list(bunch.data.columns)
    assert bunch.target_names == ["context_tokens"] == [bunch.target.name]
    assert bunch.data.iloc[0].tolist() == [0, 1, 2]
    assert bunch.target.tolist() == list(range(3, 12))
    assert bunch.target.index.equals(bunch.frame.index[3:])
    assert bunch.license == "CC-BY-4.0"
    assert "Splitwise" in bunch.citation
    assert "clock" in bunch.DESCR
    assert bunch.filename == str(small_home / "azure_llm" / "small.csv")
    pd.testing.assert_frame_equal(bunch.frame, read_llm_trace(bunch.filename))


def test_horizon_freq_and_return_x_y(small_home):
    bunch = fetch_azure_llm_trace("code", data_home=small_home, n_lags=3, horizon=2)
    assert bunch.target_names == ["step_1", "step_2"]
    X, y = fetch_azure_llm_trace("code", data_home=small_home, n_lags=3, horizon=2, return_X_y=True)
    pd.testing.assert_frame_equal(X, bunch.data)
    pd.testing.assert_frame_equal(y, bunch.target)
    coarse = fetch_azure_llm_trace("code", data_home=small_home, freq="10s", n_lags=3)
    assert coarse.frame["context_tokens"].tolist() == [1, 5, 9, 13, 17, 21]


def test_data_home_from_the_environment(small_home, monkeypatch):
    monkeypatch.setenv("DFL_SKLEARN_DATA", str(small_home))
    assert len(fetch_azure_llm_trace("code", n_lags=3).frame) == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"service": "chat"}, "service must be one of 'conversation', 'code'; got 'chat'"),
        ({"freq": "0s"}, "freq must be"),
        ({"n_lags": 0}, "n_lags must be at least 1"),
        ({"horizon": 0}, "horizon must be at least 1"),
    ],
)
def test_arguments_are_checked_before_any_file_is_sought(tmp_path, arguments, words):
    with pytest.raises(ValueError, match=words):
        fetch_azure_llm_trace(**arguments, data_home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_file(tmp_path):
    with pytest.raises(OSError, match=r"AzureLLMInferenceTrace_conv\.csv is missing"):
        fetch_azure_llm_trace(data_home=tmp_path, download_if_missing=False)


def test_description_travels_with_the_package():
    assert _azure_llm._load_description().startswith(".. _azure_llm_dataset:")


@pytest.mark.parametrize(
    ("service", "n_requests", "n_bins", "n_empty"),
    [("conversation", 19_366, 701, 0), ("code", 8_819, 688, 455)],
)
def test_published_facts(real_data_home, service, n_requests, n_bins, n_empty):
    bunch = fetch_azure_llm_trace(service, data_home=real_data_home, download_if_missing=False)
    frame = bunch.frame
    assert len(frame) == n_bins
    assert (frame["requests"] == 0).sum() == n_empty
    assert frame["requests"].sum() == n_requests
    # Nothing is lost: the plain csv reader is the oracle.
    raw = pd.read_csv(bunch.filename)
    assert frame["context_tokens"].sum() == raw["ContextTokens"].sum()
    assert frame["generated_tokens"].sum() == raw["GeneratedTokens"].sum()
    assert bunch.data.shape == (n_bins - 7, 7)
    np.testing.assert_array_equal(bunch.data["lag_1"], frame["context_tokens"][6:-1])
