"""Citations between papers of the Cora data set, as matching problems."""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch

from dfl_sklearn._utils.checks import flag
from dfl_sklearn.datasets._download import RemoteFile, fetch_file, get_data_home
from dfl_sklearn.datasets._equal_parts import equal_parts, halves_with_many_between

ARCHIVE = RemoteFile(
    filename="cora.tgz",
    url="https://linqs-data.soe.ucsc.edu/public/lbc/cora.tgz",
    sha256=None,  # the structure is checked instead, below
)
N_PAPERS, N_WORDS, N_LINKS = 2708, 1433, 5278
N_INSTANCES, N_SIDE = 27, 50

CITATION = (
    "P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Gallagher, T. Eliassi-Rad. "
    '"Collective classification in network data." AI Magazine 29(3), 2008.'
)


def fetch_cora_matching(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load 27 bipartite graphs of 50 + 50 papers, for a matching with many citations.

    The 2,700 papers with the most links are divided into 27 parts of 100 papers with many citations
    inside, and each part into two halves with many citations between them. The task is to predict
    from the words of two papers whether one cites the other, so that a matching of the halves has
    many citations.

    ===========================  ==============
    instances                    27
    papers on each side          50
    words per paper, 0 or 1      1433
    pairs per instance           2500
    citations between halves     about 130
    largest matching             about 40
    ===========================  ==============

    Parameters
    ----------
    data_home : str or path-like, default=None
        Where data are cached, see :func:`get_data_home`. The archive is in the subfolder
        ``cora``.
    download_if_missing : bool, default=True
        If False, a missing file is an error.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Only if ``return_X_y=False``. Dictionary-like object with the attributes

        data : ndarray of shape (27, 143300), float32
            Words of the left papers, one paper after the other, followed by those of the right
            papers, as :class:`~dfl_sklearn.learners.PairwisePredictor` reads them.
        target : ndarray of shape (27, 2500), float32
            1 in column ``50 * i + j`` where the left paper i and the right paper j are linked.
        papers : ndarray of shape (27, 100)
            Names of the papers in the archive.
        DESCR : str
            The description of the data.
        citation : str
            What to cite.
        filename : str
            Path of the archive on disk.

    (data, target) : tuple
        Only if ``return_X_y=True``.

    Raises
    ------
    OSError
        If the archive is missing and can't or may not be downloaded.
    ImportError
        If pymetis or networkx is not installed, or a download is needed and pooch is not.
    ValueError
        If the archive is not that of Cora.

    See Also
    --------
    dfl_sklearn.problems.MatchingProblem : The problem to decide.
    dfl_sklearn.learners.PairwisePredictor : A net that reads these features.

    Notes
    -----
    The parts are computed at every call (about two seconds): those of 100 by METIS, as in the
    publication (Wilder et al., 2019), which does not list its parts, and the halves by the
    Kernighan-Lin algorithm. METIS uses the random numbers of the C library: they are the same at
    every call, but the parts may differ on another operating system.

    Examples
    --------
    >>> from dfl_sklearn.datasets import fetch_cora_matching
    >>> X, y = fetch_cora_matching(return_X_y=True)  # doctest: +SKIP
    >>> X.shape, y.shape  # doctest: +SKIP
    ((27, 143300), (27, 2500))
    """
    flag(download_if_missing, "download_if_missing")
    flag(return_X_y, "return_X_y")
    folder = Path(get_data_home(data_home)) / "cora"
    path = fetch_file(ARCHIVE, folder, download_if_missing=download_if_missing)
    names, words, links = _read(path)
    adjacency = _adjacency(links, len(names))
    n_kept = N_INSTANCES * 2 * N_SIDE
    n_links = np.asarray(adjacency.sum(axis=1)).ravel()
    kept = np.sort(np.argsort(-n_links, kind="stable")[:n_kept])
    data, target, papers = [], [], []
    for part in equal_parts(adjacency, kept, N_INSTANCES):
        left, right = halves_with_many_between(adjacency, part)
        both = np.concatenate([left, right])
        data.append(words[both].ravel())
        target.append(adjacency[left][:, right].toarray().ravel())
        papers.append(names[both])
    X, y = np.stack(data).astype(np.float32), np.stack(target).astype(np.float32)
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        papers=np.stack(papers),
        DESCR=fetch_cora_matching.__doc__,
        citation=CITATION,
        filename=str(path),
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return names (n,), words (n, 1433) and links (m, 2) as row numbers, all checked."""
    try:
        with tarfile.open(path) as archive:
            content, cites = (
                archive.extractfile(f"cora/{name}").read().decode()  # type: ignore[union-attr]
                for name in ("cora.content", "cora.cites")
            )
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise OSError(
            f"{path} is a damaged archive: {type(error).__name__}: {error}. Delete it and fetch "
            "again."
        ) from error
    except (tarfile.TarError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not the Cora archive, which holds cora/cora.content and cora/cora.cites: "
            f"{error}"
        ) from error
    rows = [line.split("\t") for line in content.splitlines()]
    bad = [i for i, row in enumerate(rows) if len(row) != N_WORDS + 2]
    if len(rows) != N_PAPERS or bad:
        where = f"; line {bad[0] + 1} has {len(rows[bad[0]])} fields" if bad else ""
        raise ValueError(
            f"cora.content in {path} should have {N_PAPERS} lines of a name, {N_WORDS} words and a "
            f"class; it has {len(rows)} lines{where}."
        )
    names = np.array([row[0] for row in rows])
    words = np.array([row[1:-1] for row in rows], dtype=np.int8)
    if not np.isin(words, (0, 1)).all():
        raise ValueError(f"cora.content in {path} has words that are not 0 or 1.")
    number = {name: i for i, name in enumerate(names)}
    pairs = {
        tuple(sorted((number[a], number[b])))
        for a, b in (line.split() for line in cites.splitlines())
        if a != b
    }
    if len(pairs) != N_LINKS:
        raise ValueError(
            f"cora.cites in {path} should link {N_LINKS} pairs of papers; it links {len(pairs)}."
        )
    return names, words, np.array(sorted(pairs))


def _adjacency(links: np.ndarray, n: int) -> sparse.csr_array:
    once = sparse.coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(n, n))
    return sparse.csr_array(once + once.T)
