"""Asset returns with a rare crisis, and possible shifts of their distribution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.utils import check_random_state

from dfl_sklearn._utils.checks import flag
from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

CRISIS_FALL = 6.0
HINT = 1.0
MARKET = 2.0
SPECIFIC = 2.0

KNOBS = {
    "crisis": Knob(0.05, low=0.0, high=1.0),
    "noise": Knob(1.0, low=0.0),
    "level": Knob(0.0),
}
PRESETS = {
    "crisis": {"crisis": 0.3},
    "noise": {"noise": 1.5},
    "level_up": {"level": 1.5},
    "level_down": {"level": -1.5},
}


def make_portfolio(
    n_samples: int = 300,
    n_features: int = 5,
    n_assets: int = 5,
    *,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
    return_crisis: bool = False,
) -> tuple[np.ndarray, ...]:
    r"""Generate monthly asset returns in percent, with a rare crisis.

    With n assets, of which the first is the safest, d features, and exposures
    :math:`b_j = (j - 1) / (n - 1)` to the market, j = 1, ..., n:

    .. math::

        C &\sim \mathrm{Bernoulli}(p), \qquad
        x = u + C\, e_d, \qquad u \sim N(0, I_d), \\
        y_j &= \tfrac12 + b_j \bigl(1 + l - 6\, C\bigr)
               + (1 - C)\, \beta_j^\top x + C\, b_j\, \gamma^\top x
               + s \bigl(2\, b_j f + \sigma_j\, \varepsilon_j \bigr),

    with a standard normal market factor f and noise :math:`\varepsilon_j`, :math:`\sigma_1 =
    \tfrac12` and :math:`\sigma_j = 2` otherwise. In the crisis all risky assets fall together, and
    the effects of the features change. The slopes depend on d and n alone, so that samples drawn
    with different seeds have the same distribution:

    .. math::

        \beta_{ji} = b_j \cos(i + 2 j), \qquad \gamma_i = \sin(i), \qquad i = 1, \dots, d - 1,

    and :math:`\beta_{jd} = \gamma_d = 0`: the last feature is a noisy hint at the crisis.

    Parameters
    ----------
    n_samples : int, default=300
        Number of months.
    n_features : int, default=5
        Number of features d, at least 2.
    n_assets : int, default=5
        Number of assets n, at least 2.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        ========  =======================================  =======  =====================
        key       meaning                                  nominal  as a string
        ========  =======================================  =======  =====================
        "crisis"  p, probability of the crisis             0.05     "crisis": 0.3
        "noise"   s, factor on the noise, >= 0             1        "noise": 1.5
        "level"   l, added to the return of the market     0        "level_up": 1.5,
                                                                    "level_down": -1.5
        ========  =======================================  =======  =====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.
    return_crisis : bool, default=False
        Whether to return the crisis as well.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_assets)
        Returns in percent.
    crisis : ndarray of shape (n_samples,), dtype bool
        Whether the row is in the crisis. Only if ``return_crisis=True``.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    portfolio_covariance : The covariance of the noise, for ``PortfolioProblem``.

    Notes
    -----
    Under "level_up" a cautious portfolio forgoes returns; under "level_down" a risky one loses.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_portfolio, portfolio_covariance
    >>> from dfl_sklearn.problems import PortfolioProblem
    >>> X, y = make_portfolio(100, random_state=0)
    >>> X.shape, y.shape
    ((100, 5), (100, 5))
    >>> problem = PortfolioProblem(portfolio_covariance(5), risk_aversion=0.5)
    >>> problem.solve(y.mean(axis=0)[None]).round(1)
    array([[0.8, 0.1, 0.1, 0. , 0. ]])
    """
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_features = check_count("n_features", n_features, minimum=2)
    n_assets = check_count("n_assets", n_assets, minimum=2)
    flag(return_crisis, "return_crisis")
    check_rows("n_samples", n_samples, n_features + 3 * n_assets)
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    X = rng.standard_normal((n_samples, n_features))
    crisis = rng.uniform(size=n_samples) < knobs["crisis"]
    market = rng.standard_normal((n_samples, 1))
    own = rng.standard_normal((n_samples, n_assets))

    X[:, -1] += HINT * crisis
    exposure, specific = _exposure(n_assets), _specific(n_assets)
    i = np.arange(1, n_features)[:, None]
    j = np.arange(1, n_assets + 1)
    informative = X[:, :-1]
    calm = informative @ (exposure * np.cos(i + 2 * j))
    panic = np.outer(informative @ np.sin(i[:, 0]), exposure) - CRISIS_FALL * exposure
    mean = 0.5 + (1 + knobs["level"]) * exposure + np.where(crisis[:, None], panic, calm)
    y = mean + knobs["noise"] * (MARKET * exposure * market + specific * own)
    return (X, y, crisis) if return_crisis else (X, y)


def portfolio_covariance(n_assets: int = 5) -> np.ndarray:
    """Return the covariance (n_assets, n_assets) of the nominal noise of make_portfolio.

    Parameters
    ----------
    n_assets : int, default=5
        Number of assets.

    Returns
    -------
    ndarray of shape (n_assets, n_assets)
        The covariance given the mean, in squared percent.

    See Also
    --------
    make_portfolio : The returns.
    dfl_sklearn.problems.PortfolioProblem : The problem that takes the covariance.

    Examples
    --------
    >>> from dfl_sklearn.datasets import portfolio_covariance
    >>> portfolio_covariance(2)
    array([[0.25, 0.  ],
           [0.  , 8.  ]])
    """
    exposure = _exposure(check_count("n_assets", n_assets, minimum=2))
    return MARKET**2 * np.outer(exposure, exposure) + np.diag(_specific(n_assets) ** 2)


def _exposure(n_assets: int) -> np.ndarray:
    return np.linspace(0.0, 1.0, n_assets)


def _specific(n_assets: int) -> np.ndarray:
    return np.where(np.arange(n_assets) == 0, 0.5, SPECIFIC)
