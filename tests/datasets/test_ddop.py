"""A restaurant and bakeries, from csv files or from the archive that holds them."""

import hashlib
import io
import tarfile
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from dfl_sklearn.datasets import _bakery, _ddop, _yaz, fetch_bakery, fetch_yaz
from dfl_sklearn.datasets._download import RemoteFile

from .conftest import home_with

YAZ = {
    "yaz_data.csv": b"date,weekday,rain\n2013-10-04,FRI,0.1\n2013-10-05,SAT,10.7\n",
    "yaz_target.csv": b"fish,steak\n6,36\n8,30\n",
}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A data home with an archive of two days of a restaurant, known by its hashes."""
    (tmp_path / "ddop").mkdir()
    path = tmp_path / "ddop" / "ddop-0.7.6.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name, content in {"../setup.py": b"raise SystemExit", **YAZ}.items():
            info = tarfile.TarInfo(f"ddop-0.7.6/ddop/datasets/data/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    known = RemoteFile(path.name, "https://example.org", sha256(path.read_bytes()))
    monkeypatch.setattr(_ddop, "ARCHIVE", known)
    monkeypatch.setattr(_yaz, "SHA256", {name: sha256(content) for name, content in YAZ.items()})
    return path


def check_two_days(data, target):
    assert data.index.equals(pd.DatetimeIndex(["2013-10-04", "2013-10-05"], name="date"))
    assert target.index.equals(data.index)
    assert data["weekday"].tolist() == ["FRI", "SAT"]
    assert_array_equal(data["rain"], [0.1, 10.7])
    assert_array_equal(target, [[6.0, 36.0], [8.0, 30.0]])
    assert all(np.issubdtype(dtype, np.floating) for dtype in target.dtypes)


def test_tables_are_read_from_the_archive_and_nothing_is_unpacked(archive, tmp_path):
    bunch = fetch_yaz(data_home=tmp_path, download_if_missing=False)
    check_two_days(bunch.data, bunch.target)
    assert bunch.feature_names == ["weekday", "rain"]
    assert bunch.target_names == ["fish", "steak"]
    assert bunch.data_filename == bunch.target_filename == str(archive)
    assert "MIT" in bunch.license
    assert "ddop" in bunch.citation
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize("there", [["yaz_data.csv"], list(YAZ)])
def test_csv_files_come_before_the_archive(archive, tmp_path, there):
    (tmp_path / "yaz").mkdir()
    for name in there:
        (tmp_path / "yaz" / name).write_bytes(YAZ[name])
    if len(there) == 2:
        archive.unlink()
    bunch = fetch_yaz(data_home=tmp_path, download_if_missing=False)
    check_two_days(bunch.data, bunch.target)
    assert bunch.data_filename == str(tmp_path / "yaz" / "yaz_data.csv")
    check_two_days(*fetch_yaz(data_home=tmp_path, return_X_y=True, download_if_missing=False))


def test_an_edited_csv_file_is_refused_and_kept(archive, tmp_path):
    (tmp_path / "yaz").mkdir()
    edited = tmp_path / "yaz" / "yaz_data.csv"
    edited.write_bytes(YAZ["yaz_data.csv"] + b"2013-10-06,SUN,0\n")
    with pytest.raises(OSError, match=r"yaz_data\.csv is not the published file"):
        fetch_yaz(data_home=tmp_path)
    assert edited.exists()


def test_another_archive_is_refused(archive, tmp_path):
    archive.write_bytes(archive.read_bytes() + b"more")
    with pytest.raises(OSError, match=r"ddop-0\.7\.6\.tar\.gz is not the published file"):
        fetch_yaz(data_home=tmp_path)


@pytest.mark.parametrize("fetch", [fetch_yaz, fetch_bakery])
def test_a_missing_archive_is_named(fetch, tmp_path):
    message = r"ddop-0\.7\.6\.tar\.gz is missing.*files\.pythonhosted\.org"
    with pytest.raises(OSError, match=message):
        fetch(data_home=tmp_path, download_if_missing=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "error", "message"),
    [
        (1, ValueError, "There is no store 1; store must be one of"),
        (-2, ValueError, "store must be at least 0"),
        ("2", TypeError, "store must be an integer"),
    ],
)
def test_stores_that_there_are_none_of(tmp_path, store, error, message):
    with pytest.raises(error, match=message):
        fetch_bakery(store=store, data_home=tmp_path)


def test_a_row_for_each_product_becomes_a_row_for_each_day():
    rng = np.random.default_rng(0)
    keys = [
        (date, store, product)
        for date in ("2016-01-02", "2016-01-03", "2016-01-04")
        for store in (2, 3)
        for product in (101, 109)
    ]
    keys = [keys[i] for i in rng.permutation(len(keys))]
    table = pd.DataFrame(keys, columns=["date", "store", "product"])
    table.insert(1, "weekday", "FRI")
    table["rain"] = table["store"] * 1.5
    table["promotion_currentweek"] = rng.integers(0, 2, len(keys))
    table["promotion_lastweek"] = rng.integers(0, 2, len(keys))
    table["demand"] = rng.integers(0, 9, len(keys))
    data, target = _bakery._one_row_per_day(table.copy())
    assert data["store"].tolist() == [2, 3] * 3
    assert data["weekday"].tolist() == ["SAT", "SAT", "SUN", "SUN", "MON", "MON"]
    assert target.index.equals(data.index)
    assert data.index.is_monotonic_increasing
    assert list(target.columns) == ["product_101", "product_109"]
    for date, store, product, row in zip(*zip(*keys, strict=True), range(12), strict=True):
        here = (data.index == pd.Timestamp(date)) & (data["store"] == store)
        assert here.sum() == 1
        for name in ("promotion_currentweek", "promotion_lastweek"):
            assert data.loc[here, f"{name}_{product}"].item() == table[name][row]
        assert target.loc[here, f"product_{product}"].item() == table["demand"][row]
        assert data.loc[here, "rain"].item() == 1.5 * store


@pytest.mark.parametrize("name", ["yaz", "bakery"])
def test_descriptions_travel_with_the_package(name):
    path = resources.files("dfl_sklearn.datasets") / "descr" / f"{name}.rst"
    assert path.read_text(encoding="utf-8").startswith(f".. _{name}_dataset:")


def test_published_facts_of_the_restaurant():
    home = home_with("yaz", *_yaz.SHA256)
    bunch = fetch_yaz(data_home=home, download_if_missing=False)
    data, target = bunch.data, bunch.target
    assert data.shape == (765, 11)
    assert target.shape == (765, 7)
    assert data.index.equals(pd.date_range("2013-10-04", "2015-11-07", name="date"))
    assert not data.isna().to_numpy().any()
    closed = data["is_closed"] == 1
    assert closed.sum() == 5
    assert_array_equal((target == 0).all(axis=1), closed)
    # The weekday is wrong on one day, as DESCR says.
    wrong = data["weekday"] != data.index.day_name().str[:3].str.upper()
    assert data.index[wrong].tolist() == [pd.Timestamp("2014-12-31")]
    assert data["is_closed"][wrong].all()
    raw = pd.read_csv(bunch.target_filename)
    assert_array_equal(target, raw)


def test_published_facts_of_the_bakeries():
    home = home_with("ddop", _ddop.ARCHIVE.filename)
    bunch = fetch_bakery(data_home=home, download_if_missing=False)
    data, target = bunch.data, bunch.target
    assert data.shape == (42_525, 15)
    assert target.shape == (42_525, 3)
    assert tuple(sorted(data["store"].unique())) == _bakery.STORES
    assert target.to_numpy().sum() == pytest.approx(127_575 * 100.0335, rel=1e-5)
    assert not data.isna().to_numpy().any()
    assert data.index.is_monotonic_increasing
    nothing = (target == 0).all(axis=1)
    assert nothing.mean() == pytest.approx(0.115, abs=0.001)
    assert nothing[data["weekday"] == "SUN"].mean() == pytest.approx(0.391, abs=0.001)
    # Holidays that have a fixed date are on it.
    for day in ("2016-10-03", "2017-05-01", "2018-12-25"):
        assert (data.loc[day, "is_holiday"] == 1).all()
    X, y = fetch_bakery(store=19, data_home=home, return_X_y=True)
    assert X.index.equals(pd.date_range("2016-01-02", "2019-04-30", name="date"))
    assert_array_equal(y, target[(data["store"] == 19).to_numpy()])
    assert list(X.columns) == [name for name in data.columns if name != "store"]
