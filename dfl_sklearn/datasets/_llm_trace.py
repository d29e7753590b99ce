"""A generator of LLM request traces, calibrated to two real ones."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from sklearn.utils import check_random_state

from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._binning import regular_frame
from dfl_sklearn.datasets._checks import Knob, check_count, check_freq, check_option, resolve_shift

#: The intensity is constant over cells of this width, at which the constants were calibrated.
CELL = pd.Timedelta("5s")
START = pd.Timestamp("2023-11-16 18:15:00")
#: Mean requests of an injected burst, in multiples of those of a bin in which the service is busy.
BURST_SIZE = 4.0

KNOBS = {
    "level": Knob(1.0, low=0.0),
    "noise": Knob(1.0, low=0.0),
    "burst": Knob(0.0, low=0.0, high=1.0),
}


@dataclass(frozen=True)
class RequestKind:
    """Requests of one kind: how many arrive, how that varies, how long they are."""

    rate: float  # mean requests per busy cell
    shared: float  # loading of the log-intensity on the factor that all kinds share
    own: float  # loading on the kind's own factor
    own_memory: float  # lag-1 autocorrelation of the own factor
    context: tuple[float, float]  # median and log-std of the context tokens
    generated: tuple[float, float]  # median and log-std of the generated tokens
    link: float = 0.0  # correlation of the two log-sizes


@dataclass(frozen=True)
class Spells:
    """Busy and silent spells, gamma distributed in seconds."""

    busy_mean: float
    busy_shape: float
    silent_mean: float
    silent_shape: float


@dataclass(frozen=True)
class Service:
    """The constants of one service."""

    kinds: tuple[RequestKind, ...]
    shared_memory: float  # lag-1 autocorrelation of the shared factor
    context_limit: int  # longest context in the real trace, in tokens
    spells: Spells | None = None  # None: always busy


SERVICES = {
    # Templated prompts with long answers, short prompts, and long prompts with short answers:
    # the clusters of the real requests. The first kind ebbs when the others flow.
    "conversation": Service(
        kinds=(
            RequestKind(8.3, -0.42, 0.10, 0.75, (1070, 0.10), (405, 0.10)),
            RequestKind(13.4, 0.45, 0.15, 0.90, (370, 0.85), (90, 0.60)),
            RequestKind(5.9, 0.46, 0.42, 0.985, (2360, 0.50), (115, 0.75), link=-0.8),
        ),
        shared_memory=0.985,
        context_limit=14_050,
    ),
    # Completions: most with a long context and a few generated tokens. Bursts between silence.
    "code": Service(
        kinds=(
            RequestKind(27.7, 0.6, 0.0, 0.0, (1990, 0.75), (11, 0.40)),
            RequestKind(10.0, 0.6, 0.0, 0.0, (160, 1.20), (14.5, 0.65)),
            RequestKind(9.5, 0.6, 0.0, 0.0, (1850, 0.90), (47, 1.05)),
        ),
        shared_memory=0.35,
        context_limit=7_437,
        spells=Spells(busy_mean=15, busy_shape=3, silent_mean=40, silent_shape=0.4),
    ),
}


def make_llm_trace(
    n_bins: int = 720,
    *,
    service: str = "conversation",
    freq: str | datetime.timedelta = "5s",
    shift: Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    r"""Generate a trace of an LLM service that resembles a real one (no download needed).

    Requests of K kinds arrive as Poisson processes with a random intensity. In cell t of
    5 seconds kind k has

    .. math::

        N_{kt} \sim \mathrm{Poisson}\bigl(l\, \lambda_k\, b_t\,
            \exp(s z_{kt} - s^2 v_k / 2)\bigr), \qquad
        z_{kt} = c_k f_t + d_k g_{kt}, \qquad v_k = c_k^2 + d_k^2,

    where f (shared by the kinds) and g_k are independent autoregressions of order 1 with mean
    0 and variance 1, so that the mean intensity does not depend on s. The share :math:`b_t` of
    the cell in which the service is busy is 1 for "conversation"; for "code" busy and silent
    spells of gamma distributed length alternate, of 15 and 40 seconds on average. Context and
    generated tokens of a request are lognormal (correlated for one kind: long prompts get short
    answers), rounded to whole numbers, at least 1; contexts are cut at the longest of the real
    trace, 14,050 or 7,437 tokens. Requests come at uniform times within their cell.

    Parameters
    ----------
    n_bins : int, default=720
        Number of bins; 720 bins of 5 seconds are one hour.
    service : {"conversation", "code"}, default="conversation"
        "conversation" is always busy and drifts slowly; "code" has bursts separated by silence.
    freq : str or datetime.timedelta, default="5s"
        Width of a bin, any fixed width that :class:`pandas.Timedelta` reads. Where the
        bins span the same time, a seed gives the same requests at every width, injected
        bursts aside.
    shift : None or mapping of str to float, default=None
        How the distribution differs from the calibrated one.

        =========  =====================================================  =======
        key        meaning                                                nominal
        =========  =====================================================  =======
        "level"    l, factor on arrivals, >= 0                            1
        "noise"    s, factor on the log-std of the intensity, >= 0        1
        "burst"    probability per bin of an injected burst, in [0, 1]    0
        =========  =====================================================  =======

        An injected burst adds to its bin, on average, four times the nominal mean arrivals of a
        bin in which the service is busy, whatever the level.
    random_state : int, RandomState instance or None, default=None
        Determines the trace.

    Returns
    -------
    DataFrame of shape (n_bins, 3)
        `context_tokens`, `generated_tokens` and `requests` per bin, whole numbers, indexed by
        the start of the bin from 2023-11-16 18:15: what :func:`read_llm_trace` returns.

    Raises
    ------
    TypeError
        If `n_bins` is not an integer, or `shift` is of the wrong type.
    ValueError
        If an argument is out of range, or a name in `shift` is unknown.

    See Also
    --------
    fetch_azure_llm_trace : The real traces.
    make_lagged : Features and target from a column of the frame.

    Notes
    -----
    The constants are calibrated to the Azure traces of 2023 [1]_ (conversation: 701 bins; code:
    688 bins). Statistics per bin of 5 seconds of the real trace, and of generated ones of 720
    bins: mean over the seeds 0, ..., 199 and, in brackets, the standard deviation over them.

    ======================  ============  =================  ==========  =================
    per bin of 5 s          conversation  generated          code        generated
    ======================  ============  =================  ==========  =================
    context mean            31900         31919 (4270)       26250       26220 (4148)
    context std             14399         12840 (3922)       51808       51611 (5098)
    context 10 %            17219         18262 (1673)       0           0 (0)
    context 50 %            28366         29484 (3249)       0           0 (0)
    context 90 %            52282         48805 (9415)       87035       92685 (11182)
    context 99 %            71829         72679 (19476)      236901      222514 (25406)
    share of empty bins     0.000         0.000 (0.000)      0.661       0.664 (0.049)
    autocorrelation 1       0.592         0.496 (0.146)      0.542       0.549 (0.047)
    autocorrelation 2       0.605         0.482 (0.148)      0.341       0.318 (0.057)
    autocorrelation 7       0.553         0.416 (0.146)      0.093       0.062 (0.054)
    autocorrelation 50      0.309         0.111 (0.128)      0.075       -0.006 (0.053)
    corr. with generated    0.298         0.481 (0.097)      0.935       0.948 (0.011)
    generated mean          5833          5707 (331)         357         348 (57)
    generated std           1747          1659 (227)         733         712 (74)
    requests mean           27.6          27.6 (2.6)         12.8        12.8 (2.0)
    requests std            8.5           8.4 (2.2)          25.1        24.9 (2.5)
    ======================  ============  =================  ==========  =================

    Not everything matches. The context tokens of the real conversation trace have a longer memory
    (lag 50), a larger spread and a weaker correlation with the generated tokens than those of a
    typical generated trace. Statistics of that service vary much between seeds, because an hour
    contains only a few slow swings: the real lag 50 is 1.5 standard deviations from the generated
    mean, the correlation 1.9, and all other rows less than 1. For "code" the lag 50 is off by 1.5
    standard deviations, the correlation by 1.2, and all other rows by less than 1. Daily patterns,
    and services of other years, are not modelled.

    The constants are in ``SERVICES`` at the top of this module. For each kind these are the rate
    :math:`\lambda_k`, the loadings c and d, the memory of the factors and the distributions of the
    sizes.

    Memory grows with the number of requests, about 20,000 per hour at the nominal level.

    References
    ----------
    .. [1] P. Patel et al., "Splitwise: Efficient generative LLM inference using phase
       splitting", ISCA 2024.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_lagged, make_llm_trace
    >>> frame = make_llm_trace(service="code", random_state=0)
    >>> frame.shape
    (720, 3)
    >>> X, y = make_lagged(frame["context_tokens"], n_lags=7)
    >>> X.shape, y.shape
    ((713, 7), (713,))
    >>> shifted = make_llm_trace(shift={"level": 1.5, "burst": 0.01}, random_state=0)
    """
    n_bins = check_count("n_bins", n_bins, minimum=1)
    constants = SERVICES[check_option("service", service, tuple(SERVICES))]
    width = check_freq(freq)
    knobs = resolve_shift(shift, KNOBS)
    rng = check_random_state(random_state)

    check_rows("n_bins", n_bins, 6 + 6 * max(1.0, width / CELL))  # six numbers for each cell
    n_cells = -(-n_bins * width.value // CELL.value)  # rounded up
    busy = _busy_share(rng, n_cells, constants.spells)
    shared = _autoregression(rng, n_cells, constants.shared_memory)
    sums = np.zeros((n_bins, 3), dtype=np.int64)
    for kind in constants.kinds:
        own = _autoregression(rng, n_cells, kind.own_memory)
        # Minus half the variance, so that the mean intensity is `rate` for every noise.
        log_intensity = knobs["noise"] * (kind.shared * shared + kind.own * own)
        log_intensity -= knobs["noise"] ** 2 * (kind.shared**2 + kind.own**2) / 2
        counts = rng.poisson(knobs["level"] * kind.rate * busy * np.exp(log_intensity))
        cells = np.repeat(np.arange(n_cells), counts)
        # Bins need not be cells: every request gets a time within its cell.
        seconds = (cells + rng.uniform(size=cells.size)) * CELL.total_seconds()
        bins = np.floor(seconds / width.total_seconds()).astype(np.int64)
        sums += _sum_requests(rng, bins, n_bins, kind, constants.context_limit)

    # Bursts are drawn last, so that the rest of the trace is the same with and without them.
    if knobs["burst"] > 0:
        bursts = np.flatnonzero(rng.uniform(size=n_bins) < knobs["burst"])
        for kind in constants.kinds:
            mean = BURST_SIZE * kind.rate * (width / CELL)
            bins = np.repeat(bursts, rng.poisson(mean, size=bursts.size))
            sums += _sum_requests(rng, bins, n_bins, kind, constants.context_limit)
    return regular_frame(np.arange(n_bins), sums, origin=START, width=width, n_bins=n_bins)


def _sum_requests(
    rng: np.random.RandomState, bins: np.ndarray, n_bins: int, kind: RequestKind, limit: int
) -> np.ndarray:
    """Draw the sizes of requests that arrive in `bins`, and sum them: shape (n_bins, 3)."""
    first, second = rng.standard_normal((2, bins.size))
    second = kind.link * first + math.sqrt(1 - kind.link**2) * second
    context = _sizes(kind.context, first, limit)
    generated = _sizes(kind.generated, second, None)
    inside = bins < n_bins  # the last cell may reach beyond the last bin
    bins = bins[inside]
    return np.column_stack(
        [
            np.bincount(bins, weights=context[inside], minlength=n_bins),
            np.bincount(bins, weights=generated[inside], minlength=n_bins),
            np.bincount(bins, minlength=n_bins),
        ]
    ).astype(np.int64)


def _sizes(distribution: tuple[float, float], normal: np.ndarray, limit: int | None) -> np.ndarray:
    median, log_std = distribution
    return np.clip(np.rint(median * np.exp(log_std * normal)), 1, limit)


def _autoregression(rng: np.random.RandomState, n: int, memory: float) -> np.ndarray:
    """Return a stationary AR(1) path with mean 0 and variance 1."""
    steps = rng.standard_normal(n)
    steps[1:] *= math.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], steps)


def _busy_share(rng: np.random.RandomState, n_cells: int, spells: Spells | None) -> np.ndarray:
    """Share of each cell in which the service is busy."""
    if spells is None:
        return np.ones(n_cells)
    cell = CELL.total_seconds()
    cycle = spells.busy_mean + spells.silent_mean
    # Twenty cycles before the trace, so that its start does not depend on the initial silence.
    lead = 20 * cycle
    end = n_cells * cell
    edges, busy_time = np.array([-lead]), np.array([0.0])
    while edges[-1] < end:
        n = int((end - edges[-1]) / cycle) + 20
        silent = rng.gamma(spells.silent_shape, spells.silent_mean / spells.silent_shape, size=n)
        busy = rng.gamma(spells.busy_shape, spells.busy_mean / spells.busy_shape, size=n)
        steps = np.column_stack([silent, busy]).ravel()
        gains = np.column_stack([np.zeros(n), busy]).ravel()
        edges = np.append(edges, edges[-1] + np.cumsum(steps))
        busy_time = np.append(busy_time, busy_time[-1] + np.cumsum(gains))
    # Busy time up to t is piecewise linear in t; rounding may leave -1e-16 in a silent cell.
    share = np.diff(np.interp(np.arange(n_cells + 1) * cell, edges, busy_time)) / cell
    return np.clip(share, 0.0, 1.0)
