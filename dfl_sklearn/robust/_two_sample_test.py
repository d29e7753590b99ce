"""A classifier two-sample test: do new rows come from the distribution of a reference?"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import rankdata, t
from sklearn.utils import _safe_indexing

from .._utils.autoregression import best_order, inflation
from .._utils.sklearn_private import _num_samples
from ._joined_tables import joined

_ROUNDING = 1e-12  # differences of ranks, which are between 0 and 1, that are none


def two_sample_test(
    reference: Any, before: Any, now: Any, unfitted: Callable[[], Any], cv: int
) -> tuple[float, float]:
    """Return the AUC by which a classifier tells new rows from a reference, and its p-value.

    The classifier is fitted to tell the rows `before` from reference rows, and scores the rows
    `now`, on which it was not fitted. The reference is divided into blocks in order of time, and
    each block is scored by a classifier fitted on the others. Without a shift, the ranks of the
    scores then have the same distribution in both samples. The test is one-sided: it rejects if the
    new rows have the larger ranks. The difference of the mean ranks is divided by its standard
    error, which is that of Mann and Whitney with ties, enlarged for autocorrelation by an
    autoregressive model of the ranks.

    Parameters
    ----------
    reference, before, now : array-like of shapes (m, p), (w, p), (v, p)
        In order of time.
    unfitted : callable
        Returns an unfitted classifier with `predict_proba` or `decision_function`.
    cv : int
        Number of blocks of the reference.

    Returns
    -------
    auc : float
        Mean over the blocks; 0.5 if the scores do not differ.
    p_value : float
        1 if all scores are equal.
    """
    m, n_new = _num_samples(reference), _num_samples(now)
    rank, auc = np.empty(m), np.empty(cv)
    rank_now = np.zeros(n_new)
    for k, held in enumerate(np.array_split(np.arange(m), cv)):
        rest = np.delete(np.arange(m), held)
        rows = joined(_safe_indexing(reference, rest), before, "X")
        label = (np.arange(_num_samples(rows)) >= len(rest)).astype(int)
        model = unfitted().fit(rows, label)
        asked = joined(_safe_indexing(reference, held), now, "X")
        score = _score(model, asked)
        ranks = (rankdata(score) - 0.5) / len(score)
        rank[held] = ranks[: len(held)]
        rank_now += ranks[len(held) :] / cv
        auc[k] = 0.5 + ranks[len(held) :].mean() - ranks[: len(held)].mean()
    variance = float(np.concatenate([rank, rank_now]).var())
    if variance == 0:
        return float(auc.mean()), 1.0
    alike = _alike(np.concatenate([rank - rank.mean(), rank_now - rank_now.mean()]), variance)
    error = np.sqrt(variance * alike * (1 / m + 1 / n_new))
    freedom = max(1.0, (m + n_new) / (6 * alike) - 1)
    return float(auc.mean()), float(t.sf((rank_now.mean() - rank.mean()) / error, freedom))


def _score(model: Any, X: Any) -> np.ndarray:
    """Return a score per row, larger where the classifier takes the row for a new one."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(X), dtype=np.float64)[:, 1]
    return np.asarray(model.decision_function(X), dtype=np.float64)


def _alike(series: np.ndarray, variance: float) -> float:
    """Return the variance of the mean relative to that of independent values, at least 1.

    The values of `series` are differences from the means of their samples, and `variance` is that
    of independent values. Without a shift, the two agree. The better a classifier tells the samples
    apart, the smaller are the differences; where it makes no error they are rounding errors.

    The estimate f from n values is too small, by a share of about 4 f / n, because the mean is
    estimated as well and the estimated coefficients are too small. The result is corrected for it.
    """
    series = np.where(np.abs(series) < _ROUNDING, 0.0, series)
    found = max(1.0, float(inflation(series[None], best_order(series))[0]))
    if found > 1:
        found /= max(1 - 4 * found / len(series), 0.2)
    within = float((series**2).mean()) / max(1 - found / len(series), 0.2)
    return max(1.0, found * within / variance)
