"""Returns that are normal given the features, so that the best portfolio is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import gamma
from sklearn.utils import check_random_state

from dfl_sklearn._utils.checks import flag, number
from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

BASE, SIGNAL, OWN, SHARED = 0.005, 0.025, 0.025, 0.02
PARTS = np.array([0.3, 0.2])  # shares of the signal due to the second and the third feature
APART = 0.2  # largest relative difference of these shares between assets

KNOBS = {
    "noise": Knob(1.0, low=0.0),
    "level": Knob(0.0),
}
PRESETS = {
    "noise": {"noise": 1.5},
    "level_up": {"level": 0.01},
    "level_down": {"level": -0.01},
}


def make_mean_cvar_portfolio(
    n_samples: int = 100,
    n_features: int = 3,
    n_assets: int = 10,
    *,
    exponent: float = 1.0,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
    return_mean: bool = False,
) -> tuple[np.ndarray, ...]:
    r"""Generate returns of assets that are normal given the features, for mean-CVaR portfolios.

    With p independent features, :math:`x_l` the absolute value of a standard normal number, the
    return of asset j = 1, ..., n is

    .. math:: y_j = j\, (0.005 + l) + \sum_{k=1}^3 \mu_{jk}\, x_k^\theta
       + s\, (0.025\, j\, \varepsilon_j + 0.02\, \varepsilon_0),

    with standard normal :math:`\varepsilon_0, \dots, \varepsilon_n`. Features beyond the third have
    no effect. On average the features add :math:`0.025\, j`, half of it due to the first:

    .. math:: \mu_{j2} = 0.0075\, j\, u_{j2} / c, \quad \mu_{j3} = 0.005\, j\, u_{j3} / c, \quad
       \mu_{j1} = 0.025\, j / c - \mu_{j2} - \mu_{j3}, \qquad
       c = \mathrm E\, x_1^\theta = 2^{\theta / 2}\, \Gamma\bigl(\tfrac{\theta + 1}2\bigr)
       / \sqrt \pi,

    with :math:`u_{jk}` drawn from U(0.8, 1.2) once for each n, so that samples drawn with different
    seeds share one distribution.

    The problem is ``CVaRPortfolioProblem(level=0.8, risk_aversion=10)``. Given x, the loss of
    shares z is normal, so that its mean and CVaR are known:

    .. math:: -m^\top z + 10\, \mathrm{CVaR} = -11\, m^\top z
       + 10\, \frac{\varphi(\Phi^{-1}(0.8))}{0.2} \sqrt{z^\top \Sigma z},

    with the mean m of y given x (`return_mean`) and its covariance :math:`\Sigma`
    (:func:`mean_cvar_portfolio_covariance`). The best shares are those of a second-order cone
    program.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    n_features : int, default=3
        Number of features p, at least 3.
    n_assets : int, default=10
        Number of assets n, at least 2.
    exponent : float, default=1
        :math:`\theta`, positive. With 1 the mean is linear in the features; the paper also takes
        0.5 and 2.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        =======  ====================================  =======  ====================
        key      meaning                               nominal  as a string
        =======  ====================================  =======  ====================
        "noise"  s, factor on the noise, >= 0          1        "noise": 1.5
        "level"  l, added to returns, times the        0        "level_up": 0.01,
                 number j of the asset                          "level_down": -0.01
        =======  ====================================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is.
    return_mean : bool, default=False
        Whether to return the mean of y given x as well.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, n_assets)
        Returns; 0.01 is one percent.
    mean : ndarray of shape (n_samples, n_assets)
        Mean of y given x. Only if ``return_mean=True``.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a number is out of range, or a name in `shift` is unknown.

    See Also
    --------
    make_loss_portfolio : Returns with a rare crisis.

    References
    ----------
    Kannan, Bayraksan, Luedtke, "Residuals-based distributionally robust optimization with covariate
    information", Mathematical Programming, 2024, and its code (github.com/rohitkannan/ER-DRO),
    where features are correlated.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_mean_cvar_portfolio
    >>> from dfl_sklearn.problems import CVaRPortfolioProblem
    >>> X, y, mean = make_mean_cvar_portfolio(50, random_state=0, return_mean=True)
    >>> X.shape, y.shape
    ((50, 3), (50, 10))
    >>> problem = CVaRPortfolioProblem(level=0.8, risk_aversion=10)
    >>> scenarios = mean[:1, None] + (y - mean)  # true residuals, around the first row's mean
    >>> decision = problem.solve(scenarios)
    >>> decision.shape, float(decision[:, :-1].sum().round(6))
    ((1, 11), 1.0)
    """
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_features = check_count("n_features", n_features, minimum=3)
    n_assets = check_count("n_assets", n_assets, minimum=2)
    exponent = number(exponent, "exponent", above=0)
    flag(return_mean, "return_mean")
    check_rows("n_samples", n_samples, n_features + 4 * n_assets)
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    X = np.abs(rng.standard_normal((n_samples, n_features)))
    shared = rng.standard_normal((n_samples, 1))
    own = rng.standard_normal((n_samples, n_assets))

    j = np.arange(1, n_assets + 1)
    usual = 2.0 ** (exponent / 2.0) * gamma((exponent + 1.0) / 2.0) / np.sqrt(np.pi)
    mean = j * (BASE + knobs["level"]) + (X[:, :3] ** exponent) @ _slopes(n_assets) / usual
    y = mean + knobs["noise"] * (OWN * j * own + SHARED * shared)
    return (X, y, mean) if return_mean else (X, y)


def mean_cvar_portfolio_covariance(n_assets: int = 10) -> np.ndarray:
    """Return the covariance (n_assets, n_assets) of the nominal noise of make_mean_cvar_portfolio.

    Parameters
    ----------
    n_assets : int, default=10
        Number of assets.

    Returns
    -------
    ndarray of shape (n_assets, n_assets)
        The covariance of y given x, the same for every x.

    See Also
    --------
    make_mean_cvar_portfolio : The returns.
    portfolio_covariance : The covariance that goes with make_portfolio.

    Examples
    --------
    >>> from dfl_sklearn.datasets import mean_cvar_portfolio_covariance
    >>> mean_cvar_portfolio_covariance(2).round(6)
    array([[0.001025, 0.0004  ],
           [0.0004  , 0.0029  ]])
    """
    j = np.arange(1, check_count("n_assets", n_assets, minimum=2) + 1)
    return np.diag((OWN * j) ** 2) + SHARED**2


def _slopes(n_assets: int) -> np.ndarray:
    """Return the slopes (3, n_assets) of returns in the powers of the features."""
    apart = np.random.default_rng([n_assets]).uniform(1.0 - APART, 1.0 + APART, (2, n_assets))
    later = PARTS[:, None] * apart
    shares = np.concatenate([1.0 - later.sum(axis=0, keepdims=True), later])
    return SIGNAL * np.arange(1, n_assets + 1) * shares
