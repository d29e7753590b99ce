"""Time series as regression problems."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from dfl_sklearn.datasets._checks import check_count


@overload
def make_lagged(series: pd.Series, n_lags: int, horizon: int = 1) -> tuple[pd.DataFrame, Any]: ...
@overload
def make_lagged(
    series: ArrayLike, n_lags: int, horizon: int = 1
) -> tuple[np.ndarray, np.ndarray]: ...
def make_lagged(series: Any, n_lags: int, horizon: int = 1) -> tuple[Any, Any]:
    """Cut a time series into windows: the last values are features, the next are the target.

    Parameters
    ----------
    series : Series or array-like of shape (n,)
        Numbers in order of time, at equal steps.
    n_lags : int
        Number of past values in a row of `X`.
    horizon : int, default=1
        Number of future values in a row of `y`.

    Returns
    -------
    X : ndarray or DataFrame of shape (n - n_lags - horizon + 1, n_lags)
        Past values, the oldest first. A Series gives a DataFrame with the columns
        ``lag_<n_lags>``, ..., ``lag_1``, indexed by the time of the (first) target.
    y : ndarray or Series of shape (n_rows,); ndarray or DataFrame of shape (n_rows, horizon)
        The next value, or for ``horizon > 1`` the next values (columns ``step_1``, ...). A
        Series keeps the name of `series`.

    Raises
    ------
    TypeError
        If `n_lags` or `horizon` is not an integer.
    ValueError
        If `series` is not one-dimensional, not numeric, holds NaN or infinity, or is too
        short for a single row; if `n_lags` or `horizon` is below 1.

    See Also
    --------
    read_llm_trace : Read a series from a file.
    make_llm_trace : Generate a series.
    dfl_sklearn.learners.LSTMPredictor : A net that reads such windows.

    Notes
    -----
    Floating-point types are kept; all others become float64. Both results are copies and may
    be changed. Neighbouring rows overlap: split them in order of time, with a gap of
    ``n_lags`` rows where the two parts must not share values
    (:class:`sklearn.model_selection.TimeSeriesSplit`).

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_lagged
    >>> X, y = make_lagged([1.0, 2.0, 3.0, 4.0, 5.0], n_lags=3)
    >>> X
    array([[1., 2., 3.],
           [2., 3., 4.]])
    >>> y
    array([4., 5.])
    """
    n_lags = check_count("n_lags", n_lags, minimum=1)
    horizon = check_count("horizon", horizon, minimum=1)
    values = _check_series(series)
    n_rows = len(values) - n_lags - horizon + 1
    if n_rows < 1:
        raise ValueError(
            f"series has {len(values)} values, but one row takes n_lags + horizon = "
            f"{n_lags} + {horizon}; pass at least {n_lags + horizon} values or fewer lags."
        )
    windows = sliding_window_view(values, n_lags + horizon)
    X = windows[:, :n_lags].copy()
    y = windows[:, n_lags].copy() if horizon == 1 else windows[:, n_lags:].copy()
    if not isinstance(series, pd.Series):
        return X, y

    index = series.index[n_lags : n_lags + n_rows]
    lag_names = [f"lag_{lag}" for lag in range(n_lags, 0, -1)]
    X_frame = pd.DataFrame(X, index=index, columns=lag_names)
    if horizon == 1:
        return X_frame, pd.Series(y, index=index, name=series.name)
    step_names = [f"step_{step}" for step in range(1, horizon + 1)]
    return X_frame, pd.DataFrame(y, index=index, columns=step_names)


def _check_series(series: Any) -> np.ndarray:
    values = np.asarray(series)
    if values.ndim != 1:
        raise ValueError(
            f"series must be one-dimensional, got shape {values.shape}; pass one column, "
            "for instance frame['context_tokens']."
        )
    if not np.issubdtype(values.dtype, np.floating):
        # Only numbers: numpy would turn the complex 1+2j into 1, and times into nanoseconds.
        if values.dtype.kind not in "iubO":
            raise ValueError(f"series must hold real numbers, got dtype {values.dtype}.")
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"series must hold real numbers: {error}.") from error
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        first = int(bad[0])
        where = f"position {first}"
        if isinstance(series, pd.Series):
            where += f" (index {series.index[first]})"
        raise ValueError(
            f"series holds {values[first]} at {where}, {bad.size} such value(s) in all; "
            "fill or remove them before making windows."
        )
    return values
