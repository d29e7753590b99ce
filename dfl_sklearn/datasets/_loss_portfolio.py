"""Returns of assets, with a rare crisis, for an investor for whom losses count threefold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dfl_sklearn.datasets._checks import Knob, resolve_shift
from dfl_sklearn.datasets._scenario_law import (
    equicorrelated,
    features_and_draws,
    signal_and_spread,
)

N_ASSETS = 5
BASE, SIGNAL, NOISE, FALL = 1.5, 0.1, 2.0, 10.0
LOSS_AVERSION = 2.0

KNOBS = {
    "crisis": Knob(0.04, low=0.0, high=1.0),
    "noise": Knob(1.0, low=0.0),
    "level": Knob(0.0),
}
PRESETS = {
    "crisis": {"crisis": 0.24},
    "noise": {"noise": 1.5},
    "level_up": {"level": 0.5},
    "level_down": {"level": -0.5},
}


def make_loss_portfolio(
    n_samples: int = 300,
    n_features: int = 5,
    *,
    n_scenarios: int | None = None,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, ...]:
    r"""Generate returns of five assets in percent, for a loss-averse portfolio.

    With p features :math:`x \sim N(0, I_p)`, the return of asset j = 1, ..., 5 is

    .. math:: y_j = 1.5 + l + \tfrac1{10} \bigl( a_j^\top x + 5 \tanh(x_1 x_2) \bigr) - 10\, C
       + 2\, n\, e^{\min(1, \max(-1,\, b_j^\top x))} \varepsilon_j ,

    with standard normal :math:`\varepsilon_j`, any two of which have a correlation of 1/2. In a
    crisis, which no feature predicts, C = 1; otherwise C = 0. The slopes :math:`a_j`, of length 8,
    and :math:`b_j`, of length 1/2, depend on p alone, so that samples drawn with different seeds
    share one distribution.

    Shares z of a budget are invested, and the rest is cash. With the return :math:`r = y^\top z`,
    the cost is (:func:`loss_portfolio_numbers`)

    .. math:: -r + 2\, (-r)_+ , \qquad z \ge 0, \quad \textstyle\sum_j z_j \le 1.

    With a point forecast, everything is invested in one asset. Mixing assets and holding cash is
    best only because returns are uncertain.

    Parameters
    ----------
    n_samples : int, default=300
        Number of rows.
    n_features : int, default=5
        Number of features p, at least 2.
    n_scenarios : int, default=None
        Number of further draws of y to return for each row, independent of its y given x.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        ========  =============================  =======  ====================
        key       meaning                        nominal  as a string
        ========  =============================  =======  ====================
        "crisis"  probability of a crisis        0.04     "crisis": 0.24
        "noise"   n, factor on the noise, >= 0   1        "noise": 1.5
        "level"   l, added to all returns        0        "level_up": 0.5,
                                                          "level_down": -0.5
        ========  =============================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is, and the same
        X and y whatever `n_scenarios` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, 5)
        Returns in percent.
    scenarios : ndarray of shape (n_samples, n_scenarios, 5)
        Further draws of y. Only if `n_scenarios` is given.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    make_mean_cvar_portfolio : Returns for which the best portfolio is known.
    make_portfolio : Returns with a crisis of which a feature gives a hint.

    Examples
    --------
    >>> from dfl_sklearn.datasets import loss_portfolio_numbers, make_loss_portfolio
    >>> from dfl_sklearn.problems import RecourseLinearProgram
    >>> X, y, scenarios = make_loss_portfolio(3, n_scenarios=100, random_state=0)
    >>> problem = RecourseLinearProgram(**loss_portfolio_numbers())
    >>> problem.solve(scenarios.mean(axis=1))
    array([[0., 0., 1., 0., 0.],
           [0., 0., 0., 1., 0.],
           [0., 0., 1., 0., 0.]])
    >>> problem.solve(scenarios).round(1)
    array([[0. , 0. , 1. , 0. , 0. ],
           [0. , 0.8, 0. , 0.2, 0. ],
           [0. , 0. , 0.4, 0.6, 0. ]])
    """
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    sizes = n_samples, n_features, n_scenarios
    return features_and_draws(_returns, N_ASSETS, knobs, *sizes, random_state)


def loss_portfolio_numbers() -> dict[str, Any]:
    r"""Return the linear program with recourse for :func:`make_loss_portfolio`.

    Returns
    -------
    dict
        Arguments of ``RecourseLinearProgram``. The plan holds the shares of the five assets; the
        rest of the budget is cash. The recourse is the loss.

    See Also
    --------
    make_loss_portfolio : The returns.
    dfl_sklearn.problems.RecourseLinearProgram : The problem that takes these numbers.

    Examples
    --------
    The costs of a gain of 2 percent and of a loss of 2 percent:

    >>> from dfl_sklearn.datasets import loss_portfolio_numbers
    >>> from dfl_sklearn.problems import RecourseLinearProgram
    >>> problem = RecourseLinearProgram(**loss_portfolio_numbers())
    >>> half = [[0.5, 0.0, 0.0, 0.0, 0.0]]
    >>> problem.cost(half, [[4.0, 0.0, 0.0, 0.0, 0.0], [-4.0, 0.0, 0.0, 0.0, 0.0]])
    array([-2.,  6.])
    """
    from dfl_sklearn.problems import Predicted

    returns = [Predicted(j) for j in range(N_ASSETS)]
    return {
        "c": [-each for each in returns],
        "q": [LOSS_AVERSION],
        "T": [returns],
        "W": [[1.0]],
        "h": [0.0],
        "A_ub": np.ones((1, N_ASSETS)),
        "b_ub": [1.0],
    }


def _returns(
    X: np.ndarray, n_draws: int, knobs: Mapping[str, float], rng: np.random.RandomState
) -> np.ndarray:
    """Return returns (n, n_draws, 5) drawn for features (n, p)."""
    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    is_crisis = rng.uniform(size=(len(X), n_draws, 1)) < knobs["crisis"]
    noise = equicorrelated(rng, len(X), n_draws, N_ASSETS)
    signal, spread = signal_and_spread(X, N_ASSETS)
    mean = BASE + knobs["level"] + SIGNAL * signal[:, None] - FALL * is_crisis
    return mean + NOISE * knobs["noise"] * spread[:, None] * noise
