"""Positions of rows on the horizontal axis."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd


def places(*tables: Any) -> np.ndarray | None:
    """Return where to draw rows, from the pandas index of the first table that has one.

    It is None, for row numbers, where the index is not in order, or has labels of several kinds.
    """
    known = (getattr(each, "index", None) for each in tables)
    index = next((each for each in known if isinstance(each, pd.Index)), None)
    if index is None or index.nlevels > 1:
        return None
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    elif isinstance(index, pd.IntervalIndex):
        index = index.mid
    labels = np.asarray(index)
    if labels.dtype != object or isinstance(index, pd.DatetimeIndex):  # with a time zone
        return labels if index.is_monotonic_increasing else None
    are_names = all(isinstance(each, str) for each in labels)
    return labels if are_names and index.is_unique else None


def short_dates(ax: Any, x: np.ndarray) -> None:
    """Label the horizontal axis with few and short dates, where x holds dates."""
    if len(x) and (np.issubdtype(x.dtype, np.datetime64) or isinstance(x[0], datetime)):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=3, maxticks=6)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
