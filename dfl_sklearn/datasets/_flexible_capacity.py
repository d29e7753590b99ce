"""Demand for products with own capacities and a flexible one, with a rare surge."""

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

N_PRODUCTS = 4
BASE, NOISE, SURGE = 50.0, 10.0, 40.0
FIXED_PRICE, FLEXIBLE_PRICE, SHORTAGE_PRICE = 1.0, 1.3, 4.0

KNOBS = {
    "surge": Knob(0.05, low=0.0, high=1.0),
    "noise": Knob(1.0, low=0.0),
    "level": Knob(0.0),
}
PRESETS = {
    "surge": {"surge": 0.3},
    "noise": {"noise": 1.5},
    "level_up": {"level": 5.0},
    "level_down": {"level": -5.0},
}


def make_flexible_capacity(
    n_samples: int = 300,
    n_features: int = 5,
    *,
    n_scenarios: int | None = None,
    shift: str | Mapping[str, float] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, ...]:
    r"""Generate demand for four products with own capacities and a flexible one.

    With p features :math:`x \sim N(0, I_p)`, the demand for product j = 1, ..., 4 is

    .. math:: y_j = \max\bigl(0,\; 50 + l + a_j^\top x + 5 \tanh(x_1 x_2) + 40\, S_j
       + 10\, n\, e^{\min(1, \max(-1,\, b_j^\top x))} \varepsilon_j \bigr),

    with standard normal :math:`\varepsilon_j`, any two of which have a correlation of 1/2. In a
    surge, which no feature predicts, :math:`S_j = 1` for one of the products, each as likely as
    the others; otherwise :math:`S_j = 0`. The slopes :math:`a_j`, of length 8, and :math:`b_j`, of
    length 1/2, depend on p alone, so that samples drawn with different seeds share one
    distribution.

    Capacities z of the products and f that serves all of them are bought before demand is known, at
    the cost (:func:`flexible_capacity_numbers`)

    .. math:: \sum_j z_j + 1.3 f + 4 \Bigl( \sum_j (y_j - z_j)_+ - f \Bigr)_+ ,
       \qquad z, f \ge 0.

    Decisions from a point forecast never use f: if demand is known, the products' own capacities
    are cheaper.

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

        =======  =============================  =======  ====================
        key      meaning                        nominal  as a string
        =======  =============================  =======  ====================
        "surge"  probability of a surge         0.05     "surge": 0.3
        "noise"  n, factor on the noise, >= 0   1        "noise": 1.5
        "level"  l, added to all demand         0        "level_up": 5,
                                                         "level_down": -5
        =======  =============================  =======  ====================

    random_state : int, RandomState instance or None, default=None
        Determines the sample. The same seed gives the same draws whatever `shift` is, and the same
        X and y whatever `n_scenarios` is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features.
    y : ndarray of shape (n_samples, 4)
        Demand, >= 0.
    scenarios : ndarray of shape (n_samples, n_scenarios, 4)
        Further draws of y. Only if `n_scenarios` is given.

    Raises
    ------
    TypeError
        If a count is not an integer, or `shift` is of the wrong type.
    ValueError
        If a count is too small, or a name in `shift` is unknown, or its value out of range.

    See Also
    --------
    make_capacity_newsvendor : Demand for products that share a given capacity.

    Examples
    --------
    >>> from dfl_sklearn.datasets import flexible_capacity_numbers, make_flexible_capacity
    >>> from dfl_sklearn.problems import RecourseLinearProgram
    >>> X, y, scenarios = make_flexible_capacity(2, n_scenarios=200, random_state=0)
    >>> problem = RecourseLinearProgram(**flexible_capacity_numbers())
    >>> problem.solve(y)[:, -1]  # the flexible capacity for known demand
    array([0., 0.])
    >>> bool((problem.solve(scenarios)[:, -1] > 10).all())
    True
    """
    knobs = resolve_shift(shift, KNOBS, PRESETS)
    sizes = n_samples, n_features, n_scenarios
    return features_and_draws(_demand, N_PRODUCTS, knobs, *sizes, random_state)


def flexible_capacity_numbers() -> dict[str, Any]:
    r"""Return the linear program with recourse for :func:`make_flexible_capacity`.

    Returns
    -------
    dict
        Arguments of ``RecourseLinearProgram``. The plan is (z, f), the capacities of the four
        products and the flexible one. The recourse is the demand of each product above its own
        capacity, and the total of these above the flexible one.

    See Also
    --------
    make_flexible_capacity : The demand.
    dfl_sklearn.problems.RecourseLinearProgram : The problem that takes these numbers.

    Examples
    --------
    The cost of a plan where the third product needs 15 units more than its own capacity:

    >>> from dfl_sklearn.datasets import flexible_capacity_numbers
    >>> from dfl_sklearn.problems import RecourseLinearProgram
    >>> problem = RecourseLinearProgram(**flexible_capacity_numbers())
    >>> problem.cost([[50.0, 50.0, 50.0, 50.0, 10.0]], [[50.0, 40.0, 65.0, 50.0]])
    array([233.])
    """
    from dfl_sklearn.problems import Predicted

    n = N_PRODUCTS
    return {
        "c": np.append(np.full(n, FIXED_PRICE), FLEXIBLE_PRICE),
        "q": np.append(np.zeros(n), SHORTAGE_PRICE),
        "T": np.eye(n + 1),
        "W": np.block([[np.eye(n), np.zeros((n, 1))], [-np.ones((1, n)), np.ones((1, 1))]]),
        "h": [Predicted(j) for j in range(n)] + [0.0],
    }


def _demand(
    X: np.ndarray, n_draws: int, knobs: Mapping[str, float], rng: np.random.RandomState
) -> np.ndarray:
    """Return demand (n, n_draws, 4) drawn for features (n, p)."""
    # All knobs act on the same draws, in a fixed order: this is what pairs the samples.
    is_surge = rng.uniform(size=(len(X), n_draws)) < knobs["surge"]
    product = rng.randint(N_PRODUCTS, size=(len(X), n_draws))
    noise = equicorrelated(rng, len(X), n_draws, N_PRODUCTS)
    signal, spread = signal_and_spread(X, N_PRODUCTS)
    surge = is_surge[..., None] * np.eye(N_PRODUCTS)[product]
    mean = BASE + knobs["level"] + signal[:, None] + SURGE * surge
    return np.maximum(mean + NOISE * knobs["noise"] * spread[:, None] * noise, 0.0)
