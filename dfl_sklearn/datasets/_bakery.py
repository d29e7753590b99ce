"""Daily demand of bakeries for three products."""

from __future__ import annotations

import os
from importlib import resources
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from dfl_sklearn._utils.checks import flag
from dfl_sklearn.datasets._checks import check_count
from dfl_sklearn.datasets._ddop import CITATION, LICENSE, read_tables

SHA256 = {
    "bakery_data.csv": "7561736117e885503cf285bcd0744e8814777a4ed03749f268862511ebb6a62b",
    "bakery_target.csv": "525f7b30912ce29eebb123c5708196514081640ffb496ab940c325bddced99ab",
}
STORES = (
    *(2, 3, 4, 5, 17, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30, 31, 33),
    *(34, 35, 36, 37, 38, 40, 41, 43, 44, 45, 46, 47, 48, 49, 50, 70, 71),
)
OF_PRODUCTS = ["promotion_currentweek", "promotion_lastweek"]


def fetch_bakery(
    *,
    store: int | None = None,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load the demand of 35 bakeries for three products on 1,215 days.

    A row is a day in one of the stores. The store decides how much to bake, from the calendar, the
    weather and promotions.

    ========================  =======================================================
    rows                      42,525: 35 stores, 1,215 days; or the days of one store
    features                  14, and the store
    products                  3
    first day, last day       2016-01-02, 2019-04-30; none is missing
    days without any demand   12 % of the rows; 39 % of Sundays
    missing values            none
    ========================  =======================================================

    Parameters
    ----------
    store : int, default=None
        Number of a single store: 2 to 5, 17, 19 to 22, 24 to 31, 33 to 38, 40, 41, 43 to 50, 70
        or 71. None loads all of them.
    data_home : str or path-like, default=None
        Where data are cached, see :func:`get_data_home`. The archive of the package ``ddop``, which
        contains the data, is in the subfolder ``ddop``. It is not needed where the subfolder
        ``bakery`` has ``bakery_data.csv`` and ``bakery_target.csv``.
    download_if_missing : bool, default=True
        If False, a missing file is an error.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Only if ``return_X_y=False``. Dictionary-like object with the attributes

        data : DataFrame of shape (42525, 15) or (1215, 14)
            Calendar, weather and promotions; the index is the date. Rows are in order of time, and
            within a day in order of the column ``store``, which is absent for a single store.
            ``weekday`` and ``month`` are strings.
        target : DataFrame of shape (42525, 3) or (1215, 3)
            Demand for the products 101, 109 and 110.
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
    TypeError
        If `store` is not an integer.
    ValueError
        If there is no such store.

    See Also
    --------
    fetch_yaz : Demand of a restaurant for seven ingredients.

    Notes
    -----
    The weekday is computed from the date, because the published column is off by one day in every
    row. The dates are right, since the holidays match them.

    References
    ----------
    .. [1] A. Philippi, S. Buttler, N. Stein, "ddop: A Python package for data-driven operations
       management", Journal of Open Source Software, 2021.

    Examples
    --------
    >>> from dfl_sklearn.datasets import fetch_bakery
    >>> X, y = fetch_bakery(store=19, return_X_y=True)  # doctest: +SKIP
    >>> X.shape, list(y.columns)  # doctest: +SKIP
    ((1215, 14), ['product_101', 'product_109', 'product_110'])
    """
    if store is not None and check_count("store", store, minimum=0) not in STORES:
        raise ValueError(f"There is no store {store}; store must be one of {STORES}, or None.")
    flag(download_if_missing, "download_if_missing")
    flag(return_X_y, "return_X_y")
    (data, target), paths = read_tables(
        "bakery", SHA256, data_home=data_home, download_if_missing=download_if_missing
    )
    data, target = _one_row_per_day(data.join(target))
    if store is not None:
        is_asked = (data["store"] == store).to_numpy()
        data, target = data[is_asked].drop(columns="store"), target[is_asked]
    if return_X_y:
        return data, target
    descr = resources.files("dfl_sklearn.datasets") / "descr" / "bakery.rst"
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


def _one_row_per_day(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return features and demand by day and store, from a table by day, store and product."""
    table["date"] = pd.to_datetime(table["date"])
    table["weekday"] = table["date"].dt.day_name().str[:3].str.upper()
    table = table.sort_values(["date", "store", "product"]).set_index("date")
    products = table["product"].unique()
    by_product = [table[table["product"] == product] for product in products]
    data = by_product[0].drop(columns=["product", "demand", *OF_PRODUCTS])
    data.insert(0, "store", data.pop("store"))
    for name in OF_PRODUCTS:
        for product, rows in zip(products, by_product, strict=True):
            data[f"{name}_{product}"] = rows[name].to_numpy()
    target = {
        f"product_{product}": rows["demand"].to_numpy(dtype=float)
        for product, rows in zip(products, by_product, strict=True)
    }
    return data, pd.DataFrame(target, index=data.index)
