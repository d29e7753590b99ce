"""Daily demand of a restaurant for seven ingredients."""

from __future__ import annotations

import os
from importlib import resources
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from dfl_sklearn._utils.checks import flag
from dfl_sklearn.datasets._ddop import CITATION, LICENSE, read_tables

SHA256 = {
    "yaz_data.csv": "fc857e32e4338817a7c184d157cd884f63866347d2efc02dd96c8cd2877d75d9",
    "yaz_target.csv": "961f9202379aacb941ccc480a9ca33d56682646518a70a78e6bdf361e306b657",
}


def fetch_yaz(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load the demand of a restaurant for seven ingredients on 765 days.

    Yaz is a restaurant in Stuttgart. Each day it decides how much of each ingredient to prepare,
    from the calendar and the weather: a newsvendor of seven products, which may share a capacity.

    ===========================  ==========================
    days                         765, in the order of time
    features                     11
    products                     7
    first day, last day          2013-10-04, 2015-11-07
    days on which it is closed   5, with a demand of 0
    missing values               none
    ===========================  ==========================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data are cached, see :func:`get_data_home`. The archive of the package ``ddop``, which
        contains the data, is in the subfolder ``ddop``. It is not needed where the subfolder
        ``yaz`` has ``yaz_data.csv`` and ``yaz_target.csv``.
    download_if_missing : bool, default=True
        If False, a missing file is an error.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Only if ``return_X_y=False``. Dictionary-like object with the attributes

        data : DataFrame of shape (765, 11)
            Calendar and weather; the index is the date. ``weekday`` and ``month`` are strings.
        target : DataFrame of shape (765, 7)
            Demand, whole numbers.
        feature_names, target_names : list of str
            The columns of `data` and of `target`.
        DESCR : str
            The description of the data.
        license, citation : str
            The licence of the package that holds the data, and what to cite.
        data_filename, target_filename : str
            Paths of the files read.

    (data, target) : tuple
        Only if ``return_X_y=True``.

    Raises
    ------
    OSError
        If the files are missing and can't or may not be downloaded, or if a sha256 is wrong.
    ImportError
        If a download is needed and pooch is not installed.

    See Also
    --------
    fetch_bakery : Demand of bakeries for three products.
    make_capacity_newsvendor : Generated demand for products that share a capacity.

    References
    ----------
    .. [1] A. Philippi, S. Buttler, N. Stein, "ddop: A Python package for data-driven operations
       management", Journal of Open Source Software, 2021.

    Examples
    --------
    Orders for the days on which the restaurant is open:

    >>> from dfl_sklearn.datasets import fetch_yaz
    >>> X, y = fetch_yaz(return_X_y=True)  # doctest: +SKIP
    >>> is_open = X["is_closed"] == 0  # doctest: +SKIP
    >>> X, y = X[is_open].drop(columns="is_closed"), y[is_open]  # doctest: +SKIP
    >>> X.shape, y.shape  # doctest: +SKIP
    ((760, 10), (760, 7))
    """
    flag(download_if_missing, "download_if_missing")
    flag(return_X_y, "return_X_y")
    (data, target), paths = read_tables(
        "yaz", SHA256, data_home=data_home, download_if_missing=download_if_missing
    )
    data["date"] = pd.to_datetime(data["date"])
    data = data.set_index("date")
    target = target.astype(float).set_index(data.index)
    if return_X_y:
        return data, target
    descr = resources.files("dfl_sklearn.datasets") / "descr" / "yaz.rst"
    return Bunch(
        data=data,
        target=target,
        feature_names=list(data.columns),
        target_names=list(target.columns),
        DESCR=descr.read_text(encoding="utf-8"),
        license=LICENSE,
        citation=CITATION,
        data_filename=str(paths[0]),
        target_filename=str(paths[1]),
    )
