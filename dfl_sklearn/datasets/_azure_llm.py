"""The Azure LLM inference traces of 2023."""

from __future__ import annotations

import datetime
import os
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import Bunch

from dfl_sklearn._utils.checks import flag
from dfl_sklearn.datasets._checks import check_count, check_freq, check_option
from dfl_sklearn.datasets._download import RemoteFile, fetch_file, get_data_home
from dfl_sklearn.datasets._lags import make_lagged
from dfl_sklearn.datasets._read_llm_trace import read_llm_trace

_URL = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data/"

FILES = {
    "conversation": RemoteFile(
        filename="AzureLLMInferenceTrace_conv.csv",
        url=_URL + "AzureLLMInferenceTrace_conv.csv",
        sha256="2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
    ),
    "code": RemoteFile(
        filename="AzureLLMInferenceTrace_code.csv",
        url=_URL + "AzureLLMInferenceTrace_code.csv",
        sha256="54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
    ),
}

LICENSE = "CC-BY-4.0"

CITATION = (
    "P. Patel, E. Choukse, C. Zhang, A. Shah, I. Goiri, S. Maleki, R. Bianchini. "
    '"Splitwise: Efficient generative LLM inference using phase splitting." '
    "Proceedings of the International Symposium on Computer Architecture (ISCA), 2024."
)


def fetch_azure_llm_trace(
    service: str = "conversation",
    *,
    freq: str | datetime.timedelta = "5s",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    n_lags: int = 7,
    horizon: int = 1,
    return_X_y: bool = False,
) -> Any:
    """Load an hour of requests to an LLM service of Azure, November 2023 (regression).

    The requests are summed in bins of width `freq`, and the task is to predict the context
    tokens of the next bin, or bins, from those of the last `n_lags` bins.

    ================  ===================  =================
    service           ``"conversation"``   ``"code"``
    ================  ===================  =================
    requests          19,366               8,819
    bins of 5 s       701                  688
    of them empty     0                    455
    ================  ===================  =================

    Parameters
    ----------
    service : {"conversation", "code"}, default="conversation"
        Which of the two traces.
    freq : str or datetime.timedelta, default="5s"
        Width of a bin, see :func:`read_llm_trace`.
    data_home : str or path-like, default=None
        Where data are cached, see :func:`get_data_home`. The file is in the subfolder
        ``azure_llm``, and its sha256 is checked at every call.
    download_if_missing : bool, default=True
        If False, a missing file is an error.
    n_lags : int, default=7
        Number of past bins in a row of ``data``.
    horizon : int, default=1
        Number of future bins in the target.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Only if ``return_X_y=False``. Dictionary-like object with the attributes

        frame : DataFrame of shape (n_bins, 3)
            `context_tokens`, `generated_tokens` and `requests` of every bin, whole numbers,
            indexed by the start of the bin; empty bins are rows of zeros.
        data : DataFrame of shape (n_bins - n_lags - horizon + 1, n_lags)
            Context tokens of the last bins, columns ``lag_<n_lags>`` (oldest) to ``lag_1``.
        target : Series of shape (n_rows,) or DataFrame of shape (n_rows, horizon)
            Context tokens of the next bin; a DataFrame if ``horizon > 1``.
        feature_names, target_names : list of str
            Names of the columns of `data` and of the target.
        DESCR : str
            The description of the data.
        license, citation : str
            The licence of the data (not that of this package), and what to cite.
        filename : str
            Path of the file on disk.

    (data, target) : tuple
        Only if ``return_X_y=True``.

    Raises
    ------
    OSError
        If the file is missing and can't or may not be downloaded, or if its sha256 is wrong.
    ImportError
        If a download is needed and pooch is not installed.
    ValueError
        If an argument is out of range, or the trace is too short for a single row.

    See Also
    --------
    read_llm_trace : The same for a trace of your own.
    make_llm_trace : A generator of similar traces that needs no download.

    References
    ----------
    .. [1] P. Patel et al., "Splitwise: Efficient generative LLM inference using phase
       splitting", ISCA 2024.

    Examples
    --------
    >>> from dfl_sklearn.datasets import fetch_azure_llm_trace
    >>> trace = fetch_azure_llm_trace("conversation")  # doctest: +SKIP
    >>> trace.frame.shape, trace.data.shape  # doctest: +SKIP
    ((701, 3), (694, 7))
    """
    # Everything is checked before a download may start.
    service = check_option("service", service, tuple(FILES))
    width = check_freq(freq)
    n_lags = check_count("n_lags", n_lags, minimum=1)
    horizon = check_count("horizon", horizon, minimum=1)
    flag(download_if_missing, "download_if_missing")
    flag(return_X_y, "return_X_y")

    folder = Path(get_data_home(data_home)) / "azure_llm"
    path = fetch_file(FILES[service], folder, download_if_missing=download_if_missing)
    frame = read_llm_trace(path, freq=width)
    data, target = make_lagged(frame["context_tokens"], n_lags, horizon)
    if return_X_y:
        return data, target
    return Bunch(
        frame=frame,
        data=data,
        target=target,
        feature_names=list(data.columns),
        target_names=(
            [str(target.name)] if isinstance(target, pd.Series) else list(target.columns)
        ),
        DESCR=_load_description(),
        license=LICENSE,
        citation=CITATION,
        filename=str(path),
    )


def _load_description() -> str:
    descr = resources.files("dfl_sklearn.datasets") / "descr" / "azure_llm.rst"
    return descr.read_text(encoding="utf-8")
