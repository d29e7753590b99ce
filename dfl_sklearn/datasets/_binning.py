"""From requests to bins: the definition of a trace's DataFrame."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Columns of the frame, in the order in which sums are passed around.
FRAME_COLUMNS = ["context_tokens", "generated_tokens", "requests"]


def regular_frame(
    bins: np.ndarray, sums: np.ndarray, *, origin: pd.Timestamp, width: pd.Timedelta, n_bins: int
) -> pd.DataFrame:
    """Return sums of some bins on a regular time index; the other bins are rows of zeros.

    Parameters
    ----------
    bins : ndarray of shape (n_known,)
        Distinct bin numbers in ``[0, n_bins)``.
    sums : ndarray of shape (n_known, 3)
        The sums of those bins, columns as in `FRAME_COLUMNS`.
    origin : pandas.Timestamp
        Start of bin 0, naive UTC.
    width : pandas.Timedelta
        Width of a bin.
    n_bins : int
        Number of rows to return.

    Returns
    -------
    DataFrame of shape (n_bins, 3)
        Whole numbers (int64), indexed by the start of each bin.
    """
    values = np.zeros((n_bins, len(FRAME_COLUMNS)), dtype=np.int64)
    values[bins] = sums
    index = pd.date_range(
        origin.as_unit("ns"), periods=n_bins, freq=width, unit="ns", name="bin_start"
    )
    return pd.DataFrame(values, index=index, columns=FRAME_COLUMNS)
