"""Demand for six products that share a capacity, with a rare regime and possible shifts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dfl_sklearn.datasets._checks import Knob, resolve_shift
from dfl_sklearn.datasets._scenario_law import (
    equicorrelated,
    features_and_draws,
    signal_and_spread,
)

N_PRODUCTS = 6
BASE, NOISE, JUMP = 50.0, 10.0, 30.0
JUMPS = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])  # 1 for products that the regime raises

KNOBS = {
    "regime": Knob(0.05, low=0.0, high=1.0),
    "noise": Knob(1.0, low=0.0),
    "level": Knob(0.0),
}
PRESETS = {
    "regime": {"regime": 0.3},
    "noise": {"noise": 1.5},
    "level_up": {"level": 5.0},
    "level_down": {"level": -5.0},
}


def make_capacity_newsvendor(
    n_samples: int = 300,
    n_features: int = 5,
    *,
    n_scenarios: int | None = None,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, ...]:
    r"""Generate demand for six products that share a capacity, for scenario decisions.

    With p features :math:`x \sim N(0, I_p)`, the demand for product j = 1, ..., 6 is

    .. math:: y_j = \max\bigl(0,\; 50 + l + a_j^\top x + 5 \tanh(x_1 x_2) + 30\, R_j
       + 10\, n\, e^{\min(1, \max(-1,\, b_j^\top x))} \varepsilon_j \bigr),

    with standard normal :math:`\varepsilon_j`, any two of which have a correlation of 1/2. In a
    regime, which no feature predicts, :math:`R_1 = R_3 = R_6 = 1`; otherwise, and for the other
    products, :math:`R_j = 0`. The slopes :math:`a_j`, of length 8, and :math:`b_j`, of length 1/2,
    depend on p alone, so that samples drawn with different seeds share one distribution.

    No point forecast leads to the best orders, because the best use of a scarce capacity depends on
    the distribution of all demand.

    Parameters
    ----------
    n_samples : int, default=300
        Number of rows.
    n_features : int, default=5
        Number of features p, at least 2.
    n_scenarios : int, default=None
        Number of further draws of y to return for each row, independent of its y given x. With many
        of them, the best decision for each row and its mean cost can be computed.
    shift : None, str or mapping of str to float, default=None
        How the distribution differs from the nominal one.

        ========  =============================  =======  ====================
        key       meaning                        nominal  as a string
        ========  =============================  =======  ====================
        "regime"  probability of the regime      0.05     "regime": 0.3
        "noise"   n, factor on the noise, >= 0   1        "noise": 1.5
        "level"   l, added to all demand         0        "level_up": 5,
                                                          "level_down": -5
        ========  =============================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is, and the same
        X and y whatever `n_scenarios` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, 6)
        Demand, >= 0.
    scenarios : ndarray of shape (n_samples, n_scenarios, 6)
        Further draws of y. Only if `n_scenarios` is given.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    make_flexible_capacity : Demand for products with own capacities and a flexible one.
    make_newsvendor : Demand with a regime of which a feature gives a hint.

    Examples
    --------
    The best orders for four days, compared with the best orders for the mean demand:

    >>> from dfl_sklearn.datasets import make_capacity_newsvendor
    >>> from dfl_sklearn.problems import MultiProductNewsvendorProblem
    >>> X, y, scenarios = make_capacity_newsvendor(4, n_scenarios=500, random_state=0)
    >>> X.shape, y.shape, scenarios.shape
    ((4, 5), (4, 6), (4, 500, 6))
    >>> problem = MultiProductNewsvendorProblem([9, 6, 4, 3, 2, 1], 1, capacity=320)
    >>> best = problem.solve(scenarios)
    >>> of_mean = problem.solve(scenarios.mean(axis=1))
    >>> def mean_cost(orders):
    ...     return sum(problem.cost(orders, scenarios[:, s]) for s in range(500)) / 500
    >>> bool((mean_cost(of_mean) > 1.05 * mean_cost(best)).all())
    True
    """
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    sizes = n_samples, n_features, n_scenarios
    return features_and_draws(_demand, N_PRODUCTS, knobs, *sizes, random_state)


def _demand(
    X: np.ndarray, n_draws: int, knobs: Mapping[str, float], rng: np.random.RandomState
) -> np.ndarray:
    """Return demand (n, n_draws, 6) drawn for features (n, p)."""
    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    is_regime = rng.uniform(size=(len(X), n_draws, 1)) < knobs["regime"]
    noise = equicorrelated(rng, len(X), n_draws, N_PRODUCTS)
    signal, spread = signal_and_spread(X, N_PRODUCTS)
    mean = BASE + knobs["level"] + signal[:, None] + JUMP * JUMPS * is_regime
    return np.maximum(mean + NOISE * knobs["noise"] * spread[:, None] * noise, 0.0)
