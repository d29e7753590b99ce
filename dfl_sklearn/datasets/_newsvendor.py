"""Demand with a rare costly regime, and possible shifts of its distribution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri
from sklearn.utils import check_random_state

from dfl_sklearn._utils.checks import flag, number
from dfl_sklearn._utils.memory import check_rows
from dfl_sklearn.datasets._checks import Knob, check_count, resolve_shift

BASE_LEVEL = 10.0
REGIME_JUMP = 4.0
HINT = 1.0
SLOPE_NORM = 2.0

KNOBS = {
    "regime": Knob(0.05, low=0.0, high=1.0),
    "noise": Knob(1.0, low=0.0),
    "level": Knob(0.0),
    "rotation": Knob(0.0),
}
PRESETS = {
    "regime": {"regime": 0.3},
    "noise": {"noise": 1.5},
    "level_up": {"level": 1.0},
    "level_down": {"level": -1.0},
    "rotation": {"rotation": 30.0},
}


def make_newsvendor(
    n_samples: int = 300,
    n_features: int = 5,
    *,
    n_products: int = 1,
    censored: float | None = None,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
    return_regime: bool = False,
) -> tuple[np.ndarray, ...]:
    r"""Generate demand for newsvendor problems, with a rare costly regime.

    With d features, and j = 1, ..., `n_products`:

    .. math::

        R &\sim \mathrm{Bernoulli}(p), \qquad
        x = u + R\, e_d, \qquad u \sim N(0, I_d), \qquad \varepsilon_j \sim N(0, 1), \\
        y_j &= \max\bigl(0,\; 10 + l + (1 - R)\, \beta_j^\top x + R\, (4 + \gamma_j^\top x)
               + s\, e^{x_1 / 4}\, \varepsilon_j \bigr).

    The slopes depend on d and j alone, so that samples drawn with different seeds share one
    distribution:

    .. math::

        \beta_{ji} = 2 b_{ji} / \lVert b_j \rVert, \quad b_{ji} = \cos(i + 2 j), \qquad
        \gamma_{ji} = 2 g_{ji} / \lVert g_j \rVert, \quad g_{ji} = \sin(i + 2 j),
        \qquad i = 1, \dots, d - 1,

    and :math:`\beta_{jd} = \gamma_{jd} = 0`: the last feature is only a noisy hint at the regime,
    in which its mean is higher by 1. Both slopes are rotated by the angle r in the plane of the
    first two features.

    Parameters
    ----------
    n_samples : int, default=300
        Number of rows.
    n_features : int, default=5
        Number of features d, at least 3: two for the plane of the rotation, and the hint.
    n_products : int, default=1
        Number of products. They share the features and the regime, but not the noise.
    censored : float, default=None
        If a number c in (0, 1) is given, y is not demand but sales, which are limited by a stock,
        and the stock is returned as well. Outside the regime and without a shift, the stock is
        below demand with the probability c, for all features; see the notes.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        ============  ====================================  =======  =====================
        key           meaning                               nominal  as a string
        ============  ====================================  =======  =====================
        "regime"      p, probability of the regime          0.05     "regime": 0.3
        "noise"       s, factor on the noise, >= 0          1        "noise": 1.5
        "level"       l, added to all demand                0        "level_up": 1,
                                                                     "level_down": -1
        "rotation"    r, rotation of the slopes in degrees  0        "rotation": 30
        ============  ====================================  =======  =====================

        A string changes one of these numbers; a mapping sets several to the given values, for
        instance ``{"regime": 0.3, "level": -1.0}``.
    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is, so that
        shifted and nominal samples are paired.
    return_regime : bool, default=False
        Whether to return the regime as well.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples,) or (n_samples, n_products)
        Demand, >= 0; one-dimensional for one product. With `censored` it is sales,
        ``min(demand, stock)``.
    stock : ndarray of the shape of y
        Only if `censored` is given. Where ``y < stock``, y is the demand; where ``y == stock``, y
        is a lower bound of demand.
    regime : ndarray of shape (n_samples,), dtype bool
        Whether the row is in the costly regime. Only if ``return_regime=True``.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, `censored` is out of range, a name in `shift` is unknown, or its
        value out of range.

    See Also
    --------
    make_capacity_newsvendor : Several products that share a capacity.
    make_two_item_newsvendor : Demand whose spread depends on the features.
    dfl_sklearn.problems.NewsvendorProblem : The problem to decide.

    Notes
    -----
    The maximum with 0 is a part of the distribution; nominally it affects fewer than one row in ten
    thousand. "level_up" and "level_down" are shifts in opposite directions, so that ordering more
    cannot help against both.

    The stock depends on the nominal effect of the features, but not on the regime or the shift:

    .. math:: q_j = \max\bigl(0,\; 10 + \beta_j^\top x + e^{x_1 / 4}
       (\eta_j - \sqrt2\, \Phi^{-1}(c)) \bigr), \qquad \eta_j \sim N(0, 1),

    with the slopes :math:`\beta_j` before any rotation. Given the features it is independent of
    demand, as estimators for censored data assume, and it varies, so that high demand is sometimes
    observed. In the regime and under shifts that raise demand, it is more often below demand. To
    get demand itself, make the same call without `censored`.

    Examples
    --------
    >>> from dfl_sklearn.datasets import make_newsvendor
    >>> X, y = make_newsvendor(n_samples=100, random_state=0)
    >>> X.shape, y.shape
    ((100, 5), (100,))
    >>> _, y_shifted = make_newsvendor(n_samples=100, shift="level_up", random_state=0)
    >>> float((y_shifted - y).mean().round(6))
    1.0

    The same days, for a shop that sells out on about three of ten:

    >>> _, sales, stock = make_newsvendor(n_samples=100, censored=0.3, random_state=0)
    >>> is_censored = sales == stock
    >>> int(is_censored.sum())
    28
    >>> bool((sales == y)[~is_censored].all())
    True
    """
    n_samples = check_count("n_samples", n_samples, minimum=1)
    n_features = check_count("n_features", n_features, minimum=3)
    n_products = check_count("n_products", n_products, minimum=1)
    flag(return_regime, "return_regime")
    if censored is not None:
        censored = number(censored, "censored", above=0, below=1)
    per_product = 3 if censored is None else 6
    check_rows("n_samples", n_samples, n_features + per_product * n_products)
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    rng = check_random_state(random_state)

    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    X = rng.standard_normal((n_samples, n_features))
    regime = rng.uniform(size=n_samples) < knobs["regime"]
    noise = rng.standard_normal((n_samples, n_products))

    X[:, -1] += HINT * regime
    beta, gamma = _slopes(n_features, n_products, knobs["rotation"])
    mean = np.where(regime[:, None], REGIME_JUMP + X @ gamma, X @ beta)
    scale = knobs["noise"] * np.exp(X[:, [0]] / 4)
    y = np.maximum(0.0, BASE_LEVEL + knobs["level"] + mean + scale * noise)
    found = [y]
    if censored is not None:
        # Drawn last, so that demand is the same with and without it.
        stock = _stock(X, n_products, censored, rng)
        found = [np.minimum(y, stock), stock]
    if n_products == 1:
        found = [each[:, 0] for each in found]
    return (X, *found, regime) if return_regime else (X, *found)


def _stock(
    X: np.ndarray, n_products: int, censored: float, rng: np.random.RandomState
) -> np.ndarray:
    """Return stocks (n, n_products) that are below nominal demand with this probability."""
    beta, _ = _slopes(X.shape[1], n_products, 0.0)
    margin = rng.standard_normal((len(X), n_products)) - np.sqrt(2.0) * ndtri(censored)
    return np.maximum(0.0, BASE_LEVEL + X @ beta + np.exp(X[:, [0]] / 4) * margin)


def _slopes(n_features: int, n_products: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes outside and inside the regime, each of shape (n_features, n_products)."""
    i = np.arange(1, n_features)[:, None]
    j = np.arange(1, n_products + 1)
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slopes = []
    for wave in (np.cos, np.sin):
        informative = wave(i + 2 * j)
        informative *= SLOPE_NORM / np.linalg.norm(informative, axis=0)
        informative[:2] = rotation @ informative[:2]
        slopes.append(np.vstack([informative, np.zeros(n_products)]))
    return slopes[0], slopes[1]
