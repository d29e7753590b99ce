"""Day-ahead prices of electricity, for a battery that charges and discharges within a day."""

from __future__ import annotations

import hashlib
import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from dfl_sklearn._utils.checks import flag, option, whole_number
from dfl_sklearn.datasets._download import RemoteFile, fetch_file, get_data_home

REMOTE = RemoteFile(
    filename="pjm_day_ahead_2011_2016.csv",
    url=(
        "https://raw.githubusercontent.com/chrisyeh96/e2e-conformal/"
        "4783d17a980db697b5193c48e9b6290b00066f38/storage/data/data.csv"
    ),
    sha256=None,  # the numbers are checked below instead, whatever the line endings
)
CONTENT = "4d54d2c3796bd755340a01093f22c6710cf1b35be3def76095756681b116f7e5"
LICENSE = "MIT (the repository chrisyeh96/e2e-conformal); the prices and forecasts are those of PJM"
CITATION = (
    "C. Yeh, N. Christianson, A. Wu, A. Wierman, Y. Yue. "
    '"End-to-end conformal calibration for optimization under uncertainty." '
    "arXiv:2409.20534, 2024."
)
_COLUMNS = ["da_price", "load_forecast", "temp_dca"]
_SPLITS = ("time", "shuffled")
_SHUFFLED = 100  # the seed of the published order
_PART = 0.8  # share of days that are not for testing, and share of these for training


