"""The mean of paired differences over blocks of rows, its interval, and the rows needed."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from .._utils.powers import size_exponent

_LEAST_FREEDOM = 1.03  # below it one block has nearly all of the weight, and no variance is known
_MOST_LOG_TIMES = 600.0  # beyond it, numbers of rows overflow


@dataclass(frozen=True)
class PairedMean:
    """A mean difference, with its standard error and interval.

    Attributes
    ----------
    mean : float
        Weighted mean over the rows.
    standard_error : float
        Standard error, from the means of the blocks.
    degrees_of_freedom : float
        Degrees of freedom of its t distribution.
    low, high : float
        Ends of the confidence interval.
    design_effect : float
        Squared standard error divided by that of as many independent rows; NaN where all
        differences are equal.
    """

    mean: float
    standard_error: float
    degrees_of_freedom: float
    low: float
    high: float
    design_effect: float


def paired_mean(
    difference: np.ndarray, weight: np.ndarray, block: np.ndarray, level: float
) -> PairedMean:
    r"""Return the weighted mean of differences with an interval over independent blocks.

    With shares :math:`a_b` of the weight and means :math:`m_b` of blocks, the mean is :math:`m =
    \sum_b a_b m_b`, and its squared standard error :math:`\sum_b a_b^2 (m_b - m)^2 / (1 - a_b)`.
    For blocks of equal size that is the variance of their means divided by their number, and the
    degrees of freedom are the number of blocks minus 1. In general it is unbiased where rows are
    independent ("CR2"), and the degrees of freedom are those of a chi-square variable with the same
    variance [1]_.

    Parameters
    ----------
    difference, weight : ndarray of shape (n,)
    block : ndarray of shape (n,)
        Numbers of the blocks, from 0.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    PairedMean
        With NaN for the attributes that need two blocks where there is one, or where one has
        nearly all of the weight.

    References
    ----------
    .. [1] R. M. Bell and D. F. McCaffrey, "Bias reduction in standard errors for linear regression
       with multi-stage samples", Survey Methodology 28, 2002.
    """
    exponent = size_exponent(difference)
    difference = np.ldexp(difference, -exponent)
    share = weight / weight.sum()
    # From the first one on, so that the mean of equal differences is exact.
    mean = float(difference[0] + share @ (difference - difference[0]))
    of_block = np.bincount(block, share)
    # Of the deviations from the mean, so that equal differences have an error of 0.
    sums = np.bincount(block, share * (difference - mean))[of_block > 0]
    of_block = of_block[of_block > 0]
    if len(of_block) < 2 or of_block.max() == 1:
        return PairedMean(float(np.ldexp(mean, exponent)), *[float("nan")] * 5)
    error = float(np.sqrt((sums**2 / (1 - of_block)).sum()))
    leverage = of_block**2 / (1 - of_block)
    freedom = float(1 / ((of_block**2).sum() + leverage.sum() ** 2 - (leverage**2).sum()))
    if freedom < _LEAST_FREEDOM:
        return PairedMean(float(np.ldexp(mean, exponent)), *[float("nan")] * 5)
    reach = quantile(0.5 + level / 2, freedom) * error
    independent = float((share**2 * (difference - mean) ** 2 / (1 - share)).sum())
    effect = error**2 / independent if independent > 0 else float("nan")
    mean, error, low, high = (
        float(np.ldexp(each, exponent)) for each in (mean, error, mean - reach, mean + reach)
    )
    return PairedMean(mean, error, freedom, low, high, effect)


def quantile(probability: float, degrees_of_freedom: float) -> float:
    """Return a quantile of the t distribution."""
    return float(stdtrit(degrees_of_freedom, probability))


def rows_to_tell_apart(found: PairedMean, n_rows: int, level: float, power: float) -> float:
    """Return how many more rows are needed so that the interval excludes 0 with this probability.

    The squared standard error is inversely proportional to the number of blocks. The factor r by
    which the number of rows must grow solves
    :math:`t_{(1 + level)/2} + t_{power} = |m| sqrt(r) / error`, with quantiles of the t
    distribution for r times the degrees of freedom.

    Parameters
    ----------
    found : PairedMean
    n_rows : int
        Number of rows of the mean.
    level, power : float
        Probabilities in (0, 1); `power` is at least 0.5.

    Returns
    -------
    float
        0 where the interval already excludes 0, infinite where the mean is 0, NaN where the error
        is not known.
    """
    if np.isnan(found.standard_error):
        return float("nan")
    if found.low > 0 or found.high < 0:
        return 0.0
    if found.mean == 0:
        return float("inf")
    distance = abs(found.mean) / found.standard_error

    def missing(log_times: float) -> float:
        times = np.exp(log_times)
        freedom = times * found.degrees_of_freedom
        wanted = quantile(0.5 + level / 2, freedom) + quantile(power, freedom)
        return wanted - distance * np.sqrt(times)

    # Quantiles fall with the degrees of freedom, so the present ones give an upper bound.
    with np.errstate(divide="ignore", over="ignore"):
        most = float(2 * np.log((missing(0.0) + distance) / distance))
    if most > _MOST_LOG_TIMES:
        return float("inf")
    if missing(most) >= 0:  # only by rounding errors, where quantiles no longer fall
        times = np.exp(most)
    else:
        times = np.exp(brentq(missing, 0.0, most, xtol=1e-12))
    return float(np.ceil(n_rows * (times - 1)))


def neighbour_correlation(difference: np.ndarray, weight: np.ndarray, block: np.ndarray) -> float:
    """Return the correlation of the means of neighbouring blocks, 0 where there is none.

    Blocks are numbered in their order. For independent blocks the correlation is about normal with
    mean 0 and a variance of at most 1 divided by their number.
    """
    of_block = np.bincount(block, weight)
    kept = of_block > 0
    means = np.bincount(block, weight * difference)[kept] / of_block[kept]
    away = means - means.mean()
    away = np.ldexp(away, -size_exponent(away))
    total = away @ away
    return float(away[1:] @ away[:-1] / total) if total > 0 else 0.0
