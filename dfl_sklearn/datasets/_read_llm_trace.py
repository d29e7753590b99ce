"""Read a trace of LLM requests, of any length, into sums over bins of time."""

from __future__ import annotations

import datetime
import os
from typing import NoReturn

import numpy as np
import pandas as pd

from dfl_sklearn.datasets._binning import FRAME_COLUMNS, regular_frame
from dfl_sklearn.datasets._checks import check_count, check_freq

TIME_COLUMN = "TIMESTAMP"
TOKEN_COLUMNS = ["ContextTokens", "GeneratedTokens"]

#: More bins than this come from a wrong date or a wrong `freq`, not from a trace.
MAX_BINS = 100_000_000
#: Up to this number, a float64 holds every integer.
MAX_TOKENS = 2**53


def read_llm_trace(
    path: str | os.PathLike[str],
    freq: str | datetime.timedelta = "5s",
    *,
    chunksize: int = 100_000,
) -> pd.DataFrame:
    r"""Read a trace of requests to an LLM service as sums over bins of time.

    Parameters
    ----------
    path : str or path-like
        A csv file (plain or compressed) with the columns ``TIMESTAMP``, ``ContextTokens``
        and ``GeneratedTokens``, one request a line in any order; other columns are ignored.
        Time stamps are ISO 8601, to the nanosecond; with an offset they are converted to
        UTC, without one they are taken as UTC.
    freq : str or datetime.timedelta, default="5s"
        Width of a bin, any fixed width that :class:`pandas.Timedelta` reads. Bins are aligned
        with the clock: they start at multiples of `freq` since 1970-01-01 00:00 UTC.
    chunksize : int, default=100_000
        Number of lines in memory at a time. It has no influence on the result.

    Returns
    -------
    DataFrame of shape (n_bins, 3)
        `context_tokens`, `generated_tokens` (tokens per bin) and `requests` (a count), whole
        numbers, from the bin of the first request to that of the last. The index
        ``bin_start`` is naive UTC. Empty bins are rows of zeros.

    Raises
    ------
    ValueError
        If a column is missing; if a time stamp is not a time or a number of tokens is not a
        whole number >= 0 (the message names file, line and column); if the file holds no
        request; if it spans more than 100 million bins.
    OSError
        If the file cannot be read, or is a damaged archive (the message names it).

    See Also
    --------
    fetch_azure_llm_trace : Two traces that are downloaded and cached.
    make_llm_trace : A generator of such frames.

    Notes
    -----
    Only one chunk and the sums so far are in memory, not the whole trace. Blank lines are skipped.
    The trace usually covers the first and the last bin only in part.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dfl_sklearn.datasets import read_llm_trace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.csv"
    ...     _ = path.write_text(
    ...         "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    ...         "2023-11-16 18:00:01.5000000,100,10\n"
    ...         "2023-11-16 18:00:04.9999999,50,20\n"
    ...         "2023-11-16 18:00:10.0000000,30,5\n"
    ...     )
    ...     frame = read_llm_trace(path)
    >>> frame
                         context_tokens  generated_tokens  requests
    bin_start
    2023-11-16 18:00:00             150                30         2
    2023-11-16 18:00:05               0                 0         0
    2023-11-16 18:00:10              30                 5         1
    """
    width = check_freq(freq)
    chunksize = check_count("chunksize", chunksize, minimum=1)
    # Bin number (since 1970) -> sums. A bin may get requests from several chunks.
    sums = pd.DataFrame(columns=FRAME_COLUMNS, index=pd.Index([], dtype=np.int64), dtype=np.int64)
    try:
        # Text, not numbers: errors can then quote a bad field, and pandas infers nothing.
        with pd.read_csv(
            path,
            chunksize=chunksize,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # so that row numbers are line numbers
        ) as chunks:
            for chunk in chunks:
                part = _sum_chunk(chunk, path, width)
                sums = pd.concat([sums, part]).groupby(level=0).sum()
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        if _is_archive(path):  # its content is not a table
            raise OSError(f"{path} is a damaged archive, or holds no csv file: {error}") from error
        raise ValueError(f"{path} is not a readable csv file: {error}") from error
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        # gzip, zip, xz, tar and pandas have errors of their own, none of which names the file.
        if str(path) in str(error) or not (_is_archive(path) or isinstance(error, OSError)):
            raise
        raise OSError(
            f"{path} cannot be read; is it a damaged archive? {type(error).__name__}: {error}"
        ) from error
    if sums.empty:
        raise ValueError(f"{path} holds no request; there is no bin to return.")

    first = int(sums.index[0])
    n_bins = int(sums.index[-1]) - first + 1
    origin = pd.Timestamp(first * width.value)
    if n_bins > MAX_BINS:
        last = pd.Timestamp(int(sums.index[-1]) * width.value)
        raise ValueError(
            f"{path} spans {n_bins} bins of {width}, from {origin} to {last}; the limit is "
            f"{MAX_BINS}. Correct the time stamps or pass a wider freq."
        )
    return regular_frame(
        sums.index.to_numpy() - first, sums.to_numpy(), origin=origin, width=width, n_bins=n_bins
    )


def _is_archive(path: str | os.PathLike[str]) -> bool:
    """Return whether pandas regards a file as compressed, by its name."""
    return str(path).lower().endswith((".gz", ".bz2", ".zip", ".xz", ".zst", ".tar", ".tgz"))


def _sum_chunk(
    chunk: pd.DataFrame, path: str | os.PathLike[str], width: pd.Timedelta
) -> pd.DataFrame:
    """Check one chunk of lines and sum it by bin number since 1970."""
    missing = [name for name in [TIME_COLUMN, *TOKEN_COLUMNS] if name not in chunk.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; its columns are {list(chunk.columns)}."
        )
    # A line with more fields than the header makes pandas turn the first field into the index.
    if not isinstance(chunk.index, pd.RangeIndex):
        raise ValueError(f"{path}, line 2: more fields than the header has columns.")

    chunk = chunk.fillna("")  # fields that a short line lacks
    chunk = chunk[(chunk != "").any(axis=1)]
    tokens = []
    for name in TOKEN_COLUMNS:
        counts = pd.to_numeric(chunk[name], errors="coerce").to_numpy(np.float64)
        good = (counts >= 0) & (counts <= MAX_TOKENS) & (counts == np.floor(counts))
        if not good.all():
            _reject(chunk, path, name, good, "a whole number of tokens, 0 or more")
        tokens.append(counts.astype(np.int64))
    stamps = pd.to_datetime(chunk[TIME_COLUMN], format="ISO8601", utc=True, errors="coerce")
    # The years that fit in 64 bits of nanoseconds; False for what is no time at all.
    good = stamps.dt.year.between(1678, 2261).to_numpy()
    if not good.all():
        _reject(chunk, path, TIME_COLUMN, good, "a time such as 2023-11-16 18:15:46.6805900")
    nanoseconds = stamps.dt.as_unit("ns").astype(np.int64).to_numpy()

    rows = np.column_stack([*tokens, np.ones(len(chunk), dtype=np.int64)])
    # Floor division, also before 1970.
    return pd.DataFrame(rows, columns=FRAME_COLUMNS).groupby(nanoseconds // width.value).sum()


def _reject(
    chunk: pd.DataFrame, path: str | os.PathLike[str], column: str, good: np.ndarray, wanted: str
) -> NoReturn:
    bad = int(np.flatnonzero(~good)[0])
    line = int(chunk.index[bad]) + 2  # lines count from 1, and line 1 is the header
    raise ValueError(
        f"{path}, line {line}: {column} is {chunk[column].iloc[bad]!r}, expected {wanted}."
    )