def fetch_storage_prices(
    *,
    split: str = "time",
    seed: int = 0,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load the hourly electricity prices of 2,189 days, with features known the day before.

    A battery is charged and discharged at the prices of the next day
    (:class:`~dfl_sklearn.problems.StorageProblem`). This is the benchmark of Yeh et al. [1]_ on the
    data of Donti et al. [2]_, with its published splits.

    =========  =====================================================================
    days       2,189, from 2011-01-04 to 2016-12-31, in the order of time
    features   101, each of mean 0 and standard deviation 1 over all days
    targets    24 prices, of each hour of the day, in dollars per MWh, all positive
    =========  =====================================================================

    Parameters
    ----------
    split : {"time", "shuffled"}, default="time"
        The test days: the last 438 days, or the last 438 in the published random order.
    seed : int, default=0
        Seed of the random split of the other 1,751 days into 1,400 for training and 351 for
        calibration. The published results are means over ten such seeds.
    data_home : str or path-like, default=None
        Where data are cached, see :func:`get_data_home`; in its subfolder ``storage``.
    download_if_missing : bool, default=True
        If False, a missing file is an error.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` of all days instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Only if ``return_X_y=False``. Dictionary-like object with the attributes

        data : DataFrame of shape (2189, 101)
            Logarithms of the prices of the day before, the forecast of the load, the temperature of
            the day before and of the day itself, each by the hour, and the calendar; the index is
            the date.
        target : DataFrame of shape (2189, 24)
            Prices.
        train, calibration, test : ndarray of int of shape (1400,), (351,) and (438,)
            Positions of the days of each part, in the published order.
        feature_names, target_names : list of str
            The columns of `data` and of `target`.
        DESCR : str
            The description of the data.
        license, citation : str
            The licence of the repository that holds the data, and what to cite.
        filename : str
            Path of the file read.

    (data, target) : tuple
        Only if ``return_X_y=True``.

    Raises
    ------
    OSError
        If the file is missing and can't or may not be downloaded, or if it holds other numbers.
    ImportError
        If a download is needed and pooch is not installed.

    See Also
    --------
    dfl_sklearn.problems.StorageProblem : The problem to decide.
    dfl_sklearn.ConformalDecisions : Decisions with a promised cost.

    References
    ----------
    .. [1] C. Yeh, N. Christianson, A. Wu, A. Wierman, Y. Yue, "End-to-end conformal calibration for
       optimization under uncertainty", arXiv:2409.20534, 2024.
    .. [2] P. Donti, B. Amos, J. Z. Kolter, "Task-based end-to-end model learning in stochastic
       optimization", NeurIPS 2017.

    Examples
    --------
    >>> from dfl_sklearn.datasets import fetch_storage_prices
    >>> prices = fetch_storage_prices(split="time", seed=0)  # doctest: +SKIP
    >>> prices.data.shape, prices.target.shape  # doctest: +SKIP
    ((2189, 101), (2189, 24))
    """
    option(split, "split", _SPLITS)
    whole_number(seed, "seed", at_least=0)
    flag(download_if_missing, "download_if_missing")
    flag(return_X_y, "return_X_y")
    folder = Path(get_data_home(data_home)) / "storage"
    path = fetch_file(REMOTE, folder, download_if_missing=download_if_missing)
    data, target = _days(_hours(path))
    if return_X_y:
        return data, target
    train, calibration, test = _positions(len(data), split, seed)
    descr = resources.files("dfl_sklearn.datasets") / "descr" / "storage_prices.rst"
    return Bunch(
        data=data,
        target=target,
        train=train,
        calibration=calibration,
        test=test,
        feature_names=list(data.columns),
        target_names=list(target.columns),
        DESCR=descr.read_text(encoding="utf-8"),
        license=LICENSE,
        citation=CITATION,
        filename=str(path),
    )


def _hours(path: Path) -> pd.DataFrame:
    """Return the table of hours, or raise an error where the file holds other numbers."""
    wrong = f"{path} does not hold the published numbers. Delete it and fetch again, or"
    wrong += f" download {REMOTE.url} by hand and put it there."
    try:
        table = pd.read_csv(path)
        table["datetime"] = pd.to_datetime(table["datetime"])
        seconds = table["datetime"].to_numpy().astype("datetime64[s]").astype(np.int64)
        values = np.ascontiguousarray(table[_COLUMNS].to_numpy(dtype="<f8"))
    except (KeyError, ValueError) as error:
        raise OSError(f"{wrong} The error was: {error}") from error
    values[np.isnan(values)] = -1e9  # NaN has several bit patterns
    found = hashlib.sha256(seconds.astype("<i8").tobytes() + values.tobytes()).hexdigest()
    if found != CONTENT:
        raise OSError(f"{wrong} The sha256 of its numbers is {found}, not {CONTENT}.")
    return table


def _days(hours: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features and prices of all days but the first, as published."""
    hours = hours.assign(date=hours["datetime"].dt.normalize(), hour=hours["datetime"].dt.hour)
    price, load, temperature = (
        hours.pivot(index="date", columns="hour", values=name) for name in _COLUMNS
    )
    temperature = temperature.bfill(axis=1).ffill(axis=1)
    before, day = slice(None, -1), slice(1, None)
    parts = {
        "log_price_before": np.log(price.to_numpy())[before],
        "load_forecast": load.to_numpy()[day],
        "temperature_before": temperature.to_numpy()[before],
        "temperature": temperature.to_numpy()[day],
    }
    names = [f"{name}_{hour}" for name in parts for hour in range(24)]
    calendar = _calendar(pd.DatetimeIndex(price.index[day]))
    X = np.hstack([*parts.values(), calendar.to_numpy()])
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    target = price[day].rename(columns=lambda hour: f"price_{hour}").rename_axis(columns=None)
    return pd.DataFrame(X, index=target.index, columns=[*names, *calendar.columns]), target


def _calendar(days: pd.DatetimeIndex) -> pd.DataFrame:
    from pandas.tseries.holiday import USFederalHolidayCalendar

    holidays = USFederalHolidayCalendar().holidays("2011-01-01", "2017-01-01")
    at_night = days.tz_localize("America/New_York")
    angle = days.day_of_year.to_numpy() / 365 * 2 * np.pi
    return pd.DataFrame(
        {
            "is_weekend": days.day_of_week >= 5,
            "is_holiday": days.isin(holidays),
            "is_summer_time": [each.dst() != pd.Timedelta(0) for each in at_night],
            "cos_day_of_year": np.cos(angle),
            "sin_day_of_year": np.sin(angle),
        },
        index=days,
        dtype=np.float64,
    )


def _positions(n: int, split: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions of the days to train on, to calibrate on and to test on."""
    order = np.arange(n)
    if split == "shuffled":
        order = np.random.default_rng(_SHUFFLED).permutation(n)
    n_first = int(n * _PART)
    first, test = order[:n_first], order[n_first:]
    inner = np.random.default_rng(seed).permutation(n_first)
    n_train = int(n_first * _PART)
    return first[inner[:n_train]], first[inner[n_train:]], test
