"""The battery benchmark of Yeh et al. (arXiv:2409.20534) on its published prices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dfl_sklearn.datasets import _storage_prices, fetch_storage_prices
from dfl_sklearn.problems import StorageProblem

from .conftest import home_with


@pytest.fixture(scope="module")
def home():
    return home_with("storage", "pjm_day_ahead_2011_2016.csv")


@pytest.mark.parametrize(("split", "cost"), [("time", -32.50), ("shuffled", -45.50)])
def test_perfect_foresight_costs_what_is_published(home, split, cost):
    prices = fetch_storage_prices(split=split, data_home=home, download_if_missing=False)
    held_out = prices.target.to_numpy()[prices.test]
    assert held_out.shape == (438, 24)
    assert StorageProblem().optimal_cost(held_out).mean() == pytest.approx(cost, abs=0.01)


def test_features_are_those_published(home):
    X, y = fetch_storage_prices(data_home=home, return_X_y=True)
    with np.load(home_with("storage", "features_101.npz") / "storage" / "features_101.npz") as data:
        assert_allclose(X, data["X"], rtol=0, atol=1e-14)
        assert_array_equal(y, data["Y"])
        assert_array_equal(X.index.to_numpy().astype("datetime64[D]"), data["dates"])
    assert list(X.columns[[0, 24, 48, 72, 96]]) == [
        *("log_price_before_0", "load_forecast_0", "temperature_before_0", "temperature_0"),
        "is_weekend",
    ]
    assert y.columns[23] == "price_23"


def test_splits_are_those_published(home):
    one, other = (fetch_storage_prices(seed=seed, data_home=home) for seed in (0, 1))
    for each in (one, other):
        assert [len(each[part]) for part in ("train", "calibration", "test")] == [1400, 351, 438]
        parts = np.concatenate([each.train, each.calibration, each.test])
        assert_array_equal(np.sort(parts), np.arange(2189))
        assert_array_equal(each.test, np.arange(1751, 2189))
    assert not np.array_equal(one.train, other.train)
    order = np.random.default_rng(3).permutation(1751)
    assert_array_equal(fetch_storage_prices(seed=3, data_home=home).calibration, order[1400:])
    shuffled = fetch_storage_prices(split="shuffled", data_home=home)
    assert_array_equal(shuffled.test, np.random.default_rng(100).permutation(2189)[1751:])
    assert "PJM" in shuffled.DESCR


def test_other_numbers_are_refused(tmp_path):
    folder = tmp_path / "storage"
    folder.mkdir()
    path = folder / _storage_prices.REMOTE.filename
    path.write_text("datetime,da_price,load_forecast,temp_dca\n2011-01-03 00:00:00,1.0,2.0,\n")
    with pytest.raises(OSError, match="does not hold the published numbers"):
        fetch_storage_prices(data_home=tmp_path)
    path.write_text("time,price\n1,2\n")
    with pytest.raises(OSError, match="does not hold the published numbers"):
        fetch_storage_prices(data_home=tmp_path)
    with pytest.raises(OSError, match="is missing and download_if_missing=False"):
        fetch_storage_prices(data_home=tmp_path / "other", download_if_missing=False)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="split must be"):
        fetch_storage_prices(split="random", data_home=tmp_path)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        fetch_storage_prices(seed=-1, data_home=tmp_path)
