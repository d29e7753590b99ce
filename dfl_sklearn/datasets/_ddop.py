"""Tables of the Python package ddop, read from its source archive without running its code."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pandas as pd

from dfl_sklearn.datasets._download import RemoteFile, fetch_file, get_data_home

ARCHIVE = RemoteFile(
    filename="ddop-0.7.6.tar.gz",
    url=(
        "https://files.pythonhosted.org/packages/71/95/"
        "5bb0e90d39f6be8bbc52cef273fc953cf1b1ce89f4c86fa9ac1f60acf725/ddop-0.7.6.tar.gz"
    ),
    sha256="def7756324fae64e64f9318b195c1daa7c4141611543a16ba744daf3993a5da2",
)
INSIDE = "ddop-0.7.6/ddop/datasets/data"
LICENSE = "MIT according to the package's metadata; its LICENSE file is BSD-3-Clause"
CITATION = (
    "A. Philippi, S. Buttler, N. Stein. "
    '"ddop: A Python package for data-driven operations management." '
    "Journal of Open Source Software, 2021."
)


def read_tables(
    folder: str,
    sha256: dict[str, str],
    *,
    data_home: str | os.PathLike[str] | None,
    download_if_missing: bool,
) -> tuple[list[pd.DataFrame], list[Path]]:
    """Return tables, and the path of the file that each was read from.

    A table is read from its csv file in a subfolder of the data home if that exists, and otherwise
    from the archive in the subfolder ``ddop``.

    Parameters
    ----------
    folder : str
        The subfolder of the data home that may hold the csv files.
    sha256 : dict of str to str
        Names and hashes of the csv files.
    data_home : str, path-like or None
        See :func:`get_data_home`.
    download_if_missing : bool
        Whether the archive may be downloaded.

    Returns
    -------
    tables : list of DataFrame
    paths : list of pathlib.Path

    Raises
    ------
    OSError
        If a csv file or the archive is not the published one, or if all are missing and the archive
        cannot or may not be downloaded.
    ImportError
        If a download is needed and pooch is not installed.
    """
    home = Path(get_data_home(data_home))
    tables, paths = [], []
    for name, known in sha256.items():
        path = home / folder / name
        if path.exists():
            fetch_file(RemoteFile(name, ARCHIVE.url, known), path.parent, download_if_missing=False)
            tables.append(pd.read_csv(path))
        else:
            path = fetch_file(ARCHIVE, home / "ddop", download_if_missing=download_if_missing)
            with tarfile.open(path) as archive:
                member = archive.extractfile(f"{INSIDE}/{name}")
                assert member is not None  # the archive is the one with this sha256
                tables.append(pd.read_csv(io.BytesIO(member.read())))
        paths.append(path)
    return tables, paths
