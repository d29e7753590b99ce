"""Autoregressive models of time series, and the variance of their means."""

import numpy as np

_MOST = 10.0  # orders tried, times log10 of the number of values
_SHARE = 5  # values for each order at least
_NOTHING = 1e-4  # share of the variance left, below which a series is a trend or a cycle


def burg(series: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit autoregressive models of orders 0 to `order` to rows of series, about their means.

    The models are Burg's estimates, which are always stationary.

    Parameters
    ----------
    series : ndarray of shape (R, n)
    order : int
        p, below n.

    Returns
    -------
    coefficients : ndarray of shape (R, p)
        Those of order p: a value is their product with the p values before, the last one first.
    errors : ndarray of shape (R, n - p)
        Residuals of the values from the p-th on.
    variances : ndarray of shape (R, p + 1)
        Mean squares of the residuals of orders 0, 1, ..., p.
    """
    centered = series - series.mean(axis=1, keepdims=True)
    forward = backward = centered
    coefficients = np.zeros((len(series), 0))
    variances = [(centered**2).mean(axis=1)]
    for _ in range(order):
        ahead, behind = forward[:, 1:], backward[:, :-1]
        power = (ahead**2 + behind**2).sum(axis=1)
        product = 2 * (ahead * behind).sum(axis=1)
        reflection = np.divide(product, power, out=np.zeros_like(product), where=power > 0)
        turned = coefficients - reflection[:, None] * coefficients[:, ::-1]
        coefficients = np.concatenate([turned, reflection[:, None]], axis=1)
        forward = ahead - reflection[:, None] * behind
        backward = behind - reflection[:, None] * ahead
        variances.append(variances[-1] * (1 - reflection**2))
    return coefficients, forward, np.stack(variances, axis=1)


def best_order(series: np.ndarray) -> int:
    """Return the autoregressive order of the least Bayesian information criterion for (n,)."""
    n = len(series)
    most = int(min(_MOST * np.log10(n), n // _SHARE)) if n > 1 else 0
    variances = burg(series[None], most)[2][0]
    if not variances[0] > 0:
        return 0
    with np.errstate(divide="ignore"):
        return int(np.argmin(n * np.log(variances) + np.arange(most + 1) * np.log(n)))


def inflation(series: np.ndarray, order: int) -> np.ndarray:
    """Return the ratio of the variance of each row's mean (R, n) to that of independent values.

    This is the spectral density of an autoregressive model at frequency 0, relative to the
    variance. It has no meaning for a trend or a cycle without errors, which counts as one value.
    """
    coefficients, _, variances = burg(series, order)
    left = np.divide(
        variances[:, -1], variances[:, 0], out=np.ones(len(series)), where=variances[:, 0] > 0
    )
    found = left / (1 - coefficients.sum(axis=1)) ** 2
    return np.where(left < _NOTHING, series.shape[1], found)
