"""A cumulative sum that detects higher costs, with a threshold from reference costs."""

from collections.abc import Iterator

import numpy as np
from scipy.signal import lfilter

from .._utils.autoregression import best_order, burg, inflation
from .._utils.checks import number, whole_number
from .._utils.rows import as_float, check_finite
from .._utils.seeds import named_rng, root_seed

_N_STREAMS = 2000  # least number of streams drawn for the threshold, and
_N_BEYOND = 20  # least number of streams that exceed it
LEAST_ALPHA = 1e-4
_ROUNDING = 1e-9  # standard deviation of drawn costs that are equal up to rounding
_AT_ONCE = 1 << 18  # costs drawn at the same time
_FEWEST = 300  # references drawn; up to this length one for each stream
_WARM_UP = 100  # rows simulated before the first one that is used
LEAST_WORTH = 30  # least effective number of independent reference rows


class Cusum:
    r"""Cumulative sum of costs above those of a reference, with an alarm above a threshold.

    .. math:: S_t = \max\Big(0,\; S_{t-1} + \frac{\min(c_t, M) - m}{s} - \frac{d}{2}\Big)

    Here m, s and M are the mean, the standard deviation and the largest of the reference costs, and
    d is the increase to detect, in standard deviations. A cost counts as M at most, so that a
    single outlier does not raise the alarm; an infinite cost raises it at once.

    The threshold is such that a share `alpha` of streams without a shift exceeds it within
    `horizon` rows. Streams and references are drawn from an autoregressive model of the reference
    costs, with errors drawn with replacement (the sieve bootstrap). Costs therefore need be neither
    normal nor independent, and the threshold allows for the errors of m, s and M from a finite
    reference.

    Parameters
    ----------
    reference : array-like of shape (n,)
        Costs without a shift, in order of time.
    alpha : float, default=0.05
        Probability of a false alarm within `horizon` rows, at least 0.0001.
    horizon : int, default=1000
        Number of rows for which `alpha` holds.
    shift_size : float, default=1.0
        The increase d to detect, in standard deviations.
    random_state : int, RandomState or None, default=0
        Seed of the draws.

    Attributes
    ----------
    mean, scale, largest : float
        The mean m, the standard deviation s and the largest M of the reference costs.
    order : int
        Order of the autoregressive model, chosen by the Bayesian information criterion.
    worth : float
        Effective sample size of the reference: the number of independent costs that determine m
        equally well.
    slack : float
        d / 2, in standard deviations.
    threshold : float
        The value of S above which the alarm is raised.
    statistic : float
        The present S.
    n_rows : int
        Number of costs seen.
    alarm_at : int or None
        The row, counted from 0, in which S first exceeded the threshold.
    risen_since : int
        The row after S was last 0 before the alarm, an estimate of when costs rose. Without an
        alarm, the row after S was last 0.

    See Also
    --------
    dfl_sklearn.ShiftMonitor : Monitor a model by its costs and by a test of its features.

    References
    ----------
    Page, "Continuous inspection schemes", Biometrika 41, 1954.
    Hawkins, Olwell, "Cumulative sum charts and charting for quality improvement", 1998, on
    winsorised sums. Buhlmann, "Sieve bootstrap for time series", Bernoulli 3, 1997.

    Examples
    --------
    >>> import numpy as np
    >>> from dfl_sklearn.online import Cusum
    >>> rng = np.random.default_rng(0)
    >>> cusum = Cusum(rng.exponential(1.0, 300))
    >>> for cost in [*rng.exponential(1.0, 200), *rng.exponential(3.0, 50)]:
    ...     statistic = cusum.update(cost)
    >>> 200 <= cusum.alarm_at < 230, 195 <= cusum.risen_since < 210
    (True, True)
    """

    def __init__(
        self,
        reference: np.ndarray,
        *,
        alpha: float = 0.05,
        horizon: int = 1000,
        shift_size: float = 1.0,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        reference = as_float(reference, "reference costs").astype(np.float64)
        if reference.ndim != 1:
            raise ValueError(f"Reference costs must have shape (n,), got {reference.shape}.")
        check_finite(reference, "reference costs")
        alpha = number(alpha, "alpha", at_least=LEAST_ALPHA, below=1)
        horizon = whole_number(horizon, "horizon", at_least=1)
        self.slack = number(shift_size, "shift_size", above=0) / 2
        # Numbers are scaled to near 1, so that squares neither overflow nor underflow.
        size = float(np.abs(reference).max(initial=0.0)) or 1.0
        self.order = best_order(reference / size)
        self.worth = _worth(reference / size, self.order)
        if self.worth < LEAST_WORTH:
            raise ValueError(_too_few(len(reference), self.worth))
        self.mean = float((reference / size).mean()) * size
        self.scale = float((reference / size).std()) * size
        self.largest = float(reference.max())
        if not self.scale > 1e-12 * abs(self.mean):
            raise ValueError(
                f"All {len(reference)} reference costs are {self.mean:g}: increases cannot be "
                "measured in standard deviations."
            )
        rng = named_rng(root_seed(random_state), "cusum")
        standard = (reference - self.mean) / self.scale
        self.threshold = _threshold(standard, self.order, alpha, horizon, self.slack, rng)
        if not np.isfinite(self.threshold):
            n_common = int(np.unique(reference, return_counts=True)[1].max())
            raise ValueError(
                f"{n_common} of the {len(reference)} reference costs are equal, and too few differ "
                "from them to tell how costs vary without a shift. Give more reference costs."
            )
        self.statistic, self.n_rows, self.risen_since = 0.0, 0, 0
        self.alarm_at: int | None = None

    def update(self, cost: float) -> float:
        """Add a cost, finite or infinity, and return the statistic.

        Parameters
        ----------
        cost : float
            Cost of the next row, in the unit of the reference; infinity sounds the alarm.

        Returns
        -------
        float
            The present S.
        """
        step = (min(cost, self.largest) - self.mean) / self.scale - self.slack
        if cost == np.inf:
            step = np.inf
        elif not np.isfinite(cost):
            raise ValueError(f"A cost must be a number or infinity, got {cost}.")
        if self.statistic == np.inf:  # an alarm that later costs must not undo
            step = np.inf
        self.statistic = max(0.0, self.statistic + float(step))
        self.n_rows += 1
        if self.statistic == 0 and self.alarm_at is None:
            self.risen_since = self.n_rows
        if self.alarm_at is None and self.statistic > self.threshold:
            self.alarm_at = self.n_rows - 1
        return self.statistic


def _worth(reference: np.ndarray, order: int) -> float:
    """Return the number of independent costs whose mean has the same variance."""
    if len(reference) < 2:
        return float(len(reference))
    return len(reference) / max(1.0, float(inflation(reference[None], order)[0]))


def _too_few(n: int, worth: float) -> str:
    if round(worth) >= n:
        return f"A threshold needs at least {LEAST_WORTH} reference costs, got {n}."
    needed = int(np.ceil(LEAST_WORTH * n / worth))
    return (
        f"{n} reference costs are too few: they are autocorrelated, and equivalent to only "
        f"{worth:.0f} independent ones, while a threshold needs {LEAST_WORTH}. Give about {needed} "
        "reference costs, or costs without slow changes, such as regrets."
    )


def _threshold(
    standard: np.ndarray,
    order: int,
    alpha: float,
    horizon: int,
    slack: float,
    rng: np.random.Generator,
) -> float:
    """Return the value that S exceeds within `horizon` rows in a share `alpha` of streams."""
    n_streams = max(_N_STREAMS, int(np.ceil(_N_BEYOND / alpha)))
    n_references = min(n_streams, max(_FEWEST, n_streams * _FEWEST // len(standard)))
    moments = np.concatenate(
        [
            [each.mean(axis=1), each.std(axis=1), each.max(axis=1)]
            for each in _drawn(standard, order, n_references, len(standard), rng)
        ],
        axis=1,
    )
    moments[1, moments[1] < _ROUNDING] = 0.0  # of equal costs; usual ones have 1
    moments = moments[:, np.arange(n_streams) % n_references, None]
    most, first = [], 0
    for streams in _drawn(standard, order, n_streams, horizon, rng):
        mean, scale, largest = moments[:, first : first + len(streams)]
        most.append(_highest(mean, scale, largest, streams, slack))
        first += len(streams)
    highest = np.sort(np.concatenate(most))
    rank = int(np.ceil((1 - alpha) * (n_streams + 1)))
    return float(highest[min(rank, n_streams) - 1])


def _drawn(
    series: np.ndarray, order: int, n_series: int, n: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Draw series of n values from an autoregressive model of a series, some rows at a time.

    The errors of the model are drawn with replacement.
    """
    coefficients, errors, _ = burg(series[None], order)
    left = errors[0] - errors[0].mean()
    left *= np.sqrt(len(left) / max(1, len(left) - order - 1))
    warm_up = _WARM_UP if order else 0
    at_once = max(1, _AT_ONCE // n)
    for first in range(0, n_series, at_once):
        shape = min(at_once, n_series - first), warm_up + n
        found = left[rng.integers(0, len(left), shape)]
        if order:
            found = lfilter([1.0], np.concatenate([[1.0], -coefficients[0]]), found, axis=1)
        yield found[:, warm_up:]


def _highest(
    mean: np.ndarray, scale: np.ndarray, largest: np.ndarray, streams: np.ndarray, slack: float
) -> np.ndarray:
    """Return the largest S (R,) of streams (R, horizon), given moments (R, 1) of references."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = (np.minimum(streams, largest) - mean) / np.where(scale > 0, scale, np.nan) - slack
    total = np.zeros((len(steps), steps.shape[1] + 1))
    np.cumsum(steps, axis=1, out=total[:, 1:])
    total -= np.minimum.accumulate(total, axis=1)
    highest = total.max(axis=1)
    return np.where(np.isnan(highest), np.inf, highest)  # NaN where all reference costs are equal
