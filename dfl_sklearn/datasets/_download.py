"""The folder of downloaded data, and the download and check of files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ENVIRONMENT_VARIABLE = "DFL_SKLEARN_DATA"


@dataclass(frozen=True)
class RemoteFile:
    """A file with a public address and, where `sha256` is given, a known content."""

    filename: str
    url: str
    sha256: str | None


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> str:
    """Return the path of the folder that holds downloaded data sets.

    The folder is not created: the first download does that.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder. If None, it is the environment variable ``DFL_SKLEARN_DATA`` or, where that is
        unset or empty, ``~/dfl_sklearn_data``. A leading ``~`` is expanded.

    Returns
    -------
    str
        The path.

    See Also
    --------
    fetch_azure_llm_trace : Uses a file in this folder.
    fetch_yaz : Uses files in this folder.

    Examples
    --------
    >>> from dfl_sklearn.datasets import get_data_home
    >>> get_data_home("/srv/data")
    '/srv/data'
    """
    if data_home is None:
        data_home = os.environ.get(ENVIRONMENT_VARIABLE) or "~/dfl_sklearn_data"
    return str(Path(data_home).expanduser())


def fetch_file(remote: RemoteFile, folder: Path, *, download_if_missing: bool) -> Path:
    """Return the local path of `remote`, downloading it where it is missing.

    A file that exists already is checked like a download, so that an edited or truncated copy is
    never used as the published data.

    Parameters
    ----------
    remote : RemoteFile
        The file, its address and its hash.
    folder : pathlib.Path
        The folder of the file; a download creates it.
    download_if_missing : bool
        Whether a missing file may be downloaded.

    Returns
    -------
    pathlib.Path
        The path of the checked file.

    Raises
    ------
    OSError
        If the file is missing and may not be downloaded, if the download fails, or if the
        sha256 of the cached or the downloaded file is wrong. No file is left by a failed
        download.
    ImportError
        If a download is needed and pooch is not installed.
    """
    path = folder / remote.filename
    by_hand = f"download {remote.url} by hand and put it at {path}"
    if path.exists():
        if remote.sha256 is None:
            return path
        found = _sha256(path)
        if found != remote.sha256:
            raise OSError(
                f"{path} is not the published file: expected sha256 {remote.sha256}, found "
                f"{found}. Delete it and fetch again, or {by_hand}."
            )
        return path
    if not download_if_missing:
        raise OSError(
            f"{path} is missing and download_if_missing=False. Set download_if_missing=True, "
            f"or {by_hand}."
        )
    pooch = _import_pooch(by_hand)
    try:
        # pooch downloads to a temporary name in the same folder, and renames only what
        # has the right hash.
        pooch.retrieve(
            remote.url,
            known_hash=None if remote.sha256 is None else f"sha256:{remote.sha256}",
            fname=remote.filename,
            path=folder,
        )
    # pooch raises ValueError for a wrong hash; the errors of requests are OSErrors.
    except (OSError, ValueError) as error:
        expected = "" if remote.sha256 is None else f" (expected sha256 {remote.sha256})"
        raise OSError(
            f"Could not download {remote.url} to {path}{expected}. "
            "Nothing was kept. Check the connection and the rights on the folder and try "
            f"again, or {by_hand}. The error was: {error}"
        ) from error
    return path


def _import_pooch(by_hand: str) -> ModuleType:
    try:
        import pooch
    except ImportError as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == "pooch"):
            raise ImportError(
                f"Downloading needs pooch, which is installed, but its import failed: {error}. "
                f"To do without it, {by_hand}."
            ) from error
        raise ImportError(
            'Downloading needs pooch: pip install "dfl-sklearn[datasets]". '
            f"To do without it, {by_hand}."
        ) from error
    return pooch


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
